"""The same questions asked of a SQLite file and of a PostgreSQL with the same memories get the same answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.memory_ids import list_ids
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.presenters.sorting import SORTS
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

QUESTIONS = [
    "how do we rotate the signing keys", "what does Mara want", "postgres index missing", "incident root cause",
    "release on fridays", "retry with back-off", "timeout", "webhook signature", "+deploy rollback", "deploy -staging",
    '"feature flag"', "who owns billing", "API rate limit", "memory leak", "mobile client cache", "日本", "Überwachung",
    "naïve", "test", "config.yaml", "docker compose", "the and of", "-the", "-deploy -test", "how", "error 500", "v2",
    "on-call", "e-mail", "C++", "a/b", "foo_bar", "don't", "it's", "customer's parcels", "2025", "3", "OR",
    "queue OR cache",
]  # fmt: skip


@pytest.fixture
async def pair(tmp_path: Path, postgres_database: str, clock: Clock) -> AsyncIterator[tuple[Store, Store]]:
    source = EmbedderSource(embedder=TestEmbedder(64))
    lines = (files("vestige_tui") / "data" / "demo.jsonl").read_text(encoding="utf-8").splitlines()
    urls = (f"sqlite:{tmp_path / 'store.db'}", postgres_database)
    stores = [open_store(url, create=True, embedders=source, clock=clock) for url in urls]
    for store in stores:
        await store.open()
        await fill(store, [json.loads(line) for line in lines], clock)
    yield stores[0], stores[1]
    for store in stores:
        await store.close()
    source.close()


async def fill(store: Store, told: list[dict[str, Any]], clock: Clock) -> None:
    ids = {each["key"]: f"{number:08x}-0000-4000-8000-000000000000" for number, each in enumerate(told)}
    drafts = []
    for number, each in enumerate(told):
        due = clock() + timedelta(days=number % 50 - 10)
        state = Scheduling(1.0 + number % 40, 5.0, 0.9, clock() - timedelta(days=number % 30), due, 1 + number % 4, 0)
        drafts.append(
            Draft(
                each["content"],
                id=ids[each["key"]],
                node_type=each["node_type"],
                tags=tuple(each["tags"]),
                domains=tuple(each["domains"]),
                codebase=each["codebase"],
                created_at=clock() - timedelta(days=each["days_ago"]),
                scheduling=state if number % 3 else None,
            )
        )
    await store.memories.insert_many(drafts)
    for each in told:
        edges = [Edge(ids[each["key"]], ids[e["to"]], e["type"], e["weight"]) for e in each["edges"]]
        await store.links.restore(edges)
        if each.get("superseded_by"):
            await store.links.supersede(ids[each["key"]], ids[each["superseded_by"]])
    for each in told[:10]:
        await store.reviews.record(ids[each["key"]], Rating.GOOD)


@pytest.mark.slow
async def test_searches(pair: tuple[Store, Store]) -> None:
    for question in QUESTIONS:
        for mode in ("text", "vector", "hybrid"):
            for chosen in (
                {},
                {"node_types": ("decision", "procedure")},
                {"min_retrievability": 0.9},
                {"superseded": True},
            ):
                query = SearchQuery(question, mode=mode, limit=1_000, **chosen)
                answers = [await store.search(query) for store in pair]
                label = f"{question!r} {mode} {chosen}"
                assert answers[0].mode == answers[1].mode, label
                assert len(answers[0].warnings) == len(answers[1].warnings), label
                if mode == "vector":
                    assert [hit.memory.id for hit in answers[0]] == [hit.memory.id for hit in answers[1]], label
                    for ours, theirs in zip(*answers, strict=True):
                        assert ours.vector_score == pytest.approx(theirs.vector_score, abs=1e-4), label
                else:
                    assert {hit.memory.id for hit in answers[0]} == {hit.memory.id for hit in answers[1]}, label


@pytest.mark.slow
async def test_first_hits_by_words_mostly_agree(pair: tuple[Store, Store]) -> None:
    shared = asked = 0
    for question in QUESTIONS[:24]:
        first = [{hit.memory.id for hit in await store.search(SearchQuery(question, mode="text"))} for store in pair]
        if len(first[0]) == 10:
            asked += 1
            shared += len(first[0] & first[1])
    assert asked >= 5
    assert shared / asked >= 5


@pytest.mark.slow
async def test_lists_counts_and_facets(pair: tuple[Store, Store]) -> None:
    one, two = pair
    filters = [
        Filter(), Filter(superseded=True), Filter(domains=("auth",)), Filter(tags=("security", "ops")),
        Filter(node_types=("event",)), Filter(min_retrievability=0.8), Filter(since=one.now() - timedelta(days=60)),
    ]  # fmt: skip
    for chosen in filters:
        for sort in SORTS:
            pages = [await store.page(chosen, sort=sort, limit=500) for store in pair]
            assert pages[0].items == pages[1].items
            assert await one.memories.count(chosen) == await two.memories.count(chosen)
        for name in ("domains", "tags", "node_types", "codebases"):
            assert await one.memories.facets(name, chosen) == await two.memories.facets(name, chosen)
    assert await one.maintenance.growth() == await two.maintenance.growth()


@pytest.mark.slow
async def test_reviews_links_and_lineage(pair: tuple[Store, Store]) -> None:
    one, two = pair
    assert await one.reviews.queue_counts() == await two.reviews.queue_counts()
    assert await one.reviews.due(limit=500) == await two.reviews.due(limit=500)
    assert await one.reviews.new(limit=500) == await two.reviews.new(limit=500)
    assert sorted(await one.reviews.due_times(30)) == sorted(await two.reviews.due_times(30))
    for memory_id in (await list_ids(one, Filter(superseded=True)))[:60]:
        assert await one.get(memory_id) == await two.get(memory_id)
        assert await one.links.edges(memory_id) == await two.links.edges(memory_id)
        assert await one.links.lineage(memory_id) == await two.links.lineage(memory_id)
        near = [await store.links.neighbors(memory_id, 2) for store in pair]
        assert [(n.memory.id, n.depth) for n in near[0]] == [(n.memory.id, n.depth) for n in near[1]]
        assert [n.weight for n in near[0]] == pytest.approx([n.weight for n in near[1]])
        assert len(await one.links.history(memory_id)) == len(await two.links.history(memory_id))
