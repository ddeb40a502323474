"""Encode values and rows in the binary format of PostgreSQL's COPY.

Every value becomes bytes here, so that a batch is one write to the server. Formats: the COPY page of PostgreSQL's
manual, and the ``recv`` functions of its types and of pgvector's.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, flags and extension length: the first bytes of a COPY stream."""
TRAILER = b"\xff\xff"

_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TEXT_OID, _UUID_OID = 25, 2950

_pack_int16 = struct.Struct(">h").pack
_pack_int32 = struct.Struct(">i").pack
_pack_int64 = struct.Struct(">q").pack
_pack_float64 = struct.Struct(">d").pack
_pack_array = struct.Struct(">iiIii").pack
_pack_array_header = struct.Struct(">iiI").pack
_pack_dimension = struct.Struct(">ii").pack
_pack_vector = struct.Struct(">HH").pack

TRUE, FALSE = b"\x01", b"\x00"


def row(*values: bytes | None) -> bytes:
    """Return one row of these values; None is NULL."""
    parts = [_pack_int16(len(values))]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(_pack_int32(len(value)))
            parts.append(value)
    return b"".join(parts)


def integer(value: int) -> bytes:
    return _pack_int32(value)


def smallint(value: int) -> bytes:
    return _pack_int16(value)


def double(value: float) -> bytes:
    return _pack_float64(value)


def boolean(value: bool) -> bytes:
    return TRUE if value else FALSE


def moment(value: datetime) -> bytes:
    """Encode a timestamptz: microseconds since 2000."""
    return _pack_int64((value - _EPOCH) // _MICROSECOND)


def jsonb(text: bytes) -> bytes:
    """Encode a JSON text in UTF-8."""
    return b"\x01" + text


def texts(values: Sequence[bytes]) -> bytes:
    """Encode a text[]."""
    return _array(values, _TEXT_OID)


def uuids(values: Sequence[bytes]) -> bytes:
    """Encode a uuid[], of sixteen bytes each."""
    return _array(values, _UUID_OID)


def _array(values: Sequence[bytes], oid: int) -> bytes:
    if not values:
        return _pack_array_header(0, 0, oid)
    parts = [_pack_array(1, 0, oid, len(values), 1)]
    for value in values:
        parts.append(_pack_int32(len(value)))
        parts.append(value)
    return b"".join(parts)


def texts_of_json(raw: bytes) -> bytes:
    """Encode a text[] from the server's array_to_json of one: nested lists for several dimensions."""
    items = json.loads(raw)
    sizes = [len(items)]
    while items and isinstance(items[0], list):
        sizes.append(len(items[0]))
        items = [item for inner in items for item in inner]
    if not items:
        return _pack_array_header(0, 0, _TEXT_OID)
    parts = [
        _pack_array_header(len(sizes), int(None in items), _TEXT_OID),
        *(_pack_dimension(size, 1) for size in sizes),
    ]
    for item in items:
        value = None if item is None else item.encode()
        parts.append(_NULL if value is None else _pack_int32(len(value)) + value)
    return b"".join(parts)


def vector(value: Vector) -> bytes:
    """Encode pgvector's vector, of finite float32."""
    return _pack_vector(len(value), 0) + value.astype(">f4").tobytes()
