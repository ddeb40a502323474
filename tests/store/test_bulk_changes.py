"""One change of many memories: its preview, the write in one transaction, and one undo that restores every row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.support.clock import Clock
from vestige_tui.core.bulk import (
    Deletion,
    FieldEdit,
    MarkEdit,
    Operation,
    Replacement,
    TagEdit,
    Target,
    keeping_replaced,
)
from vestige_tui.core.errors import Conflict, NotFound, Usage
from vestige_tui.core.journal import JournalLine
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Change, Draft, Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.presenters.bulk import beside_notes
from vestige_tui.store import bulk, journal_parts
from vestige_tui.store.store import Store

COUNT = 23


def key(number: int) -> str:
    return f"dddddddd-0000-4000-8000-{number:012d}"


@pytest.fixture(params=["one entry", "parts"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of four memories, and parts of a journal entry of one batch and a bit."""
    monkeypatch.setattr(bulk, "BATCH_ROWS", 4)
    if request.param == "parts":
        monkeypatch.setattr(journal_parts, "PART_ROWS", 5)


async def filled(store: Store) -> list[str]:
    """Fill a store with linked, reviewed, marked and replaced memories; return their ids."""
    for number in range(COUNT):
        await store.insert(
            Draft(
                f"Memory {number}.",
                id=key(number),
                node_type=("fact", "decision", "note")[number % 3],
                tags=("old", "both") if number % 2 else ("both",),
                domains=("infra",) if number % 4 else (),
                codebase="api" if number % 5 else None,
            )
        )
    for number in range(0, COUNT - 1, 3):
        await store.links.add(Edge(key(number), key(number + 1), "related", 0.5))
    await store.links.add(Edge(key(0), key(COUNT - 1), "supports"))
    for number in (1, 4, 9):
        await store.reviews.record(key(number), Rating.GOOD)
    await store.reviews.suspend(key(2))
    await store.links.supersede(key(7), key(8))
    await store.links.supersede(key(10), key(0))
    return [key(number) for number in range(COUNT)]


async def state(store: Store) -> dict[str, Any]:
    """Return everything that the store holds about its memories, without the log and the numbers of its rows."""
    page = await store.page(Filter(superseded=True), limit=1_000)
    vectors = await store.backend.fetch("list_embeddings_of", {"ids": [memory.id for memory in page.items]})
    return {
        "memories": {memory.id: memory for memory in page.items},
        "edges": {memory.id: await store.links.edges(memory.id) for memory in page.items},
        "marks": {memory.id: await store.reviews.marks(memory.id) for memory in page.items},
        "ratings": {memory.id: [each.rating for each in await store.reviews.log(memory.id)] for memory in page.items},
        "vectors": {
            str(row["memory_id"]): bytes(row["embedding"])
            if isinstance(row["embedding"], bytes)
            else str(row["embedding"])
            for row in vectors
        },
    }


async def entries_of(store: Store) -> Sequence[JournalLine]:
    return (await store.journal.page(limit=500)).items


OPERATIONS: dict[str, tuple[Callable[[], Operation], Filter, int]] = {
    "tag": (lambda: TagEdit(("two words", "a, b"), ("old",)), Filter(superseded=True), COUNT),
    "remove a tag": (lambda: TagEdit(remove=("old",)), Filter(superseded=True), COUNT // 2),
    "fields": (
        lambda: FieldEdit(Patch(node_type="note", domains=("one", "two"), codebase="")),
        Filter(superseded=True),
        COUNT,
    ),
    "domains alone": (lambda: FieldEdit(Patch(domains=("infra",))), Filter(superseded=True), 6),
    "delete": (Deletion, Filter(tags=("both",)), COUNT - 2),
    "replace": (lambda: Replacement(key(5)), Filter(node_types=("fact", "decision")), 14),
    "suspend": (lambda: MarkEdit("suspend"), Filter(), COUNT - 3),
    "bury": (lambda: MarkEdit("bury"), Filter(), COUNT - 2),
    "resume": (lambda: MarkEdit("resume"), Filter(), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.usefixtures("sizes")
@pytest.mark.sampled("name", "backend")
async def test_a_change_of_many_is_one_entry_and_its_undo_restores_every_row(
    store: Store, name: str, clock: Clock
) -> None:
    await filled(store)
    # A trigger sets the edit time of the server for an edit that leaves it as it is.
    clock.advance(minutes=1)
    operation, criteria, count = OPERATIONS[name]
    before, entries = await state(store), len(await entries_of(store))
    preview = await store.bulk.preview(Target(filter=criteria), operation())
    assert len(preview.ids) == sum(preview.types.values()) == count
    assert await state(store) == before
    change = await store.bulk.apply(preview)
    assert (change.changed, change.undo is None) == (preview.ids, False)
    after = await state(store)
    assert after != before
    listed = await entries_of(store)
    assert len(listed) == entries + 1
    assert (listed[0].verb, set(listed[0].ids)) == (preview.operation.verb, set(preview.ids))
    # Only those of the preview are others than before.
    rest = before["memories"].keys() - set(preview.ids)
    if name != "delete":
        assert all(after["memories"][each] == before["memories"][each] for each in rest)
    undone = await store.journal.undo()
    assert set(undone.changed) == set(preview.ids)
    assert await state(store) == before
    redone = await store.journal.redo()
    assert set(redone.changed) == set(preview.ids)
    assert await state(store) == after
    await store.journal.undo()
    assert await state(store) == before
    with pytest.raises(Conflict):
        await store.journal.undo(change.undo)


@pytest.mark.usefixtures("sizes")
async def test_what_stays_as_it_is_is_left_out_with_a_reason(store: Store) -> None:
    ids = await filled(store)
    preview = await store.bulk.preview(Target((*ids, key(77), ids[0])), TagEdit(("old",)))
    assert (len(preview.ids), preview.missing) == (12, 1)
    assert [(each.reason, len(each.ids)) for each in preview.left_out] == [("it is already so", 11)]
    await store.links.supersede(key(5), key(6))
    preview = await store.bulk.preview(Target(tuple(ids)), Replacement(key(5)))
    reasons = {each.reason: each.ids for each in preview.left_out}
    assert reasons == {
        "it is the memory that replaces the others": (key(5),),
        "it replaces the new memory itself": (key(6),),
    }
    assert preview.winner is not None
    assert preview.winner.id == key(5)
    await store.bulk.apply(preview)
    assert {(await store.get(each)).superseded_by for each in preview.ids} == {key(5)}
    again = await store.bulk.preview(Target(tuple(ids)), Replacement(key(5)))
    assert again.ids == ()
    assert await store.bulk.apply(again) == Change(())


@pytest.mark.usefixtures("sizes")
async def test_a_preview_of_a_delete_counts_each_loss_once(store: Store) -> None:
    ids = await filled(store)
    whole = await store.bulk.preview(Target(tuple(ids)), Deletion())
    assert (whole.edges, whole.reviews, whole.resurrected_count) == (9, 3, 0)
    part = await store.bulk.preview(Target((key(8), key(0))), Deletion())
    assert [memory.id for memory in part.resurrected] == [key(7), key(10)]
    assert (part.edges, part.resurrected_count) == (2, 2)


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_memory_changed_meanwhile_refuses_the_whole_change(store: Store, name: str, clock: Clock) -> None:
    await filled(store)
    operation, criteria, _ = OPERATIONS[name]
    preview = await store.bulk.preview(Target(filter=criteria), operation())
    clock.advance(seconds=5)
    await store.update(preview.ids[-1], Patch(tags=("changed", "meanwhile")))
    before, entries = await state(store), len(await entries_of(store))
    with pytest.raises(Conflict, match="changed elsewhere meanwhile; nothing was saved"):
        await store.bulk.apply(preview)
    assert await state(store) == before
    assert len(await entries_of(store)) == entries
    await store.delete([preview.ids[0]])
    with pytest.raises(Conflict):
        await store.bulk.apply(preview)


async def test_values_that_no_memory_can_have_are_refused_before_anything_is_written(store: Store) -> None:
    await filled(store)
    everything = Target(filter=Filter())
    for operation in (
        TagEdit(("t" * 256,)),
        FieldEdit(Patch(node_type="t" * 256)),
        FieldEdit(Patch(visibility="secret")),
        FieldEdit(Patch(content="one text for all")),
    ):
        with pytest.raises(Usage):
            await store.bulk.preview(everything, operation)
    with pytest.raises(NotFound):
        await store.bulk.preview(everything, Replacement(key(99)))


async def test_the_statements_of_a_change_grow_with_its_batches_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.memories.insert_many([Draft(f"Memory {n}.", id=key(n)) for n in range(60)], embed=False)
    monkeypatch.setattr(bulk, "BATCH_ROWS", 20)
    asked = 0

    def count(name: str) -> None:
        nonlocal asked
        asked += 1

    preview = await store.bulk.preview(Target(filter=Filter()), Deletion())
    original = store.backend.write

    def counting() -> Any:
        return _Counting(original(), count)

    monkeypatch.setattr(store.backend, "write", counting)
    await store.bulk.apply(preview)
    batches, per_batch = 3, 10
    assert asked <= batches * per_batch


class _Counting:
    """A write whose statements are counted."""

    def __init__(self, write: Any, count: Callable[[str], None]) -> None:
        self._write, self._count = write, count
        self._transaction: Any = None

    async def __aenter__(self) -> _Counting:
        self._transaction = await self._write.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> Any:
        return await self._write.__aexit__(*exc)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transaction, name)

        async def counted(block: str, *arguments: Any) -> Any:
            self._count(block)
            return await method(block, *arguments)

        return counted


async def test_the_preview_of_a_deletion_in_a_chain_names_the_memory_beside_which_a_replaced_one_returns(
    store: Store,
) -> None:
    first, middle, later, head = [(await store.insert(Draft(f"Version {n}."))).changed[0] for n in range(4)]
    for old, new in ((first, middle), (middle, later), (later, head)):
        await store.links.supersede(old, new)
    preview = await store.bulk.preview(Target((middle,)), Deletion())
    assert {each: memory.id for each, memory in preview.beside.items()} == {first: later}
    both = await store.bulk.preview(Target((middle, later)), Deletion())
    assert {each: memory.id for each, memory in both.beside.items()} == {first: head}
    [note] = beside_notes(both, "r")
    assert note.startswith('"Version 0." is then active beside "Version 3."')
    assert note.endswith("; r keeps it replaced, by that one.")
    last = await store.bulk.preview(Target((head,)), Deletion())
    assert [memory.id for memory in last.resurrected] == [later]
    assert (last.beside, beside_notes(last, "r")) == ({}, [])
    whole = await store.bulk.preview(Target((first, middle, later, head)), Deletion())
    assert (whole.resurrected, whole.beside) == ((), {})


async def chain(store: Store) -> tuple[str, str, str, str]:
    """Three memories that replace each other in turn, and another one that the middle one replaces too."""
    first, middle, last, other = [(await store.insert(Draft(f"Version {n}."))).changed[0] for n in range(4)]
    for old, new in ((first, middle), (other, middle), (middle, last)):
        await store.links.supersede(old, new)
    return first, middle, last, other


async def winners(store: Store, ids: Sequence[str]) -> dict[str, str | None]:
    return {memory.id: memory.superseded_by for memory in await store.memories.get_many(ids)}


async def test_a_deletion_can_keep_what_the_memory_replaced_replaced_by_its_successor(store: Store) -> None:
    first, middle, last, other = ids = await chain(store)
    before = await winners(store, ids)
    plain = await store.bulk.preview(Target((middle,)), Deletion())
    assert (plain.resurrected_count, plain.beside_count, plain.followed_count) == (2, 2, 0)
    preview = await store.bulk.preview(Target((middle,)), Deletion(keep_replaced=True))
    assert (preview.resurrected_count, preview.beside_count, preview.followed_count) == (0, 0, 2)
    assert {memory.id for memory in preview.followed} == {first, other}
    assert keeping_replaced(plain) == preview
    entries = len(await store.journal.entries())
    change = await store.bulk.apply(preview)
    assert len(await store.journal.entries()) == entries + 1
    assert await winners(store, ids) == {first: last, other: last, last: None}
    for _ in range(2):
        await store.journal.undo(change.undo)
        assert await winners(store, ids) == before
        await store.journal.redo()
        assert await winners(store, ids) == {first: last, other: last, last: None}
    await store.links.unsupersede(other)
    await store.journal.undo(change.undo)
    assert await winners(store, ids) == {**before, other: None}


async def test_of_a_whole_chain_that_is_deleted_nothing_is_kept_replaced(store: Store) -> None:
    first, middle, last, other = ids = await chain(store)
    preview = await store.bulk.preview(Target((middle, last)), Deletion(keep_replaced=True))
    assert (preview.resurrected_count, preview.followed_count) == (2, 0)
    await store.bulk.apply(preview)
    assert await winners(store, ids) == {first: None, other: None}


async def test_a_chain_that_has_changed_since_the_preview_is_not_pointed(store: Store) -> None:
    ids = await chain(store)
    first, middle, *_ = ids
    preview = await store.bulk.preview(Target((middle,)), Deletion(keep_replaced=True))
    await store.links.unsupersede(first)
    with pytest.raises(Conflict, match="What these memories replace has changed meanwhile"):
        await store.bulk.apply(preview)
    assert set(await winners(store, ids)) == set(ids)
