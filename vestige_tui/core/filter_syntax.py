"""Written form of filters, ``type:decision tag:"two words" since:-30d``, and its translation into a ``Filter``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from vestige_tui.core.errors import TimeOutOfRange, Usage
from vestige_tui.core.memories import Filter
from vestige_tui.core.times import CALENDAR_DAYS, LocalDays, parse_argument

FIELDS: Mapping[str, str] = {
    "domain": "in this domain",
    "type": "of this type",
    "tag": "with this tag",
    "codebase": "of this codebase",
    "owner": "of this owner",
    "recall": "recall of at least this",
    "since": "created then or later",
    "until": "created before then",
    "is": "replaced, or without a vector",
}
"""The fields, with the help text of each."""

MANY: Mapping[str, str] = {"domain": "domains", "type": "node_types", "tag": "tags"}
"""Fields that take several values (ORed), with the attribute of ``Filter`` that holds them."""

STATES: Mapping[str, str] = {"replaced": "superseded", "without-vector": "without_embedding"}
"""Values of ``is:``: ``replaced`` includes replaced memories, ``without-vector`` keeps only those without a vector."""

MAX_SHOWN_CHARS = 40

_DAY_SHIFT = re.compile(r"-?(?P<amount>[0-9]{1,6})(?P<unit>d|w|mo|y)")
_TIME_SHIFT = re.compile(r"(?P<amount>[0-9]{1,6})(?P<unit>s|min|h)")
_BARE_VALUE = re.compile(r'[^\s"\\][^\s]*')
_FIELD_PREFIX = re.compile("(" + "|".join(FIELDS) + "):")
_QUOTED_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|\Z)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter: a field of ``FIELDS`` and the value typed or picked for it."""

    field: str
    value: str

    def __str__(self) -> str:
        """Return the typed form; a value with spaces, quotes or backslashes is quoted."""
        if _BARE_VALUE.fullmatch(self.value):
            return f"{self.field}:{self.value}"
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.field}:"{escaped}"'


class BadChip(Usage):
    """Error about a chip without meaning; ``chip`` is that chip."""

    def __init__(self, chip: Chip, message: str) -> None:
        super().__init__(message)
        self.chip = chip


def split_chips(text: str, *, ended: bool = False) -> tuple[str, tuple[Chip, ...]]:
    """Split a text into its free words and its chips: each finished ``field:value`` or ``field:"two words"``.

    While the user types, a value is finished by the space after it; in a text that has ``ended``, also by its end.
    """
    words: list[str] = []
    chips: list[Chip] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            words.append(text[position])
            position += 1
            continue
        if (name := _FIELD_PREFIX.match(text, position)) and (quoted := _QUOTED_VALUE.match(text, name.end())):
            if quoted[1]:
                chips.append(Chip(name[1], re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)))
                position = quoted.end()
                # The space that ended a chip belongs to it.
                position += position < len(text)
                continue
        elif name and (bare := _BARE_VALUE.match(text, name.end())) and (ended or bare.end() < len(text)):
            chips.append(Chip(name[1], bare[0]))
            position = bare.end() + (bare.end() < len(text))
            continue
        stop = next((i for i in range(position, len(text)) if text[i].isspace()), len(text))
        words.append(text[position:stop])
        position = stop
    return "".join(words), tuple(chips)


def read_chips(text: str) -> tuple[Chip, ...]:
    """Return the chips of a text without free words. Raises ``Usage``, also for a value without meaning."""
    words, chips = split_chips(text, ended=True)
    if rest := words.split():
        name, colon, _ = rest[0].partition(":")
        field_names = ", ".join(FIELDS)
        if colon and name in FIELDS:
            raise Usage(f"{name}: has no valid value")
        problem = f"{_excerpt(name)}: is not a filter field" if colon else f"{_excerpt(rest[0])} has no field"
        raise Usage(f"{problem}; the fields are {field_names}")
    if not chips:
        raise Usage("it contains no filter")
    filter_of(chips, datetime.now(UTC))
    return chips


def write_chips(chips: Iterable[Chip]) -> str:
    """Return the chips as typed text; ``read_chips`` reads it back."""
    return " ".join(map(str, chips))


def normalized(chips: Iterable[Chip]) -> tuple[Chip, ...]:
    """Return each chip once; a field that takes one value keeps the last one."""
    chips = tuple(chips)
    last = {chip.field: chip for chip in chips}
    several = (*MANY, "is")
    return tuple(chip for chip in dict.fromkeys(chips) if chip.field in several or chip == last[chip.field])


def without_field(chips: Iterable[Chip], field: str) -> tuple[Chip, ...]:
    """Return the chips of the other fields."""
    return tuple(chip for chip in chips if chip.field != field)


def filter_of(chips: Iterable[Chip], now: datetime, days: LocalDays = CALENDAR_DAYS) -> Filter:
    """Return the filter of these chips; several of one field are ORed. Raises ``BadChip``.

    ``owner`` stays as written: ``Store.resolved`` replaces it by an id.
    """
    many: dict[str, list[str]] = {}
    fields: dict[str, Any] = {}
    for chip in normalized(chips):
        if chip.field in MANY:
            many.setdefault(MANY[chip.field], []).append(chip.value)
        elif chip.field in ("since", "until"):
            fields[chip.field] = _moment(chip, now, days)
        elif chip.field == "recall":
            fields["min_retrievability"] = _share(chip)
        elif chip.field == "is":
            state = STATES.get(chip.value)
            if state is None:
                raise BadChip(chip, f"is: takes {' or '.join(STATES)}, not {_excerpt(chip.value)}.")
            fields[state] = True
        else:
            fields[chip.field] = chip.value
    fields |= {name: tuple(values) for name, values in many.items()}
    return Filter(**fields)


def _moment(chip: Chip, now: datetime, days: LocalDays) -> datetime:
    """Parse a time; ``-30d`` and ``3mo`` mean the start of that local day, so that a filter is stable all day."""
    word = chip.value.strip().lower()
    try:
        if shift := _DAY_SHIFT.fullmatch(word):
            today = datetime.combine(days.of(now), time.min, UTC)
            return days.start(parse_argument(f"-{shift['amount']}{shift['unit']}", today).date())
        return parse_argument(f"-{word}" if _TIME_SHIFT.fullmatch(word) else word, now, days)
    except TimeOutOfRange:
        raise BadChip(chip, f"The time {_excerpt(chip.value)} is outside the years 1 to 9999.") from None
    except Usage:
        problem = "is not valid; use -30d, today or 2026-11-01"
        raise BadChip(chip, f"The time {_excerpt(chip.value)} {problem}.") from None


def _share(chip: Chip) -> float:
    word = chip.value.strip().lstrip("<>=≥").strip()
    try:
        value = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 or chip.value.lstrip().startswith("<"):
        raise BadChip(chip, f"recall: takes a number from 0 to 1, such as 0.8, not {_excerpt(chip.value)}.")
    return value


def _excerpt(value: str) -> str:
    # Escaped, so that control characters in an unreadable value are visible.
    return ascii(value if len(value) <= MAX_SHOWN_CHARS else f"{value[:MAX_SHOWN_CHARS]}...")


def same_chips(one: Sequence[Chip], other: Sequence[Chip]) -> bool:
    """Return True if both lists filter alike, in any order."""
    return set(normalized(one)) == set(normalized(other))
