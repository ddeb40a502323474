"""What tells a row of a table from every other one, wherever it lies: the wire forms of some of its values in a row.

========================================  ==========================================================================
memories, vectors, scheduling, marks,     the UUID: 16 bytes
users, groups
memberships                               user and group: 32 bytes
domains                                   the id in UTF-8
edges                                     source and target, 16 bytes each, then the type in UTF-8
reviews                                   memory (16), time (8), grade (2), how many alike came before it (4)
supersession                              loser (16), winner (16 zero bytes for none), time (8), how many alike (4),
                                          then the kind in UTF-8
========================================  ==========================================================================

A log has no ids that travel, so a line is known by what it says and by how many that say the same came before it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.transfer.protocols import Key

NIL_UUID = bytes(16)

# For each part: which value of a row, in the order of ``load_<table>``, and its bytes; 0 takes what is left.
_UUID_KEY = ((0, 16),)
_KEY_COLUMNS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "memberships": ((0, 16), (1, 16)),
    "domains": ((0, 0),),
    "edges": ((0, 16), (1, 16), (2, 0)),
    "reviews": ((0, 16), (1, 8), (2, 2), (5, 4)),
    "supersession": ((0, 16), (1, 16), (3, 8), (4, 4), (2, 0)),
}


def key_of(table: str, values: Sequence[bytes | None]) -> bytes:
    """The key of a row with these values."""
    return b"".join([values[column] or NIL_UUID[:size] for column, size in _KEY_COLUMNS.get(table, _UUID_KEY)])


def key_parts(table: str, key: bytes) -> Mapping[int, bytes | None]:
    """The values that a key is made of, by their place in a row. Raises ValueError for bytes that are no such key."""
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
    """A part of a key as a statement on a SQLite file takes it, inside CAST(… AS TEXT).

    A text with half surrogates for bytes that are no UTF-8 goes as its bytes. Every other one goes as text: in a file
    of UTF-16 the cast would read bytes as UTF-16.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def write_key(key: Key) -> list[int | str]:
    """A key as a checkpoint holds it: texts as the base64 of their bytes, because not every text is UTF-8."""
    return [
        part if isinstance(part, int) else base64.b64encode(part.encode("utf-8", "surrogateescape")).decode()
        for part in key
    ]


def read_key(stored: Sequence[int | str]) -> Key:
    return tuple(
        part if isinstance(part, int) else base64.b64decode(part).decode("utf-8", "surrogateescape") for part in stored
    )
