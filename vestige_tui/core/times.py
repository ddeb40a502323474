"""Times: read from a store, read from a command line, formatted.

Inside the program every moment is a timezone-aware UTC datetime.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from vestige_tui.core.errors import TimeOutOfRange, Usage

_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r" ?(?P<zone>[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_SHIFT = re.compile(r"(?P<sign>[+-])(?P<amount>[0-9]{1,6})(?P<unit>s|min|h|d|w|mo|y)")
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAY_OFFSETS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LocalDays:
    """Local days of one time zone, each from ``starts_at`` until the next one starts; 23 to 25 hours long.

    ``tz`` None is the machine's zone. A day whose start is skipped by a clock change starts with the change; where the
    start is repeated, the first of the two counts.
    """

    starts_at: time = time.min
    tz: tzinfo | None = None

    def start(self, day: date) -> datetime:
        """Return the UTC moment at which a day starts."""
        return _reached(datetime.combine(day, self.starts_at), self.tz)

    def of(self, moment: datetime) -> date:
        """Return the day in which a moment lies."""
        local = moment.astimezone(self.tz).replace(tzinfo=None)
        day = local.date() - (_DAY if local.time() < self.starts_at else timedelta())
        # A clock that is set back shows the time before the start again.
        while self.start(day + _DAY) <= moment:
            day += _DAY
        return day

    def bound(self, now: datetime, days: int = 0) -> datetime:
        """Return the UTC moment at which ``now``'s day starts, or that ``days`` later."""
        return self.start(self.of(now) + timedelta(days=days))


CALENDAR_DAYS = LocalDays()
"""Days of the machine's zone, from midnight."""


def parse_stored(text: str | None) -> datetime | None:
    """Parse a stored time; None if it is not one. Never raises.

    Takes RFC 3339 with any number of fraction digits (cut to microseconds), ``Z`` or an offset, the form with a space,
    and a bare date. Without a zone it is UTC; second 60 is the next minute, as in PostgreSQL. Years are 1 to 9999.
    """
    if not isinstance(text, str):
        return None
    # Fast path for the form that Vestige and this program write: UTC, six or nine fraction digits.
    # datetime parses it several times faster, but is lenient after the sixth digit and about hour 24.
    if (
        len(text) in (32, 35)
        and text[4:20:3] == "--T::."
        and text[-6:] == "+00:00"
        and text[11:13] != "24"
        and text[20:-6].isdecimal()
        and text.isascii()
    ):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    return _parse(text, None)


def parse_argument(text: str, now: datetime, days: LocalDays = CALENDAR_DAYS) -> datetime:
    """Parse a time that the user wrote: RFC 3339, ``2026-11-01``, ``today`` (and its neighbours), ``now``, ``-7d``.

    Units are s, min, h, d, w, mo, y. Without a zone it is in that of ``days``, by default the machine's; a bare date is
    the start of that day. Raises ``Usage``.
    """
    word = text.strip().lower()
    try:
        if word == "now":
            return now.astimezone(UTC)
        if word in _DAY_OFFSETS:
            return days.bound(now, _DAY_OFFSETS[word])
        if shift := _SHIFT.fullmatch(word):
            amount = int(shift["sign"] + shift["amount"])
            return _shifted(now.astimezone(UTC), amount, shift["unit"])
    except (ValueError, OverflowError):
        raise TimeOutOfRange(f"The time {text.strip()[:60]!a} is outside the years 1 to 9999.") from None
    moment = _parse(text, days)
    if moment is None:
        raise Usage(
            f"The time {text.strip()[:60]!a} is not valid; use today, -7d, -1mo, 2026-11-01 or an RFC 3339 time."
        )
    return moment


def moment_text(moment: datetime) -> str:
    """Return a past moment as it is displayed: ``2026-05-01 12:00 UTC``, with seconds where they are not zero."""
    moment = moment.astimezone(UTC)
    shown = moment.isoformat(sep=" ", timespec="seconds" if moment.second else "minutes").removesuffix("+00:00")
    return f"{shown} UTC"


def format_time(moment: datetime) -> str:
    """Format in RFC 3339, UTC, always 32 characters: ``2026-05-01T12:00:00.123456+00:00``. Naive means UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def _reached(wall: datetime, tz: tzinfo | None) -> datetime:
    """Return the first UTC moment at which the clock of ``tz`` shows ``wall`` or, where that is skipped, a later time.

    The machine's zone is asked for the offsets of moments alone: Python 3.11 is an hour off for a skipped local time.
    """
    utc = wall.replace(tzinfo=UTC)
    offsets = [_offset_at(moment, tz) for moment in (max(utc, _FIRST) - _DAY, min(utc, _LAST) + _DAY)]
    candidates = sorted(utc - offset for offset in offsets)
    for moment in candidates:
        if moment + _offset_at(moment, tz) == utc:
            return moment
    before, after = candidates
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle + _offset_at(middle, tz) < utc:
            before = middle
        else:
            after = middle
    return after


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC) + 2 * _DAY, datetime.max.replace(tzinfo=UTC) - 2 * _DAY


def _offset_at(moment: datetime, tz: tzinfo | None) -> timedelta:
    return moment.astimezone(tz).utcoffset() or timedelta()


def _parse(text: str, days: LocalDays | None) -> datetime | None:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    try:
        day = date.fromisoformat(match["date"])
        fraction = (match["fraction"] or "")[:6].ljust(6, "0")
        second = int(match["second"] or 0)
        naive = datetime.combine(day, time(int(match["hour"] or 0), int(match["minute"] or 0), min(second, 59)))
        if second > 60:
            return None
        naive += timedelta(seconds=1) if second == 60 else timedelta(microseconds=int(fraction))
        zone = match["zone"]
        if zone is None:
            if days is None:
                return naive.replace(tzinfo=UTC)
            return days.start(day) if match["hour"] is None else _reached(naive, days.tz)
        return naive.replace(tzinfo=_offset(zone)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _offset(zone: str) -> timezone:
    if zone in ("Z", "z", "UTC"):
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if zone[0] == "-" else offset)


def _shifted(now: datetime, amount: int, unit: str) -> datetime:
    if unit in _UNIT_SECONDS:
        return now + timedelta(seconds=amount * _UNIT_SECONDS[unit])
    months = now.year * 12 + now.month - 1 + amount * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return now.replace(year=year, month=month + 1, day=min(now.day, monthrange(year, month + 1)[1]))


def clock_time(moment: datetime, now: datetime) -> str:
    """Return a time in the local zone, with the date unless it is today's."""
    local, today = moment.astimezone(), now.astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
