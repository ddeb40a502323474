"""Exports of mem0: a document with ``results``, a list, or JSON Lines of objects with the text under ``memory``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vestige_tui.import_formats.items import Item, Lines, Read, Unreadable, derived_id, objects, rest_of


def read_mem0(lines: Lines) -> Read:
    """Yield the memories of an export; categories become tags, and all ids and hashes stay under ``imported``."""
    for found in objects(lines, "results", "memories"):
        if isinstance(found, Unreadable):
            yield found
        elif not isinstance(found[1].get("memory"), str):
            yield Unreadable(found[0], "has no text under the key memory")
        else:
            yield Item(found[0], _line(found[1]))


def _line(data: Mapping[str, Any]) -> dict[str, Any]:
    metadata = data.get("metadata")
    own = dict(metadata) if isinstance(metadata, dict) else {}
    rest = rest_of(data, "id", "memory", "categories", "created_at", "updated_at", "metadata")
    if metadata is not None and not isinstance(metadata, dict):
        rest["metadata"] = metadata
    categories = data.get("categories")
    line = {
        "id": data.get("id") or derived_id("mem0", data["memory"]),
        "content": data["memory"],
        "tags": [str(each) for each in categories] if isinstance(categories, list) else [],
        "created_at": data.get("created_at"),
        "updated_at": data.get("updated_at"),
        "metadata": {**own, "imported": rest} if rest else own,
    }
    return {name: value for name, value in line.items() if value is not None}
