"""Workers killed at their n-th call of a database: ``python -m tests.jobs.dying`` takes a line of JSON for each.

A line is ``{"spec": …, "die_at": n}``; the answer ``{"status": …, "calls": …}``: how it ended (-9 where it was
killed) and how many calls it had begun. Each is a fork of one process that has everything imported, because hundreds of
interpreters would take minutes to start.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import psycopg
import psycopg.transaction

from vestige_tui.jobs import worker
from vestige_tui.store import sqlite

_COUNT = struct.Struct("q")


class Calls:
    """Counts the calls of databases in memory that the parent sees, and ends the process at one of them."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _COUNT.size)
        self.die_at = 0

    @property
    def count(self) -> int:
        return int(_COUNT.unpack(self._memory[:])[0])

    def forget(self) -> None:
        self._memory[:] = _COUNT.pack(0)

    def next(self) -> None:
        self._memory[:] = _COUNT.pack(self.count + 1)
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _counted(calls: Calls, owner: type, name: str) -> None:
    """Count before each call: what is done by then is done, whether or not its answer was heard."""
    inner: Callable[..., Any] = getattr(owner, name)

    async def outer(*args: Any, **kwargs: Any) -> Any:
        calls.next()
        return await inner(*args, **kwargs)

    setattr(owner, name, outer)


def serve() -> None:
    calls = Calls()
    for owner, name in (
        (sqlite.Connection, "_execute"),
        (psycopg.AsyncCursor, "execute"),
        (psycopg.AsyncCursor, "executemany"),
        (psycopg.AsyncCopy, "write"),
        (psycopg.AsyncCopy, "finish"),
        (psycopg.transaction.AsyncTransaction, "__aexit__"),
    ):
        _counted(calls, owner, name)
    for module in ["vestige_tui.jobs.copy", "vestige_tui.jobs.reembed"]:
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
                asyncio.run(worker.run(asked["spec"]))
                status = 0
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(ended), "calls": calls.count}), flush=True)


if __name__ == "__main__":
    serve()
