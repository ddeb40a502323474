"""The days of reviews: their bounds where a clock change takes midnight away, and with a start of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time

import pytest

from tests.support.clock import Clock
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.core.scheduling import Policy, forecast
from vestige_tui.core.times import LocalDays
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

EVENINGS = {
    "America/Santiago": (datetime(2026, 9, 6, 1, tzinfo=UTC), datetime(2026, 9, 6, 4, tzinfo=UTC)),
    "Asia/Beirut": (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 3, 28, 22, tzinfo=UTC)),
    "Africa/Cairo": (datetime(2026, 4, 23, 20, tzinfo=UTC), datetime(2026, 4, 23, 22, tzinfo=UTC)),
    "America/Havana": (datetime(2025, 11, 2, 2, tzinfo=UTC), datetime(2025, 11, 2, 4, tzinfo=UTC)),
}
"""By zone: the evening before a midnight that a clock change skips or repeats, and the end of that day."""


@pytest.fixture(params=EVENINGS)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield str(request.param)
    monkeypatch.undo()
    time.tzset()


def due_at(moment: datetime) -> Scheduling:
    return Scheduling(20.0, 5.0, 1.0, moment - timedelta(days=20), moment, 3, 0)


async def test_the_last_hour_of_a_day_belongs_to_it(store: Store, clock: Clock, zone: str) -> None:
    clock.moment, end = EVENINGS[zone]
    ids = [
        (await store.insert(Draft(text, scheduling=due_at(moment)), embed=False)).changed[0]
        for text, moment in (("last", end - timedelta(minutes=1)), ("next", end))
    ]
    counts = await store.reviews.queue_counts()
    assert (counts.overdue, counts.today, counts.week) == (0, 1, 1)
    assert [memory.id for memory in await store.reviews.due()] == ids[:1]
    assert forecast(await store.reviews.due_times(30), clock())[:2] == [1, 1]
    await store.reviews.bury(ids[0])
    assert (await store.reviews.marks(ids[0])).buried_until == end
    assert (await store.reviews.queue_counts()).due == 0
    clock.moment = end
    assert (await store.reviews.queue_counts()).due == 2


async def test_a_day_that_starts_at_four(store_url: str, clock: Clock) -> None:
    policy = Policy(new_per_day=1, days=LocalDays(clock_time(4)))
    night = datetime(2026, 6, 15, 23, tzinfo=UTC).astimezone()
    clock.moment = night.replace(hour=23, minute=0).astimezone(UTC)
    start = policy.days.bound(clock(), 1)
    async with open_store(store_url, create=True, policy=policy, clock=clock) as store:
        [due, *_] = (
            await store.insert(Draft("due at three", scheduling=due_at(start - timedelta(hours=1))), embed=False)
        ).changed
        await store.insert(Draft("due at five", scheduling=due_at(start + timedelta(hours=1))), embed=False)
        [new, *_] = (await store.insert(Draft("new"), embed=False)).changed
        await store.insert(Draft("newer"), embed=False)
        assert (await store.reviews.queue_counts()).due == 1
        await store.reviews.record(new, Rating.GOOD)
        clock.moment = start - timedelta(minutes=1)
        counts = await store.reviews.queue_counts()
        assert (counts.overdue, counts.today, counts.new, counts.new_today) == (0, 1, 1, 0)
        await store.reviews.bury(due)
        assert (await store.reviews.queue_counts()).due == 0
        clock.moment = start
        counts = await store.reviews.queue_counts()
        assert (counts.overdue, counts.today, counts.new_today) == (1, 1, 1)
        assert forecast(await store.reviews.due_times(30), clock(), days=policy.days)[0] == 2
