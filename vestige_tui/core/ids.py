"""Spellings of a UUID: those that a user may type, and those that PostgreSQL takes."""

from __future__ import annotations

import re
import uuid

_PLAIN = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_SPELLING = re.compile(r"(?:urn:uuid:)?\{?([0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})\}?", re.IGNORECASE)


def as_uuid(raw: str) -> uuid.UUID | None:
    """Parse a UUID, also one in braces or with ``urn:uuid:``; None for other texts.

    ``uuid.UUID`` takes more: underscores, digits of other scripts, and hyphens anywhere.
    """
    match = _SPELLING.fullmatch(raw)
    return uuid.UUID(match[1].replace("-", "")) if match else None


def is_plain_uuid(text: str) -> bool:
    """Check for a UUID without braces or prefix, with hyphens or without."""
    return _PLAIN.fullmatch(text) is not None
