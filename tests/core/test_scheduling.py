"""FSRS-6 against published values, against another implementation, and at its edges."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import fsrs_rs_python
import pytest
from fsrs.scheduler import DEFAULT_PARAMETERS

from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import (
    DEFAULT_WEIGHTS,
    MAX_HORIZON_FACTOR,
    Policy,
    clamped,
    curve,
    forecast,
    from_json,
    horizon,
    is_leech,
    preview,
    retrievability,
    review,
    to_json,
    true_retention,
)
from vestige_tui.core.times import LocalDays

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STANDARD = Policy()
KNOWN = Scheduling(10.0, 5.0, 1.0, NOW - 10 * DAY, NOW, reps=3, lapses=1)


def walk(ratings: list[int], days: list[int], policy: Policy = STANDARD) -> Scheduling:
    state, now = None, NOW
    for rating, gap in zip(ratings, days, strict=True):
        now += gap * DAY
        state = review(state, Rating(rating), now, policy)
    assert state is not None
    return state


def test_the_weights_are_those_of_the_library() -> None:
    assert DEFAULT_WEIGHTS == DEFAULT_PARAMETERS


@pytest.mark.parametrize(
    ("rating", "stability", "difficulty", "days"),
    [
        (Rating.AGAIN, 0.212, 6.4133, 1),
        (Rating.HARD, 1.2931, 5.11217071, 1),
        (Rating.GOOD, 2.3065, 2.11810397, 2),
        (Rating.EASY, 8.2956, 1.0, 8),
    ],
)
def test_the_first_review(rating: Rating, stability: float, difficulty: float, days: int) -> None:
    state = review(None, rating, NOW)
    assert state.stability == pytest.approx(stability)
    assert state.difficulty == pytest.approx(difficulty)
    assert state.next_review == NOW + days * DAY
    assert (state.reps, state.lapses, state.last_review, state.retrievability) == (1, 0, NOW, 1.0)
    assert preview(Scheduling(), NOW)[rating] == state


def test_the_published_sequence() -> None:
    ratings, days = [1, 3, 3, 3, 3, 3], [0, 0, 1, 3, 8, 21]
    state = walk(ratings, days)
    assert state.stability == pytest.approx(53.62691, abs=1e-4)
    assert state.difficulty == pytest.approx(6.3574867, abs=1e-4)
    without_same_day = Policy(weights=(*DEFAULT_WEIGHTS[:17], 0.0, 0.0, 0.0, DEFAULT_WEIGHTS[20]))
    assert walk(ratings, days, without_same_day).stability == pytest.approx(53.335106, abs=1e-4)


def test_an_independent_implementation_agrees() -> None:
    """fsrs-rs computes in single precision; elsewhere the two are one."""
    other = fsrs_rs_python.FSRS(list(DEFAULT_WEIGHTS))
    dice = random.Random(20260501)
    reviews = 0
    for _ in range(300):
        state, memory, now = None, None, NOW
        for _ in range(dice.randint(1, 15)):
            gap = dice.choice([0, 1, 2, 5, 17, 60, 200]) if state else 0
            now += gap * DAY
            rating = Rating(dice.randint(1, 4))
            state = review(state, rating, now)
            memory = getattr(other.next_states(memory, 0.9, gap), rating.name.lower()).memory
            assert state.stability == pytest.approx(memory.stability, rel=1e-4)
            assert state.difficulty == pytest.approx(memory.difficulty, abs=1e-4)
            assert state.next_review is not None
            interval = other.next_interval(memory.stability, 0.9, int(rating))
            assert (state.next_review - now) / DAY == pytest.approx(max(1, interval), abs=0.51)
            reviews += 1
    assert reviews > 2000


def test_a_review_changes_no_input_and_counts() -> None:
    before = replace(KNOWN)
    states = preview(KNOWN, NOW)
    assert before == KNOWN
    assert [states[rating].lapses for rating in Rating] == [2, 1, 1, 1]
    assert {state.reps for state in states.values()} == {4}
    due = [state.next_review for state in states.values() if state.next_review]
    assert due == sorted(due)
    assert len(due) == 4


def test_retention_moves_the_date_but_not_the_memory() -> None:
    strict, loose = (review(KNOWN, Rating.GOOD, NOW, Policy(desired_retention=r)) for r in (0.97, 0.8))
    assert strict.stability == loose.stability
    assert strict.next_review is not None
    assert loose.next_review is not None
    assert strict.next_review < loose.next_review


@pytest.mark.parametrize(
    "state",
    [
        replace(KNOWN, difficulty=0.3),
        replace(KNOWN, difficulty=99.0),
        replace(KNOWN, stability=0.0),
        replace(KNOWN, stability=-4.0),
        replace(KNOWN, stability=1e12),
        replace(KNOWN, stability=math.inf),
        replace(KNOWN, stability=math.nan, difficulty=math.nan, retrievability=math.nan),
        replace(KNOWN, lapses=-3),
        replace(KNOWN, last_review=NOW + 900 * DAY),
        replace(KNOWN, last_review=datetime(1, 1, 1, tzinfo=UTC)),
        replace(KNOWN, last_review=None),
        replace(KNOWN, last_review=None, next_review=None),
        Scheduling(stability=2.3, difficulty=0.3, reps=0, last_review=NOW),
        Scheduling(reps=-1, lapses=-1),
    ],
)
def test_states_out_of_range_are_clamped(state: Scheduling) -> None:
    for result in preview(state, NOW).values():
        assert 0.001 <= result.stability <= 36_500
        assert 1 <= result.difficulty <= 10
        assert result.lapses >= 0
        assert result.next_review is not None
        assert NOW + DAY <= result.next_review <= NOW + 36_500 * DAY
    tame = clamped(state)
    assert clamped(tame) == tame


def test_stability_and_interval_stop_at_a_hundred_years() -> None:
    state = review(replace(KNOWN, stability=36_000.0, last_review=NOW - 36_000 * DAY), Rating.EASY, NOW)
    assert state.stability == 36_500
    assert state.next_review == NOW + 36_500 * DAY


def test_an_unknown_last_review_is_taken_from_the_due_date() -> None:
    known = review(KNOWN, Rating.GOOD, NOW)
    assert review(replace(KNOWN, last_review=None), Rating.GOOD, NOW) == known
    assert review(replace(KNOWN, last_review=None, next_review=None), Rating.GOOD, NOW) == known


def test_now_may_be_in_any_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    result = review(KNOWN, Rating.GOOD, elsewhere)
    assert result == review(KNOWN, Rating.GOOD, NOW)
    assert result.last_review is not None
    assert result.last_review.utcoffset() == timedelta()
    summer = ZoneInfo("Europe/Berlin")
    assert review(KNOWN, Rating.GOOD, NOW.astimezone(summer)) == result


def test_retrievability_follows_the_curve_in_fractional_days() -> None:
    start = NOW - 10 * DAY
    assert retrievability(KNOWN, NOW) == pytest.approx(0.9)
    assert retrievability(KNOWN, start) == 1.0
    assert retrievability(KNOWN, start - DAY) == 1.0
    half_day = retrievability(KNOWN, start + DAY / 2)
    assert half_day is not None
    assert half_day == pytest.approx((1 + (0.9 ** (-1 / 0.1542) - 1) * 0.05) ** -0.1542)
    assert 0.9 < half_day < 1
    assert retrievability(Scheduling(), NOW) is None
    assert retrievability(replace(KNOWN, reps=0), NOW) is None
    assert retrievability(replace(KNOWN, last_review=None), NOW) is None
    assert retrievability(replace(KNOWN, stability=0.0), NOW) == pytest.approx(0.2, abs=0.1)


def test_horizon_says_the_same_as_the_curve() -> None:
    dice = random.Random(7)
    sides = {True: 0, False: 0}
    for _ in range(3000):
        stability, wanted = dice.uniform(0.01, 3000), dice.uniform(0.05, 1)
        weights = (*DEFAULT_WEIGHTS[:20], dice.uniform(0.1, 0.8))
        days = stability * dice.expovariate(0.3)
        state = Scheduling(stability, 5, last_review=NOW - timedelta(days=days), reps=1)
        value = retrievability(state, NOW, weights)
        assert value is not None
        if abs(value - wanted) > 1e-9:
            assert (days <= stability * horizon(wanted, weights)) == (value >= wanted)
            sides[value >= wanted] += 1
    assert min(sides.values()) > 500


def test_horizon_at_its_ends() -> None:
    assert horizon(0.9) == pytest.approx(1.0)
    assert horizon(1.0) == 0.0
    assert horizon(0.0) == horizon(-1) == horizon(1e-300) == MAX_HORIZON_FACTOR
    assert horizon(1.1) == -MAX_HORIZON_FACTOR


def test_curve() -> None:
    values = curve(KNOWN, NOW - 10 * DAY, 20, 5)
    assert values[0] == 1.0
    assert values[2] == pytest.approx(0.9)
    assert values == sorted(values, reverse=True)
    assert len(values) == 5
    assert curve(Scheduling(), NOW, 20, 5) == []
    assert curve(KNOWN, NOW, 20, 1) == [retrievability(KNOWN, NOW)]


def test_forecast_counts_local_days_over_a_clock_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 10, 24, 20, tzinfo=UTC)  # 22:00 in Berlin, the night before the clocks go back
    due = [
        now - 400 * DAY,
        now,
        datetime(2026, 10, 24, 21, 59, tzinfo=UTC),  # 23:59
        datetime(2026, 10, 24, 22, 0, tzinfo=UTC),  # 00:00
        datetime(2026, 10, 25, 22, 59, tzinfo=UTC),  # 23:59, after 25 hours
        datetime(2026, 10, 25, 23, 0, tzinfo=UTC),
        now + 29 * DAY,
        now + 31 * DAY,
    ]
    counts = forecast(due, now, days=LocalDays(tz=berlin))
    assert len(counts) == 30
    assert counts[:3] == [3, 2, 1]
    assert counts[29] == 1
    assert sum(counts) == 7


def entry(id: int, rating: int, *, first: bool = False, undoes: int | None = None) -> Review:
    prior = Scheduling() if first else KNOWN
    return Review(id, "m", NOW, rating, prior, review(prior, Rating(rating), NOW), undoes)


def test_true_retention() -> None:
    assert true_retention([]) is None
    assert true_retention([entry(1, 1, first=True)]) is None
    log = [entry(1, 1, first=True), entry(2, 3), entry(3, 2), entry(4, 4), entry(5, 1)]
    assert true_retention(log) == 0.75
    assert true_retention([*log, entry(6, 1), entry(7, 1, undoes=6)]) == 0.75
    assert true_retention([entry(1, 3), entry(2, 3, undoes=1)]) is None


def test_leech() -> None:
    assert [is_leech(replace(KNOWN, lapses=lapses)) for lapses in (0, 7, 8, 50)] == [False, False, True, True]


@pytest.mark.parametrize(
    "state", [Scheduling(), KNOWN, review(KNOWN, Rating.AGAIN, NOW), replace(KNOWN, difficulty=0.3)]
)
def test_json_gives_the_same_state_back(state: Scheduling) -> None:
    assert from_json(json.loads(json.dumps(to_json(state), allow_nan=False))) == state


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "state",
        {},
        {"stability": "much", "reps": None, "last_review": 5, "lapses": [], "difficulty": math.nan},
        {"stability": 10**400, "next_review": "2026-13-01"},
    ],
)
def test_json_that_says_nothing_is_a_new_memory(data: object) -> None:
    assert from_json(data) == Scheduling()


def test_json_of_what_is_no_number() -> None:
    odd = replace(KNOWN, stability=math.nan, retrievability=math.inf)
    assert json.dumps(to_json(odd), allow_nan=False)
    assert from_json(to_json(odd)) == replace(KNOWN, stability=0.0)
    assert from_json({"stability": "2.5", "reps": "3"}) == Scheduling(stability=2.5, reps=3)


def test_the_library_is_imported_by_the_first_review_only() -> None:
    program = (
        "import sys, vestige_tui.core.scheduling, vestige_tui.config.writer, vestige_tui.core.text;"
        " print(sorted(sys.modules))"
    )
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not [name for name in ("'fsrs'", "'textual'", "'rich'", "'tomlkit'", "'difflib'") if name in modules]
