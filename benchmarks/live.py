"""Latency of change notifications between two connections."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.table import Figure
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from vestige_tui.store.store import Store

CHANGE_COUNT = 30
MAX_LATENCY_MS = 300.0
_GAP_SECONDS = 0.173  # no multiple of any polling interval


async def measure(bench: Bench) -> list[Figure]:
    """Measure milliseconds from the start of a write to the end of the wait for it."""
    latencies = []
    async with open_store(bench.url) as other:
        await bench.store.wait_for_change(0.0)
        for number in range(CHANGE_COUNT):
            await asyncio.sleep(_GAP_SECONDS)
            while await bench.store.wait_for_change(0.0):
                pass
            waiting = asyncio.create_task(_wait_end(bench.store))
            await asyncio.sleep(_GAP_SECONDS)
            began = time.perf_counter()
            await other.insert(Draft(content=f"What another one writes, {number}."), embed=False)
            latencies.append((await waiting - began) * 1000)
    median, tail = (float(np.quantile(latencies, share)) for share in (0.5, 0.99))
    beside = f"{MAX_LATENCY_MS:.0f} ms, the longest it should take"
    return [Figure(bench.part, "change of another heard of", "ms", median, MAX_LATENCY_MS, beside, tail, goal="<= 1")]


async def _wait_end(store: Store) -> float:
    """Return the end of the wait for a change; it may precede the return of the write itself."""
    await store.wait_for_change(10.0)
    return time.perf_counter()
