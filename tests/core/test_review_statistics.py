"""Statistics of grades: reviews by local day, and true retention by type, tag and age."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from vestige_tui.core.review_statistics import (
    NO_TAGS,
    OLDEST,
    GradeInForce,
    TrueRetention,
    age_of,
    review_statistics,
    weeks,
)
from vestige_tui.core.reviews import Rating
from vestige_tui.core.times import LocalDays

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAYS = LocalDays(time(4), ZoneInfo("Europe/Berlin"))


def grade(at: datetime, rating: Rating = Rating.GOOD, *, first: bool = False, **fields: object) -> GradeInForce:
    return GradeInForce("m", at, rating, first, **fields)  # type: ignore[arg-type]


def test_reviews_are_counted_by_local_day() -> None:
    # 4 o'clock in Berlin is 2 o'clock in UTC: what comes before belongs to the day before.
    moments = [datetime(2026, 6, 15, 1, 59, tzinfo=UTC), datetime(2026, 6, 15, 2, tzinfo=UTC), NOW]
    outside = [NOW - timedelta(days=3), NOW + timedelta(days=1)]
    statistics = review_statistics([grade(at) for at in (*moments, *outside)], NOW, 3, DAYS)
    assert statistics.days == ((date(2026, 6, 13), 0), (date(2026, 6, 14), 1), (date(2026, 6, 15), 2))
    assert statistics.total == 3


def test_a_first_review_is_no_test_of_memory() -> None:
    statistics = review_statistics([grade(NOW, Rating.AGAIN, first=True)], NOW, 1, DAYS)
    assert (statistics.total, statistics.retention.share) == (1, None)
    assert statistics.by_type == statistics.by_tag == statistics.by_age == ()


def test_true_retention_is_grouped_by_type_tag_and_age() -> None:
    young, old = NOW - timedelta(days=1), NOW - timedelta(days=400)
    statistics = review_statistics(
        [
            grade(NOW, node_type="fact", tags=("a", "b", "a"), created_at=young),
            grade(NOW, Rating.AGAIN, node_type="fact", tags=("a",), created_at=old),
            grade(NOW, Rating.HARD, node_type="code", created_at=old),
        ],
        NOW,
        1,
        DAYS,
    )
    assert statistics.retention == TrueRetention("", 3, 2)
    assert statistics.by_type == (TrueRetention("fact", 2, 1), TrueRetention("code", 1, 1))
    assert statistics.by_tag == (TrueRetention("a", 2, 1), TrueRetention(NO_TAGS, 1, 1), TrueRetention("b", 1, 1))
    assert statistics.by_age == (TrueRetention("up to 1 week", 1, 1), TrueRetention(OLDEST, 2, 1))


@pytest.mark.parametrize(
    ("age", "name"),
    [
        (timedelta(days=-1), "up to 1 week"),
        (timedelta(days=7), "up to 1 month"),
        (timedelta(days=30), "up to 3 months"),
        (timedelta(days=91), "up to 1 year"),
        (timedelta(days=365), OLDEST),
    ],
)
def test_the_age_is_that_at_the_review(age: timedelta, name: str) -> None:
    assert age_of(grade(NOW, created_at=NOW - age)) == name


def test_a_memory_without_a_creation_time_counts_as_old() -> None:
    assert age_of(grade(NOW)) == OLDEST


def test_days_are_put_into_weeks_from_monday_on() -> None:
    friday = date(2026, 6, 12)
    days = [(friday + timedelta(days=offset), offset) for offset in range(5)]
    assert weeks(days) == [(date(2026, 6, 8), {4: 0, 5: 1, 6: 2}), (date(2026, 6, 15), {0: 3, 1: 4})]
