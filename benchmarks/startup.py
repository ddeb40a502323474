"""Duration of a whole command, beside a Python that only imports the driver."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from benchmarks.clock import side_by_side, timing
from benchmarks.console import environment
from benchmarks.table import Figure

ROUND_COUNT = 9
_CONSOLE = [sys.executable, "-m", "vestige_tui"]


async def measure(folder: Path, stores: dict[str, str]) -> list[Figure]:
    """Measure ``--version``, and one row as JSON from each of these stores, by the name of the driver's modules."""
    figures = [await _time_command(folder, "--version", ["--version"], "pass", "python -c pass", "<= 1.5")]
    for driver, url in stores.items():
        part = url.partition(":")[0]
        command = ["--store", url, "list", "--limit", "1", "--json"]
        name = f"list --limit 1 --json ({part})"
        figures.append(
            await _time_command(folder, name, command, f"import {driver}", f"python, {driver} imported", "<= 3")
        )
    return figures


async def _time_command(folder: Path, name: str, command: list[str], code: str, beside: str, goal: str) -> Figure:
    def run(arguments: list[str]) -> None:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, env=environment(folder))

    times = await side_by_side(
        lambda _: asyncio.to_thread(run, [*_CONSOLE, *command]),
        lambda _: asyncio.to_thread(run, [sys.executable, "-c", code]),
        range(ROUND_COUNT),
    )
    return timing("start", name, times, beside, goal)
