"""How long a command takes from its start to its end, beside a Python that does nothing but load the driver."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from benchmarks.clock import side_by_side, timing
from benchmarks.console import environment
from benchmarks.table import Figure

ROUNDS = 9
_CONSOLE = [sys.executable, "-m", "vestige_tui"]


async def measure(folder: Path, stores: dict[str, str]) -> list[Figure]:
    """``--version``, and one row as JSON out of each of these stores, by the name of the driver's modules."""
    found = [await _beside(folder, "--version", ["--version"], "pass", "python -c pass", "<= 1.5")]
    for driver, url in stores.items():
        part = url.partition(":")[0]
        command = ["--store", url, "list", "--limit", "1", "--json"]
        name = f"list --limit 1 --json ({part})"
        found.append(await _beside(folder, name, command, f"import {driver}", f"python, {driver} imported", "<= 3"))
    return found


async def _beside(folder: Path, name: str, command: list[str], code: str, beside: str, goal: str) -> Figure:
    def run(arguments: list[str]) -> None:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, env=environment(folder))

    times = await side_by_side(
        lambda _: asyncio.to_thread(run, [*_CONSOLE, *command]),
        lambda _: asyncio.to_thread(run, [sys.executable, "-c", code]),
        range(ROUNDS),
    )
    return timing("start", name, times, beside, goal)
