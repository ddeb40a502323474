"""Schedules that another policy would have given: by replaying the review log, or by the interval alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vestige_tui.core.reviews import Rating, Review, Scheduling, undone_reviews
from vestige_tui.core.scheduling import MAX_STABILITY_DAYS, Policy, clamped, horizon, review


def rescheduled(state: Scheduling, log: Sequence[Review], policy: Policy) -> Scheduling:
    """Return the schedule of a memory as ``policy`` computes it from the reviews in force, oldest first.

    A log that does not end with the last review of ``state`` does not explain it: the schedule stays. Where the first
    reviews are missing in the log, the replay starts from the schedule before the first one that is there.
    """
    undone = undone_reviews(log)
    grades = [each for each in log if each.undoes is None and each.id not in undone]
    if not grades or grades[-1].at != state.last_review or grades[-1].new.reps != state.reps:
        return state
    current: Scheduling | None = None
    for grade in grades:
        if current is None or current.reps != grade.prior.reps:
            current = grade.prior if grade.prior.reps > 0 else None
        rating = Rating(min(max(grade.rating, Rating.AGAIN), Rating.EASY))
        current = review(current, rating, grade.at, policy)
    assert current is not None
    return replace(current, retrievability=state.retrievability, reps=state.reps, lapses=state.lapses)


def due_at(state: Scheduling, planned: Policy, present: Policy) -> datetime | None:
    """Return when a schedule of ``present`` is due under ``planned``; None if it was never due.

    Stability is kept, the interval is recomputed as at a review. Without a time of the last review, the present date is
    taken as one of the present interval.
    """
    if state.reps <= 0 or state.next_review is None:
        return None
    stability = clamped(state).stability
    interval = timedelta(days=interval_days(stability, planned))
    if state.last_review is not None:
        return state.last_review + interval
    return state.next_review - timedelta(days=interval_days(stability, present)) + interval


def interval_days(stability: float, policy: Policy) -> int:
    """Return the interval of a stability in whole days, as a review gives it."""
    days = stability * horizon(policy.desired_retention, policy.weights)
    return int(min(max(1, round(days)), MAX_STABILITY_DAYS))
