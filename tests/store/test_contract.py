"""What the store contract promises, asked of both backends alike."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.support.clock import Clock
from tests.support.memory_ids import list_ids
from vestige_tui.core.bulk import Deletion, Target
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Conflict, ModelMismatch, NotFound, ReadOnly, SchemaPending, Usage
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Filter, Patch
from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder, signature
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.store import Store

NOWHERE = "00000000-0000-4000-8000-000000000000"


async def add(store: Store, content: str, **fields: object) -> str:
    return (await store.insert(Draft(content, **fields))).changed[0]  # type: ignore[arg-type]  # fields of any kind


# Memories


async def test_a_memory_comes_back_as_it_was_written(store: Store, clock: Clock) -> None:
    written = Draft(
        "Signing keys rotate every 90 days.\nThe old one stays in the JWKS — für immer 🔑 鍵",
        node_type="decision",
        tags=("security", "keys"),
        domains=("auth",),
        domain_scores={"auth": 0.9},
        codebase="harbour-api",
        metadata={"source": "review", "nested": {"list": [1, None, "x"]}},
        visibility="group",
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
        scheduling=Scheduling(3.5, 5.25, 0.9, clock(), clock() + timedelta(days=3), 2, 1),
    )
    change = await store.insert(written)
    memory = await store.get(change.changed[0])
    for name in (
        "content",
        "node_type",
        "tags",
        "domains",
        "domain_scores",
        "codebase",
        "metadata",
        "visibility",
        "created_at",
    ):
        assert getattr(memory, name) == getattr(written, name), name
    assert memory.updated_at == written.created_at
    assert memory.scheduling == written.scheduling
    assert memory.has_embedding
    assert memory.superseded_by is None


async def test_defaults_of_a_bare_memory(store: Store, clock: Clock) -> None:
    memory = await store.get(await add(store, "Bare."))
    assert (memory.node_type, memory.tags, memory.codebase, memory.metadata) == ("fact", (), None, {})
    assert memory.created_at == memory.updated_at == clock()
    assert memory.scheduling is None


async def test_text_that_no_store_can_hold_is_made_storable(store: Store) -> None:
    memory = await store.get(await add(store, "nul \0 and half \ud800 a pair", tags=("a\0b",), metadata={"k": "v\0"}))
    assert memory.content == "nul \u2400 and half ? a pair"
    assert memory.tags == ("a\u2400b",)
    assert memory.metadata == {"k": "v\u2400"}


async def test_a_taken_id_and_an_unknown_id(store: Store) -> None:
    taken = await add(store, "First.")
    with pytest.raises(Conflict):
        await store.insert(Draft("Second.", id=taken))
    with pytest.raises(NotFound):
        await store.get(NOWHERE)
    with pytest.raises(NotFound):
        await store.get("no-such-id")


async def test_an_id_is_found_by_a_unique_beginning(store: Store) -> None:
    first, second = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
    await add(store, "One.", id=first)
    await add(store, "Two.", id=second)
    third = await add(store, "Three.", id="bbbbbbbb-0000-4000-8000-000000000003")
    assert await store.memories.resolve("bbbbbb") == third
    assert await store.memories.resolve(first) == first
    with pytest.raises(Usage):
        await store.memories.resolve("aaaaaaaa-0000")
    for text in ("bbb", "cccccc", "zzzzzz", NOWHERE):
        with pytest.raises(NotFound):
            await store.memories.resolve(text)


async def test_an_edit_changes_what_it_names_and_moves_updated_at(store: Store, clock: Clock) -> None:
    memory_id = await add(store, "Old text.", tags=("a",), codebase="x")
    before = await store.get(memory_id)
    clock.advance(minutes=5)
    await store.update(memory_id, Patch(content="New text.", codebase=""), expected=before.updated_at)
    after = await store.get(memory_id)
    assert (after.content, after.tags, after.codebase) == ("New text.", ("a",), None)
    assert after.updated_at == clock()
    assert after.created_at == before.created_at
    with pytest.raises(Conflict):
        await store.update(memory_id, Patch(content="Late."), expected=before.updated_at)
    assert (await store.get(memory_id)).content == "New text."


async def test_updated_at_stays_where_nothing_a_person_edits_changed(store: Store, clock: Clock) -> None:
    memory_id, other = await add(store, "Stays."), await add(store, "Other.")
    before = (await store.get(memory_id)).updated_at
    clock.advance(hours=1)
    await store.reviews.record(memory_id, Rating.GOOD)
    await store.links.supersede(memory_id, other)
    await store.links.unsupersede(memory_id)
    await store.update(memory_id, Patch(domains=("d",), visibility="public"))
    assert (await store.get(memory_id)).updated_at == before
    assert (await store.update(memory_id, Patch(domains=("d",)))).changed == ()


async def test_an_edit_of_the_text_renews_the_vector(store: Store) -> None:
    memory_id = await add(store, "alpha beta gamma")
    await store.update(memory_id, Patch(content="delta epsilon zeta"))
    answer = await store.search(SearchQuery("delta epsilon zeta", mode="vector"))
    assert answer[0].memory.id == memory_id
    assert answer[0].vector_score == pytest.approx(1.0, abs=1e-4)


async def test_tags_of_several_memories_all_or_none(store: Store) -> None:
    one, two = await add(store, "One.", tags=("a", "b")), await add(store, "Two.", tags=("b",))
    change = await store.memories.tag([one, two], add=["c"], remove=["a"])
    assert set(change.changed) == {one, two}
    assert (await store.get(one)).tags == ("b", "c")
    with pytest.raises(NotFound):
        await store.memories.tag([one, NOWHERE], add=["never"])
    assert (await store.get(one)).tags == ("b", "c")


async def test_pages_walk_the_whole_list_once(store: Store, clock: Clock) -> None:
    ids = []
    for number in range(25):
        if number % 3 == 0:
            clock.advance(seconds=1)  # several memories share a moment, so the id decides
        ids.append(await add(store, f"Memory {number}."))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.page(limit=7, after=cursor)
        seen += [memory.id for memory in page.items]
        if page.next is None:
            break
        cursor = page.next
    assert sorted(seen) == sorted(ids)
    moments = [((await store.get(memory_id)).created_at, memory_id) for memory_id in seen]
    assert moments == sorted(moments, reverse=True)
    at = await store.page(limit=5, offset=10)
    assert [memory.id for memory in at.items] == seen[10:15]
    assert (await store.page(limit=3, after=at.next)).items[0].id == seen[15]
    with pytest.raises(Usage):
        await store.page(sort="updated", after=cursor)
    with pytest.raises(Usage):
        await store.page(after="rubbish")


async def test_a_list_shows_heads_where_asked(store: Store) -> None:
    await add(store, "x" * 5_000)
    [memory] = (await store.page(head=100)).items
    assert memory.content == "x" * 100


async def filtered(store: Store, **fields: object) -> set[str]:
    chosen = Filter(**fields)  # type: ignore[arg-type]  # fields of any kind
    page = {memory.content for memory in (await store.page(chosen)).items}
    assert await store.memories.count(chosen) == len(page)
    assert len(await list_ids(store, chosen)) == len(page)
    return page


async def test_filters(store: Store, clock: Clock) -> None:
    start = clock()
    await add(store, "a", node_type="decision", tags=("x", "y"), domains=("auth",), codebase="api")
    clock.advance(days=1)
    await add(store, "b", node_type="event", tags=("y",), domains=("auth", "ops"))
    clock.advance(days=1)
    strong = Scheduling(100.0, 5, 1, clock() - timedelta(days=1), clock(), 3, 0)
    weak = Scheduling(1.0, 5, 1, clock() - timedelta(days=60), clock(), 3, 0)
    await add(store, "c", domains=("ops",), scheduling=strong)
    await add(store, "d", scheduling=weak)
    assert await filtered(store) == {"a", "b", "c", "d"}
    assert await filtered(store, domains=("auth",)) == {"a", "b"}
    assert await filtered(store, domains=("auth", "ops"), node_types=("fact",)) == {"c"}
    assert await filtered(store, tags=("x", "nothing")) == {"a"}
    assert await filtered(store, node_types=("decision", "event")) == {"a", "b"}
    assert await filtered(store, codebases=("api",)) == {"a"}
    assert await filtered(store, owner=NOWHERE) == set()
    assert await filtered(store, since=start + timedelta(days=1)) == {"b", "c", "d"}
    assert await filtered(store, until=start + timedelta(days=1)) == {"a"}
    assert await filtered(store, min_retrievability=0.9) == {"c"}
    assert await filtered(store, min_retrievability=0.0) == {"c", "d"}
    assert await filtered(store, states=("without-vector",)) == set()
    with pytest.raises(Usage):
        await store.page(Filter(min_retrievability=2.0))
    assert {facet.value: facet.count for facet in await store.memories.facets("domains")} == {"auth": 2, "ops": 2}
    assert [facet.value for facet in await store.memories.facets("tags")] == ["y", "x"]
    assert {facet.value: facet.count for facet in await store.memories.facets("node_types")}["fact"] == 2
    assert [facet.value for facet in await store.memories.facets("codebases")] == ["api"]
    assert sum(count for _, count in await store.maintenance.growth()) == 4


async def test_figures_of_the_store(store: Store) -> None:
    one, two = await add(store, "One."), await add(store, "Two.")
    await store.links.add(Edge(one, two))
    await store.reviews.record(one, Rating.GOOD)
    await store.links.supersede(one, two)
    stats = await store.maintenance.stats()
    assert (stats.total_memories, stats.memories_with_embeddings, stats.total_edges) == (2, 2, 1)
    assert (stats.total_reviews, stats.superseded, stats.registered_model_dim) == (1, 1, 64)
    assert stats.schema_version == migrations(store.backend.dialect)[-1].version
    assert stats.size_bytes
    assert stats.backend == store.kind
    assert (await store.health()).state in ("healthy", "degraded")


async def test_who_waits_for_a_change_is_told_of_it(store: Store) -> None:
    assert await store.wait_for_change(0.0)
    if not store.pooled:
        # A token that is polled may still follow the opening of the store.
        assert not await store.wait_for_change(0.2)
    waiting = asyncio.create_task(store.wait_for_change(10.0))
    await add(store, "Something.")
    assert await waiting


# Deleting and undo


async def test_a_deleted_memory_comes_back_whole(store: Store, clock: Clock) -> None:
    loser = await add(store, "Loser.")
    victim = await add(store, "Victim of a delete.", tags=("t",), metadata={"k": 1})
    friend = await add(store, "Friend.")
    await store.links.add(Edge(victim, friend, "supports", 0.5))
    await store.links.supersede(loser, victim)
    await store.reviews.record(victim, Rating.GOOD)
    await store.reviews.suspend(victim)
    before = await store.get(victim)
    preview = await store.bulk.preview(Target((victim,)), Deletion())
    assert (preview.edges, preview.reviews) == (1, 1)
    assert [memory.id for memory in preview.resurrected] == [loser]
    clock.advance(hours=1)
    change = await store.delete([victim])
    with pytest.raises(NotFound):
        await store.get(victim)
    assert (await store.get(loser)).superseded_by is None
    assert await store.links.edges(friend) == ()
    clock.advance(hours=1)
    undone = await store.journal.undo(change.undo)
    assert undone.changed == (victim,)
    assert await store.get(victim) == before
    assert (await store.get(loser)).superseded_by == victim
    assert [edge.weight for edge in await store.links.edges(victim)] == [0.5]
    assert [review.rating for review in await store.reviews.log(victim)] == [3]
    assert (await store.reviews.marks(victim)).suspended
    answer = await store.search(SearchQuery("Victim of a delete.", mode="vector"))
    assert answer[0].memory.id == victim


async def test_deletes_are_all_or_none(store: Store) -> None:
    one = await add(store, "One.")
    with pytest.raises(NotFound):
        await store.delete([one, NOWHERE])
    assert (await store.get(one)).content == "One."
    assert [entry.verb for entry in await store.journal.entries(limit=1)] == ["add"]


async def test_undo_takes_back_the_last_change_first(store: Store, clock: Clock) -> None:
    memory_id = await add(store, "Text.")
    clock.advance(seconds=1)
    await store.update(memory_id, Patch(content="Other text."))
    clock.advance(seconds=1)
    await store.memories.tag([memory_id], add=["t"])
    await store.journal.undo()
    assert (await store.get(memory_id)).tags == ()
    await store.journal.undo()
    assert (await store.get(memory_id)).content == "Text."
    await store.journal.undo()
    with pytest.raises(NotFound):
        await store.get(memory_id)
    with pytest.raises(NotFound):
        await store.journal.undo()


async def test_undo_restores_the_vector_of_the_old_text(store: Store) -> None:
    memory_id = await add(store, "alpha beta")
    change = await store.update(memory_id, Patch(content="gamma delta"))
    await store.journal.undo(change.undo)
    answer = await store.search(SearchQuery("alpha beta", mode="vector"))
    assert answer[0].vector_score == pytest.approx(1.0, abs=1e-4)


async def test_undo_refuses_what_has_changed_since(store: Store, clock: Clock) -> None:
    memory_id = await add(store, "Text.")
    first = await store.update(memory_id, Patch(content="Mine."))
    clock.advance(seconds=1)
    await store.update(memory_id, Patch(content="Theirs."))
    with pytest.raises(Conflict):
        await store.journal.undo(first.undo)
    assert (await store.get(memory_id)).content == "Theirs."
    done = await store.memories.tag([memory_id], add=["x"])
    await store.journal.undo(done.undo)
    with pytest.raises(Conflict):
        await store.journal.undo(done.undo)


async def test_the_journal_tells_who_did_what(store: Store) -> None:
    memory_id = await add(store, "Text.")
    await store.memories.tag([memory_id], add=["t"])
    entries = await store.journal.entries()
    assert [entry.verb for entry in entries] == ["tag", "add"]
    assert entries[0].ids == (memory_id,)
    assert entries[0].actor
    assert [entry.verb for entry in await store.journal.entries(before_id=entries[0].id)] == ["add"]


# Search


@pytest.fixture
async def library(store: Store, clock: Clock) -> dict[str, str]:
    texts = {
        "keys": "Signing keys rotate every ninety days and the old public key stays published.",
        "runbook": "Runbook to rotate the keys without logging users out.",
        "latency": "The search endpoint was slow because of a missing index on parcels.",
        "coffee": "Mara wants short answers before her first coffee.",
        "path": "Set HARBOUR_DSN in /etc/harbour/env.d/10-db.conf, not in foo-bar.example.com.",
        "japanese": "田中さんは毎週火曜日に在庫を確認する。 naïve café",
    }
    found = {}
    for name, text in texts.items():
        clock.advance(minutes=1)
        found[name] = await add(store, text, domains=("auth",) if name in ("keys", "runbook") else ("ops",))
    return found


async def names(store: Store, library: dict[str, str], text: str, **fields: object) -> list[str]:
    answer = await store.search(SearchQuery(text, **fields))  # type: ignore[arg-type]  # fields of any kind
    back = {memory_id: name for name, memory_id in library.items()}
    return [back[hit.memory.id] for hit in answer]


async def test_any_word_finds(store: Store, library: dict[str, str]) -> None:
    assert set(await names(store, library, "how do we rotate the keys", mode="text")) == {"keys", "runbook"}
    assert await names(store, library, "rotating", mode="text") != []
    assert await names(store, library, "coffee OR parcels", mode="text") != []
    assert await names(store, library, "zebra", mode="text") == []


async def test_marks_of_the_grammar(store: Store, library: dict[str, str]) -> None:
    assert await names(store, library, "rotate +runbook", mode="text") == ["runbook"]
    assert await names(store, library, 'rotate "public key"', mode="text") == ["keys"]
    assert await names(store, library, '"key public"', mode="text") == []
    assert await names(store, library, "rotate -runbook", mode="text") == ["keys"]
    assert await names(store, library, 'keys -"logging users"', mode="text") == ["keys"]
    assert await names(store, library, '"to rotate the keys"', mode="text") == ["runbook"]
    assert "runbook" not in await names(store, library, "rotate keys -runbook")
    assert set(await names(store, library, "+rotate anything")) == {"keys", "runbook"}


async def test_only_negatives_list_the_newest(store: Store, library: dict[str, str]) -> None:
    assert await names(store, library, "-rotate") == ["japanese", "path", "coffee", "latency"]


async def test_words_are_cut_alike(store: Store, library: dict[str, str]) -> None:
    for text in (
        "HARBOUR_DSN",
        "harbour",
        "/etc/harbour/env.d/10-db.conf",
        "foo-bar",
        "example.com",
        "+conf",
        "bar.example",
    ):
        assert await names(store, library, text, mode="text") == ["path"], text
    assert await names(store, library, "naive cafe", mode="text") == ["japanese"]
    assert await names(store, library, "CAFÉ", mode="text") == ["japanese"]
    assert await names(store, library, "田中さんは毎週火曜日に在庫を確認する", mode="text") == ["japanese"]


# fmt: off
NASTY = [
    '"', '""', "'", 'foo"bar', "C++", "a.b/c", "NEAR(a b)", "a AND b", "NOT x", "(", ")", "*", "^a", "col:x",
    "a:*", "\\", "%", "%s %(x)s", "{vector}", "/*filters*/", "-", "+", "- -", "!!!", "& | ! <->", "\x00",
    "\ud800", "a" * 20_000, "x y " * 5_000, "\U0001f600", ":words", "'; DROP TABLE knowledge_nodes; --",
    "\u200b", "<b>bold</b>", "&amp;", "-1", "1e400", "v1.2.3", "a@b.c",
]
# fmt: on


@pytest.mark.slow
async def test_no_input_is_an_error(store: Store) -> None:
    await add(store, "Something to find.")
    for text in NASTY:
        for mark in ("", "+", "-", 'found "'):
            for mode in ("text", "hybrid"):
                if (mark + text).strip("\0\ud800 "):
                    await store.search(SearchQuery(mark + text, mode=mode))


async def test_neither_words_nor_vector_is_an_error(store: Store) -> None:
    with pytest.raises(Usage):
        await store.search(SearchQuery("  "))


async def test_stop_words_alone_are_answered_by_meaning(store: Store, library: dict[str, str]) -> None:
    answer = await store.search(SearchQuery("what is this about"))
    assert answer.mode == "vector"
    assert "too common" in answer.warnings[0]
    text = await store.search(SearchQuery("what is this about", mode="text"))
    assert len(text) == 0
    assert text.warnings


async def test_fusion_adds_what_each_branch_gives(store: Store, library: dict[str, str]) -> None:
    explained = await store.explain(SearchQuery("rotate keys", limit=6))
    answer, fusion = explained.answer, explained.fusion
    assert answer.mode == "hybrid"
    assert (fusion.text_weight, fusion.vector_weight) == (0.5, 0.5)
    best = max(hit.text_score or 0.0 for hit in explained.text)
    cosines = [hit.vector_score or 0.0 for hit in explained.vector]
    base = min(cosines) - (1 - fusion.floor) * abs(min(cosines))
    for hit in answer:
        assert hit.text_share == pytest.approx((hit.text_score or 0.0) / best)
        assert hit.vector_share == pytest.approx(
            max(0.0, ((hit.vector_score or 0.0) - base) / (max(cosines) - base)), abs=1e-6
        )
        assert hit.score == pytest.approx((hit.text_share + hit.vector_share) / 2)
    assert [hit.score for hit in answer] == sorted((hit.score for hit in answer), reverse=True)
    assert [hit for hit in answer if hit.text_rank and hit.vector_rank]
    assert [hit.text_score for hit in explained.text] == sorted(
        (hit.text_score or 0 for hit in explained.text), reverse=True
    )
    assert [hit.vector_rank for hit in explained.vector] == list(range(1, len(explained.vector) + 1))


async def test_what_one_branch_found_the_other_is_asked_for(store: Store) -> None:
    """Thirty memories hold the word, thirty others are nearest: each gets its score from the other side too."""
    await store.models.register(signature(TestEmbedder(64)))
    [near, far] = TestEmbedder(64).embed(["the moon", "a harbour"])
    words = [Draft(content=f"lighthouse number {number}") for number in range(40)]
    await store.memories.insert_many(words, embeddings=[far] * 40)
    meant = [
        Draft(content=f"something about night {number} with one lighthouse far away " + "x " * 50)
        for number in range(40)
    ]
    await store.memories.insert_many(meant, embeddings=[near] * 40)
    answer = await store.search(SearchQuery("lighthouse", embedding=near, limit=80))
    assert len(answer) == 80
    short = await store.explain(SearchQuery("lighthouse", embedding=near, limit=10))
    only_meant = [hit for hit in short.vector if hit.text_rank is None]
    only_words = [hit for hit in short.text if hit.vector_rank is None]
    assert only_meant
    assert only_words
    assert all(hit.text_score and 0 < hit.text_share < 1 for hit in only_meant)
    assert all(hit.vector_score is not None for hit in only_words)


async def test_a_memory_without_a_vector_counts_as_the_farthest(store: Store) -> None:
    await store.models.register(signature(TestEmbedder(64)))
    drafts = [Draft(content=f"lighthouse {number}") for number in range(12)]
    vectors = TestEmbedder(64).embed([draft.content for draft in drafts])
    await store.memories.insert_many(drafts, embeddings=vectors)
    [bare], _, _ = await store.memories.insert_many([Draft(content="lighthouse keeper")], embed=False)
    answer = await store.search(SearchQuery("lighthouse keeper", embedding=vectors[0], limit=13))
    [hit] = [hit for hit in answer if hit.memory.id == bare]
    assert hit.vector_score is None
    assert hit.vector_share == pytest.approx(min(each.vector_share for each in answer))
    assert hit.text_share == 1.0


async def test_modes_and_wrappers(store: Store, library: dict[str, str]) -> None:
    text = await store.search(SearchQuery("rotate", mode="text"))
    assert text.mode == "text"
    assert all(hit.vector_rank is None for hit in text)
    [vector] = TestEmbedder(64).embed(["Mara wants short answers before her first coffee."])
    meaning = await store.search(SearchQuery(embedding=vector, mode="vector", limit=2))
    assert meaning.mode == "vector"
    assert meaning[0].memory.id == library["coffee"]
    assert len(meaning) == 2
    with pytest.raises(ModelMismatch):
        await store.search(SearchQuery(embedding=np.ones(3, dtype=np.float32), mode="vector"))


async def test_filters_hold_inside_both_branches(store: Store, library: dict[str, str]) -> None:
    assert set(await names(store, library, "rotate keys coffee", domains=("ops",), limit=10)) == {
        "latency", "coffee", "path", "japanese",
    }  # fmt: skip
    assert await names(store, library, "coffee", mode="text", domains=("auth",)) == []
    assert set(await names(store, library, "coffee", mode="vector", domains=("auth",))) == {"keys", "runbook"}


async def test_superseded_memories_are_hidden_unless_asked_for(store: Store, library: dict[str, str]) -> None:
    await store.links.supersede(library["keys"], library["runbook"])
    assert await names(store, library, "rotate keys", domains=("auth",)) == ["runbook"]
    assert set(await names(store, library, "rotate keys", domains=("auth",), superseded=True)) == {"keys", "runbook"}
    assert await store.memories.count() == 5
    assert await store.memories.count(Filter(superseded=True)) == 6


async def test_a_cancelled_search_stops_and_leaves_the_store_usable(store: Store, library: dict[str, str]) -> None:
    async def many() -> None:
        while True:
            await store.search(SearchQuery("rotate keys"))

    for _ in range(10):
        task = asyncio.create_task(many())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await names(store, library, "coffee", mode="text") == ["coffee"]


# Model


async def test_the_first_use_registers_the_model(store: Store) -> None:
    assert await store.models.registered() is None
    await add(store, "First.")
    model = await store.models.registered()
    assert model
    assert (model.name, model.dimension) == ("test-embedder-64", 64)
    states = {info.name: info.state for info in await store.maintenance.schema_status()}
    assert set(states.values()) == {"applied"}


async def test_another_model_never_mixes_vectors(store: Store, store_url: str, clock: Clock) -> None:
    first = await add(store, "With a vector.")
    other = EmbedderSource(embedder=TestEmbedder(32))
    async with open_store(store_url, embedders=other, clock=clock) as second:
        change = await second.insert(Draft("Without a vector."))
        assert change.warnings
        assert not (await second.get(change.changed[0])).has_embedding
        answer = await second.search(SearchQuery("vector"))
        assert answer.mode == "text"
        assert answer.warnings
        with pytest.raises(ModelMismatch):
            await second.search(SearchQuery("vector", mode="vector"))
        with pytest.raises(ModelMismatch):
            await second.models.register(signature(TestEmbedder(32)))
        edited = await second.update(first, Patch(content="New text."))
        assert edited.warnings
    other.close()
    census = await store.models.census()
    assert census.by_width == {} or set(census.by_width) == {64}
    assert census.without == 2
    assert await store.models.fill() == 2
    assert (await store.models.census()).by_width == {64: 2}


async def test_a_new_hash_alone_is_no_other_model(store: Store) -> None:
    await add(store, "First.")
    model = await store.models.register(ModelSignature("test-embedder-64", 64, "another build"))
    assert model.hash == "another build"


# Reviews


async def test_a_review_writes_schedule_and_log_together(store: Store, clock: Clock) -> None:
    memory_id = await add(store, "To remember.")
    change = await store.reviews.record(memory_id, Rating.GOOD, expected=None)
    state = await store.reviews.scheduling(memory_id)
    assert change.scheduling == state
    assert state
    assert state.next_review
    assert (state.reps, state.last_review, state.next_review > clock()) == (1, clock(), True)
    [review] = await store.reviews.log(memory_id)
    assert (review.rating, review.prior.reps, review.new, review.at) == (3, 0, state, clock())


async def test_a_schedule_that_a_program_brings_is_written_as_it_is(store: Store, clock: Clock) -> None:
    memory_id = await add(store, "Scheduled elsewhere.")
    for reps in (3, 4):
        state = Scheduling(12.5, 4.25, 0.93, clock(), clock() + timedelta(days=12), reps, 1)
        await store.reviews.put_scheduling(memory_id, state)
        assert await store.reviews.scheduling(memory_id) == state
    assert await store.reviews.log(memory_id) == ()
    with pytest.raises(NotFound):
        await store.reviews.put_scheduling(NOWHERE, Scheduling())


async def test_a_second_console_is_not_overwritten(store: Store, clock: Clock) -> None:
    memory_id = await add(store, "To remember.")
    await store.reviews.record(memory_id, Rating.GOOD)
    seen = await store.reviews.scheduling(memory_id)
    clock.advance(days=3)
    await store.reviews.record(memory_id, Rating.EASY, expected=seen)
    with pytest.raises(Conflict):
        await store.reviews.record(memory_id, Rating.AGAIN, expected=seen)
    assert len(await store.reviews.log(memory_id)) == 2


async def test_undoing_reviews(store: Store, clock: Clock) -> None:
    memory_id = await add(store, "To remember.")
    await store.reviews.record(memory_id, Rating.GOOD)
    first = await store.reviews.scheduling(memory_id)
    clock.advance(days=3)
    await store.reviews.record(memory_id, Rating.AGAIN)
    undone = await store.reviews.undo(memory_id)
    assert undone.scheduling == first == await store.reviews.scheduling(memory_id)
    assert [review.undoes is not None for review in await store.reviews.log(memory_id)] == [False, False, True]
    await store.reviews.undo()
    assert await store.reviews.scheduling(memory_id) is None
    with pytest.raises(NotFound):
        await store.reviews.undo(memory_id)


async def test_what_is_due(store: Store, clock: Clock) -> None:
    now = clock()

    def due(**span: float) -> Scheduling:
        return Scheduling(10, 5, 1, now - timedelta(days=10), now + timedelta(**span), 2, 0)

    overdue = await add(store, "Overdue.", scheduling=due(days=-2))
    today = await add(store, "Now.", scheduling=due(minutes=-1), domains=("ops",))
    week = await add(store, "In three days.", scheduling=due(days=3))
    await add(store, "In a month.", scheduling=due(days=30))
    resting = await add(store, "Suspended.", scheduling=due(days=-3))
    new = await add(store, "New.")
    await store.reviews.suspend(resting)
    assert [memory.id for memory in await store.reviews.due()] == [overdue, today]
    assert [memory.id for memory in await store.reviews.due(limit=1)] == [overdue]
    assert [memory.id for memory in await store.reviews.due(filter=Filter(domains=("ops",)))] == [today]
    assert len(await store.reviews.due(now + timedelta(days=4))) == 3
    assert [memory.id for memory in await store.reviews.new()] == [new]
    counts = await store.reviews.queue_counts()
    assert (counts.overdue, counts.today, counts.week, counts.new, counts.new_today) == (1, 1, 1, 1, 1)
    assert (counts.due, counts.offered) == (2, 3)
    assert len(await store.reviews.due_times(7)) == 3
    await store.reviews.bury(overdue)
    assert [memory.id for memory in await store.reviews.due()] == [today]
    clock.advance(days=2)
    assert [memory.id for memory in await store.reviews.due()] == [overdue, today, week][:2]
    await store.reviews.resume(resting)
    assert resting in [memory.id for memory in await store.reviews.due()]


async def test_new_memories_have_a_daily_share(store: Store) -> None:
    ids = [await add(store, f"New {number}.") for number in range(15)]
    assert (await store.reviews.queue_counts()).new_today == 10
    for memory_id in ids[:4]:
        await store.reviews.record(memory_id, Rating.GOOD)
    assert (await store.reviews.queue_counts()).new_today == 6
    await store.reviews.undo()
    assert (await store.reviews.queue_counts()).new_today == 7


# Links


async def test_links(store: Store) -> None:
    a, b = await add(store, "A."), await add(store, "B.")
    await store.links.add(Edge(a, b, "supports", 0.5))
    change = await store.links.add(Edge(a, b, "supports", 0.75))
    await store.links.add(Edge(b, a, "related", 0.25))
    assert {(edge.edge_type, edge.weight) for edge in await store.links.edges(a)} == {
        ("supports", 0.75),
        ("related", 0.25),
    }
    assert [edge.weight for edge in await store.links.edges(b, "related")] == [0.25]
    await store.journal.undo(change.undo)
    assert [edge.weight for edge in await store.links.edges(a, "supports")] == [0.5]
    removed = await store.links.remove(b, a)
    assert len(await store.links.edges(a)) == 1
    await store.journal.undo(removed.undo)
    assert len(await store.links.edges(a)) == 2
    with pytest.raises(NotFound):
        await store.links.remove(a, b, "nothing")
    with pytest.raises(NotFound):
        await store.links.add(Edge(a, NOWHERE))
    with pytest.raises(Usage):
        await store.links.add(Edge(a, a))


async def test_neighbors_by_the_best_path(store: Store) -> None:
    a, b, c, d = [await add(store, name) for name in "ABCD"]
    for source, target, weight in [(a, b, 0.5), (b, c, 0.9), (a, c, 0.2), (d, c, 1.0), (c, a, 0.1)]:
        await store.links.add(Edge(source, target, "related", weight))
    near = {
        neighbor.memory.content: (round(neighbor.weight, 6), neighbor.depth)
        for neighbor in await store.links.neighbors(a)
    }
    assert near == {"B": (0.5, 1), "C": (0.2, 1)}
    far = await store.links.neighbors(a, depth=3)
    assert [(n.memory.content, round(n.weight, 6)) for n in far] == [("B", 0.5), ("C", 0.45), ("D", 0.45)]


# Supersession


async def test_decisions_are_a_log_with_a_cache(store: Store, clock: Clock) -> None:
    a, b, c = [await add(store, name) for name in "ABC"]
    await store.links.supersede(a, b)
    await store.links.supersede(a, c)  # the same moment: the later row wins
    assert (await store.get(a)).superseded_by == c
    assert (await store.links.supersede(a, c)).changed == ()
    change = await store.links.unsupersede(a)
    assert (await store.get(a)).superseded_by is None
    assert (await store.links.unsupersede(a)).changed == ()
    await store.journal.undo(change.undo)
    assert (await store.get(a)).superseded_by == c
    assert [event.kind for event in await store.links.history(a)] == [
        "supersede", "supersede", "unsupersede", "supersede",
    ]  # fmt: skip
    assert len(await store.links.history(c)) == 2


async def test_circles_are_refused(store: Store) -> None:
    a, b, c = [await add(store, name) for name in "ABC"]
    await store.links.supersede(a, b)
    await store.links.supersede(b, c)
    with pytest.raises(Conflict):
        await store.links.supersede(c, a)
    with pytest.raises(Usage):
        await store.links.supersede(a, a)
    with pytest.raises(NotFound):
        await store.links.supersede(a, NOWHERE)
    tree = await store.links.lineage(a)
    assert tree.memory.id == c
    assert tree.replaces[0].memory.id == b
    assert tree.replaces[0].replaces[0].memory.id == a


async def test_a_deleted_winner_is_told_apart(store: Store) -> None:
    a, b = await add(store, "A"), await add(store, "B")
    await store.links.supersede(a, b)
    await store.delete([b])
    assert (await store.get(a)).superseded_by is None
    events = await store.links.history(a)
    assert [(event.kind, event.winner_id) for event in events] == [("supersede", b), ("winner_deleted", None)]


# Whole stores


async def test_writes_from_many_tasks_all_arrive(store: Store) -> None:
    await add(store, "First, so that the model is registered.")
    await asyncio.gather(*(add(store, f"Concurrent {number}.") for number in range(40)))
    assert await store.memories.count() == 41
    await asyncio.gather(*(store.search(SearchQuery(f"concurrent {number}")) for number in range(20)))


async def test_import_skips_what_is_there(store: Store) -> None:
    drafts = [Draft(f"Imported {n}.", id=f"cccccccc-0000-4000-8000-00000000000{n}") for n in range(5)]
    inserted, present, _ = await store.memories.insert_many(drafts[:3])
    assert (len(inserted), present) == (3, ())
    journal = store.journal.start_import()
    inserted, present, _ = await store.memories.insert_many(drafts, journal=journal)
    assert (len(inserted), len(present)) == (2, 3)
    await store.journal.undo(journal.number)
    assert await store.memories.count() == 3


async def test_read_only_reads_and_refuses_writes(store: Store, store_url: str) -> None:
    memory_id = await add(store, "Readable.")
    async with open_store(store_url, read_only=True, embedders=store.embedders) as reader:
        assert (await reader.get(memory_id)).content == "Readable."
        assert len(await reader.search(SearchQuery("readable"))) == 1
        for attempt in (
            reader.insert(Draft("x")), reader.delete([memory_id]), reader.update(memory_id, Patch(content="x")),
            reader.reviews.record(memory_id, Rating.GOOD), reader.journal.undo(),
            reader.reviews.suspend(memory_id), reader.maintenance.vacuum(),
            reader.links.supersede(memory_id, memory_id), reader.links.add(Edge(memory_id, NOWHERE)),
            reader.memories.tag([memory_id], ["x"]), reader.models.register(ModelSignature("m", 3)),
            reader.models.fill(),
        ):  # fmt: skip
            with pytest.raises(ReadOnly):
                await attempt
    assert await store.memories.count() == 1


async def test_nothing_is_made_unasked(tmp_path: object, bare_store_url: str) -> None:
    from vestige_tui.core.errors import Unavailable

    with pytest.raises((Unavailable, SchemaPending)):
        async with open_store(bare_store_url):
            pass
