"""Decode values of PostgreSQL's binary format: the inverse of ``pgbinary_encode``, function by function.

Each function raises ValueError for bytes that are not of its type, and for values that Python's type cannot hold.
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
_EARLIEST_MICROSECONDS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LATEST_MICROSECONDS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_UUID_BYTES = 16

_int16 = struct.Struct(">h")
_int32 = struct.Struct(">i")
_int64 = struct.Struct(">q")
_float64 = struct.Struct(">d")
_array = struct.Struct(">iiI")
_dimension = struct.Struct(">ii")
_vector = struct.Struct(">HH")


def row(raw: bytes) -> tuple[bytes | None, ...]:
    """Return the values of one row."""
    count = _number(_int16, raw[:2])
    values: list[bytes | None] = []
    offset = 2
    for _ in range(count):
        value, offset = _next(raw, offset)
        values.append(value)
    if offset != len(raw):
        raise ValueError(f"{len(raw) - offset} bytes too many in a row")
    return tuple(values)


def _next(raw: bytes, offset: int) -> tuple[bytes | None, int]:
    """Return a length-prefixed value, and the offset of the next one."""
    size = _number(_int32, raw[offset : offset + 4])
    offset += 4
    if size < 0:
        return None, offset
    if offset + size > len(raw):
        raise ValueError("a value is truncated")
    return raw[offset : offset + size], offset + size


def _number(form: struct.Struct, raw: bytes) -> int:
    if len(raw) != form.size:
        raise ValueError(f"{len(raw)} bytes instead of {form.size}")
    value: int = form.unpack(raw)[0]
    return value


def integer(raw: bytes) -> int:
    return _number(_int32, raw)


def smallint(raw: bytes) -> int:
    return _number(_int16, raw)


def double(raw: bytes) -> float:
    if len(raw) != _float64.size:
        raise ValueError(f"{len(raw)} bytes instead of {_float64.size}")
    value: float = _float64.unpack(raw)[0]
    return value


def boolean(raw: bytes) -> bool:
    if raw not in (b"\x00", b"\x01"):
        raise ValueError("a boolean is neither true nor false")
    return raw == b"\x01"


def moment(raw: bytes) -> datetime:
    """Decode a timestamptz in the years 1 to 9999; the type also has later and earlier ones, and two infinities."""
    value = _number(_int64, raw)
    if not _EARLIEST_MICROSECONDS <= value <= _LATEST_MICROSECONDS:
        raise ValueError("a time is outside the years 1 to 9999")
    return _EPOCH + timedelta(microseconds=value)


def text(raw: bytes) -> str:
    return raw.decode()


def uuid(raw: bytes) -> str:
    """Return the canonical spelling of sixteen bytes."""
    if len(raw) != _UUID_BYTES:
        raise ValueError(f"{len(raw)} bytes are not a UUID")
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def jsonb(raw: bytes) -> bytes:
    """Return a JSON text in UTF-8."""
    if raw[:1] != b"\x01":
        raise ValueError("jsonb has an unknown version")
    return raw[1:]


def texts(raw: bytes) -> list[bytes | None]:
    """Return the elements of a text[]; several dimensions are flattened."""
    return _elements(raw)


def uuids(raw: bytes) -> list[bytes | None]:
    """Return the elements of a uuid[], of sixteen bytes each."""
    return _elements(raw)


def _elements(raw: bytes) -> list[bytes | None]:
    return _array_parts(raw)[1]


def _array_parts(raw: bytes) -> tuple[list[int], list[bytes | None]]:
    """Return the size of each dimension of an array, and all its elements in one list."""
    if len(raw) < _array.size:
        raise ValueError("an array is truncated")
    dimensions = _array.unpack_from(raw)[0]
    offset = _array.size + dimensions * _dimension.size
    if dimensions < 0 or offset > len(raw):
        raise ValueError("an array is truncated")
    sizes = [_dimension.unpack_from(raw, _array.size + axis * _dimension.size)[0] for axis in range(dimensions)]
    count = math.prod(sizes) if sizes else 0
    elements: list[bytes | None] = []
    for _ in range(count):
        value, offset = _next(raw, offset)
        elements.append(value)
    if offset != len(raw):
        raise ValueError(f"{len(raw) - offset} bytes too many in an array")
    return sizes, elements


def json_of_texts(raw: bytes) -> bytes:
    """Return a text[] as the server's array_to_json spells it, in UTF-8: nested lists for several dimensions."""
    sizes, elements = _array_parts(raw)
    items: list[Any] = [None if item is None else item.decode("utf-8", "surrogateescape") for item in elements]
    for size in reversed(sizes[1:]):
        items = [items[start : start + size] for start in range(0, len(items), size)]
    return json.dumps(items, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def vector(raw: bytes) -> Vector:
    """Return pgvector's vector as little-endian float32."""
    import numpy as np

    dimension = _vector.unpack_from(raw)[0] if len(raw) >= _vector.size else -1
    if len(raw) != _vector.size + 4 * dimension:
        raise ValueError(f"{len(raw)} bytes are not a vector")
    return np.frombuffer(raw, dtype=">f4", offset=_vector.size).astype("<f4")
