"""SQLite store as a target: rows are written one by one in the batch's transaction."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from vestige_tui.jobs.conflicts import hold_model
from vestige_tui.store.backends import pgbinary_decode
from vestige_tui.store.backends.sqlite import SqliteBackend
from vestige_tui.store.backends.sqlite_writer import SqliteTransaction
from vestige_tui.transfer.codecs import UUIDS
from vestige_tui.transfer.copy_sql import CopySql
from vestige_tui.transfer.id_notes import with_note, without_notes
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.row_keys import key_parts
from vestige_tui.transfer.table_spec import BY_NAME

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.table_spec import Column, Table

log = logging.getLogger(__name__)

T = TypeVar("T")
_Params: TypeAlias = dict[str, Any]

# Errors of a row, not of the file; ValueError means that SQLite cannot hold a value.
_REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError, ValueError)


def _sqlite_params(columns: Iterable[Column], values: Iterable[bytes | None]) -> _Params:
    """Return values as parameters of a SQLite statement. Raises ValueError for a value that SQLite cannot hold."""
    return {
        column.name: None if value is None else column.codec.sqlite(value)
        for column, value in zip(columns, values, strict=True)
    }


class SqliteTarget:
    """Open SQLite target; its indexes are never dropped."""

    def __init__(self, store: Store, kept_ids: KeptIds) -> None:
        backend = store.backend
        assert isinstance(backend, SqliteBackend)
        self._backend = backend
        self._kept_ids = kept_ids
        self._sql = CopySql("sqlite")
        self.model: ModelSignature | None = None

    async def empty(self, table: str) -> bool:
        statement = self._sql.of("any", table)
        return await self._backend.run(f"any_{table}", lambda connection: not connection.execute(statement).fetchone())

    # Rows

    async def write(
        self, transaction: Transaction, table: Table, rows: Sequence[TransferRow], *, fresh: bool
    ) -> WriteOutcome:
        await self._lock_table(transaction, table)
        return await _run(transaction, f"merge_{table.name}", partial(self._write, table, rows, self._merge))

    async def update(self, transaction: Transaction, table: Table, rows: Sequence[TransferRow]) -> WriteOutcome:
        if self._sql.find("update", table.name) is None:
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
        if table.embedded:
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
                params = self._row_params(connection, table, row.values)
            except (ValueError, RecursionError) as error:
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
        if table.link:
            for position, row in enumerate(rows):
                if position not in refused:
                    self._link(connection, table, row)
        return WriteOutcome(written, frozenset(present), refused)

    def _merge(self, connection: sqlite3.Connection, table: str, params: _Params) -> int:
        return connection.execute(self._sql.of("merge", table), params).rowcount

    def _update(self, connection: sqlite3.Connection, table: str, params: _Params) -> int:
        changed = connection.execute(self._sql.of("update", table), params).rowcount
        if settle_statement := self._sql.find("settle", table):
            changed = max(changed, connection.execute(settle_statement, params).rowcount)
        return changed

    def _orphan_reason(self, connection: sqlite3.Connection, table: Table, params: _Params) -> str | None:
        """Return the reason why a row lacks its owner; None where it has one."""
        if not table.owned:
            return None
        row = connection.execute(self._sql.of("orphans", table.name), params).fetchone()
        return str(row["reason"]) if row else None

    def _link(self, connection: sqlite3.Connection, table: Table, row: TransferRow) -> None:
        params = self._row_params(connection, table, row.values)
        if params[table.link] is not None:
            connection.execute(self._sql.of("link", table.name), params)

    def _delete(self, table: str, keys: Sequence[bytes], connection: sqlite3.Connection) -> int:
        deleted = 0
        # Equal log lines are deleted from the last, so that the ordinals of the others stay valid.
        for key in sorted(keys, reverse=True):
            params = self._key_params(connection, BY_NAME[table], key)
            deleted += self._delete_row(connection, table, params)
        return deleted

    def _delete_row(self, connection: sqlite3.Connection, table: str, params: _Params) -> int:
        try:
            if free_statement := self._sql.find("free", table):
                connection.execute(free_statement, params)
            return connection.execute(self._sql.of("delete", table), params).rowcount
        except sqlite3.IntegrityError as error:
            # Another row still references it.
            log.debug("A row is kept, because another one references it: %s", error)
            return 0

    # Kept ids

    def _row_params(self, connection: sqlite3.Connection, table: Table, values: Sequence[bytes | None]) -> _Params:
        """Return a row as parameters. Raises ValueError for a value that SQLite cannot hold."""
        params = _sqlite_params(table.columns, values)
        if table.staged_only:
            params["uuid"] = params["id"]
        if self._kept_ids.empty:
            return params
        self._respell(connection, table, dict(enumerate(values)), params)
        text, position = self._kept_ids.text(values[0]), table.own_metadata_position
        if text is not None and position is not None:
            metadata, is_text = params["metadata"], params["id"] == text
            params["metadata"] = without_notes(metadata, {"id": text}) if is_text else with_note(metadata, text)
        return params

    def _key_params(self, connection: sqlite3.Connection, table: Table, key: bytes) -> _Params:
        """Return the values of a key as parameters."""
        parts = key_parts(table.name, key)
        params = _sqlite_params([table.columns[position] for position in parts], parts.values())
        if not self._kept_ids.empty:
            self._respell(connection, table, parts, params)
        return params

    def _respell(
        self, connection: sqlite3.Connection, table: Table, values: Mapping[int, bytes | None], params: _Params
    ) -> None:
        """Spell the ids among parameters as the file does; ``values`` are their wire form by position."""
        for position, column, of in table.id_columns:
            value = values.get(position)
            if value is None:
                continue
            if column.codec is UUIDS:
                ids = [each or b"" for each in pgbinary_decode.uuids(value)]
                params[column.name] = json.dumps([self._spelling(connection, of, each, {}) for each in ids])
            else:
                params[column.name] = self._spelling(connection, of, value, params if column.nullable_key else {})

    def _spelling(self, connection: sqlite3.Connection, table: str, key: bytes, line: _Params) -> str:
        """Return an id as the file spells it, or is to spell it.

        An older version may have written the UUID. In a ``line`` of the log it may name a memory that is not there.
        """
        canonical = pgbinary_decode.uuid(key)
        text = self._kept_ids.text(key)
        if text is None:
            return canonical
        statement = self._sql["find_id"].replace("{table}", table)
        if connection.execute(statement, {"id": canonical}).fetchone():
            return canonical
        if line and connection.execute(self._sql["find_winner"], {**line, "id": canonical}).fetchone():
            return canonical
        return text

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
