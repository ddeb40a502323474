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
from vestige_tui.store.schema.vestige_files import survey
from vestige_tui.store.search.bm25_candidates import Scored, Wording, ranked
from vestige_tui.store.search.filter_sets import Passing, PassingSets
from vestige_tui.store.search.query_syntax import fold_ascii
from vestige_tui.store.search.vector_index import VectorIndex

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import ModelSignature
    from vestige_tui.store.backends.protocol import ModelKey
    from vestige_tui.store.search.bm25_candidates import Ask
    from vestige_tui.store.search.vector_index import Take

READERS = 3
BUSY_MS = 5_000
TURN_MS = 200
CHUNK = 2_048
SCANNED = 200_000
WATCH_SECONDS = 0.1

GROUP = 64

T = TypeVar("T")
_dumped = json.JSONEncoder(ensure_ascii=False).encode


def adapt(value: object) -> object:
    """A value as SQLite stores it: times in UTC with six digits, lists and JSON as text, vectors as blobs."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Json):
        return _dumped(value.value)
    if isinstance(value, (list, tuple)):
        return _dumped(value)
    if hasattr(value, "astype"):
        blob: bytes = value.astype("<f4").tobytes()
        return blob
    return value


def _adapted(params: Params | None) -> dict[str, object]:
    return {key: adapt(value) for key, value in (params or {}).items()}


def _dict_row(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _nothing(_: sqlite3.Connection) -> None:
    """Work that only says that what came before it is done."""


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def statements(script: str) -> list[str]:
    """The single statements of a script; a trigger's body stays in one piece."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    if pending.strip() and any(line.strip() and not line.lstrip().startswith("--") for line in pending.splitlines()):
        found.append(pending.strip())
    return found


class Connection(aiosqlite.Connection):
    """A connection in a thread of its own, which does a whole piece of work there in one trip."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]  # aiosqlite types it not
        return result


def _fetched(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> list[Row]:
    try:
        return _rows(sql, params, connection)
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode to UTF-8"):
            raise
    # Somebody stored what is no UTF-8. To decode leniently costs a call a value, so it is done only then.
    connection.text_factory = _decode
    try:
        return _rows(sql, params, connection)
    finally:
        connection.text_factory = str


def _rows(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> list[Row]:
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(sql, params)
    if cursor.description is None:
        return []
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _handed_over(sql: str, params: Mapping[str, object], take: Take, connection: sqlite3.Connection) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        cursor.execute(sql, params)
        while rows := cursor.fetchmany(CHUNK):
            take(rows)


def _asked(timings: Timings, connection: sqlite3.Connection, name: str, params: Params) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    with timings.of(name):
        return cursor.execute(compose("sqlite", name), _adapted(params)).fetchall()


def _timed(timings: Timings, name: str, work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
    with timings.of(name):
        return work(connection)


def _changed(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> int:
    return connection.execute(sql, params).rowcount


def _changed_by_all(sql: str, many: Sequence[Mapping[str, object]], connection: sqlite3.Connection) -> int:
    return connection.executemany(sql, many).rowcount


_Work: TypeAlias = list[Callable[[sqlite3.Connection], object]]


def _prepared(timings: Timings, writes: Sequence[Write]) -> _Work:
    return [partial(_timed, timings, write.name, _written(write)) for write in writes]


def _written(write: Write) -> Callable[[sqlite3.Connection], object]:
    sql = compose("sqlite", write.name)
    if write.many is None:
        return partial(_fetched, sql, _adapted(write.params))
    return partial(_changed_by_all, sql, [_adapted(params) for params in write.many])


@dataclass(slots=True, eq=False)
class _Waiting:
    """A write that waits for its turn, with what came of it: the rows of each of its parts, or why it failed."""

    work: _Work
    outcome: list[list[Row]] | Exception | None = None


def _write_group(group: Sequence[_Waiting], connection: sqlite3.Connection) -> None:
    """Do several writes in one transaction; where one of them is refused, each in its own, so that only it fails."""
    try:
        _write_together(group, connection)
    except Exception as error:
        for each in group:
            each.outcome = error
            if len(group) > 1 and not _is_busy(error):
                _write_group([each], connection)


def _write_together(group: Sequence[_Waiting], connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = [[part(connection) for part in each.work] for each in group]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    for each, outcome in zip(group, found, strict=True):
        each.outcome = [rows if isinstance(rows, list) else [] for rows in outcome]


def _is_busy(outcome: object) -> bool:
    if not isinstance(outcome, sqlite3.Error):
        return False
    name = getattr(outcome, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in str(outcome)


@dataclass(slots=True)
class _Known:
    """What searches have found out about one state of the store."""

    token: object
    passing: PassingSets
    held: dict[str, int]
    memories: int | None = None

    def held_by(self, ask: Ask, phrase: str) -> int:
        """How many memories hold a word or phrase."""
        if phrase not in self.held:
            [(self.held[phrase],)] = ask("count_matching", {"words": phrase})
        return self.held[phrase]

    def count(self, ask: Ask) -> int:
        """How many memories there are."""
        if self.memories is None:
            [(self.memories,)] = ask("count_memories", {})
        return self.memories


@dataclass(frozen=True, slots=True)
class _Branch:
    """What one branch of a search found: memories by seq with their scores."""

    hits: list[Scored]
    step: SearchStep
    warnings: tuple[str, ...] = ()
    model: ModelKey | None = None
    """Which model the vectors are of, where it is a branch by meaning."""

    def surely(self, depth: int) -> set[int]:
        """What is in the branch; nothing is sure where more tie for its last places than it has."""
        return {seq for seq, _ in self.hits} if len(self.hits) <= depth else set()


def _too_large(index: VectorIndex) -> str:
    return (
        f"The {index.too_large:,} vectors need more than the {index.limit / 1e9:.1f} GB of memory that a SQLite store "
        "may take for them; answered by words alone. Copy the store to PostgreSQL with `vestige-tui migrate copy`."
    )


class SqliteTransaction:
    """A write in progress on the one writing connection."""

    def __init__(
        self, connection: Connection, translate: Callable[[sqlite3.Error], VestigeError], timings: Timings
    ) -> None:
        self._connection = connection
        self._translate = translate
        self._timings = timings

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work, named for its times, on the writing connection in one trip."""
        try:
            return await self._connection.run(partial(_timed, self._timings, name, work))
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        return await self.run(name, partial(_fetched, compose("sqlite", name, slots), _adapted(params)))

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        return await self.run(name, partial(_changed, compose("sqlite", name, slots), _adapted(params)))

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        if not many:
            return 0
        adapted = [_adapted(params) for params in many]
        return await self.run(name, partial(_changed_by_all, compose("sqlite", name), adapted))

    async def script(self, sql: str) -> None:
        # executescript() would commit what came before; a migration and its record are one transaction.
        try:
            for statement in statements(sql):
                await self._connection.execute(statement)
        except sqlite3.Error as error:
            raise self._translate(error) from error


class SqliteBackend:
    """A store in one SQLite file, ours or one that a Vestige server made (read-only then)."""

    dialect: Dialect = "sqlite"
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
        self._writing = asyncio.Lock()
        self._waiting: list[_Waiting] = []
        self._watch: Connection | None = None
        self._watching = asyncio.Lock()
        self._tokens = Tokens(self.change_token, WATCH_SECONDS)
        # The one used last is asked first: it has in memory what was just read.
        self._readers: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._opened: list[Connection] = []
        self._index: VectorIndex | None = None
        self._known: _Known | None = None
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def title(self) -> str:
        return below_home(str(self.path))

    def location(self) -> str:
        return f"sqlite:{self.path}"

    # Opening and closing

    async def open(self) -> None:
        made = await asyncio.to_thread(self._prepare)
        if not self.read_only:
            self._writer = await self._connect("rw")
            if made:
                await self._log_ahead(self._writer)
            await self._writer.execute("PRAGMA synchronous = NORMAL")
            # Nothing ends such a wait before its time, so who leaves meanwhile waits for one turn only.
            await self._writer.execute(f"PRAGMA busy_timeout = {min(BUSY_MS, TURN_MS)}")
        mode = "ro"
        if self.read_only and self._immutable():
            mode = "ro&immutable=1"
        self._watch = await self._connect(mode)
        for _ in range(READERS):
            self._readers.put_nowait(await self._connect(mode))

    async def _log_ahead(self, writer: Connection) -> None:
        """Turn the write-ahead log on, which no busy timeout waits for where others are opening the file, too."""
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
        """Look at the file before anything opens it for writing; tells whether it was made just now."""
        made = False
        if not self.path.exists():
            if not self.create or self.read_only:
                raise StoreMissing(f"There is no store at {self.title}.")
            try:
                if not self.path.parent.exists():
                    self.path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                made = True
            except OSError as error:
                # Another process may have made it in this very moment; a link that leads nowhere is none.
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
                found = survey(connection)
        except sqlite3.Error as error:
            raise self._translate(error) from error
        if found.kind == "foreign":
            raise ForeignStore(f"{self.title} is a SQLite file, but not a memory store; it was not touched.")
        if found.kind == "empty" and self.path.stat().st_size == 0:
            made = True
        if found.kind == "vestige":
            self.foreign, self.read_only = True, True
            self.reason = f"{found.line} file, not adopted"
        self.line, self.notes, self._script = found.line, found.notes, found.script
        return made

    def _immutable(self) -> bool:
        # Only where SQLite could not make its -shm, and nothing waits in a -wal that this mode would not see.
        return not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists()

    async def _connect(self, mode: str) -> Connection:
        address = f"file:{quote(bytes(self.path))}?mode={mode}"
        opened = partial(sqlite3.connect, address, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
        try:
            connection = Connection(opened, iter_chunk_size=64)
            await connection
            self._opened.append(connection)
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
        # The writer last: only a connection that may write folds the write-ahead log into the file when it goes.
        opened = sorted(self._opened, key=lambda each: each is self._writer)
        try:
            if self._index is not None:
                await self._index.close()
                self._index = self._index_of(*self._index.own)
            for connection in opened:
                with suppress(sqlite3.Error, ValueError):
                    await connection.close()
        except BaseException:
            # A thread that nobody stops would keep the whole process from ending.
            for connection in opened:
                connection.stop()
            raise
        finally:
            self._opened.clear()
            self._readers = asyncio.LifoQueue()
            self._writer = self._watch = None

    async def reopen(self) -> None:
        """New tables need nothing new here."""

    # Reading

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        sql = compose("sqlite", name, slots)
        return await self._read(partial(_timed, self.timings, name, partial(_fetched, sql, _adapted(params))))

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work, named for its times, on a connection that only reads."""
        return await self._read(partial(_timed, self.timings, name, work))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work on a reader that is free; cancelling it ends its query."""
        reader = await self._readers.get()
        try:
            found = await reader.run(work)
        except asyncio.CancelledError:
            # The reader is given back by a task of its own, once the query has really ended.
            ending = asyncio.ensure_future(self._stop(reader))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            raise
        except BaseException as error:
            self._readers.put_nowait(reader)
            if isinstance(error, sqlite3.Error):
                raise self._translate(error) from error
            raise
        self._readers.put_nowait(reader)
        return found

    async def _stop(self, reader: Connection) -> None:
        # A reader does one piece of work after the other: when this one is done, the query is over.
        over = asyncio.ensure_future(reader.run(_nothing))
        # An interrupt that comes before the query has begun is lost, so it is repeated.
        with suppress(ValueError):
            while not over.done():
                await reader.interrupt()
                await asyncio.wait({over}, timeout=0.01)
            over.result()
        self._readers.put_nowait(reader)

    async def _hand_over(self, name: str, params: Params, take: Take) -> None:
        handed = partial(_handed_over, compose("sqlite", name), _adapted(params), take)
        await self._read(partial(_timed, self.timings, name, handed))

    # Writing

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        writer = self._writer
        if writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        async with self._writing:
            try:
                await self._in_turns(lambda: writer.execute("BEGIN IMMEDIATE"))
                yield SqliteTransaction(writer, self._translate, self.timings)
                await self._finish(writer.commit())
            except BaseException:
                # Also where the caller was cancelled just as the write began.
                if writer.in_transaction:
                    await self._finish(writer.rollback())
                raise

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        writer = self._writer
        if writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        mine = _Waiting(_prepared(self.timings, writes))
        self._waiting.append(mine)
        try:
            async with self._writing:
                # Who is first takes along those that wait behind: a commit costs as much for many writes as for one.
                if mine in self._waiting:
                    group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                    with suppress(Busy):
                        await self._in_turns(lambda: self._lead(writer, group))
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
        outcome = mine.outcome
        if isinstance(outcome, sqlite3.Error):
            raise self._translate(outcome) from outcome
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome

    async def _lead(self, writer: Connection, group: Sequence[_Waiting]) -> None:
        # In a second turn those alone that found the file held: what is done is not done again.
        left = [each for each in group if each.outcome is None or _is_busy(each.outcome)]
        for each in left:
            each.outcome = None
        try:
            await writer.run(partial(_write_group, left))
        except Exception as error:
            for each in left:
                each.outcome = each.outcome or error
        for each in left:
            if isinstance(each.outcome, sqlite3.OperationalError) and _is_busy(each.outcome):
                raise each.outcome

    async def _in_turns(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do what needs the file for itself, again and again until nobody else holds it, or Busy."""
        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                await self._finish(work())
                return
            except Busy:
                if time.monotonic() >= deadline:
                    raise

    async def _finish(self, work: Awaitable[T]) -> T:
        """Let a begin, commit or rollback come to its end even when the caller is cancelled: half of one is none."""
        running = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def maintain(self, name: str, table: str = "") -> None:
        writer = self._writer
        if writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        async with self._writing:
            running = asyncio.ensure_future(self._in_turns(lambda: writer.execute(compose("sqlite", name))))
            try:
                with self.timings.of(name):
                    await asyncio.shield(running)
            except asyncio.CancelledError:
                # An interrupt that comes before the statement has begun is lost, so it is repeated.
                while not running.done():
                    await writer.interrupt()
                    await asyncio.wait({running}, timeout=0.01)
                with suppress(VestigeError):
                    running.result()
                raise

    # Meaning

    def use_model(self, model: ModelSignature | None) -> None:
        index = self._index
        if index is not None and (model is None or index.own != (model.name, model.dimension)):
            index.stop()
            self._index = None
        if model is not None and self._index is None:
            self._index = self._index_of(model.name, model.dimension)

    def _index_of(self, name: str, dimension: int) -> VectorIndex:
        return VectorIndex(dimension, self._hand_over, name=name, rewritten=self.foreign)

    async def warm(self) -> None:
        """Load the vectors, so that the first search by meaning need not wait for them."""
        if self._index is not None:
            await self._index.sync(await self.change_token())

    async def search(self, asked: BackendQuery) -> BackendResult:
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
        steps: list[SearchStep] = []
        warnings: list[str] = []
        vectors, texts, filters = "branch_vector_none", "branch_text_none", asked.filters
        if asked.literal is not None:
            texts = "branch_text_literal"
            params |= {"literal": asked.literal, "folded": fold_ascii(asked.literal), "scanned": SCANNED}
            steps.append(SearchStep("words", f"the newest {SCANNED:,} memories looked through, character by character"))
        elif asked.newest:
            texts = "branch_text_newest"
            steps.append(SearchStep("words", "none to look for: the newest memories"))
        else:
            # Both branches bring their filters with them.
            filters, index = (), self._index
            known = await self._known_now()
            (near, near_worded), held = await asyncio.gather(
                self._by_meaning_and_worded(asked, index, known), self._by_words(asked, known)
            )
            if near is not None and near.model != asked.model:
                return BackendResult([], (), model=near.model)
            if near is not None:
                vectors, params["vector_hits"], params["vector_also"] = "branch_vector_given", near.hits, []
                steps.append(near.step)
                warnings += near.warnings
            if asked.pieces:
                texts, filters = "branch_text_pieces", asked.filters
                params |= {"pieces": asked.pieces, "scanned": SCANNED}
                steps.append(SearchStep("words", f"pairs of letters in at most the newest {SCANNED:,} memories"))
            elif held is not None:
                texts, params["text_hits"], params["text_also"] = "branch_text", held.hits, []
                steps.append(held.step)
            if near is not None and held is not None and index is not None and asked.vector is not None:
                meant, worded = near.surely(asked.depth), held.surely(asked.depth)
                params["text_also"] = [hit for hit in near_worded if hit[0] not in worded]
                others = [seq for seq, _ in held.hits if seq not in meant]
                params["vector_also"] = await index.measured(asked.vector, others)
                if index.model != asked.model:
                    return BackendResult([], (), model=index.model)
        slots = {
            "vector_branch": [vectors],
            "text_branch": [texts],
            "filters": filters,
            "chosen": ["chosen_one" if asked.only else "chosen_best"],
        }
        found = await self.fetch("search_memories", params, slots)
        return BackendResult(found, tuple(steps), tuple(warnings), asked.model)

    async def _known_now(self) -> _Known:
        """What has been found out about the store as it is now; nothing, where somebody has changed it."""
        token = await self.change_token()
        if self._known is None or self._known.token != token:
            self._known = _Known(token, PassingSets(self.fetch), {})
        return self._known

    async def _by_meaning(self, asked: BackendQuery, index: VectorIndex | None, known: _Known) -> _Branch | None:
        if asked.vector is None or index is None:
            return None
        if index.own == asked.model:
            await index.sync(known.token)
        if self._index is not None and self._index is not index:
            # What replaced it meanwhile knows better; this one may have been stopped half full.
            index = self._index
        passing = await known.passing.of(asked.filters, asked.params)
        if index.model != asked.model:
            return _Branch([], SearchStep("meaning", "of another model"), model=index.model)
        if index.too_large:
            left_out = SearchStep("meaning", "left out: too many vectors to hold in memory")
            return _Branch([], left_out, (_too_large(index),), index.model)
        started = time.perf_counter()
        hits, how = await index.nearest(asked.vector, asked.depth, passing, exact=asked.exact)
        return _Branch(hits, SearchStep("meaning", how, (time.perf_counter() - started) * 1000), model=asked.model)

    async def _by_meaning_and_worded(
        self, asked: BackendQuery, index: VectorIndex | None, known: _Known
    ) -> tuple[_Branch | None, list[Scored]]:
        """The branch by meaning, and what the words are worth in the memories it found."""
        near = await self._by_meaning(asked, index, known)
        if near is None or not near.hits or not asked.words:
            return near, []
        seqs = [seq for seq, _ in near.hits]
        wanted = {"words": self.match(asked.words, every=False), "among": seqs}
        rows = await self._read(lambda connection: _asked(self.timings, connection, "rank_matching_among", wanted))
        return near, [(int(seq), float(score)) for seq, score in rows]

    async def _by_words(self, asked: BackendQuery, known: _Known) -> _Branch | None:
        if not asked.words:
            return None
        filters, every = asked.filters, False
        if asked.params.get("must") == self.match(asked.words, every=True):
            # All have to occur: what ranks them finds them, too.
            filters, every = tuple(name for name in filters if name != "filter_must"), True
        passing = await known.passing.of(filters, asked.params)
        started = time.perf_counter()
        hits, how = await self._read(partial(self._ranked, asked, every, passing, known))
        return _Branch(hits, SearchStep("words", how, (time.perf_counter() - started) * 1000))

    def _ranked(
        self, asked: BackendQuery, every: bool, passing: Passing, known: _Known, connection: sqlite3.Connection
    ) -> tuple[list[Scored], str]:
        ask = partial(_asked, self.timings, connection)
        phrases = [str(self.match([word], every=True)) for word in asked.words]
        held = tuple((phrase, known.held_by(ask, phrase)) for phrase in phrases)
        return ranked(ask, Wording(held, every, asked.depth, asked.exact), passing, known.count(ask))

    async def wait_for_change(self, seconds: float) -> bool:
        return await self._tokens.change(seconds)

    async def change_token(self) -> object:
        if self._watch is None:
            return None
        async with self._watching:
            try:
                [row] = await self._watch.execute_fetchall(compose("sqlite", "read_change_token"))
            except sqlite3.Error as error:
                raise self._translate(error) from error
        return row["data_version"]

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        known = await self._known_now()
        return await self._read(partial(self._counted, words, known))

    def _counted(self, words: Sequence[str], known: _Known, connection: sqlite3.Connection) -> list[tuple[int, float]]:
        ask = partial(_asked, self.timings, connection)
        held = [known.held_by(ask, str(self.match([word], every=True))) for word in words]
        return [(n, max(1e-6, math.log((known.count(ask) - n + 0.5) / (n + 0.5)))) for n in held]

    def match(self, words: Sequence[str], *, every: bool) -> object:
        # Each word is quoted, so that nothing in it can be an operator; one that holds no letter matches nothing.
        return (" AND " if every else " OR ").join('"' + word.replace('"', " ") + '"' for word in words)

    # Ids

    def is_id(self, text: str) -> bool:
        return bool(text)

    def prefix_range(self, prefix: str) -> tuple[str, str] | None:
        # The highest character of all stands behind every id that begins with the prefix.
        return prefix, prefix + "\U0010ffff"

    def pool_state(self) -> str:
        free = self._readers.qsize()
        return f"{READERS - free} of {READERS} readers in use, " + (
            "read-only" if self._writer is None else "one writer"
        )

    def inside(self) -> BackendStatus:
        index = self._index
        held = None
        if index is not None:
            held = VectorsHeld(len(index), index.dimension, index.bytes, index.limit, index.too_large)
        connections = Connections(READERS, self._readers.qsize(), READERS, writer=self._writer is not None)
        mode, wal_bytes = "", 0
        with suppress(OSError):
            mode = stat.filemode(os.stat(self.path).st_mode)
            wal_bytes = os.stat(f"{self.path}-wal").st_size
        return BackendStatus(connections, (), held, str(self.path), mode, wal_bytes, self.line, self.notes)

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
