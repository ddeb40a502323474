"""The store at past moments: which memories there were, and what differs between two moments."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.clock import Clock
from tests.support.history_model import (
    FUTURE,
    HISTORIES,
    LAST_STEP,
    HistoryModel,
    Step,
    at,
    new_ids,
    shown,
    take_step,
    write_memories,
)
from vestige_tui.core.bulk import Deletion, Target
from vestige_tui.core.errors import NotFound, ReadOnly, Usage
from vestige_tui.core.filter_match import leaves_untold, passes
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import LOCAL_USER, Draft, Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store import history
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

MOMENTS = [at(0) - timedelta(microseconds=1), *map(at, range(LAST_STEP + 1)), at(3) + timedelta(microseconds=1), FUTURE]


async def add(store: Store, content: str, **fields: object) -> str:
    return (await store.insert(Draft(content, **fields))).changed[0]  # type: ignore[arg-type]  # fields of any kind


# Random histories


@pytest.mark.slow
def test_any_history_is_answered_as_the_model_does_on_both_databases(tmp_path: Path, postgres_database: str) -> None:
    urls = [f"sqlite:{tmp_path / 'store.db'}", postgres_database]

    @settings(
        max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(HISTORIES)
    def check(history: tuple[list[int], list[Step]]) -> None:
        asyncio.run(_check_history(urls, *history))

    check()


async def _check_history(urls: list[str], times: list[int], steps: list[Step]) -> None:
    ids = new_ids()
    for url in urls:
        clock, embedders = Clock(at(0)), EmbedderSource(embedder=TestEmbedder(8))
        async with open_store(url, create=True, embedders=embedders, clock=clock) as store:
            model = HistoryModel(created=dict(zip(ids, map(at, times), strict=True)))
            await write_memories(store, clock, ids, times, ids[0])
            for step in steps:
                await take_step(store, clock, model, step, ids)
            await _check_moments(store, model, ids)
        embedders.close()


async def _check_moments(store: Store, model: HistoryModel, ids: list[str]) -> None:
    tagged = Filter(tags=(ids[0],))
    for moment in MOMENTS:
        assert await shown(store, moment, ids[0]) == model.shown(moment)
        view = store.at(moment)
        existing = [each for each, created in model.created.items() if created <= moment]
        assert {memory.id for memory in (await view.page(tagged)).items} == model.shown(moment)
        assert await view.memories.count(dataclasses.replace(tagged, superseded=True)) == len(existing)
        assert {memory.id: memory.superseded_by for memory in await view.memories.get_many(ids)} == {
            each: model.winner(each, moment) for each in existing
        }
    for start, end in itertools.combinations(MOMENTS[::3], 2):
        difference = await store.history.difference(start, end, tagged)
        appeared, again = {each.id for each in difference.appeared}, {d.memory.id for d in difference.active_again}
        before, after = model.shown(start), model.shown(end)
        assert appeared | again == after - before
        assert all(model.created[each] > start for each in appeared)
        assert not any(model.created[each] > start for each in again)
        assert {each.memory.id for each in difference.superseded} == before - after
        gone = {each for each, deleted in model.deleted.items() if start < deleted <= end}
        assert {each.id for each in difference.deleted} & set(ids) == gone


# Single cases


async def test_a_moment_includes_its_own_time(store: Store, clock: Clock) -> None:
    created = clock()
    old, new = await add(store, "Old."), await add(store, "New.")
    clock.advance(days=1)
    await store.links.supersede(old, new)
    decided, instant = clock(), timedelta(microseconds=1)

    async def ids(moment: datetime) -> set[str]:
        return {memory.id for memory in await store.history.recall_as_of(moment)}

    assert await ids(created - instant) == set()
    assert await ids(created) == {old, new} == await ids(decided - instant)
    assert await ids(decided) == {new} == await ids(FUTURE)


async def test_a_search_at_a_moment_finds_what_there_was(store: Store, clock: Clock) -> None:
    old = await add(store, "The harbour opens at six.")
    clock.advance(days=1)
    new = await add(store, "The harbour opens at five.")
    clock.advance(days=1)
    await store.links.supersede(old, new)
    for mode in ("hybrid", "text", "literal"):
        for days, expected in ((3, set()), (1.5, {old}), (0.5, {old, new}), (0, {new})):
            query = SearchQuery("harbour", mode=mode, as_of=clock() - timedelta(days=days))
            answer = await store.search(query)
            assert {hit.memory.id for hit in answer} == expected, (mode, days)
    query = SearchQuery("harbour", as_of=clock() - timedelta(hours=1))
    assert {hit.memory.superseded_by for hit in await store.search(query)} == {None}
    replaced = dataclasses.replace(query, as_of=clock(), superseded=True)
    assert {hit.memory.id: hit.memory.superseded_by for hit in await store.search(replaced)} == {old: new, new: None}
    assert [hit.memory.id for hit in await store.at(clock()).search(SearchQuery("harbour"))] == [new]


async def test_a_replaced_memory_stays_replaced_in_the_window_of_a_deleted_winner(store: Store, clock: Clock) -> None:
    old, middle, new = [await add(store, f"Version {number}.") for number in range(3)]
    clock.advance(days=1)
    await store.links.supersede(old, middle)
    in_between = clock() + timedelta(hours=1)
    clock.advance(days=1)
    await store.links.supersede(old, new)
    await store.delete([middle])
    assert {memory.id for memory in await store.history.recall_as_of(in_between)} == {new}
    [then] = await store.at(in_between).memories.get_many([old])
    assert then.superseded_by == middle


async def test_nothing_is_written_at_a_past_moment(store: Store, clock: Clock) -> None:
    memory = await add(store, "Kept.")
    view = store.at(clock())
    assert view.read_only
    assert view.moment == clock()
    assert not store.read_only
    assert "as of 2026-06-15 12:00" in view.read_only_reason
    other = await add(store, "Other.")
    for write in (
        view.insert(Draft("New.")),
        view.update(memory, Patch(content="Changed.")),
        view.delete([memory]),
        view.memories.tag([memory], ["x"]),
        view.links.add(Edge(memory, other)),
        view.links.supersede(memory, other),
        view.links.unsupersede(memory),
        view.reviews.record(memory, Rating.GOOD),
        view.reviews.suspend(memory),
        view.journal.undo(),
        view.models.fill(),
    ):
        with pytest.raises(ReadOnly):
            await write
    assert (await store.get(memory)).content == "Kept."


async def test_a_memory_of_later_does_not_exist_yet(store: Store, clock: Clock) -> None:
    first = await add(store, "First.")
    moment = clock()
    clock.advance(days=1)
    later = await add(store, "Later.")
    await store.links.add(Edge(first, later))
    view = store.at(moment)
    with pytest.raises(NotFound, match="did not exist yet at 2026-06-15 12:00"):
        await view.get(later)
    assert await view.links.edges(first) == () == await view.links.neighbors(first)
    assert len(await store.links.neighbors(first)) == 1


async def test_recall_is_that_of_the_moment(store: Store, clock: Clock) -> None:
    memory, other = await add(store, "Reviewed."), await add(store, "Never reviewed.")
    clock.advance(days=1)
    await store.reviews.record(memory, Rating.GOOD)
    first = await store.reviews.scheduling(memory)
    between = clock() + timedelta(days=4)
    clock.advance(days=40)
    await store.reviews.record(memory, Rating.EASY)
    assert await store.reviews.scheduling(memory) != first
    assert (await store.at(between).get(memory)).scheduling == first
    assert (await store.at(at(0)).memories.get_many([memory])) == ()
    assert (await store.at(between - timedelta(days=4, hours=1)).get(memory)).scheduling is None
    assert (await store.at(FUTURE).get(memory)).scheduling == await store.reviews.scheduling(memory)
    assert len(await store.at(between).reviews.log(memory)) == 1
    for share, expected in ((0.5, {memory}), (0.99, set())):
        page = await store.at(between).page(Filter(min_retrievability=share))
        assert {each.id for each in page.items} == expected
    await store.journal.undo()
    assert (await store.at(between).get(memory)).scheduling == first
    assert (await store.get(other)).scheduling is None


async def test_a_list_sorted_by_recall_has_the_recalls_of_the_moment(store: Store, clock: Clock) -> None:
    ids = [await add(store, f"Memory {number}.") for number in range(6)]
    for number, rating in ((0, Rating.EASY), (1, Rating.HARD), (2, Rating.GOOD), (3, Rating.AGAIN)):
        clock.advance(days=3)
        await store.reviews.record(ids[number], rating)
    moment = clock() + timedelta(days=10)
    clock.advance(days=30)
    for number in (0, 3, 4):
        await store.reviews.record(ids[number], Rating.GOOD)
    view = store.at(moment)
    memories = (await view.page(sort="recall")).items
    assert {memory.id for memory in memories[4:]} == {ids[4], ids[5]}
    recalls = [retrievability(memory.scheduling, moment) for memory in memories[:4] if memory.scheduling]
    assert None not in recalls
    assert recalls == sorted(recalls, key=lambda recall: recall or 0)
    assert await view.memories.count_last(sort="recall") == 2
    pages, after = [], None
    while True:
        page = await view.page(sort="recall", limit=2, after=after)
        pages += [memory.id for memory in page.items]
        after = page.next
        if after is None:
            break
    assert pages == [memory.id for memory in memories]
    assert [await view.memories.position(each, sort="recall") for each in pages] == list(range(6))


async def test_steps_go_from_decision_to_decision(store: Store, clock: Clock) -> None:
    a, b, c = [await add(store, f"Version {number}.") for number in range(3)]
    times = []
    for old, new in ((a, b), (b, c)):
        clock.advance(days=1)
        await store.links.supersede(old, new)
        times.append(clock())
    last = await store.history.decision_before(FUTURE)
    assert last is not None
    assert (last.loser_id, last.decided_at) == (b, times[1])
    first = await store.history.decision_before(last.decided_at)
    assert first is not None
    assert (first.loser_id, first.decided_at) == (a, times[0])
    assert await store.history.decision_before(first.decided_at) is None
    assert await store.history.decision_after(first.decided_at) == last
    assert await store.history.decision_after(last.decided_at) is None


async def test_an_edit_after_the_moment_is_known(store: Store, clock: Clock) -> None:
    edited, tagged, undone, restored = [await add(store, f"Text {number}.") for number in range(4)]
    await store.update(restored, Patch(content="Another text."))
    moment = clock()
    clock.advance(hours=1)
    await store.update(edited, Patch(content="Changed."))
    await store.memories.tag([tagged], ["x"])
    change = await store.update(undone, Patch(content="Changed for a while."))
    clock.advance(hours=1)
    await store.journal.undo(change.undo)
    clock.advance(hours=1)
    [first] = [line for line in await store.journal.entries() if line.verb == "edit" and line.ids == (restored,)]
    await store.journal.undo(first.id)
    memories = await store.memories.get_many([edited, tagged, undone, restored])
    stale = [dataclasses.replace(memory, updated_at=None) for memory in memories]
    assert await store.history.edited_since(stale, moment) == {
        edited: moment + timedelta(hours=1),
        restored: clock(),
    }
    assert await store.history.edited_since(stale, clock()) == {}


async def test_the_difference_names_decisions_and_keeps_the_deleted_text(store: Store, clock: Clock) -> None:
    old, back, winner = [await add(store, f"Memory {name}.") for name in ("old", "back", "winner")]
    await store.links.supersede(back, winner)
    start = clock()
    clock.advance(days=1)
    new = await add(store, "Memory new.")
    await store.links.supersede(old, new)
    await store.links.unsupersede(back)
    gone = [await add(store, f"Gone {number}.", tags=("t",)) for number in range(3)]
    await store.delete(gone[:1])
    await store.bulk.apply(await store.bulk.preview(Target(tuple(gone[1:2])), Deletion()))
    undone = await store.delete(gone[2:])
    await store.journal.undo(undone.undo)
    difference = await store.history.difference(start, clock())
    assert {memory.id for memory in difference.appeared} == {new, gone[2]}
    [superseded], [again] = difference.superseded, difference.active_again
    assert superseded.memory.id == old
    assert superseded.decision is not None
    assert superseded.decision.winner_id == new == superseded.memory.superseded_by
    assert again.memory.id == back
    assert again.decision is not None
    assert again.decision.kind == "unsupersede"
    assert [each.id for each in difference.deleted] == gone[1::-1]
    assert dataclasses.astuple(difference.counts) == (2, 1, 1, 2)
    deleted = difference.deleted[0]
    assert (deleted.content, deleted.tags, deleted.deleted_at) == ("Gone 1.", ("t",), clock())
    memory = await store.history.deleted_memory(deleted.entry, deleted.id)
    assert (memory.content, memory.tags, memory.node_type) == ("Gone 1.", ("t",), "fact")
    with pytest.raises(NotFound):
        await store.history.deleted_memory(deleted.entry, old)
    with pytest.raises(Usage, match="exchange"):
        await store.history.difference(clock(), start)


async def test_lineage_at_a_moment_is_that_of_the_decisions_up_to_it(store: Store, clock: Clock) -> None:
    a, b, c = [await add(store, f"Version {number}.") for number in range(3)]
    clock.advance(days=1)
    await store.links.supersede(a, b)
    first = clock()
    clock.advance(days=1)
    await store.links.supersede(b, c)
    now, then = await store.links.lineage(a), await store.at(first).links.lineage(a)
    assert now.memory.id == c
    assert [each.memory.id for each in now.replaces] == [b]
    assert then.memory.id == b
    assert [each.memory.id for each in then.replaces] == [a]
    assert len(await store.at(first).links.history(b)) == 1 < len(await store.links.history(b))


async def test_a_cycle_of_an_older_program_is_answered(store: Store, clock: Clock) -> None:
    a, b = await add(store, "A."), await add(store, "B.")
    async with store.backend.write() as transaction:
        for loser, winner in ((a, b), (b, a)):
            params = {"loser_id": loser, "winner_id": winner, "kind": "imported", "decided_at": clock()}
            await transaction.fetch("insert_event", params)
    assert await store.history.recall_as_of(clock()) == ()
    lineage = await store.at(clock()).links.lineage(a)
    assert {lineage.memory.id, *(each.memory.id for each in lineage.replaces)} == {a, b}


async def test_events_of_an_import_are_late(store: Store, clock: Clock) -> None:
    a, b, c = [
        await add(store, f"Version {number}.", created_at=datetime(2026, 1, 1, tzinfo=UTC)) for number in range(3)
    ]
    await store.links.supersede(a, c)
    early = datetime(2026, 2, 1, tzinfo=UTC)
    await store.links.restore_events([SupersessionEvent(0, a, b, "supersede", early)])
    assert (await store.get(a)).superseded_by == c
    assert (await store.at(early).get(a)).superseded_by == b


async def reviewed_memories(store: Store, clock: Clock) -> tuple[list[str], datetime]:
    """Six memories, four of them reviewed by the moment that is returned, two of these and another one after it."""
    ids = [await add(store, f"Memory {number}.") for number in range(6)]
    for number, rating in ((0, Rating.AGAIN), (1, Rating.HARD), (2, Rating.GOOD), (3, Rating.EASY)):
        clock.advance(hours=3)
        await store.reviews.record(ids[number], rating)
    moment = clock() + timedelta(days=4)
    clock.advance(days=30)
    for number in (0, 3, 4):
        await store.reviews.record(ids[number], Rating.EASY)
    return ids, moment


async def test_what_was_due_at_a_moment_follows_from_the_reviews_up_to_it(store: Store, clock: Clock) -> None:
    ids, moment = await reviewed_memories(store, clock)
    view = store.at(moment)
    memories = {memory.id: memory for memory in await view.memories.get_many(ids)}
    bound = store.policy.days.bound(moment, 1)
    then = {each: memory.scheduling.next_review for each, memory in memories.items() if memory.scheduling}
    due = {each for each, at_time in then.items() if at_time is not None and at_time < bound}
    assert ids[0] in due
    assert 0 < len(due) < len(then) == 4

    async def passing(**chosen: object) -> set[str]:
        return {memory.id for memory in (await view.page(Filter(**chosen))).items}  # type: ignore[arg-type]  # states

    assert await passing(states=("due",)) == due == {memory.id for memory in await view.reviews.due()}
    assert await passing(no_states=("due",)) == set(ids) - due
    assert await passing(states=("new",)) == set(ids) - set(then) == {memory.id for memory in await view.reviews.new()}
    assert await passing(no_states=("new",)) == set(then)
    counts = await view.reviews.queue_counts()
    assert (counts.overdue + counts.today, counts.new, counts.new_today) == (len(due), 2, 0)
    assert set(await view.reviews.due_times(60)) == set(then.values())
    hits = await view.search(SearchQuery("memory", mode="text", states=("due",)))
    assert {hit.memory.id for hit in hits} == due
    await store.reviews.suspend(ids[0])
    assert await passing(states=("due",)) == due - {ids[0]}
    await store.journal.undo()
    await store.reviews.undo(ids[0])
    assert await passing(states=("due",)) == due


async def test_a_list_sorted_by_due_date_has_the_dates_of_the_moment(store: Store, clock: Clock) -> None:
    ids, moment = await reviewed_memories(store, clock)
    view = store.at(moment)
    memories = (await view.page(sort="due")).items
    dates = [memory.scheduling.next_review for memory in memories[:4] if memory.scheduling]
    assert dates == sorted(date for date in dates if date is not None)
    assert {memory.id for memory in memories[4:]} == {ids[4], ids[5]}
    assert await view.memories.count_last(sort="due") == 2
    pages, after = [], None
    while True:
        page = await view.page(sort="due", limit=2, after=after)
        pages += [memory.id for memory in page.items]
        after = page.next
        if after is None:
            break
    assert pages == [memory.id for memory in memories]
    assert [await view.memories.position(each, sort="due") for each in pages] == list(range(6))


def label_filters(clock: Clock) -> list[Filter]:
    return [
        Filter(domains=("auth",)),
        Filter(all_domains=("auth", "api")),
        Filter(no_domains=("auth",), tags=("b", "c")),
        Filter(all_tags=("a", "b")),
        Filter(no_tags=("a",)),
        Filter(node_types=("note", "fact")),
        Filter(all_node_types=("note",), no_codebases=("cli",)),
        Filter(codebases=("web",)),
        Filter(all_codebases=("web", "cli")),
        Filter(no_node_types=("note",)),
        Filter(owner=LOCAL_USER, visibilities=("public",)),
        Filter(no_owners=(LOCAL_USER,)),
        Filter(no_visibilities=("public",)),
        Filter(since=clock() - timedelta(hours=3)),
        Filter(until=clock() - timedelta(hours=3)),
    ]


async def test_filters_narrow_the_deleted_memories_as_they_do_the_others(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "DELETIONS_BATCH", 5)
    start = clock()
    for number in range(12):
        clock.advance(hours=1)
        await add(
            store,
            f"Memory {number}.",
            node_type=("note", "fact", "decision")[number % 3],
            domains=(("auth", "api"), ("auth",), ())[number % 3],
            tags=(("a", "b"), ("c",), ("a",), ())[number % 4],
            codebase=("web", "cli", None)[number % 3],
            visibility=("public", "private")[number % 2],
        )
    filters = label_filters(clock)
    memories = (await store.page(limit=50)).items
    expected = [[each.id for each in (await store.page(chosen)).items] for chosen in filters]
    assert [[each.id for each in memories if passes(chosen, each)] for chosen in filters] == expected
    assert [len(ids) for ids in expected].count(0) == 2
    await store.delete([memory.id for memory in memories])
    for chosen, ids in zip(filters, expected, strict=True):
        difference = await store.history.difference(start, clock(), chosen, limit=4)
        assert difference.counts.deleted == len(ids)
        assert {each.id for each in difference.deleted} <= set(ids)
        assert len(difference.deleted) == min(4, len(ids))
    stated = await store.history.difference(start, clock(), Filter(states=("due",)))
    assert stated.counts.deleted == len(memories)
    assert leaves_untold(Filter(states=("due",)))
    assert not leaves_untold(filters[0])
