"""The PostgreSQL store that a copy writes: by binary COPY, straight into a table or by way of a staging table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from vestige_tui.core.text import redact
from vestige_tui.jobs.conflicts import hold_model
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.backends.postgres import PostgresBackend, PostgresTransaction
from vestige_tui.store.schema.named_sql import load
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.row_keys import key_parts

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.convert import Table, TransferRow

PIECE = 256
"""Rows that go to the server at once: it works on them while the next are put together."""
PATIENCE = "3s"
"""How long a copy waits for whoever uses the tables whose indexes it would drop; it can do without."""
NOTHING = WriteOutcome(0, frozenset())

# What the server says of a row, not of itself.
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, errors.StatementTooComplex)


@dataclass(frozen=True, slots=True)
class _Straight:
    """How rows of a table may go straight into it: how many of their values it has columns for."""

    columns: int | None = None
    link: int | None = None
    """The value that points at another line, which only a staging table can find."""
    dated: bool = False
    """Do they belong to one state of a memory?"""
    log: int | None = None
    """The value that is the time of a line: a log has no keys, and would take the same line twice."""


_STRAIGHT = {
    "memberships": _Straight(),
    "domains": _Straight(),
    "memories": _Straight(),
    "vectors": _Straight(columns=2, dated=True),
    "scheduling": _Straight(),
    "edges": _Straight(),
    "reviews": _Straight(columns=5, link=6, log=1),
    "supersession": _Straight(columns=4, log=3),
    "marks": _Straight(),
}
"""Users and groups are left out: their names are mended on the way."""


class PostgresTarget:
    """An open store of ours on a PostgreSQL server, to be written by one copy at a time."""

    def __init__(self, store: Store) -> None:
        backend = store.backend
        assert isinstance(backend, PostgresBackend)
        self._backend = backend
        self._sql = load("postgres", "copy")
        self.model: ModelSignature | None = None
        self._wary: set[str] = set()
        """Tables where the last batch met what can only be staged."""

    @property
    def half(self) -> bool:
        """Does it hold vectors in half precision?"""
        return self._backend.typed("{vector}") == "halfvec"

    async def empty(self, table: str) -> bool:
        async with self._backend.transaction() as transaction:
            cursor = await transaction.connection.execute(self._sql[f"any_{table}"].encode())
            return await cursor.fetchone() is None

    # Rows

    async def write(
        self, transaction: Transaction, table: Table, fits: Sequence[TransferRow], *, fresh: bool
    ) -> WriteOutcome:
        connection = _connection(transaction)
        if not fits:
            return NOTHING
        await connection.execute(self._sql["keep_plans"].encode())
        await self._hold(transaction, table)
        if fresh and table.name not in self._wary and await self._went_straight(connection, table, fits):
            return WriteOutcome(len(fits), frozenset())
        await connection.execute(self._sql[f"stage_{table.name}"].encode())
        outcome = await self._settle(connection, table, fits, 0, len(fits) - 1, "merge")
        if table.linked:
            await connection.execute(self._sql[f"link_{table.name}"].encode())
        if outcome.inserted == len(fits):
            self._wary.discard(table.name)
        return outcome

    async def update(self, transaction: Transaction, table: Table, fits: Sequence[TransferRow]) -> WriteOutcome:
        connection = _connection(transaction)
        if not fits or f"update_{table.name}" not in self._sql:
            return NOTHING  # A log is only added to.
        await self._hold(transaction, table)
        await self._take_time(connection)
        await connection.execute(self._sql[f"stage_{table.name}"].encode())
        return await self._settle(connection, table, fits, 0, len(fits) - 1, "update")

    async def delete(self, transaction: Transaction, table: Table, keys: Sequence[bytes]) -> int:
        connection = _connection(transaction)
        await self._hold(transaction, table)
        load = self._sql[f"load_{table.name}"]
        columns = load[: load.index(")")].count(",")
        rows = []
        for key in keys:
            parts = key_parts(table.name, key)
            rows.append(
                pgbinary_encode.row(pgbinary_encode.integer(0), *(parts.get(place) for place in range(columns)))
            )
        await self._take_time(connection)
        await connection.execute(self._sql[f"stage_{table.name}"].encode())
        async with connection.cursor() as cursor:
            async with cursor.copy(load.encode()) as copy:
                await copy.write(pgbinary_encode.HEADER + b"".join(rows) + pgbinary_encode.TRAILER)
            if before := self._sql.get(f"free_{table.name}"):
                await cursor.execute(before.encode())
            await cursor.execute(self._sql[f"delete_{table.name}"].encode())
            return cursor.rowcount

    async def hold_model(self, transaction: Transaction) -> None:
        """Keep the store with the model of the vectors until the transaction ends. Raises ModelMismatch."""
        await hold_model(transaction, self.model)

    async def _hold(self, transaction: Transaction, table: Table) -> None:
        """What must not change while rows of this table are written."""
        if table.name == "vectors":
            await self.hold_model(transaction)
        elif (how := _STRAIGHT.get(table.name)) is not None and how.log is not None:
            await _connection(transaction).execute(self._sql["hold_logs"].encode())

    async def _went_straight(self, connection: AsyncConnection[Any], table: Table, fits: Sequence[TransferRow]) -> bool:
        """Write rows without asking whether they are there; False, and nothing written, where one of them is amiss."""
        how = _STRAIGHT.get(table.name)
        if how is None or (how.link is not None and any(fit.values[how.link] is not None for fit in fits)):
            return False
        if how.dated and not await self._belong(connection, table, fits):
            self._wary.add(table.name)
            return False
        if how.log is not None and await self._logged(connection, table, fits, how.log):
            return False
        try:
            async with (
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy(self._sql[f"straight_{table.name}"].encode()) as copy,
            ):
                await copy.write(pgbinary_encode.HEADER)
                for start in range(0, len(fits), PIECE):
                    piece = fits[start : start + PIECE]
                    await copy.write(
                        b"".join([pgbinary_encode.row(*self._typed(table, fit, how.columns)) for fit in piece])
                    )
                await copy.write(pgbinary_encode.TRAILER)
        except _REFUSALS:
            self._wary.add(table.name)
            return False
        return True

    def _typed(self, table: Table, fit: TransferRow, columns: int | None) -> tuple[bytes | None, ...]:
        if table.name == "vectors":
            key, vector = fit.values[:2]
            return key, _half(vector) if vector and self.half else vector
        return fit.values[:columns]

    async def _belong(self, connection: AsyncConnection[Any], table: Table, fits: Sequence[TransferRow]) -> bool:
        """Is the memory of each row there, and in the state that the row belongs to?"""
        cursor = await connection.execute(self._sql[f"belong_{table.name}"].encode(), _moments(fits, 2))
        return await cursor.fetchone() is None

    async def _logged(
        self, connection: AsyncConnection[Any], table: Table, fits: Sequence[TransferRow], time: int
    ) -> bool:
        """Is a line of one of these memories and moments there already?"""
        cursor = await connection.execute(self._sql[f"logged_{table.name}"].encode(), _moments(fits, time))
        return await cursor.fetchone() is not None

    async def _settle(
        self,
        connection: AsyncConnection[Any],
        table: Table,
        fits: Sequence[TransferRow],
        low: int,
        high: int,
        verb: str,
    ) -> WriteOutcome:
        """Write the rows from one place to another; where the server refuses, find the row and leave only that out."""
        try:
            async with connection.transaction():
                return await self._staged(connection, table, fits, low, high, verb)
        except _REFUSALS as error:
            if low == high:
                said = str(error).splitlines()
                return WriteOutcome(0, frozenset(), {low: f"PostgreSQL refused it: {redact(said[0]) if said else ''}"})
        middle = (low + high) // 2
        first = await self._settle(connection, table, fits, low, middle, verb)
        second = await self._settle(connection, table, fits, middle + 1, high, verb)
        return WriteOutcome(
            first.inserted + second.inserted, first.present | second.present, {**first.refused, **second.refused}
        )

    async def _staged(
        self,
        connection: AsyncConnection[Any],
        table: Table,
        fits: Sequence[TransferRow],
        low: int,
        high: int,
        verb: str,
    ) -> WriteOutcome:
        body = b"".join(
            [pgbinary_encode.row(pgbinary_encode.integer(place), *fits[place].values) for place in range(low, high + 1)]
        )
        async with connection.cursor() as cursor:
            async with cursor.copy(self._sql[f"load_{table.name}"].encode()) as copy:
                await copy.write(pgbinary_encode.HEADER + body + pgbinary_encode.TRAILER)
            refused: dict[int, str] = {}
            if table.owned:
                await cursor.execute(self._sql[f"orphans_{table.name}"].encode())
                refused = {row["ord"]: row["reason"] for row in await cursor.fetchall() if low <= row["ord"] <= high}
            asked = {"low": low, "high": high}
            statement = self._backend.typed(self._sql[f"{verb}_{table.name}"])
            if verb == "update":
                await cursor.execute(f"{statement} RETURNING s.ord".encode(), asked)
                changed = {row["ord"] for row in await cursor.fetchall()}
                if then := self._sql.get(f"settle_{table.name}"):
                    await cursor.execute(then.encode())
                return WriteOutcome(len(changed), frozenset(range(low, high + 1)) - changed - refused.keys(), refused)
            await cursor.execute(self._sql[f"present_{table.name}"].encode())
            present = frozenset(row["ord"] for row in await cursor.fetchall() if low <= row["ord"] <= high)
            await cursor.execute(statement.encode(), asked)
            return WriteOutcome(cursor.rowcount, present, refused)

    # Indexes

    async def drop_indexes(self, transaction: Transaction) -> tuple[str, ...]:
        """Drop what only makes reading fast; gives the statements that make it again, none where it has to stay."""
        connection = _connection(transaction)
        await self._take_time(connection)
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'".encode())
                await connection.execute(self._sql["hold_indexes"].encode())
                cursor = await connection.execute(self._sql["list_indexes"].encode())
                found = await cursor.fetchall()
                for row in found:
                    await connection.execute(str(row["drop"]).encode())
        except (errors.LockNotAvailable, errors.InsufficientPrivilege):
            return ()
        return tuple(str(row["create"]) for row in found)

    async def hold_indexes(self, transaction: Transaction) -> None:
        """Wait until no other copy builds indexes here; nobody does until the transaction ends."""
        connection = _connection(transaction)
        await self._take_time(connection)
        await connection.execute(self._sql["hold_indexes"].encode())

    async def build_index(self, transaction: Transaction, statement: str) -> None:
        """Make an index again by its statement, unless somebody has."""
        connection = _connection(transaction)
        await self._take_time(connection)
        await connection.execute(self._sql["more_memory"].encode())
        await connection.execute(statement.replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ", 1).encode())

    async def settle(self, transaction: Transaction) -> None:
        """Make what is derived from the rows follow them."""
        connection = _connection(transaction)
        await self._take_time(connection)
        await connection.execute(self._sql["rebuild_winners"].encode())

    async def analyze(self, transaction: Transaction) -> None:
        connection = _connection(transaction)
        await self._take_time(connection)
        await connection.execute(self._sql["analyze_target"].encode())

    async def _take_time(self, connection: AsyncConnection[Any]) -> None:
        """What follows in this transaction takes as long as it takes, whatever the server allows others."""
        await connection.execute(self._sql["take_time"].encode(), {"local": True})


def _connection(transaction: Transaction) -> AsyncConnection[Any]:
    assert isinstance(transaction, PostgresTransaction)
    return transaction.connection


def _moments(fits: Sequence[TransferRow], time: int) -> dict[str, str]:
    """The memories of some rows and the times that are one of their values, in microseconds since 2000, as arrays."""
    keys = ",".join([(fit.values[0] or b"").hex() for fit in fits])
    times = ",".join([str(int.from_bytes(fit.values[time] or b"", "big", signed=True)) for fit in fits])
    return {"keys": f"{{{keys}}}", "times": f"{{{times}}}"}


def _half(vector: bytes) -> bytes:
    """A vector of single precision as one of half precision: the dimension, then the values."""
    import numpy as np

    return vector[:4] + np.frombuffer(vector, dtype=">f4", offset=4).astype(">f2").tobytes()
