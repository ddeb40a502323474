"""Detection of a file's format by the keys at its beginning."""

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
_ARCHIVE = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{[^\[{]*"archiveFormat"\s*:')
"""Beginning of an archive, which may be one line of gigabytes."""
_KEY = re.compile(r'"((?:[^"\\]|\\.){1,60})"\s*:')


def detect(lines: Sequence[bytes]) -> str | None:
    """Return the name of the format of a file, from its first lines; None for ours and for unknown ones."""
    head = b"".join(lines)
    if _ARCHIVE.match(head[:HEAD_BYTES]):
        return "portable"
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text.startswith("["):
        return _of_array(text)
    for line in lines:
        try:
            data = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return _of_document(data) or _of_object(data)
        if isinstance(data, str):
            return "texts"
    # Of a document over several lines, or longer than the part that was read, only the keys at its beginning are known.
    return _of_document(_key_set(text)) if text.startswith("{") else None


def first_keys(lines: Sequence[bytes]) -> list[str]:
    """Return the keys at the beginning of a file, for a message on one that fits no format."""
    text = b"".join(lines).decode("utf-8-sig", "replace")
    return list(_first_object(text) or _key_set(text))[:8]


def _first_object(text: str) -> dict[str, Any]:
    """Return the object at the beginning of a text, or of an array there; empty where none can be read."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip("[ \t\r\n"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _of_array(text: str) -> str | None:
    if text[1:].lstrip().startswith("]"):
        return "texts"  # with nothing in it
    try:
        first, _ = json.JSONDecoder().raw_decode(text[1:].lstrip())
    except (ValueError, RecursionError):
        first = _key_set(text)
    if isinstance(first, str):
        return "texts"
    return _of_object(first) if isinstance(first, dict) else None


def _key_set(text: str) -> dict[str, Any]:
    return dict.fromkeys(_KEY.findall(text, 0, HEAD_BYTES))


def _of_document(data: Mapping[str, Any]) -> str | None:
    """Return the format of a file that is one JSON object."""
    if "archiveFormat" in data:
        return "portable"
    if "results" in data and not data.keys() & {"kind", "content"}:
        return "mem0"
    if "entities" in data and "relations" in data:
        return "mcp"
    return None


def _of_object(data: Mapping[str, Any]) -> str | None:
    """Return the format of a file that holds many such objects."""
    keys = data.keys()
    if keys & _OUR_KEYS - {"created_at", "updated_at"} or ("content" in keys and keys & _OUR_KEYS):
        return None
    if data.get("type", ...) in (*_MCP_TYPES, None) and keys & {"entityType", "observations", "relationType"}:
        return "mcp"
    if "nodeType" in keys or len(keys & _VESTIGE_KEYS) > 1:
        return "vestige"
    if "memory" in keys and "content" not in keys:
        return "mem0"
    return None
