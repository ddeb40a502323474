"""The PostgreSQL backend: a pool of connections to a server with pgvector, or to one that we start ourselves."""

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
from vestige_tui.store.backends.change_polling import Tokens
from vestige_tui.store.backends.protocol import (
    BackendQuery,
    BackendResult,
    BackendStatus,
    Json,
    Params,
    Row,
    Transaction,
    Write,
)
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.schema.named_sql import Dialect, Slots, compose
from vestige_tui.store.search.query_syntax import fold_ascii

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import ModelKey

FEW = 4_000
SCANNED = 200_000
CANDIDATES = 2_000
ENOUGH = 300
COUNT_SECONDS = 20.0
COUNTED_AT_ONCE = 20_000
REMEMBERED = 10_000
FEW_COUNTED = 500
TOLERATED = 0.1
MAX_VECTOR = 2_000
MAX_HALFVEC = 4_000
_UUID_HEX = 32
PATIENCE_SECONDS = 1.0
"""How long a connection of the pool is waited for before the server is asked whether it is there."""
RETRY_SECONDS = 0.5
ASK_SECONDS = 1.0
CLOSE_SECONDS = 0.5
CANCEL_SECONDS = 1.0
"""How long a server may take to accept that a question is cancelled, before the line to it is cut."""
# A line that is cut without a word is noticed after eleven seconds; nothing is sent over one that is only listened to.
_KEEPALIVE = {"keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3"}

# A search reads its plan from its own parameters: a generic plan takes a LIMIT for a tenth of the table.
_SETTINGS = (
    "-c plan_cache_mode=force_custom_plan -c jit=off"
    " -c hnsw.ef_search=200 -c hnsw.iterative_scan=relaxed_order -c lock_timeout=15s"
)

ENCODING = "UTF8"
# What stored and read values depend on. Environment (PGCLIENTENCODING, PGDATESTYLE, PGTZ), service file, URL, role and
# database may each say otherwise. The server reports all of these to every session.
_REPORTED = {
    "client_encoding": ENCODING,
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
}
_VALUES = {**_REPORTED, "extra_float_digits": "1"}
# They travel behind the options of the URL, because of two the later one counts.
_VALUE_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _VALUES.items())

# Driver and pool log what they also raise; a console has one quiet place for that, and it is not stderr.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
logging.getLogger("psycopg").propagate = False


_MEANING = {
    "branch_vector_index": "HNSW index, walked until enough are found",
    "branch_vector_either": f"all that pass measured where they are {FEW:,} or fewer, else the HNSW index",
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


def _adapted(params: Params | None) -> dict[str, object]:
    return {key: adapt(value) for key, value in (params or {}).items()}


def _loaded(data: str | bytes) -> Any:
    # Most metadata and scores are empty, and a page has a hundred of each.
    return {} if data == b"{}" else json.loads(data)


def parse_url(url: str) -> dict[str, Any]:
    """The parts of a libpq URL or conninfo; an error about an unreadable one repeats none of it."""
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.Error:
        raise Usage("The PostgreSQL URL cannot be read; expected postgresql://USER@HOST:PORT/DATABASE.") from None


class Unsuitable(psycopg.InterfaceError):
    """A session that would spoil texts; its message is the rest of a sentence that begins with the store's name."""


def translate(error: Exception, title: str) -> VestigeError:
    """One of our sentences for whatever the driver or the pool raised."""
    if isinstance(error, Unsuitable):
        return Refused(f"{title} {error}")
    if isinstance(error, PoolTimeout | TooManyRequests):
        return Busy(f"All connections to {title} are in use; try again.")
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected | errors.SerializationFailure):
        return Busy(f"{title} is busy: another session holds what this needs. Nothing was changed; try again.")
    if isinstance(error, errors.QueryCanceled):
        # Whoever asks for that here waits for no answer: this is the server's own doing, or somebody else's there.
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
        return Unavailable(f"{title} cannot be reached: {_first_line(error).removeprefix('connection is bad: ')}.")
    return VestigeError(f"PostgreSQL failed: {_first_line(error)}.")


def _hung_up(connection: AsyncConnection[Any]) -> bool:
    """Is there something to read, where nothing was asked? It is the end of a dead connection, or a message."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redact(lines[0] if lines else type(error).__name__).rstrip(".")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a search: as a query of the text index, in how many memories it is, and its idf."""

    query: str
    documents: int
    weight: float


def _weighed(row: Row) -> _Word:
    documents, whole = int(row["documents"]), int(row["whole"])
    weight = math.log(1 + (max(whole, documents) - documents + 0.5) / (documents + 0.5))
    return _Word(str(row["query"]), documents, weight)


def _candidates(words: Sequence[_Word], needed: Sequence[_Word], whole: int) -> tuple[str, str, bool]:
    """A query for the memories worth ranking, what it is in words, and whether it may match very many.

    Memories with one of the rarest words, as long as these are in no more than some thousands together. Where no word
    is rare: those that hold several at once, as many of the words as still leave enough to choose from. Words that are
    ``needed`` in each of them may leave few enough by themselves.
    """
    if needed and whole * math.prod(word.documents / max(whole, 1) for word in needed) <= 2 * CANDIDATES:
        return " & ".join(f"({word.query})" for word in needed), "memories with all the words that must occur", False
    ordered = sorted(words, key=lambda each: each.documents)
    if ordered[0].documents <= 2 * CANDIDATES:
        taken, held = 1, ordered[0].documents
        while taken < len(ordered):
            more = held + ordered[taken].documents
            if more > CANDIDATES and (held > CANDIDATES // 2 or more > 2 * CANDIDATES):
                break
            taken, held = taken + 1, more
        which = "any of the words" if taken == len(ordered) else f"one of the {taken} rarest of {len(ordered)} words"
        return " | ".join(f"({word.query})" for word in ordered[:taken]), f"memories with {which}", False
    taken, expected = 1, float(ordered[0].documents)
    while taken < len(ordered):
        expected *= ordered[taken].documents / max(whole, 1)
        if expected < ENOUGH:
            break
        taken += 1
    which = "the rarest word" if taken == 1 else f"all of the {taken} rarest words"
    query = " & ".join(f"({word.query})" for word in ordered[:taken])
    return query, f"the newest {CANDIDATES:,} memories with {which}, each of them common", True


class PostgresTransaction:
    """A write in progress on one connection of the pool."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]], backend: PostgresBackend) -> None:
        self.connection = connection
        self._backend = backend

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        try:
            with self._backend.timings.of(name):
                cursor = await self.connection.execute(self._backend.sql(name, slots), _adapted(params))
                return list(await cursor.fetchall()) if cursor.description else []
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        try:
            with self._backend.timings.of(name):
                return (await self.connection.execute(self._backend.sql(name, slots), _adapted(params))).rowcount
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        if not many:
            return 0
        try:
            async with self.connection.cursor() as cursor:
                with self._backend.timings.of(name):
                    await cursor.executemany(self._backend.sql(name), [_adapted(params) for params in many])
                return cursor.rowcount
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error

    async def script(self, sql: str) -> None:
        try:
            await self.connection.execute(self._backend.typed(sql).encode())
        except psycopg.Error as error:
            raise translate(error, self._backend.title) from error


_SETTLE = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _VALUES.items())


def _deviates(info: psycopg.ConnectionInfo) -> bool:
    """Did a session start with other settings, because something between us and the server dropped ours?"""
    # DateStyle is reported with the order of day and month, which only matters to what is not ISO.
    return any((info.parameter_status(name) or "").partition(",")[0] != value for name, value in _REPORTED.items())


def check_encoding(info: psycopg.ConnectionInfo) -> None:
    """See that a session stores and sends every text as it is. Raises Unsuitable."""
    stored = info.parameter_status("server_encoding")
    if stored != ENCODING:
        raise Unsuitable(
            f"has the encoding {stored or 'unknown'}, and a store needs UTF8: "
            "create its database with ENCODING 'UTF8' TEMPLATE template0."
        )
    sent = info.parameter_status("client_encoding")
    if sent != ENCODING:
        raise Unsuitable(
            f"answers in the encoding {sent or 'unknown'} although UTF8 was asked for: "
            "connect to the server itself, or let the pooler in front of it pass client_encoding on."
        )


class _Connection(AsyncConnection[dict[str, Any]]):
    """A session with all settings on which values depend.

    It is given up soon where a question is cancelled that its server does not answer.
    """

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
            # The driver would wait for the rest of the answer next. Now it finds the end of the line instead.
            with socket.socket(fileno=os.dup(self.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
            raise


class BlockingConnection(psycopg.Connection[dict[str, Any]]):
    """The same for a thread without an event loop."""

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
    """A connection of its own on which the server tells of every commit to one store."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]], horizon: str) -> None:
        self.connection = connection
        self._horizon: str | None = horizon
        """What began before this may have looked for listeners when there was none; None once all of it has ended."""

    @classmethod
    async def start(cls, connection: AsyncConnection[dict[str, Any]]) -> _Listener | None:
        """Listen; None where nothing would ever be heard: behind a pooler of transactions, or on a standby."""
        cursor = await connection.execute(compose("postgres", "find_channel").encode())
        row = await cursor.fetchone() or {}
        # Who shares its sessions among clients gives them process numbers of its own.
        if row["process"] != connection.info.backend_pid or row["standby"]:
            return None
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row["channel"])))
        await connection.execute(compose("postgres", "hold_channel").encode(), {"key": row["key"]})
        cursor = await connection.execute(compose("postgres", "find_horizon").encode())
        row = await cursor.fetchone() or {}
        listener = cls(connection, row["horizon"])
        await listener._look_back()
        return listener

    async def hears(self, seconds: float) -> bool:
        """Has anybody committed since the last call, or does somebody now, within that time?"""
        if self._horizon is not None:
            seconds = min(seconds, ASK_SECONDS)
        heard = False
        async for _ in self.connection.notifies(timeout=seconds, stop_after=1):
            heard = True
        return heard or (self._horizon is not None and await self._look_back())

    async def _look_back(self) -> bool:
        """Has everything ended by now that began before the horizon?"""
        cursor = await self.connection.execute(compose("postgres", "find_unheard").encode(), {"horizon": self._horizon})
        row = await cursor.fetchone() or {}
        if row["unheard"]:
            return False
        self._horizon = None
        return True


class PostgresBackend:
    """A store on a PostgreSQL server. ``target`` is a libpq URL, or the directory of an embedded server."""

    dialect: Dialect = "postgres"
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
        self._answered = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._vector_type = "vector"
        self._width = 0
        self._made: dict[str, bytes] = {}
        self._made_by_us: WeakSet[AsyncConnection[dict[str, Any]]] = WeakSet()
        self.timings = Timings()
        self._listener: _Listener | None = None
        self._deaf = False
        self._tokens = Tokens(self.change_token, ASK_SECONDS)
        self._counting: asyncio.Task[None] | None = None
        self._count_again = 0.0
        self._counted = -1
        self._words: dict[str, _Word | None] = {}
        self.server: Mapping[str, Any] = {}
        if self._directory is None:
            parts = parse_url(self._url)
            host = parts.get("host") or "localhost"
            port = parts.get("port")
            where = host if not port or "," in str(host) else f"{host}:{port}"
            self.title = f"postgresql://{where}/{parts.get('dbname') or ''}"
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
        """A connection outside the pool. Raises the driver's errors."""
        timeout = str(max(2, min(10, int(self._timeout))))
        connection = await _Connection.connect(
            self._conninfo(connect_timeout=timeout, **extra), row_factory=dict_row, autocommit=True
        )
        self._made_by_us.add(connection)
        return connection

    async def _preflight(self) -> None:
        """Ask a single connection first: its error says what is wrong, where a pool would only time out."""
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
        found = self.server["installed"] or self.server["available"]
        if _version(found) < (0, 8):
            raise Refused(
                f"{self.title} has pgvector {found}; 0.8 or newer is needed. Run ALTER EXTENSION vector UPDATE."
            )
        if self.server["read_only"] and not self.read_only:
            self.read_only, self.reason = True, "the server only accepts reads"

    def _conninfo(self, **extra: str) -> str:
        parts = parse_url(self._url)
        options = " ".join(filter(None, [_SETTINGS, str(parts.get("options") or ""), _VALUE_OPTIONS]))
        if self.read_only:
            options += " -c default_transaction_read_only=on"
        parts.setdefault("application_name", "vestige-tui")
        # A startup parameter beats what options, role and database say; the URL's own beats environment and service.
        return make_conninfo("", **{**parts, **extra, "client_encoding": ENCODING, "options": options})

    def conninfo(self) -> str:
        """How a connection of one's own reaches the same server; with a password, where there is one."""
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
            # An outage is over when the next question finds it so, not when a pause that doubled each time is.
            reconnect_timeout=RETRY_SECONDS,
            configure=self._configure,
            open=False,
            name="vestige",
        )
        await self._pool.open()

    async def _configure(self, connection: AsyncConnection[dict[str, Any]]) -> None:
        self._made_by_us.add(connection)
        set_json_loads(_loaded, connection)
        # Before the schema is up there is no vector type to register; reopen() comes back here afterwards.
        with suppress(psycopg.ProgrammingError):
            await register_vector_async(connection)

    async def reopen(self) -> None:
        await self._stop_listening()
        self._deaf = False
        if self._pool is not None:
            await self._pool.close()
        await self._preflight()
        await self._open_pool()

    async def close(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait({self._counting})
            self._counting = None
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        await self._stop_listening()
        if self._pool is not None:
            # Longer is waited only for a server that does not answer.
            await self._pool.close(CLOSE_SECONDS)
            self._pool = None
        await self._release()

    async def _release(self) -> None:
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await embedded_postgres.release(lease)

    # SQL

    def typed(self, sql: str) -> str:
        """A statement with the vector type and width of this store in the places kept for them."""
        return sql.replace("{vector}", self._vector_type).replace("{width}", str(self._width))

    def sql(self, name: str, slots: Slots | None = None) -> bytes:
        composed = compose("postgres", name, slots)
        made = self._made.get(composed)
        if made is None:
            made = self._made[composed] = self.typed(composed).encode()
        return made

    def use_model(self, model: ModelSignature | None) -> None:
        self._made.clear()
        if model is None:
            self._vector_type, self._width = "vector", 0
            return
        if model.dimension > MAX_HALFVEC:
            raise Refused(
                f"{model.name} has {model.dimension} dimensions; pgvector can index {MAX_HALFVEC:,} at most. "
                "Choose a narrower model."
            )
        self._vector_type = "vector" if model.dimension <= MAX_VECTOR else "halfvec"
        self._width = model.dimension

    # Reading

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        return await self.ask(name, self.sql(name, slots), params)

    async def ask(self, name: str, statement: bytes | str, params: Params | None = None) -> list[Row]:
        """The rows of a statement that only reads, called ``name`` among the times."""
        sent = statement.encode() if isinstance(statement, str) else statement
        try:
            return await self._fetch_once(name, sent, params)
        except psycopg.OperationalError as error:
            if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable | errors.InsufficientResources):
                raise translate(error, self.title) from error
            # A read may be asked again, on a connection that outlived what ended this one.
            try:
                return await self._fetch_once(name, sent, params)
            except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as again:
                raise translate(again, self.title) from again
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise translate(error, self.title) from error

    async def _fetch_once(self, name: str, statement: bytes, params: Params | None) -> list[Row]:
        # Waiting for a connection is none of the query's time; the pool counts that.
        async with self._connection() as connection:
            with self.timings.of(name):
                cursor = await connection.execute(statement, _adapted(params))
                return list(await cursor.fetchall()) if cursor.description else []

    def _usable(self) -> AsyncConnectionPool[AsyncConnection[dict[str, Any]]]:
        if self._pool is None:
            raise Unavailable(f"{self.title} is not open.")
        return self._pool

    # Connections

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[dict[str, Any]]]:
        """A living connection of the pool. Raises Unavailable, and what driver and pool raise."""
        async with AsyncExitStack() as lent:
            connection = await self._lend(lent)
            while _hung_up(connection):
                # After a restart of the server every connection that rested in the pool is dead.
                with suppress(psycopg.Error):
                    await AsyncConnectionPool.check_connection(connection)
                    break
                await lent.aclose()
                connection = await self._lend(lent)
            yield connection
            self._answered = time.monotonic()

    async def _lend(self, lent: AsyncExitStack) -> AsyncConnection[dict[str, Any]]:
        deadline = time.monotonic() + self._timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return await lent.enter_async_context(self._usable().connection(min(PATIENCE_SECONDS, left)))
            except PoolTimeout:
                # All of them are in use, or there is no server and the pool waits for one.
                await self._reach()
                if left <= PATIENCE_SECONDS:
                    raise

    async def _reach(self) -> None:
        """Make sure that the server answers; one that is ours alone is started again. Raises Unavailable."""
        if time.monotonic() - self._answered < PATIENCE_SECONDS:
            return
        await asyncio.shield(self._ask())

    def _ask(self) -> asyncio.Task[None]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_server())
            # Nobody may be left to hear how it ended.
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        return self._asking

    async def _ask_server(self) -> None:
        try:
            try:
                await (await self._connect()).close()
            except (psycopg.Error, OSError):
                if self._lease is None:
                    raise
                await self._start_again(self._lease)
        except errors.TooManyConnections:
            # It answered.
            pass
        except (psycopg.Error, OSError) as error:
            raise translate(error, self.title) from error
        self._answered = time.monotonic()

    async def _start_again(self, lease: embedded_postgres.Lease) -> None:
        """Start the embedded server anew; its socket may lie elsewhere than before."""
        self._lease = await embedded_postgres.acquire(lease.directory)
        await embedded_postgres.release(lease)
        await (await self._connect()).close()
        if self._lease.url != self._url:
            self._url = self._lease.url
            old = self._usable()
            await self._open_pool()
            await old.close(CLOSE_SECONDS)

    # Writing

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        async with self.transaction() as transaction:
            yield transaction

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """The same as ``write``, with the connection at hand: a copy speaks COPY to it."""
        if self.read_only:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        saving = False
        try:
            async with self._connection() as connection:
                try:
                    async with connection.transaction():
                        yield PostgresTransaction(connection, self)
                        saving = True
                except psycopg.OperationalError as error:
                    if saving and connection.closed:
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
                    with self.timings.of(_trip(writes)):
                        async with connection.pipeline(), connection.transaction():
                            done = [await self._queued(connection, write) for write in writes]
                except psycopg.OperationalError as error:
                    # All of it went out at once, the commit too.
                    if connection.closed:
                        raise self._unsure() from error
                    raise
                return [list(await cursor.fetchall()) if cursor and cursor.description else [] for cursor in done]
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise translate(error, self.title) from error

    def _unsure(self) -> Unsure:
        return Unsure(
            f"The connection to {self.title} broke while saving, so it is not known whether that was saved. "
            "Look before you do it again."
        )

    async def _queued(
        self, connection: AsyncConnection[dict[str, Any]], write: Write
    ) -> AsyncCursor[dict[str, Any]] | None:
        if write.many is None:
            return await connection.execute(self.sql(write.name), _adapted(write.params))
        if len(write.many) == 1:
            await connection.execute(self.sql(write.name), _adapted(write.many[0]))
        elif write.many:
            await connection.cursor().executemany(self.sql(write.name), [_adapted(each) for each in write.many])
        return None

    async def maintain(self, name: str, table: str = "") -> None:
        try:
            async with self._connection() as connection:
                statement = self.sql(name).replace(b"{table}", sql.Identifier(table).as_bytes(connection))
                with self.timings.of(name):
                    await connection.execute(statement)
        except (psycopg.Error, PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise translate(error, self.title) from error

    # Meaning

    async def search(self, asked: BackendQuery) -> BackendResult:
        started = time.perf_counter()
        steps: list[SearchStep] = []
        fusion = asked.fusion
        params: dict[str, Any] = {
            **asked.params,
            "depth": asked.depth,
            "counted": fusion.depth,
            "limit": asked.limit,
            "only": asked.only,
            "text_weight": fusion.text_weight,
            "vector_weight": fusion.vector_weight,
            "floor": fusion.floor,
        }
        vectors, texts = "branch_vector_none", "branch_text_none"
        if asked.vector is not None:
            params |= {"embedding": asked.vector, "few": FEW}
            vectors = "branch_vector_exact" if asked.exact else self._by_meaning(asked.filters)
            steps.append(SearchStep("meaning", _MEANING[vectors]))
        if asked.literal is not None:
            texts = "branch_text_literal"
            params |= {"literal": asked.literal, "folded": fold_ascii(asked.literal), "scanned": SCANNED}
            steps.append(SearchStep("words", f"at most the newest {SCANNED:,} memories read, character by character"))
        elif asked.pieces:
            texts = "branch_text_pieces"
            params |= {"pieces": list(asked.pieces), "scanned": SCANNED}
            steps.append(SearchStep("words", f"pairs of letters in at most the newest {SCANNED:,} memories"))
        elif asked.words:
            weighed = await self._weigh(asked.words)
            if weighed:
                needed = await self._weigh(asked.params["must"]) if "filter_must" in asked.filters else []
                rare, which, common = _candidates(weighed, needed, self._counted)
                if asked.exact:
                    rare, which, common = " | ".join(f"({word.query})" for word in weighed), "all with any word", False
                params |= {
                    "queries": [word.query for word in weighed],
                    "weights": [word.weight for word in weighed],
                    "rare": rare,
                    "candidates": CANDIDATES,
                }
                texts = "branch_text_common" if common else "branch_text"
                steps.append(SearchStep("words", f"{which}, ranked by idf x ts_rank"))
        elif asked.newest:
            texts = "branch_text_newest"
            steps.append(SearchStep("words", "none to look for: the newest memories"))
        slots = {
            "vector_branch": [vectors],
            "text_branch": [texts],
            "text_score": ["score_text" if texts in ("branch_text", "branch_text_common") else "score_none"],
            "vector_score": ["score_none" if asked.vector is None else "score_vector"],
            "filters": asked.filters,
            "chosen": ["chosen_one" if asked.only else "chosen_best"],
        }
        found, model = await self._searched(params, slots, asked.model)
        walked = vectors in ("branch_vector_index", "branch_vector_either")
        if walked and model == asked.model and asked.only is None and len(found) < asked.limit:
            # A walk through the graph may end before enough rows passed the filters; measuring all of them cannot.
            steps.append(SearchStep("meaning", "too few found that way: everything that passes measured"))
            slots = {**slots, "vector_branch": ["branch_vector_exact"]}
            found, model = await self._searched(params, slots, asked.model)
        took = (time.perf_counter() - started) * 1000
        steps.append(SearchStep("search", "both, their fusion and the memories, in one statement", took))
        return BackendResult(found, tuple(steps), model=model)

    async def _searched(
        self, params: Params, slots: Slots, asked: ModelKey | None
    ) -> tuple[list[Row], ModelKey | None]:
        """The rows of a search, and the model that the vectors were of that it saw."""
        try:
            found = await self.fetch("search_memories", params, slots)
        except (Busy, Unavailable):
            raise
        except VestigeError:
            # Vectors of two widths, or of two types, cannot be compared: which is said, where they are of two models.
            if asked is None or (there := await self._model_now()) == asked:
                raise
            return [], there
        model = (str(found[0]["model"]), int(found[0]["width"])) if found and found[0]["model"] else None
        return [row for row in found if row["place"] is not None], model

    async def _model_now(self) -> ModelKey | None:
        found = await self.fetch("get_model")
        return (str(found[0]["name"]), int(found[0]["dimension"])) if found else None

    def _by_meaning(self, filters: Sequence[str]) -> str:
        # What was replaced is rare: the index meets few of them on its way, and nothing needs to be counted first.
        return "branch_vector_index" if set(filters) <= {"filter_active"} else "branch_vector_either"

    async def _weigh(self, words: Sequence[str]) -> list[_Word]:
        """The words as the text index knows them, with their weights; those it has none for are left out."""
        await self._count_words()
        unknown = [word for word in words if word not in self._words]
        if unknown:
            if len(self._words) > REMEMBERED:
                self._words.clear()
            found = {str(row["word"]): row for row in await self.fetch("weigh_words", {"words": unknown})}
            for word in unknown:
                self._words[word] = _weighed(found[word]) if word in found else None
        return [known for word in words if (known := self._words.get(word)) is not None]

    async def _count_words(self) -> None:
        """See to it that the words were counted; a large store is counted in the background, and again as it grows."""
        now = time.monotonic()
        # A store that was all but empty may have been filled since: it is looked at each time.
        if (now < self._count_again and self._counted >= FEW_COUNTED) or not (
            self._counting is None or self._counting.done()
        ):
            return
        self._count_again = now + COUNT_SECONDS
        [state] = await self.fetch("count_terms")
        if state["counted"] != self._counted:
            # Another session has counted since.
            self._counted = int(state["counted"])
            self._words.clear()
        if self.read_only or abs(int(state["n"]) - int(state["counted"])) <= state["n"] * TOLERATED:
            return
        self._counting = asyncio.create_task(self._recount())
        if state["n"] <= COUNTED_AT_ONCE:
            await asyncio.shield(self._counting)

    async def _recount(self) -> None:
        # Ranking goes on with the old figures where this fails; a later search tries again.
        with suppress(VestigeError):
            async with self.transaction() as transaction:
                [lock] = await transaction.fetch("lock_terms")
                if lock["mine"]:
                    await transaction.execute("clear_terms")
                    await transaction.execute("fill_terms")
                [state] = await transaction.fetch("count_terms")
            self._counted = int(state["counted"])
            self._words.clear()
            # A store that has grown by so much is also larger than the planner believes.
            await self.maintain("analyze")

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        found = await self.fetch("count_matching", {"words": list(words)})
        [whole] = await self.fetch("count_memories")
        return [(int(row["n"]), math.log(1 + (whole["n"] - row["n"] + 0.5) / (row["n"] + 0.5))) for row in found]

    async def warm(self) -> None:
        """Count the words where that is due: the only thing that a search here may have to wait for."""
        await self._count_words()

    async def wait_for_change(self, seconds: float) -> bool:
        if self._deaf:
            return await self._tokens.change(seconds)
        try:
            if self._listener is not None:
                with suppress(psycopg.OperationalError):
                    return await self._listener.hears(seconds)
            # What happened while nobody listened is not known.
            await self._listen()
            return True
        except (psycopg.Error, OSError) as error:
            raise translate(error, self.title) from error

    async def _listen(self) -> None:
        """Listen, or listen anew: a server that is there need not be missed for one broken connection."""
        await self._stop_listening()
        try:
            connection = await self._connect(**_KEEPALIVE)
            try:
                self._listener = await _Listener.start(connection)
            finally:
                if self._listener is None:
                    await connection.close()
            self._deaf = self._listener is None
        except (errors.TooManyConnections, errors.InsufficientPrivilege, errors.FeatureNotSupported):
            # The pool has connections to ask with.
            self._deaf = True
        except psycopg.OperationalError:
            # A server of our own is started again while the outage is told of.
            self._ask()
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
        low, high = digits.ljust(_UUID_HEX, "0"), digits.ljust(_UUID_HEX, "f")
        return str(uuid.UUID(low)), str(uuid.UUID(high))

    def pool_state(self) -> str:
        if self._pool is None:
            return "closed"
        stats = self._pool.get_stats()
        size, free = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return f"{size - free} of {size} connections in use, at most {self._max_connections}"

    def inside(self) -> BackendStatus:
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
        ours = tuple(each.info.backend_pid for each in list(self._made_by_us) if not each.closed)
        return BackendStatus(connections, sessions=ours)


def _trip(writes: Sequence[Write]) -> str:
    """What to call writes that go out together: of their times only the sum is known."""
    first = writes[0].name if writes else "nothing"
    return first if len(writes) < 2 else f"{first} and {len(writes) - 1} more"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


__all__ = ["PostgresBackend", "PostgresTransaction", "parse_url", "translate"]
