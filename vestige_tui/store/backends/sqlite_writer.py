"""Writing to a SQLite store: one connection, transactions, and group commit."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from vestige_tui.core.doctor import Image, RowKey
from vestige_tui.core.errors import Busy, VestigeError
from vestige_tui.core.log import suppressed
from vestige_tui.store.backends import server_images
from vestige_tui.store.backends.protocol import BeforeImages, Params, Row, Write
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.backends.sqlite_connection import (
    Connection,
    adapt_params,
    busy_deadline,
    execute_many_on,
    execute_on,
    fetch_rows,
    run_script,
    run_timed,
)
from vestige_tui.store.backends.sqlite_errors import is_busy, is_full
from vestige_tui.store.backends.sqlite_file import OpenedFile
from vestige_tui.store.backends.sqlite_rows import own_keys, read_rows, write_rows
from vestige_tui.store.schema.named_sql import Script, Slots, compose
from vestige_tui.store.schema.sqlite_scripts import statements
from vestige_tui.store.waits import Waits, long_work

log = logging.getLogger(__name__)

MAX_GROUP_COMMIT_WRITES = 64
"""Queued writes that one group commit takes at most."""

T = TypeVar("T")
_Step: TypeAlias = Callable[[sqlite3.Connection], T]
_Steps: TypeAlias = list[Callable[[sqlite3.Connection], object]]


_Scripts: TypeAlias = Mapping[str, Script]
"""Queries that are written otherwise in this file, by name."""


def _fetch(scripts: _Scripts, name: str, params: Params | None, slots: Slots | None = None) -> _Step[list[Row]]:
    adapted = adapt_params(params)
    if script := scripts.get(name):
        return partial(run_script, script, fetch_rows, adapted)
    return partial(fetch_rows, compose("sqlite", name, slots), adapted)


def _execute(scripts: _Scripts, name: str, params: Params | None, slots: Slots | None = None) -> _Step[int]:
    adapted = adapt_params(params)
    if script := scripts.get(name):
        return partial(run_script, script, execute_on, adapted)
    return partial(execute_on, compose("sqlite", name, slots), adapted)


def _execute_many(scripts: _Scripts, name: str, many: Sequence[Params]) -> _Step[int]:
    adapted = [adapt_params(params) for params in many]
    if script := scripts.get(name):
        return partial(_run_script_many, script, adapted)
    return partial(execute_many_on, compose("sqlite", name), adapted)


def _run_script_many(script: Script, many: Sequence[Params], connection: sqlite3.Connection) -> int:
    return sum(run_script(script, execute_on, params, connection) for params in many)


def _steps_of(timings: Timings, scripts: _Scripts, writes: Sequence[Write]) -> _Steps:
    return [partial(run_timed, timings, write.name, _step_of(scripts, write)) for write in writes]


def _step_of(scripts: _Scripts, write: Write) -> Callable[[sqlite3.Connection], object]:
    if write.many is None:
        return _fetch(scripts, write.name, write.params)
    return _execute_many(scripts, write.name, write.many)


@dataclass(slots=True, eq=False)
class _QueuedWrite:
    """A queued write and its outcome: the rows of each of its parts, or its error."""

    work: _Steps
    notes_images: bool
    """The file is that of a Vestige server, whose values before the write are kept."""
    outcome: list[list[Row]] | Exception | None = None


def _write_group(group: Sequence[_QueuedWrite], file: OpenedFile, connection: sqlite3.Connection) -> None:
    """Commit several writes in one transaction; if one is refused, each in its own, so that only that one fails."""
    try:
        _write_together(group, file, connection)
    except Exception as error:
        for write in group:
            write.outcome = error
            if len(group) > 1 and not is_busy(error):
                _write_group([write], file, connection)


def _write_together(group: Sequence[_QueuedWrite], file: OpenedFile, connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        file.compare(connection)
        outcomes = [_run(write, connection) for write in group]
        file.refuse_replaced()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    for write, outcome in zip(group, outcomes, strict=True):
        write.outcome = [rows if isinstance(rows, list) else [] for rows in outcome]


def _run(write: _QueuedWrite, connection: sqlite3.Connection) -> list[object]:
    outcome = [step(connection) for step in write.work]
    if write.notes_images:
        server_images.keep(connection)
    return outcome


class SqliteTransaction:
    """A write in progress on the only writing connection."""

    def __init__(
        self, connection: Connection, file: OpenedFile, timings: Timings, waits: Waits, scripts: _Scripts
    ) -> None:
        self._connection = connection
        self._file = file
        self._timings = timings
        self._waits = waits
        self._scripts = scripts

    @property
    def foreign(self) -> bool:
        return bool(self._scripts)

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on the writing connection in one trip, timed under this name."""
        try:
            with self._waits.of(error=None):
                return await self._connection.run(partial(run_timed, self._timings, name, work))
        except sqlite3.Error as error:
            raise self._file.error_of(error) from error

    async def fetch(self, name: str, params: Params | None = None, slots: Slots | None = None) -> list[Row]:
        return await self.run(name, _fetch(self._scripts, name, params, slots))

    async def execute(self, name: str, params: Params | None = None, slots: Slots | None = None) -> int:
        return await self.run(name, _execute(self._scripts, name, params, slots))

    async def execute_many(self, name: str, many: Sequence[Params]) -> int:
        if not many:
            return 0
        return await self.run(name, _execute_many(self._scripts, name, many))

    async def row_keys(self, keys: Sequence[RowKey]) -> list[RowKey]:
        return await self.run("own_keys", partial(own_keys, keys))

    async def read_rows(self, keys: Sequence[RowKey]) -> list[Image | None]:
        return await self.run("read_rows", partial(read_rows, keys))

    async def write_rows(self, rows: Sequence[tuple[RowKey, Image | None]]) -> None:
        await self.run("write_rows", partial(write_rows, rows))

    @asynccontextmanager
    async def orphans_allowed(self, tables: Sequence[str]) -> AsyncIterator[None]:
        # Foreign keys are off for the whole transaction, see ``SqliteWriter.transaction``.
        yield

    async def note_parents(self, tables: Sequence[str]) -> None:
        """Do nothing: a file has no note of rows without a parent."""

    async def images_of(self, entry: int) -> BeforeImages:
        return await self.run("list_images", partial(server_images.images_of, entry)) if self.foreign else {}

    async def restore_images(self, images: BeforeImages, without_vector: Collection[str]) -> None:
        await self.run("restore_images", partial(server_images.restore, images, without_vector))

    async def script(self, sql: str) -> None:
        # executescript() would commit the transaction first; a migration and its record share one.
        try:
            for statement in statements(sql):
                await self._connection.execute(statement)
        except sqlite3.Error as error:
            raise self._file.error_of(error) from error


class SqliteWriter:
    """The only writing connection of a store: one write at a time, small ones together (group commit)."""

    def __init__(
        self,
        connection: Connection,
        file: OpenedFile,
        timings: Timings,
        waits: Waits,
        scripts: _Scripts | None = None,
    ) -> None:
        self.connection = connection
        self._file = file
        self._timings = timings
        self._waits = waits
        self._scripts = scripts or {}
        self._lock = asyncio.Lock()
        self._queue: list[_QueuedWrite] = []

    @asynccontextmanager
    async def transaction(self, *, orphans: bool = False) -> AsyncIterator[SqliteTransaction]:
        """Begin a write; leaving the block commits, an exception rolls back. ``orphans``: without foreign keys."""
        async with self._lock:
            if not orphans:
                async with self._begun() as transaction:
                    yield transaction
                return
            # SQLite takes this setting outside of a transaction only.
            await self._finish(self.connection.execute("PRAGMA foreign_keys = OFF"))
            try:
                async with self._begun() as transaction:
                    yield transaction
            finally:
                await self._finish(self.connection.execute("PRAGMA foreign_keys = ON"))

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[SqliteTransaction]:
        writer = self.connection
        await self._file.verify()
        try:
            await self._alternate(lambda: writer.execute("BEGIN IMMEDIATE"))
            if self._file.is_suspect:
                await writer.run(self._file.compare)
            yield SqliteTransaction(writer, self._file, self._timings, self._waits, self._scripts)
            if self._scripts:
                await self._finish(writer.run(server_images.keep))
            self._file.refuse_replaced()
            await self._finish(writer.commit())
            self._file.note_written()
        except BaseException as error:
            # Also where the caller was cancelled just as the transaction began.
            if writer.in_transaction:
                await self._finish(writer.rollback())
            if is_full(error) or is_full(error.__cause__):
                await self._finish(self._checkpoint())
            raise

    async def write_all(self, writes: Sequence[Write]) -> list[list[Row]]:
        """Run several writes as one transaction, together with those that wait as well."""
        queued = _QueuedWrite(_steps_of(self._timings, self._scripts, writes), bool(self._scripts))
        self._queue.append(queued)
        try:
            async with self._lock:
                # Group commit: the first writer to take the lock commits every queued write, at the cost of one.
                if queued in self._queue:
                    group, self._queue = self._queue[:MAX_GROUP_COMMIT_WRITES], self._queue[MAX_GROUP_COMMIT_WRITES:]
                    with suppressed(log, "commit a group of writes", Busy):
                        await self._alternate(lambda: self._commit_group(group))
        finally:
            if queued in self._queue:
                self._queue.remove(queued)
        outcome = queued.outcome
        if isinstance(outcome, sqlite3.Error):
            raise self._file.error_of(outcome) from outcome
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome

    async def _commit_group(self, group: Sequence[_QueuedWrite]) -> None:
        # A repeated turn retries only the writes that found the file locked.
        unfinished = [write for write in group if write.outcome is None or is_busy(write.outcome)]
        for write in unfinished:
            write.outcome = None
        try:
            await self._file.verify()
            await self.connection.run(partial(_write_group, unfinished, self._file))
            self._file.note_written()
        except Exception as error:
            for write in unfinished:
                write.outcome = write.outcome or error
        if any(is_full(write.outcome) for write in unfinished):
            await self._checkpoint()
        for write in unfinished:
            if isinstance(write.outcome, sqlite3.OperationalError) and is_busy(write.outcome):
                raise write.outcome

    async def _checkpoint(self) -> None:
        """Let a write-ahead log that cannot grow start over, so that a smaller write, such as an error's, has room."""
        with suppressed(log, "write a checkpoint of the write-ahead log", sqlite3.Error):
            await self.connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")

    async def _alternate(self, work: Callable[[], Awaitable[object]]) -> None:
        """Repeat work that needs the file's lock in short turns until it succeeds. Raises Busy after BUSY_MS."""
        deadline = busy_deadline()
        with self._waits.of(error=None):
            while True:
                try:
                    await self._finish(work())
                    return
                except Busy as error:
                    if time.monotonic() >= deadline:
                        raise
                    log.debug("Wait for another writer: %s", error)

    async def _finish(self, work: Awaitable[T]) -> T:
        """Let a begin, commit or rollback run to its end even when the caller is cancelled."""
        task = asyncio.ensure_future(work)
        try:
            # Nothing ends a commit that is under way: whether it was saved would not be known.
            with self._waits.of(error=None):
                return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise
        except sqlite3.Error as error:
            raise self._file.error_of(error) from error

    async def maintain(self, name: str) -> None:
        """Run a statement that cannot be part of a transaction; cancelling it interrupts it."""
        writer = self.connection
        async with self._lock:
            await self._file.verify()
            with long_work():
                task = asyncio.ensure_future(self._alternate(lambda: writer.execute(compose("sqlite", name))))
            try:
                with self._timings.of(name):
                    await asyncio.shield(task)
                self._file.note_written()
            except asyncio.CancelledError:
                # An interrupt before the statement has begun is lost, so it is repeated.
                while not task.done():
                    await writer.interrupt()
                    await asyncio.wait({task}, timeout=0.01)
                with suppressed(log, "finish a statement that was cancelled", VestigeError):
                    task.result()
                raise
