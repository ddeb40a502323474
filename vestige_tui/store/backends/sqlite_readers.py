"""The read-only connections of a SQLite store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from vestige_tui.core.errors import Unreachable
from vestige_tui.store.backends.protocol import Params
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.backends.sqlite_connection import Connection, adapt_params, fetch_chunks, run_timed
from vestige_tui.store.schema.named_sql import compose
from vestige_tui.store.waits import Waits

if TYPE_CHECKING:
    from vestige_tui.store.backends.sqlite_file import OpenedFile
    from vestige_tui.store.search.vector_index import Take

T = TypeVar("T")


def no_op(_: sqlite3.Connection) -> None:
    """Return at once: when this has run, all earlier work of its connection is done."""


class Readers:
    """Read-only connections of a store; a cancelled read is interrupted in the database."""

    def __init__(self, file: OpenedFile, timings: Timings, waits: Waits) -> None:
        self._file = file
        self._waits = waits
        self._timings = timings
        # Last in, first out: the reader used last has its pages cached. None ends a wait for a reader: there is none.
        self._free: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        self._free.put_nowait(None)
        self._is_open = False
        self._stop_tasks: set[asyncio.Task[None]] = set()

    @property
    def free(self) -> int:
        """Return the number of connections that are not in use."""
        return self._free.qsize() if self._is_open else 0

    def add(self, connection: Connection) -> None:
        """Add a connection."""
        if not self._is_open:
            self._free, self._is_open = asyncio.LifoQueue(), True
        self._free.put_nowait(connection)

    def clear(self) -> None:
        """Give out no connection any more, before they are closed; reads that wait for one fail."""
        self._is_open = False
        free, self._free = self._free, asyncio.LifoQueue()
        self._free.put_nowait(None)
        while not free.empty():
            free.get_nowait()
        free.put_nowait(None)

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a free reader, timed under this name."""
        return await self.read(partial(run_timed, self._timings, name, work))

    async def stream(self, name: str, params: Params, take: Take) -> None:
        """Run a named query and pass its rows on in the reading thread, chunk by chunk."""
        await self.run(name, partial(fetch_chunks, compose("sqlite", name), adapt_params(params), take))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a free reader; cancelling it interrupts its query. Raises Unreachable while none is open."""
        with self._waits.of():
            return await self._read(work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        free = self._free
        reader = await free.get()
        if reader is None:
            free.put_nowait(None)  # for the next that waits
            raise Unreachable(f"{self._file.title} is not open.")
        try:
            result = await reader.run(work)
        except asyncio.CancelledError:
            # A separate task returns the reader to the pool once the query has really ended.
            stop_task = asyncio.ensure_future(self._stop(reader, free))
            self._stop_tasks.add(stop_task)
            stop_task.add_done_callback(self._stop_tasks.discard)
            raise
        except BaseException as error:
            free.put_nowait(reader)
            if isinstance(error, sqlite3.Error):
                raise self._file.error_of(error) from error
            raise
        free.put_nowait(reader)
        return result

    async def _stop(self, reader: Connection, free: asyncio.LifoQueue[Connection | None]) -> None:
        # A reader runs its work in order: once this no-op is done, the query is over.
        marker = asyncio.ensure_future(reader.run(no_op))
        # An interrupt before the query has begun is lost, so it is repeated.
        with suppress(ValueError):
            while not marker.done():
                await reader.interrupt()
                await asyncio.wait({marker}, timeout=0.01)
            marker.result()
        free.put_nowait(reader)
