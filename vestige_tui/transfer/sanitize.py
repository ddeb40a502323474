"""Sanitize values of a SQLite file, or of an imported line, for every database, one by one, and keep the originals."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, overload

from vestige_tui.core.storable import (
    MAX_INTEGER,
    MAX_LABEL_CHARS,
    MAX_METADATA_DEPTH,
    MAX_TAG_COUNT,
    clean,
    clean_note,
    encode,
    is_deep,
    is_escaped,
    storable_json,
)
from vestige_tui.core.times import parse_stored

MAX_DEPTH = 920
"""Deepest nesting of JSON that a copy keeps: every supported Python parses it; 3.11 stops a little below 1,000."""
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

_FAR_YEAR = re.compile(r"\+?[0-9]{5,}-[0-9]{2}-[0-9]{2}")
# Patterns that Python's JSON parser accepts and PostgreSQL rejects, or that overflow in between.
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|NaN|Infinity|[0-9][eE]\+?[0-9]{3}|[0-9]{300}")


def json_value(value: object) -> Any:
    """Return an original as a JSON value: unchanged if possible, else base64 of its bytes."""
    if isinstance(value, str):
        if encode(value) is not None:
            return value
        raw = value.encode("utf-8", "surrogateescape" if is_escaped(value) else "surrogatepass")
        return {"base64": base64.b64encode(raw).decode()}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def shown(value: object) -> str:
    """Return a key of a source row for a finding, at most 1,000 characters."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    return clean("NULL" if value is None else str(value))[:1_000]


def sentence(reason: str) -> str:
    """Return a reason as a sentence, with a capital and a full stop."""
    text = shown(reason).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


class RowSanitizer:
    """Sanitizer of one row: returns storable values, and records the notes and originals of those that it changed."""

    __slots__ = ("notes", "originals", "plain")

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain
        """True where the JSON text of all parsed values is known to hold nothing that must be cleaned."""
        self.notes: list[str] = []
        self.originals: dict[str, Any] = {}

    def changed(self, field: str, original: object, note: str) -> None:
        self.notes.append(f"{field.replace('_', ' ')} {note}")
        self.originals[field] = json_value(original)

    def text(self, field: str, value: object, default: str = "", limit: int = 0) -> bytes:
        """Return text in UTF-8, cut at ``limit`` characters if it is not 0."""
        if type(value) is str and (raw := encode(value)) is not None:
            if not limit or len(value) <= limit:
                return raw
            self.changed(field, value, f"was cut from {len(value):,} to {limit} characters")
            return value[:limit].encode()
        if value is None:
            self.changed(field, None, "was missing")
            return default.encode()
        if isinstance(value, bytes):
            text, note = value.decode("utf-8", "surrogateescape"), "was stored as bytes"
        elif isinstance(value, str):
            text, note = value, clean_note(value)
        else:
            text, note = str(value), "was stored as a number"
        self.changed(field, value, note)
        storable = clean(text)
        return (storable[:limit] if limit else storable).encode()

    def optional(self, field: str, value: object, limit: int = 0) -> bytes | None:
        return None if value is None else self.text(field, value, limit=limit)

    @overload
    def moment(self, field: str, value: object, *others: object, default: datetime) -> datetime: ...

    @overload
    def moment(self, field: str, value: object, *others: object) -> datetime | None: ...

    def moment(self, field: str, value: object, *others: object, default: datetime | None = None) -> datetime | None:
        """Return a time, else the first valid one of ``others``, or ``default``. Without a default None stays None."""
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if isinstance(text, str):
            if parsed := parse_stored(text):
                return parsed
            if _FAR_YEAR.match(text.strip()):
                self.changed(field, value, "was after the year 9999")
                return LATEST
        elif text is None and default is None:
            return None
        fallback = next((parsed for other in others if (parsed := parse_stored(_as_text(other)))), default)
        self.changed(field, value, "was missing" if text is None else "was not a valid time")
        return fallback

    def number(self, field: str, value: object, low: float, high: float, default: float) -> float:
        if type(value) is float or type(value) is int:
            if low <= value <= high:
                return float(value)
            if value == value:
                self.changed(field, value, f"was {value!r}, outside {low:,.10g} to {high:,.10g}")
                return low if value < low else high
        self.changed(field, value, "was not a number")
        return default

    def count(self, field: str, value: object) -> int:
        if type(value) is int and 0 <= value <= MAX_INTEGER:
            return value
        return int(self.number(field, value, 0, MAX_INTEGER, 0))

    def json(self, field: str, value: object, kind: type[dict[str, Any]] | type[list[Any]]) -> tuple[Any, bytes | None]:
        """Return JSON data of one kind, and its own text where that is storable."""
        empty = kind()
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if not isinstance(value, str):
            self.changed(field, value, "was missing" if value is None else "was not JSON")
            return empty, None
        raw = encode(value)
        if raw is None:
            self.changed(field, value, "was not valid UTF-8")
            value = clean(value)
        try:
            data = json.loads(value)
            if not isinstance(data, kind):
                raise ValueError
            if value.count("{") + value.count("[") > MAX_DEPTH and is_deep(data, MAX_DEPTH):
                raise RecursionError
            if raw is not None and not _SUSPECT.search(value):
                return data, raw
            storable = storable_json(data)
        except (ValueError, RecursionError) as error:
            if field not in self.originals:
                reason = f"was not a JSON {'object' if kind is dict else 'list'}"
                self.changed(field, value, "was nested too deeply" if isinstance(error, RecursionError) else reason)
            return empty, None
        if storable != data and field not in self.originals:
            self.changed(field, value, "contained values that cannot be stored")
        return storable, None

    def parsed(self, field: str, data: Any, limit: int = MAX_METADATA_DEPTH) -> Any:
        """Return parsed JSON data as it can be stored, empty where it is nested deeper than ``limit``."""
        if self.plain:
            return data
        if is_deep(data, limit):
            self.changed(field, json.dumps(data), "was nested too deeply")
            return type(data)()
        storable = storable_json(data)
        if storable != data:
            self.changed(field, json.dumps(data), "contained values that cannot be stored")
        return storable

    def labels(self, field: str, value: object) -> list[bytes]:
        """Return the short texts of a JSON list, such as tags or domains."""
        if value == "[]":
            return []
        notes_before = len(self.notes)
        data, _ = self.json(field, value, list)
        labels, note = _cut_labels(data)
        if note and len(self.notes) == notes_before:
            self.changed(field, value, note)
        return [label.encode() for label in labels]

    def parsed_labels(self, field: str, data: list[Any]) -> list[str]:
        """Return the short texts of a parsed JSON list."""
        notes_before = len(self.notes)
        labels, note = _cut_labels(self.parsed(field, data))
        if note and len(self.notes) == notes_before:
            self.changed(field, json.dumps(data), note)
        return labels

    def choice(self, field: str, value: object, allowed: Sequence[str], default: str) -> bytes:
        if value not in allowed:
            self.changed(field, value, f"was not one of {', '.join(allowed)}")
            value = default
        return str(value).encode()


def _cut_labels(data: list[Any]) -> tuple[list[str], str]:
    """Return the items of a list as labels, and a note on the changes; empty without any."""
    items = [item if type(item) is str else json.dumps(item) for item in data if item is not None]
    note = ""
    if len(items) > MAX_TAG_COUNT:
        note = f"were {len(items):,}; {MAX_TAG_COUNT:,} were kept"
    elif any(len(item) > MAX_LABEL_CHARS for item in items):
        note = f"were cut at {MAX_LABEL_CHARS} characters"
    elif len(items) != len(data) or any(type(item) is not str for item in data):
        note = "contained values that are not text"
    return [item[:MAX_LABEL_CHARS] for item in items[:MAX_TAG_COUNT]], note


def dump(data: Any) -> bytes:
    """Serialize JSON in UTF-8 for PostgreSQL."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None
