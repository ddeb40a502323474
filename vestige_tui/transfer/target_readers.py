"""Target readers: compare the rows of a source with those of an open store, by key.

PostgreSQL gets one digest per row and returns only the positions of missing and different rows. Rows of a SQLite file
are read and converted in this process, where SQLite would compute anyway.
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
"""Columns with JSON, which is compared as parsed."""
_FLOAT_COLUMNS: Mapping[str, tuple[int, ...]] = {"scheduling": (1, 2, 3), "edges": (3,)}
_ZERO, _NEGATIVE_ZERO = pgbinary_encode.double(0.0), pgbinary_encode.double(-0.0)
_HANDLE_COLUMN = {"users": 1, "groups": 1}
"""Column with the handle, which a copy may have lengthened to keep it unique."""


def target_reader_of(store: Store, *, vectors: bool = True) -> TargetReader:
    """Return the reader of a store; without ``vectors`` these are compared only by presence."""
    backend: Any = store.backend
    if backend.dialect == "postgres":
        return PostgresTargetReader(backend, vectors=vectors)
    return SqliteTargetReader(backend, vectors=vectors)


@cache
def columns(table: str) -> tuple[str, ...]:
    """Return the column names of a table, in the order of a row's values."""
    match = re.search(r"\(ord, ([^)]*)\)", load("postgres", "copy")[f"load_{table}"])
    assert match is not None
    return tuple(match[1].replace("\n", " ").replace(" ", "").split(","))


def differing(table: str, one: Sequence[bytes | None], other: Sequence[bytes | None]) -> tuple[str, ...]:
    """Return the columns in which two rows of a table differ, ``one`` from the source and ``other`` from the target."""
    names = columns(table)
    return tuple(
        names[column]
        for column, (a, b) in enumerate(zip(one, other, strict=True))
        if a != b and not _equal_values(table, column, one, a, b)
    )


def _equal_values(table: str, column: int, row: Sequence[bytes | None], one: bytes | None, other: bytes | None) -> bool:
    if table == "vectors" and column == 2:
        return True  # The state of its memory is not part of a vector.
    if one is None or other is None:
        return False
    if column == _HANDLE_COLUMN.get(table):
        return other == one + b"-" + pgbinary_decode.uuid(row[0] or b"")[:8].encode()
    if column in _FLOAT_COLUMNS.get(table, ()):
        return pgbinary_decode.double(one) == pgbinary_decode.double(other)  # SQLite has no negative zero.
    return column in _JSON_COLUMNS.get(table, ()) and _equal_json(one, other)


def canonical_values(table: str, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """Return the values of a row in one canonical spelling, whether they come from a source or from the target.

    Rows that ``differing`` calls equal have the same ones.
    """
    changed: dict[int, bytes | None] = {}
    for column in _JSON_COLUMNS.get(table, ()):
        if (value := values[column]) is not None:
            with suppress(ValueError, ArithmeticError, RecursionError):
                changed[column] = repr(_canonical_json(_parsed_json(value))).encode()
    if (column := _HANDLE_COLUMN.get(table, -1)) >= 0:
        suffix = b"-" + pgbinary_decode.uuid(values[0] or b"")[:8].encode()
        changed[column] = (values[column] or b"").removesuffix(suffix)
    for column in _FLOAT_COLUMNS.get(table, ()):
        if values[column] == _NEGATIVE_ZERO:
            changed[column] = _ZERO
    return [changed.get(column, value) for column, value in enumerate(values)] if changed else values


def _canonical_json(value: Any) -> Any:
    """Return a plain value with sorted members and each number in one spelling."""
    if isinstance(value, dict):
        return ("dict", sorted((key, _canonical_json(each)) for key, each in value.items()))
    if isinstance(value, list):
        return [_canonical_json(each) for each in value]
    kind, plain = value
    return (kind, _canonical_number(plain) if isinstance(plain, Decimal) else plain)


def _canonical_number(value: Decimal) -> tuple[int, str, int]:
    """Return sign, digits without zeros at either end, and exponent of a finite number."""
    sign, digits, exponent = value.as_tuple()
    padded = "".join(map(str, digits))
    trimmed = padded.rstrip("0").lstrip("0")
    return (sign, trimmed, int(exponent) + len(padded) - len(padded.rstrip("0"))) if trimmed else (0, "", 0)


def _equal_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(_parsed_json(one) == _parsed_json(other))
    except (ValueError, ArithmeticError, RecursionError):
        return False


def _parsed_json(raw: bytes) -> Any:
    """Parse JSON, with numbers by value, whether 1.0 or 1.00."""
    return _plain(json.loads(pgbinary_decode.jsonb(raw), parse_float=Decimal, parse_int=Decimal))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    # Unlike in JSON, True equals 1 in Python.
    return (type(value).__name__, value)


def _comparable(table: Table, rows: Sequence[TransferRow]) -> list[int]:
    """Return the positions of rows to compare, without the built-in user, which is not copied."""
    return [position for position, row in enumerate(rows) if table.name != "users" or row.values[0] != _LOCAL_USER_ID]


# PostgreSQL

_UUID, _UUIDS, _TIME, _FLOAT, _INT, _SMALL, _BOOL, _BYTES = (
    2950,
    2951,
    1184,
    701,
    23,
    21,
    16,
    17,
)
"""Type OIDs of the server."""
_LIST_COLUMNS: Mapping[str, tuple[int, ...]] = {"domains": (3,), "memories": (3, 5)}
"""Columns with lists of texts, which the server gets and returns as JSON."""
_CACHED_LIST_BYTES = 256
"""Longest list that is cached as JSON; many rows share short ones."""


@dataclass(frozen=True, slots=True)
class _DigestColumns:
    """Columns in a row's digest with their types (OIDs) on the server; texts are bytea."""

    values: tuple[tuple[int, int], ...]


_DIGEST_COLUMNS: Mapping[str, _DigestColumns] = {
    "users": _DigestColumns(((2, _BYTES), (3, _TIME))),
    "groups": _DigestColumns(((2, _BYTES), (3, _TIME))),
    "memberships": _DigestColumns(((2, _BYTES), (3, _TIME))),
    "domains": _DigestColumns(((1, _BYTES), (2, _BYTES), (3, _BYTES), (4, _INT), (5, _TIME))),
    "memories": _DigestColumns(
        (
            (1, _BYTES),
            (2, _BYTES),
            (3, _BYTES),
            (5, _BYTES),
            (7, _BYTES),
            (8, _UUID),
            (9, _BYTES),
            (10, _UUIDS),
            (11, _TIME),
            (12, _TIME),
        )
    ),
    "vectors": _DigestColumns(((1, _BYTES),)),
    "scheduling": _DigestColumns(
        (
            (1, _FLOAT),
            (2, _FLOAT),
            (3, _FLOAT),
            (4, _TIME),
            (5, _TIME),
            (6, _INT),
            (7, _INT),
        ),
    ),
    "edges": _DigestColumns(((3, _FLOAT), (4, _TIME))),
    "reviews": _DigestColumns(((6, _UUID), (7, _TIME), (8, _SMALL), (9, _INT))),
    "supersession": _DigestColumns(()),
    "marks": _DigestColumns(((1, _BOOL), (2, _TIME))),
}

_pack_count = struct.Struct(">i").pack
_pack_head = struct.Struct(">Ii").pack


def digest(table: str, values: Sequence[bytes | None]) -> bytes:
    """Return the SHA-256 of a row as ``record_send`` encodes it: column count, then type, length and bytes of each."""
    typed_columns, list_columns = _DIGEST_COLUMNS[table].values, _LIST_COLUMNS.get(table, ())
    parts = [_pack_count(len(typed_columns))]
    for column, oid in typed_columns:
        value = values[column]
        if value is not None and column in list_columns:
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
    """Return the values of a record as ``record_send`` encodes it."""
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
    """Return the values of a row of ``show_<table>``, in wire form."""
    values = list(record(raw))
    for columns_by_table, read in (
        (_LIST_COLUMNS, pgbinary_encode.texts_of_json),
        (_JSON_COLUMNS, pgbinary_encode.jsonb),
    ):
        for column in columns_by_table.get(table, ()):
            value = values[column]
            values[column] = None if value is None else read(value)
    return tuple(values)


def _differ_params(table: str, rows: Sequence[Sequence[bytes | None]]) -> dict[str, Any]:
    """Return rows as parameters of ``differ_<table>``, column by column."""
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
    """Reader of a store on a PostgreSQL server."""

    def __init__(self, backend: PostgresBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self.half = backend.typed("{vector}") == "halfvec"
        self._sql = load("postgres", "copy")

    async def count(self, table: str) -> int:
        [row] = await self._query(f"count_{table}", {})
        return int(row["n"])

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        positions = _comparable(table, rows)
        if not positions:
            return RowComparison(frozenset(), {})
        row_values = [self._as_stored(table, rows[position].values) for position in positions]
        differences = await self._find_differences(table, row_values, 0, len(row_values))
        missing = frozenset(positions[index] for index, absent in differences if absent)
        differ = [index for index, absent in differences if not absent]
        if not differ or (table.name == "vectors" and not self.vectors):
            return RowComparison(missing, {})
        names: dict[int, tuple[str, ...]] = {}
        target_values: dict[int, tuple[bytes | None, ...]] = {}
        for index, row in await self._fetch_rows(table, row_values, differ):
            # A row deleted or updated meanwhile is left out.
            if differing_columns := differing(table.name, row_values[index][: len(row)], row):
                names[positions[index]], target_values[positions[index]] = differing_columns, row
        return RowComparison(missing, names, target_values)

    async def _find_differences(
        self, table: Table, row_values: Sequence[Sequence[bytes | None]], low: int, high: int
    ) -> list[tuple[int, bool]]:
        """Return the indexes of rows in a range that differ in the target, and whether they are missing there."""
        try:
            rows = await self._query(f"differ_{table.name}", _differ_params(table.name, row_values[low:high]))
        except Conflict:
            # The server cannot read a row, so that it cannot exist there: bisect to compare the others.
            if high - low == 1:
                return [(low, not await self._fetch_rows(table, row_values, [low]))]
            middle = (low + high) // 2
            return [
                *await self._find_differences(table, row_values, low, middle),
                *await self._find_differences(table, row_values, middle, high),
            ]
        return [(low + row["ord"] - 1, bool(row["missing"])) for row in rows]

    async def _fetch_rows(
        self, table: Table, row_values: Sequence[Sequence[bytes | None]], indexes: Sequence[int]
    ) -> list[tuple[int, tuple[bytes | None, ...]]]:
        """Return the rows of the target with the keys of these, by index."""
        keys = [key_of(table.name, row_values[each]) for each in indexes]
        rows = await self._query(f"show_{table.name}", {"key": keys})
        return [(indexes[row["ord"] - 1], _read_row(table.name, bytes(row["row"]))) for row in rows]

    def _as_stored(self, table: Table, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """Return a row as the target stores it: a vector rounded to half precision."""
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
    """Set that contains every user: in the target, any owner is valid."""

    def __contains__(self, user: object) -> bool:
        return True


_KEY_VALUE_COUNT = {"memberships": 2, "edges": 3}
"""Number of values in the key of tables that are queried by whole keys, because many rows share the first value."""
_LOG_TABLES = ("reviews", "supersession")
_AFTER_PARAMS = ("after", "after_second", "after_third")
_NEVER = datetime.min.replace(tzinfo=UTC)


class SqliteTargetReader:
    """Reader of our own SQLite file."""

    half = False

    def __init__(self, backend: SqliteBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self._sql = load("sqlite", "copy")
        self._tables = {
            table.name: replace(table, convert=_vector) if table.name == "vectors" else table for table in TABLES
        }
        self._page_ends: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        """Last key of the last page of a table, with its spelling in the file."""

    async def count(self, table: str) -> int:
        [(rows, _)] = await self._query(f"count_{table}", {})
        return int(rows)

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        positions = _comparable(table, rows)
        target_rows = await self._rows(table.name, [_ids(table.name, rows[position].values) for position in positions])
        missing: set[int] = set()
        differ: dict[int, tuple[str, ...]] = {}
        target_values: dict[int, tuple[bytes | None, ...]] = {}
        for position in positions:
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
        """Return the rows that have these ids, or that belong to memories with them."""
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
            # An id may have another spelling in the file, which the key does not tell.
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
    """Return the ids by which a table is queried, as the file spells them."""
    if table == "domains":
        return ((values[0] or b"").decode(),)
    ids = [pgbinary_decode.uuid(value or b"") for value in values[: min(2, _KEY_VALUE_COUNT.get(table, 1))]]
    return (*ids, (values[2] or b"").decode()) if table == "edges" else tuple(ids)


def _key(table: str, row: tuple[Any, ...]) -> bytes:
    """Return the key of a row of ``ids_<table>``."""
    if table == "domains":
        return _text(row[0]).encode("utf-8", "surrogateescape")
    key = b"".join(map(new_id, row[:2]))
    return key + _text(row[2]).encode("utf-8", "surrogateescape") if table == "edges" else key


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _vector(raw: Raw, transfer_context: TransferContext) -> TransferRow:
    """Convert a vector as stored, valid or not; one that cannot be a vector has no values."""
    import numpy as np

    ident, blob, *_ = raw
    is_vector = isinstance(blob, bytes) and len(blob) % 4 == 0 and len(blob) <= _MAX_VECTOR_BYTES
    packed = pgbinary_encode.vector(np.frombuffer(blob, dtype="<f4")) if is_vector else b""
    return TransferRow(shown(ident), (new_id(ident), packed, None))


_MAX_VECTOR_BYTES = 4 * (2**16 - 1)


def _fetch(sql: str, params: Mapping[str, Any], connection: Any) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    # Decode as in a source, or else invalid UTF-8 would fail the whole batch.
    connection.text_factory = _decode
    try:
        rows: list[tuple[Any, ...]] = cursor.execute(sql, params).fetchall()
        return rows
    finally:
        connection.text_factory = str


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
