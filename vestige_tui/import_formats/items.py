"""Items of a file in another program's format, and the two shapes in which such files hold them."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from vestige_tui.core.errors import Usage
from vestige_tui.core.times import parse_stored

MAX_DEPTH = 200
"""Most values within each other that are read; a memory holds fewer."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of our export format that was made from a file, with the line or the position of its source."""

    number: int
    line: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a file that cannot become a line, and why: the rest of a sentence that begins with its number."""

    number: int
    reason: str


Read: TypeAlias = Iterator[Item | Unreadable]
Lines: TypeAlias = Iterable[tuple[int, bytes]]
"""Lines of a file with their numbers, counted from 1."""


def objects(lines: Lines, *keys: str) -> Iterator[tuple[int, dict[str, Any]] | Unreadable]:
    """Yield the objects of a JSON array, of the array under one of ``keys`` of a document, or of JSON Lines."""
    numbered = iter(lines)
    first = next(((number, raw) for number, raw in numbered if raw.strip()), None)
    if first is None:
        return
    if _is_line_of_objects(first[1], keys):
        yield from _of_lines(first, numbered)
        return
    text = first[1] + b"".join(raw for _, raw in numbered)
    try:
        document = json.loads(text.decode("utf-8-sig"))
    except RecursionError:
        raise Usage("The file has a value that is nested too deeply. Nothing was imported.") from None
    except UnicodeDecodeError:
        raise Usage("The file is not UTF-8. Nothing was imported.") from None
    except ValueError as error:
        raise broken_json(error) from None
    others: dict[str, Any] = {}
    if isinstance(document, dict):
        chosen = next((key for key in keys if isinstance(document.get(key), list)), None)
        others = {} if chosen is None else rest_of(document, chosen)
        document = [document] if chosen is None else document[chosen]
    position = 0
    for position, value in enumerate(document if isinstance(document, list) else [document], start=1):
        yield (position, value) if isinstance(value, dict) else Unreadable(position, "is not a JSON object")
    for name, value in others.items():
        if isinstance(value, list | dict) and value:
            position += 1
            yield Unreadable(position, f"({name}) has {len(value):,} values without a place here")


def read_document(lines: Lines) -> Read:
    """Yield the objects of a JSON document in our own format, which mostly has an object a line. Raises Usage."""
    for each in objects(lines):
        yield each if isinstance(each, Unreadable) else Item(*each)


def broken_json(error: ValueError) -> Usage:
    """Return the error on a file that is one JSON document, but ends early or is damaged."""
    at = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "its beginning"
    return Usage(f"The file is not whole: its JSON is damaged or ends at {at}. Nothing was imported.")


def _is_line_of_objects(raw: bytes, keys: tuple[str, ...]) -> bool:
    """Check whether a first line is an object of its own, and not the document around all others."""
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        # A broken first line of many, or a document over several lines.
        return raw.lstrip(b"\xef\xbb\xbf \t")[:1] == b"{" and raw.rstrip()[-1:] == b"}"
    return isinstance(value, dict) and not any(isinstance(value.get(key), list) for key in keys)


def _of_lines(
    first: tuple[int, bytes], rest: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, dict[str, Any]] | Unreadable]:
    line: tuple[int, bytes] | None = first
    while line is not None:
        number, raw = line
        if raw.strip():
            yield _of_line(number, raw)
        line = next(rest, None)


def _of_line(number: int, raw: bytes) -> tuple[int, dict[str, Any]] | Unreadable:
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Unreadable(number, "is not UTF-8")
    except RecursionError:
        return Unreadable(number, "is nested too deeply")
    except ValueError:
        return Unreadable(number, "is not JSON")
    return (number, value) if isinstance(value, dict) else Unreadable(number, "is not a JSON object")


def derived_id(kind: str, text: str) -> str:
    """Return the id of something without one: the same kind and text have the same id in every file and run."""
    name = f"vestige-tui:{kind}\n{text}"
    # Half a pair of surrogates has no UTF-8.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name.encode("utf-8", "replace").decode()))


def plain_values(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON can hold it: numbers that are not finite, dates and bytes as text, a set as a list.

    Raises RecursionError for a value that is nested too deeply, or holds itself.
    """
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, Mapping):
        return {str(key): plain_values(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(each, depth + 1) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(str(each) for each in value)
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def taken_times(data: Mapping[str, Any], names: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the times of an object by our names for them, and the values among them that are no times by its own."""
    values = {theirs: data[theirs] for theirs in names if data.get(theirs) is not None}
    times = {names[theirs]: value for theirs, value in values.items() if parse_stored(value)}
    return times, {theirs: value for theirs, value in values.items() if names[theirs] not in times}


def merged(metadata: Mapping[str, Any], key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with further values under a key; what another program had there stays beside them."""
    if not values:
        return dict(metadata)
    earlier = metadata.get(key)
    if earlier is None:
        return {**metadata, key: dict(values)}
    if isinstance(earlier, Mapping) and not earlier.keys() & values.keys():
        return {**metadata, key: {**earlier, **values}}
    return {**metadata, key: {**values, key: earlier}}


def rest_of(data: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """Return the values that have no place of their own."""
    return {name: value for name, value in data.items() if name not in known and value is not None}
