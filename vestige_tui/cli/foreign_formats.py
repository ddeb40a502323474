"""Formats of other programs' exports, known by the keys at the beginning of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

HEAD_LINES = 10
"""Lines at the beginning of a file that may tell its format."""
HEAD_BYTES = 2**20
"""Most bytes at the beginning of a file that are looked at."""

_OUR_KEYS = {"kind", "node_type", "created_at", "updated_at", "domain_scores", "owner_user_id"}
_VESTIGE_KEYS = {
    *("nodeType", "createdAt", "updatedAt", "lastAccessed", "nextReview", "storageStrength", "retrievalStrength"),
    *("retentionStrength", "sentimentScore", "sentimentMagnitude", "suppressionCount", "sourceEnvelope"),
}
_MCP_TYPES = {"entity", "relation"}
_KEY = re.compile(r'"((?:[^"\\]|\\.){1,60})"\s*:')


def foreign_format(lines: Sequence[bytes]) -> str | None:
    """Return the name of another program's format, from the first lines of a file; None for ours and unknown ones."""
    text = b"".join(lines).decode("utf-8-sig", "replace").lstrip()
    if text.startswith("["):
        return _of_array(text)
    for line in lines:
        try:
            data = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return _of_document(data) or _of_object(data, "lines")
    # Of a document over several lines, or longer than what was read, only the keys at its beginning are known.
    return _of_document(_key_set(text)) if text.startswith("{") else None


def _of_array(text: str) -> str | None:
    try:
        first, _ = json.JSONDecoder().raw_decode(text[1:].lstrip())
    except (ValueError, RecursionError):
        first = _key_set(text)
    return _of_object(first, "a JSON array") if isinstance(first, dict) else None


def _key_set(text: str) -> dict[str, Any]:
    return dict.fromkeys(_KEY.findall(text, 0, HEAD_BYTES))


def _of_document(data: Mapping[str, Any]) -> str | None:
    """Return the format of a file that is one JSON object."""
    if "archiveFormat" in data:
        return "a portable archive of Vestige"
    if "results" in data and not data.keys() & {"kind", "content"}:
        return "an export of mem0"
    if "entities" in data and "relations" in data:
        return "a graph of the MCP memory server"
    return None


def _of_object(data: Mapping[str, Any], container: str) -> str | None:
    """Return the format of a file that holds many such objects."""
    keys = data.keys()
    if keys & _OUR_KEYS - {"created_at", "updated_at"} or ("content" in keys and keys & _OUR_KEYS):
        return None
    if data.get("type", ...) in (*_MCP_TYPES, None) and keys & {"entityType", "observations", "relationType"}:
        return f"{container} of the MCP memory server"
    if "nodeType" in keys or len(keys & _VESTIGE_KEYS) > 1:
        return f"{container} of a Vestige export"
    if "memory" in keys and "content" not in keys:
        return f"{container} of a mem0 export"
    return None
