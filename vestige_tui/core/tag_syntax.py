"""Typed tags: ``+security -draft +"two words" +a,b``, and lists of labels, one a line."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vestige_tui.core.errors import Usage
from vestige_tui.core.memory_template import read_label, write_label
from vestige_tui.core.text import quoted

_WORD = re.compile(r'([+-]?+)("(?:[^"\\]|\\.)*"|[^"\s]\S*)(?=\s|\Z)', re.DOTALL)
_BARE = re.compile(r'[^"\s]\S*')


def read_tags(line: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tags to add (``+tag``, or without a sign) and to remove (``-tag``); quotes keep spaces together.

    Raises Usage for a quote that does not end, and for a sign without a tag.
    """
    add: dict[str, None] = {}
    remove: dict[str, None] = {}
    position, line = 0, line.strip()
    while position < len(line):
        word = _WORD.match(line, position)
        if word is None:
            raise Usage(f'{quoted(line[position:])} is not a tag; write +tag, -tag or +"two words".')
        tag = read_label(word[2]).strip()
        if not tag:
            raise Usage("A tag is empty; write +tag to add one, -tag to remove one.")
        (remove if word[1] == "-" else add)[tag] = None
        position = word.end()
        while position < len(line) and line[position].isspace():
            position += 1
    return tuple(add), tuple(remove)


def write_tag(tag: str) -> str:
    """Return a tag as it is typed in a line of tags: quoted where it has spaces or signs."""
    written = write_label(tag)
    if written.startswith('"') or (_BARE.fullmatch(tag) and tag[0] not in "+-"):
        return written
    return '"' + written.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_labels(text: str) -> tuple[str, ...]:
    """Return the labels of a text that has one a line, without empty and repeated ones. Raises Usage."""
    return tuple(dict.fromkeys(filter(None, (read_label(line) for line in text.splitlines()))))


def write_labels(labels: Iterable[str]) -> str:
    """Return labels one a line; ``read_labels`` reads them back."""
    return "\n".join(write_label(label) for label in labels if label)
