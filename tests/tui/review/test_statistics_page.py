"""The page of review statistics: opened from Review, live, with a what-if, and with a reason where it is empty."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.support.console import Console, open_console
from tests.support.review_desk import THREE, open_desk
from tests.support.vestige_files import make_v18
from vestige_tui.core.review_statistics import ReviewStatistics, TrueRetention
from vestige_tui.core.reviews import Rating
from vestige_tui.presenters.review_statistics import NO_LOG, NO_REVIEWS, Load, RetentionTable
from vestige_tui.tui.review.place import ReviewPlace
from vestige_tui.tui.review.statistics_charts import heat_map, load_chart, retention_columns, shade
from vestige_tui.tui.review.statistics_page import StatisticsScreen

MONDAY = date(2026, 6, 1)


async def open_statistics(console: Console) -> StatisticsScreen:
    await console.press("f4")
    await console.until(lambda: isinstance(console.app.screen, ReviewPlace))
    await console.press("h")
    await console.until(lambda: isinstance(console.app.screen, StatisticsScreen))
    await console.still()
    screen = console.app.screen
    assert isinstance(screen, StatisticsScreen)
    return screen


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_it_shows_past_and_coming_reviews_and_goes_back(tmp_path: Path, size: tuple[int, int]) -> None:
    async with open_desk(tmp_path, *THREE, graded=2, size=size) as at:
        console = Console(at.app, at.pilot)
        screen = await open_statistics(console)
        await console.until("2 reviews on 1 of the last 365 days. True")
        await console.press("G")
        await console.until("with a desired retention of 0.85")
        assert max(map(len, console.lines)) <= size[0]
        await console.press("escape")
        await console.until(lambda: console.app.screen is not screen)
        assert isinstance(console.app.screen, ReviewPlace)


@pytest.mark.slow
async def test_another_retention_is_compared_and_changes_nothing(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE, graded=2) as at:
        console = Console(at.app, at.pilot)
        before = await at.state(1)
        await open_statistics(console)
        await console.until("with a desired retention of 0.85")
        await console.press("minus")
        await console.until("with a desired retention of 0.80")
        await console.press("plus", "plus", "plus")
        await console.until("with a desired retention of 0.95")
        await console.press("plus", "plus")
        await console.until("with a desired retention of 0.99")
        assert await at.state(1) == before
        assert at.app.session.store is not None
        assert at.app.session.store.policy.desired_retention == 0.9


@pytest.mark.slow
async def test_it_follows_the_store(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE, graded=1) as at:
        console = Console(at.app, at.pilot)
        await open_statistics(console)
        await console.until("1 review on 1 of the last 365 days")
        await at.other.reviews.record(THREE[1].id or "", Rating.AGAIN)
        await console.until("2 reviews on 1 of the last 365 days")


@pytest.mark.slow
async def test_without_reviews_it_says_so(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE) as at:
        console = Console(at.app, at.pilot)
        screen = await open_statistics(console)
        await console.until(NO_REVIEWS)
        assert screen.why_not("step_retention") == "There are no reviews to compare."


@pytest.mark.slow
async def test_a_file_of_a_server_has_no_log(tmp_path: Path) -> None:
    async with open_console(make_v18(tmp_path / "v18.db")) as console:
        await open_statistics(console)
        await console.until(NO_LOG[:40])


@pytest.mark.slow
async def test_applied_weights_are_undone_in_review(tmp_path: Path) -> None:
    async with open_desk(tmp_path, *THREE, graded=1) as at:
        await at.sees("1 of 2")
        store = at.app.session.store
        assert store is not None
        await store.weights.apply(store.weights.current)
        at.app.session.note_change()
        await at.press("u", sees="Undid: apply FSRS weights")
        assert not store.weights.applied


# Charts


def statistics(*counts: int) -> ReviewStatistics:
    days = tuple((MONDAY + timedelta(days=offset), count) for offset, count in enumerate(counts))
    return ReviewStatistics(days, TrueRetention("", 0, 0))


def test_a_day_has_a_shade_by_its_share_of_the_busiest() -> None:
    assert [shade(count, 8) for count in (0, 1, 2, 3, 4, 5, 6, 7, 8)] == list("·░░▒▒▓▓██")
    assert shade(1, 1) == "█"


def test_the_calendar_has_a_row_for_each_weekday_and_a_column_for_each_week() -> None:
    lines = heat_map(statistics(4, 0, *[1] * 6), 40).plain.splitlines()
    assert lines[0].split() == ["Jun"]
    assert [line[:3] for line in lines[1:8]] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert lines[1] == "Mon █ ░ "
    assert lines[2] == "Tue ·   "


@pytest.mark.parametrize("width", [20, 40, 60, 120])
def test_every_chart_fits_its_width(width: int) -> None:
    calendar = heat_map(statistics(*[3] * 365), width).plain.splitlines()
    # The scale below is one line of its own and may be cut.
    assert max(map(len, calendar[:8])) <= width
    rows = (TrueRetention("a long name of a type without an end to it", 12_345, 12_000), TrueRetention("b", 1, 1))
    tables = [RetentionTable("type", rows, 4), RetentionTable("tag", rows[:1])]
    assert width < 30 or max(map(len, retention_columns(tables, width).plain.splitlines())) <= width
    days = tuple(MONDAY + timedelta(days=offset) for offset in range(30))
    load = Load(days, tuple(range(30)), tuple(range(30, 0, -1)), 0.8)
    assert max(map(len, load_chart(load, width).plain.splitlines())) <= width


def test_the_load_has_two_bars_a_day_in_one_scale() -> None:
    load = Load((MONDAY, MONDAY + timedelta(days=1)), (10, 0), (5, 10), 0.8)
    lines = load_chart(load, 60).plain.splitlines()
    assert lines[0].rstrip() == " 10 █   █"
    assert lines[4].rstrip() == "  0 ██  █"
    assert load_chart(Load((MONDAY,), (0,), (0,), 0.8), 60).plain == "nothing is due on these days"
