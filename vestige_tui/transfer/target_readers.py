"""Target readers: compare the rows of a source with those of an open store, by key.

PostgreSQL gets one digest per row and returns only the positions of missing and different rows. Rows of a SQLite file
are read and converted in this process, where SQLite would compute anyway.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial
from itertools import product
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Conflict
from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.core.storable import is_canonical, new_id
from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode
from vestige_tui.transfer.codecs import DOUBLE, JSON, TEXT, TEXTS
from vestige_tui.transfer.convert import TransferContext, TransferRow, convert_all
from vestige_tui.transfer.copy_sql import AFTER_PARAMS, CopySql
from vestige_tui.transfer.id_notes import comparable
from vestige_tui.transfer.kept_ids import KeptIds, spellings
from vestige_tui.transfer.protocols import RowComparison
from vestige_tui.transfer.row_keys import bound, key_of, key_parts
from vestige_tui.transfer.table_spec import BY_NAME, USERS

if TYPE_CHECKING:
    from vestige_tui.store.backends.postgres import PostgresBackend
    from vestige_tui.store.backends.protocol import Row
    from vestige_tui.store.backends.sqlite import SqliteBackend
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.protocols import TargetReader
    from vestige_tui.transfer.table_spec import Column, Table

log = logging.getLogger(__name__)

_LOCAL_USER_ID = new_id(LOCAL_USER)
_ZERO, _NEGATIVE_ZERO = pgbinary_encode.double(0.0), pgbinary_encode.double(-0.0)


def target_reader_of(store: Store, kept_ids: KeptIds | None = None, *, vectors: bool = True) -> TargetReader:
    """Return the reader of a store; without ``vectors`` these are compared only by presence.

    ``kept_ids`` are those of the transfer context with which the source is read.
    """
    backend: Any = store.backend
    if backend.capabilities.binary_copy:
        return PostgresTargetReader(backend, vectors=vectors)
    return SqliteTargetReader(backend, kept_ids, vectors=vectors)


async def read_kept_ids(store: Store) -> KeptIds | None:
    """Return the ids of a store that are no UUIDs; None for a store of UUIDs alone."""
    backend: Any = store.backend
    if backend.capabilities.binary_copy:
        return None
    kept_ids = KeptIds()
    for (raw,) in await backend.run("list_odd_ids", partial(_fetch, CopySql("sqlite")["list_odd_ids"], {})):
        kept_ids.add(new_id(raw), raw)
    return kept_ids


def differing(table: str, one: Sequence[bytes | None], other: Sequence[bytes | None]) -> tuple[str, ...]:
    """Return the columns in which two rows of a table differ, ``one`` from the source and ``other`` from the target."""
    compared = BY_NAME[table].compared
    return tuple(
        column.name
        for column, a, b in zip(compared, one[: len(compared)], other[: len(compared)], strict=True)
        if a != b and not _equal_values(column, one, a, b)
    )


def _equal_values(column: Column, row: Sequence[bytes | None], one: bytes | None, other: bytes | None) -> bool:
    if one is None or other is None:
        return False
    if column.unique:
        return other == one + _unique_suffix(row)
    if column.codec is DOUBLE:
        return pgbinary_decode.double(one) == pgbinary_decode.double(other)  # SQLite has no negative zero.
    return column.codec is JSON and _equal_json(one, other)


def _unique_suffix(row: Sequence[bytes | None]) -> bytes:
    """Return the end that a copy appends to a value of a row that must be unique."""
    return b"-" + pgbinary_decode.uuid(row[0] or b"")[:8].encode()


def canonical_values(table: str, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """Return the values of a row in one canonical spelling, whether they come from a source or from the target.

    Rows that ``differing`` calls equal have the same ones.
    """
    spec = BY_NAME[table]
    changed: dict[int, bytes | None] = {}
    for position in spec.json_positions:
        if (value := values[position]) is not None:
            with suppress(ValueError, ArithmeticError, RecursionError):
                changed[position] = repr(_canonical_json(_parsed_json(value))).encode()
    for position in spec.unique_positions:
        changed[position] = (values[position] or b"").removesuffix(_unique_suffix(values))
    for position in spec.double_positions:
        if values[position] == _NEGATIVE_ZERO:
            changed[position] = _ZERO
    return [changed.get(position, value) for position, value in enumerate(values)] if changed else values


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
    return [position for position, row in enumerate(rows) if table is not USERS or row.values[0] != _LOCAL_USER_ID]


# PostgreSQL

_CACHED_LIST_BYTES = 256
"""Longest list that is cached as JSON; many rows share short ones."""


_pack_count = struct.Struct(">i").pack
_pack_head = struct.Struct(">Ii").pack


def digest(table: str, values: Sequence[bytes | None]) -> bytes:
    """Return the SHA-256 of a row as ``record_send`` encodes it: column count, then type, length and bytes of each."""
    digested = BY_NAME[table].digested_positions
    parts = [_pack_count(len(digested))]
    for position, codec in digested:
        value = values[position]
        if value is not None and codec is TEXTS:
            value = _spell_list(value) if len(value) <= _CACHED_LIST_BYTES else pgbinary_decode.json_of_texts(value)
        if value is None:
            parts.append(_pack_head(codec.oid, -1))
        else:
            parts.append(_pack_head(codec.oid, len(value)))
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
    """Return the values of a shown row, in wire form."""
    return tuple(
        value if value is None or column.codec.read_back is None else column.codec.read_back(value)
        for column, value in zip(BY_NAME[table].compared, record(raw), strict=True)
    )


def _differ_params(table: str, rows: Sequence[Sequence[bytes | None]]) -> dict[str, Any]:
    """Return rows as parameters of a comparison, column by column."""
    spec = BY_NAME[table]
    params: dict[str, Any] = {
        "key": [key_of(table, row) for row in rows],
        "digest": [digest(table, row) for row in rows],
    }
    for column in spec.sent:
        position = spec.position(column.name)
        values = [row[position] or b"" for row in rows]
        params[column.name] = [pgbinary_decode.jsonb(each) for each in values] if column.codec is JSON else values
    return params


class PostgresTargetReader:
    """Reader of a store on a PostgreSQL server."""

    def __init__(self, backend: PostgresBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self.half = backend.typed("{vector}") == "halfvec"
        self._sql = CopySql("postgres")

    async def count(self, table: str) -> int:
        [row] = await self._query("count", table, {})
        return int(row["n"])

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        positions = _comparable(table, rows)
        if not positions:
            return RowComparison(frozenset(), {})
        row_values = [self._as_stored(table, rows[position].values) for position in positions]
        differences = await self._find_differences(table, row_values, 0, len(row_values))
        missing = frozenset(positions[index] for index, absent in differences if absent)
        differ = [index for index, absent in differences if not absent]
        if not differ or (table.embedded and not self.vectors):
            return RowComparison(missing, {})
        names: dict[int, tuple[str, ...]] = {}
        target_values: dict[int, tuple[bytes | None, ...]] = {}
        for index, row in await self._fetch_rows(table, row_values, differ):
            # A row deleted or updated meanwhile is left out.
            if differing_columns := differing(table.name, row_values[index], row):
                names[positions[index]], target_values[positions[index]] = differing_columns, row
        return RowComparison(missing, names, target_values)

    async def _find_differences(
        self, table: Table, row_values: Sequence[Sequence[bytes | None]], low: int, high: int
    ) -> list[tuple[int, bool]]:
        """Return the indexes of rows in a range that differ in the target, and whether they are missing there."""
        try:
            rows = await self._query("differ", table.name, _differ_params(table.name, row_values[low:high]))
        except Conflict as error:
            log.debug("Comparing rows in halves: %s", error)
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
        rows = await self._query("show", table.name, {"key": keys})
        return [(indexes[row["ord"] - 1], _read_row(table.name, bytes(row["row"]))) for row in rows]

    def _as_stored(self, table: Table, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """Return a row as the target stores it: a vector rounded to half precision."""
        if not table.embedded or not self.half:
            return values
        rounded = list(values)
        for position in table.embedding_positions:
            if (value := values[position]) is not None:
                rounded[position] = pgbinary_encode.vector(pgbinary_decode.vector(value).astype("<f2").astype("<f4"))
        return rounded

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        rows = await self._query("keys", table, {"after": after, "limit": limit})
        return [bytes(row["key"]) for row in rows]

    async def _query(self, verb: str, table: str, params: Mapping[str, Any]) -> list[Row]:
        return await self._backend.ask(f"{verb}_{table}", self._sql.of(verb, table), params)


# SQLite


class _AnyUser(set[bytes]):
    """Set that contains every user: in the target, any owner is valid."""

    def __contains__(self, user: object) -> bool:
        return True


_NEVER = datetime.min.replace(tzinfo=UTC)


class SqliteTargetReader:
    """Reader of our own SQLite file."""

    half = False

    def __init__(self, backend: SqliteBackend, kept_ids: KeptIds | None = None, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self._kept_ids = KeptIds() if kept_ids is None else kept_ids
        self._sql = CopySql("sqlite")
        self._page_ends: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        """Last key of the last page of a table, with its spelling in the file."""

    async def count(self, table: str) -> int:
        [(rows, _)] = await self._query("count", table, {})
        return int(rows)

    async def compare(self, table: Table, rows: Sequence[TransferRow]) -> RowComparison:
        positions = _comparable(table, rows)
        ids = [each for position in positions for each in self._spelled_ids(table.name, rows[position].values)]
        target_rows = await self._rows(table.name, ids)
        missing: set[int] = set()
        differ: dict[int, tuple[str, ...]] = {}
        target_values: dict[int, tuple[bytes | None, ...]] = {}
        for position in positions:
            row = target_rows.get(key_of(table.name, rows[position].values))
            values = comparable(table, rows[position].values, self._kept_ids)
            if row is None:
                missing.add(position)
            elif table.embedded and not self.vectors:
                continue
            elif names := differing(table.name, values, row):
                differ[position], target_values[position] = names, row
        return RowComparison(frozenset(missing), differ, target_values)

    async def _rows(self, name: str, ids: Sequence[tuple[str, ...]]) -> dict[bytes, tuple[bytes | None, ...]]:
        """Return the rows that have these ids, or that belong to memories with them."""
        params = (
            {"keys": json.dumps(ids)}
            if len(_queried_columns(name)) > 1
            else {"ids": json.dumps([each for (each,) in set(ids)])}
        )
        transfer_context = TransferContext(
            _NEVER,
            duplicate_ids={},
            width=None,
            half=False,
            as_stored=True,
            users=_AnyUser(),
            kept_ids=self._kept_ids,
        )
        raw_rows = await self._query("rows", name, params)
        if not self._kept_ids.empty:
            # Of a row under its UUID and one under its text, the first is the one that a copy has written.
            raw_rows = sorted(raw_rows, key=lambda raw: is_canonical(raw[0]))
        rows, *_ = convert_all(name, BY_NAME[name].convert, raw_rows, transfer_context)
        return {key_of(name, row.values): comparable(BY_NAME[name], row.values, self._kept_ids) for row in rows}

    def _spelled_ids(self, table: str, values: Sequence[bytes | None]) -> Iterable[tuple[str, ...]]:
        """Return the ids by which a row is queried, in each spelling that the file may have of them."""
        if self._kept_ids.empty:
            return (_ids(table, values),)
        columns = BY_NAME[table].columns
        return product(
            *(
                [(values[position] or b"").decode()]
                if columns[position].codec is TEXT
                else spellings(values[position] or b"", self._kept_ids)
                for position in _queried_columns(table)
            )
        )

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        cursor = ("",) * len(_queried_columns(table))
        if after is not None:
            # An id may have another spelling in the file, which the key does not tell.
            last_key, stored = self._page_ends.get(table, (None, cursor))
            cursor = stored if last_key == after else _ids(table, _parts(table, after))
        keys: list[bytes] = []
        while not keys:
            params = dict(zip(AFTER_PARAMS, map(bound, cursor), strict=False))
            page = await self._query("ids", table, {**params, "limit": limit})
            if not page:
                return []
            cursor = tuple(map(_text, page[-1]))
            if BY_NAME[table].log:
                keys = sorted(await self._rows(table, [(_text(each),) for (each,) in page]))
            else:
                keys = [self._key(table, row) for row in page]
        self._page_ends[table] = (keys[-1], cursor)
        return keys

    def _key(self, table: str, row: tuple[Any, ...]) -> bytes:
        """Return the key of a row of ids."""
        columns = BY_NAME[table].columns
        parts: list[bytes] = []
        for position, value in zip(_queried_columns(table), row, strict=True):
            if columns[position].codec is TEXT:
                parts.append(_text(value).encode("utf-8", "surrogateescape"))
                continue
            parts.append(new_id(value))
            self._kept_ids.add(parts[-1], value)
        return b"".join(parts)

    async def _query(self, verb: str, table: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._backend.run(f"{verb}_{table}", partial(_fetch, self._sql.of(verb, table), params))


def _queried_columns(table: str) -> Sequence[int]:
    """Return the positions of the columns by which rows are queried: lines of a log by their memory."""
    spec = BY_NAME[table]
    return spec.key_positions[:1] if spec.log else spec.key_positions


def _parts(table: str, key: bytes) -> Mapping[int, bytes | None]:
    parts = key_parts(table, key)
    return {position: parts[position] for position in _queried_columns(table)}


def _ids(table: str, values: Sequence[bytes | None] | Mapping[int, bytes | None]) -> tuple[str, ...]:
    """Return the ids by which a table is queried, as the file spells them."""
    columns = BY_NAME[table].columns
    return tuple(
        (values[position] or b"").decode()
        if columns[position].codec is TEXT
        else pgbinary_decode.uuid(values[position] or b"")
        for position in _queried_columns(table)
    )


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


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
