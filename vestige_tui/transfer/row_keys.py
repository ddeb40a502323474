"""Row identity: the key of a row, the same in every store.

A key is the wire form of its table's key columns, in the order of ``table_spec.Table.key``; NULL is 16 zero bytes. A
text has any length and comes last. The ids of log lines differ between stores: their keys have the number of equal
lines before each instead.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.storable import MAX_LABEL_CHARS, new_id
from vestige_tui.transfer.codecs import TEXT, UUID
from vestige_tui.transfer.sanitize import RowSanitizer, shown
from vestige_tui.transfer.table_spec import BY_NAME

if TYPE_CHECKING:
    from vestige_tui.transfer.codecs import Codec
    from vestige_tui.transfer.convert import Raw
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.protocols import Key

NIL_UUID = bytes(16)


def key_of(table: str, values: Sequence[bytes | None]) -> bytes:
    """Return the key of a row with these values."""
    return b"".join([values[column] or NIL_UUID[:size] for column, size in BY_NAME[table].key_parts])


def key_parts(table: str, key: bytes) -> Mapping[int, bytes | None]:
    """Return the values of a key by column. Raises ValueError for bytes that are no key of the table."""
    spec = BY_NAME[table]
    values: dict[int, bytes | None] = {}
    start = 0
    for column, size in spec.key_parts:
        part = key[start : start + size] if size else key[start:]
        if size and len(part) != size:
            raise ValueError(f"{len(key)} bytes are not a key of {table}")
        values[column] = None if spec.columns[column].nullable_key and part == NIL_UUID else part
        start += len(part)
    if start != len(key):
        raise ValueError(f"{len(key)} bytes are not a key of {table}")
    return values


def probable_key(table: str, raw: Raw) -> bytes | None:
    """Return the key that a rejected row of a SQLite file would have; None where it is unknown."""
    spec, sanitizer = BY_NAME[table], RowSanitizer()
    if spec.log:
        return None
    return b"".join(
        new_id(raw[position])
        if size
        else sanitizer.text(spec.columns[position].name, raw[position], limit=MAX_LABEL_CHARS)
        for position, size in spec.key_parts
    )


def name_of(table: str, key: bytes, kept_ids: KeptIds | None = None) -> str:
    """Return the name of a row in findings, by its key; kept ids by their texts."""
    spec, parts = BY_NAME[table], key_parts(table, key)
    return spec.row_name.format(
        *(_part_text(column.codec, parts.get(i), kept_ids) for i, column in enumerate(spec.columns))
    )


def _part_text(codec: Codec, part: bytes | None, kept_ids: KeptIds | None) -> str:
    if codec is TEXT:
        return shown(part or b"")
    if kept_ids is not None and codec is UUID and (text := kept_ids.text(part)) is not None:
        return shown(text)
    if codec.text is None or part is None:
        return "nothing"
    try:
        return codec.text(part)
    except ValueError:
        return "unreadable"


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
