"""Sessions behind a pooler, which lends a session of the server for one transaction only.

Nothing of a session lasts there: no setting, prepared statement, temporary table, LISTEN or session-level lock. So the
settings travel in the transaction that needs them, at no round trip more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from vestige_tui.store.backends.postgres_connection import BlockingConnection, ServerConnection
    from vestige_tui.store.backends.protocol import Row

_IDLE = TransactionStatus.IDLE


async def fetch(connection: ServerConnection, statement: bytes, params: Mapping[str, object]) -> list[Row]:
    """Return the rows of one statement outside any transaction of ours, under the settings of the session."""
    if connection.local_settings is None:
        cursor = await connection.execute(statement, params)
    elif _reads_dates(connection):
        # Statements that are sent together are one transaction.
        async with connection.pipeline():
            await connection.execute(connection.local_settings)
            cursor = await connection.execute(statement, params)
    else:
        async with transaction(connection):
            cursor = await connection.execute(statement, params)
    return list(await cursor.fetchall()) if cursor.description else []


def _reads_dates(connection: ServerConnection) -> bool:
    """Check that the driver reads dates: it follows what the session reports, which is not done within one trip."""
    return (connection.info.parameter_status("DateStyle") or "").startswith("ISO")


@asynccontextmanager
async def transaction(connection: ServerConnection) -> AsyncIterator[None]:
    """Begin a transaction under the settings of the session; leaving the block commits, an exception rolls back."""
    if connection.local_settings is None:
        async with connection.transaction():
            yield
        return
    try:
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            cursor = await connection.execute(connection.local_settings)
        row = await cursor.fetchone()
        connection.process = row["process"] if row else None
        yield
        await connection.commit()
    except BaseException:
        await _roll_back(connection)
        raise


@asynccontextmanager
async def under_settings(connection: ServerConnection) -> AsyncIterator[None]:
    """Run the block under the settings of the session: in a transaction where they would not last otherwise."""
    if connection.local_settings is None:
        yield
        return
    # Not in a pipeline, which loses the reason where a pooler refuses every transaction.
    async with connection.transaction():
        await connection.execute(connection.local_settings)
        yield


@asynccontextmanager
async def trip(connection: ServerConnection) -> AsyncIterator[None]:
    """Send the statements of the block as one transaction, in one trip."""
    if connection.local_settings is None:
        async with connection.pipeline(), connection.transaction():
            yield
        return
    if not _reads_dates(connection):
        async with transaction(connection):
            yield
        return
    try:
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            await connection.execute(connection.local_settings)
            yield
            await connection.execute(b"COMMIT")
    except BaseException:
        await _roll_back(connection)
        raise


async def _roll_back(connection: ServerConnection) -> None:
    if not connection.closed and connection.info.transaction_status != _IDLE:
        await connection.rollback()


@contextmanager
def blocking_transaction(connection: BlockingConnection) -> Iterator[None]:
    """Run the block as ``under_settings`` does."""
    if connection.local_settings is None:
        yield
        return
    with connection.transaction():
        connection.execute(connection.local_settings)
        yield
