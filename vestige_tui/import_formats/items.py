"""Items of a file in another program's format, and the two shapes in which such files hold them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from vestige_tui.core.errors import Usage


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
    if isinstance(document, dict):
        document = next((document[key] for key in keys if isinstance(document.get(key), list)), [document])
    for position, value in enumerate(document if isinstance(document, list) else [document], start=1):
        yield (position, value) if isinstance(value, dict) else Unreadable(position, "is not a JSON object")


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


def rest_of(data: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """Return the values that have no place of their own."""
    return {name: value for name, value in data.items() if name not in known and value is not None}
