"""Many rows in one trip: whole or not at all, and the same answers as one row after the other."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clock import Clock
from vestige_tui.core.errors import Conflict, NotFound, ReadOnly, Usage
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import forecast
from vestige_tui.core.times import LocalDays
from vestige_tui.store.backends.protocol import Write
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


def key(number: int) -> str:
    return f"dddddddd-0000-4000-8000-{number:012d}"


async def some(store: Store, count: int) -> list[str]:
    inserted, _, _ = await store.memories.insert_many(
        [Draft(f"Memory {n}.", id=key(n)) for n in range(count)], embed=False
    )
    return list(inserted)


async def test_a_write_for_many_is_whole_or_nothing(store: Store, clock: Clock) -> None:
    ids = await some(store, 3)
    marks = [
        {"id": each, "suspended": True, "buried_until": None, "pinned": False, "cleared_lapses": 0} for each in ids
    ]
    async with store.backend.write() as transaction:
        assert await transaction.execute_many("put_marks", marks) == 3
        assert await transaction.execute_many("put_marks", []) == 0
    assert await store.reviews.new() == ()
    marks = [
        {"id": each, "suspended": False, "buried_until": None, "pinned": False, "cleared_lapses": 0}
        for each in [*ids, key(99)]
    ]
    with pytest.raises(NotFound):
        async with store.backend.write() as transaction:
            await transaction.execute_many("put_marks", marks)
    assert await store.reviews.new() == ()


async def test_several_writes_in_one_trip_are_whole_or_nothing(store: Store, clock: Clock) -> None:
    [one, two] = await some(store, 2)
    edge = {"source_id": one, "target_id": two, "edge_type": "related", "weight": 1.0, "created_at": clock()}
    line = {"id": one, "at": clock(), "rating": 3, "prior": None, "new": None, "undoes": None, "weights_hash": None}
    with pytest.raises(Conflict):
        await store.backend.write_all([Write("put_edge", edge), Write("insert_review", line)])
    assert await store.links.edges(one) == ()
    rest = {"id": two, "suspended": True, "buried_until": None, "pinned": False, "cleared_lapses": 0}
    results = await store.backend.write_all(
        [Write("put_edge", edge), Write("put_marks", many=[rest, {**rest, "id": one}]), Write("put_marks", many=[])]
    )
    assert results == [[], [], []]
    assert len(await store.links.edges(one)) == 1
    assert await store.reviews.new() == ()
    assert await store.backend.write_all([]) == []


async def test_of_writes_that_come_together_only_the_refused_one_fails(store: Store) -> None:
    await some(store, 1)
    drafts = [Draft(f"Together {n}.", id=key(0 if n == 7 else 100 + n)) for n in range(20)]
    done = await asyncio.gather(*(store.insert(draft, embed=False) for draft in drafts), return_exceptions=True)
    assert [number for number, each in enumerate(done) if isinstance(each, Exception)] == [7]
    assert isinstance(done[7], Conflict)
    assert done[7].message == f"A memory with the id {key(0)} already exists."
    assert await store.memories.count() == 20
    assert len(await store.journal.entries(limit=100)) == 19


async def test_a_write_that_waits_can_be_given_up(store: Store) -> None:
    [one] = await some(store, 1)
    async with store.backend.write() as transaction:
        await transaction.fetch("lock_memory", {"id": one})
        rest = Write(
            "put_marks", {"id": one, "suspended": True, "buried_until": None, "pinned": False, "cleared_lapses": 0}
        )
        waiting = asyncio.create_task(store.backend.write_all([rest]))
        await asyncio.sleep(0.05)
        if store.kind == "sqlite":
            waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled() == (store.kind == "sqlite")
    assert len(await store.reviews.new()) == (1 if waiting.cancelled() else 0)


async def test_a_store_that_is_read_only_refuses_them(store: Store, store_url: str) -> None:
    async with open_store(store_url, read_only=True, embedders=store.embedders) as reader:
        with pytest.raises(ReadOnly):
            await reader.backend.write_all([Write("vacuum")])


async def test_an_import_that_somebody_else_outran_writes_the_rest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some(store, 3)
    fetch, asked = store.backend.fetch, 0

    async def late(name: str, *rest: Any) -> Any:
        nonlocal asked
        asked += name == "list_existing"
        return [] if name == "list_existing" and asked == 1 else await fetch(name, *rest)

    monkeypatch.setattr(store.backend, "fetch", late)
    drafts = [Draft(f"Again {n}.", id=key(n)) for n in range(5)]
    journal = store.journal.start_import()
    inserted, present, _ = await store.memories.insert_many(drafts, embed=False, journal=journal)
    assert asked == 2
    assert (inserted, present) == ((key(3), key(4)), (key(0), key(1), key(2)))
    assert (await store.get(key(0))).content == "Memory 0."
    assert journal.number is not None
    [line] = (await store.journal.lines([journal.number])).values()
    assert line.ids == inserted


async def test_queue_counts_are_those_of_the_lists(store: Store, clock: Clock) -> None:
    now, chooser = store.now(), random.Random(3)
    drafts = []
    for number in range(120):
        due = now + timedelta(days=chooser.uniform(-12, 40))
        state = Scheduling(5.0, 5.0, 1.0, now - timedelta(days=20), due if number % 7 else None, number % 4, 0)
        drafts.append(
            Draft(f"Card {number}.", id=key(number), tags=(f"t{number % 3}",), scheduling=state if number % 5 else None)
        )
    await store.memories.insert_many(drafts, embed=False)
    for number in range(0, 120, 11):
        await store.reviews.suspend(key(number))
    for number in range(1, 120, 13):
        await store.reviews.bury(key(number), now + timedelta(days=number % 3 - 1, hours=1))
    for number in range(2, 120, 17):
        await store.links.supersede(key(number), key(number - 1))
    for number in (3, 4, 8, 15):
        await store.reviews.record(key(number), Rating.GOOD)
    await store.reviews.undo(key(15))
    bounds = [LocalDays().bound(now, day) for day in (0, 1, 7)]
    for chosen in (Filter(), Filter(superseded=True), Filter(tags=("t1",))):
        counts = await store.reviews.queue_counts(chosen)
        listed = [len(await store.reviews.due(bound, 1_000, chosen)) for bound in bounds]
        assert [counts.overdue, counts.due, counts.due + counts.week] == listed
        assert counts.new == len(await store.reviews.new(1_000, chosen))
    assert sum(forecast(await store.reviews.due_times(30), now, 30)) > 20


async def test_logs_are_restored_once_and_in_their_order(store: Store, clock: Clock) -> None:
    [one, two] = await some(store, 2)
    state = Scheduling(3.0, 5.0, 1.0, clock(), clock() + timedelta(days=3), 1, 0)
    log = [
        Review(11, one, clock(), 3, Scheduling(), state),
        Review(12, two, clock(), 4, Scheduling(), state),
        Review(13, two, clock() + timedelta(minutes=1), 4, state, Scheduling(), undoes=12),
        Review(14, one, clock() + timedelta(minutes=2), 1, state, state),
        Review(15, one, clock() + timedelta(minutes=2), 1, state, state),
    ]
    assert await store.reviews.restore(log) == (4, 1)
    assert await store.reviews.restore(log) == (0, 5)
    assert await store.reviews.restore([]) == (0, 0)
    assert [(review.rating, review.undoes) for review in await store.reviews.log(one)] == [(3, None), (1, None)]
    [graded, undone] = await store.reviews.log(two)
    assert undone.undoes == graded.id
    edges = [Edge(one, two, "related", 0.5), Edge(one, two, "supports"), Edge(one, two, "related", 0.9)]
    assert await store.links.restore(edges) == (2, 1)
    assert await store.links.restore(edges) == (0, 3)
    assert {(edge.edge_type, edge.weight) for edge in await store.links.edges(one)} == {
        ("related", 0.5),
        ("supports", 1.0),
    }
    with pytest.raises(NotFound):
        await store.links.restore([Edge(two, one), Edge(one, key(99))])
    assert len(await store.links.edges(one)) == 2


async def test_text_that_is_no_utf8_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(str(path), create=True) as store:
        [one, two] = await some(store, 2)
        with sqlite3.connect(path) as connection:
            connection.execute(
                "UPDATE knowledge_nodes SET content = CAST(x'41ff42' AS TEXT) WHERE content = 'Memory 0.'"
            )
        connection.close()
        assert (await store.get(one)).content == "A\ufffdB"
        assert {memory.content for memory in (await store.page()).items} == {"A\ufffdB", "Memory 1."}
        assert (await store.get(two)).content == "Memory 1."


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_a_vector_that_is_not_finite_is_refused(store: Store, value: float) -> None:
    await store.insert(Draft("with a vector"))
    good, bad = np.ones(64, dtype=np.float32), np.ones(64, dtype=np.float32)
    bad[7] = value
    with pytest.raises(Usage, match="NaN or infinity; nothing was changed"):
        await store.insert(Draft("by its author"), embedding=bad)
    with pytest.raises(Usage, match="NaN or infinity; nothing was changed"):
        await store.memories.insert_many([Draft("the first"), Draft("the second")], embeddings=[good, bad])
    assert await store.memories.count() == 1
    census = await store.models.census()
    assert census.non_finite == 0
