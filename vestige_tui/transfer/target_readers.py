"""What a source is compared with: the rows of an open store, asked for by their keys.

On PostgreSQL a row's values go there as one digest, and only the places of rows that are missing or differ come back.
In a SQLite file the rows are read and brought into the common form, in this process, where such a file computes anyway.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Conflict
from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode
from vestige_tui.store.schema.named_sql import load
from vestige_tui.transfer.convert import TABLES, Table, TransferContext, TransferRow, convert_all
from vestige_tui.transfer.protocols import RowComparison
from vestige_tui.transfer.row_keys import bound, key_of, key_parts
from vestige_tui.transfer.sanitize import new_id, shown

if TYPE_CHECKING:
    from vestige_tui.store.backends.postgres import PostgresBackend
    from vestige_tui.store.backends.protocol import Row
    from vestige_tui.store.backends.sqlite import SqliteBackend
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import Raw
    from vestige_tui.transfer.protocols import TargetReader

_LOCAL_USER_ID = new_id(LOCAL_USER)
_JSON_COLUMNS: Mapping[str, tuple[int, ...]] = {
    "users": (4,),
    "groups": (4,),
    "domains": (6,),
    "memories": (4, 6),
    "reviews": (3, 4),
}
"""Which values of a row are JSON: they are compared by what they say."""
_FLOAT_COLUMNS: Mapping[str, tuple[int, ...]] = {"scheduling": (1, 2, 3), "edges": (3,)}
_ZERO, _NEGATIVE_ZERO = pgbinary_encode.double(0.0), pgbinary_encode.double(-0.0)
_HANDLE_COLUMN = {"users": 1, "groups": 1}
"""The value that a copy may have lengthened, because another row had it: a handle."""


def target_reader_of(store: Store, *, vectors: bool = True) -> TargetReader:
    """The rows of a store; without ``vectors`` it only matters whether there is one, not what it is."""
    backend: Any = store.backend
    if backend.dialect == "postgres":
        return PostgresTargetReader(backend, vectors=vectors)
    return SqliteTargetReader(backend, vectors=vectors)


@cache
def columns(table: str) -> tuple[str, ...]:
    """What the values of a row are called, in their order."""
    listed = re.search(r"\(ord, ([^)]*)\)", load("postgres", "copy")[f"load_{table}"])
    assert listed is not None
    return tuple(listed[1].replace("\n", " ").replace(" ", "").split(","))


def differing(table: str, one: Sequence[bytes | None], other: Sequence[bytes | None]) -> tuple[str, ...]:
    """The names of the values in which two rows of a table differ: one as a source has it, the other as it came."""
    names = columns(table)
    return tuple(
        names[column]
        for column, (a, b) in enumerate(zip(one, other, strict=True))
        if a != b and not _equal_values(table, column, one, a, b)
    )


def _equal_values(table: str, column: int, row: Sequence[bytes | None], one: bytes | None, other: bytes | None) -> bool:
    if table == "vectors" and column == 2:
        return True  # Which state of its memory a vector belongs to is no value of the vector.
    if one is None or other is None:
        return False
    if column == _HANDLE_COLUMN.get(table):
        return other == one + b"-" + pgbinary_decode.uuid(row[0] or b"")[:8].encode()
    if column in _FLOAT_COLUMNS.get(table, ()):
        return pgbinary_decode.double(one) == pgbinary_decode.double(other)  # SQLite knows no negative zero.
    return column in _JSON_COLUMNS.get(table, ()) and _equal_json(one, other)


def canonical_row(table: str, values: Sequence[bytes | None]) -> bytes:
    """What a row says, in one spelling: as a source has it, and as the target gives it back.

    Rows that ``differing`` calls equal have the same one.
    """
    canonical: list[bytes | None] = list(values)
    for column in _JSON_COLUMNS.get(table, ()):
        if (value := canonical[column]) is not None:
            with suppress(ValueError, ArithmeticError, RecursionError):
                canonical[column] = repr(_hashable(_parsed_json(value))).encode("utf-8", "surrogateescape")
    if (column := _HANDLE_COLUMN.get(table, -1)) >= 0:
        canonical[column] = (canonical[column] or b"").removesuffix(
            b"-" + pgbinary_decode.uuid(values[0] or b"")[:8].encode()
        )
    for column in _FLOAT_COLUMNS.get(table, ()):
        if canonical[column] == _NEGATIVE_ZERO:
            canonical[column] = _ZERO
    return pgbinary_encode.row(*canonical)


def _hashable(value: Any) -> Any:
    """A plain value with its members in one order and its numbers by their hash, which no spelling changes."""
    if isinstance(value, dict):
        return sorted((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list):
        return [_hashable(each) for each in value]
    kind, plain = value
    return (kind, hash(plain) if isinstance(plain, Decimal) else plain)


def _equal_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(_parsed_json(one) == _parsed_json(other))
    except (ValueError, ArithmeticError, RecursionError):
        return False


def _parsed_json(raw: bytes) -> Any:
    """What a JSON text says: numbers by their value, whatever their spelling."""
    return _plain(json.loads(pgbinary_decode.jsonb(raw), parse_float=Decimal, parse_int=Decimal))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    # True equals 1 in Python, and not in JSON.
    return (type(value).__name__, value)


def _comparable(table: Table, rows: Sequence[TransferRow]) -> list[int]:
    """The places of rows to compare: the user that every store begins with is not copied."""
    return [position for position, row in enumerate(rows) if table.name != "users" or row.values[0] != _LOCAL_USER_ID]


# PostgreSQL

_UUID_OID, _UUIDS_OID, _TIME_OID, _FLOAT_OID, _INT_OID, _SMALLINT_OID, _BOOL_OID, _BYTEA_OID = (
    2950,
    2951,
    1184,
    701,
    23,
    21,
    16,
    17,
)
_LIST_COLUMNS: Mapping[str, tuple[int, ...]] = {"domains": (3,), "memories": (3, 5)}
"""Which values of a row are lists of texts: between us and the server they are JSON."""
_CACHED_LIST_BYTES = 256
"""Bytes of a list that very many rows may have."""


@dataclass(frozen=True, slots=True)
class _DigestColumns:
    """Which values of a row are in its digest, each with the type (oid) that the server has it in: texts are bytes."""

    values: tuple[tuple[int, int], ...]


_DIGEST_COLUMNS: Mapping[str, _DigestColumns] = {
    "users": _DigestColumns(((2, _BYTEA_OID), (3, _TIME_OID))),
    "groups": _DigestColumns(((2, _BYTEA_OID), (3, _TIME_OID))),
    "memberships": _DigestColumns(((2, _BYTEA_OID), (3, _TIME_OID))),
    "domains": _DigestColumns(((1, _BYTEA_OID), (2, _BYTEA_OID), (3, _BYTEA_OID), (4, _INT_OID), (5, _TIME_OID))),
    "memories": _DigestColumns(
        (
            (1, _BYTEA_OID),
            (2, _BYTEA_OID),
            (3, _BYTEA_OID),
            (5, _BYTEA_OID),
            (7, _BYTEA_OID),
            (8, _UUID_OID),
            (9, _BYTEA_OID),
            (10, _UUIDS_OID),
            (11, _TIME_OID),
            (12, _TIME_OID),
        )
    ),
    "vectors": _DigestColumns(((1, _BYTEA_OID),)),
    "scheduling": _DigestColumns(
        (
            (1, _FLOAT_OID),
            (2, _FLOAT_OID),
            (3, _FLOAT_OID),
            (4, _TIME_OID),
            (5, _TIME_OID),
            (6, _INT_OID),
            (7, _INT_OID),
        ),
    ),
    "edges": _DigestColumns(((3, _FLOAT_OID), (4, _TIME_OID))),
    "reviews": _DigestColumns(((6, _UUID_OID), (7, _TIME_OID), (8, _SMALLINT_OID), (9, _INT_OID))),
    "supersession": _DigestColumns(()),
    "marks": _DigestColumns(((1, _BOOL_OID), (2, _TIME_OID))),
}

_pack_count = struct.Struct(">i").pack
_pack_head = struct.Struct(">Ii").pack


def digest(table: str, values: Sequence[bytes | None]) -> bytes:
    """SHA-256 over what ``record_send`` says of a row: the number of values, then type, length and bytes of each."""
    chosen, lists = _DIGEST_COLUMNS[table].values, _LIST_COLUMNS.get(table, ())
    parts = [_pack_count(len(chosen))]
    for column, oid in chosen:
        value = values[column]
        if value is not None and column in lists:
            value = _spell_list(value) if len(value) <= _CACHED_LIST_BYTES else pgbinary_decode.json_of_texts(value)
        if value is None:
            parts.append(_pack_head(oid, -1))
        else:
            parts.append(_pack_head(oid, len(value)))
            parts.append(value)
    return hashlib.sha256(b"".join(parts)).digest()


@lru_cache(maxsize=4_096)
def _spell_list(raw: bytes) -> bytes:
    return pgbinary_decode.json_of_texts(raw)


def record(raw: bytes) -> tuple[bytes | None, ...]:
    """The values in what ``record_send`` gave."""
    (count,) = struct.unpack_from(">i", raw)
    values: list[bytes | None] = []
    offset = 4
    for _ in range(count):
        _, length = struct.unpack_from(">Ii", raw, offset)
        offset += 8
        values.append(None if length < 0 else raw[offset : offset + length])
        offset += max(0, length)
    return tuple(values)


def _read_row(table: str, raw: bytes) -> tuple[bytes | None, ...]:
    """The values that ``show_<table>`` gives of a row, in wire form."""
    values = list(record(raw))
    for places, read in ((_LIST_COLUMNS, pgbinary_encode.texts_of_json), (_JSON_COLUMNS, pgbinary_encode.jsonb)):
        for column in places.get(table, ()):
            value = values[column]
            values[column] = None if value is None else read(value)
    return tuple(values)


def _differ_params(table: str, rows: Sequence[Sequence[bytes | None]]) -> dict[str, Any]:
    """Rows as ``differ_<table>`` is asked about them, column by column."""
    params: dict[str, Any] = {
        "key": [key_of(table, row) for row in rows],
        "digest": [digest(table, row) for row in rows],
    }
    names = columns(table)
    for column in _JSON_COLUMNS.get(table, ()):
        params[names[column]] = [pgbinary_decode.jsonb(row[column] or b"") for row in rows]
    if (handle := _HANDLE_COLUMN.get(table)) is not None:
        params[names[handle]] = [row[handle] or b"" for row in rows]
    return params


class PostgresTargetReader:
    """The rows of a store on a PostgreSQL server."""

    def __init__(self, backend: PostgresBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self.half = backend.typed("{vector}") == "halfvec"
        self._sql = load("postgres", "copy")

    async def count(self, table: str) -> int:
        [row] = await self._query(f"count_{table}", {})
        return int(row["n"])

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        places = _comparable(table, rows)
        if not places:
            return RowComparison(frozenset(), {})
        row_values = [self._as_stored(table, rows[position].values) for position in places]
        differences = await self._find_differences(table, row_values, 0, len(row_values))
        missing = frozenset(places[index] for index, absent in differences if absent)
        differ = [index for index, absent in differences if not absent]
        if not differ or (table.name == "vectors" and not self.vectors):
            return RowComparison(missing, {})
        names: dict[int, tuple[str, ...]] = {}
        target_values: dict[int, tuple[bytes | None, ...]] = {}
        for index, row in await self._fetch_rows(table, row_values, differ):
            # A row that has gone or become alike meanwhile is left out.
            if named := differing(table.name, row_values[index][: len(row)], row):
                names[places[index]], target_values[places[index]] = named, row
        return RowComparison(missing, names, target_values)

    async def _find_differences(
        self, table: Table, row_values: Sequence[Sequence[bytes | None]], low: int, high: int
    ) -> list[tuple[int, bool]]:
        """Which rows from one place to another are not alike in the target, and whether they are missing there."""
        try:
            rows = await self._query(f"differ_{table.name}", _differ_params(table.name, row_values[low:high]))
        except Conflict:
            # A row holds what the server cannot read, so that it cannot be there: the others are asked about without.
            if high - low == 1:
                return [(low, not await self._fetch_rows(table, row_values, [low]))]
            middle = (low + high) // 2
            return [
                *await self._find_differences(table, row_values, low, middle),
                *await self._find_differences(table, row_values, middle, high),
            ]
        return [(low + row["ord"] - 1, bool(row["missing"])) for row in rows]

    async def _fetch_rows(
        self, table: Table, row_values: Sequence[Sequence[bytes | None]], places: Sequence[int]
    ) -> list[tuple[int, tuple[bytes | None, ...]]]:
        """The rows of the target with the keys of these, by their places."""
        keys = [key_of(table.name, row_values[each]) for each in places]
        rows = await self._query(f"show_{table.name}", {"key": keys})
        return [(places[row["ord"] - 1], _read_row(table.name, bytes(row["row"]))) for row in rows]

    def _as_stored(self, table: Table, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """A row as the target can hold it: in half precision a vector is not what it was."""
        if table.name != "vectors" or not self.half or values[1] is None:
            return values
        return (
            values[0],
            pgbinary_encode.vector(pgbinary_decode.vector(values[1]).astype("<f2").astype("<f4")),
            *values[2:],
        )

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        rows = await self._query(f"keys_{table}", {"after": after, "limit": limit})
        return [bytes(row["key"]) for row in rows]

    async def _query(self, name: str, params: Mapping[str, Any]) -> list[Row]:
        return await self._backend.ask(name, self._sql[name], params)


# SQLite


class _AnyUser(set[bytes]):
    """Who may own a memory where it has been copied already: whoever does."""

    def __contains__(self, user: object) -> bool:
        return True


_KEY_VALUE_COUNT = {"memberships": 2, "edges": 3}
"""Rows that are asked for by their whole keys, which so many values make: very many may begin alike."""
_LOG_TABLES = ("reviews", "supersession")
_AFTER_PARAMS = ("after", "after_second", "after_third")
_NEVER = datetime.min.replace(tzinfo=UTC)


class SqliteTargetReader:
    """The rows of a store of ours in a SQLite file."""

    half = False

    def __init__(self, backend: SqliteBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self._sql = load("sqlite", "copy")
        self._tables = {
            table.name: replace(table, convert=_vector) if table.name == "vectors" else table for table in TABLES
        }
        self._page_ends: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        """Behind which key the last page of a table ended, and how the file spells it."""

    async def count(self, table: str) -> int:
        [(rows, _)] = await self._query(f"count_{table}", {})
        return int(rows)

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        places = _comparable(table, rows)
        target_rows = await self._rows(table.name, [_ids(table.name, rows[position].values) for position in places])
        missing: set[int] = set()
        differ: dict[int, tuple[str, ...]] = {}
        target_values: dict[int, tuple[bytes | None, ...]] = {}
        for position in places:
            values = rows[position].values
            row = target_rows.get(key_of(table.name, values))
            if row is None:
                missing.add(position)
            elif table.name == "vectors" and not self.vectors:
                continue
            elif names := differing(table.name, values, row):
                differ[position], target_values[position] = names, row
        return RowComparison(frozenset(missing), differ, target_values)

    async def _rows(self, name: str, ids: Sequence[tuple[str, ...]]) -> dict[bytes, tuple[bytes | None, ...]]:
        """The rows that these ids, or the memories with these ids, have."""
        params = (
            {"keys": json.dumps(ids)}
            if name in _KEY_VALUE_COUNT
            else {"ids": json.dumps([each for (each,) in set(ids)])}
        )
        table = self._tables[name]
        transfer_context = TransferContext(_NEVER, duplicate_ids={}, width=None, half=False, users=_AnyUser())
        rows, *_ = convert_all(name, table.convert, await self._query(f"rows_{name}", params), transfer_context)
        return {key_of(name, row.values): row.values for row in rows}

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        cursor = ("",) * _KEY_VALUE_COUNT.get(table, 1)
        if after is not None:
            # Where somebody has spelt an id otherwise than we do, the key does not tell how.
            last_key, stored = self._page_ends.get(table, (None, cursor))
            cursor = stored if last_key == after else _ids(table, tuple(_parts(table, after)))
        keys: list[bytes] = []
        while not keys:
            params = dict(zip(_AFTER_PARAMS, map(bound, cursor), strict=False))
            page = await self._query(f"ids_{table}", {**params, "limit": limit})
            if not page:
                return []
            cursor = tuple(map(_text, page[-1]))
            if table in _LOG_TABLES:
                keys = sorted(await self._rows(table, [(_text(each),) for (each,) in page]))
            else:
                keys = [_key(table, row) for row in page]
        self._page_ends[table] = (keys[-1], cursor)
        return keys

    async def _query(self, name: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._backend.run(name, partial(_fetch, self._sql[name], params))


def _parts(table: str, key: bytes) -> list[bytes | None]:
    parts = key_parts(table, key)
    return [parts[column] for column in range(_KEY_VALUE_COUNT.get(table, 1))]


def _ids(table: str, values: Sequence[bytes | None]) -> tuple[str, ...]:
    """What the rows of a table are asked for by, as the file spells it."""
    if table == "domains":
        return ((values[0] or b"").decode(),)
    ids = [pgbinary_decode.uuid(value or b"") for value in values[: min(2, _KEY_VALUE_COUNT.get(table, 1))]]
    return (*ids, (values[2] or b"").decode()) if table == "edges" else tuple(ids)


def _key(table: str, row: tuple[Any, ...]) -> bytes:
    """The key of a row, by the values that ``ids_<table>`` gives."""
    if table == "domains":
        return _text(row[0]).encode("utf-8", "surrogateescape")
    key = b"".join(map(new_id, row[:2]))
    return key + _text(row[2]).encode("utf-8", "surrogateescape") if table == "edges" else key


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _vector(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    """A vector as it lies there, whatever it is; one that is none has no values."""
    import numpy as np

    ident, blob, *_ = raw
    is_vector = isinstance(blob, bytes) and len(blob) % 4 == 0 and len(blob) <= _MAX_VECTOR_BYTES
    packed = pgbinary_encode.vector(np.frombuffer(blob, dtype="<f4")) if is_vector else b""
    return TransferRow(shown(ident), (new_id(ident), packed, None))


_MAX_VECTOR_BYTES = 4 * (2**16 - 1)


def _fetch(sql: str, params: Mapping[str, Any], connection: Any) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    # What is no UTF-8 comes as in a source, or else its batch could not be read at all.
    connection.text_factory = _decode
    try:
        rows: list[tuple[Any, ...]] = cursor.execute(sql, params).fetchall()
        return rows
    finally:
        connection.text_factory = str


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
