"""Texts about past reviews, the load of coming days, and a fit of weights, without a store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from vestige_tui.core.review_statistics import ReviewStatistics, TrueRetention
from vestige_tui.core.times import CALENDAR_DAYS
from vestige_tui.core.weight_fit import WeightFit
from vestige_tui.core.weights import Weights
from vestige_tui.presenters.review_statistics import (
    FIRST_REVIEWS_ONLY,
    NO_LOG,
    NO_REVIEWS,
    group_name,
    load_document,
    load_of,
    load_sentence,
    percent,
    retention_tables,
    statistics_document,
    summary_sentence,
    why_no_statistics,
)
from vestige_tui.presenters.weights import fit_lines, next_step_sentence, no_better_sentence, preview_sentence
from vestige_tui.store.weights import ReschedulePreview

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = date(2026, 6, 15)
FIT = WeightFit(Weights(), 1200, 240, 0.4, 0.3)


def statistics(*counts: int, remembered: int = 0, reviews: int = 0, tags: int = 0) -> ReviewStatistics:
    days = tuple((DAY + timedelta(days=offset), count) for offset, count in enumerate(counts))
    by_tag = tuple(TrueRetention(f"tag {number}", 1, 1) for number in range(tags))
    return ReviewStatistics(days, TrueRetention("", reviews, remembered), by_tag=by_tag)


def test_the_summary_names_days_and_retention() -> None:
    assert summary_sentence(statistics(0, 1500, 2, remembered=9, reviews=10)) == (
        "1,502 reviews on 2 of the last 3 days. True retention 90%: 9 of 10 remembered."
    )
    assert summary_sentence(statistics(1)) == f"1 review on 1 of the last 1 day. {FIRST_REVIEWS_ONLY}"


def test_the_reason_for_no_statistics_is_plain() -> None:
    assert why_no_statistics(statistics(1)) == ""
    assert why_no_statistics(statistics(0)) == NO_REVIEWS
    assert why_no_statistics(ReviewStatistics((), TrueRetention("", 0, 0), has_log=False)) == NO_LOG


def test_a_table_shows_the_tags_with_most_reviews() -> None:
    [table] = retention_tables(statistics(1, tags=11))
    assert (table.title, len(table.rows), table.more) == ("tag", 8, 3)


def test_a_group_name_is_safe_and_short() -> None:
    assert group_name(TrueRetention("", 1, 1)) == "(no tag)"
    name = group_name(TrueRetention("\x1b[31m" + "word " * 30, 1, 1))
    assert "\x1b" not in name
    assert len(name) <= 32
    assert percent(None) == "-"
    assert percent(0.905) == "90%"


def test_the_load_is_compared_day_by_day() -> None:
    overdue, soon, late = NOW - timedelta(days=9), NOW + timedelta(days=1), NOW + timedelta(days=40)
    load = load_of([overdue, soon], [soon, late], 0.8, NOW, 3, CALENDAR_DAYS)
    assert (load.present, load.planned, load.change) == ((1, 1, 0), (0, 1, 0), -0.5)
    assert load_sentence(load) == ("2 reviews are due within 3 days; with a desired retention of 0.80: 1 (-50%).")
    document = load_document(load)
    assert document["retention"] == 0.8
    assert [item["due_at_retention"] for item in document["items"]] == [0, 1, 0]
    assert load_of([], [], 0.8, NOW, 3, CALENDAR_DAYS).change is None


def test_the_document_has_null_for_a_retention_without_reviews() -> None:
    document = statistics_document(statistics(2, tags=1))
    assert document["retention"] == {"reviews": 0, "remembered": 0, "retention": None}
    assert document["days"] == [{"date": "2026-06-15", "reviews": 2}]
    assert document["by_tag"] == [{"tag": "tag 0", "reviews": 1, "remembered": 1, "retention": 1.0}]


def test_a_fit_names_its_reviews_and_both_losses() -> None:
    first, second, third = fit_lines(FIT, Weights(), applied=False)
    assert first.endswith("to 1,200 reviews.")
    assert second.endswith("of the settings.")
    assert "latest 240 reviews" in third
    assert "0.4000 by the weights in force, 0.3000 by a fit" in third
    assert "--apply" in next_step_sentence(FIT)
    worse = WeightFit(Weights(), 1200, 240, 0.3, 0.4)
    assert "no better" in next_step_sentence(worse)
    assert no_better_sentence(worse).endswith("Add --yes to apply it anyway.")


def test_a_preview_counts_what_moves() -> None:
    assert preview_sentence(ReschedulePreview(reviewed=4)) == "Rescheduling would move no due date."
    assert preview_sentence(ReschedulePreview(4, earlier=1, later=2, due_before=3, due_after=5)) == (
        "Rescheduling would move 3 of 4 reviewed memories: 2 later, 1 earlier. Due today: 3 before, 5 after."
    )
