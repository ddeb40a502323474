"""FSRS-6 scheduling as pure functions of (state, rating, now).

py-fsrs computes a review, in whole days and without learning steps or fuzz; the forgetting curve is our own, with
fractional days. Stability is in days, difficulty 1..10, retrievability 0..1, every moment timezone-aware.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vestige_tui.core.reviews import Rating, Review, Scheduling, undone_reviews
from vestige_tui.core.times import CALENDAR_DAYS, LocalDays, format_time, parse_stored

if TYPE_CHECKING:
    import fsrs

DEFAULT_WEIGHTS = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
"""The published 21 weights of FSRS-6; the last one is the decay of the forgetting curve."""

MIN_STABILITY = 0.001
"""Lower bound of the stability of a reviewed memory, in days."""
MAX_STABILITY_DAYS = 36_500.0
"""Upper bound of stability and of intervals, in days."""
MIN_DIFFICULTY = 1.0
"""Lower bound of FSRS difficulty, without a unit."""
MAX_DIFFICULTY = 10.0
"""Upper bound of FSRS difficulty."""
LEECH_LAPSES = 8
MIN_RETENTION, MAX_RETENTION = 0.5, 0.99
"""Bounds of the desired retention."""
MAX_HORIZON_FACTOR = 1e300
"""Bound of ``horizon``: finite, so that SQL can compare with it."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of scheduling: desired retention, the 21 weights of FSRS-6, new memories offered a day, and the days."""

    desired_retention: float = 0.9
    weights: tuple[float, ...] = DEFAULT_WEIGHTS
    new_per_day: int = 10
    days: LocalDays = CALENDAR_DAYS


def review(state: Scheduling | None, rating: Rating, now: datetime, policy: Policy = Policy()) -> Scheduling:
    """Return the state after a grade at ``now``. A lapse is an Again for a memory that had been reviewed before.

    The new retrievability is 1, the recall right after a review. Values out of range are clamped first; a reviewed
    memory without a last review counts as reviewed one interval before it fell due, or else before now.
    """
    import fsrs

    scheduler = _scheduler(policy)
    now = now.astimezone(UTC)
    before = clamped(state or Scheduling())
    if before.reps == 0:
        card = fsrs.Card(card_id=0, due=now)
    else:
        card = fsrs.Card(
            card_id=0,
            state=fsrs.State.Review,
            stability=before.stability,
            difficulty=before.difficulty,
            due=now,
            last_review=_last_review(before, now, policy),
        )
    after, _ = scheduler.review_card(card, fsrs.Rating(int(rating)), now)
    return Scheduling(
        stability=_between(MIN_STABILITY, after.stability, MAX_STABILITY_DAYS, DEFAULT_WEIGHTS[2]),
        difficulty=_between(MIN_DIFFICULTY, after.difficulty, MAX_DIFFICULTY, 5.0),
        retrievability=1.0,
        last_review=now,
        next_review=after.due,
        reps=before.reps + 1,
        lapses=before.lapses + (before.reps > 0 and rating == Rating.AGAIN),
    )


def preview(state: Scheduling | None, now: datetime, policy: Policy = Policy()) -> dict[Rating, Scheduling]:
    """Return the state after each possible rating."""
    return {rating: review(state, rating, now, policy) for rating in Rating}


@lru_cache(maxsize=8)
def _scheduler(policy: Policy) -> fsrs.Scheduler:
    import fsrs

    return fsrs.Scheduler(
        parameters=policy.weights,
        desired_retention=policy.desired_retention,
        learning_steps=(),
        relearning_steps=(),
        maximum_interval=int(MAX_STABILITY_DAYS),
        enable_fuzzing=False,
    )


def _last_review(state: Scheduling, now: datetime, policy: Policy) -> datetime:
    if state.last_review is not None:
        return state.last_review.astimezone(UTC)
    days = state.stability * horizon(policy.desired_retention, policy.weights)
    interval = timedelta(days=min(max(1, round(days)), MAX_STABILITY_DAYS))
    return min(state.next_review.astimezone(UTC) - interval, now) if state.next_review else now - interval


def clamped(state: Scheduling) -> Scheduling:
    """Return ``state`` with every value inside its range; NaN becomes an ordinary memory's value."""
    reviewed = state.reps > 0
    return replace(
        state,
        stability=_between(MIN_STABILITY if reviewed else 0.0, state.stability, MAX_STABILITY_DAYS, DEFAULT_WEIGHTS[2]),
        difficulty=_between(MIN_DIFFICULTY if reviewed else 0.0, state.difficulty, MAX_DIFFICULTY, 5.0),
        retrievability=_between(0.0, state.retrievability, 1.0, 1.0),
        reps=max(0, state.reps),
        lapses=max(0, state.lapses),
    )


def _between(low: float, value: float | None, high: float, default: float) -> float:
    return default if value is None or math.isnan(value) else min(max(low, value), high)


def _factor(decay: float) -> float:
    """Return the factor that makes recall 90 % after as many days as the stability."""
    return math.pow(0.9, -1 / decay) - 1


def retrievability(state: Scheduling, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> float | None:
    """Return the recall at ``now``; None for a memory never reviewed. A last review in the future gives 1."""
    if state.reps <= 0 or state.last_review is None:
        return None
    days = max(0.0, (now - state.last_review) / _DAY)
    decay = weights[20]
    return math.pow(1 + _factor(decay) * days / clamped(state).stability, -decay)


def same_schedule(one: Scheduling | None, other: Scheduling | None) -> bool:
    """Check whether two states are of the same review; the stored recall, which a server lets fade, does not count."""
    if one is None or other is None:
        return one is other
    return replace(one, retrievability=other.retrievability) == other


def horizon(min_retrievability: float, weights: Sequence[float] = DEFAULT_WEIGHTS) -> float:
    """Return the factor K for which recall is at least ``min_retrievability`` exactly while days <= stability * K.

    With it a database needs no powers. ``MAX_HORIZON_FACTOR`` if every memory qualifies, minus that if none does.
    """
    if min_retrievability > 1:
        return -MAX_HORIZON_FACTOR
    if min_retrievability <= 0:
        return MAX_HORIZON_FACTOR
    decay = weights[20]
    try:
        return min(MAX_HORIZON_FACTOR, (math.pow(min_retrievability, -1 / decay) - 1) / _factor(decay))
    except OverflowError:
        return MAX_HORIZON_FACTOR


def curve(
    state: Scheduling, start: datetime, days: float, points: int, weights: Sequence[float] = DEFAULT_WEIGHTS
) -> list[float]:
    """Return recall at ``points`` moments over ``days`` from ``start``, both ends included; empty if never reviewed."""
    step = timedelta(days=days) / max(1, points - 1)
    values = (retrievability(state, start + step * index, weights) for index in range(points))
    return [value for value in values if value is not None]


def forecast(due: Iterable[datetime], now: datetime, day_count: int = 30, days: LocalDays = CALENDAR_DAYS) -> list[int]:
    """Count the memories that fall due on each coming local day; overdue ones count for today, the first day."""
    bounds = [days.bound(now, offset) for offset in range(1, day_count + 1)]
    counts = [0] * (day_count + 1)
    for moment in due:
        counts[bisect_right(bounds, moment)] += 1
    return counts[:day_count]


def true_retention(reviews: Iterable[Review]) -> float | None:
    """Return the recalled share of reviews of memories that had been reviewed before; None without any.

    An undone review does not count, nor does the entry that undid it.
    """
    log = list(reviews)
    undone = undone_reviews(log)
    entries = [r for r in log if r.undoes is None and r.id not in undone and r.prior.reps > 0]
    return sum(r.rating != Rating.AGAIN for r in entries) / len(entries) if entries else None


def is_leech(state: Scheduling | None, cleared_lapses: int = 0) -> bool:
    """Check whether a memory lapsed so often that it should be rewritten rather than graded again.

    ``cleared_lapses`` are those before the mark was last cleared.
    """
    return state is not None and state.lapses - cleared_lapses >= LEECH_LAPSES


def to_json(state: Scheduling) -> dict[str, Any]:
    """Return ``state`` as JSON data for the review log; times in RFC 3339, NaN and infinity as null."""
    return {
        "stability": _finite(state.stability),
        "difficulty": _finite(state.difficulty),
        "retrievability": _finite(state.retrievability),
        "last_review": format_time(state.last_review) if state.last_review else None,
        "next_review": format_time(state.next_review) if state.next_review else None,
        "reps": state.reps,
        "lapses": state.lapses,
    }


def _finite(value: float) -> float | None:
    return value + 0.0 if math.isfinite(value) else None  # databases treat a negative zero differently


def from_json(data: object) -> Scheduling:
    """Return the state that ``to_json`` wrote; missing or unreadable values take their default. Never raises."""
    values: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    default = Scheduling()
    return Scheduling(
        stability=_number(values.get("stability"), default.stability),
        difficulty=_number(values.get("difficulty"), default.difficulty),
        retrievability=_number(values.get("retrievability"), default.retrievability),
        last_review=parse_stored(values.get("last_review")),
        next_review=parse_stored(values.get("next_review")),
        reps=int(_number(values.get("reps"), 0)),
        lapses=int(_number(values.get("lapses"), 0)),
    )


def _number(value: object, default: float) -> float:
    if not isinstance(value, int | float | str):
        return default
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return default
    return number if math.isfinite(number) else default
