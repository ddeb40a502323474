"""Row identity: the key of a row, the same in every store, made of some of its values in wire form.

========================================  ==========================================================================
memories, vectors, scheduling, marks,     the UUID: 16 bytes
users, groups
memberships                               user and group: 32 bytes
domains                                   the id in UTF-8
edges                                     source and target, 16 bytes each, then the type in UTF-8
reviews                                   memory (16), time (8), grade (2), number of equal lines before it (4)
supersession                              loser (16), winner (16 zero bytes for none), time (8), number of equals (4),
                                          then the kind in UTF-8
========================================  ==========================================================================

The ids of log lines differ between stores, so a line is identified by its values and its ordinal among equal lines.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.transfer.protocols import Key

NIL_UUID = bytes(16)

# For each part: the column, in the order of ``load_<table>``, and its bytes; 0 takes the rest.
_UUID_KEY = ((0, 16),)
_KEY_COLUMNS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "memberships": ((0, 16), (1, 16)),
    "domains": ((0, 0),),
    "edges": ((0, 16), (1, 16), (2, 0)),
    "reviews": ((0, 16), (1, 8), (2, 2), (5, 4)),
    "supersession": ((0, 16), (1, 16), (3, 8), (4, 4), (2, 0)),
}


def key_of(table: str, values: Sequence[bytes | None]) -> bytes:
    """Return the key of a row with these values."""
    return b"".join([values[column] or NIL_UUID[:size] for column, size in _KEY_COLUMNS.get(table, _UUID_KEY)])


def key_parts(table: str, key: bytes) -> Mapping[int, bytes | None]:
    """Return the values of a key by column. Raises ValueError for bytes that are no key of the table."""
    values: dict[int, bytes | None] = {}
    start = 0
    for column, size in _KEY_COLUMNS.get(table, _UUID_KEY):
        part = key[start : start + size] if size else key[start:]
        if size and len(part) != size:
            raise ValueError(f"{len(key)} bytes are no key of {table}")
        values[column] = None if table == "supersession" and column == 1 and part == NIL_UUID else part
        start += len(part)
    if start != len(key):
        raise ValueError(f"{len(key)} bytes are no key of {table}")
    return values


def bound(text: str) -> str | bytes:
    """Return a part of a key as a parameter for a SQLite statement, inside CAST(… AS TEXT).

    A text with half surrogates for invalid UTF-8 goes as its bytes, any other one as text: in a UTF-16 file the cast
    would read bytes as UTF-16.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def write_key(key: Key) -> list[int | str]:
    """Return a key for a checkpoint: texts as the base64 of their bytes, because they may be invalid UTF-8."""
    return [
        part if isinstance(part, int) else base64.b64encode(part.encode("utf-8", "surrogateescape")).decode()
        for part in key
    ]


def read_key(stored: Sequence[int | str]) -> Key:
    return tuple(
        part if isinstance(part, int) else base64.b64decode(part).decode("utf-8", "surrogateescape") for part in stored
    )
