"""PostgreSQL store as a target: binary COPY, directly into a table or through a staging table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from vestige_tui.core.log import log_suppressed
from vestige_tui.core.text import redact
from vestige_tui.jobs.conflicts import hold_model
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.backends.postgres import PostgresBackend, PostgresTransaction
from vestige_tui.transfer.copy_sql import CopySql
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.row_keys import key_parts

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import TransferRow
    from vestige_tui.transfer.table_spec import Parent, Table

log = logging.getLogger(__name__)

PIECE_ROWS = 256
"""Rows sent to the server at once: it processes them while the next ones are encoded."""
LOCK_TIMEOUT = "3s"
"""Lock timeout for dropping indexes, which a copy can do without."""
NOTHING_WRITTEN = WriteOutcome(0, frozenset())

# Errors of a row, not of the server.
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, errors.StatementTooComplex)


class PostgresTarget:
    """Open PostgreSQL target, written by one copy at a time."""

    def __init__(self, store: Store) -> None:
        backend = store.backend
        assert isinstance(backend, PostgresBackend)
        self._backend = backend
        self._sql = CopySql("postgres")
        self.model: ModelSignature | None = None
        self._staged_only: set[str] = set()
        """Tables whose last batch could not be copied directly."""

    @property
    def half(self) -> bool:
        """True where vectors are stored in half precision."""
        return self._backend.typed("{vector}") == "halfvec"

    async def empty(self, table: str) -> bool:
        async with self._backend.transaction() as transaction:
            cursor = await transaction.connection.execute(self._sql.of("any", table).encode())
            return await cursor.fetchone() is None

    # Rows

    async def write(
        self, transaction: Transaction, table: Table, rows: Sequence[TransferRow], *, fresh: bool
    ) -> WriteOutcome:
        connection = _connection(transaction)
        if not rows:
            return NOTHING_WRITTEN
        await connection.execute(self._sql["keep_plans"].encode())
        await self._lock_table(transaction, table)
        if fresh and table.name not in self._staged_only and await self._copy_directly(connection, table, rows):
            return WriteOutcome(len(rows), frozenset())
        await connection.execute(self._sql.of("stage", table.name).encode())
        outcome = await self._write_range(connection, table, rows, 0, len(rows) - 1, "merge")
        if table.link:
            await connection.execute(self._sql.of("link", table.name).encode())
        if outcome.inserted == len(rows):
            self._staged_only.discard(table.name)
        return outcome

    async def update(self, transaction: Transaction, table: Table, rows: Sequence[TransferRow]) -> WriteOutcome:
        connection = _connection(transaction)
        if not rows or self._sql.find("update", table.name) is None:
            return NOTHING_WRITTEN  # Logs are append-only.
        await self._lock_table(transaction, table)
        await self._disable_timeouts(connection)
        await connection.execute(self._sql.of("stage", table.name).encode())
        return await self._write_range(connection, table, rows, 0, len(rows) - 1, "update")

    async def delete(self, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> int:
        connection = _connection(transaction)
        await self._lock_table(transaction, table)
        load_statement = self._sql.of("load", table.name)
        rows = []
        for key in keys:
            parts = key_parts(table.name, key)
            values = [parts.get(position) for position in range(len(table.columns))]
            rows.append(pgbinary_encode.row(pgbinary_encode.integer(0), *values))
        await self._disable_timeouts(connection)
        await connection.execute(self._sql.of("stage", table.name).encode())
        async with connection.cursor() as cursor:
            async with cursor.copy(load_statement.encode()) as copy:
                await copy.write(pgbinary_encode.HEADER + b"".join(rows) + pgbinary_encode.TRAILER)
            if free_statement := self._sql.find("free", table.name):
                await cursor.execute(free_statement.encode())
            await cursor.execute(self._sql.of("delete", table.name).encode())
            return cursor.rowcount

    async def hold_model(self, transaction: Transaction) -> None:
        """Pin the model of the vectors until the transaction ends. Raises ModelMismatch."""
        await hold_model(transaction, self.model)

    async def _lock_table(self, transaction: Transaction, table: Table) -> None:
        """Lock the data that rows of this table depend on."""
        if table.embedded:
            await self.hold_model(transaction)
        elif table.log:
            await _connection(transaction).execute(self._sql["hold_logs"].encode())

    async def _copy_directly(self, connection: AsyncConnection[Any], table: Table, rows: Sequence[TransferRow]) -> bool:
        """COPY rows directly into their table; return False, with nothing written, where one of them is refused."""
        if table.staged_only:
            return False
        link = table.position(table.link) if table.link else None
        if link is not None and any(row.values[link] is not None for row in rows):
            return False
        if (parent := table.versioned_parent) and not await self._owners_match(connection, table, rows, parent):
            self._staged_only.add(table.name)
            return False
        if table.log and await self._is_logged(connection, table, rows):
            return False
        try:
            async with (
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy(self._sql.of("straight", table.name).encode()) as copy,
            ):
                await copy.write(pgbinary_encode.HEADER)
                for start in range(0, len(rows), PIECE_ROWS):
                    piece_rows = rows[start : start + PIECE_ROWS]
                    await copy.write(
                        b"".join([pgbinary_encode.row(*self._stored_values(table, row)) for row in piece_rows])
                    )
                await copy.write(pgbinary_encode.TRAILER)
        except _REFUSALS:
            self._staged_only.add(table.name)
            return False
        return True

    def _stored_values(self, table: Table, row: TransferRow) -> tuple[bytes | None, ...]:
        values = row.values[: len(table.stored)]
        if not (self.half and table.embedded):
            return values
        embeddings = table.embedding_positions
        return tuple(_half(value) if value and i in embeddings else value for i, value in enumerate(values))

    async def _owners_match(
        self, connection: AsyncConnection[Any], table: Table, rows: Sequence[TransferRow], parent: Parent
    ) -> bool:
        """Check that the parent of each row exists in the version that the row belongs to."""
        moments = _moments(rows, table.position(parent.version))
        cursor = await connection.execute(self._sql.of("belong", table.name).encode(), moments)
        return await cursor.fetchone() is None

    async def _is_logged(self, connection: AsyncConnection[Any], table: Table, rows: Sequence[TransferRow]) -> bool:
        """Check whether the log has a line with one of these memories and times."""
        moments = _moments(rows, table.position(table.time))
        cursor = await connection.execute(self._sql.of("logged", table.name).encode(), moments)
        return await cursor.fetchone() is not None

    async def _write_range(
        self,
        connection: AsyncConnection[Any],
        table: Table,
        rows: Sequence[TransferRow],
        low: int,
        high: int,
        verb: str,
    ) -> WriteOutcome:
        """Write a range of rows; where the server refuses it, bisect to leave out only the refused row."""
        try:
            async with connection.transaction():
                return await self._write_staged(connection, table, rows, low, high, verb)
        except _REFUSALS as error:
            if low == high:
                lines = str(error).splitlines()
                return WriteOutcome(
                    0, frozenset(), {low: f"PostgreSQL refused it: {redact(lines[0]) if lines else ''}"}
                )
        middle = (low + high) // 2
        first = await self._write_range(connection, table, rows, low, middle, verb)
        second = await self._write_range(connection, table, rows, middle + 1, high, verb)
        return WriteOutcome(
            first.inserted + second.inserted, first.present | second.present, {**first.refused, **second.refused}
        )

    async def _write_staged(
        self,
        connection: AsyncConnection[Any],
        table: Table,
        rows: Sequence[TransferRow],
        low: int,
        high: int,
        verb: str,
    ) -> WriteOutcome:
        body = b"".join(
            [
                pgbinary_encode.row(pgbinary_encode.integer(position), *rows[position].values)
                for position in range(low, high + 1)
            ]
        )
        async with connection.cursor() as cursor:
            async with cursor.copy(self._sql.of("load", table.name).encode()) as copy:
                await copy.write(pgbinary_encode.HEADER + body + pgbinary_encode.TRAILER)
            refused: dict[int, str] = {}
            if table.owned:
                await cursor.execute(self._sql.of("orphans", table.name).encode())
                refused = {row["ord"]: row["reason"] for row in await cursor.fetchall() if low <= row["ord"] <= high}
            params = {"low": low, "high": high}
            statement = self._backend.typed(self._sql.of(verb, table.name))
            if verb == "update":
                await cursor.execute(f"{statement} RETURNING s.ord".encode(), params)
                changed = {row["ord"] for row in await cursor.fetchall()}
                if settle_statement := self._sql.find("settle", table.name):
                    await cursor.execute(settle_statement.encode())
                return WriteOutcome(len(changed), frozenset(range(low, high + 1)) - changed - refused.keys(), refused)
            await cursor.execute(self._sql.of("present", table.name).encode())
            present = frozenset(row["ord"] for row in await cursor.fetchall() if low <= row["ord"] <= high)
            await cursor.execute(statement.encode(), params)
            return WriteOutcome(cursor.rowcount, present, refused)

    # Indexes

    async def drop_indexes(self, transaction: Transaction) -> tuple[str, ...]:
        """Drop the secondary indexes; return the statements that recreate them, none where they have to stay."""
        connection = _connection(transaction)
        await self._disable_timeouts(connection)
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
                await connection.execute(self._sql["hold_indexes"].encode())
                cursor = await connection.execute(self._sql["list_indexes"].encode())
                indexes = await cursor.fetchall()
                for row in indexes:
                    await connection.execute(str(row["drop"]).encode())
        except (errors.LockNotAvailable, errors.InsufficientPrivilege) as error:
            log_suppressed(log, "drop the indexes before copying, which is then slower", error)
            return ()
        return tuple(str(row["create"]) for row in indexes)

    async def hold_indexes(self, transaction: Transaction) -> None:
        """Lock index builds against other copies until the transaction ends."""
        connection = _connection(transaction)
        await self._disable_timeouts(connection)
        await connection.execute(self._sql["hold_indexes"].encode())

    async def build_index(self, transaction: Transaction, statement: str) -> None:
        """Recreate an index by its statement, unless it exists."""
        connection = _connection(transaction)
        await self._disable_timeouts(connection)
        await connection.execute(self._sql["more_memory"].encode())
        await connection.execute(statement.replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ", 1).encode())

    async def settle(self, transaction: Transaction) -> None:
        """Rebuild the data that is derived from the rows."""
        connection = _connection(transaction)
        await self._disable_timeouts(connection)
        await connection.execute(self._sql["rebuild_winners"].encode())

    async def analyze(self, transaction: Transaction) -> None:
        connection = _connection(transaction)
        await self._disable_timeouts(connection)
        await connection.execute(self._sql["analyze_target"].encode())

    async def _disable_timeouts(self, connection: AsyncConnection[Any]) -> None:
        """Disable the server's timeouts for the rest of the transaction."""
        await connection.execute(self._sql["take_time"].encode(), {"local": True})


def _connection(transaction: Transaction) -> AsyncConnection[Any]:
    assert isinstance(transaction, PostgresTransaction)
    return transaction.connection


def _moments(rows: Sequence[TransferRow], time: int) -> dict[str, str]:
    """Return the memories of rows and a time value of each, in microseconds since 2000, as array literals."""
    keys = ",".join([(row.values[0] or b"").hex() for row in rows])
    times = ",".join([str(int.from_bytes(row.values[time] or b"", "big", signed=True)) for row in rows])
    return {"keys": f"{{{keys}}}", "times": f"{{{times}}}"}


def _half(vector: bytes) -> bytes:
    """Convert a vector to half precision: dimension, then values."""
    import numpy as np

    return vector[:4] + np.frombuffer(vector, dtype=">f4", offset=4).astype(">f2").tobytes()
