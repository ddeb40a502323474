"""A replica of a store's server, which answers searches and lists in place of the primary.

It is asked only while it is known to stream from this store's primary, with the same schema, and to have replayed
every change that this process has made or heard of. In every other case the primary answers, and nothing waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from enum import Enum

import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.health import HealthProblem
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.text import bytes_size
from vestige_tui.store.backends import postgres_pooler as pooler
from vestige_tui.store.backends.postgres_connection import ServerConnection, adapt_params
from vestige_tui.store.backends.postgres_pool import PostgresPool
from vestige_tui.store.backends.protocol import Params, Row
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.schema.named_sql import compose

log = logging.getLogger(__name__)

QUERIES = frozenset(
    {
        "search_memories",
        *("page_memories", "page_memories_at", "count_memories", "count_matching"),
        *("facet_domains", "facet_tags", "facet_node_types", "facet_codebases"),
        *("facet_owners", "facet_visibilities", "facet_groups"),
        *("facet_since", "facet_until", "facet_recall"),
    }
)
"""Queries that a replica may answer: searches, lists, and the counts beside them.

A memory that is opened or edited is read from the primary, and so is all that precedes a write. A row of a list may be
edited too: what the list did not show yet is found when it is saved, as a Conflict.
"""
OPEN_SECONDS = 2.0
"""Wait for the replica while the store is opened; it may be found later, too."""
ANSWER_SECONDS = 8.0
"""Wait for an answer of the replica before the primary is asked."""
RETRY_SECONDS = 5.0
"""Pause between two looks at a replica that is of no use now."""


class ReplicaState(Enum):
    """Usefulness of a replica, with the reason as it continues a sentence that begins with its name."""

    UNKNOWN = "is not connected yet"
    READY = ""
    AWAY = "cannot be reached or does not answer"
    OTHER_STORE = "does not replicate this store's server"
    OTHER_SCHEMA = "has another version of the schema"


_REMEDIES = {
    ReplicaState.AWAY: "Check that it is running and that this machine can connect to it.",
    ReplicaState.OTHER_STORE: "Set read_url under [storage.postgres] to a standby of the server, or leave it out.",
    ReplicaState.OTHER_SCHEMA: "Check that it replays the changes of the primary.",
}


class ReadReplica:
    """Sessions with a replica. ``ask_primary`` returns the one row of a named query, read from the primary."""

    def __init__(
        self,
        url: str,
        *,
        max_connections: int,
        acquire_timeout: float,
        ask_primary: Callable[[str], Awaitable[Row]],
        timings: Timings,
    ) -> None:
        self._pool = PostgresPool(
            url, create=False, read_only=True, max_connections=max_connections, acquire_timeout=acquire_timeout
        )
        self._ask_primary = ask_primary
        self._timings = timings
        self.state = ReplicaState.UNKNOWN
        self._is_open = False
        self._changes = 1
        """Changes of the primary that are known here."""
        self._changes_covered = 0
        """Those of them that the position covers."""
        self._position: str | None = None
        """Position of the primary that the replica has to replay first; None where it has."""
        self._bytes_behind = 0
        self._watch_task: asyncio.Task[None] | None = None
        self._was_looked_at = asyncio.Event()

    # Opening and closing

    async def open(self) -> None:
        """Connect, or go on in the background where that takes longer than a moment. Raises nothing."""
        self.look_again()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await self._was_looked_at.wait()

    async def close(self) -> None:
        await self._stop_watching()
        await self._pool.close()

    def look_again(self) -> None:
        """Ask the replica again whether it is one of this store, as after a failover or a migration."""
        self.state = ReplicaState.UNKNOWN if self.state is ReplicaState.READY else self.state
        if self._watch_task is None or self._watch_task.done():
            self._watch_task = asyncio.create_task(self._watch())

    async def _stop_watching(self) -> None:
        task, self._watch_task = self._watch_task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _watch(self) -> None:
        """Look at the replica until it is of use."""
        while True:
            state = await self._look()
            if state is not self.state:
                log.info("The replica %s", state.value or "answers searches and lists")
            self.state = state
            self._was_looked_at.set()
            if state is ReplicaState.READY:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _look(self) -> ReplicaState:
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                if not self._is_open:
                    await self._pool.open()
                    self._is_open = True
                async with self._pool.connection() as connection:
                    replica = await self._ask(connection, "identify_store")
                primary = await self._ask_primary("identify_store")
        except (VestigeError, psycopg.Error, PoolTimeout, TooManyRequests, OSError) as error:
            # TimeoutError is an OSError.
            log_suppressed(log, "check the replica", error)
            return ReplicaState.AWAY
        self.note_change()
        if not replica["standby"] or any(primary[name] != replica[name] for name in ("system", "database")):
            return ReplicaState.OTHER_STORE
        # The tables are the same ones only where their schema is found by the same path.
        is_alike = all(primary[name] == replica[name] for name in ("tables", "migrated_to"))
        return ReplicaState.READY if is_alike else ReplicaState.OTHER_SCHEMA

    # Reading

    def note_change(self) -> None:
        """Note that the primary changed, by this process or another one: the replica has to replay that first."""
        self._changes += 1

    async def fetch(self, name: str, statement: bytes, params: Params | None) -> list[Row] | None:
        """Return the rows of a statement; None where the primary has to be asked."""
        if self.state is not ReplicaState.READY:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._pool.connection() as connection:
                if not await self._has_replayed(connection):
                    return None
                with self._timings.of(name):
                    rows = await pooler.fetch(connection, statement, adapt_params(params))
                # A server that was promoted reports it with its next answer.
                if connection.info.parameter_status("in_hot_standby") != "off":
                    return rows
                self.look_again()
        except psycopg.errors.SerializationFailure as error:
            # The replay took away rows that the query needed.
            log_suppressed(log, "query the replica", error)
        except (VestigeError, psycopg.OperationalError, PoolTimeout, TooManyRequests, OSError) as error:
            log_suppressed(log, "query the replica", error)
            self.state = ReplicaState.AWAY
            self.look_again()
        except psycopg.Error as error:
            # As where it has not replayed a change of model; a wrong statement fails on the primary, too.
            log_suppressed(log, "query the replica", error)
        return None

    async def _has_replayed(self, connection: ServerConnection) -> bool:
        """Check whether the replica has replayed the last change that is known here."""
        if self._changes_covered < self._changes:
            changes = self._changes
            row = await self._ask_primary("read_position")
            if self._changes_covered < changes:
                self._changes_covered, self._position = changes, str(row["position"])
        position = self._position
        if position is None:
            return True
        row = await self._ask(connection, "compare_position", {"position": position})
        self._bytes_behind = 0 if row["replayed"] else int(row["behind"] or 0)
        if row["replayed"] and position == self._position:
            self._position = None
        return bool(row["replayed"])

    async def _ask(self, connection: ServerConnection, name: str, params: Params | None = None) -> Row:
        [row] = await pooler.fetch(connection, compose("postgres", name).encode(), params or {})
        return row

    # Reports

    def describe(self) -> str:
        """Return its part in the store, in words; the address comes last, where a narrow panel cuts it."""
        if self.state is not ReplicaState.READY:
            return f"not in use, at {self._pool.title}"
        if self._position is None:
            return f"answers searches and lists, at {self._pool.title}"
        return f"{bytes_size(self._bytes_behind)} behind, so the primary answers, at {self._pool.title}"

    def problems(self) -> tuple[HealthProblem, ...]:
        """Return the reason for which the primary answers all."""
        if self.state not in _REMEDIES:
            return ()
        return (
            HealthProblem(
                f"The replica {self._pool.title} {self.state.value}; the primary answers searches and lists.",
                _REMEDIES[self.state],
            ),
        )
