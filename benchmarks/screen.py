"""Time until the screen of a console shows a memory of a second writer: own file, adopted Vestige file, PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.console import BROWSE, environment
from benchmarks.table import Figure
from benchmarks.terminal import Terminal
from tests.support.vestige_files import make_v18
from vestige_tui.core.memories import Draft
from vestige_tui.core.times import format_time
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.adoption import adopt

CHANGE_COUNT = 20
MAX_LATENCY_MS = 300.0
VESTIGE_MEMORIES = 1_000
_GAP_SECONDS = 0.373  # no multiple of any polling interval

Write = Callable[[str], float]
"""Writes a memory with this text, and returns the time at which it began."""


def measure(folder: Path, stores: Mapping[str, str]) -> list[Figure]:
    """Measure milliseconds from the start of a write to the bytes that show it, by part name."""
    figures = [_figure(name, folder, url, _through_a_store(url)) for name, url in stores.items()]
    path = folder / "adopted.db"
    make_v18(path, VESTIGE_MEMORIES)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        adopt(connection, path.with_name("adopted-backup.db"), format_time(datetime.now(UTC)))
    return [*figures, _figure("screen, adopted Vestige file", folder, f"sqlite:{path}", _as_its_server(path))]


def _figure(part: str, folder: Path, url: str, write: Write) -> Figure:
    command = [sys.executable, "-m", "vestige_tui", "--store", url]
    latencies = []
    with Terminal(command, environment(folder)) as terminal, ThreadPoolExecutor(1) as writer:
        terminal.until("memories")
        terminal.painted(BROWSE)
        for number in range(CHANGE_COUNT):
            terminal.quiet(_GAP_SECONDS)
            text = f"Fresh{number:03} of another"
            began = writer.submit(write, text)
            seen = terminal.until(text.split(" ")[0])
            latencies.append((seen - began.result()) * 1_000)
    median, tail = (float(np.quantile(latencies, share)) for share in (0.5, 0.99))
    beside = f"{MAX_LATENCY_MS:.0f} ms, the longest it should take"
    what = "a memory of a second writer on the screen"
    return Figure(part, what, "ms", median, MAX_LATENCY_MS, beside, tail, goal="<= 1")


def _through_a_store(url: str) -> Write:
    async def insert(text: str) -> float:
        async with open_store(url) as store:
            began = time.perf_counter()
            await store.insert(Draft(content=text), embed=False)
            return began

    return lambda text: asyncio.run(insert(text))


def _as_its_server(path: Path) -> Write:
    def insert(text: str) -> float:
        at = format_time(datetime.now(UTC))
        with closing(sqlite3.connect(path)) as server:
            began = time.perf_counter()
            columns = "id, content, created_at, updated_at, last_accessed"
            server.execute(
                f"INSERT INTO knowledge_nodes ({columns}) VALUES (?, ?, ?, ?, ?)", (f"server-{text}", text, at, at, at)
            )
            server.commit()
            return began

    return insert
