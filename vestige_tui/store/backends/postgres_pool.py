"""The pool of connections to a PostgreSQL server, embedded ones included."""

from __future__ import annotations

import asyncio
import logging
import stat
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from weakref import WeakSet

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from vestige_tui.core.cancellation import cancellation_kept
from vestige_tui.core.errors import Refused, StoreMissing, Unreachable, VestigeError
from vestige_tui.core.health import Connections, Session
from vestige_tui.core.log import log_suppressed, suppressed
from vestige_tui.core.paths import kind_of
from vestige_tui.core.text import redact_url
from vestige_tui.core.waits import WaitKind
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.backends.embedded_programs import upgraded_data
from vestige_tui.store.backends.postgres_connection import (
    ServerConnection,
    conninfo,
    is_closed_by_server,
    load_json,
    parse_url,
)
from vestige_tui.store.backends.postgres_errors import translate
from vestige_tui.store.backends.postgres_hosts import NO_WRITABLE_HOST, HostChoice
from vestige_tui.store.backends.postgres_pooler import under_settings
from vestige_tui.store.backends.postgres_preflight import (
    check_row_security,
    check_server,
    server_settings,
    vector_version,
    why_read_only,
)
from vestige_tui.store.backends.postgres_settings import Setting, lifted_timeouts
from vestige_tui.store.schema import rows
from vestige_tui.store.schema.named_sql import compose
from vestige_tui.store.waits import EXPLAINED_AFTER_SECONDS, Wait, Waits, long_work

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
"""Wait for a connection of the pool before the server is pinged."""
RETRY_SECONDS = 0.5
"""Longest pause between two attempts of the pool to reconnect."""

ANSWER_SECONDS = 5.0
"""Wait for the answer to a question about the cause of another wait."""
MAX_EXPLAIN_PAUSE_SECONDS = 4.0
"""Longest pause between two such questions."""
CLOSE_SECONDS = 0.5
"""Wait for the pool to close."""


def refuse_missing_server(directory: Path) -> None:
    """Raise StoreMissing unless there is the data of an embedded server."""
    title = f"pgembed:{directory}"
    if stat.S_IFDIR not in (kind_of(directory / "data", title), kind_of(upgraded_data(directory), title)):
        raise StoreMissing(
            f"There is no store at {title}. Name another one with `--store`, create this one with "
            f"`vestige-tui --store {title} schema up`, or try the sample store with `vestige-tui demo`."
        )


class PostgresPool:
    """Connections to one server, borrowed from a pool; it notices an outage, and restarts an embedded server.

    ``target`` is a libpq URL, or the directory of an embedded server.
    """

    def __init__(
        self,
        target: str | Path,
        *,
        create: bool,
        read_only: bool,
        max_connections: int,
        acquire_timeout: float,
        long_work: bool = False,
    ) -> None:
        self._directory = target.expanduser().absolute() if isinstance(target, Path) else None
        self.url = "" if isinstance(target, Path) else target
        self._lease: embedded_postgres.Lease | None = None
        self._create = create
        self.read_only = read_only
        self.reason = "opened with --read-only" if read_only else ""
        self._stays_read_only = read_only
        self.schema = "public"
        """Schema of the store's tables, as a quoted identifier."""
        self.settings: tuple[Setting, ...] = ()
        """Settings of sessions that only the server could tell; none before it was asked."""
        self.lifted: tuple[Setting, ...] = ()
        """Settings of a statement that may take as long as it likes."""
        self._long_work = long_work
        self.pooled = False
        """A pooler is in between, so that nothing outlives a transaction."""
        self._max_connections = max_connections
        self._timeout = acquire_timeout
        self._pool: AsyncConnectionPool[ServerConnection] | None = None
        self._answered_at = 0.0
        self._ping_task: asyncio.Task[None] | None = None
        self.waits = Waits(lambda: self.title)
        """Waits of its borrowers, for a connection and for answers."""
        self.waits.explain = self._explain_waits
        self._explaining: asyncio.Task[None] | None = None
        self._own_connections: WeakSet[ServerConnection] = WeakSet()
        if self._directory is None:
            parts = parse_url(self.url)
            host = parts.get("host") or "localhost"
            port = parts.get("port")
            authority = host if not port or "," in str(host) else f"{host}:{port}"
            self.title = f"postgresql://{authority}/{parts.get('dbname') or ''}"
        else:
            self.title = f"pgembed:{self._directory}"
        self._hosts = HostChoice(self.url)
        self.role_changes = 0
        """Number of times that a server of another role came to answer, as after a failover."""
        self._role_task: asyncio.Task[None] | None = None

    def location(self) -> str:
        """Return the URL by which another process opens the same store, without a password."""
        if self._directory is not None:
            return f"pgembed:{self._directory}"
        return redact_url(self.url)

    async def open(self) -> None:
        """Connect; start an embedded server first. Raises Refused where the server is too old for a store."""
        if self._directory is not None:
            if self.read_only or not self._create:
                refuse_missing_server(self._directory)
            with self.waits.of(WaitKind.CONNECTION, error=None):
                self._lease = await embedded_postgres.acquire(self._directory)
            self.url = self._lease.url
        try:
            await self._preflight()
            await self._open_pool()
        except BaseException:
            await self._release()
            raise

    async def connect(self, **extra: str) -> ServerConnection:
        """Open a connection outside the pool. Raises the driver's errors."""
        return await self._connect(make_conninfo(self._conninfo(), **extra))

    async def _connect(self, conninfo: str) -> ServerConnection:
        timeout = str(max(2, min(10, int(self._timeout))))
        target = make_conninfo(conninfo, connect_timeout=timeout)
        with self.waits.of(WaitKind.CONNECTION), cancellation_kept():
            connection = await ServerConnection.connect(
                target, pooled=self.pooled, row_factory=dict_row, autocommit=True
            )
        self._own_connections.add(connection)
        return connection

    async def _connect_first(self) -> tuple[ServerConnection, bool]:
        """Open a connection to the host that the URL asks for, else to a standby; return whether it is that."""
        target, standby = (
            self._conninfo(read_only=self._stays_read_only, fall_back=fall_back) for fall_back in (False, True)
        )
        try:
            return await self._connect(target), False
        except errors.TooManyConnections:
            raise  # by a server that accepts writes
        except (psycopg.OperationalError, OSError) as error:
            if not self._hosts.wants_writable:
                raise
            log_suppressed(log, "connect to a server that accepts writes", error)
            with suppressed(log, "connect to a standby", psycopg.Error, OSError):
                return await self._connect(standby), True
            raise

    async def _preflight(self) -> None:
        """Check the server with a single connection: its error is specific, where a pool would only time out."""
        try:
            connection, fell_back = await self._connect_first()
        except (psycopg.Error, OSError) as error:
            raise translate(error, self.title) from None
        try:
            async with under_settings(connection):
                cursor = await connection.execute(compose("postgres", "preflight").encode())
                server = await cursor.fetchone() or {}
                has_new_role = self._hosts.note(connection, is_standby=bool(server["standby"]), fell_back=fell_back)
                check_server(server, self.title)
                guarded = ""
                if server["row_security"]:
                    cursor = await connection.execute(compose("postgres", "list_row_security").encode())
                    guarded = check_row_security(await cursor.fetchall(), server, self.title)
        except errors.ProtocolViolation:
            raise Refused(
                f"{self.title} is behind a pooler without transactions; set its pool_mode to transaction or "
                "session, or connect to the server itself."
            ) from None
        except psycopg.Error as error:
            raise translate(error, self.title) from None
        finally:
            await connection.close()
        self.pooled = connection.local_settings is not None
        log.log(
            logging.DEBUG if self._answered_at else logging.INFO,
            "Opened %s: PostgreSQL %s, pgvector %s",
            redact_url(self.title),
            server["server_version"],
            vector_version(server),
        )
        self.schema = str(server["schema"])
        self.settings = server_settings(server, long_work=self._long_work)
        self.lifted = lifted_timeouts(server["server_version_num"])
        self.role_changes += has_new_role
        if not self._stays_read_only:
            standby = NO_WRITABLE_HOST if fell_back and server["standby"] else ""
            self.reason = standby or why_read_only(server) or guarded
            self.read_only = bool(self.reason)

    def read_only_for(self, reason: str) -> None:
        """Refuse writes from now on, also after a failover."""
        self.read_only, self.reason, self._stays_read_only = True, reason, True

    def _conninfo(self, *, read_only: bool | None = None, fall_back: bool | None = None, **extra: str) -> str:
        read_only = self.read_only if read_only is None else read_only
        hosts = self._hosts.parameters(read_only=read_only, fall_back=fall_back)
        inherits = self._directory is None
        return conninfo(self.url, read_only=read_only, settings=self.settings, inherits=inherits, **hosts, **extra)

    def conninfo(self) -> str:
        """Return the conninfo for another connection to the same server; with the password, where there is one."""
        return self._conninfo(connect_timeout="10")

    async def _open_pool(self) -> None:
        self._pool = AsyncConnectionPool(
            self._conninfo(connect_timeout="5"),
            connection_class=ServerConnection,
            kwargs={"row_factory": dict_row, "autocommit": True, "pooled": self.pooled},
            min_size=min(2, self._max_connections),
            max_size=self._max_connections,
            timeout=self._timeout,
            max_idle=600.0,
            max_lifetime=1_800.0,
            # The pool's backoff is capped, so that an outage ends at the next question and not after a long pause.
            reconnect_timeout=RETRY_SECONDS,
            configure=self._configure,
            open=False,
            name="vestige",
        )
        await self._pool.open()

    async def _configure(self, connection: ServerConnection) -> None:
        connection.waits = self.waits
        self._own_connections.add(connection)
        set_json_loads(load_json, connection)
        try:
            async with under_settings(connection):
                await register_vector_async(connection)
        except psycopg.ProgrammingError as error:
            # Without the schema there is no vector type to register yet; reopen() runs this again.
            log.debug("The vector type is not registered: %s", error)

    async def reopen(self) -> None:
        """Replace the pool by a new one, after another look at the server."""
        if self._pool is not None:
            await self._pool.close()
        await self._preflight()
        await self._open_pool()

    async def close(self) -> None:
        """Close all connections; release an embedded server."""
        self.waits.close()
        tasks = {task for task in (self._ping_task, self._explaining, self._role_task) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._pool is not None:
            # Only a server that does not answer takes longer.
            await self._pool.close(CLOSE_SECONDS)
            self._pool = None
        await self._release()

    async def _release(self) -> None:
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await embedded_postgres.release(lease)

    def _get_pool(self) -> AsyncConnectionPool[ServerConnection]:
        if self._pool is None:
            raise Unreachable(f"{self.title} is not open.")
        return self._pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[ServerConnection]:
        """Borrow a living connection of the pool. Raises Unavailable, and the errors of driver and pool."""
        async with AsyncExitStack() as stack:
            with self.waits.of(WaitKind.CONNECTION):
                connection = await self._borrow(stack)
            while is_closed_by_server(connection):
                # After a restart of the server every idle connection of the pool is dead.
                with suppressed(log, "use an idle connection", psycopg.Error):
                    await AsyncConnectionPool.check_connection(connection)
                    break
                await stack.aclose()
                connection = await self._borrow(stack)
            if self._hosts.is_doubtful(connection):
                self._look_again()
            yield connection
            self._answered_at = time.monotonic()

    async def _borrow(self, stack: AsyncExitStack) -> ServerConnection:
        deadline = time.monotonic() + self._timeout
        while True:
            remaining = deadline - time.monotonic()
            try:
                with cancellation_kept():
                    lent = self._get_pool().connection(min(PATIENCE_SECONDS, remaining))
                    return await stack.enter_async_context(lent)
            except PoolTimeout:
                # All connections are in use, or there is no server and the pool waits for one.
                await self._ensure_reachable()
                if remaining <= PATIENCE_SECONDS:
                    if not self._own_connections_in_use():
                        raise Unreachable(
                            f"{self.title} cannot be reached: the server closes each connection at once."
                        ) from None
                    raise

    async def _ensure_reachable(self) -> None:
        """Ensure that the server answers; restart an embedded one that we alone use. Raises Unavailable."""
        if time.monotonic() - self._answered_at < PATIENCE_SECONDS:
            return
        await asyncio.shield(self.ping())

    def ping(self) -> asyncio.Task[None]:
        """Start a ping of the server, or join the running one; it restarts an embedded server."""
        if self._ping_task is None or self._ping_task.done():
            self._ping_task = asyncio.create_task(self._ping_server())
            # Retrieves the error where no caller waits any more.
            self._ping_task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._ping_task

    async def _ping_server(self) -> None:
        try:
            try:
                await self._check_server()
            except errors.TooManyConnections:
                raise
            except (psycopg.Error, OSError):
                if self._lease is not None:
                    await self._restart(self._lease)
                elif self._hosts.wants_writable:
                    await self._replace_sessions()
                else:
                    raise
        except errors.TooManyConnections as error:
            # The server answered.
            log_suppressed(log, "open one more connection", error)
        except (psycopg.Error, OSError) as error:
            raise translate(error, self.title) from error
        self._answered_at = time.monotonic()

    async def _check_server(self) -> None:
        """Ask the server an empty question: a pooler, or a server that shuts down, may close a session after login."""
        connection = await self.connect()
        try:
            await AsyncConnectionPool.check_connection(connection)
        finally:
            await connection.close()

    async def _restart(self, lease: embedded_postgres.Lease) -> None:
        """Restart the embedded server; its socket may be in another folder."""
        self._lease = await embedded_postgres.acquire(lease.directory)
        await embedded_postgres.release(lease)
        await self._check_server()
        if self._lease.url != self.url:
            self.url = self._lease.url
            await self._replace_pool()

    async def _replace_pool(self) -> None:
        old_pool = self._get_pool()
        await self._open_pool()
        await old_pool.close(CLOSE_SECONDS)

    # The role of the server

    def _look_again(self) -> None:
        """Start to look which host accepts writes now, unless that is being done; nothing waits for it."""
        if self._role_task is None or self._role_task.done():
            self._role_task = asyncio.create_task(self._note_role())

    async def _note_role(self) -> None:
        with suppressed(log, "look for a server that accepts writes", VestigeError, psycopg.Error, OSError):
            await self._replace_sessions()

    async def _replace_sessions(self) -> None:
        """Connect to the host that the URL asks for, else to a standby; replace the sessions with another one.

        Raises Unavailable where no host answers.
        """
        before = (self._hosts.fell_back, self.role_changes, self.read_only)
        self._hosts.looked()
        await self._preflight()
        if before != (self._hosts.fell_back, self.role_changes, self.read_only):
            log.info(
                "Now another server of %s answers%s", redact_url(self.title), ", read-only" if self.read_only else ""
            )
            await self._replace_pool()

    # Causes of long waits

    def _explain_waits(self) -> None:
        """Start to look for the sessions that block those that wait, unless that is being done."""
        # An embedded server that is still being started has no address, and no session either.
        if self.url and (self._explaining is None or self._explaining.done()):
            self._explaining = asyncio.create_task(self._look_for_blockers())

    async def _look_for_blockers(self) -> None:
        """Ask for the blockers of waiting sessions, on a connection of its own, until no wait is long any more."""
        connection: ServerConnection | None = None
        pause = EXPLAINED_AFTER_SECONDS
        try:
            while waits := self.waits.older_than(EXPLAINED_AFTER_SECONDS):
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        connection = connection or await self._connect_unseen()
                        await _note_blockers(connection, waits)
                except (psycopg.Error, OSError) as error:
                    # TimeoutError is an OSError.
                    log_suppressed(log, "find the cause of a wait", error)
                    if connection is not None:
                        await connection.close()
                        connection = None
                    for wait in waits:
                        # A refusal is an answer, too.
                        wait.answers = isinstance(error, errors.TooManyConnections)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_EXPLAIN_PAUSE_SECONDS)
        finally:
            if connection is not None:
                await connection.close()

    async def _connect_unseen(self) -> ServerConnection:
        """Open a connection whose own waits are not shown."""
        with long_work():
            return await self.connect()

    def _own_connections_in_use(self) -> int:
        stats = self._pool.get_stats() if self._pool is not None else {}
        return stats.get("pool_size", 0) - stats.get("pool_available", 0)

    def in_use(self) -> str:
        """Return the connections in use, in words."""
        if self._pool is None:
            return "closed"
        stats = self._pool.get_stats()
        size, free = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return f"{size - free} of {size} connections in use, at most {self._max_connections}"

    def connections(self) -> Connections:
        """Return the number of connections, and of waits for one."""
        stats = self._pool.get_stats() if self._pool is not None else {}
        return Connections(
            opened=stats.get("pool_size", 0),
            idle=stats.get("pool_available", 0),
            most=self._max_connections,
            waiting=stats.get("requests_waiting", 0),
            waited=stats.get("requests_queued", 0),
            waited_ms=float(stats.get("requests_wait_ms", 0)),
            writer=not self.read_only,
        )

    def own_sessions(self) -> tuple[int, ...]:
        """Return the server's numbers of this process's own sessions."""
        return tuple(connection.session for connection in list(self._own_connections) if not connection.closed)


async def _note_blockers(connection: ServerConnection, waits: Sequence[Wait]) -> None:
    """Note of each wait that the server answers, and which sessions hold the lock that it is for."""
    params = {"waiting": [wait.session for wait in waits if wait.session is not None]}
    cursor = await connection.execute(compose("postgres", "list_blockers").encode(), params)
    blockers: dict[int, list[Session]] = {}
    for row in await cursor.fetchall():
        blockers.setdefault(row["waiting"], []).append(rows.session(row))
    for wait in waits:
        wait.answers = True
        wait.holders = tuple(blockers.get(wait.session or 0, ()))
