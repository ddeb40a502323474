"""The SQLite backend: one writer, several read-only readers, and the vector index in memory."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import aiosqlite

from vestige_tui.errors import (
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
from vestige_tui.model import Step
from vestige_tui.store.backend import Asked, Found, Json, Params, Row, Transaction
from vestige_tui.store.grammar import fold_ascii
from vestige_tui.store.queries import Dialect, Slots, compose
from vestige_tui.store.vectors import VectorIndex
from vestige_tui.store.vestige import survey
from vestige_tui.text import below_home

if TYPE_CHECKING:
    from vestige_tui.model import ModelSignature, Vector

READERS = 3
BUSY_MS = 5_000
FEW = 4_000
SCANNED = 200_000

T = TypeVar("T")


def adapt(value: object) -> object:
    """A value as SQLite stores it: times in UTC with six digits, lists and JSON as text, vectors as blobs."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Json):
        return json.dumps(value.value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return json.dumps(list(value), ensure_ascii=False)
    if hasattr(value, "astype"):
        blob: bytes = value.astype("<f4").tobytes()
        return blob
    return value


def _adapted(params: Params | None) -> dict[str, object]:
    return {key: adapt(value) for key, value in (params or {}).items()}


def _dict_row(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


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


class SqliteTransaction:
    """A write in progress on the one writing connection."""

    def __init__(self, connection: aiosqlite.Connection, translate: Callable[[sqlite3.Error], VestigeError]) -> None:
        self._connection = connection
        self._translate = translate

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        try:
            return list(
                await self._connection.execute_fetchall(compose("sqlite", name, slots), _adapted(params))  # type: ignore[arg-type]  # rows are dicts by our row factory
            )
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        try:
            async with self._connection.execute(compose("sqlite", name, slots), _adapted(params)) as cursor:
                return cursor.rowcount
        except sqlite3.Error as error:
            raise self._translate(error) from error

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
        self._script = ""
        self._writer: aiosqlite.Connection | None = None
        self._writing = asyncio.Lock()
        self._watch: aiosqlite.Connection | None = None
        self._watching = asyncio.Lock()
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._opened: list[aiosqlite.Connection] = []
        self._index: VectorIndex | None = None
        self._index_token: object = None
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
                await self._writer.execute("PRAGMA journal_mode = WAL")
            await self._writer.execute("PRAGMA synchronous = NORMAL")
        mode = "ro"
        if self.read_only and self._immutable():
            mode = "ro&immutable=1"
        self._watch = await self._connect(mode)
        for _ in range(READERS):
            self._readers.put_nowait(await self._connect(mode))

    def _prepare(self) -> bool:
        """Look at the file before anything opens it for writing; tells whether it was made just now."""
        made = False
        if not self.path.exists():
            if not self.create or self.read_only:
                raise StoreMissing(f"There is no store at {self.title}.")
            try:
                if not self.path.parent.exists():
                    self.path.parent.mkdir(parents=True, mode=0o700)
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            except OSError as error:
                raise Unavailable(f"{self.title} cannot be made: {error.strerror}.") from error
            made = True
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
                sqlite3.connect(f"file:{quote(str(self.path))}?{mode}", uri=True, timeout=BUSY_MS / 1000)
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

    async def _connect(self, mode: str) -> aiosqlite.Connection:
        try:
            connection = await aiosqlite.connect(
                f"file:{quote(str(self.path))}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_MS / 1000
            )
            self._opened.append(connection)
            connection.row_factory = _dict_row  # type: ignore[assignment]  # dicts serve both backends
            connection.text_factory = _decode
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
        for connection in sorted(self._opened, key=lambda each: each is self._writer):
            with suppress(sqlite3.Error, ValueError):
                await connection.close()
        self._opened.clear()
        self._readers = asyncio.Queue()
        self._writer = self._watch = None

    async def reopen(self) -> None:
        """New tables need nothing new here."""

    # Reading

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        sql = compose("sqlite", name, slots)
        reader = await self._readers.get()
        running = asyncio.ensure_future(reader.execute_fetchall(sql, _adapted(params)))
        try:
            rows = await asyncio.shield(running)
        except asyncio.CancelledError:
            # The reader is given back by a task of its own, once the query has really ended.
            ending = asyncio.ensure_future(self._stop(reader, running))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            raise
        except sqlite3.Error as error:
            self._readers.put_nowait(reader)
            raise self._translate(error) from error
        self._readers.put_nowait(reader)
        return list(rows)  # type: ignore[arg-type]  # dicts by our row factory

    async def _stop(self, reader: aiosqlite.Connection, running: asyncio.Future[Any]) -> None:
        # An interrupt that comes before the query has begun is lost, so it is repeated until the query is over.
        while not running.done():
            await reader.interrupt()
            await asyncio.wait({running}, timeout=0.01)
        if not running.cancelled():
            running.exception()
        self._readers.put_nowait(reader)

    async def _read_beside(self, name: str, params: dict[str, Any]) -> list[Row]:
        return await self.fetch(name, params)

    # Writing

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        writer = self._writer
        if writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        async with self._writing:
            try:
                await self._finish(writer.execute("BEGIN IMMEDIATE"))
                yield SqliteTransaction(writer, self._translate)
                await self._finish(writer.commit())
            except BaseException:
                # Also where the caller was cancelled just as the write began.
                if writer.in_transaction:
                    await self._finish(writer.rollback())
                raise

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Let a begin, commit or rollback come to its end even when the caller is cancelled: half of one is none."""
        running = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def maintain(self, name: str) -> None:
        if self._writer is None:
            raise ReadOnly(f"{self.title} is open read-only: {self.reason}.")
        async with self._writing:
            try:
                await self._writer.execute(compose("sqlite", name))
            except sqlite3.Error as error:
                raise self._translate(error) from error

    # Meaning

    def use_model(self, model: ModelSignature | None) -> None:
        if model is None:
            self._index = None
        elif self._index is None or self._index.dimension != model.dimension:
            self._index, self._index_token = VectorIndex(model.dimension, self._read_beside), None

    async def search(self, asked: Asked) -> Found:
        steps: list[Step] = []
        depth, params = asked.fusion.depth, dict(asked.params)
        vectors, texts = "branch_vector_none", "branch_text_none"
        if asked.vector is not None and self._index is not None:
            started = time.perf_counter()
            hits, how = await self._near(self._index, asked.vector, depth, asked)
            steps.append(Step("meaning", how, (time.perf_counter() - started) * 1000))
            found = [[memory_id, rank, score] for rank, (memory_id, score) in enumerate(hits, 1)]
            vectors, params["vector_hits"] = "branch_vector_given", Json(found)
        if asked.literal is not None:
            texts = "branch_text_literal"
            params |= {"literal": asked.literal, "folded": fold_ascii(asked.literal), "scanned": SCANNED}
            steps.append(Step("words", f"the newest {SCANNED:,} memories looked through, character by character"))
        elif asked.words:
            texts, params["words"] = "branch_text", self.match(asked.words, every=False)
            steps.append(Step("words", "FTS5, any of the words, ranked by bm25"))
        elif asked.newest:
            texts = "branch_text_newest"
            steps.append(Step("words", "none to look for: the newest memories"))
        fusion = asked.fusion
        params |= {
            "depth": depth,
            "limit": asked.limit,
            "only": asked.only,
            "k": fusion.k,
            "text_weight": fusion.text_weight,
            "vector_weight": fusion.vector_weight,
        }
        slots = {
            "vector_branch": [vectors],
            "text_branch": [texts],
            "filters": asked.filters,
            "chosen": ["chosen_one" if asked.only else "chosen_best"],
        }
        return Found(await self.fetch("search_memories", params, slots), tuple(steps))

    async def _near(
        self, index: VectorIndex, vector: Vector, depth: int, asked: Asked
    ) -> tuple[list[tuple[str, float]], str]:
        token = await self.change_token()
        if token != self._index_token:
            await index.sync()
            self._index_token = token
        slots, params = {"filters": asked.filters}, asked.params
        [count] = await self.fetch("count_up_to", {**params, "cap": FEW + 1}, slots)
        if count["n"] <= FEW:
            allowed = [str(row["id"]) for row in await self.fetch("list_ids", {**params, "limit": FEW + 1}, slots)]
            return await index.nearest(vector, depth, allowed), f"all {len(allowed):,} that pass the filters, measured"
        return await self._nearest_passing(index, vector, depth, slots, params), "nearest first, then filtered"

    async def _nearest_passing(
        self, index: VectorIndex, vector: Vector, depth: int, slots: Slots, params: Params
    ) -> list[tuple[str, float]]:
        """Widen the search until enough of what is near also passes the filters."""
        wide = depth * 2
        while True:
            hits = await index.nearest(vector, wide)
            rows = await self.fetch("list_passing", {**params, "ids": [memory_id for memory_id, _ in hits]}, slots)
            passing = {str(row["id"]) for row in rows}
            kept = [hit for hit in hits if hit[0] in passing]
            if len(kept) >= depth or len(hits) < wide:
                return kept[:depth]
            wide *= 6

    async def change_token(self) -> object:
        if self._watch is None:
            return None
        async with self._watching:
            [row] = await self._watch.execute_fetchall(compose("sqlite", "read_change_token"))
        return row["data_version"]

    async def word_counts(self, words: Sequence[str]) -> list[tuple[int, float]]:
        counted = []
        [whole] = await self.fetch("count_memories")
        for word in words:
            [row] = await self.fetch("count_matching", {"words": self.match([word], every=True)})
            n = int(row["n"])
            counted.append((n, max(1e-6, math.log((whole["n"] - n + 0.5) / (n + 0.5)))))
        return counted

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

    # Errors

    def _translate(self, error: sqlite3.Error) -> VestigeError:
        text = str(error)
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in text:
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
