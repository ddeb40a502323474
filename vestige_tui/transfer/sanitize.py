"""Sanitize values of a SQLite file for PostgreSQL, one by one, and keep the originals.

TEXT arrives with invalid UTF-8 as half surrogates (``surrogateescape``), so that the original bytes can be kept.
"""

from __future__ import annotations

import base64
import json
import math
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, overload

from vestige_tui.core.storable import as_uuid
from vestige_tui.core.times import parse_stored

MAX_LABEL_CHARS = 255
MAX_TAG_COUNT = 1_000
MAX_INTEGER = 2**31 - 1
"""Largest value of a PostgreSQL integer."""
MAX_DEPTH = 920
"""Maximum nesting of JSON that every supported Python parses; 3.11 stops a little below 1,000."""
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

_NUL, _NUL_SYMBOL = "\0", "\u2400"
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FAR_YEAR = re.compile(r"\+?[0-9]{5,}-[0-9]{2}-[0-9]{2}")
# Patterns that Python's JSON parser accepts and PostgreSQL rejects, or that overflow in between.
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|NaN|Infinity|[0-9][eE]\+?[0-9]{3}|[0-9]{300}")


def encode(text: str) -> bytes | None:
    """Return the text as UTF-8 for PostgreSQL; None where it must be cleaned first."""
    if _NUL in text:
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def clean(text: str) -> str:
    """Return the text with NUL as its symbol and invalid UTF-8 replaced."""
    if encode(text) is not None:
        return text
    raw = text.encode("utf-8", "surrogateescape") if _escaped(text) else text.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace").replace(_NUL, _NUL_SYMBOL)


def _escaped(text: str) -> bool:
    """Check whether all half surrogates stand for single bytes."""
    return all(not "\ud800" <= character <= "\udfff" or "\udc80" <= character <= "\udcff" for character in text)


def json_value(value: object) -> Any:
    """Return an original as a JSON value: unchanged if possible, else base64 of its bytes."""
    if isinstance(value, str):
        if encode(value) is not None:
            return value
        raw = value.encode("utf-8", "surrogateescape" if _escaped(value) else "surrogatepass")
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


def is_canonical(raw: object) -> bool:
    return isinstance(raw, str) and _CANONICAL.fullmatch(raw) is not None


def new_id(raw: object) -> bytes:
    """Return the 16 bytes of the UUID for a source id, the same wherever the id occurs."""
    if isinstance(raw, str):
        if _CANONICAL.fullmatch(raw):
            return bytes.fromhex(raw.replace("-", ""))
        if parsed := as_uuid(raw):
            return parsed.bytes
    name = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else str(raw)
    try:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"vestige:{name}").bytes
    except UnicodeEncodeError:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"vestige:{clean(name)}").bytes


class RowSanitizer:
    """Sanitizer of one row: returns storable values, and records the notes and originals of those that it changed."""

    __slots__ = ("notes", "originals")

    def __init__(self) -> None:
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
            text = value
            note = "held NUL characters" if _NUL in value else "was not valid UTF-8"
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
                self.changed(field, value, "lay beyond the year 9999")
                return LATEST
        elif text is None and default is None:
            return None
        fallback = next((parsed for other in others if (parsed := parse_stored(_as_text(other)))), default)
        self.changed(field, value, "was missing" if text is None else "was no readable time")
        return fallback

    def number(self, field: str, value: object, low: float, high: float, default: float) -> float:
        if type(value) is float or type(value) is int:
            if low <= value <= high:
                return float(value)
            if value == value:
                self.changed(field, value, f"was {value!r}, outside {low:g} to {high:g}")
                return low if value < low else high
        self.changed(field, value, "was no number")
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
            self.changed(field, value, "was missing" if value is None else "was no JSON")
            return empty, None
        raw = encode(value)
        if raw is None:
            self.changed(field, value, "was not valid UTF-8")
            value = clean(value)
        try:
            data = json.loads(value)
            if not isinstance(data, kind):
                raise ValueError
            if value.count("{") + value.count("[") > MAX_DEPTH and _is_deep(data):
                raise RecursionError
            if raw is not None and not _SUSPECT.search(value):
                return data, raw
            storable = _storable(data)
        except (ValueError, RecursionError) as error:
            if field not in self.originals:
                reason = f"was no JSON {'object' if kind is dict else 'list'}"
                self.changed(field, value, "was nested too deeply" if isinstance(error, RecursionError) else reason)
            return empty, None
        if storable != data and field not in self.originals:
            self.changed(field, value, "held values that cannot be stored")
        return storable, None

    def labels(self, field: str, value: object) -> list[bytes]:
        """Return the short texts of a JSON list, such as tags or domains."""
        if value == "[]":
            return []
        notes_before = len(self.notes)
        data, _ = self.json(field, value, list)
        items = [item if type(item) is str else json.dumps(item) for item in data if item is not None]
        if len(self.notes) == notes_before:
            if len(items) > MAX_TAG_COUNT:
                self.changed(field, value, f"were {len(items):,}; {MAX_TAG_COUNT:,} were kept")
            elif any(len(item) > MAX_LABEL_CHARS for item in items):
                self.changed(field, value, f"were cut at {MAX_LABEL_CHARS} characters")
            elif len(items) != len(data) or any(type(item) is not str for item in data):
                self.changed(field, value, "held values that are no text")
        return [item[:MAX_LABEL_CHARS].encode() for item in items[:MAX_TAG_COUNT]]

    def choice(self, field: str, value: object, allowed: Sequence[str], default: str) -> bytes:
        if value not in allowed:
            self.changed(field, value, f"was none of {', '.join(allowed)}")
            value = default
        return str(value).encode()


def dump(data: Any) -> bytes:
    """Serialize JSON in UTF-8 for PostgreSQL."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_deep(data: Any) -> bool:
    """Check whether containers are nested deeper than MAX_DEPTH."""
    level = [data]
    for _ in range(MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _storable(data: Any) -> Any:
    if isinstance(data, str):
        return data if encode(data) is not None else clean(data)
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, list):
        return [_storable(item) for item in data]
    if isinstance(data, dict):
        return {_storable(key): _storable(value) for key, value in data.items()}
    return data
