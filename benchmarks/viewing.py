"""Search of a store that is viewed as a user, beside the same search without a viewer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.bench import BenchQuery, sample_queries
from benchmarks.clock import Times, side_by_side, timing
from benchmarks.corpus import OWNERS
from vestige_tui.core.memories import Filter, Patch
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.table import Figure
    from vestige_tui.core.search import Mode
    from vestige_tui.store.store import Store

TIMED_QUERY_COUNT = 15
CHANGED_QUERY_COUNT = 5
MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")


async def measure(bench: Bench) -> list[Figure]:
    """Measure each mode, and the first hybrid search after a change, as an owner of nearly all and of few memories."""
    figures: list[Figure] = []
    for owner in (OWNERS[0], OWNERS[2]):
        owned = await bench.store.memories.count(Filter(owner=owner))
        share = f"{100 * owned / bench.size:.0f} % visible"
        async with open_store(bench.url, viewer=owner) as viewed:
            for mode in MODES:
                figures.append(await _time(bench, viewed, mode, share))
            figures.append(await _time_after_a_change(bench, viewed, share))
    return figures


async def _time(bench: Bench, viewed: Store, mode: Mode, share: str) -> Figure:
    async def with_viewer(each: BenchQuery) -> None:
        await viewed.search(each.query(mode))

    async def without(each: BenchQuery) -> None:
        await bench.store.search(each.query(mode))

    times = await side_by_side(with_viewer, without, sample_queries(TIMED_QUERY_COUNT))
    return timing(bench.part, f"{mode} as a viewer, {share}", times, "the same without a viewer", "<= 3")


async def _time_after_a_change(bench: Bench, viewed: Store, share: str) -> Figure:
    """Time the first search after a change of visibility, which moves no vector."""
    ids = iter(bench.corpus.ids)
    pairs: list[tuple[float, float]] = []
    for number, each in enumerate(sample_queries(CHANGED_QUERY_COUNT)):
        await bench.store.update(next(ids), Patch(visibility="private" if number % 2 else "public"))
        pairs.append((await _first_search(viewed, each), await _first_search(bench.store, each)))
    times = Times(tuple(first for first, _ in pairs)), Times(tuple(second for _, second in pairs))
    return timing(bench.part, f"hybrid after a change, {share}", times, "the same without a viewer", "<= 10")


async def _first_search(store: Store, each: BenchQuery) -> float:
    """Return the milliseconds of one search."""
    start = time.perf_counter()
    await store.search(each.query())
    return (time.perf_counter() - start) * 1_000
