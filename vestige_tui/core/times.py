"""Times: read from a store, read from a command line, formatted.

Inside the program every moment is a timezone-aware UTC datetime.
"""

from __future__ import annotations

import re
from calendar import monthrange
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


def parse_argument(text: str, now: datetime, tz: tzinfo | None = None) -> datetime:
    """Parse a time that the user wrote: RFC 3339, ``2026-11-01``, ``today`` (and its neighbours), ``now``, ``-7d``.

    Units are s, min, h, d, w, mo, y. Without a zone it is in ``tz``, by default the machine's; a bare date is its
    midnight. Raises ``Usage``.
    """
    word = text.strip().lower()
    try:
        if word == "now":
            return now.astimezone(UTC)
        if word in _DAY_OFFSETS:
            return local_midnight(now, tz, days=_DAY_OFFSETS[word])
        if shift := _SHIFT.fullmatch(word):
            amount = int(shift["sign"] + shift["amount"])
            return _shifted(now.astimezone(UTC), amount, shift["unit"])
    except (ValueError, OverflowError):
        raise TimeOutOfRange(f"The time {text.strip()[:60]!a} lies outside the years 1 to 9999.") from None
    moment = _parse(text, tz, local=True)
    if moment is None:
        raise Usage(
            f"The time {text.strip()[:60]!a} was not understood: give today, -7d, 2026-11-01 or an RFC 3339 time."
        )
    return moment


def format_time(moment: datetime) -> str:
    """Format in RFC 3339, UTC, always 32 characters: ``2026-05-01T12:00:00.123456+00:00``. Naive means UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def local_midnight(now: datetime, tz: tzinfo | None = None, *, days: int = 0) -> datetime:
    """Return the UTC moment at which ``now``'s day, or that ``days`` later, begins in ``tz`` (default: the machine's).

    If a clock change skips midnight it is the first moment of the day; if one repeats it, the first of the two.
    """
    return _midnight(now.astimezone(tz).date() + timedelta(days=days), tz)


def _midnight(day: date, tz: tzinfo | None) -> datetime:
    return _in_zone(datetime.combine(day, time.min), tz)


def _in_zone(naive: datetime, tz: tzinfo | None) -> datetime:
    # astimezone takes a naive datetime for the machine's local time, with the offset of that day.
    return (naive if tz is None else naive.replace(tzinfo=tz)).astimezone(UTC)


def _parse(text: str, tz: tzinfo | None, *, local: bool = False) -> datetime | None:
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
            return _in_zone(naive, tz) if local else naive.replace(tzinfo=UTC)
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
