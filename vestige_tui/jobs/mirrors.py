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
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from vestige_tui.jobs import unwire, wire
from vestige_tui.jobs.ends import Compared
from vestige_tui.jobs.keys import key_of
from vestige_tui.jobs.repair import new_id
from vestige_tui.jobs.tables import TABLES, Fit, Setting, Table, convert_all
from vestige_tui.model import LOCAL_USER
from vestige_tui.store.queries import load

if TYPE_CHECKING:
    import sqlite3

    from vestige_tui.jobs.ends import Mirror
    from vestige_tui.store.backend import Row
    from vestige_tui.store.postgres import PostgresBackend
    from vestige_tui.store.service import Store
    from vestige_tui.store.sqlite import SqliteBackend

_LOCAL = new_id(LOCAL_USER)
_JSON: Mapping[str, tuple[int, ...]] = {
    "users": (4,),
    "groups": (4,),
    "domains": (6,),
    "memories": (4, 6),
    "reviews": (3, 4),
}
"""Which values of a row are JSON: they are compared by what they say."""
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
        return other == one + b"-" + unwire.uuid(row[0] or b"")[:8].encode()
    return place in _JSON.get(table, ()) and _said(one) == _said(other)


def _said(raw: bytes) -> Any:
    """What a JSON text says: numbers by their value, whatever their spelling."""
    return _plain(json.loads(unwire.jsonb(raw), parse_float=Decimal, parse_int=Decimal))


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

_TEXT, _UUID, _TIME, _FLOAT, _INT, _SMALL, _BOOL, _BYTES = 25, 2950, 1184, 701, 23, 21, 16, 17
_TEXTS, _UUIDS = 1009, 2951


@dataclass(frozen=True, slots=True)
class _Digested:
    """Which values of a row are in its digest, each with the type (oid) that the server has it in."""

    values: tuple[tuple[int, int], ...]


_DIGESTED: Mapping[str, _Digested] = {
    "users": _Digested(((2, _TEXT), (3, _TIME))),
    "groups": _Digested(((2, _TEXT), (3, _TIME))),
    "memberships": _Digested(((2, _TEXT), (3, _TIME))),
    "domains": _Digested(((1, _TEXT), (2, _BYTES), (3, _TEXTS), (4, _INT), (5, _TIME))),
    "memories": _Digested(
        (
            (1, _TEXT),
            (2, _TEXT),
            (3, _TEXTS),
            (5, _TEXTS),
            (7, _TEXT),
            (8, _UUID),
            (9, _TEXT),
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
    chosen = _DIGESTED[table].values
    parts = [_pack_count(len(chosen))]
    for place, oid in chosen:
        value = values[place]
        if value is None:
            parts.append(_pack_head(oid, -1))
        else:
            parts.append(_pack_head(oid, len(value)))
            parts.append(value)
    return hashlib.sha256(b"".join(parts)).digest()


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


class PostgresMirror:
    """The rows of a store on a PostgreSQL server."""

    def __init__(self, backend: PostgresBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self._vectors = vectors
        self._half = backend.typed("{vector}") == "halfvec"
        self._sql = load("postgres", "copy")

    async def count(self, table: str) -> int:
        [row] = await self._ask(f"count_{table}", {})
        return int(row["n"])

    async def compare(self, table: Table, fits: Sequence[Fit]) -> Compared:
        places = _comparable(table, fits)
        if not places:
            return Compared(frozenset(), {})
        rows = [self._rounded(table, fits[place].values) for place in places]
        params: dict[str, Any] = {
            "key": [key_of(table.name, row) for row in rows],
            "digest": [digest(table.name, row) for row in rows],
        }
        names = columns(table.name)
        for place in _JSON.get(table.name, ()):
            params[names[place]] = [unwire.jsonb(row[place] or b"").decode() for row in rows]
        if (handle := _NAMED.get(table.name)) is not None:
            params[names[handle]] = [(row[handle] or b"").decode() for row in rows]
        found = await self._ask(f"differ_{table.name}", params)
        missing = frozenset(places[row["ord"] - 1] for row in found if row["missing"])
        differ = [row["ord"] - 1 for row in found if not row["missing"]]
        if not differ or (table.name == "vectors" and not self._vectors):
            return Compared(missing, {})
        return Compared(missing, await self._named(table, places, rows, differ))

    async def _named(
        self, table: Table, places: Sequence[int], rows: Sequence[Sequence[bytes | None]], differ: Sequence[int]
    ) -> dict[int, tuple[str, ...]]:
        """Which values differ, by place. A row that has gone or become alike meanwhile is left out."""
        keys = [key_of(table.name, rows[each]) for each in differ]
        named: dict[int, tuple[str, ...]] = {}
        for row in await self._ask(f"show_{table.name}", {"key": keys}):
            each = differ[row["ord"] - 1]
            there = record(bytes(row["row"]))
            if found := differing(table.name, rows[each][: len(there)], there):
                named[places[each]] = found
        return named

    def _rounded(self, table: Table, values: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """A row as the target can hold it: in half precision a vector is not what it was."""
        if table.name != "vectors" or not self._half or values[1] is None:
            return values
        return (values[0], wire.vector(unwire.vector(values[1]).astype("<f2").astype("<f4")), *values[2:])

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


class SqliteMirror:
    """The rows of a store of ours in a SQLite file."""

    def __init__(self, backend: SqliteBackend, *, vectors: bool = True) -> None:
        self._backend = backend
        self._vectors = vectors
        self._sql = load("sqlite", "copy")
        self._tables = {table.name: table for table in TABLES}

    async def count(self, table: str) -> int:
        [(rows, _)] = await self._ask(f"count_{table}", {})
        return int(rows)

    async def compare(self, table: Table, fits: Sequence[Fit]) -> Compared:
        places = _comparable(table, fits)
        there = await self._rows(table, list(dict.fromkeys(_first_id(table.name, fits[place]) for place in places)))
        missing: set[int] = set()
        differ: dict[int, tuple[str, ...]] = {}
        for place in places:
            values = fits[place].values
            row = there.get(key_of(table.name, values))
            if row is None:
                missing.add(place)
            elif table.name == "vectors" and not self._vectors:
                continue
            elif found := differing(table.name, values, row):
                differ[place] = found
        return Compared(frozenset(missing), differ)

    async def _rows(self, table: Table, ids: Sequence[str]) -> Mapping[bytes, Sequence[bytes | None]]:
        raw = await self._ask(f"rows_{table.name}", {"ids": json.dumps(ids)})
        width = None
        if table.name == "vectors" and raw:
            width = len(raw[0][1]) // 4 if isinstance(raw[0][1], bytes) else None
        setting = Setting(
            moment=datetime.min.replace(tzinfo=UTC), rivals={}, width=width, half=False, users=_Everybody()
        )
        fits, _ = convert_all(table.name, table.convert, raw, setting)
        return {key_of(table.name, fit.values): fit.values for fit in fits}

    async def keys(self, table: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        last = "" if after is None else after.decode() if table == "domains" else unwire.uuid(after[:16])
        ids = [str(row[0]) for row in await self._ask(f"ids_{table}", {"after": last, "limit": limit})]
        return sorted(await self._rows(self._tables[table], ids)) if ids else []

    async def _ask(self, name: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._backend.run(name, partial(_fetch, self._sql[name], params))


def _first_id(table: str, fit: Fit) -> str:
    first = fit.values[0] or b""
    return first.decode() if table == "domains" else unwire.uuid(first)


def _fetch(sql: str, params: Mapping[str, Any], connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, params).fetchall()
