"""Plain texts: a JSON array or JSON Lines of strings, or a text file with one memory a paragraph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vestige_tui.import_formats.items import Item, Lines, Read, Unreadable, derived_id


def read_texts(lines: Lines) -> Read:
    """Yield a memory for each string, or for each paragraph where the file is not JSON."""
    numbered = list(lines)
    text = b"".join(raw for _, raw in numbered).decode("utf-8-sig", "replace")
    for number, value in _strings(text, [(number, raw) for number, raw in numbered if raw.strip()]):
        if not isinstance(value, str):
            yield Unreadable(number, "is not a text")
        elif value.strip():
            yield Item(number, {"id": derived_id("text", value), "content": value})


def _strings(text: str, lines: list[tuple[int, bytes]]) -> Iterator[tuple[int, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, list):
        yield from enumerate(document, start=1)
        return
    try:
        values = [(number, json.loads(raw.decode("utf-8-sig"))) for number, raw in lines]
    except (ValueError, RecursionError):
        yield from enumerate(
            (part.strip() for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()), start=1
        )
    else:
        yield from values
