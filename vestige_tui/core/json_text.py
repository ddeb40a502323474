"""JSON for terminals and files: control and bidi characters, which stored texts may hold, only as escapes."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

from vestige_tui.core.text import REPLACEMENT, safe

_MAYBE_UNSAFE = re.compile(r"[^\n\x20-\x7e]")


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character != REPLACEMENT and safe(character) == character:
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


def dumps(data: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return JSON with control and bidi characters escaped."""
    encoded = partial(json.dumps, data, ensure_ascii=ascii_only, allow_nan=False)
    try:
        text = encoded(indent=indent)
    except RecursionError:
        # Only Python's own writer indents, and it gives up far earlier than the one that does not.
        text = encoded()
    return _MAYBE_UNSAFE.sub(_escape, text)
