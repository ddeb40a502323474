"""What the measurements stand on: their corpus, their filled stores, and the raw statements beside ours."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import copying, filling
from benchmarks.bench import sample_queries
from benchmarks.corpus import MAX_TEXT_CHARS, MIN_TEXT_CHARS, NARROWINGS, corpus, known_items
from benchmarks.raw import LIMIT, RawPostgres, RawSqlite, fused
from benchmarks.table import Figure, render
from vestige_tui.store.open import open_store
from vestige_tui.store.search.query_syntax import parse

SIZE = 300


def figure(ours: float, raw: float, goal: str) -> Figure:
    return Figure("part", "what", "ms", ours, raw, "beside", goal=goal)


def test_a_goal_is_met_by_the_ratio() -> None:
    assert figure(1, 2, "<= 0.5").met is True
    assert figure(1, 2, ">= 0.9").met is False
    assert figure(1, 2, "raw + .06 ms").met is None
    assert figure(0, 900, "<= 0").met is True
    assert math.isnan(figure(1, 0, "").ratio)
    [headings, line] = render([figure(1, 2, "<= 0.5")]).splitlines()
    assert headings.index("met") == line.index("yes")


@pytest.mark.slow
def test_a_docstring_asks_for_what_it_does_not_say_itself() -> None:
    items = known_items()
    assert len(items) > 500
    assert len({item.question for item in items}) == len({item.text for item in items}) == len(items)
    for item in items:
        assert 20 <= len(item.question) <= 201
        assert not parse(item.question).must
        assert not parse(item.question).must_not
        assert MIN_TEXT_CHARS <= len(item.text) <= MAX_TEXT_CHARS
        assert item.question not in item.text
        assert item.text not in item.question


def test_the_corpus_is_as_frequent_as_it_says() -> None:
    found = corpus(5_000)
    shares = [sum(map(narrowing.passes, found.drafts)) / found.size for narrowing in NARROWINGS]
    assert shares[0] == 0
    assert shares[-1] == 1
    for wanted in (0.002, 0.01, 0.02, 0.05, 0.2, 0.5):
        assert any(0.6 * wanted < share < 1.4 * wanted for share in shares), wanted
    assert found.matrix.shape == (found.size, 384)
    assert np.allclose(np.linalg.norm(found.matrix, axis=1), 1, atol=1e-5)


def test_fused_ranks_count_from_one() -> None:
    assert fused(["a", "b", "c"], ["b", "d"]) == ["b", "a", "d", "c"]


async def test_a_filled_store_holds_the_corpus(tmp_path: Path) -> None:
    found = corpus(SIZE)
    url = await filling.fill_store(tmp_path / "filled.db", SIZE)
    async with open_store(url) as store:
        for narrowing in NARROWINGS:
            assert await store.memories.count(narrowing.filter) == sum(map(narrowing.passes, found.drafts)), (
                narrowing.name
            )
        for draft in found.drafts[:5]:
            memory = await store.get(str(draft.id))
            kept = (memory.content, memory.tags, memory.created_at, memory.scheduling)
            assert kept == (draft.content, draft.tags, draft.created_at, draft.scheduling)
        raw = RawSqlite(tmp_path / "filled.db")
        [each] = sample_queries(1)
        hits = [hit.memory.id for hit in await store.search(each.query("vector"))]
        assert hits == raw.vector(each.vector)[:LIMIT]
        raw.close()


async def test_the_textbook_statement_answers(tmp_path: Path, postgres_database: str) -> None:
    source = await filling.fill_store(tmp_path / "filled.db", SIZE)
    await copying.copy(source, postgres_database)
    found, [each] = corpus(SIZE), sample_queries(1)
    words = " ".join(sorted(re.findall(r"[a-z]+", found.drafts[7].content), key=len)[-3:])
    raw = RawPostgres(postgres_database)
    try:
        order = np.argsort(-(found.matrix @ each.vector))[:LIMIT]
        nearest = [found.ids[place] for place in order]
        assert [str(row[0]) for row in raw.textbook("vector", "", each.vector)] == nearest
        by_words = {str(row[0]) for row in raw.textbook("text", words, each.vector)}
        assert found.ids[7] in by_words
        both = {str(row[0]) for row in raw.textbook("hybrid", words, each.vector)}
        assert len(both) == LIMIT
        assert both & by_words
        assert both & set(nearest)
        assert found.ids[7] in raw.ranked(words)
    finally:
        raw.close()


@pytest.mark.slow
async def test_raw_writes_are_what_the_service_reads(tmp_path: Path, backend: str, store_url: str) -> None:
    path = tmp_path / "filled.db"
    url = await filling.fill_store(path, SIZE)
    if backend == "postgres":
        source, url = url, store_url
        await copying.copy(source, url)
    raw = RawSqlite(path) if backend == "sqlite" else RawPostgres(url)
    changed = corpus(SIZE).ids[0]
    async with open_store(url) as store:
        raw.update(changed, ("changed",))
        raw.review(changed, store.now())
        raw.insert(corpus(SIZE).drafts[:3], [each.vector for each in sample_queries(3)])
        memory = await store.get(changed)
        assert memory.tags == ("changed",)
        assert memory.scheduling is not None
        assert memory.scheduling.reps == 1
        assert [review.rating for review in await store.reviews.log(changed)] == [3]
        assert await store.memories.count() == SIZE + 3
        assert {value: n for value, n in raw.facets()} == {
            f.value: f.count for f in await store.memories.facets("tags")
        }
    raw.close()
