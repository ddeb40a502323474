"""The SQLite backend: one writer, several read-only readers, and the vector index in memory."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import quote

import aiosqlite

from vestige_tui.core.errors import (
    Busy,
    Cancelled,
    Conflict,
    ForeignStore,
    NotFound,
    ReadOnly,
    Refused,
    StoreMissing,
    Unavailable,
    VestigeError,
)
from vestige_tui.core.health import Connections, VectorsHeld
from vestige_tui.core.search import SearchStep
from vestige_tui.core.text import below_home
from vestige_tui.store.backends.change_polling import TokenPoller
from vestige_tui.store.backends.open_files import open_files
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
from vestige_tui.store.schema.vestige_files import survey
from vestige_tui.store.search.bm25_candidates import ScoredSeq, TextQuery, rank
from vestige_tui.store.search.filter_sets import FilterSet, FilterSets
from vestige_tui.store.search.query_syntax import fold_ascii
from vestige_tui.store.search.vector_index import VectorIndex

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import ModelKey
    from vestige_tui.store.search.bm25_candidates import RunQuery
    from vestige_tui.store.search.vector_index import Take

READER_COUNT = 3
"""Number of read-only connections."""
BUSY_MS = 5_000
"""Longest wait for another process that holds the file."""
TURN_MS = 200
"""Longest wait in one statement, which nothing can interrupt; repeated until BUSY_MS have passed."""
CHUNK_ROWS = 2_048
"""Rows that one step of a stream hands over."""
MAX_SCANNED_ROWS = 200_000
"""Newest memories that a search by characters reads at most."""
WATCH_SECONDS = 0.1
"""Pause between two reads of the change token."""
MAX_GROUP_COMMIT_WRITES = 64
"""Queued writes that one group commit takes at most."""

T = TypeVar("T")
_to_json = json.JSONEncoder(ensure_ascii=False).encode


def adapt(value: object) -> object:
    """Return a value as SQLite stores it: times in UTC with six digits, lists and JSON as text, vectors as blobs."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Json):
        return _to_json(value.value)
    if isinstance(value, (list, tuple)):
        return _to_json(value)
    if hasattr(value, "astype"):
        blob: bytes = value.astype("<f4").tobytes()
        return blob
    return value


def _adapt_params(params: Params | None) -> dict[str, object]:
    return {key: adapt(value) for key, value in (params or {}).items()}


def _dict_row(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _no_op(_: sqlite3.Connection) -> None:
    """Return at once: when this has run, all earlier work of its connection is done."""


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def statements(script: str) -> list[str]:
    """Split a script into single statements; a trigger's body stays in one piece."""
    parts: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            parts.append(pending.strip())
            pending = ""
    if pending.strip() and any(line.strip() and not line.lstrip().startswith("--") for line in pending.splitlines()):
        parts.append(pending.strip())
    return parts


class Connection(aiosqlite.Connection):
    """A connection with its own thread, which runs a whole piece of work there in one trip."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]  # aiosqlite types it not
        return result


def _fetch_rows(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> list[Row]:
    try:
        return _fetch_strict(sql, params, connection)
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode to UTF-8"):
            raise
    # The stored text is not valid UTF-8. Lenient decoding costs a call for each value, so it is the fallback.
    connection.text_factory = _decode
    try:
        return _fetch_strict(sql, params, connection)
    finally:
        connection.text_factory = str


def _fetch_strict(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> list[Row]:
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(sql, params)
    if cursor.description is None:
        return []
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _fetch_chunks(sql: str, params: Mapping[str, object], take: Take, connection: sqlite3.Connection) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        cursor.execute(sql, params)
        while rows := cursor.fetchmany(CHUNK_ROWS):
            take(rows)


def _run_query(timings: Timings, connection: sqlite3.Connection, name: str, params: Params) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    with timings.of(name):
        return cursor.execute(compose("sqlite", name), _adapt_params(params)).fetchall()


def _run_timed(
    timings: Timings, name: str, work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection
) -> T:
    with timings.of(name):
        return work(connection)


def _execute(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> int:
    return connection.execute(sql, params).rowcount


def _execute_many(sql: str, many: Sequence[Mapping[str, object]], connection: sqlite3.Connection) -> int:
    return connection.executemany(sql, many).rowcount


_Steps: TypeAlias = list[Callable[[sqlite3.Connection], object]]


def _steps_of(timings: Timings, writes: Sequence[Write]) -> _Steps:
    return [partial(_run_timed, timings, write.name, _step_of(write)) for write in writes]


def _step_of(write: Write) -> Callable[[sqlite3.Connection], object]:
    sql = compose("sqlite", write.name)
    if write.many is None:
        return partial(_fetch_rows, sql, _adapt_params(write.params))
    return partial(_execute_many, sql, [_adapt_params(params) for params in write.many])


@dataclass(slots=True, eq=False)
class _QueuedWrite:
    """A queued write and its outcome: the rows of each of its parts, or its error."""

    work: _Steps
    outcome: list[list[Row]] | Exception | None = None


def _write_group(group: Sequence[_QueuedWrite], connection: sqlite3.Connection) -> None:
    """Commit several writes in one transaction; if one is refused, each in its own, so that only that one fails."""
    try:
        _write_together(group, connection)
    except Exception as error:
        for write in group:
            write.outcome = error
            if len(group) > 1 and not _is_busy(error):
                _write_group([write], connection)


def _write_together(group: Sequence[_QueuedWrite], connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [[step(connection) for step in write.work] for write in group]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    for write, outcome in zip(group, outcomes, strict=True):
        write.outcome = [rows if isinstance(rows, list) else [] for rows in outcome]


def _is_busy(outcome: object) -> bool:
    if not isinstance(outcome, sqlite3.Error):
        return False
    name = getattr(outcome, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in str(outcome)


def _is_full(error: object) -> bool:
    # A limit on the size of files gives SQLITE_IOERR_WRITE, a full disk either.
    name = getattr(error, "sqlite_errorname", "") if isinstance(error, sqlite3.Error) else ""
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE"))


@dataclass(slots=True)
class _SearchCache:
    """Counts and filter sets that searches share, valid for one change token."""

    token: object
    filter_sets: FilterSets
    counts: dict[str, int]
    total: int | None = None

    def count_with(self, run_query: RunQuery, phrase: str) -> int:
        """Return the number of memories that hold a word or phrase."""
        if phrase not in self.counts:
            [(self.counts[phrase],)] = run_query("count_matching", {"words": phrase})
        return self.counts[phrase]

    def count(self, run_query: RunQuery) -> int:
        """Return the number of memories."""
        if self.total is None:
            [(self.total,)] = run_query("count_memories", {})
        return self.total


@dataclass(frozen=True, slots=True)
class _Branch:
    """Hits of one branch of a search: memories by seq with their scores."""

    hits: list[ScoredSeq]
    step: SearchStep
    warnings: tuple[str, ...] = ()
    model: ModelKey | None = None
    """Model of the vectors, in a vector branch."""

    def certain_seqs(self, depth: int) -> set[int]:
        """Return the seqs that are certainly in the branch: none where more tie for its last ranks than it has."""
        return {seq for seq, _ in self.hits} if len(self.hits) <= depth else set()


def _too_large_warning(index: VectorIndex) -> str:
    return (
        f"The {index.too_large:,} vectors need more than the {index.limit / 1e9:.1f} GB of memory that a SQLite store "
        "may take for them; answered by words alone. Copy the store to PostgreSQL with `vestige-tui migrate copy`."
    )


class SqliteTransaction:
    """A write in progress on the only writing connection."""

    def __init__(
        self, connection: Connection, translate: Callable[[sqlite3.Error], VestigeError], timings: Timings
    ) -> None:
        self._connection = connection
        self._translate = translate
        self._timings = timings

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on the writing connection in one trip, timed under this name."""
        try:
            return await self._connection.run(partial(_run_timed, self._timings, name, work))
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        return await self.run(name, partial(_fetch_rows, compose("sqlite", name, slots), _adapt_params(params)))

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        return await self.run(name, partial(_execute, compose("sqlite", name, slots), _adapt_params(params)))

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        if not many:
            return 0
        adapted = [_adapt_params(params) for params in many]
        return await self.run(name, partial(_execute_many, compose("sqlite", name), adapted))

    async def script(self, sql: str) -> None:
        # executescript() would commit the transaction first; a migration and its record share one.
        try:
            for statement in statements(sql):
                await self._connection.execute(statement)
        except sqlite3.Error as error:
            raise self._translate(error) from error


MAX_MEASURED_FILE_BYTES = 256_000_000
"""Size of a SQLite file up to which its table sizes are measured by default; measuring reads every page."""
_VACUUM_STEPS = (
    VacuumStep("the text index", "optimize_text"),
    VacuumStep("the file", "vacuum"),
    VacuumStep("the figures for the planner", "optimize"),
    VacuumStep("the write-ahead log", "checkpoint"),
)


class SqliteBackend:
    """A store in one SQLite file, our own or a Vestige file (then read-only)."""

    dialect: Dialect = "sqlite"
    capabilities = Capabilities(
        product="SQLite",
        is_server=False,
        typed_vectors=False,
        computes_vectors=False,
        binary_copy=False,
        no_answer_remedy="See that the file is there, and that nothing else holds it locked.",
    )
    lowest_id = ""

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.path = path.expanduser().absolute()
        self.create = create
        self.read_only = read_only
        self.reason = "opened with --read-only" if read_only else ""
        self.foreign = False
        self.line = ""
        self.notes: tuple[str, ...] = ()
        self.timings = Timings()
        self._script = ""
        self._writer: Connection | None = None
        self._write_lock = asyncio.Lock()
        self._queue: list[_QueuedWrite] = []
        self._watch: Connection | None = None
        self._watch_lock = asyncio.Lock()
        self._token_poller = TokenPoller(self.change_token, WATCH_SECONDS)
        # Last in, first out: the reader used last has its pages cached.
        self._readers: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._connections: list[Connection] = []
        self._index: VectorIndex | None = None
        self._cache: _SearchCache | None = None
        self._stop_tasks: set[asyncio.Task[None]] = set()

    @property
    def title(self) -> str:
        return below_home(str(self.path))

    def location(self) -> str:
        return f"sqlite:{self.path}"

    # Opening and closing

    async def open(self) -> None:
        created = await asyncio.to_thread(self._prepare)
        if not self.read_only:
            self._writer = await self._connect("rw")
            if created:
                await self._enable_wal(self._writer)
            await self._writer.execute("PRAGMA synchronous = NORMAL")
            # This wait cannot be interrupted, so a cancelled caller waits for one short turn at most.
            await self._writer.execute(f"PRAGMA busy_timeout = {min(BUSY_MS, TURN_MS)}")
        mode = "ro"
        if self.read_only and self._immutable():
            mode = "ro&immutable=1"
        self._watch = await self._connect(mode)
        for _ in range(READER_COUNT):
            self._readers.put_nowait(await self._connect(mode))

    async def _enable_wal(self, writer: Connection) -> None:
        """Turn on the write-ahead log; retried, as no busy timeout applies while other processes open the file."""
        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                await writer.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise self._translate(error) from error
            await asyncio.sleep(0.02)

    def _prepare(self) -> bool:
        """Check the file before any connection opens it for writing; return whether it was created just now."""
        created = False
        if not self.path.exists():
            if not self.create or self.read_only:
                raise StoreMissing(f"There is no store at {self.title}.")
            try:
                if not self.path.parent.exists():
                    self.path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                created = True
            except OSError as error:
                # Another process may have created it just now; a dangling link does not exist.
                if not (isinstance(error, FileExistsError) and self.path.exists()):
                    raise Unavailable(f"{self.title} cannot be made: {error.strerror}.") from error
        if self.path.is_dir():
            raise ForeignStore(f"{self.title} is a directory, not a store.")
        if not os.access(self.path, os.R_OK):
            raise Unavailable(f"{self.title} cannot be read: permission denied.")
        if not self.read_only and not os.access(self.path, os.W_OK):
            self.read_only, self.reason = True, "the file cannot be written"
        elif not self.read_only and not os.access(self.path.parent, os.W_OK):
            self.read_only, self.reason = True, "its directory cannot be written"
        mode = "mode=ro&immutable=1" if self._immutable() else "mode=ro"
        try:
            with closing(
                sqlite3.connect(f"file:{quote(bytes(self.path))}?{mode}", uri=True, timeout=BUSY_MS / 1000)
            ) as connection:
                file = survey(connection)
        except sqlite3.Error as error:
            raise self._translate(error) from error
        if file.kind == "foreign":
            raise ForeignStore(f"{self.title} is a SQLite file, but not a memory store; it was not touched.")
        if file.kind == "empty" and self.path.stat().st_size == 0:
            created = True
        if file.kind == "vestige":
            self.foreign, self.read_only = True, True
            self.reason = f"{file.line} file, not adopted"
        self.line, self.notes, self._script = file.line, file.notes, file.script
        return created

    def _immutable(self) -> bool:
        # Only where SQLite cannot create its -shm, and no -wal holds pages that this mode would not read.
        return not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists()

    async def _connect(self, mode: str) -> Connection:
        address = f"file:{quote(bytes(self.path))}?mode={mode}"
        connector = partial(sqlite3.connect, address, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
        try:
            connection = Connection(connector, iter_chunk_size=64)
            await connection
            self._connections.append(connection)
            connection.row_factory = _dict_row  # type: ignore[assignment]  # dicts serve both backends
            await connection.execute("PRAGMA foreign_keys = ON")
            await connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            [keys] = await connection.execute_fetchall("PRAGMA foreign_keys")
            if not keys["foreign_keys"]:
                raise Unavailable("This SQLite library enforces no foreign keys; it cannot hold a store safely.")
            for statement in statements(self._script):
                await connection.execute(statement)
        except sqlite3.Error as error:
            raise self._translate(error) from error
        return connection

    async def close(self) -> None:
        # The writer last: only a connection that may write checkpoints the write-ahead log when it closes.
        connections = sorted(self._connections, key=lambda each: each is self._writer)
        try:
            if self._index is not None:
                await self._index.close()
                self._index = self._index_of(*self._index.own)
            for connection in connections:
                with suppress(sqlite3.Error, ValueError):
                    await connection.close()
        except BaseException:
            # A thread that is not stopped would keep the whole process from ending.
            for connection in connections:
                connection.stop()
            raise
        finally:
            self._connections.clear()
            self._readers = asyncio.LifoQueue()
            self._writer = self._watch = None

    async def reopen(self) -> None:
        """Keep the connections: SQLite has no types to register."""

    # Reading

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        sql = compose("sqlite", name, slots)
        return await self._read(
            partial(_run_timed, self.timings, name, partial(_fetch_rows, sql, _adapt_params(params)))
        )

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a read-only connection, timed under this name."""
        return await self._read(partial(_run_timed, self.timings, name, work))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a free reader; cancelling it interrupts its query."""
        reader = await self._readers.get()
        try:
            result = await reader.run(work)
        except asyncio.CancelledError:
            # A separate task returns the reader to the pool once the query has really ended.
            stop_task = asyncio.ensure_future(self._stop(reader))
            self._stop_tasks.add(stop_task)
            stop_task.add_done_callback(self._stop_tasks.discard)
            raise
        except BaseException as error:
            self._readers.put_nowait(reader)
            if isinstance(error, sqlite3.Error):
                raise self._translate(error) from error
            raise
        self._readers.put_nowait(reader)
        return result

    async def _stop(self, reader: Connection) -> None:
        # A reader runs its work in order: once this no-op is done, the query is over.
        marker = asyncio.ensure_future(reader.run(_no_op))
        # An interrupt before the query has begun is lost, so it is repeated.
        with suppress(ValueError):
            while not marker.done():
                await reader.interrupt()
                await asyncio.wait({marker}, timeout=0.01)
            marker.result()
        self._readers.put_nowait(reader)

    async def _stream_rows(self, name: str, params: Params, take: Take) -> None:
        work = partial(_fetch_chunks, compose("sqlite", name), _adapt_params(params), take)
        await self._read(partial(_run_timed, self.timings, name, work))

    # Writing

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        writer = self._writer
        if writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        async with self._write_lock:
            try:
                await self._alternate(lambda: writer.execute("BEGIN IMMEDIATE"))
                yield SqliteTransaction(writer, self._translate, self.timings)
                await self._finish(writer.commit())
            except BaseException as error:
                # Also where the caller was cancelled just as the transaction began.
                if writer.in_transaction:
                    await self._finish(writer.rollback())
                if _is_full(error) or _is_full(error.__cause__):
                    await self._finish(self._checkpoint(writer))
                raise

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        writer = self._writer
        if writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        queued = _QueuedWrite(_steps_of(self.timings, writes))
        self._queue.append(queued)
        try:
            async with self._write_lock:
                # Group commit: the first writer to take the lock commits every queued write, at the cost of one.
                if queued in self._queue:
                    group, self._queue = self._queue[:MAX_GROUP_COMMIT_WRITES], self._queue[MAX_GROUP_COMMIT_WRITES:]
                    with suppress(Busy):
                        await self._alternate(lambda: self._commit_group(writer, group))
        finally:
            if queued in self._queue:
                self._queue.remove(queued)
        outcome = queued.outcome
        if isinstance(outcome, sqlite3.Error):
            raise self._translate(outcome) from outcome
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome

    async def _commit_group(self, writer: Connection, group: Sequence[_QueuedWrite]) -> None:
        # A repeated turn retries only the writes that found the file locked.
        unfinished = [write for write in group if write.outcome is None or _is_busy(write.outcome)]
        for write in unfinished:
            write.outcome = None
        try:
            await writer.run(partial(_write_group, unfinished))
        except Exception as error:
            for write in unfinished:
                write.outcome = write.outcome or error
        if any(_is_full(write.outcome) for write in unfinished):
            await self._checkpoint(writer)
        for write in unfinished:
            if isinstance(write.outcome, sqlite3.OperationalError) and _is_busy(write.outcome):
                raise write.outcome

    async def _checkpoint(self, writer: Connection) -> None:
        """Let a write-ahead log that cannot grow start over, so that a smaller write, such as an error's, has room."""
        with suppress(sqlite3.Error):
            await writer.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")

    async def _alternate(self, work: Callable[[], Awaitable[object]]) -> None:
        """Repeat work that needs the file's lock in short turns until it succeeds. Raises Busy after BUSY_MS."""
        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                await self._finish(work())
                return
            except Busy:
                if time.monotonic() >= deadline:
                    raise

    async def _finish(self, work: Awaitable[T]) -> T:
        """Let a begin, commit or rollback run to its end even when the caller is cancelled."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def maintain(self, name: str, table: str = "") -> None:
        writer = self._writer
        if writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        async with self._write_lock:
            task = asyncio.ensure_future(self._alternate(lambda: writer.execute(compose("sqlite", name))))
            try:
                with self.timings.of(name):
                    await asyncio.shield(task)
            except asyncio.CancelledError:
                # An interrupt before the statement has begun is lost, so it is repeated.
                while not task.done():
                    await writer.interrupt()
                    await asyncio.wait({task}, timeout=0.01)
                with suppress(VestigeError):
                    task.result()
                raise

    # Search

    def use_model(self, model: ModelSignature | None) -> None:
        index = self._index
        if index is not None and (model is None or index.own != (model.name, model.dimension)):
            index.stop()
            self._index = None
        if model is not None and self._index is None:
            self._index = self._index_of(model.name, model.dimension)

    def _index_of(self, name: str, dimension: int) -> VectorIndex:
        return VectorIndex(dimension, self._stream_rows, name=name, rewritten=self.foreign)

    async def warm(self) -> None:
        """Load the vectors, so that the first vector search need not wait for them."""
        if self._index is not None:
            await self._index.sync(await self.change_token())

    async def search(self, query: BackendQuery) -> BackendResult:
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
        steps: list[SearchStep] = []
        warnings: list[str] = []
        vector_block, text_block, filters = "branch_vector_none", "branch_text_none", query.filters
        if query.literal is not None:
            text_block = "branch_text_literal"
            params |= {"literal": query.literal, "folded": fold_ascii(query.literal), "scanned": MAX_SCANNED_ROWS}
            steps.append(
                SearchStep("words", f"the newest {MAX_SCANNED_ROWS:,} memories looked through, character by character")
            )
        elif query.newest:
            text_block = "branch_text_newest"
            steps.append(SearchStep("words", "none to look for: the newest memories"))
        else:
            # Both branches apply their filters themselves.
            filters, index = (), self._index
            cache = await self._current_cache()
            (vector_branch, text_scores), text_branch = await asyncio.gather(
                self._vector_branch_and_text_scores(query, index, cache), self._text_branch(query, cache)
            )
            if vector_branch is not None and vector_branch.model != query.model:
                return BackendResult([], (), model=vector_branch.model)
            if vector_branch is not None:
                vector_block, params["vector_hits"], params["vector_also"] = (
                    "branch_vector_given",
                    vector_branch.hits,
                    [],
                )
                steps.append(vector_branch.step)
                warnings += vector_branch.warnings
            if query.pieces:
                text_block, filters = "branch_text_pieces", query.filters
                params |= {"pieces": query.pieces, "scanned": MAX_SCANNED_ROWS}
                steps.append(
                    SearchStep("words", f"pairs of letters in at most the newest {MAX_SCANNED_ROWS:,} memories")
                )
            elif text_branch is not None:
                text_block, params["text_hits"], params["text_also"] = "branch_text", text_branch.hits, []
                steps.append(text_branch.step)
            if vector_branch is not None and text_branch is not None and index is not None and query.vector is not None:
                certain_vector, certain_text = (
                    vector_branch.certain_seqs(query.depth),
                    text_branch.certain_seqs(query.depth),
                )
                params["text_also"] = [hit for hit in text_scores if hit[0] not in certain_text]
                others = [seq for seq, _ in text_branch.hits if seq not in certain_vector]
                params["vector_also"] = await index.cosines(query.vector, others)
                if index.model != query.model:
                    return BackendResult([], (), model=index.model)
        slots = {
            "vector_branch": [vector_block],
            "text_branch": [text_block],
            "filters": filters,
            "chosen": ["chosen_one" if query.only else "chosen_best"],
        }
        rows = await self.fetch("search_memories", params, slots)
        return BackendResult(rows, tuple(steps), tuple(warnings), query.model)

    async def _current_cache(self) -> _SearchCache:
        """Return the cache for the store's current change token; an empty one where the store has changed."""
        token = await self.change_token()
        if self._cache is None or self._cache.token != token:
            self._cache = _SearchCache(token, FilterSets(self.fetch), {})
        return self._cache

    async def _vector_branch(
        self, query: BackendQuery, index: VectorIndex | None, cache: _SearchCache
    ) -> _Branch | None:
        if query.vector is None or index is None:
            return None
        if index.own == query.model:
            await index.sync(cache.token)
        if self._index is not None and self._index is not index:
            # The index was replaced meanwhile; this one may have been stopped half full.
            index = self._index
        allowed = await cache.filter_sets.of(query.filters, query.params)
        if index.model != query.model:
            return _Branch([], SearchStep("meaning", "of another model"), model=index.model)
        if index.too_large:
            step = SearchStep("meaning", "left out: too many vectors to hold in memory")
            return _Branch([], step, (_too_large_warning(index),), index.model)
        started = time.perf_counter()
        hits, how = await index.nearest(query.vector, query.depth, allowed, exact=query.exact)
        return _Branch(hits, SearchStep("meaning", how, (time.perf_counter() - started) * 1000), model=query.model)

    async def _vector_branch_and_text_scores(
        self, query: BackendQuery, index: VectorIndex | None, cache: _SearchCache
    ) -> tuple[_Branch | None, list[ScoredSeq]]:
        """Return the vector branch, and the BM25 scores of the memories in it."""
        branch = await self._vector_branch(query, index, cache)
        if branch is None or not branch.hits or not query.words:
            return branch, []
        seqs = [seq for seq, _ in branch.hits]
        params = {"words": self.match(query.words, every=False), "among": seqs}
        rows = await self._read(lambda connection: _run_query(self.timings, connection, "rank_matching_among", params))
        return branch, [(int(seq), float(score)) for seq, score in rows]

    async def _text_branch(self, query: BackendQuery, cache: _SearchCache) -> _Branch | None:
        if not query.words:
            return None
        filters, every = query.filters, False
        if query.params.get("must") == self.match(query.words, every=True):
            # All words must occur: the ranking query finds exactly the memories that pass this filter.
            filters, every = tuple(name for name in filters if name != "filter_must"), True
        allowed = await cache.filter_sets.of(filters, query.params)
        started = time.perf_counter()
        hits, how = await self._read(partial(self._rank_text, query, every, allowed, cache))
        return _Branch(hits, SearchStep("words", how, (time.perf_counter() - started) * 1000))

    def _rank_text(
        self, query: BackendQuery, every: bool, allowed: FilterSet, cache: _SearchCache, connection: sqlite3.Connection
    ) -> tuple[list[ScoredSeq], str]:
        run_query = partial(_run_query, self.timings, connection)
        phrases = [str(self.match([word], every=True)) for word in query.words]
        counts = tuple((phrase, cache.count_with(run_query, phrase)) for phrase in phrases)
        return rank(run_query, TextQuery(counts, every, query.depth, query.exact), allowed, cache.count(run_query))

    async def wait_for_change(self, seconds: float) -> bool:
        return await self._token_poller.wait(seconds)

    async def change_token(self) -> object:
        if self._watch is None:
            return None
        async with self._watch_lock:
            try:
                [row] = await self._watch.execute_fetchall(compose("sqlite", "read_change_token"))
            except sqlite3.Error as error:
                raise self._translate(error) from error
        return row["data_version"]

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        cache = await self._current_cache()
        return await self._read(partial(self._count_words, words, cache))

    def _count_words(
        self, words: Sequence[str], cache: _SearchCache, connection: sqlite3.Connection
    ) -> list[tuple[int, float]]:
        run_query = partial(_run_query, self.timings, connection)
        counts = [cache.count_with(run_query, str(self.match([word], every=True))) for word in words]
        return [
            (count, max(1e-6, math.log((cache.count(run_query) - count + 0.5) / (count + 0.5)))) for count in counts
        ]

    def match(self, words: Sequence[str], *, every: bool) -> object:
        # Each word is quoted, so that it cannot be an operator; one without letters matches nothing.
        return (" AND " if every else " OR ").join('"' + word.replace('"', " ") + '"' for word in words)

    # Ids

    def is_id(self, text: str) -> bool:
        return bool(text)

    def prefix_range(self, prefix: str) -> tuple[str, str] | None:
        # The highest code point sorts after every id with this prefix.
        return prefix, prefix + "\U0010ffff"

    def pool_state(self) -> str:
        free = self._readers.qsize()
        return f"{READER_COUNT - free} of {READER_COUNT} readers in use, " + (
            "read-only" if self._writer is None else "one writer"
        )

    def status(self) -> BackendStatus:
        index = self._index
        vectors = None
        if index is not None:
            vectors = VectorsHeld(len(index), index.dimension, index.bytes, index.limit, index.too_large)
        connections = Connections(READER_COUNT, self._readers.qsize(), READER_COUNT, writer=self._writer is not None)
        mode, wal_bytes = "", 0
        with suppress(OSError):
            mode = stat.filemode(os.stat(self.path).st_mode)
            wal_bytes = os.stat(f"{self.path}-wal").st_size
        return BackendStatus(connections, (), vectors, str(self.path), mode, wal_bytes, self.line, self.notes)

    async def describe(self, *, thorough: bool) -> BackendReport:
        [row] = await self.fetch("describe_server")
        file = rows.sqlite_file(row, self.status())
        small = file.page_size * file.pages <= MAX_MEASURED_FILE_BYTES
        sessions = await asyncio.to_thread(open_files, str(self.path))
        return BackendReport(file, sessions, bool(row["measured"]) and (thorough or small))

    async def vacuum_steps(self) -> Sequence[VacuumStep]:
        return _VACUUM_STEPS

    # Errors

    def _translate(self, error: sqlite3.Error) -> VestigeError:
        text = str(error)
        name = getattr(error, "sqlite_errorname", "") or ""
        if _is_busy(error):
            return Busy(f"{self.title} is locked by another process; nothing was changed. Try again.")
        if name.startswith("SQLITE_INTERRUPT") or text == "interrupted":
            return Cancelled("The query was cancelled.")
        if name.startswith("SQLITE_READONLY"):
            return ReadOnly(f"{self.title} cannot be written.")
        if name.startswith("SQLITE_NOTADB"):
            return ForeignStore(f"{self.title} is encrypted or not a SQLite file; it was not touched.")
        if name.startswith("SQLITE_CORRUPT") or "malformed" in text:
            return Unavailable(f"{self.title} is damaged ({text}); open a backup, or recover it with the sqlite3 tool.")
        if name.startswith("SQLITE_FULL"):
            return Unavailable(f"The disk of {self.title} is full; nothing was changed.")
        if name.startswith("SQLITE_CANTOPEN"):
            return Unavailable(f"{self.title} cannot be opened.")
        if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
            return NotFound("A memory that this belongs to is not there.")
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(f"This is refused by the store: {text}.")
        if "no such table" in text:
            return Refused(f"{self.title} has no memory tables yet; `vestige-tui schema up` makes them.")
        return VestigeError(f"SQLite failed: {text}.")
