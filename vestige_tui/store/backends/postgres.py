"""The PostgreSQL backend: a pool of connections to a server with pgvector, or to an embedded server."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import re
import select
import socket
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection, AsyncCursor, errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from vestige_tui.core.errors import (
    Busy,
    Conflict,
    NotFound,
    OutOfResources,
    ReadOnly,
    Refused,
    SchemaPending,
    StoreMissing,
    Unavailable,
    Unsure,
    Usage,
    VestigeError,
)
from vestige_tui.core.health import Connections
from vestige_tui.core.search import SearchStep
from vestige_tui.core.text import redact
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.backends.change_polling import TokenPoller
from vestige_tui.store.backends.protocol import (
    BackendQuery,
    BackendReport,
    BackendResult,
    BackendStatus,
    Capabilities,
    Json,
    Params,
    Row,
    Transaction,
    VacuumStep,
    Write,
)
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.schema import rows
from vestige_tui.store.schema.named_sql import Dialect, Slots, compose
from vestige_tui.store.search.query_syntax import fold_ascii

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import ModelKey

MAX_EXACT_ROWS = 4_000
"""Filter sets of at most this size are measured exactly, without the HNSW index."""
MAX_SCANNED_ROWS = 200_000
"""Newest memories that a search by characters reads at most."""
CANDIDATE_ROWS = 2_000
"""Target number of memories that the text branch ranks."""
MIN_EXPECTED_ROWS = 300
"""Expected matches that a conjunction of words must keep."""
COUNT_SECONDS = 20.0
"""Pause between two checks of the word counts."""
MAX_INLINE_COUNT_MEMORIES = 20_000
"""Larger stores are counted in the background."""
MAX_CACHED_WORDS = 10_000
"""Size of the cache of word weights."""
SMALL_STORE_MEMORIES = 500
"""Smaller stores have their counts checked at every search."""
TOLERATED_GROWTH_RATIO = 0.1
"""Change of a store's size, as a share of it, after which its words are counted again."""
MAX_VECTOR_DIMENSIONS = 2_000
"""Most dimensions that pgvector can index as vector."""
MAX_HALFVEC_DIMENSIONS = 4_000
"""Most dimensions that pgvector can index as halfvec."""
_UUID_HEX_CHARS = 32
PATIENCE_SECONDS = 1.0
"""Wait for a connection of the pool before the server is pinged."""
RETRY_SECONDS = 0.5
"""Longest pause between two attempts of the pool to reconnect."""
POLL_SECONDS = 1.0
"""Pause between two reads of the change token, or of the horizon."""
CLOSE_SECONDS = 0.5
"""Wait for the pool to close."""
CANCEL_SECONDS = 1.0
"""Wait for a server to accept a cancellation, before its connection is cut."""
# A silently dropped connection is noticed after eleven seconds; a listener sends nothing by itself.
_KEEPALIVE = {"keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3"}

# A search is planned with its parameters: a generic plan takes a LIMIT for a tenth of the table.
_SETTINGS = (
    "-c plan_cache_mode=force_custom_plan -c jit=off"
    " -c hnsw.ef_search=200 -c hnsw.iterative_scan=relaxed_order -c lock_timeout=15s"
)

ENCODING = "UTF8"
# Stored and read values depend on these. Environment (PGCLIENTENCODING, PGDATESTYLE, PGTZ), service file, URL, role and
# database may each set others. The server reports all of these to every session.
_REPORTED = {
    "client_encoding": ENCODING,
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
}
_VALUES = {**_REPORTED, "extra_float_digits": "1"}
# Appended to the URL's options, because the last of two settings wins.
_VALUE_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _VALUES.items())

# Driver and pool log the errors that they also raise; the console keeps stderr free of them.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
logging.getLogger("psycopg").propagate = False


_VECTOR_STEPS = {
    "branch_vector_index": "HNSW index, walked until enough are found",
    "branch_vector_either": f"all that pass measured where they are {MAX_EXACT_ROWS:,} or fewer, else the HNSW index",
    "branch_vector_exact": "all that pass measured",
}


def adapt(value: object) -> object:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Json):
        return Jsonb(value.value)
    if isinstance(value, tuple):
        return list(value)
    return value


def _adapt_params(params: Params | None) -> dict[str, object]:
    return {key: adapt(value) for key, value in (params or {}).items()}


def _load_json(data: str | bytes) -> Any:
    # Most metadata and scores are empty, and a page has a hundred of each.
    return {} if data == b"{}" else json.loads(data)


def parse_url(url: str) -> dict[str, Any]:
    """Return the parts of a libpq URL or conninfo. Raises Usage, without a part of an unreadable one."""
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.Error:
        raise Usage("The PostgreSQL URL cannot be read; expected postgresql://USER@HOST:PORT/DATABASE.") from None


class Unsuitable(psycopg.InterfaceError):
    """A session that would corrupt texts; its message continues a sentence that begins with the store's name."""


def translate(error: Exception, title: str) -> VestigeError:
    """Return the VestigeError for an error of the driver or the pool."""
    if isinstance(error, Unsuitable):
        return Refused(f"{title} {error}")
    if isinstance(error, PoolTimeout | TooManyRequests):
        return Busy(f"All connections to {title} are in use; try again.")
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected | errors.SerializationFailure):
        return Busy(f"{title} is busy: another session holds what this needs. Nothing was changed; try again.")
    if isinstance(error, errors.QueryCanceled):
        # Our own cancellations wait for no answer: the server or another session ended this one.
        return VestigeError(f"The server broke the query off: {_first_line(error)}.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ReadOnly(f"{title} only accepts reads.")
    if isinstance(error, errors.InsufficientPrivilege):
        return Refused(f"The role may not do this on {title}: {_first_line(error)}.")
    if isinstance(error, errors.ForeignKeyViolation):
        return NotFound("A memory that this belongs to is not there.")
    if isinstance(error, errors.IntegrityError | errors.DataError):
        return Conflict(f"This is refused by the store: {_first_line(error)}.")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedFunction):
        return SchemaPending(
            f"{title} lacks tables that this needs ({_first_line(error)}); run `vestige-tui schema up`."
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | PoolClosed | OSError):
        kind = OutOfResources if isinstance(error, errors.DiskFull | errors.OutOfMemory) else Unavailable
        return kind(f"{title} cannot be reached: {_first_line(error).removeprefix('connection is bad: ')}.")
    return VestigeError(f"PostgreSQL failed: {_first_line(error)}.")


def _is_closed_by_server(connection: AsyncConnection[Any]) -> bool:
    """Check for unread data on an idle connection: the end of a dead connection, or a message."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redact(lines[0] if lines else type(error).__name__).rstrip(".")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a search: its query of the text index, the number of memories that hold it, and its idf."""

    query: str
    documents: int
    weight: float


def _word_of(row: Row) -> _Word:
    documents, total = int(row["documents"]), int(row["whole"])
    weight = math.log(1 + (max(total, documents) - documents + 0.5) / (documents + 0.5))
    return _Word(str(row["query"]), documents, weight)


def _choose_candidates(words: Sequence[_Word], required: Sequence[_Word], total: int) -> tuple[str, str, bool]:
    """Return a query for the memories to rank, its description, and whether it may match very many.

    Memories with one of the rarest words, as long as these are in some thousands at most. Where no word is rare:
    memories with several words at once, as many of the words as still leave enough expected matches. The
    ``required`` words, which each memory must hold, may leave few enough by themselves.
    """
    if required and total * math.prod(word.documents / max(total, 1) for word in required) <= 2 * CANDIDATE_ROWS:
        return " & ".join(f"({word.query})" for word in required), "memories with all the words that must occur", False
    ordered = sorted(words, key=lambda word: word.documents)
    if ordered[0].documents <= 2 * CANDIDATE_ROWS:
        count, documents = 1, ordered[0].documents
        while count < len(ordered):
            total_documents = documents + ordered[count].documents
            if total_documents > CANDIDATE_ROWS and (
                documents > CANDIDATE_ROWS // 2 or total_documents > 2 * CANDIDATE_ROWS
            ):
                break
            count, documents = count + 1, total_documents
        description = (
            "any of the words" if count == len(ordered) else f"one of the {count} rarest of {len(ordered)} words"
        )
        return " | ".join(f"({word.query})" for word in ordered[:count]), f"memories with {description}", False
    count, expected = 1, float(ordered[0].documents)
    while count < len(ordered):
        expected *= ordered[count].documents / max(total, 1)
        if expected < MIN_EXPECTED_ROWS:
            break
        count += 1
    description = "the rarest word" if count == 1 else f"all of the {count} rarest words"
    query = " & ".join(f"({word.query})" for word in ordered[:count])
    return query, f"the newest {CANDIDATE_ROWS:,} memories with {description}, each of them common", True


class PostgresTransaction:
    """A write in progress on one connection of the pool."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]], backend: PostgresBackend) -> None:
        self.connection = connection
        self._backend = backend

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        try:
            with self._backend.timings.of(name):
                cursor = await self.connection.execute(self._backend.sql(name, slots), _adapt_params(params))
                return list(await cursor.fetchall()) if cursor.description else []
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        try:
            with self._backend.timings.of(name):
                return (await self.connection.execute(self._backend.sql(name, slots), _adapt_params(params))).rowcount
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        if not many:
            return 0
        try:
            async with self.connection.cursor() as cursor:
                with self._backend.timings.of(name):
                    await cursor.executemany(self._backend.sql(name), [_adapt_params(params) for params in many])
                return cursor.rowcount
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error

    async def script(self, sql: str) -> None:
        try:
            await self.connection.execute(self._backend.typed(sql).encode())
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error


_SETTLE = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _VALUES.items())
"""Statement that applies all settings to a session."""


def _deviates(info: psycopg.ConnectionInfo) -> bool:
    """Check whether a session started with other settings, because a pooler dropped ours."""
    # DateStyle is reported with the order of day and month, which does not affect ISO.
    return any((info.parameter_status(name) or "").partition(",")[0] != value for name, value in _REPORTED.items())


def check_encoding(info: psycopg.ConnectionInfo) -> None:
    """Check that a session stores and sends every text unchanged. Raises Unsuitable."""
    server_encoding = info.parameter_status("server_encoding")
    if server_encoding != ENCODING:
        raise Unsuitable(
            f"has the encoding {server_encoding or 'unknown'}, and a store needs UTF8: "
            "create its database with ENCODING 'UTF8' TEMPLATE template0."
        )
    client_encoding = info.parameter_status("client_encoding")
    if client_encoding != ENCODING:
        raise Unsuitable(
            f"answers in the encoding {client_encoding or 'unknown'} although UTF8 was asked for: "
            "connect to the server itself, or let the pooler in front of it pass client_encoding on."
        )


class _Connection(AsyncConnection[dict[str, Any]]):
    """A session with all settings that values depend on; cut off where its server does not answer a cancellation."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        connection = await super().connect(conninfo, **kwargs)
        try:
            if _deviates(connection.info):
                await connection.execute(_SETTLE.encode())
            check_encoding(connection.info)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - the driver's signature
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_SECONDS))
        except (psycopg.Error, OSError):
            # The driver would wait for the rest of the answer next; now it finds the connection closed instead.
            with socket.socket(fileno=os.dup(self.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
            raise


class BlockingConnection(psycopg.Connection[dict[str, Any]]):
    """The same session for a thread without an event loop."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        connection = super().connect(conninfo, **kwargs)
        try:
            if _deviates(connection.info):
                connection.execute(_SETTLE.encode())
            check_encoding(connection.info)
        except BaseException:
            connection.close()
            raise
        return connection


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


SESSION_LIMIT = 50
"""Number of sessions of other programs in a report."""


class PostgresBackend:
    """A store on a PostgreSQL server. ``target`` is a libpq URL, or the directory of an embedded server."""

    dialect: Dialect = "postgres"
    capabilities = Capabilities(
        product="PostgreSQL",
        is_server=True,
        typed_vectors=True,
        computes_vectors=True,
        binary_copy=True,
        no_answer_remedy="See that the server runs, and that this machine may connect to it.",
    )
    lowest_id = "00000000-0000-0000-0000-000000000000"
    foreign = False

    def __init__(
        self,
        target: str | Path,
        *,
        create: bool = False,
        read_only: bool = False,
        max_connections: int = 10,
        acquire_timeout: float = 30.0,
    ) -> None:
        self._directory = target.expanduser().absolute() if isinstance(target, Path) else None
        self._url = "" if isinstance(target, Path) else target
        self._lease: embedded_postgres.Lease | None = None
        self._create = create
        self.read_only = read_only
        self.reason = "opened with --read-only" if read_only else ""
        self._max_connections = max_connections
        self._timeout = acquire_timeout
        self._pool: AsyncConnectionPool[AsyncConnection[dict[str, Any]]] | None = None
        self._answered_at = 0.0
        self._ping_task: asyncio.Task[None] | None = None
        self._vector_type = "vector"
        self._width = 0
        self._statements: dict[str, bytes] = {}
        self._own_connections: WeakSet[AsyncConnection[dict[str, Any]]] = WeakSet()
        self.timings = Timings()
        self._listener: _Listener | None = None
        self._polls = False
        self._token_poller = TokenPoller(self.change_token, POLL_SECONDS)
        self._count_task: asyncio.Task[None] | None = None
        self._count_due_at = 0.0
        self._counted_memories = -1
        self._word_cache: dict[str, _Word | None] = {}
        self.server: Mapping[str, Any] = {}
        if self._directory is None:
            parts = parse_url(self._url)
            host = parts.get("host") or "localhost"
            port = parts.get("port")
            authority = host if not port or "," in str(host) else f"{host}:{port}"
            self.title = f"postgresql://{authority}/{parts.get('dbname') or ''}"
        else:
            self.title = f"pgembed:{self._directory}"

    def location(self) -> str:
        if self._directory is not None:
            return f"pgembed:{self._directory}"
        return redact(self._url)

    # Opening and closing

    async def open(self) -> None:
        if self._directory is not None:
            if not self._create and not (self._directory / "data").is_dir():
                raise StoreMissing(f"There is no store at {self.title}.")
            self._lease = await embedded_postgres.acquire(self._directory)
            self._url = self._lease.url
        try:
            await self._preflight()
            await self._open_pool()
        except BaseException:
            await self._release()
            raise

    async def _connect(self, **extra: str) -> AsyncConnection[dict[str, Any]]:
        """Open a connection outside the pool. Raises the driver's errors."""
        timeout = str(max(2, min(10, int(self._timeout))))
        connection = await _Connection.connect(
            self._conninfo(connect_timeout=timeout, **extra), row_factory=dict_row, autocommit=True
        )
        self._own_connections.add(connection)
        return connection

    async def _preflight(self) -> None:
        """Check the server with a single connection: its error is specific, where a pool would only time out."""
        try:
            connection = await self._connect()
        except (psycopg.Error, OSError) as error:
            raise translate(error, self.title) from None
        try:
            cursor = await connection.execute(compose("postgres", "preflight").encode())
            self.server = await cursor.fetchone() or {}
        except psycopg.Error as error:
            raise translate(error, self.title) from None
        finally:
            await connection.close()
        if self.server["server_version_num"] < 160_000:
            raise Refused(f"{self.title} runs PostgreSQL {self.server['server_version']}; 16 or newer is needed.")
        if not self.server["installed"] and not self.server["available"]:
            raise Refused(
                f"{self.title} has no pgvector; install the extension on the server, then run CREATE EXTENSION vector."
            )
        version = self.server["installed"] or self.server["available"]
        if _version(version) < (0, 8):
            raise Refused(
                f"{self.title} has pgvector {version}; 0.8 or newer is needed. Run ALTER EXTENSION vector UPDATE."
            )
        if self.server["read_only"] and not self.read_only:
            self.read_only, self.reason = True, "the server only accepts reads"

    def _conninfo(self, **extra: str) -> str:
        parts = parse_url(self._url)
        options = " ".join(filter(None, [_SETTINGS, str(parts.get("options") or ""), _VALUE_OPTIONS]))
        if self.read_only:
            options += " -c default_transaction_read_only=on"
        parts.setdefault("application_name", "vestige-tui")
        # A startup parameter overrides options, role and database; the URL's own overrides environment and service.
        return make_conninfo("", **{**parts, **extra, "client_encoding": ENCODING, "options": options})

    def conninfo(self) -> str:
        """Return the conninfo for another connection to the same server; with the password, where there is one."""
        return self._conninfo(connect_timeout="10")

    async def _open_pool(self) -> None:
        self._pool = AsyncConnectionPool(
            self._conninfo(connect_timeout="5"),
            connection_class=_Connection,
            kwargs={"row_factory": dict_row, "autocommit": True},
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

    async def _configure(self, connection: AsyncConnection[dict[str, Any]]) -> None:
        self._own_connections.add(connection)
        set_json_loads(_load_json, connection)
        # Without the schema there is no vector type to register yet; reopen() runs this again.
        with suppress(psycopg.ProgrammingError):
            await register_vector_async(connection)

    async def reopen(self) -> None:
        await self._stop_listening()
        self._polls = False
        if self._pool is not None:
            await self._pool.close()
        await self._preflight()
        await self._open_pool()

    async def close(self) -> None:
        if self._count_task is not None:
            self._count_task.cancel()
            await asyncio.wait({self._count_task})
            self._count_task = None
        if self._ping_task is not None:
            self._ping_task.cancel()
            await asyncio.wait({self._ping_task})
        await self._stop_listening()
        if self._pool is not None:
            # Only a server that does not answer takes longer.
            await self._pool.close(CLOSE_SECONDS)
            self._pool = None
        await self._release()

    async def _release(self) -> None:
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await embedded_postgres.release(lease)

    # SQL

    def typed(self, sql: str) -> str:
        """Return a statement with this store's vector type and width in its placeholders."""
        return sql.replace("{vector}", self._vector_type).replace("{width}", str(self._width))

    def sql(self, name: str, slots: Slots | None = None) -> bytes:
        composed = compose("postgres", name, slots)
        statement = self._statements.get(composed)
        if statement is None:
            statement = self._statements[composed] = self.typed(composed).encode()
        return statement

    def use_model(self, model: ModelSignature | None) -> None:
        self._statements.clear()
        if model is None:
            self._vector_type, self._width = "vector", 0
            return
        if model.dimension > MAX_HALFVEC_DIMENSIONS:
            raise Refused(
                f"{model.name} has {model.dimension} dimensions; pgvector can index {MAX_HALFVEC_DIMENSIONS:,} "
                "at most. Choose a narrower model."
            )
        self._vector_type = "vector" if model.dimension <= MAX_VECTOR_DIMENSIONS else "halfvec"
        self._width = model.dimension

    # Reading

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        return await self.ask(name, self.sql(name, slots), params)

    async def ask(self, name: str, statement: bytes | str, params: Params | None = None) -> list[Row]:
        """Return the rows of a read-only statement, timed as ``name``."""
        encoded = statement.encode() if isinstance(statement, str) else statement
        try:
            return await self._fetch_once(name, encoded, params)
        except psycopg.OperationalError as error:
            if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable | errors.InsufficientResources):
                raise translate(error, self.title) from error
            # A read is idempotent: retry it once, on a connection that outlived the cause.
            try:
                return await self._fetch_once(name, encoded, params)
            except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as retry_error:
                raise translate(retry_error, self.title) from retry_error
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise translate(error, self.title) from error

    async def _fetch_once(self, name: str, statement: bytes, params: Params | None) -> list[Row]:
        # The wait for a connection is not the query's time; the pool counts it.
        async with self._connection() as connection:
            with self.timings.of(name):
                cursor = await connection.execute(statement, _adapt_params(params))
                return list(await cursor.fetchall()) if cursor.description else []

    def _get_pool(self) -> AsyncConnectionPool[AsyncConnection[dict[str, Any]]]:
        if self._pool is None:
            raise Unavailable(f"{self.title} is not open.")
        return self._pool

    # Connections

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[dict[str, Any]]]:
        """Borrow a living connection of the pool. Raises Unavailable, and the errors of driver and pool."""
        async with AsyncExitStack() as stack:
            connection = await self._borrow(stack)
            while _is_closed_by_server(connection):
                # After a restart of the server every idle connection of the pool is dead.
                with suppress(psycopg.Error):
                    await AsyncConnectionPool.check_connection(connection)
                    break
                await stack.aclose()
                connection = await self._borrow(stack)
            yield connection
            self._answered_at = time.monotonic()

    async def _borrow(self, stack: AsyncExitStack) -> AsyncConnection[dict[str, Any]]:
        deadline = time.monotonic() + self._timeout
        while True:
            remaining = deadline - time.monotonic()
            try:
                return await stack.enter_async_context(self._get_pool().connection(min(PATIENCE_SECONDS, remaining)))
            except PoolTimeout:
                # All connections are in use, or there is no server and the pool waits for one.
                await self._ensure_reachable()
                if remaining <= PATIENCE_SECONDS:
                    raise

    async def _ensure_reachable(self) -> None:
        """Ensure that the server answers; restart an embedded one that we alone use. Raises Unavailable."""
        if time.monotonic() - self._answered_at < PATIENCE_SECONDS:
            return
        await asyncio.shield(self._ping())

    def _ping(self) -> asyncio.Task[None]:
        if self._ping_task is None or self._ping_task.done():
            self._ping_task = asyncio.create_task(self._ping_server())
            # Retrieves the error where no caller waits any more.
            self._ping_task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._ping_task

    async def _ping_server(self) -> None:
        try:
            try:
                await (await self._connect()).close()
            except (psycopg.Error, OSError):
                if self._lease is None:
                    raise
                await self._restart(self._lease)
        except errors.TooManyConnections:
            # Too many connections: the server answered.
            pass
        except (psycopg.Error, OSError) as error:
            raise translate(error, self.title) from error
        self._answered_at = time.monotonic()

    async def _restart(self, lease: embedded_postgres.Lease) -> None:
        """Restart the embedded server; its socket may be in another folder."""
        self._lease = await embedded_postgres.acquire(lease.directory)
        await embedded_postgres.release(lease)
        await (await self._connect()).close()
        if self._lease.url != self._url:
            self._url = self._lease.url
            old_pool = self._get_pool()
            await self._open_pool()
            await old_pool.close(CLOSE_SECONDS)

    # Writing

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        async with self.transaction() as transaction:
            yield transaction

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Begin a write as ``write`` does, with the connection exposed for COPY."""
        if self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        committing = False
        try:
            async with self._connection() as connection:
                try:
                    async with connection.transaction():
                        yield PostgresTransaction(connection, self)
                        committing = True
                except psycopg.OperationalError as error:
                    if committing and connection.closed:
                        raise self._unsure() from error
                    raise
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise translate(error, self.title) from error

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        if self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        try:
            async with self._connection() as connection:
                try:
                    with self.timings.of(_trip_name(writes)):
                        async with connection.pipeline(), connection.transaction():
                            cursors = [await self._enqueue(connection, write) for write in writes]
                except psycopg.OperationalError as error:
                    # The whole pipeline was sent at once, with its commit.
                    if connection.closed:
                        raise self._unsure() from error
                    raise
                return [list(await cursor.fetchall()) if cursor and cursor.description else [] for cursor in cursors]
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise translate(error, self.title) from error

    def _unsure(self) -> Unsure:
        return Unsure(
            f"The connection to {self.title} broke while saving, so it is not known whether that was saved. "
            "Look before you do it again."
        )

    async def _enqueue(
        self, connection: AsyncConnection[dict[str, Any]], write: Write
    ) -> AsyncCursor[dict[str, Any]] | None:
        if write.many is None:
            return await connection.execute(self.sql(write.name), _adapt_params(write.params))
        if len(write.many) == 1:
            await connection.execute(self.sql(write.name), _adapt_params(write.many[0]))
        elif write.many:
            await connection.cursor().executemany(
                self.sql(write.name), [_adapt_params(params) for params in write.many]
            )
        return None

    async def maintain(self, name: str, table: str = "") -> None:
        try:
            async with self._connection() as connection:
                statement = self.sql(name).replace(b"{table}", sql.Identifier(table).as_bytes(connection))
                with self.timings.of(name):
                    await connection.execute(statement)
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise translate(error, self.title) from error

    # Search

    async def search(self, query: BackendQuery) -> BackendResult:
        started = time.perf_counter()
        steps: list[SearchStep] = []
        fusion = query.fusion
        params: dict[str, Any] = {
            **query.params,
            "depth": query.depth,
            "counted": fusion.depth,
            "limit": query.limit,
            "only": query.only,
            "text_weight": fusion.text_weight,
            "vector_weight": fusion.vector_weight,
            "floor": fusion.floor,
        }
        vector_block, text_block = "branch_vector_none", "branch_text_none"
        if query.vector is not None:
            params |= {"embedding": query.vector, "few": MAX_EXACT_ROWS}
            vector_block = "branch_vector_exact" if query.exact else self._choose_vector_block(query.filters)
            steps.append(SearchStep("meaning", _VECTOR_STEPS[vector_block]))
        if query.literal is not None:
            text_block = "branch_text_literal"
            params |= {"literal": query.literal, "folded": fold_ascii(query.literal), "scanned": MAX_SCANNED_ROWS}
            steps.append(
                SearchStep("words", f"at most the newest {MAX_SCANNED_ROWS:,} memories read, character by character")
            )
        elif query.pieces:
            text_block = "branch_text_pieces"
            params |= {"pieces": list(query.pieces), "scanned": MAX_SCANNED_ROWS}
            steps.append(SearchStep("words", f"pairs of letters in at most the newest {MAX_SCANNED_ROWS:,} memories"))
        elif query.words:
            ranked_words = await self._weigh(query.words)
            if ranked_words:
                required_words = await self._weigh(query.params["must"]) if "filter_must" in query.filters else []
                candidate_query, description, is_common = _choose_candidates(
                    ranked_words, required_words, self._counted_memories
                )
                if query.exact:
                    candidate_query, description, is_common = (
                        " | ".join(f"({word.query})" for word in ranked_words),
                        "all with any word",
                        False,
                    )
                params |= {
                    "queries": [word.query for word in ranked_words],
                    "weights": [word.weight for word in ranked_words],
                    "rare": candidate_query,
                    "candidates": CANDIDATE_ROWS,
                }
                text_block = "branch_text_common" if is_common else "branch_text"
                steps.append(SearchStep("words", f"{description}, ranked by idf x ts_rank"))
        elif query.newest:
            text_block = "branch_text_newest"
            steps.append(SearchStep("words", "none to look for: the newest memories"))
        slots = {
            "vector_branch": [vector_block],
            "text_branch": [text_block],
            "text_score": ["score_text" if text_block in ("branch_text", "branch_text_common") else "score_none"],
            "vector_score": ["score_none" if query.vector is None else "score_vector"],
            "filters": query.filters,
            "chosen": ["chosen_one" if query.only else "chosen_best"],
        }
        rows, model = await self._search_once(params, slots, query.model)
        used_index = vector_block in ("branch_vector_index", "branch_vector_either")
        if used_index and model == query.model and query.only is None and len(rows) < query.limit:
            # An HNSW scan may end before enough rows passed the filters; an exact pass cannot.
            steps.append(SearchStep("meaning", "too few found that way: everything that passes measured"))
            slots = {**slots, "vector_branch": ["branch_vector_exact"]}
            rows, model = await self._search_once(params, slots, query.model)
        elapsed_ms = (time.perf_counter() - started) * 1000
        steps.append(SearchStep("search", "both, their fusion and the memories, in one statement", elapsed_ms))
        return BackendResult(rows, tuple(steps), model=model)

    async def _search_once(
        self, params: Params, slots: Slots, expected: ModelKey | None
    ) -> tuple[list[Row], ModelKey | None]:
        """Return the rows of a search, and the model of the vectors that it read."""
        try:
            rows = await self.fetch("search_memories", params, slots)
        except (Busy, Unavailable):
            raise
        except VestigeError:
            # Vectors of two widths or types cannot be compared: an error only where both are of one model.
            if expected is None or (current := await self._current_model()) == expected:
                raise
            return [], current
        model = (str(rows[0]["model"]), int(rows[0]["width"])) if rows and rows[0]["model"] else None
        return [row for row in rows if row["place"] is not None], model

    async def _current_model(self) -> ModelKey | None:
        rows = await self.fetch("get_model")
        return (str(rows[0]["name"]), int(rows[0]["dimension"])) if rows else None

    def _choose_vector_block(self, filters: Sequence[str]) -> str:
        # Replaced memories are rare: the index meets few of them, and nothing needs to be counted first.
        return "branch_vector_index" if set(filters) <= {"filter_active"} else "branch_vector_either"

    async def _weigh(self, words: Sequence[str]) -> list[_Word]:
        """Return the words as the text index has them, with their weights; words without a weight are left out."""
        await self._ensure_counted()
        missing = [word for word in words if word not in self._word_cache]
        if missing:
            if len(self._word_cache) > MAX_CACHED_WORDS:
                self._word_cache.clear()
            rows = {str(row["word"]): row for row in await self.fetch("weigh_words", {"words": missing})}
            for word in missing:
                self._word_cache[word] = _word_of(rows[word]) if word in rows else None
        return [entry for word in words if (entry := self._word_cache.get(word)) is not None]

    async def _ensure_counted(self) -> None:
        """Ensure that words are counted; a large store is counted in the background, and again as it grows."""
        now = time.monotonic()
        # A nearly empty store may have been filled since, so it is checked each time.
        if (now < self._count_due_at and self._counted_memories >= SMALL_STORE_MEMORIES) or not (
            self._count_task is None or self._count_task.done()
        ):
            return
        self._count_due_at = now + COUNT_SECONDS
        [state] = await self.fetch("count_terms")
        if state["counted"] != self._counted_memories:
            # Another session has counted since.
            self._counted_memories = int(state["counted"])
            self._word_cache.clear()
        if self.read_only or abs(int(state["n"]) - int(state["counted"])) <= state["n"] * TOLERATED_GROWTH_RATIO:
            return
        self._count_task = asyncio.create_task(self._recount())
        if state["n"] <= MAX_INLINE_COUNT_MEMORIES:
            await asyncio.shield(self._count_task)

    async def _recount(self) -> None:
        # Ranking keeps the old counts where this fails; a later search tries again.
        with suppress(VestigeError):
            async with self.transaction() as transaction:
                [lock] = await transaction.fetch("lock_terms")
                if lock["mine"]:
                    await transaction.execute("clear_terms")
                    await transaction.execute("fill_terms")
                [state] = await transaction.fetch("count_terms")
            self._counted_memories = int(state["counted"])
            self._word_cache.clear()
            # A store that has grown this much needs new planner statistics, too.
            await self.maintain("analyze")

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        rows = await self.fetch("count_matching", {"words": list(words)})
        [total] = await self.fetch("count_memories")
        return [(int(row["n"]), math.log(1 + (total["n"] - row["n"] + 0.5) / (row["n"] + 0.5))) for row in rows]

    async def warm(self) -> None:
        """Count the words where that is due: the only thing that a search may have to wait for."""
        await self._ensure_counted()

    async def wait_for_change(self, seconds: float) -> bool:
        if self._polls:
            return await self._token_poller.wait(seconds)
        try:
            if self._listener is not None:
                with suppress(psycopg.OperationalError):
                    return await self._listener.wait(seconds)
            # Changes may have been missed while there was no listener.
            await self._listen()
            return True
        except (psycopg.Error, OSError) as error:
            raise translate(error, self.title) from error

    async def _listen(self) -> None:
        """Start or restart the listener: one broken connection need not be an outage."""
        await self._stop_listening()
        try:
            connection = await self._connect(**_KEEPALIVE)
            try:
                self._listener = await _Listener.start(connection)
            finally:
                if self._listener is None:
                    await connection.close()
            self._polls = self._listener is None
        except (errors.TooManyConnections, errors.InsufficientPrivilege, errors.FeatureNotSupported):
            # The pool's connections can poll instead.
            self._polls = True
        except psycopg.OperationalError:
            # An embedded server is restarted while the outage is reported.
            self._ping()
            raise

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.connection.close()

    async def change_token(self) -> object:
        [row] = await self.fetch("read_change_token")
        return row["token"]

    def match(self, words: Sequence[str], *, every: bool) -> object:
        return list(words)

    # Ids

    def is_id(self, text: str) -> bool:
        try:
            uuid.UUID(text)
        except ValueError:
            return False
        return True

    def prefix_range(self, prefix: str) -> tuple[str, str] | None:
        digits = prefix.replace("-", "").lower()
        if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
            return None
        low, high = digits.ljust(_UUID_HEX_CHARS, "0"), digits.ljust(_UUID_HEX_CHARS, "f")
        return str(uuid.UUID(low)), str(uuid.UUID(high))

    def pool_state(self) -> str:
        if self._pool is None:
            return "closed"
        stats = self._pool.get_stats()
        size, free = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return f"{size - free} of {size} connections in use, at most {self._max_connections}"

    async def describe(self, *, thorough: bool) -> BackendReport:
        [row] = await self.fetch("describe_server")
        params = {"mine": list(self.status().sessions), "limit": SESSION_LIMIT}
        sessions = tuple(map(rows.session, await self.fetch("list_sessions", params)))
        return BackendReport(rows.postgres_server(row), sessions, measurable=True)

    async def vacuum_steps(self) -> Sequence[VacuumStep]:
        names = [str(row["name"]) for row in await self.fetch("list_vacuumable")]
        if not names:
            raise Refused(f"The role may not vacuum any table of {self.title}; ask the owner of the tables.")
        return [VacuumStep(f"{name} ({n} of {len(names)})", "vacuum", name) for n, name in enumerate(names, 1)]

    def status(self) -> BackendStatus:
        stats = self._pool.get_stats() if self._pool is not None else {}
        connections = Connections(
            opened=stats.get("pool_size", 0),
            idle=stats.get("pool_available", 0),
            most=self._max_connections,
            waiting=stats.get("requests_waiting", 0),
            waited=stats.get("requests_queued", 0),
            waited_ms=float(stats.get("requests_wait_ms", 0)),
            writer=not self.read_only,
        )
        own_sessions = tuple(
            connection.info.backend_pid for connection in list(self._own_connections) if not connection.closed
        )
        return BackendStatus(connections, sessions=own_sessions)


def _trip_name(writes: Sequence[Write]) -> str:
    """Return a name for the timing of a pipeline: only the sum of its writes is known."""
    first = writes[0].name if writes else "nothing"
    return first if len(writes) < 2 else f"{first} and {len(writes) - 1} more"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


__all__ = ["PostgresBackend", "PostgresTransaction", "parse_url", "translate"]
