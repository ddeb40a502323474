"""An import in a process of its own, which kills itself before a step of its writes: run as a module.

A step is a statement of a transaction, and the time after its commit. Prints the number of steps.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vestige_tui import open_store
from vestige_tui.cli.import_tally import ImportTally
from vestige_tui.cli.line_import import LineImport
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store import import_journal
from vestige_tui.store.backends.protocol import Backend, Transaction

ROW_MEMORIES = 70
"""Memories of a row of the journal here, so that a small file needs several."""


@dataclass(slots=True)
class Steps:
    """Steps of this process, the last of which it does not survive; 0 for none."""

    last: int
    count: int = 0

    def take(self) -> None:
        """Take the next step."""
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


class CountedTransaction:
    """A transaction whose statements are steps."""

    def __init__(self, transaction: Transaction, steps: Steps) -> None:
        self._transaction = transaction
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        self._steps.take()
        return getattr(self._transaction, name)


def count_writes(backend: Backend, steps: Steps) -> None:
    """Count the writes of a backend from now on."""
    write = backend.write

    @asynccontextmanager
    async def counted(**options: Any) -> AsyncIterator[CountedTransaction]:
        async with write(**options) as transaction:
            yield CountedTransaction(transaction, steps)
        steps.take()

    setattr(backend, "write", counted)  # noqa: B010


async def run(url: str, raw_lines: Sequence[bytes], last: int) -> int:
    """Import lines into a store; return the number of steps."""
    import_journal.ROW_MEMORIES = ROW_MEMORIES
    steps, embedders = Steps(last), EmbedderSource(embedder=TestEmbedder(64))
    async with open_store(url, embedders=embedders) as store:
        count_writes(store.backend, steps)
        lines = enumerate(raw_lines, start=1)
        await LineImport(store, ImportTally(), lambda _: None).run(lines)
    embedders.close()
    return steps.count


if __name__ == "__main__":
    print(asyncio.run(run(sys.argv[1], Path(sys.argv[2]).read_bytes().splitlines(), int(sys.argv[3]))))
