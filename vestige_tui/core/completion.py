"""Completion of the word at the end of a filter line: the value of a filter, an id, or a path of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from vestige_tui.core.filter_syntax import FIELDS, Chip
from vestige_tui.core.text import safe

MAX_ENTRIES = 10_000
"""Entries of a folder that are looked at."""

_START = r"(?:\A|(?<=\s))"
_VALUE = re.compile(
    _START + r"([+-]?)(" + "|".join(FIELDS) + r'):(?:"((?:[^"\\]|\\.)+)|([^\s"]\S*))\Z',
    re.DOTALL,
)
_ID = re.compile(_START + r"([0-9a-fA-F][0-9a-fA-F-]{5,34})\Z")
_PATH = re.compile(_START + r"((?:~|\.{1,2})?/\S*)\Z")


@dataclass(frozen=True, slots=True)
class Completion:
    """Completion of a line: as it is ``shown``, with the rest behind the typed text, and the ``line`` once accepted."""

    shown: str
    line: str


def unfinished_field(line: str) -> str | None:
    """Return the field of the filter that a line ends in, without the end of its value; None for another word."""
    match = _VALUE.search(line)
    return match[2] if match else None


def complete_value(line: str, values: Iterable[str]) -> Completion | None:
    """Complete the value of the filter that a line ends in by the first of the values that begins so, in any case."""
    match = _VALUE.search(line)
    if match is None:
        return None
    typed = re.sub(r"\\(.)", r"\1", match[3], flags=re.DOTALL) if match[3] is not None else match[4]
    value = _first(typed, values)
    if value is None:
        return None
    chip = Chip(match[2], value, match[1])
    return Completion(line + value[len(typed) :], f"{line[: match.start()]}{chip} ")


def unfinished_id(line: str) -> str | None:
    """Return the beginning of an id, six characters at least, that a line ends in; None for another word."""
    match = _ID.search(line)
    return match[1] if match else None


def complete_word(line: str, word: str, values: Iterable[str]) -> Completion | None:
    """Complete the word that a line ends in by the first of the values that begins so."""
    value = _first(word, values)
    if value is None:
        return None
    return Completion(line + value[len(word) :], line[: len(line) - len(word)] + value)


def unfinished_path(line: str) -> str | None:
    """Return the path that a line ends in, if it begins as ``/``, ``~/``, ``./`` or ``../``; None for another word."""
    match = _PATH.search(line)
    return match[1] if match else None


def paths_from(path: str) -> list[str]:
    """Return the paths that begin as this one and have no spaces, sorted; a folder ends in ``/``. Reads the disk.

    Raises OSError for a folder that cannot be read.
    """
    folder, _, beginning = path.rpartition("/")
    names: list[str] = []
    with os.scandir(os.path.expanduser(f"{folder}/")) as entries:
        for entry in islice(entries, MAX_ENTRIES):
            hidden = entry.name.startswith(".") and not beginning.startswith(".")
            if entry.name.startswith(beginning) and not hidden and not re.search(r"\s", entry.name):
                names.append(f"{folder}/{entry.name}/" if entry.is_dir() else f"{folder}/{entry.name}")
    return sorted(names)


def _first(typed: str, values: Iterable[str]) -> str | None:
    """Return the first longer value that begins as typed and can be shown as it is: stored text may be hostile."""
    begins = typed.lower()
    for value in values:
        if len(value) > len(typed) and value[: len(typed)].lower() == begins and safe(value) == value:
            return value
    return None
