"""Changes of a PostgreSQL store: a NOTIFY of every commit, or a change token that is polled."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection, errors, sql

from vestige_tui.core.log import log_suppressed, suppressed
from vestige_tui.store.backends.change_polling import TokenPoller
from vestige_tui.store.backends.postgres_errors import translate
from vestige_tui.store.schema.named_sql import compose

if TYPE_CHECKING:
    from vestige_tui.store.backends.postgres_pool import PostgresPool

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Pause between two reads of the change token, or of the horizon."""

# A silently dropped connection is noticed after eleven seconds; a listener sends nothing by itself.
_KEEPALIVE = {"keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3"}


class _Listener:
    """A connection of its own that receives a NOTIFY for every commit to one store."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]], horizon: str) -> None:
        self.connection = connection
        self._horizon: str | None = horizon
        """Transactions begun before this may not have notified, as no listener existed; None once all have ended."""

    @classmethod
    async def start(cls, connection: AsyncConnection[dict[str, Any]]) -> _Listener | None:
        """Listen; return None where no NOTIFY could arrive: behind a transaction pooler, or on a standby."""
        cursor = await connection.execute(compose("postgres", "find_channel").encode())
        row = await cursor.fetchone() or {}
        # A pooler that shares sessions among clients reports process ids of its own.
        if row["process"] != connection.info.backend_pid or row["standby"]:
            return None
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row["channel"])))
        await connection.execute(compose("postgres", "hold_channel").encode(), {"key": row["key"]})
        cursor = await connection.execute(compose("postgres", "find_horizon").encode())
        row = await cursor.fetchone() or {}
        listener = cls(connection, row["horizon"])
        await listener._check_horizon()
        return listener

    async def wait(self, seconds: float) -> bool:
        """Wait for a commit since the last call; return False where there is none within the time."""
        if self._horizon is not None:
            seconds = min(seconds, POLL_SECONDS)
        notified = False
        async for _ in self.connection.notifies(timeout=seconds, stop_after=1):
            notified = True
        return notified or (self._horizon is not None and await self._check_horizon())

    async def _check_horizon(self) -> bool:
        """Check whether every transaction begun before the horizon has ended."""
        cursor = await self.connection.execute(compose("postgres", "find_unheard").encode(), {"horizon": self._horizon})
        row = await cursor.fetchone() or {}
        if row["unheard"]:
            return False
        self._horizon = None
        return True


class ChangeListener:
    """Waiter for changes of a store: by LISTEN, or by polling the change token where no NOTIFY could arrive."""

    def __init__(self, pool: PostgresPool, read_token: Callable[[], Awaitable[object]]) -> None:
        self._pool = pool
        self._listener: _Listener | None = None
        self.polls = False
        """True where no NOTIFY could arrive."""
        self._token_poller = TokenPoller(read_token, POLL_SECONDS)

    async def wait(self, seconds: float) -> bool:
        """Wait for a change as ``Backend.wait_for_change`` does."""
        if self.polls:
            return await self._token_poller.wait(seconds)
        try:
            if self._listener is not None:
                with suppressed(log, "listen for changes", psycopg.OperationalError):
                    return await self._listener.wait(seconds)
            # Changes may have been missed while there was no listener.
            await self._listen()
            return True
        except (psycopg.Error, OSError) as error:
            raise translate(error, self._pool.title) from error

    async def _listen(self) -> None:
        """Start or restart the listener: one broken connection need not be an outage."""
        await self.stop()
        try:
            if self._pool.pooled:
                self.polls = True
                return
            connection = await self._pool.connect(**_KEEPALIVE)
            try:
                self._listener = await _Listener.start(connection)
            finally:
                if self._listener is None:
                    await connection.close()
            self.polls = self._listener is None
        except (errors.TooManyConnections, errors.InsufficientPrivilege, errors.FeatureNotSupported) as error:
            # The pool's connections can poll instead.
            log_suppressed(log, "start to listen for changes", error)
            self.polls = True
        except psycopg.OperationalError:
            # An embedded server is restarted while the outage is reported.
            self._pool.ping()
            raise

    async def stop(self) -> None:
        """Close the listening connection; the next wait opens another one."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.connection.close()
