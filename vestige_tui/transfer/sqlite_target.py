"""SQLite store as a target: rows are written one by one in the batch's transaction."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from vestige_tui.jobs.conflicts import hold_model
from vestige_tui.store.backends import pgbinary_decode
from vestige_tui.store.backends.sqlite import SqliteBackend
from vestige_tui.store.backends.sqlite_writer import SqliteTransaction
from vestige_tui.transfer.codecs import UUIDS
from vestige_tui.transfer.copy_sql import CopySql
from vestige_tui.transfer.kept_ids import with_note, without_notes
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.row_keys import key_parts
from vestige_tui.transfer.table_spec import BY_NAME

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.table_spec import Table

log = logging.getLogger(__name__)

T = TypeVar("T")
_Params: TypeAlias = dict[str, Any]

# Errors of a row, not of the file; ValueError means that SQLite cannot hold a value.
_REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError, ValueError)


def _sqlite_params(table: str, values: Mapping[int, bytes | None]) -> _Params:
    """Return values by position as parameters of a SQLite statement.

    ``uuid`` is the canonical first id, however the file spells it. Raises ValueError for a value that SQLite cannot
    hold.
    """
    columns = BY_NAME[table].columns
    params: _Params = {
        columns[position].name: None if value is None else columns[position].codec.sqlite(value)
        for position, value in values.items()
    }
    params["uuid"] = params.get(columns[0].name)
    return params


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
                params = self._params(connection, table, dict(enumerate(row.values)))
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
        params = self._params(connection, table, dict(enumerate(row.values)))
        if params[table.link] is not None:
            connection.execute(self._sql.of("link", table.name), params)

    def _delete(self, table: str, keys: Sequence[bytes], connection: sqlite3.Connection) -> int:
        deleted = 0
        # Equal log lines are deleted from the last, so that the ordinals of the others stay valid.
        for key in sorted(keys, reverse=True):
            params = self._params(connection, BY_NAME[table], key_parts(table, key))
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

    def _params(self, connection: sqlite3.Connection, table: Table, values: Mapping[int, bytes | None]) -> _Params:
        """Return values by position as parameters, with each id as the file spells it. Raises ValueError."""
        params = _sqlite_params(table.name, values)
        if self._kept_ids.empty:
            return params
        for column, of in table.id_columns:
            value = values.get(table.position(column.name))
            if value is None:
                continue
            if column.codec is UUIDS:
                ids = [each or b"" for each in pgbinary_decode.uuids(value)]
                params[column.name] = json.dumps([self._spelling(connection, of, each, {}) for each in ids])
            else:
                params[column.name] = self._spelling(connection, of, value, params if column.nullable_key else {})
        own_text, position = self._kept_ids.text(values.get(0)), table.own_metadata_position
        if own_text is not None and position is not None and position in values:
            name = table.columns[position].name
            if params["id"] == params["uuid"]:
                params[name] = with_note(params[name], own_text)
            else:
                params[name] = without_notes(params[name], {"id": own_text})
        return params

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
