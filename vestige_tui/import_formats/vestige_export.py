"""Exports of Vestige 2.x to 4.x: a JSON array or JSON Lines of memories with camelCase keys, read and written.

A value without a place here goes to the metadata under ``vestige``, under the names of the columns, as a copy of
the file does it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from vestige_tui.core.times import format_time, parse_stored
from vestige_tui.import_formats.items import Item, Lines, Read, Unreadable, objects, rest_of, taken_times

MEMORY_KEYS = {
    "id": "id",
    "content": "content",
    "nodeType": "node_type",
    "tags": "tags",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}
"""Keys of an export and ours."""
SCHEDULING_KEYS = {
    "stability": "stability",
    "difficulty": "difficulty",
    "reps": "reps",
    "lapses": "lapses",
    "nextReview": "next_review",
}
_TIMES = {"createdAt": "created_at", "updatedAt": "updated_at"}
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def read_vestige(lines: Lines) -> Read:
    """Yield the memories of an export."""
    for found in objects(lines):
        yield found if isinstance(found, Unreadable) else Item(found[0], _line(found[1]))


def _line(data: Mapping[str, Any]) -> dict[str, Any]:
    line = {ours: data[theirs] for theirs, ours in MEMORY_KEYS.items() if data.get(theirs) is not None}
    others = rest_of(data, *MEMORY_KEYS, *SCHEDULING_KEYS)
    _, no_times = taken_times(data, _TIMES)
    others |= no_times
    for name in no_times:
        del line[_TIMES[name]]
    if not isinstance(line.get("tags", []), list):
        others["tags"] = line.pop("tags")
    state = {ours: data[theirs] for theirs, ours in SCHEDULING_KEYS.items() if data.get(theirs) is not None}
    if state.get("reps"):
        line["scheduling"] = state | _last_review(state)
    else:
        others |= {name: value for name, value in state.items() if name in ("stability", "difficulty")}
    if others:
        line["metadata"] = {"vestige": {snake_case(name): value for name, value in others.items()}}
    return line


def _last_review(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the time of the last review, which no export names: the stability in days before the next."""
    due, stability = parse_stored(str(state.get("next_review"))), state.get("stability")
    if due is None or not isinstance(stability, int | float) or not 0 <= stability <= 36_500:
        return {}
    return {"last_review": format_time(due - timedelta(days=max(1, round(stability))))}


def snake_case(name: str) -> str:
    """Return the name of a column from a camelCase key."""
    return _CAMEL.sub(r"_\1", name).lower()


def vestige_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a memory of our export format as an export of Vestige has it; values without a key there are left out."""
    metadata = line.get("metadata")
    kept = metadata.get("vestige") if isinstance(metadata, dict) else None
    others = {camel_case(name): value for name, value in kept.items()} if isinstance(kept, dict) else {}
    state = line.get("scheduling") or {"reps": 0, "lapses": 0}
    values = {theirs: line.get(ours) for theirs, ours in MEMORY_KEYS.items()}
    values |= {theirs: state.get(ours) for theirs, ours in SCHEDULING_KEYS.items()}
    return {**others, **{name: value for name, value in values.items() if value is not None}}


def camel_case(name: str) -> str:
    """Return the camelCase key of a column's name."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
