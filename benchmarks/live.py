"""How long a watcher waits to hear of what another connection has committed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.table import Figure
from vestige_tui.model import Draft
from vestige_tui.store import open_store

if TYPE_CHECKING:
    from benchmarks.bench import Bench

CHANGES = 30
LONGEST_MS = 300.0
_APART = 0.173  # seconds; no multiple of any pause between two looks


async def measure(bench: Bench) -> list[Figure]:
    """From the end of a commit to the end of the wait for it, in milliseconds."""
    took = []
    async with open_store(bench.url) as other:
        await bench.store.wait_for_change(0.0)
        for number in range(CHANGES):
            await asyncio.sleep(_APART)
            while await bench.store.wait_for_change(0.0):
                pass
            waiting = asyncio.create_task(bench.store.wait_for_change(10.0))
            await asyncio.sleep(_APART)
            await other.insert(Draft(content=f"What another one writes, {number}."), embed=False)
            committed = time.perf_counter()
            await waiting
            took.append((time.perf_counter() - committed) * 1000)
    median, tail = (float(np.quantile(took, share)) for share in (0.5, 0.99))
    beside = f"{LONGEST_MS:.0f} ms, the longest it should take"
    return [Figure(bench.part, "change of another heard of", "ms", median, LONGEST_MS, beside, tail, goal="<= 1")]
