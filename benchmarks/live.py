"""How long a watcher waits to hear of what another connection has committed."""

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

CHANGES = 30
LONGEST_MS = 300.0
_APART = 0.173  # seconds; no multiple of any pause between two looks


async def measure(bench: Bench) -> list[Figure]:
    """From the beginning of a write to the end of the wait for it, in milliseconds."""
    took = []
    async with open_store(bench.url) as other:
        await bench.store.wait_for_change(0.0)
        for number in range(CHANGES):
            await asyncio.sleep(_APART)
            while await bench.store.wait_for_change(0.0):
                pass
            waiting = asyncio.create_task(_heard(bench.store))
            await asyncio.sleep(_APART)
            began = time.perf_counter()
            await other.insert(Draft(content=f"What another one writes, {number}."), embed=False)
            took.append((await waiting - began) * 1000)
    median, tail = (float(np.quantile(took, share)) for share in (0.5, 0.99))
    beside = f"{LONGEST_MS:.0f} ms, the longest it should take"
    return [Figure(bench.part, "change of another heard of", "ms", median, LONGEST_MS, beside, tail, goal="<= 1")]


async def _heard(store: Store) -> float:
    """When the wait for a change ended, which may be before the write itself returned to its caller."""
    await store.wait_for_change(10.0)
    return time.perf_counter()
