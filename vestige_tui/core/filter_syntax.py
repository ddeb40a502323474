"""Written form of filters, ``type:decision tag:"two words" since:-30d``, and its translation into a ``Filter``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Any

from vestige_tui.core.errors import TimeOutOfRange, Usage
from vestige_tui.core.memories import VISIBILITIES, Filter
from vestige_tui.core.times import CALENDAR_DAYS, LocalDays, parse_argument

FIELDS: Mapping[str, str] = {
    "domain": "in this domain",
    "type": "of this type",
    "tag": "with this tag",
    "codebase": "of this codebase",
    "owner": "of this owner",
    "visibility": "private, group or public",
    "group": "shared with this group",
    "recall": "recall of at least this",
    "since": "created at or after this time",
    "until": "created before this time",
    "is": "only memories in this state",
    "with": "replaced memories too",
}
"""The fields, with the help text of each."""

MANY: Mapping[str, str] = {
    "domain": "domains",
    "type": "node_types",
    "tag": "tags",
    "codebase": "codebases",
    "visibility": "visibilities",
    "group": "groups",
}
"""Fields that take several values, with the attribute of ``Filter`` that holds those of which any is enough."""

SIGNED = (*MANY, "owner", "is")
"""Fields that take a sign: ``+tag:a +tag:b`` is all of them, ``-tag:a`` none of them."""

STATES: Mapping[str, str] = {
    "replaced": "replaced by another memory",
    "due": "due by the end of today",
    "new": "never reviewed",
    "suspended": "suspended from reviews",
    "buried": "buried until a date",
    "leech": "forgotten again and again",
    "pinned": "kept when several memories are deleted at once",
    "without-vector": "without a vector",
}
"""Values of ``is:`` with the help text of each; several of them all apply."""

INCLUDED: Mapping[str, str] = {"replaced": "superseded"}
"""Values of ``with:``, which show more memories, with the attribute of ``Filter`` for each."""

MAX_SHOWN_CHARS = 40

_DAY_SHIFT = re.compile(r"-?(?P<amount>[0-9]{1,6})(?P<unit>d|w|mo|y)")
_TIME_SHIFT = re.compile(r"(?P<amount>[0-9]{1,6})(?P<unit>s|min|h)")
_BARE_VALUE = re.compile(r'[^\s"\\][^\s]*')
_FIELD_PREFIX = re.compile("([+-]?)(" + "|".join(FIELDS) + "):")
_UNKNOWN_FIELD = re.compile(r"[+-]?([A-Za-z]+):(?=[^\s:])")
_PREFIXES = {"": "", "+": "all_", "-": "no_"}
_QUOTED_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|\Z)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter: a field of ``FIELDS``, the value typed or picked for it, and the sign before it.

    Values without a sign apply together as any of them, with ``+`` as all of them, with ``-`` as none of them.
    """

    field: str
    value: str
    sign: str = ""

    def __str__(self) -> str:
        """Return the typed form; a value with spaces, quotes or backslashes is quoted."""
        if _BARE_VALUE.fullmatch(self.value):
            return f"{self.sign}{self.field}:{self.value}"
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.sign}{self.field}:"{escaped}"'


class BadChip(Usage):
    """Error about a chip without meaning; ``chip`` is that chip."""

    def __init__(self, chip: Chip, message: str) -> None:
        super().__init__(message)
        self.chip = chip


def split_chips(text: str, *, ended: bool = False) -> tuple[str, tuple[Chip, ...]]:
    """Split a text into its free words and its chips: each finished ``field:value`` or ``field:"two words"``.

    A sign counts only directly before the name of a field: ``-"tag:x"`` and ``c++`` are words. While the user types, a
    value is finished by the space after it; in a text that has ``ended``, also by its end.
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
                chips.append(Chip(name[2], re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), name[1]))
                position = quoted.end()
                # The space that ended a chip belongs to it.
                position += position < len(text)
                continue
        elif name and (bare := _BARE_VALUE.match(text, name.end())) and (ended or bare.end() < len(text)):
            chips.append(Chip(name[2], bare[0], name[1]))
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
        if colon and name.lstrip("+-") in FIELDS:
            raise Usage(f"the filter '{name}:' has no valid value")
        if not colon:
            raise Usage(f"{_excerpt(rest[0])} has no field; the fields are {', '.join(FIELDS)}")
        raise Usage(unknown_field(name))
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
    last = {chip.field: chip for chip in chips if not _takes_several(chip)}
    return tuple(chip for chip in dict.fromkeys(chips) if _takes_several(chip) or chip == last[chip.field])


def _takes_several(chip: Chip) -> bool:
    return chip.field in MANY or chip.field in ("is", "with") or bool(chip.sign)


def without_field(chips: Iterable[Chip], field: str) -> tuple[Chip, ...]:
    """Return the chips of the other fields, and those of this field that have a sign."""
    return tuple(chip for chip in chips if chip.field != field or chip.sign)


def filter_of(chips: Iterable[Chip], now: datetime, days: LocalDays = CALENDAR_DAYS) -> Filter:
    """Return the filter of these chips; of several values of one field any is enough. Raises ``BadChip``.

    ``owner`` and ``group`` stay as written: ``resolve_owner`` of a store replaces them by ids.
    """
    many: dict[str, list[str]] = {}
    fields: dict[str, Any] = {}
    for chip in normalized(chips):
        if chip.sign and chip.field not in SIGNED:
            signed = ", ".join(SIGNED)
            raise BadChip(chip, f"The filter '{chip.field}:' takes no {chip.sign} before it; only {signed} do.")
        if chip.field in MANY:
            value = _one_of(chip, VISIBILITIES) if chip.field == "visibility" else chip.value
            many.setdefault(_PREFIXES[chip.sign] + MANY[chip.field], []).append(value)
        elif chip.field in ("since", "until"):
            fields[chip.field] = _moment(chip, now, days)
        elif chip.field == "recall":
            fields["min_retrievability"] = _share(chip)
        elif chip.field == "is":
            many.setdefault("no_states" if chip.sign == "-" else "states", []).append(_one_of(chip, STATES))
        elif chip.field == "with":
            fields[INCLUDED[_one_of(chip, INCLUDED)]] = True
        elif chip.sign == "-":
            many.setdefault("no_owners", []).append(chip.value)
        else:
            fields["owner"] = chip.value
    fields |= {name: tuple(dict.fromkeys(values)) for name, values in many.items()}
    return Filter(**fields)


def _one_of(chip: Chip, values: Iterable[str]) -> str:
    if chip.value in values:
        return chip.value
    close = nearest(chip.value.lower(), values)
    hint = f"; did you mean {close}?" if close else "."
    *others, last = values
    listed = f"{', '.join(others)} or {last}" if others else last
    raise BadChip(chip, f"The filter '{chip.field}:' takes {listed}, not {_excerpt(chip.value)}{hint}")


def unknown_field(name: str) -> str:
    """Return the fault of a name that is no field, with the field that was probably meant, or all of them."""
    close = nearest(name.lstrip("+-").lower(), FIELDS)
    hint = f"did you mean {close}:?" if close else f"the fields are {', '.join(FIELDS)}"
    return f"{_excerpt(name)} is not a filter field; {hint}"


def may_become_filter(text: str) -> bool:
    """Check whether a text may be the beginning of one filter: ``ty``, ``-type:deci``, ``tag:"two wo``."""
    name, colon, _ = text.lstrip("+-").partition(":")
    return name in FIELDS if colon else any(field.startswith(name) for field in FIELDS)


def misspelled_field(words: str) -> str:
    """Return a hint on the first word of a query that looks like a misspelled filter; empty if none does.

    ``tgas:x`` does; ``std::vector`` and ``http://x`` do not.
    """
    for word in words.split():
        name = _UNKNOWN_FIELD.match(word)
        if name is None or name[1] in FIELDS or word[name.end() :].startswith("/"):
            continue
        if close := nearest(name[1].lower(), FIELDS):
            return f"The query searches for '{name[1]}:' as a word; the filter is '{close}:'"
    return ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that differs from this one by the fewest letters, at most two and not all; None if none does."""
    best = min((_edits(name, each), each) for each in names)
    return best[1] if best[0] <= 2 and best[0] < min(len(name), len(best[1])) else None


def _edits(one: str, other: str) -> int:
    """Return the optimal string alignment distance: letters inserted, deleted, replaced or swapped with the next."""
    one = one[:MAX_SHOWN_CHARS]
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, against in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def read_option(text: str) -> Chip:
    """Return the chip of an option's ``FIELD:VALUE``. Raises Usage for a text that is none."""
    name, colon, value = text.partition(":")
    if not colon or not value:
        raise Usage(f"{_excerpt(text)} is not FIELD:VALUE, such as tag:draft.")
    if name not in SIGNED:
        if name in FIELDS:
            raise Usage(f"The filter '{name}:' cannot be excluded; only {', '.join(SIGNED)} can.")
        raise Usage(unknown_field(name))
    return Chip(name, value)


def saved_text(chips: Iterable[Chip]) -> str:
    """Return the chips as a saved filter: ``is:replaced`` has a sign there, as it once included replaced memories."""
    old = Chip("is", "replaced")
    return write_chips(replace(chip, sign="+") if chip == old else chip for chip in chips)


def upgraded_text(text: str) -> str:
    """Return the text of a saved filter with ``with:replaced`` for the ``is:replaced`` of earlier versions."""
    old = Chip("is", "replaced")
    words, chips = split_chips(text, ended=True)
    if words.strip() or old not in chips:
        return text
    return write_chips(Chip("with", "replaced") if chip == old else chip for chip in chips)


def narrows(chip: Chip, names: Collection[str], now: datetime, days: LocalDays = CALENDAR_DAYS) -> bool:
    """Check whether a chip sets one of these fields of ``Filter``; a chip without meaning sets none."""
    try:
        chosen = filter_of([chip], now, days)
    except BadChip:
        return False
    return any(getattr(chosen, name) != getattr(Filter(), name) for name in names)


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
        raise BadChip(
            chip, f"The filter 'recall:' takes a number from 0 to 1, such as 0.8, not {_excerpt(chip.value)}."
        )
    return value


def _excerpt(value: str) -> str:
    # Escaped, so that control characters in an unreadable value are visible.
    return ascii(value if len(value) <= MAX_SHOWN_CHARS else f"{value[:MAX_SHOWN_CHARS]}...")


def same_chips(one: Sequence[Chip], other: Sequence[Chip]) -> bool:
    """Return True if both lists filter alike, in any order."""
    return set(normalized(one)) == set(normalized(other))
