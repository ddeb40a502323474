"""Values of a line of an import file, checked and repaired one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from vestige_tui.core.accounts import Domain, Group, Membership, User
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import MarkedMemory, Review
from vestige_tui.core.storable import as_uuid, is_canonical, stored_id
from vestige_tui.core.text import quoted
from vestige_tui.core.times import parse_stored
from vestige_tui.transfer.sanitize import RowSanitizer

IsId: TypeAlias = Callable[[str], bool]
Line: TypeAlias = Draft | Edge | Review | SupersessionEvent | MarkedMemory | User | Group | Membership | Domain


_KINDS: Mapping[type, str] = {
    Draft: "memory",
    Edge: "edge",
    Review: "review",
    SupersessionEvent: "supersession",
    MarkedMemory: "mark",
    User: "user",
    Group: "group",
    Membership: "membership",
    Domain: "domain",
}


class BadLine(VestigeError):
    """The line could not be read."""


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """Value of a line, with notes on the repairs in it and the keys that are none of ours."""

    entry: Line
    notes: tuple[str, ...] = ()
    unknown_keys: tuple[str, ...] = ()
    spelling: str | None = None
    """The id as the line spells it, where the store holds another one."""

    @property
    def kind(self) -> str:
        """The kind of line, as an export names it."""
        return _KINDS[type(self.entry)]


def shown_name(name: str) -> str:
    """Return the name of a key for a report, at most 60 characters."""
    return name if len(name) <= 60 else f"{name[:59]}…"


def stored_text(sanitizer: RowSanitizer, name: str, text: str, limit: int = 0) -> str:
    return sanitizer.text(name, text, limit=limit).decode()


def reference_id(sanitizer: RowSanitizer, name: str, raw: str, is_id: IsId) -> str:
    """Return the id of a user or a group as the store holds it."""
    value = stored_id(raw, is_id)
    if value != raw and name not in sanitizer.originals:
        sanitizer.changed(name, raw, id_note(raw, raw, value))
    return value


def text_of(data: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = data.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise BadLine(f"has no {name}" if value is None else f"has a {name} that is not text")
    return value


def list_of(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadLine(f"has {name} that are not a list of texts")
    return value


def object_of(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadLine(f"has {name} that is not an object")
    return value


def required_id(data: Mapping[str, Any], name: str, is_id: IsId) -> str:
    value = data.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadLine(f"has no {name}" if value is None else f"has a {name} that is not an id")
    return stored_id(value, is_id)


def time_of(data: Mapping[str, Any], name: str) -> datetime | None:
    value = data.get(name)
    if value is None:
        return None
    time = parse_stored(value) if isinstance(value, str) else None
    if time is None:
        raise BadLine(f"has a {name} that is not a time")
    return time


def integer_of(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise BadLine(f"has a {name} that is not a whole number")
    return value


def is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def id_note(value: object, raw: str, memory_id: str) -> str:
    """Return the change of an id of a line, as the rest of a sentence that begins with its name."""
    if isinstance(value, str) and as_uuid(raw) is not None:
        return "was a UUID in another spelling; stored in the usual one"
    problem = "was not a UUID" if isinstance(value, str) else "was a number"
    if is_canonical(memory_id):
        return f"{problem}; a UUID was made from it"
    return f"{problem}; stored as the text {quoted(memory_id)}"


def with_imported(metadata: Mapping[str, Any], imported: dict[str, Any], sanitizer: RowSanitizer) -> Mapping[str, Any]:
    """Return metadata with the unknown keys and the originals of repaired values under "imported"."""
    if sanitizer.originals:
        if "original" in imported:
            sanitizer.originals["original"] = imported["original"]
        imported["original"] = dict(sanitizer.originals)
    if not imported:
        return metadata
    earlier = metadata.get("imported", {})
    if isinstance(earlier, dict) and all(earlier.get(name, value) == value for name, value in imported.items()):
        return {**metadata, "imported": {**earlier, **imported}}
    return {**metadata, "imported": {**imported, "imported": earlier}}


def reference_line(entry: Line, data: Mapping[str, Any], sanitizer: RowSanitizer, *known_keys: str) -> ParsedLine:
    """Return the value of a line that refers to memories; it has no metadata that could keep unknown keys."""
    unknown = [name for name in data if name != "kind" and name not in known_keys]
    notes = [*sanitizer.notes, *(f"{shown_name(name)} is not known here and was left out" for name in unknown)]
    return ParsedLine(entry, tuple(notes), tuple(unknown))
