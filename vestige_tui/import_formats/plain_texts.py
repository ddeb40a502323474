"""Plain texts: a JSON array or JSON Lines of strings, or a text file with one memory a paragraph."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vestige_tui.core.errors import Usage
from vestige_tui.import_formats.items import Item, Lines, Read, Unreadable, broken_json, derived_id

_ARRAY = re.compile(r"\s*\[\s*(?:\"|\])")
"""Beginning of a JSON array of texts; a paragraph may begin with a bracket."""
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


def read_texts(lines: Lines) -> Read:
    """Yield a memory for each string, or for each paragraph where the file is not JSON. Raises Usage."""
    numbered = list(lines)
    try:
        text = b"".join(raw for _, raw in numbered).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Usage("The file is not UTF-8; convert it with `iconv -t UTF-8`. Nothing was imported.") from None
    for number, value in _strings(text, [(number, raw) for number, raw in numbered if raw.strip()]):
        if not isinstance(value, str):
            yield Unreadable(number, value.reason)
        elif value.strip():
            yield Item(number, {"id": derived_id("text", value), "content": value})


def _strings(text: str, lines: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, str | _NoText]]:
    if _ARRAY.match(text):
        try:
            document = json.loads(text)
        except RecursionError:
            document = []
        except ValueError as error:
            raise broken_json(error) from None
        for position, value in enumerate(document, start=1):
            yield position, value if isinstance(value, str) else _NoText()
        return
    values = [(number, _string_of(raw)) for number, raw in lines]
    if sum(isinstance(value, str) for _, value in values) * 2 > len(values):
        yield from values
        return
    paragraphs = (part.strip() for part in _BLANK_LINE.split(text.replace("\r\n", "\n")))
    yield from enumerate((part for part in paragraphs if part), start=1)


@dataclass(frozen=True, slots=True)
class _NoText:
    """A value that is no string, and why."""

    reason: str = "is not a text"


def _string_of(raw: bytes) -> str | _NoText:
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return _NoText("is not JSON")
    return value if isinstance(value, str) else _NoText()
