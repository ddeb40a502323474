"""Moments are read tolerantly from stores, helpfully from people, and written in one form only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as clock_time
from zoneinfo import ZoneInfo

import pytest

from vestige_tui.core.errors import Usage
from vestige_tui.core.times import LocalDays, format_time, parse_argument, parse_stored

NOW = datetime(2026, 5, 31, 12, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, micro, UTC)


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-01T12:00:00+00:00", utc(2026, 5, 1, 12)),
        ("2026-05-01T12:00:00.123456789+00:00", utc(2026, 5, 1, 12, 0, 0, 123456)),
        ("2026-05-01T12:00:00.9999999Z", utc(2026, 5, 1, 12, 0, 0, 999999)),
        ("2026-05-01T12:00:00.5z", utc(2026, 5, 1, 12, 0, 0, 500000)),
        ("2026-05-01t12:00:00,25Z", utc(2026, 5, 1, 12, 0, 0, 250000)),
        ("2026-05-01 12:00:00", utc(2026, 5, 1, 12)),
        ("2026-05-01 12:00", utc(2026, 5, 1, 12)),
        (" 2026-05-01 12:00:00 UTC\n", utc(2026, 5, 1, 12)),
        ("2026-05-01T12:00:00+02:00", utc(2026, 5, 1, 10)),
        ("2026-05-01T12:00:00-0530", utc(2026, 5, 1, 17, 30)),
        ("2026-05-01 12:00:00+02", utc(2026, 5, 1, 10)),
        ("2026-12-31T23:59:60Z", utc(2027, 1, 1)),
        ("2026-05-01", utc(2026, 5, 1)),
        ("0001-01-01T00:00:00Z", utc(1, 1, 1)),
    ],
)
def test_stored_moments(text: str, moment: datetime) -> None:
    assert parse_stored(text) == moment
    assert parse_stored(text).utcoffset() == timedelta()  # type: ignore[union-attr]  # equal to a moment just above


@pytest.mark.parametrize(
    "text",
    [
        *(
            None,
            "",
            "never",
            "1767225600",
            "1767225600.5",
            "2026-13-01T00:00:00Z",
            "2026-02-30",
            "10000-01-01T00:00:00Z",
        ),
        *(
            "+12026-01-01T00:00:00Z",
            "0000-01-01",
            "2026-05-01T25:00:00Z",
            "2026-05-01T12:00:61Z",
            "9999-12-31T23:59:60Z",
        ),
        *("2026-05-01T12:00:00+99:00", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "٢٠٢٦-05-01"),
        *("2026-05-01T12:00:00Z; drop", "2026-05-01\x00"),
    ],
)
def test_unreadable_stored_moments_are_none(text: str | None) -> None:
    assert parse_stored(text) is None


def test_what_is_no_text_is_none() -> None:
    numbers: list[object] = [1767225600, 1.5, b"2026-05-01"]
    assert [parse_stored(number) for number in numbers] == [None] * 3  # type: ignore[arg-type]  # SQLite columns hold any type


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("today", utc(2026, 5, 30, 22)),
        ("Yesterday", utc(2026, 5, 29, 22)),
        ("tomorrow", utc(2026, 5, 31, 22)),
        ("-7d", utc(2026, 5, 24, 12, 30)),
        ("+2h", utc(2026, 5, 31, 14, 30)),
        ("-30min", utc(2026, 5, 31, 12)),
        ("-3w", utc(2026, 5, 10, 12, 30)),
        ("-3mo", utc(2026, 2, 28, 12, 30)),
        ("+1y", utc(2027, 5, 31, 12, 30)),
        ("2026-11-01", utc(2026, 10, 31, 23)),
        ("2026-07-01", utc(2026, 6, 30, 22)),
        ("2026-07-01 12:00", utc(2026, 7, 1, 10)),
        ("2026-07-01T12:00:00Z", utc(2026, 7, 1, 12)),
        ("2026-07-01T12:00:00.5-04:00", datetime(2026, 7, 1, 16, 0, 0, 500000, tzinfo=UTC)),
    ],
)
def test_arguments(text: str, moment: datetime) -> None:
    assert parse_argument(text, NOW, LocalDays(tz=BERLIN)) == moment


@pytest.mark.parametrize(
    "text", ["", "soon", "7d", "-7", "-7 parsecs", "2026-13-01", "1767225600", "\x1b[2J", "-999999y"]
)
def test_an_argument_that_says_no_time_is_one_sentence(text: str) -> None:
    with pytest.raises(Usage) as caught:
        parse_argument(text, NOW, LocalDays(tz=BERLIN))
    assert caught.value.message.endswith(".")
    assert caught.value.message.isprintable()


@pytest.mark.usefixtures("in_new_york")
def test_without_a_zone_it_is_the_machines() -> None:
    assert parse_argument("2026-11-01", NOW) == utc(2026, 11, 1, 4)
    assert parse_argument("2026-11-02", NOW) == utc(2026, 11, 2, 5)
    assert parse_argument("2026-07-01 12:00", NOW) == utc(2026, 7, 1, 16)
    assert LocalDays().bound(utc(2026, 11, 2, 4, 59)) == utc(2026, 11, 1, 4)
    assert LocalDays().bound(utc(2026, 3, 9, 3)) == utc(2026, 3, 8, 5)


@pytest.mark.parametrize(
    ("zone", "now", "midnight"),
    [
        ("Europe/Berlin", utc(2026, 3, 29, 12), utc(2026, 3, 28, 23)),
        ("Europe/Berlin", utc(2026, 3, 30, 12), utc(2026, 3, 29, 22)),
        ("Europe/Berlin", utc(2026, 10, 25, 12), utc(2026, 10, 24, 22)),
        ("America/Sao_Paulo", utc(2018, 11, 4, 12), utc(2018, 11, 4, 3)),  # midnight was skipped
        ("America/Havana", utc(2025, 11, 2, 12), utc(2025, 11, 2, 4)),  # midnight came twice
        ("Asia/Kathmandu", utc(2026, 5, 1, 0), utc(2026, 4, 30, 18, 15)),
        ("Pacific/Apia", utc(2011, 12, 30, 12), utc(2011, 12, 30, 10)),  # a day was skipped
    ],
)
def test_local_midnight_over_clock_changes(zone: str, now: datetime, midnight: datetime) -> None:
    assert LocalDays(tz=ZoneInfo(zone)).bound(now) == midnight


def test_midnights_of_a_year_follow_each_other() -> None:
    for zone in (BERLIN, ZoneInfo("America/Santiago"), ZoneInfo("Australia/Lord_Howe")):
        days = LocalDays(tz=zone)
        for day in range(365):
            here = days.bound(NOW, day)
            gone = days.bound(NOW, day + 1) - here
            assert timedelta(hours=23) <= gone <= timedelta(hours=25)
            assert days.bound(here) == here


ZONES_WITHOUT_SOME_MIDNIGHTS = ("America/Santiago", "Asia/Beirut", "Africa/Cairo", "America/Havana", "America/Asuncion")


@pytest.fixture(params=(*ZONES_WITHOUT_SOME_MIDNIGHTS, "Australia/Lord_Howe", "Europe/Berlin", "Pacific/Apia"))
def machine_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("starts_at", [clock_time(), clock_time(4), clock_time(0, 30), clock_time(23, 30)])
def test_the_machines_days_are_those_of_its_zone(machine_zone: str, starts_at: clock_time) -> None:
    here, there = LocalDays(starts_at), LocalDays(starts_at, ZoneInfo(machine_zone))
    for year in (2011, 2026):
        for number in range(365):
            day = date(year, 1, 1) + timedelta(days=number)
            start, end = there.start(day), there.start(day + timedelta(days=1))
            assert here.start(day) == start
            # The clock shows the start of the day, or a later time where a change skips it, and not before.
            assert start.astimezone(there.tz).replace(tzinfo=None) >= datetime.combine(day, starts_at)
            last = (start - timedelta(seconds=1)).astimezone(there.tz).replace(tzinfo=None)
            assert last < datetime.combine(day, starts_at)
            if start < end:
                assert here.of(start) == here.of(end - timedelta(microseconds=1)) == day


def test_a_repeated_hour_at_midnight_stays_in_the_day_that_began() -> None:
    # Until 2011 the clocks of Saint John's went back at 00:01, to 23:01 of the evening before.
    days = LocalDays(tz=ZoneInfo("America/St_Johns"))
    started = days.start(date(2010, 11, 7))
    assert started == utc(2010, 11, 7, 2, 30)
    assert days.of(started) == days.of(started + timedelta(minutes=30)) == date(2010, 11, 7)
    assert days.of(started - timedelta(seconds=1)) == date(2010, 11, 6)


def test_a_day_may_start_at_another_hour() -> None:
    days = LocalDays(clock_time(4), BERLIN)
    at_night = utc(2026, 5, 31, 1, 59)  # 03:59 in Berlin
    assert days.of(at_night) == date(2026, 5, 30)
    assert days.bound(at_night) == parse_argument("today", at_night, days) == utc(2026, 5, 30, 2)
    assert days.bound(at_night, 1) == parse_argument("2026-05-31", at_night, days) == utc(2026, 5, 31, 2)
    assert parse_argument("2026-05-31 00:00", at_night, days) == utc(2026, 5, 30, 22)


def test_a_skipped_time_is_the_moment_of_the_change() -> None:
    days = LocalDays(tz=ZoneInfo("America/Santiago"))
    evening = utc(2026, 9, 6, 1)
    assert days.bound(evening, 1) == parse_argument("2026-09-06 00:30", evening, days) == utc(2026, 9, 6, 4)


def test_written_moments_have_one_width_and_sort_as_text() -> None:
    moments = [
        utc(1, 1, 1),
        utc(2026, 5, 1),
        datetime(2026, 5, 1, 2, 0, 0, 1, timezone(timedelta(hours=2))),
        datetime(2026, 5, 1, 1),
    ]
    written = [format_time(moment) for moment in moments]
    assert written == sorted(written)
    assert {len(text) for text in written} == {32}
    assert written[1] == "2026-05-01T00:00:00.000000+00:00"
    assert written[2] == "2026-05-01T00:00:00.000001+00:00"
    assert parse_stored(written[2]) == moments[2]
