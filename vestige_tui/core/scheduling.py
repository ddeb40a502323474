"""When a memory is due and how well it is remembered: FSRS-6 as pure functions of (state, rating, now).

``fsrs`` (py-fsrs) does a review's arithmetic, in whole days and without learning steps or fuzz; the forgetting curve
is our own, with fractional days. Stability is in days, difficulty 1..10, retrievability 0..1, every moment aware.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.times import format_time, parse_stored
from vestige_tui.core.times import local_midnight as local_midnight

if TYPE_CHECKING:
    import fsrs

DEFAULT_WEIGHTS = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
"""The 21 weights that FSRS-6 is published with; the last one is the decay of the forgetting curve."""

MIN_STABILITY = 0.001
MAX_STABILITY = 36_500.0
MIN_DIFFICULTY = 1.0
MAX_DIFFICULTY = 10.0
LEECH_LAPSES = 8
FOREVER = 1e300
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """How reviews are planned: the recall aimed at, FSRS-6's 21 weights, and how many new memories a day offers."""

    desired_retention: float = 0.9
    weights: tuple[float, ...] = DEFAULT_WEIGHTS
    new_per_day: int = 10


def review(state: Scheduling | None, rating: Rating, now: datetime, policy: Policy = Policy()) -> Scheduling:
    """The state after grading at ``now``. A lapse is an Again for a memory that had been reviewed before.

    The new retrievability is 1, the recall right after a review. Values out of range are clamped first; a reviewed
    memory whose last review is unknown counts as reviewed one interval before it fell due, or else before now.
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
        stability=_between(MIN_STABILITY, after.stability, MAX_STABILITY, DEFAULT_WEIGHTS[2]),
        difficulty=_between(MIN_DIFFICULTY, after.difficulty, MAX_DIFFICULTY, 5.0),
        retrievability=1.0,
        last_review=now,
        next_review=after.due,
        reps=before.reps + 1,
        lapses=before.lapses + (before.reps > 0 and rating == Rating.AGAIN),
    )


def preview(state: Scheduling | None, now: datetime, policy: Policy = Policy()) -> dict[Rating, Scheduling]:
    """The state that each rating would give."""
    return {rating: review(state, rating, now, policy) for rating in Rating}


@lru_cache(maxsize=8)
def _scheduler(policy: Policy) -> fsrs.Scheduler:
    import fsrs

    return fsrs.Scheduler(
        parameters=policy.weights,
        desired_retention=policy.desired_retention,
        learning_steps=(),
        relearning_steps=(),
        maximum_interval=int(MAX_STABILITY),
        enable_fuzzing=False,
    )


def _last_review(state: Scheduling, now: datetime, policy: Policy) -> datetime:
    if state.last_review is not None:
        return state.last_review.astimezone(UTC)
    days = state.stability * horizon(policy.desired_retention, policy.weights)
    interval = timedelta(days=min(max(1, round(days)), MAX_STABILITY))
    return min(state.next_review.astimezone(UTC) - interval, now) if state.next_review else now - interval


def clamped(state: Scheduling) -> Scheduling:
    """``state`` with every value inside its range; what is no number takes an ordinary memory's value."""
    reviewed = state.reps > 0
    return replace(
        state,
        stability=_between(MIN_STABILITY if reviewed else 0.0, state.stability, MAX_STABILITY, DEFAULT_WEIGHTS[2]),
        difficulty=_between(MIN_DIFFICULTY if reviewed else 0.0, state.difficulty, MAX_DIFFICULTY, 5.0),
        retrievability=_between(0.0, state.retrievability, 1.0, 1.0),
        reps=max(0, state.reps),
        lapses=max(0, state.lapses),
    )


def _between(low: float, value: float | None, high: float, otherwise: float) -> float:
    return otherwise if value is None or math.isnan(value) else min(max(low, value), high)


def _factor(decay: float) -> float:
    """So that recall is 90 % after as many days as the stability says."""
    return math.pow(0.9, -1 / decay) - 1


def retrievability(state: Scheduling, now: datetime, weights: Sequence[float] = DEFAULT_WEIGHTS) -> float | None:
    """The probability of recall at ``now``; None for a memory never reviewed. A last review in the future gives 1."""
    if state.reps <= 0 or state.last_review is None:
        return None
    days = max(0.0, (now - state.last_review) / _DAY)
    decay = weights[20]
    return math.pow(1 + _factor(decay) * days / clamped(state).stability, -decay)


def horizon(min_retrievability: float, weights: Sequence[float] = DEFAULT_WEIGHTS) -> float:
    """The K with which recall is at least ``min_retrievability`` exactly as long as days <= stability * K.

    So a database compares without powers. ``FOREVER`` where everything qualifies, minus that where nothing does.
    """
    if min_retrievability > 1:
        return -FOREVER
    if min_retrievability <= 0:
        return FOREVER
    decay = weights[20]
    try:
        return min(FOREVER, (math.pow(min_retrievability, -1 / decay) - 1) / _factor(decay))
    except OverflowError:
        return FOREVER


def curve(
    state: Scheduling, start: datetime, days: float, points: int, weights: Sequence[float] = DEFAULT_WEIGHTS
) -> list[float]:
    """Recall at ``points`` moments spread over ``days`` from ``start``, both ends included; empty if never reviewed."""
    step = timedelta(days=days) / max(1, points - 1)
    values = (retrievability(state, start + step * index, weights) for index in range(points))
    return [value for value in values if value is not None]


def forecast(due: Iterable[datetime], now: datetime, days: int = 30, tz: tzinfo | None = None) -> list[int]:
    """How many fall due on each of the coming local days; what is overdue counts for today, the first of them."""
    counts = [0] * days
    today = now.astimezone(tz).date()
    for moment in due:
        day = max(0, (moment.astimezone(tz).date() - today).days)
        if day < days:
            counts[day] += 1
    return counts


def true_retention(reviews: Iterable[Review]) -> float | None:
    """The share of recalled ones among reviews of memories that had been reviewed before; None where there are none.

    A review that was undone does not count, nor does the entry that undid it.
    """
    log = list(reviews)
    undone = {entry.undoes for entry in log if entry.undoes is not None}
    counted = [r for r in log if r.undoes is None and r.id not in undone and r.prior.reps > 0]
    return sum(r.rating != Rating.AGAIN for r in counted) / len(counted) if counted else None


def is_leech(state: Scheduling) -> bool:
    """Forgotten so often that it should be rewritten rather than graded again."""
    return state.lapses >= LEECH_LAPSES


def to_json(state: Scheduling) -> dict[str, Any]:
    """``state`` as JSON data, for the review log; times in RFC 3339, what is no number as null."""
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
    return value if math.isfinite(value) else None


def from_json(data: object) -> Scheduling:
    """The state that ``to_json`` wrote; what is missing or unreadable takes its default. Never raises."""
    found: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    default = Scheduling()
    return Scheduling(
        stability=_number(found.get("stability"), default.stability),
        difficulty=_number(found.get("difficulty"), default.difficulty),
        retrievability=_number(found.get("retrievability"), default.retrievability),
        last_review=parse_stored(found.get("last_review")),
        next_review=parse_stored(found.get("next_review")),
        reps=int(_number(found.get("reps"), 0)),
        lapses=int(_number(found.get("lapses"), 0)),
    )


def _number(value: object, otherwise: float) -> float:
    if not isinstance(value, int | float | str):
        return otherwise
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return otherwise
    return number if math.isfinite(number) else otherwise
