"""Exports of mem0: a document with ``results``, a list, or JSON Lines of objects with the text under ``memory``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vestige_tui.import_formats.items import (
    Item,
    Lines,
    Read,
    Unreadable,
    derived_id,
    merged,
    objects,
    rest_of,
    taken_times,
)

_TIMES = ("created_at", "updated_at")
LISTS = ("results", "memories")
"""Keys of a document under which its memories may be."""


def read_mem0(lines: Lines) -> Read:
    """Yield the memories of an export; categories become tags, and all ids and hashes stay under ``imported``."""
    for found in objects(lines, *LISTS):
        if isinstance(found, Unreadable):
            yield found
        elif not isinstance(found[1].get("memory"), str):
            yield Unreadable(found[0], "has no text under the key memory")
        else:
            yield Item(found[0], _line(found[1]))


def _line(data: Mapping[str, Any]) -> dict[str, Any]:
    metadata, categories = data.get("metadata"), data.get("categories")
    own = dict(metadata) if isinstance(metadata, dict) else {}
    times, rest = taken_times(data, {name: name for name in _TIMES})
    rest |= rest_of(data, "id", "memory", "categories", *_TIMES, "metadata")
    if metadata is not None and not isinstance(metadata, dict):
        rest["metadata"] = metadata
    tags = [each for each in categories if isinstance(each, str)] if isinstance(categories, list) else []
    if categories is not None and tags != categories:
        rest["categories"] = categories
    line = {
        "id": data.get("id") or derived_id("mem0", data["memory"]),
        "content": data["memory"],
        "tags": tags,
        "metadata": merged(own, "imported", rest),
    }
    return line | times
