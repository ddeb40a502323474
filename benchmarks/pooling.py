"""Search and copy through PgBouncer in transaction mode beside the direct line to the same server."""

from __future__ import annotations

import statistics
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from benchmarks.bench import BenchQuery, sample_queries
from benchmarks.clock import side_by_side, timing
from benchmarks.copying import copy
from benchmarks.table import Figure
from tests.support.pgbouncer import pgbouncer, program
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.servers import Server

QUERY_COUNT = 100
ROUND_COUNT = 3
BESIDE = "the direct line"


async def measure(bench: Bench) -> list[Figure]:
    """Measure the hybrid search; nothing for SQLite, or without the program."""
    if bench.is_sqlite or program() is None:
        return []
    async with AsyncExitStack() as stack:
        pooler = stack.enter_context(pgbouncer(bench.url, "transaction"))
        store = await stack.enter_async_context(open_store(pooler.url(bench.url)))

        async def direct(each: BenchQuery) -> object:
            return await bench.store.search(each.query())

        times = await side_by_side(lambda each: store.search(each.query()), direct, sample_queries(QUERY_COUNT))
        return [timing(bench.part, "search hybrid, through PgBouncer", times, BESIDE, bench.when_large("<= 1.5"))]


async def measure_copy(source: str, size: int, server: Server) -> list[Figure]:
    """Measure copies into new databases, on either line in turn."""
    if program() is None:
        return []
    pooled: list[float] = []
    direct: list[float] = []
    with pgbouncer(server.url, "transaction") as pooler:
        for _ in range(ROUND_COUNT):
            pooled.append((await copy(source, pooler.url(server.database()))).whole)
            direct.append((await copy(source, server.database())).whole)
    name = f"{size:,} memories, with vector index, through PgBouncer"
    ours, raw = (size / statistics.median(each) for each in (pooled, direct))
    return [Figure("copy", name, "memories/s", ours, raw, BESIDE, goal=">= 0.67")]
