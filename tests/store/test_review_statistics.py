"""Statistics of a store beside a plain computation over every row of its review log."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

import pytest

from tests.support.clock import Clock
from tests.support.synthetic_reviews import fill
from vestige_tui.core.memories import Filter, Memory, Patch
from vestige_tui.core.review_statistics import ReviewStatistics, TrueRetention
from vestige_tui.core.reviews import Rating, Review
from vestige_tui.store.store import Store

DAYS = 9_000
Groups = Callable[[Memory, Review], Sequence[str]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_retention_by_type_tag_and_age_is_that_of_the_events(store: Store, clock: Clock, seed: int) -> None:
    chance = random.Random(seed)
    ids = await fill(store, 60, seed=seed)
    await retag(store, ids, chance)
    clock.advance(days=5_000)
    await grade_and_undo(store, clock, ids, chance)
    statistics = await store.review_statistics.of_days(DAYS)
    # Some reviews of the synthetic log are later still.
    end = store.policy.days.bound(store.now(), 1)
    events = [event async for event in grades_in_force(store, ids) if event[1].at < end]
    assert statistics.total == len(events)
    check(statistics, [event for event in events if event[1].prior.reps > 0])
    # A filter leaves the memories that pass it.
    facts = await store.review_statistics.of_days(DAYS, Filter(node_types=("fact",)))
    check(facts, [event for event in events if event[1].prior.reps > 0 and event[0].node_type == "fact"])


def check(statistics: ReviewStatistics, events: Sequence[tuple[Memory, Review]]) -> None:
    """Compare every grouping with a count of these reviews."""
    remembered = sum(event.rating > 1 for _, event in events)
    assert (statistics.retention.reviews, statistics.retention.remembered) == (len(events), remembered)
    assert as_counts(statistics.by_type) == counted(events, lambda memory, _: (memory.node_type,))
    assert as_counts(statistics.by_tag) == counted(events, lambda memory, _: tuple(set(memory.tags)) or ("",))
    assert as_counts(statistics.by_age) == counted(events, lambda memory, event: (age(memory, event),))
    assert len(statistics.by_age) > 2, "the log is too short to tell the ages apart"


def as_counts(groups: Sequence[TrueRetention]) -> dict[str, tuple[int, int]]:
    return {group.name: (group.reviews, group.remembered) for group in groups}


def counted(events: Sequence[tuple[Memory, Review]], names: Groups) -> dict[str, tuple[int, int]]:
    """Count reviews, and those not graded Again, by the names of their groups."""
    total: Counter[str] = Counter()
    remembered: Counter[str] = Counter()
    for memory, event in events:
        for name in names(memory, event):
            total[name] += 1
            remembered[name] += event.rating != 1
    return {name: (count, remembered[name]) for name, count in total.items()}


def age(memory: Memory, event: Review) -> str:
    assert memory.created_at is not None
    days = (event.at - memory.created_at) / timedelta(days=1)
    bounds = {7: "up to 1 week", 30: "up to 1 month", 91: "up to 3 months", 365: "up to 1 year"}
    return next((name for bound, name in bounds.items() if days < bound), "over 1 year")


async def grades_in_force(store: Store, ids: Sequence[str]) -> AsyncIterator[tuple[Memory, Review]]:
    """Yield the grades that no undo reversed, or that a redo restored, with their memories."""
    for memory in await store.memories.get_many(ids):
        log = {event.id: event for event in await store.reviews.log(memory.id)}
        in_force = {id: event for id, event in log.items() if event.undoes is None}
        for event in sorted(log.values(), key=lambda each: each.id):
            target = log.get(event.undoes or 0)
            if target is None:
                continue
            if target.undoes is None:
                in_force.pop(target.id, None)
            else:
                in_force[target.undoes] = log[target.undoes]
        for event in in_force.values():
            yield memory, event


async def retag(store: Store, ids: Sequence[str], chance: random.Random) -> None:
    """Give memories several tags, or none."""
    for memory_id in chance.sample(list(ids), 20):
        await store.update(memory_id, Patch(tags=tuple(chance.sample(("tag0", "keys", "auth"), chance.randrange(3)))))


async def grade_and_undo(store: Store, clock: Clock, ids: Sequence[str], chance: random.Random) -> None:
    """Grade memories, undo some of the grades, and redo some of those."""
    for memory_id in chance.sample(list(ids), 25):
        clock.advance(hours=7)
        await store.reviews.record(memory_id, chance.choice(list(Rating)))
        if chance.random() < 0.6:
            undone = await store.journal.undo()
            if chance.random() < 0.5:
                await store.journal.redo(undone.undo)
