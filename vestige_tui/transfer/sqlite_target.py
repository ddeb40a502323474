"""SQLite store as a target: rows are written one by one in the batch's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from vestige_tui.core.times import format_time
from vestige_tui.jobs.conflicts import hold_model
from vestige_tui.store.backends import pgbinary_decode
from vestige_tui.store.backends.sqlite import SqliteBackend, SqliteTransaction
from vestige_tui.store.schema.named_sql import load
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.row_keys import key_parts

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import Table, TransferRow

T = TypeVar("T")
Decoder: TypeAlias = Callable[[bytes], object]
_Params: TypeAlias = dict[str, Any]

# Errors of a row, not of the file; ValueError means that SQLite cannot hold a value.
_REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError, ValueError)

_dump_json = json.JSONEncoder(ensure_ascii=False).encode


def _time(raw: bytes) -> str:
    return format_time(pgbinary_decode.moment(raw))


def _json(raw: bytes) -> str:
    return pgbinary_decode.jsonb(raw).decode()


def _texts(raw: bytes) -> str:
    return _dump_json([None if each is None else each.decode() for each in pgbinary_decode.texts(raw)])


def _uuids(raw: bytes) -> str:
    return _dump_json([None if each is None else pgbinary_decode.uuid(each) for each in pgbinary_decode.uuids(raw)])


def _blob(raw: bytes) -> bytes:
    return pgbinary_decode.vector(raw).tobytes()


_PERSON: Mapping[str, Decoder] = {
    "id": pgbinary_decode.uuid,
    "handle": pgbinary_decode.text,
    "display_name": pgbinary_decode.text,
    "created_at": _time,
    "metadata": _json,
}
_DECODERS: Mapping[str, Mapping[str, Decoder]] = {
    "users": _PERSON,
    "groups": _PERSON,
    "memberships": {
        "user_id": pgbinary_decode.uuid,
        "group_id": pgbinary_decode.uuid,
        "role": pgbinary_decode.text,
        "joined_at": _time,
    },
    "domains": {
        "id": pgbinary_decode.text,
        "label": pgbinary_decode.text,
        "centroid": _blob,
        "top_terms": _texts,
        "memory_count": pgbinary_decode.integer,
        "created_at": _time,
        "metadata": _json,
    },
    "memories": {
        "id": pgbinary_decode.uuid,
        "content": pgbinary_decode.text,
        "node_type": pgbinary_decode.text,
        "tags": _texts,
        "metadata": _json,
        "domains": _texts,
        "domain_scores": _json,
        "codebase": pgbinary_decode.text,
        "owner_user_id": pgbinary_decode.uuid,
        "visibility": pgbinary_decode.text,
        "shared_with_groups": _uuids,
        "created_at": _time,
        "updated_at": _time,
    },
    "vectors": {"node_id": pgbinary_decode.uuid, "embedding": _blob, "updated_at": _time},
    "scheduling": {
        "memory_id": pgbinary_decode.uuid,
        "stability": pgbinary_decode.double,
        "difficulty": pgbinary_decode.double,
        "retrievability": pgbinary_decode.double,
        "last_review": _time,
        "next_review": _time,
        "reps": pgbinary_decode.integer,
        "lapses": pgbinary_decode.integer,
    },
    "edges": {
        "source_id": pgbinary_decode.uuid,
        "target_id": pgbinary_decode.uuid,
        "edge_type": pgbinary_decode.text,
        "weight": pgbinary_decode.double,
        "created_at": _time,
    },
    "reviews": {
        "memory_id": pgbinary_decode.uuid,
        "timestamp": _time,
        "rating": pgbinary_decode.smallint,
        "prior_state": _json,
        "new_state": _json,
        "alike": pgbinary_decode.integer,
        "undone_memory_id": pgbinary_decode.uuid,
        "undone_timestamp": _time,
        "undone_rating": pgbinary_decode.smallint,
        "undone_alike": pgbinary_decode.integer,
    },
    "supersession": {
        "loser_id": pgbinary_decode.uuid,
        "winner_id": pgbinary_decode.uuid,
        "kind": pgbinary_decode.text,
        "decided_at": _time,
        "alike": pgbinary_decode.integer,
    },
    "marks": {"memory_id": pgbinary_decode.uuid, "suspended": pgbinary_decode.boolean, "buried_until": _time},
}
"""Parameters and decoders of a row's values, in the order of ``load_<table>``."""


def sqlite_params(table: str, values: Sequence[bytes | None]) -> _Params:
    """Return a row as parameters of a SQLite statement. Raises ValueError for a value that SQLite cannot hold."""
    pairs = zip(_DECODERS[table].items(), values, strict=True)
    return {name: None if value is None else decode(value) for (name, decode), value in pairs}


class SqliteTarget:
    """Open SQLite target; its indexes are never dropped."""

    def __init__(self, store: Store) -> None:
        backend = store.backend
        assert isinstance(backend, SqliteBackend)
        self._backend = backend
        self._sql = load("sqlite", "copy")
        self.model: ModelSignature | None = None

    async def empty(self, table: str) -> bool:
        name = f"any_{table}"
        return await self._backend.run(name, lambda connection: not connection.execute(self._sql[name]).fetchone())

    # Rows

    async def write(
        self, transaction: Transaction, table: Table, rows: Sequence[TransferRow], *, fresh: bool
    ) -> WriteOutcome:
        await self._lock_table(transaction, table)
        return await _run(transaction, f"merge_{table.name}", partial(self._write, table, rows, self._merge))

    async def update(self, transaction: Transaction, table: Table, rows: Sequence[TransferRow]) -> WriteOutcome:
        if f"update_{table.name}" not in self._sql:
            return WriteOutcome(0, frozenset())  # Logs are append-only.
        await self._lock_table(transaction, table)
        return await _run(transaction, f"update_{table.name}", partial(self._write, table, rows, self._update))

    async def delete(self, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> int:
        await self._lock_table(transaction, table)
        return await _run(transaction, f"delete_{table.name}", partial(self._delete, table.name, keys))

    async def hold_model(self, transaction: Transaction) -> None:
        """Pin the model of the vectors until the transaction ends. Raises ModelMismatch."""
        await hold_model(transaction, self.model)

    async def _lock_table(self, transaction: Transaction, table: Table) -> None:
        if table.name == "vectors":
            await self.hold_model(transaction)

    def _write(
        self,
        table: Table,
        rows: Sequence[TransferRow],
        execute: Callable[[sqlite3.Connection, str, _Params], int],
        connection: sqlite3.Connection,
    ) -> WriteOutcome:
        written, present, refused = 0, set[int](), dict[int, str]()
        for position, row in enumerate(rows):
            try:
                params = sqlite_params(table.name, row.values)
            except ValueError as error:
                refused[position] = f"SQLite cannot hold it: {error}"
                continue
            try:
                changed = execute(connection, table.name, params)
            except _REFUSALS as error:
                refused[position] = self._orphan_reason(connection, table, params) or f"SQLite refused it: {error}"
                continue
            if changed:
                written += 1
            elif reason := self._orphan_reason(connection, table, params):
                refused[position] = reason
            else:
                present.add(position)
        if table.linked:
            for position, row in enumerate(rows):
                if position not in refused:
                    self._link(connection, table.name, row)
        return WriteOutcome(written, frozenset(present), refused)

    def _merge(self, connection: sqlite3.Connection, table: str, params: _Params) -> int:
        return connection.execute(self._sql[f"merge_{table}"], params).rowcount

    def _update(self, connection: sqlite3.Connection, table: str, params: _Params) -> int:
        changed = connection.execute(self._sql[f"update_{table}"], params).rowcount
        if settle_statement := self._sql.get(f"settle_{table}"):
            changed = max(changed, connection.execute(settle_statement, params).rowcount)
        return changed

    def _orphan_reason(self, connection: sqlite3.Connection, table: Table, params: _Params) -> str | None:
        """Return the reason why a row lacks its owner; None where it has one."""
        if not table.owned:
            return None
        row = connection.execute(self._sql[f"orphans_{table.name}"], params).fetchone()
        return str(row["reason"]) if row else None

    def _link(self, connection: sqlite3.Connection, table: str, row: TransferRow) -> None:
        params = sqlite_params(table, row.values)
        if params["undone_memory_id"] is not None:
            connection.execute(self._sql[f"link_{table}"], params)

    def _delete(self, table: str, keys: Sequence[bytes], connection: sqlite3.Connection) -> int:
        decoders = list(_DECODERS[table].items())
        deleted = 0
        # Equal log lines are deleted from the last, so that the ordinals of the others stay valid.
        for key in sorted(keys, reverse=True):
            params: _Params = {}
            for column, value in key_parts(table, key).items():
                name, decode = decoders[column]
                params[name] = None if value is None else decode(value)
            deleted += self._delete_row(connection, table, params)
        return deleted

    def _delete_row(self, connection: sqlite3.Connection, table: str, params: _Params) -> int:
        try:
            if free_statement := self._sql.get(f"free_{table}"):
                connection.execute(free_statement, params)
            return connection.execute(self._sql[f"delete_{table}"], params).rowcount
        except sqlite3.IntegrityError:
            # Another row still references it.
            return 0

    # After the rows

    async def settle(self, transaction: Transaction) -> None:
        """Rebuild the data that is derived from the rows."""
        await self._execute(transaction, "rebuild_winners")

    async def analyze(self, transaction: Transaction) -> None:
        await self._execute(transaction, "limit_analysis")
        await self._execute(transaction, "analyze_target")

    async def _execute(self, transaction: Transaction, name: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(self._sql[name])

        await _run(transaction, name, work)


async def _run(transaction: Transaction, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
    assert isinstance(transaction, SqliteTransaction)
    return await transaction.run(name, work)
