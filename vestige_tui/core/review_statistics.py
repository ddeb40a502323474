"""Statistics of the review log: reviews of each day, and true retention by type, tag and age of the memory.

Pure functions of the grades in force; ``store/review_statistics.py`` reads those.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from vestige_tui.core.reviews import Rating
from vestige_tui.core.times import CALENDAR_DAYS, LocalDays

AGES: tuple[tuple[str, timedelta], ...] = (
    ("up to 1 week", timedelta(weeks=1)),
    ("up to 1 month", timedelta(days=30)),
    ("up to 3 months", timedelta(days=91)),
    ("up to 1 year", timedelta(days=365)),
)
"""Names of the ages of a memory at its review, each with the age at which it ends."""
OLDEST = "over 1 year"
NO_TAGS = ""
"""Name of the group of memories without a tag."""


@dataclass(frozen=True, slots=True)
class GradeInForce:
    """Grade in force, with the fields that statistics group by. ``first`` is True for the first review of a memory."""

    memory_id: str
    at: datetime
    rating: Rating
    first: bool
    node_type: str = "fact"
    tags: tuple[str, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrueRetention:
    """Number of reviews of memories that had been reviewed before, and of those that were not graded Again."""

    name: str
    reviews: int
    remembered: int

    @property
    def share(self) -> float | None:
        """Share of the reviews that were remembered, 0 to 1; None without any."""
        return self.remembered / self.reviews if self.reviews else None


@dataclass(frozen=True, slots=True)
class ReviewStatistics:
    """Reviews since a day: their number on each day, and the true retention of several groupings."""

    days: tuple[tuple[date, int], ...]
    """Every day of the span, oldest first, with its number of reviews."""
    retention: TrueRetention
    by_type: tuple[TrueRetention, ...] = ()
    by_tag: tuple[TrueRetention, ...] = ()
    by_age: tuple[TrueRetention, ...] = ()
    has_log: bool = True
    """False for a file whose log this console does not keep: one of a Vestige server that is not adopted."""

    @property
    def total(self) -> int:
        """Number of reviews."""
        return sum(count for _, count in self.days)


@dataclass(slots=True)
class _Groups:
    """Counters of reviews by the name of a group."""

    reviews: dict[str, int] = field(default_factory=dict)
    remembered: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, remembered: bool) -> None:
        self.reviews[name] = self.reviews.get(name, 0) + 1
        self.remembered[name] = self.remembered.get(name, 0) + remembered

    def named(self, name: str) -> TrueRetention:
        return TrueRetention(name, self.reviews.get(name, 0), self.remembered.get(name, 0))

    def most_first(self) -> tuple[TrueRetention, ...]:
        """Return the groups, those with most reviews first."""
        return tuple(self.named(name) for name in sorted(self.reviews, key=lambda name: (-self.reviews[name], name)))


def review_statistics(
    grades: Iterable[GradeInForce], now: datetime, day_count: int, days: LocalDays = CALENDAR_DAYS
) -> ReviewStatistics:
    """Return the statistics of the last ``day_count`` local days, today included; other grades are left out."""
    starts = [days.bound(now, offset) for offset in range(1 - day_count, 1)]
    counts, end = [0] * day_count, days.bound(now, 1)
    total, types, tags, ages = _Groups(), _Groups(), _Groups(), _Groups()
    for grade in grades:
        index = bisect_right(starts, grade.at) - 1
        if index < 0 or grade.at >= end:
            continue
        counts[index] += 1
        if grade.first:
            continue
        remembered = grade.rating is not Rating.AGAIN
        total.add("", remembered)
        types.add(grade.node_type, remembered)
        ages.add(age_of(grade), remembered)
        for tag in dict.fromkeys(grade.tags) or (NO_TAGS,):
            tags.add(tag, remembered)
    today = days.of(now)
    dated = ((today - timedelta(days=day_count - 1 - index), count) for index, count in enumerate(counts))
    by_age = tuple(ages.named(name) for name in (*(name for name, _ in AGES), OLDEST) if name in ages.reviews)
    return ReviewStatistics(tuple(dated), total.named(""), types.most_first(), tags.most_first(), by_age)


def age_of(grade: GradeInForce) -> str:
    """Return the name of the age that the memory had at its review; a creation time after it counts as the youngest."""
    age = grade.at - grade.created_at if grade.created_at is not None else timedelta.max
    return next((name for name, end in AGES if age < end), OLDEST)


def weeks(days: Sequence[tuple[date, int]]) -> list[tuple[date, Mapping[int, int]]]:
    """Return the Monday of each week that the days touch, with the reviews by weekday (Monday is 0), oldest first."""
    by_week: dict[date, dict[int, int]] = {}
    for day, count in days:
        by_week.setdefault(day - timedelta(days=day.weekday()), {})[day.weekday()] = count
    return sorted(by_week.items())
