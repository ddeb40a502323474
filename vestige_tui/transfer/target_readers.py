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
from vestige_tui.transfer.convert import TABLES, Fit, Setting, Table, convert_all
from vestige_tui.transfer.protocols import Compared
from vestige_tui.transfer.row_keys import bound, key_of, key_parts
from vestige_tui.transfer.sanitize import new_id, shown

if TYPE_CHECKING:
    from vestige_tui.store.backends.postgres import PostgresBackend
    from vestige_tui.store.backends.protocol import Row
    from vestige_tui.store.backends.sqlite import SqliteBackend
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import Raw
    from vestige_tui.transfer.protocols import Mirror

_LOCAL = new_id(LOCAL_USER)
_JSON: Mapping[str, tuple[int, ...]] = {
    "users": (4,),
    "groups": (4,),
    "domains": (6,),
    "memories": (4, 6),
    "reviews": (3, 4),
}
"""Which values of a row are JSON: they are compared by what they say."""
_FLOATS: Mapping[str, tuple[int, ...]] = {"scheduling": (1, 2, 3), "edges": (3,)}
_ZERO, _NEGATIVE_ZERO = pgbinary_encode.double(0.0), pgbinary_encode.double(-0.0)
_NAMED = {"users": 1, "groups": 1}
"""The value that a copy may have lengthened, because another row had it: a handle."""


def mirror_of(store: Store, *, vectors: bool = True) -> Mirror:
    """The rows of a store; without ``vectors`` it only matters whether there is one, not what it is."""
    backend: Any = store.backend
    if backend.dialect == "postgres":
        return PostgresMirror(backend, vectors=vectors)
    return SqliteMirror(backend, vectors=vectors)


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
        names[place]
        for place, (a, b) in enumerate(zip(one, other, strict=True))
        if a != b and not _alike(table, place, one, a, b)
    )


def _alike(table: str, place: int, row: Sequence[bytes | None], one: bytes | None, other: bytes | None) -> bool:
    if table == "vectors" and place == 2:
        return True  # Which state of its memory a vector belongs to is no value of the vector.
    if one is None or other is None:
        return False
    if place == _NAMED.get(table):
        return other == one + b"-" + pgbinary_decode.uuid(row[0] or b"")[:8].encode()
    if place in _FLOATS.get(table, ()):
        return pgbinary_decode.double(one) == pgbinary_decode.double(other)  # SQLite knows no negative zero.
    return place in _JSON.get(table, ()) and _say_the_same(one, other)


def meaning(table: str, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """The values of a row in one spelling: as a source has them, and as the target gives them back.

    Rows that ``differing`` calls equal have the same ones.
    """
    changed: dict[int, bytes | None] = {}
    for place in _JSON.get(table, ()):
        if (value := values[place]) is not None:
            with suppress(ValueError, ArithmeticError, RecursionError):
                changed[place] = repr(_in_order(_said(value))).encode()
    if (place := _NAMED.get(table, -1)) >= 0:
        lengthened = b"-" + pgbinary_decode.uuid(values[0] or b"")[:8].encode()
        changed[place] = (values[place] or b"").removesuffix(lengthened)
    for place in _FLOATS.get(table, ()):
        if values[place] == _NEGATIVE_ZERO:
            changed[place] = _ZERO
    return [changed.get(place, value) for place, value in enumerate(values)] if changed else values


def _in_order(value: Any) -> Any:
    """A plain value with its members in order and each number in one spelling."""
    if isinstance(value, dict):
        return ("dict", sorted((key, _in_order(each)) for key, each in value.items()))
    if isinstance(value, list):
        return [_in_order(each) for each in value]
    kind, plain = value
    return (kind, _number(plain) if isinstance(plain, Decimal) else plain)


def _number(value: Decimal) -> tuple[int, str, int]:
    """A finite number without the zeros at its end: sign, digits and exponent."""
    sign, digits, exponent = value.as_tuple()
    written = "".join(map(str, digits))
    kept = written.rstrip("0").lstrip("0")
    return (sign, kept, int(exponent) + len(written) - len(written.rstrip("0"))) if kept else (0, "", 0)


def _say_the_same(one: bytes, other: bytes) -> bool:
    try:
        return bool(_said(one) == _said(other))
    except (ValueError, ArithmeticError, RecursionError):
        return False


def _said(raw: bytes) -> Any:
    """What a JSON text says: numbers by their value, whatever their spelling."""
    return _plain(json.loads(pgbinary_decode.jsonb(raw), parse_float=Decimal, parse_int=Decimal))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    # True equals 1 in Python, and not in JSON.
    return (type(value).__name__, value)


def _comparable(table: Table, fits: Sequence[Fit]) -> list[int]:
    """The places of rows to compare: the user that every store begins with is not copied."""
    return [place for place, fit in enumerate(fits) if table.name != "users" or fit.values[0] != _LOCAL]


# PostgreSQL

_UUID, _UUIDS, _TIME, _FLOAT, _INT, _SMALL, _BOOL, _BYTES = 2950, 2951, 1184, 701, 23, 21, 16, 17
_LISTS: Mapping[str, tuple[int, ...]] = {"domains": (3,), "memories": (3, 5)}
"""Which values of a row are lists of texts: between us and the server they are JSON."""
_SHORT = 256
"""Bytes of a list that very many rows may have."""


@dataclass(frozen=True, slots=True)
class _Digested:
    """Which values of a row are in its digest, each with the type (oid) that the server has it in: texts are bytes."""

    values: tuple[tuple[int, int], ...]


_DIGESTED: Mapping[str, _Digested] = {
    "users": _Digested(((2, _BYTES), (3, _TIME))),
    "groups": _Digested(((2, _BYTES), (3, _TIME))),
    "memberships": _Digested(((2, _BYTES), (3, _TIME))),
    "domains": _Digested(((1, _BYTES), (2, _BYTES), (3, _BYTES), (4, _INT), (5, _TIME))),
    "memories": _Digested(
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
    "vectors": _Digested(((1, _BYTES),)),
    "scheduling": _Digested(
        ((1, _FLOAT), (2, _FLOAT), (3, _FLOAT), (4, _TIME), (5, _TIME), (6, _INT), (7, _INT)),
    ),
    "edges": _Digested(((3, _FLOAT), (4, _TIME))),
    "reviews": _Digested(((6, _UUID), (7, _TIME), (8, _SMALL), (9, _INT))),
    "supersession": _Digested(()),
    "marks": _Digested(((1, _BOOL), (2, _TIME))),
}

_pack_count = struct.Struct(">i").pack
_pack_head = struct.Struct(">Ii").pack


def digest(table: str, values: Sequence[bytes | None]) -> bytes:
    """SHA-256 over what ``record_send`` says of a row: the number of values, then type, length and bytes of each."""
    chosen, lists = _DIGESTED[table].values, _LISTS.get(table, ())
    parts = [_pack_count(len(chosen))]
    for place, oid in chosen:
        value = values[place]
        if value is not None and place in lists:
            value = _spell_list(value) if len(value) <= _SHORT else pgbinary_decode.json_of_texts(value)
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
    found: list[bytes | None] = []
    at = 4
    for _ in range(count):
        _, length = struct.unpack_from(">Ii", raw, at)
        at += 8
        found.append(None if length < 0 else raw[at : at + length])
        at += max(0, length)
    return tuple(found)


def _read_row(table: str, raw: bytes) -> tuple[bytes | None, ...]:
    """The values that ``show_<table>`` gives of a row, in wire form."""
    found = list(record(raw))
    for places, read in ((_LISTS, pgbinary_encode.texts_of_json), (_JSON, pgbinary_encode.jsonb)):
        for place in places.get(table, ()):
            value = found[place]
            found[place] = None if value is None else read(value)
    return tuple(found)


def _asked(table: str, rows: Sequence[Sequence[bytes | None]]) -> dict[str, Any]:
    """Rows as ``differ_<table>`` is asked about them, column by column."""
    params: dict[str, Any] = {
        "key": [key_of(table, row) for row in rows],
        "digest": [digest(table, row) for row in rows],
    }
    names = columns(table)
    for place in _JSON.get(table, ()):
        params[names[place]] = [pgbinary_decode.jsonb(row[place] or b"") for row in rows]
    if (handle := _NAMED.get(table)) is not None:
        params[names[handle]] = [row[handle] or b"" for row in rows]
    return params


class PostgresMirror:
    """The rows of a store on a PostgreSQL server."""

    def __init__(self, backend: PostgresBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self.half = backend.typed("{vector}") == "halfvec"
        self._sql = load("postgres", "copy")

    async def count(self, table: str) -> int:
        [row] = await self._ask(f"count_{table}", {})
        return int(row["n"])

    async def compare(self, table: Table, fits: Sequence[Fit]) -> Compared:
        places = _comparable(table, fits)
        if not places:
            return Compared(frozenset(), {})
        rows = [self._rounded(table, fits[place].values) for place in places]
        found = await self._judged(table, rows, 0, len(rows))
        missing = frozenset(places[each] for each, gone in found if gone)
        differ = [each for each, gone in found if not gone]
        if not differ or (table.name == "vectors" and not self.vectors):
            return Compared(missing, {})
        names: dict[int, tuple[str, ...]] = {}
        there: dict[int, tuple[bytes | None, ...]] = {}
        for each, row in await self._shown(table, rows, differ):
            # A row that has gone or become alike meanwhile is left out.
            if named := differing(table.name, rows[each][: len(row)], row):
                names[places[each]], there[places[each]] = named, row
        return Compared(missing, names, there)

    async def _judged(
        self, table: Table, rows: Sequence[Sequence[bytes | None]], low: int, high: int
    ) -> list[tuple[int, bool]]:
        """Which rows from one place to another are not alike in the target, and whether they are missing there."""
        try:
            found = await self._ask(f"differ_{table.name}", _asked(table.name, rows[low:high]))
        except Conflict:
            # A row holds what the server cannot read, so that it cannot be there: the others are asked about without.
            if high - low == 1:
                return [(low, not await self._shown(table, rows, [low]))]
            middle = (low + high) // 2
            return [*await self._judged(table, rows, low, middle), *await self._judged(table, rows, middle, high)]
        return [(low + row["ord"] - 1, bool(row["missing"])) for row in found]

    async def _shown(
        self, table: Table, rows: Sequence[Sequence[bytes | None]], places: Sequence[int]
    ) -> list[tuple[int, tuple[bytes | None, ...]]]:
        """The rows of the target with the keys of these, by their places."""
        keys = [key_of(table.name, rows[each]) for each in places]
        found = await self._ask(f"show_{table.name}", {"key": keys})
        return [(places[row["ord"] - 1], _read_row(table.name, bytes(row["row"]))) for row in found]

    def _rounded(self, table: Table, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """A row as the target can hold it: in half precision a vector is not what it was."""
        if table.name != "vectors" or not self.half or values[1] is None:
            return values
        return (
            values[0],
            pgbinary_encode.vector(pgbinary_decode.vector(values[1]).astype("<f2").astype("<f4")),
            *values[2:],
        )

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        found = await self._ask(f"keys_{table}", {"after": after, "limit": limit})
        return [bytes(row["key"]) for row in found]

    async def _ask(self, name: str, params: Mapping[str, Any]) -> list[Row]:
        return await self._backend.ask(name, self._sql[name], params)


# SQLite


class _Everybody(set[bytes]):
    """Who may own a memory where it has been copied already: whoever does."""

    def __contains__(self, user: object) -> bool:
        return True


_WHOLE = {"memberships": 2, "edges": 3}
"""Rows that are asked for by their whole keys, which so many values make: very many may begin alike."""
_LOGS = ("reviews", "supersession")
_AFTER = ("after", "after_second", "after_third")
_NEVER = datetime.min.replace(tzinfo=UTC)


class SqliteMirror:
    """The rows of a store of ours in a SQLite file."""

    half = False

    def __init__(self, backend: SqliteBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self.vectors = vectors
        self._sql = load("sqlite", "copy")
        self._tables = {
            table.name: replace(table, convert=_vector) if table.name == "vectors" else table for table in TABLES
        }
        self._left: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        """Behind which key the last page of a table ended, and how the file spells it."""

    async def count(self, table: str) -> int:
        [(rows, _)] = await self._ask(f"count_{table}", {})
        return int(rows)

    async def compare(self, table: Table, fits: Sequence[Fit]) -> Compared:
        places = _comparable(table, fits)
        rows = await self._rows(table.name, [_ids(table.name, fits[place].values) for place in places])
        missing: set[int] = set()
        differ: dict[int, tuple[str, ...]] = {}
        there: dict[int, tuple[bytes | None, ...]] = {}
        for place in places:
            values = fits[place].values
            row = rows.get(key_of(table.name, values))
            if row is None:
                missing.add(place)
            elif table.name == "vectors" and not self.vectors:
                continue
            elif names := differing(table.name, values, row):
                differ[place], there[place] = names, row
        return Compared(frozenset(missing), differ, there)

    async def _rows(self, name: str, ids: Sequence[tuple[str, ...]]) -> dict[bytes, tuple[bytes | None, ...]]:
        """The rows that these ids, or the memories with these ids, have."""
        asked = {"keys": json.dumps(ids)} if name in _WHOLE else {"ids": json.dumps([each for (each,) in set(ids)])}
        table = self._tables[name]
        setting = Setting(_NEVER, rivals={}, width=None, half=False, users=_Everybody())
        fits, *_ = convert_all(name, table.convert, await self._ask(f"rows_{name}", asked), setting)
        return {key_of(name, fit.values): fit.values for fit in fits}

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        behind = ("",) * _WHOLE.get(table, 1)
        if after is not None:
            # Where somebody has spelt an id otherwise than we do, the key does not tell how.
            last, spelt = self._left.get(table, (None, behind))
            behind = spelt if last == after else _ids(table, tuple(_parts(table, after)))
        found: list[bytes] = []
        while not found:
            after_this = dict(zip(_AFTER, map(bound, behind), strict=False))
            page = await self._ask(f"ids_{table}", {**after_this, "limit": limit})
            if not page:
                return []
            behind = tuple(map(_text, page[-1]))
            if table in _LOGS:
                found = sorted(await self._rows(table, [(_text(each),) for (each,) in page]))
            else:
                found = [_key(table, row) for row in page]
        self._left[table] = (found[-1], behind)
        return found

    async def _ask(self, name: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._backend.run(name, partial(_fetch, self._sql[name], params))


def _parts(table: str, key: bytes) -> list[bytes | None]:
    parts = key_parts(table, key)
    return [parts[place] for place in range(_WHOLE.get(table, 1))]


def _ids(table: str, values: Sequence[bytes | None]) -> tuple[str, ...]:
    """What the rows of a table are asked for by, as the file spells it."""
    if table == "domains":
        return ((values[0] or b"").decode(),)
    spelt = [pgbinary_decode.uuid(value or b"") for value in values[: min(2, _WHOLE.get(table, 1))]]
    return (*spelt, (values[2] or b"").decode()) if table == "edges" else tuple(spelt)


def _key(table: str, row: tuple[Any, ...]) -> bytes:
    """The key of a row, by the values that ``ids_<table>`` gives."""
    if table == "domains":
        return _text(row[0]).encode("utf-8", "surrogateescape")
    key = b"".join(map(new_id, row[:2]))
    return key + _text(row[2]).encode("utf-8", "surrogateescape") if table == "edges" else key


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _vector(raw: Raw, setting: Setting) -> Fit:
    """A vector as it lies there, whatever it is; one that is none has no values."""
    import numpy as np

    ident, blob, *_ = raw
    whole = isinstance(blob, bytes) and len(blob) % 4 == 0 and len(blob) <= _WIDEST
    packed = pgbinary_encode.vector(np.frombuffer(blob, dtype="<f4")) if whole else b""
    return Fit(shown(ident), (new_id(ident), packed, None))


_WIDEST = 4 * (2**16 - 1)


def _fetch(sql: str, params: Mapping[str, Any], connection: Any) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    # What is no UTF-8 comes as in a source, or else its batch could not be read at all.
    connection.text_factory = _decoded
    try:
        rows: list[tuple[Any, ...]] = cursor.execute(sql, params).fetchall()
        return rows
    finally:
        connection.text_factory = str


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
