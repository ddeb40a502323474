"""Text in the encoding of a stream: where that is not UTF-8, characters that it lacks become ASCII shapes."""

from __future__ import annotations

import os
import unicodedata
from functools import cache
from typing import TextIO

from vestige_tui.core.widths import cells

_SHAPES = {
    "…": "~",
    "·•▪▫◆◇◪◨◧": "..+-*o%)(",
    "●○◐◒◌■□◈": "@ocu.#_+",
    "←→↑↓⇄▲△▼▽▶►▸◀◂": "<>^v=^^vv>>><<",
    "\u00d7÷\u2212≥≤≠±✓✗": "x/-><!++x",
    "\u201c\u201d\u201e\u2018\u2019\u201a«»\u2013\u2014": '"""\'\',<>--',
    "▁▂▃▄▅▆▇█": "__--==##",
    "▏▎▍▌▋▊▉▐▕": "|||||##||",
    "░▒▓▀▔": ".:#^^",
    "─━┄┅┈┉═╌╍╴╶╸╺╼╾": "-" * 15,
    "│┃┆┇┊┋║╎╏╵╷╹╻╽╿": "|" * 15,
    "\u2571\u2572\u2573": "/\\x",
}
"""ASCII shapes of the same width, for characters that the program itself draws."""
_JOINTS = range(0x250C, 0x2571)
_BLOCKS = range(0x2580, 0x25A0)


def encoding_of(stream: TextIO) -> str:
    """Return the encoding of a stream; ASCII where LC_ALL demands the C locale, in which Python writes UTF-8."""
    if os.environ.get("LC_ALL") in ("C", "POSIX") and not os.environ.get("PYTHONIOENCODING"):
        return "ascii"
    return stream.encoding or "ascii"


def is_unicode(encoding: str) -> bool:
    """Check whether an encoding holds every character."""
    return encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf8sig", "cp65001")


def encodable(text: str, encoding: str) -> str:
    """Return ``text`` with a shape of the same width for each character that ``encoding`` lacks."""
    if text.isascii() or is_unicode(encoding):
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(character if character.isascii() else _shape(character, encoding) for character in text)
    return text


def lacks(encoding: str, text: str) -> bool:
    """Check whether ``text`` has a character beyond the shapes that ``encodable`` must replace by another one."""
    shown = encodable(text, encoding)
    return shown != text and any(
        character != shape and not _is_shape(character)
        for character, shape in ((each, encodable(each, encoding)) for each in set(text))
    )


def _is_shape(character: str) -> bool:
    return character in _shapes() or ord(character) in _JOINTS or ord(character) in _BLOCKS


@cache
def _shape(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        if shape := _shapes().get(character):
            return shape
    else:
        return character
    if ord(character) in _JOINTS:
        return "+"
    if ord(character) in _BLOCKS:
        return "#"
    base = unicodedata.normalize("NFD", character)[0]
    return base if base.isascii() and cells(character) == 1 else "?" * cells(character)


@cache
def _shapes() -> dict[str, str]:
    return {character: shape for group, row in _SHAPES.items() for character, shape in zip(group, row, strict=True)}
