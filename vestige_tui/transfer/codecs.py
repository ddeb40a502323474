"""Codecs: how one kind of value is spelt in wire form, in PostgreSQL, in SQLite, in a row's key and in a finding."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from vestige_tui.core.times import format_time
from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode

Decoder: TypeAlias = Callable[[bytes], object]
TextDecoder: TypeAlias = Callable[[bytes], str]

_dump_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Codec:
    """One kind of value; its wire form is PostgreSQL's binary format of ``type``."""

    type: str
    """PostgreSQL type of a staging column."""
    oid: int
    """Type in a digest: texts go as bytea, and lists of texts as JSON in bytea."""
    sqlite: Decoder
    """Decoder of the wire form to the parameter of a SQLite statement. Raises ValueError for bytes of another kind."""
    text: TextDecoder | None = None
    """Decoder of the wire form to the text of a finding, or of a page's key; None for a kind that neither shows."""
    sent: str = "{}"
    """SQL expression that sends a column as the bytes of a digest, or of a shown row."""
    cast: str = "{}"
    """SQL expression that stores a staged value."""
    read: str = "{}"
    """SQL expression of the wire form that a read gives."""
    read_back: Callable[[bytes], bytes] | None = None
    """Encoder to the wire form of a value that ``sent`` has spelt otherwise."""
    key_bytes: int | None = None
    """Bytes of the value in a row's key, 0 for the rest of it; None for a kind that no key holds."""
    key_sent: str = ""
    """SQL expression that sends a column as its bytes in a key."""
    parse: str = ""
    """SQL expression of the value from its bytes in a key, or of JSON from its UTF-8 bytes."""


def _json(raw: bytes) -> str:
    return pgbinary_decode.jsonb(raw).decode()


def _texts(raw: bytes) -> str:
    return _dump_json([None if each is None else each.decode() for each in pgbinary_decode.texts(raw)])


def _uuids(raw: bytes) -> str:
    return _dump_json([None if each is None else pgbinary_decode.uuid(each) for each in pgbinary_decode.uuids(raw)])


def _blob(raw: bytes) -> bytes:
    return pgbinary_decode.vector(raw).tobytes()


def _moment(raw: bytes) -> str:
    return format_time(pgbinary_decode.moment(raw))


def _shown_double(raw: bytes) -> str:
    return repr(pgbinary_decode.double(raw))


def _shown_integer(raw: bytes) -> str:
    return str(pgbinary_decode.integer(raw))


def _shown_boolean(raw: bytes) -> str:
    return "yes" if pgbinary_decode.boolean(raw) else "no"


def _shown_texts(raw: bytes) -> str:
    return ", ".join("NULL" if each is None else each.decode() for each in pgbinary_decode.texts(raw))


def _shown_uuids(raw: bytes) -> str:
    return ", ".join("NULL" if each is None else pgbinary_decode.uuid(each) for each in pgbinary_decode.uuids(raw))


_BYTEA = 17
_AS_BYTES = "convert_to({}, 'UTF8')"

UUID = Codec(
    "uuid",
    2950,
    pgbinary_decode.uuid,
    pgbinary_decode.uuid,
    key_bytes=16,
    key_sent="uuid_send({})",
    parse="encode({}, 'hex')::uuid",
)
TEXT = Codec(
    "text",
    _BYTEA,
    pgbinary_decode.text,
    pgbinary_decode.text,
    sent=_AS_BYTES,
    key_bytes=0,
    key_sent=_AS_BYTES,
    parse="convert_from({}, 'UTF8') COLLATE \"default\"",
)
MOMENT = Codec("timestamptz", 1184, _moment, _moment, key_bytes=8, key_sent="timestamptz_send({})")
DOUBLE = Codec("double precision", 701, pgbinary_decode.double, _shown_double)
INTEGER = Codec("integer", 23, pgbinary_decode.integer, _shown_integer, key_bytes=4, key_sent="int4send({})")
SMALLINT = Codec("smallint", 21, pgbinary_decode.smallint, key_bytes=2, key_sent="int2send({})")
BOOLEAN = Codec("boolean", 16, pgbinary_decode.boolean, _shown_boolean)
TEXTS = Codec(
    "text[]",
    _BYTEA,
    _texts,
    _shown_texts,
    sent="convert_to(array_to_json({})::text, 'UTF8')",
    read_back=pgbinary_encode.texts_of_json,
)
UUIDS = Codec("uuid[]", 2951, _uuids, _shown_uuids)
JSON = Codec(
    "jsonb",
    _BYTEA,
    _json,
    _json,
    sent="convert_to({}::text, 'UTF8')",
    read_back=pgbinary_encode.jsonb,
    parse="convert_from({}, 'UTF8')::jsonb",
)
"""Equal JSON has many spellings: it is no part of a digest, and is compared as parsed."""
VECTOR = Codec("vector", _BYTEA, _blob, sent="vector_send({})")
EMBEDDING = Codec("vector", _BYTEA, _blob, sent="vector_send({}::vector)", cast="{}::{{vector}}", read="{}::vector")
"""Vector of the registered model; staged in single precision, and stored as the target does."""
