"""Marks of memories: pinned, suspended, buried and leech, seen with the memory, cleared together, and undone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.vestige_files import make_v18, memory_id
from vestige_tui.core.bulk import Deletion, Target
from vestige_tui.core.errors import Conflict, NotFound, Refused
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.reviews import Marks, Scheduling
from vestige_tui.core.scheduling import LEECH_LAPSES, is_leech
from vestige_tui.core.search import SearchQuery
from vestige_tui.presenters.marks import mark_words
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


async def add(store: Store, text: str, *, lapses: int = 0) -> str:
    state = Scheduling(5.0, 5.0, 0.9, store.now(), store.now() + timedelta(days=3), 9, lapses)
    [memory_id] = (await store.insert(Draft(text, scheduling=state), embed=False)).changed
    return memory_id


async def test_marks_come_with_the_memory_wherever_it_is_read(store: Store, clock: Clock) -> None:
    one, two = await add(store, "one word", lapses=LEECH_LAPSES), await add(store, "two words")
    await store.reviews.suspend(one)
    await store.reviews.pin([one])
    expected = Marks(suspended=True, pinned=True)
    assert (await store.get(one)).marks == expected
    assert [memory.marks for memory in await store.memories.get_many([one, two])] == [expected, Marks()]
    assert {memory.id: memory.marks for memory in (await store.page()).items} == {one: expected, two: Marks()}
    answer = await store.search(SearchQuery("words", mode="text"))
    assert {hit.memory.id: hit.memory.marks for hit in answer}[two] == Marks()
    assert mark_words(await store.get(one), clock()) == ("suspended", "leech", "pinned")
    await store.reviews.bury(two)
    assert mark_words(await store.get(two), clock()) == ("buried",)
    [word] = mark_words(await store.get(two), clock(), dated=True)
    assert word.startswith("buried until 2026-06-1")
    assert mark_words(await store.get(two), clock() + timedelta(days=2)) == ()


async def test_a_pin_stays_through_suspending_burying_and_resuming(store: Store) -> None:
    one = await add(store, "one")
    await store.reviews.pin([one])
    for act in (store.reviews.suspend, store.reviews.bury, store.reviews.resume):
        await act(one)
        assert (await store.reviews.marks(one)).pinned
    assert await store.reviews.marks(one) == Marks(pinned=True)
    assert (await store.reviews.pin([one])).undo is None


async def test_clearing_takes_off_every_mark_and_is_undone(store: Store) -> None:
    leech, resting, plain = (
        await add(store, "leech", lapses=LEECH_LAPSES + 1),
        await add(store, "resting"),
        await add(store, "plain"),
    )
    await store.reviews.pin([leech])
    await store.reviews.suspend(resting)
    change = await store.reviews.clear_marks([leech, resting, plain])
    assert change.changed == (leech, resting)
    for each in (leech, resting, plain):
        assert mark_words(await store.get(each), store.now()) == ()
    assert await store.memories.count(Filter(states=("leech",))) == 0
    assert (await store.reviews.clear_marks([leech, resting, plain])).undo is None
    await store.journal.undo(change.undo)
    assert mark_words(await store.get(leech), store.now()) == ("leech", "pinned")
    assert mark_words(await store.get(resting), store.now()) == ("suspended",)
    with pytest.raises(NotFound):
        await store.reviews.clear_marks([leech, "00000000-0000-4000-8000-00000000dead"])
    assert mark_words(await store.get(leech), store.now()) == ("leech", "pinned")


async def test_a_cleared_leech_is_one_again_after_as_many_lapses(store: Store) -> None:
    one = await add(store, "leech", lapses=LEECH_LAPSES)
    await store.reviews.clear_marks([one])
    memory = await store.get(one)
    assert memory.scheduling is not None
    for lapses, expected in ((LEECH_LAPSES + 1, False), (2 * LEECH_LAPSES - 1, False), (2 * LEECH_LAPSES, True)):
        state = Scheduling(5.0, 5.0, 0.9, store.now(), store.now(), 9, lapses)
        await store.reviews.put_scheduling(one, state)
        assert is_leech(state, memory.marks.cleared_lapses) is expected
        assert bool(await store.memories.count(Filter(states=("leech",)))) is expected


async def test_a_change_of_marks_since_refuses_the_undo(store: Store) -> None:
    one = await add(store, "one")
    pinned = await store.reviews.pin([one])
    await store.reviews.suspend(one)
    with pytest.raises(Conflict):
        await store.journal.undo(pinned.undo)
    assert await store.reviews.marks(one) == Marks(suspended=True, pinned=True)


async def test_a_delete_of_several_leaves_out_what_is_pinned(store: Store) -> None:
    one, two, three = [await add(store, text) for text in ("one", "two", "three")]
    await store.reviews.pin([one, three])
    preview = await store.bulk.preview(Target((one, two, three)), Deletion())
    assert preview.ids == (two,)
    [left_out] = preview.left_out
    assert set(left_out.ids) == {one, three}
    change = await store.delete([one, two, three])
    assert change.changed == (two,)
    assert change.warnings == ("2 pinned memories are left out.",)
    assert await store.memories.count() == 2
    with pytest.raises(Refused, match="All 2 memories are pinned"):
        await store.delete([one, three])
    await store.journal.undo(change.undo)
    assert await store.memories.count() == 3
    # Alone it is meant: it is deleted, and restored with its pin.
    deleted = await store.delete([one])
    assert deleted.changed == (one,)
    await store.journal.undo(deleted.undo)
    assert (await store.get(one)).marks == Marks(pinned=True)


async def test_the_pin_of_a_vestige_server_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vestige.db"
    make_v18(path, 6)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE knowledge_nodes SET protected = 1 WHERE id IN (?, ?)", (memory_id(1), memory_id(4)))
    async with open_store(f"sqlite:{path}", read_only=True) as store:
        pinned = {memory.id for memory in (await store.page(Filter(states=("pinned",), superseded=True))).items}
        assert pinned == {memory_id(1), memory_id(4)}
        assert (await store.get(memory_id(1))).marks == Marks(pinned=True)
        assert (await store.get(memory_id(0))).marks == Marks()
        assert "protected" not in (await store.get(memory_id(1))).metadata["vestige"]
        assert {each.memory_id for each in await store.reviews.marked()} == pinned
