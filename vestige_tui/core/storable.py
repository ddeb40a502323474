"""Storable forms of texts and ids: values that every database accepts."""

from __future__ import annotations

import re
import uuid

_SPELLING = re.compile(r"(?:urn:uuid:)?\{?([0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})\}?", re.IGNORECASE)


def clean(text: str) -> str:
    """Return text that every store accepts: NUL becomes U+2400, and each lone surrogate a question mark."""
    if text.isascii():
        return text.replace("\0", "\u2400")
    return text.replace("\0", "\u2400").encode("utf-8", "replace").decode()


def as_uuid(raw: str) -> uuid.UUID | None:
    """Parse a UUID, also one in braces or with ``urn:uuid:``; None for other texts.

    ``uuid.UUID`` takes more: underscores, digits of other scripts, and hyphens anywhere.
    """
    match = _SPELLING.fullmatch(raw)
    return uuid.UUID(match[1].replace("-", "")) if match else None
