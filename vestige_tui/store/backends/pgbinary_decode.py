"""What PostgreSQL's binary format spells: the inverse of ``wire``, function by function.

Each raises ValueError for bytes that are none of its kind, and for what Python's own type cannot hold.
"""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_UUID_BYTES = 16

_count = struct.Struct(">h")
_length = struct.Struct(">i")
_big = struct.Struct(">q")
_double = struct.Struct(">d")
_array = struct.Struct(">iiI")
_dimension = struct.Struct(">ii")
_vector = struct.Struct(">HH")


def row(raw: bytes) -> tuple[bytes | None, ...]:
    """The values of one row."""
    many = _number(_count, raw[:2])
    values: list[bytes | None] = []
    at = 2
    for _ in range(many):
        value, at = _next(raw, at)
        values.append(value)
    if at != len(raw):
        raise ValueError(f"{len(raw) - at} bytes too many in a row")
    return tuple(values)


def _next(raw: bytes, at: int) -> tuple[bytes | None, int]:
    """A value with its length before it, and where the next one begins."""
    size = _number(_length, raw[at : at + 4])
    at += 4
    if size < 0:
        return None, at
    if at + size > len(raw):
        raise ValueError("a value is cut off")
    return raw[at : at + size], at + size


def _number(form: struct.Struct, raw: bytes) -> int:
    if len(raw) != form.size:
        raise ValueError(f"{len(raw)} bytes where {form.size} belong")
    value: int = form.unpack(raw)[0]
    return value


def integer(raw: bytes) -> int:
    return _number(_length, raw)


def smallint(raw: bytes) -> int:
    return _number(_count, raw)


def double(raw: bytes) -> float:
    if len(raw) != _double.size:
        raise ValueError(f"{len(raw)} bytes where {_double.size} belong")
    value: float = _double.unpack(raw)[0]
    return value


def boolean(raw: bytes) -> bool:
    if raw not in (b"\x00", b"\x01"):
        raise ValueError("a truth value is neither true nor false")
    return raw == b"\x01"


def moment(raw: bytes) -> datetime:
    """timestamptz in the years 1 to 9999; there are later and earlier ones, and two infinities."""
    value = _number(_big, raw)
    if not _EARLIEST <= value <= _LATEST:
        raise ValueError("a time lies outside the years 1 to 9999")
    return _EPOCH + timedelta(microseconds=value)


def text(raw: bytes) -> str:
    return raw.decode()


def uuid(raw: bytes) -> str:
    """The canonical spelling of sixteen bytes."""
    if len(raw) != _UUID_BYTES:
        raise ValueError(f"{len(raw)} bytes are no UUID")
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def jsonb(raw: bytes) -> bytes:
    """A JSON text in UTF-8."""
    if raw[:1] != b"\x01":
        raise ValueError("jsonb of an unknown version")
    return raw[1:]


def texts(raw: bytes) -> list[bytes | None]:
    """The elements of a text[], of several dimensions one after the other."""
    return _elements(raw)


def uuids(raw: bytes) -> list[bytes | None]:
    """The elements of a uuid[], of sixteen bytes each."""
    return _elements(raw)


def _elements(raw: bytes) -> list[bytes | None]:
    return _array_parts(raw)[1]


def _array_parts(raw: bytes) -> tuple[list[int], list[bytes | None]]:
    """How many elements an array has in each of its dimensions, and all of them."""
    if len(raw) < _array.size:
        raise ValueError("an array is cut off")
    dimensions = _array.unpack_from(raw)[0]
    at = _array.size + dimensions * _dimension.size
    if dimensions < 0 or at > len(raw):
        raise ValueError("an array is cut off")
    sizes = [_dimension.unpack_from(raw, _array.size + place * _dimension.size)[0] for place in range(dimensions)]
    many = math.prod(sizes) if sizes else 0
    found: list[bytes | None] = []
    for _ in range(many):
        value, at = _next(raw, at)
        found.append(value)
    if at != len(raw):
        raise ValueError(f"{len(raw) - at} bytes too many in an array")
    return sizes, found


def json_of_texts(raw: bytes) -> bytes:
    """A text[] as the server's array_to_json spells it, in UTF-8: lists in lists where it has several dimensions."""
    sizes, elements = _array_parts(raw)
    listed: list[Any] = [None if each is None else each.decode("utf-8", "surrogateescape") for each in elements]
    for size in reversed(sizes[1:]):
        listed = [listed[start : start + size] for start in range(0, len(listed), size)]
    return json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def vector(raw: bytes) -> Vector:
    """pgvector's vector as little-endian float32."""
    import numpy as np

    many = _vector.unpack_from(raw)[0] if len(raw) >= _vector.size else -1
    if len(raw) != _vector.size + 4 * many:
        raise ValueError(f"{len(raw)} bytes are no vector")
    return np.frombuffer(raw, dtype=">f4", offset=_vector.size).astype("<f4")
