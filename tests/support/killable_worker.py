"""Workers killed at their n-th call of a database: ``python -m tests.support.killable_worker`` reads JSON.

A line is ``{"spec": …, "die_at": n, "edits": […]}``; the answer ``{"status": …, "calls": …}``: how it ended (-9 where
it was killed), and how many calls it had begun. The ``edits`` are made behind its back once it has read all rows, each
a store's URL and a statement; where there are some, calls are counted from then on. Each worker is a fork of one
process that has everything imported, because hundreds of interpreters would take minutes to start.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import sqlite3
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module
from typing import Any

import psycopg
import psycopg.transaction

from tests.support.job_steps import Step
from vestige_tui.jobs import worker
from vestige_tui.jobs.context import JobContext
from vestige_tui.store.backends import sqlite_connection

_COUNT = struct.Struct("q")


class Calls:
    """Counts the calls of databases in memory that the parent sees, and ends the process at one of them."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _COUNT.size)
        self.die_at = 0
        self.counting = True

    @property
    def count(self) -> int:
        return int(_COUNT.unpack(self._memory[:])[0])

    def forget(self) -> None:
        self._memory[:] = _COUNT.pack(0)

    def next(self) -> None:
        if not self.counting:
            return
        self._memory[:] = _COUNT.pack(self.count + 1)
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _counted(calls: Calls, owner: type, name: str) -> None:
    """Count before each call: what is done by then is done, whether or not its answer was heard."""
    inner: Callable[..., Any] = getattr(owner, name)

    async def outer(*args: Any, **kwargs: Any) -> Any:
        if not _begins(*args):
            calls.next()
        return await inner(*args, **kwargs)

    setattr(owner, name, outer)


def _begins(called: object, statement: object = None, *_: object) -> bool:
    """Check for what begins a session or a transaction with a look for a pooler: work itself is what is counted."""
    return isinstance(statement, bytes) and statement.startswith((b"BEGIN", b"SELECT pg_backend_pid()"))


def count_calls(calls: Calls) -> None:
    """Count every call of a database that this process makes from now on."""
    for owner, name in (
        (sqlite_connection.Connection, "_execute"),
        (psycopg.AsyncCursor, "execute"),
        (psycopg.AsyncCursor, "executemany"),
        (psycopg.AsyncConnection, "commit"),
        (psycopg.AsyncCopy, "write"),
        (psycopg.AsyncCopy, "finish"),
        (psycopg.transaction.AsyncTransaction, "__aexit__"),
    ):
        _counted(calls, owner, name)


def _edit_between(calls: Calls, edits: Sequence[Sequence[str]]) -> None:
    """Change stores once all rows of a copy have been read, and before later changes are looked for."""
    step = JobContext.step

    async def step_and_edit(self: JobContext, work: Any, checkpoint: Any = None) -> Any:
        ends_the_rows = Step.of(self, checkpoint).ends_the_rows
        result = await step(self, work, checkpoint)
        if not ends_the_rows:
            return result
        for url, sql in edits:
            if url.startswith("sqlite:"):
                with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
                    connection.execute("PRAGMA foreign_keys = ON")
                    connection.execute(sql)
            else:
                with psycopg.connect(url) as server:
                    server.execute(sql.encode())
        calls.counting = True
        return result

    JobContext.step = step_and_edit  # type: ignore[method-assign]


def serve() -> None:
    calls = Calls()
    count_calls(calls)
    for module in worker.KINDS.values():
        import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        calls.forget()
        calls.die_at = int(asked["die_at"])
        child = os.fork()
        if not child:
            quiet = os.open(os.devnull, os.O_RDWR)
            os.dup2(quiet, 0)
            os.dup2(quiet, 1)
            status = 1
            try:
                calls.counting = not asked["edits"]
                _edit_between(calls, asked["edits"])
                asyncio.run(worker.run(asked["spec"]))
                status = 0
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(ended), "calls": calls.count}), flush=True)


if __name__ == "__main__":
    serve()
