"""Filters as a person writes them, ``type:decision tag:"two words" since:-30d``, and what they ask of a store."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import Filter
from vestige_tui.core.times import parse_argument

FIELDS: Mapping[str, str] = {
    "domain": "of this domain",
    "type": "of this type",
    "tag": "with this tag",
    "codebase": "of this codebase",
    "owner": "of this owner",
    "recall": "remembered at least this well",
    "since": "made then or later",
    "until": "made before then",
    "is": "replaced, or without a vector",
}
"""What may stand before a colon, and what it asks for."""

MANY: Mapping[str, str] = {"domain": "domains", "type": "node_types", "tag": "tags"}
"""Fields of which several values may be given, meaning any of them, and what the store calls them."""

STATES: Mapping[str, str] = {"replaced": "superseded", "without-vector": "without_embedding"}
"""What may stand behind ``is:``: ``replaced`` lets these in too, ``without-vector`` leaves only those."""

LONGEST_SHOWN = 40

_DAYS = re.compile(r"-?(?P<amount>[0-9]{1,6})(?P<unit>d|w|mo|y)")
_MOMENTS = re.compile(r"(?P<amount>[0-9]{1,6})(?P<unit>s|min|h)")
_BARE = re.compile(r'[^\s"\\][^\s]*')
_NAME = re.compile("(" + "|".join(FIELDS) + "):")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|\Z)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter: a field of ``FIELDS`` and the value that was typed or picked for it."""

    field: str
    value: str

    def __str__(self) -> str:
        """As it is typed: a value with spaces, quotes or backslashes stands in quotes."""
        if _BARE.fullmatch(self.value):
            return f"{self.field}:{self.value}"
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.field}:"{escaped}"'


class BadChip(Usage):
    """A filter that says nothing; ``chip`` is the one."""

    def __init__(self, chip: Chip, message: str) -> None:
        super().__init__(message)
        self.chip = chip


def split_chips(text: str, *, ended: bool = False) -> tuple[str, tuple[Chip, ...]]:
    """The free words and the chips of what was typed: each finished ``field:value`` or ``field:"two words"``.

    While one types, a value is finished by the space after it; in a text that has ``ended``, also by its end.
    """
    words: list[str] = []
    chips: list[Chip] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            words.append(text[at])
            at += 1
            continue
        if (name := _NAME.match(text, at)) and (found := _QUOTED.match(text, name.end())):
            if found[1]:
                chips.append(Chip(name[1], re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)))
                at = found.end()
                # The space that ended a chip goes with it.
                at += at < len(text)
                continue
        elif name and (bare := _BARE.match(text, name.end())) and (ended or bare.end() < len(text)):
            chips.append(Chip(name[1], bare[0]))
            at = bare.end() + (bare.end() < len(text))
            continue
        stop = next((i for i in range(at, len(text)) if text[i].isspace()), len(text))
        words.append(text[at:stop])
        at = stop
    return "".join(words), tuple(chips)


def read_chips(text: str) -> tuple[Chip, ...]:
    """The chips of a text that holds nothing else. Raises ``Usage``, also for a value that means nothing."""
    words, chips = split_chips(text, ended=True)
    if rest := words.split():
        name, colon, _ = rest[0].partition(":")
        known = ", ".join(FIELDS)
        if colon and name in FIELDS:
            raise Usage(f"{name}: has no value that could be read")
        said = f"{_shown(name)}: is no field of a filter" if colon else f"{_shown(rest[0])} has no field"
        raise Usage(f"{said}; the fields are {known}")
    if not chips:
        raise Usage("it holds no filter")
    filter_of(chips, datetime.now(UTC))
    return chips


def write_chips(chips: Iterable[Chip]) -> str:
    """The chips as one would type them; ``read_chips`` takes them back."""
    return " ".join(map(str, chips))


def settled(chips: Iterable[Chip]) -> tuple[Chip, ...]:
    """Each chip once; a field that takes one value keeps the last one given."""
    chips = tuple(chips)
    last = {chip.field: chip for chip in chips}
    several = (*MANY, "is")
    return tuple(chip for chip in dict.fromkeys(chips) if chip.field in several or chip == last[chip.field])


def without_field(chips: Iterable[Chip], field: str) -> tuple[Chip, ...]:
    """The chips of the other fields."""
    return tuple(chip for chip in chips if chip.field != field)


def filter_of(chips: Iterable[Chip], now: datetime) -> Filter:
    """The filter that these chips say; several of one field mean any of them. Raises ``BadChip``.

    ``owner`` is as it was written: ``Store.resolved`` makes an id of it.
    """
    many: dict[str, list[str]] = {}
    fields: dict[str, Any] = {}
    for chip in settled(chips):
        if chip.field in MANY:
            many.setdefault(MANY[chip.field], []).append(chip.value)
        elif chip.field in ("since", "until"):
            fields[chip.field] = _moment(chip, now)
        elif chip.field == "recall":
            fields["min_retrievability"] = _share(chip)
        elif chip.field == "is":
            state = STATES.get(chip.value)
            if state is None:
                raise BadChip(chip, f"is: takes {' or '.join(STATES)}, not {_shown(chip.value)}.")
            fields[state] = True
        else:
            fields[chip.field] = chip.value
    fields |= {name: tuple(values) for name, values in many.items()}
    return Filter(**fields)


def _moment(chip: Chip, now: datetime) -> datetime:
    """``-30d`` and ``3mo`` are the local midnight at which that day began, so that a filter means one thing all day."""
    word = chip.value.strip().lower()
    try:
        if shift := _DAYS.fullmatch(word):
            local = now.astimezone().replace(tzinfo=UTC)
            day = parse_argument(f"-{shift['amount']}{shift['unit']}", local).date()
            return parse_argument(day.isoformat(), now)
        return parse_argument(f"-{word}" if _MOMENTS.fullmatch(word) else word, now)
    except Usage as error:
        outside = "outside the years" in error.message
        said = "lies outside the years 1 to 9999" if outside else "was not understood: give -30d, today or 2026-11-01"
        raise BadChip(chip, f"The time {_shown(chip.value)} {said}.") from None


def _share(chip: Chip) -> float:
    word = chip.value.strip().lstrip("<>=≥").strip()
    try:
        value = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 or chip.value.lstrip().startswith("<"):
        raise BadChip(chip, f"recall takes a number from 0 to 1, such as 0.8, not {_shown(chip.value)}.")
    return value


def _shown(value: str) -> str:
    # Escaped, so that a value that could not be read is seen for what it is.
    return ascii(value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}...")


def same_chips(one: Sequence[Chip], other: Sequence[Chip]) -> bool:
    """Do they ask for the same, in whichever order?"""
    return set(settled(one)) == set(settled(other))
