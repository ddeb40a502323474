"""A store whose embedding model is swapped by another process, seen by those who have it open all along."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import numpy as np
import psycopg
import pytest

from tests.support.clock import Clock
from tests.support.model_swap import (
    BetweenEmbedder,
    OtherEmbedder,
    offer_models,
    prepare_spare_vectors,
    stored_vectors,
    swap_models,
)
from vestige_tui.core.errors import EmbedderUnavailable, ModelMismatch
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.search import Hit, SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import Embedder, TestEmbedder
from vestige_tui.store.backends.sqlite import SqliteBackend
from vestige_tui.store.open import open_store
from vestige_tui.store.search.filter_sets import EVERYTHING
from vestige_tui.store.search.vector_index import Take, VectorIndex
from vestige_tui.store.store import Store

PLACES = ("harbour", "lighthouse", "kitchen", "orchard", "station", "archive")
THINGS = ("key", "lamp", "ledger", "rope", "kettle", "map", "clock")
TEXTS = [f"The {thing} of the {place} lies in drawer {n}." for n, (place, thing) in enumerate(
    (place, thing) for place in PLACES for thing in THINGS
)]  # fmt: skip
QUESTIONS = ("where is the lamp of the kitchen", "harbour rope", "a map in some drawer")
MODELS: Mapping[str, tuple[Embedder, Embedder]] = {
    "of the same width": (TestEmbedder(64), OtherEmbedder(64)),
    "narrower": (TestEmbedder(64), OtherEmbedder(32)),
    "in halves": (TestEmbedder(64), OtherEmbedder(2_100)),
}
AFTER = 3


@pytest.fixture(params=MODELS)
def models(request: pytest.FixtureRequest) -> tuple[Embedder, Embedder]:
    return MODELS[request.param]


@pytest.fixture
def pair() -> tuple[Embedder, Embedder]:
    return MODELS["of the same width"]


@asynccontextmanager
async def opened(url: str, source: EmbedderSource | None = None, clock: Clock | None = None) -> AsyncIterator[Store]:
    """A handle on the store as any console has one, which takes the model that the store belongs to."""
    source = source or EmbedderSource()
    async with open_store(url, embedders=source, clock=clock) as store:
        yield store
    source.close()


async def begin(url: str, model: Embedder, clock: Clock | None = None) -> list[str]:
    """A store of some texts with the vectors of a model; gives their ids."""
    source = EmbedderSource(embedder=model)
    async with open_store(url, create=True, embedders=source, clock=clock) as store:
        ids = [(await store.insert(Draft(TEXTS[0]))).changed[0]]
        inserted, _, _ = await store.memories.insert_many([Draft(text) for text in TEXTS[1:]])
    source.close()
    return [*ids, *inserted]


def cosine(model: Embedder, question: str, content: str) -> float:
    one, other = model.embed([question, content])
    return float(one @ other)


def is_by(model: Embedder, question: str, hits: tuple[Hit, ...]) -> bool:
    """Are all scores by meaning of these hits those that this model gives?"""
    return all(
        hit.vector_score is None or abs(hit.vector_score - cosine(model, question, hit.memory.content)) < 2e-3
        for hit in hits
    )


def foreign_vectors(url: str, model: Embedder) -> list[str]:
    """The texts whose stored vector is not the one that the model makes of them."""
    vectors = stored_vectors(url)
    return [
        text
        for (text, vector), made in zip(vectors, model.embed([text for text, _ in vectors]), strict=True)
        if vector.shape != made.shape or float(vector @ made) < 0.999
    ]


def forget_models(url: str) -> None:
    """Make the journal one of a time when it did not note models."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as file, file:
            for number, before in file.execute("SELECT id, before FROM journal").fetchall():
                file.execute("UPDATE journal SET before = ? WHERE id = ?", (json.dumps(_without(before)), number))
        return
    with psycopg.connect(url) as server:
        for number, before in server.execute("SELECT id, before::text FROM journal").fetchall():
            server.execute(
                "UPDATE journal SET before = %s::jsonb WHERE id = %s", (json.dumps(_without(before)), number)
            )


def _without(before: str) -> list[dict[str, object]]:
    return [{key: value for key, value in kept.items() if key != "model"} for kept in json.loads(before)]


# All at once


@pytest.mark.slow
async def test_nobody_notices_but_by_better_answers(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    offer_models(monkeypatch, first, second)
    ids = await begin(store_url, first)
    rounds: dict[str, int] = {}
    moved_on, over = asyncio.Event(), asyncio.Event()
    seen: list[tuple[str, tuple[Hit, ...]]] = []

    async def until_over(name: str, work: Callable[[int], Awaitable[None]]) -> None:
        rounds[name], left = 0, AFTER
        while left:
            left -= over.is_set()
            await work(rounds[name])
            rounds[name] += 1
            moved_on.set()

    async with opened(store_url) as store:

        async def ask(turn: int) -> None:
            question = QUESTIONS[turn % len(QUESTIONS)]
            answer = await store.search(SearchQuery(question, mode="hybrid" if turn % 2 else "vector", limit=8))
            assert answer.warnings == ()
            assert len(answer) == 8
            seen.append((question, answer.hits))

        async def explain(turn: int) -> None:
            explanation = await store.explain(SearchQuery(QUESTIONS[0], limit=5))
            seen.append((QUESTIONS[0], (*explanation.answer, *explanation.text, *explanation.vector)))
            verdict = await store.why_not(SearchQuery(QUESTIONS[0], limit=5), ids[turn % 20])
            assert verdict.hit is not None
            seen.append((QUESTIONS[0], (verdict.hit,)))

        async def write(turn: int) -> None:
            change = await store.insert(Draft(f"A parcel for the {PLACES[turn % 6]}, number {turn}."))
            await store.memories.insert_many([Draft(f"A letter, number {turn}."), Draft(f"A card, number {turn}.")])
            deleted = await store.delete([*change.changed, ids[-1]])
            await store.journal.undo(deleted.undo)
            assert change.warnings == ()

        async def edit(turn: int) -> None:
            change = await store.update(ids[20], Patch(content=f"Nobody asks for this, edition {turn}."))
            if turn % 2:
                await store.journal.undo(change.undo)

        async def swaps() -> None:
            await asyncio.to_thread(prepare_spare_vectors, store_url, second)
            for model in (second, first, second):
                before = dict(rounds)
                while any(rounds.get(name, 0) < before.get(name, 0) + 2 for name in doing):
                    moved_on.clear()
                    await moved_on.wait()
                await asyncio.to_thread(swap_models, store_url, model)
            over.set()

        doing = {"ask": ask, "explain": explain, "write": write, "edit": edit}
        async with asyncio.TaskGroup() as group:
            group.create_task(swaps())
            for name, work in doing.items():
                group.create_task(until_over(name, work))
        stable = [(question, tuple(hit for hit in hits if hit.memory.id != ids[20])) for question, hits in seen]
        mixed = [each for each in stable if not is_by(first, *each) and not is_by(second, *each)]
        assert mixed == []
        assert {is_by(second, *each) for each in stable} == {True, False}
        assert foreign_vectors(store_url, second) == []
        assert (await store.models.fill()) > 0
        assert (await store.models.census()).without == 0
    assert foreign_vectors(store_url, second) == []


# Questions


async def test_a_question_made_for_the_old_model_is_asked_again(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    loaded = offer_models(monkeypatch, first, second)
    ids = await begin(store_url, first)
    async with opened(store_url) as store:
        query = SearchQuery(QUESTIONS[0], limit=5)
        assert is_by(first, QUESTIONS[0], (await store.search(query)).hits)
        for model in (second, first):
            await asyncio.to_thread(prepare_spare_vectors, store_url, model)
            await asyncio.to_thread(swap_models, store_url, model)
            explanation = await store.explain(query)
            answer = await store.search(query)
            assert (answer.mode, answer.warnings, len(answer)) == ("hybrid", (), 5)
            assert answer.hits == explanation.answer.hits
            assert is_by(model, QUESTIONS[0], (*answer, *explanation.text, *explanation.vector))
            assert any(hit.vector_rank for hit in answer)
            verdict = await store.why_not(query, ids[3])
            assert verdict.hit is not None
            assert is_by(model, QUESTIONS[0], (verdict.hit,))
            registered = await store.models.registered()
            assert registered
            assert (registered.name, registered.dimension) == (model.name, model.dimension)
    assert loaded == [first.name, second.name, first.name]


async def test_a_question_that_nothing_answers_is_asked_again_too(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    offer_models(monkeypatch, first, second)
    await begin(store_url, first)
    async with opened(store_url) as store:
        nothing = SearchQuery(QUESTIONS[0], tags=("nobody has this",))
        assert len(await store.search(nothing)) == 0
        await asyncio.to_thread(prepare_spare_vectors, store_url, second)
        await asyncio.to_thread(swap_models, store_url, second)
        answer = await store.search(nothing)
        assert (len(answer), answer.mode, answer.warnings) == (0, "hybrid", ())
        registered = await store.models.registered()
        assert registered
        assert registered.name == second.name


async def test_the_swap_between_the_vector_and_the_answer(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    between = BetweenEmbedder(first)
    offer_models(monkeypatch, between, second)
    await begin(store_url, first)
    prepare_spare_vectors(store_url, second)
    async with opened(store_url) as store:
        await store.warm()
        between.then.append(lambda: swap_models(store_url, second))
        answer = await store.search(SearchQuery(QUESTIONS[1], mode="vector", limit=6))
        assert len(answer) == 6
        assert is_by(second, QUESTIONS[1], answer.hits)


async def test_where_the_new_model_is_not_here_words_answer(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    offer_models(monkeypatch, first)
    await begin(store_url, first)
    async with opened(store_url) as store:
        await store.search(SearchQuery(QUESTIONS[0]))
        await asyncio.to_thread(prepare_spare_vectors, store_url, second)
        await asyncio.to_thread(swap_models, store_url, second)
        answer = await store.search(SearchQuery(QUESTIONS[0]))
        assert answer.mode == "text"
        assert len(answer) > 0
        assert all(hit.vector_score is None for hit in answer)
        [warning] = answer.warnings
        assert second.name in warning
        with pytest.raises(EmbedderUnavailable, match=second.name):
            await store.search(SearchQuery(QUESTIONS[0], mode="vector"))


async def test_who_has_configured_the_old_model_is_told_the_way_out(
    store_url: str, pair: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    offer_models(monkeypatch, first, second)
    await begin(store_url, first)
    async with (
        opened(store_url, EmbedderSource(first.name)) as old,
        opened(store_url, EmbedderSource(second.name)) as new,
    ):
        assert (await old.search(SearchQuery("lamp"))).mode == "hybrid"
        assert (await new.search(SearchQuery("lamp"))).mode == "text"
        await asyncio.to_thread(prepare_spare_vectors, store_url, second)
        await asyncio.to_thread(swap_models, store_url, second)
        answer = await old.search(SearchQuery("lamp"))
        assert answer.mode == "text"
        assert f"set model under [embeddings] to {second.name}" in answer.warnings[0]
        with pytest.raises(ModelMismatch, match=second.name):
            await old.search(SearchQuery("lamp", mode="vector"))
        # Who could not use the store before now can.
        answer = await new.search(SearchQuery("lamp"))
        assert (answer.mode, answer.warnings) == ("hybrid", ())
        assert is_by(second, "lamp", answer.hits)


async def test_a_vector_that_was_given_is_never_compared_with_others(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    offer_models(monkeypatch, first, second)
    await begin(store_url, first)
    [old], [new] = first.embed([QUESTIONS[0]]), second.embed([QUESTIONS[0]])
    async with opened(store_url) as store, opened(store_url) as other:
        assert len(await store.search(SearchQuery(embedding=old, mode="vector"))) == 10
        await asyncio.to_thread(prepare_spare_vectors, store_url, second)
        await asyncio.to_thread(swap_models, store_url, second)
        with pytest.raises(ModelMismatch):
            await store.search(SearchQuery(embedding=old, mode="vector"))
        answer = await store.search(SearchQuery(embedding=new, mode="vector"))
        assert is_by(second, QUESTIONS[0], answer.hits)
        await other.models.refresh()
        assert (await other.search(SearchQuery(embedding=new, mode="vector"))).hits == answer.hits
        with pytest.raises(ModelMismatch):
            await other.search(SearchQuery("lamp", embedding=np.ones(3, dtype=np.float32)))


async def test_a_store_that_is_swapped_again_and_again_answers_by_words(
    store_url: str, pair: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = BetweenEmbedder(pair[0]), BetweenEmbedder(pair[1])
    offer_models(monkeypatch, one, two)
    await begin(store_url, pair[0])
    prepare_spare_vectors(store_url, pair[1])
    async with opened(store_url) as store:
        await store.warm()
        one.then += [lambda: swap_models(store_url, two)] * 2
        two.then += [lambda: swap_models(store_url, one)]
        answer = await store.search(SearchQuery(QUESTIONS[0]))
        assert (one.then, two.then) == ([], [])
        assert answer.mode == "text"
        assert len(answer.warnings) == 1
        assert len(answer) > 0


# What is written


async def test_a_vector_of_the_old_model_is_made_anew_before_it_is_stored(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    between = BetweenEmbedder(first)
    offer_models(monkeypatch, between, second)
    ids = await begin(store_url, first)

    async def insert(store: Store) -> tuple[str, ...]:
        change = await store.insert(Draft("Written in between."))
        return (*change.changed, *change.warnings)

    async def insert_many(store: Store) -> tuple[str, ...]:
        inserted, _, warnings = await store.memories.insert_many([Draft("Brought in between."), Draft("And this.")])
        return (*inserted, *warnings)

    async def update(store: Store) -> tuple[str, ...]:
        change = await store.update(ids[0], Patch(content="Edited in between."))
        return (*change.changed, *change.warnings)

    async def fill(store: Store) -> tuple[str, ...]:
        bare = await store.insert(Draft("Without a vector for now."), embed=False)
        assert await store.models.fill() == 1
        return bare.changed

    async with opened(store_url) as store:
        for write in (insert, insert_many, update, fill):
            await asyncio.to_thread(prepare_spare_vectors, store_url, second)
            between.then.append(lambda: swap_models(store_url, second))
            written = await write(store)
            assert between.then == []
            assert all([memory.has_embedding for memory in await store.memories.get_many(written)])
            assert foreign_vectors(store_url, second) == []
            await asyncio.to_thread(swap_models, store_url, first)
            await store.models.refresh()
            await store.models.fill()


async def test_without_the_new_model_a_memory_is_stored_without_its_vector(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    between = BetweenEmbedder(first)
    offer_models(monkeypatch, between)
    ids = await begin(store_url, first)
    await asyncio.to_thread(prepare_spare_vectors, store_url, second)
    async with opened(store_url) as store:
        between.then.append(lambda: swap_models(store_url, second))
        change = await store.insert(Draft("Written in between."))
        assert "Stored without a vector." in change.warnings[0]
        assert not (await store.get(change.changed[0])).has_embedding
        edited = await store.update(ids[0], Patch(content="Edited afterwards."))
        assert edited.warnings
        assert not (await store.get(ids[0])).has_embedding
        assert (await store.models.census()).without == 2
        assert foreign_vectors(store_url, second) == []
        with pytest.raises(EmbedderUnavailable):
            await store.models.fill()
    offer_models(monkeypatch, second)
    async with opened(store_url) as store:
        assert await store.models.fill() == 2
        assert foreign_vectors(store_url, second) == []


async def test_vectors_that_were_given_are_left_out_and_that_is_said(
    store_url: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    offer_models(monkeypatch, first, second)
    await begin(store_url, first)
    await asyncio.to_thread(prepare_spare_vectors, store_url, second)
    async with opened(store_url) as store:
        await asyncio.to_thread(swap_models, store_url, second)
        change = await store.insert(Draft("Given."), embedding=first.embed(["Given."])[0])
        assert second.name in change.warnings[0]
        assert not (await store.get(change.changed[0])).has_embedding
        assert foreign_vectors(store_url, second) == []
        inserted, _, warnings = await store.memories.insert_many([Draft("Now.")], embeddings=second.embed(["Now."]))
        assert warnings == ()
        assert (await store.get(inserted[0])).has_embedding
        assert foreign_vectors(store_url, second) == []


# What is taken back


@pytest.mark.parametrize("noted", [True, False])
async def test_a_kept_vector_comes_back_only_to_its_own_model(
    store_url: str, models: tuple[Embedder, Embedder], noted: bool, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    first, second = models
    loaded = offer_models(monkeypatch, first, second)
    ids = await begin(store_url, first, clock)
    async with opened(store_url, clock=clock) as store:
        deleted = await store.delete(ids[:2])
        await store.update(ids[5], Patch(content="Not for long."), embed=False)
        if not noted:
            await asyncio.to_thread(forget_models, store_url)
        # While the model is the same, nothing has to be encoded.
        await store.journal.undo()
        change = await store.journal.undo(deleted.undo)
        assert change.warnings == ()
        assert all([memory.has_embedding for memory in await store.memories.get_many([*ids[:2], ids[5]])])
        assert loaded == []
        again = await store.delete(ids[:2])
        await store.update(ids[5], Patch(content="Not for long, either."), embed=False)
        if not noted:
            await asyncio.to_thread(forget_models, store_url)
        await asyncio.to_thread(prepare_spare_vectors, store_url, second)
        await asyncio.to_thread(swap_models, store_url, second)
        await store.journal.undo()
        change = await store.journal.undo(again.undo)
        assert change.warnings == ()
        assert loaded == [second.name]
        assert all([memory.has_embedding for memory in await store.memories.get_many([*ids[:2], ids[5]])])
        assert foreign_vectors(store_url, second) == []


async def test_what_comes_back_without_a_vector_says_so(
    store_url: str, pair: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    offer_models(monkeypatch, first)
    ids = await begin(store_url, first)
    async with opened(store_url) as store:
        deleted = await store.delete([ids[0]])
        await asyncio.to_thread(prepare_spare_vectors, store_url, second)
        await asyncio.to_thread(swap_models, store_url, second)
        change = await store.journal.undo(deleted.undo)
        assert second.name in change.warnings[0]
        memory = await store.get(ids[0])
        assert (memory.content, memory.has_embedding) == (TEXTS[0], False)
        assert foreign_vectors(store_url, second) == []


# Each backend in its own way


@pytest.mark.slow
async def test_statements_that_the_server_knows_outlive_the_swap(
    postgres_database: str, models: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement is prepared by the driver after some uses, for a table of another name and another width."""
    first, second = models
    offer_models(monkeypatch, first, second)
    ids = await begin(postgres_database, first)
    source = EmbedderSource()
    async with open_store(postgres_database, embedders=source, max_connections=1) as store:
        for model in (None, second, first, second):
            if model is not None:
                await asyncio.to_thread(prepare_spare_vectors, postgres_database, model)
                await asyncio.to_thread(swap_models, postgres_database, model)
            for turn in range(8):
                answer = await store.search(SearchQuery(QUESTIONS[0], tags=("x",) * (turn % 2), superseded=turn > 5))
                assert answer.warnings == ()
                assert (await store.get(ids[1])).has_embedding
                assert (await store.models.census()).without == 0
                change = await store.update(ids[turn], Patch(content=f"{TEXTS[turn]} Again."))
                await store.journal.undo(change.undo)
                deleted = await store.delete([ids[turn]])
                await store.journal.undo(deleted.undo)
                [bare] = (await store.insert(Draft("Bare."), embed=False)).changed
                assert await store.models.fill() == 1
                await store.delete([bare])
                assert await store.backend.fetch("sample_embeddings", {"sample": 3})
            assert foreign_vectors(postgres_database, model or first) == []
    source.close()


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[SqliteBackend]:
    await begin(f"sqlite:{tmp_path / 'store.db'}", TestEmbedder(64))
    backend = SqliteBackend(tmp_path / "store.db")
    await backend.open()
    yield backend
    await backend.close()


async def test_the_vectors_in_memory_are_of_one_model_whenever_they_were_read(
    backend: SqliteBackend, tmp_path: Path, pair: tuple[Embedder, Embedder]
) -> None:
    first, second = pair
    url = f"sqlite:{tmp_path / 'store.db'}"
    prepare_spare_vectors(url, second)
    before: dict[str, list[Callable[[], None]]] = {}

    async def read(name: str, params: Mapping[str, object], take: Take) -> None:
        if before.get(name):
            before[name].pop(0)()
        await backend.readers.stream(name, params, take)

    async def near(index: VectorIndex, model: Embedder) -> float:
        await index.sync(await backend.change_token())
        hits, _ = await index.nearest(model.embed([TEXTS[7]])[0], 1, EVERYTHING)
        return hits[0][1] if hits else 0.0

    # The store is given to the other model between the look at how many there are and the reading.
    index = VectorIndex(64, read, name=first.name)
    before["list_embeddings_after"] = [lambda: swap_models(url, second)]
    assert await near(index, first) == 0.0
    assert (index.model, len(index)) == ((second.name, 64), 0)
    # And given back while the other's are read, whose table now has all those seqs again.
    other = VectorIndex(64, read, name=second.name)
    assert await near(other, second) == pytest.approx(1, abs=1e-4)
    before["list_embeddings_after"] = [lambda: swap_models(url, first)]
    with closing(sqlite3.connect(tmp_path / "store.db")) as file, file:
        [[node, blob]] = file.execute("SELECT node_id, embedding FROM node_embeddings LIMIT 1").fetchall()
        file.execute("DELETE FROM node_embeddings WHERE node_id = ?", (node,))
        file.execute("INSERT INTO node_embeddings (node_id, embedding) VALUES (?, ?)", (node, blob))
    assert await near(other, second) == pytest.approx(1, abs=1e-4)
    assert await near(other, second) == 0.0
    assert other.model == (first.name, 64)
    # What had lost its store has it again.
    assert await near(index, first) == pytest.approx(1, abs=1e-4)
    assert (index.model, len(index)) == ((first.name, 64), len(TEXTS))
    # Away and back unseen, in a table made anew that has the seqs of the first.
    swap_models(url, second)
    with closing(sqlite3.connect(tmp_path / "store.db")) as file, file:
        same = first.embed([TEXTS[7]])[0].tobytes()
        rows = file.execute("SELECT seq, node_id FROM spare_embeddings").fetchall()
        file.execute("DELETE FROM spare_embeddings")
        file.executemany("INSERT INTO spare_embeddings VALUES (?, ?, ?)", [(*row, same) for row in rows])
    swap_models(url, first)
    await index.sync(await backend.change_token())
    hits, _ = await index.nearest(first.embed([TEXTS[7]])[0], len(TEXTS), EVERYTHING)
    assert [score for _, score in hits] == pytest.approx([1.0] * len(TEXTS), abs=1e-4)


async def test_a_change_of_model_is_heard_of(
    store_url: str, pair: tuple[Embedder, Embedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    offer_models(monkeypatch, first, second)
    await begin(store_url, first)
    await asyncio.to_thread(prepare_spare_vectors, store_url, second)
    async with opened(store_url) as store:
        assert await store.wait_for_change(5)
        while await store.wait_for_change(0.3):
            pass
        heard = asyncio.create_task(store.wait_for_change(30))
        await asyncio.to_thread(swap_models, store_url, second)
        assert await heard
        model = await store.models.refresh()
        assert model
        assert model.name == second.name
        stats = await store.maintenance.stats()
        assert (stats.registered_model_name, stats.registered_model_dim) == (second.name, second.dimension)
