"""Fit of weights to a synthetic log, and schedules recomputed from a log."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.synthetic_reviews import QUICK_LEARNER, START, grades, review_log
from vestige_tui.core.errors import FitUnavailable, TooFewReviews
from vestige_tui.core.rescheduling import due_at, interval_days, rescheduled
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, Policy, review
from vestige_tui.core.weight_fit import MIN_FIT_REVIEWS, fit_weights
from vestige_tui.core.weights import Weights, fitted

DEFAULT = Policy()
NAMES = [f"memory {number}" for number in range(400)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fit_predicts_held_out_reviews_better_than_the_default_weights(seed: int) -> None:
    fit = fit_weights(grades(review_log(NAMES, seed=seed)), DEFAULT_WEIGHTS)
    assert fit.loss_after < fit.loss_before
    assert fit.improves
    assert fit.weights.usable
    assert fit.weights.values != DEFAULT_WEIGHTS
    assert 0 < fit.held_out < fit.reviews


def test_a_fit_is_no_worse_than_weights_that_generated_the_log() -> None:
    fit = fit_weights(grades(review_log(NAMES, weights=DEFAULT_WEIGHTS)), QUICK_LEARNER)
    assert fit.loss_after < fit.loss_before


def test_equal_logs_give_equal_weights_in_any_order() -> None:
    log = grades(review_log(NAMES))
    assert fit_weights(log, DEFAULT_WEIGHTS) == fit_weights(log[::-1], DEFAULT_WEIGHTS)


def test_too_few_reviews_are_refused_with_their_number() -> None:
    log = grades(review_log(NAMES))
    with pytest.raises(TooFewReviews, match=f"needs {MIN_FIT_REVIEWS} reviews .*this store has 0"):
        fit_weights([], DEFAULT_WEIGHTS)
    whole = [grade for grade in log if grade.memory_id in NAMES[:60]]
    assert 0 < len(whole) < MIN_FIT_REVIEWS
    with pytest.raises(TooFewReviews, match=f"this store has {len(whole)}"):
        fit_weights(whole, DEFAULT_WEIGHTS)
    # Without their first reviews the memories have no history to learn from.
    with pytest.raises(TooFewReviews, match="this store has 0"):
        fit_weights([grade for grade in log if not grade.first], DEFAULT_WEIGHTS)


def test_a_missing_package_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsrs_rs_python", None)
    with pytest.raises(
        FitUnavailable, match=r'needs the package fsrs-rs-python.*pip install "vestige-tui\[optimize\]"'
    ):
        fit_weights(grades(review_log(NAMES)), DEFAULT_WEIGHTS)


def test_the_hash_depends_on_every_weight_and_on_the_algorithm() -> None:
    default = Weights()
    others = [Weights((*DEFAULT_WEIGHTS[:20], 0.2)), Weights(DEFAULT_WEIGHTS, "fsrs-5")]
    assert len({default.hash, *(each.hash for each in others)}) == 3
    assert Weights(tuple(map(float, DEFAULT_WEIGHTS))).hash == default.hash


def test_fitted_values_are_put_within_the_bounds_of_the_scheduler() -> None:
    assert not Weights((1e9, *DEFAULT_WEIGHTS[1:])).usable
    assert not Weights((float("nan"), *DEFAULT_WEIGHTS[1:])).usable
    assert not Weights(DEFAULT_WEIGHTS[:20]).usable
    assert fitted((1e9, *DEFAULT_WEIGHTS[1:])).usable


def graded(ratings: list[Rating], policy: Policy = DEFAULT) -> list[Review]:
    """Return the log of one memory, graded every five days."""
    log: list[Review] = []
    state: Scheduling | None = None
    for number, rating in enumerate(ratings):
        at = START + timedelta(days=5 * number)
        new = review(state, rating, at, policy)
        log.append(Review(number + 1, "one", at, int(rating), state or Scheduling(), new))
        state = new
    return log


def test_a_log_is_replayed_by_other_weights() -> None:
    ratings = [Rating.GOOD, Rating.AGAIN, Rating.GOOD, Rating.EASY]
    quick = Policy(weights=QUICK_LEARNER)
    log, goal = graded(ratings), graded(ratings, quick)[-1].new
    assert rescheduled(log[-1].new, log, quick) == goal != log[-1].new
    assert rescheduled(log[-1].new, log, Policy()) == log[-1].new
    # The replay begins with the schedule before the first review that is there.
    assert rescheduled(log[-1].new, log[2:], Policy()) == log[-1].new


def test_an_undone_review_is_not_replayed() -> None:
    log = graded([Rating.GOOD, Rating.GOOD, Rating.AGAIN])
    undo = Review(4, "one", log[2].at + timedelta(hours=1), 1, log[2].new, log[2].prior, undoes=3)
    quick = Policy(weights=QUICK_LEARNER)
    assert rescheduled(log[1].new, [*log, undo], quick) == rescheduled(log[1].new, log[:2], quick)


def test_a_schedule_that_the_log_does_not_explain_stays() -> None:
    log = graded([Rating.GOOD, Rating.GOOD])
    other = replace(log[-1].new, last_review=START + timedelta(days=30))
    quick = Policy(weights=QUICK_LEARNER)
    assert rescheduled(other, log, quick) is other
    assert rescheduled(log[-1].new, [], quick) is log[-1].new


@pytest.mark.parametrize("retention", [0.8, 0.9, 0.95])
def test_another_desired_retention_gives_the_date_that_a_review_would(retention: float) -> None:
    present, planned = Policy(), Policy(desired_retention=retention)
    state = graded([Rating.GOOD, Rating.GOOD])[-1].new
    expected = graded([Rating.GOOD, Rating.GOOD], planned)[-1].new
    assert due_at(state, planned, present) == expected.next_review
    without_time = replace(state, last_review=None)
    assert due_at(without_time, planned, present) == expected.next_review
    assert due_at(Scheduling(), planned, present) is None


def test_the_interval_is_at_least_a_day() -> None:
    assert interval_days(0.001, Policy()) == 1
    assert interval_days(1e9, Policy()) == 36_500
