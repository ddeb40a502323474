"""Search without filters: each mode beside its raw parts and the textbook statement, and its recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.bench import BenchQuery, sample_queries
from benchmarks.clock import side_by_side, timing
from benchmarks.raw import DEPTH, LIMIT, RawPostgres, RawSqlite, hybrid
from benchmarks.table import Figure
from vestige_tui.core.search import Mode, SearchQuery
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.clock import Times

MODES: tuple[Mode, ...] = ("hybrid", "text", "vector")
HYBRID_QUERY_COUNT, QUERY_COUNT = 200, 60
TEXTBOOK_QUERY_COUNT = 20
LOAD_COUNT = 3
HYBRID_GOALS_MS = {1_000: (3.0, None), 100_000: (12.0, 40.0)}
"""Goals for median and p99 of the hybrid search, by size."""


async def measure(bench: Bench) -> list[Figure]:
    """Measure every mode with the same questions."""
    figures = [await _load(bench, bench.raw)] if isinstance(bench.raw, RawSqlite) else []
    for mode in MODES:
        times = await _beside_parts(bench, mode)
        figures.append(timing(bench.part, f"search {mode}", times, _PARTS[mode], _goal(bench, mode)))
        if mode == "hybrid":
            figures += _in_milliseconds(bench, times[0])
        if isinstance(bench.raw, RawPostgres):
            figures.append(await _beside_textbook(bench, bench.raw, mode))
    return [*figures, *await _recalls(bench)]


_PARTS = {
    "hybrid": "its two branches, then the ten memories",
    "text": "any word, then ten memories",
    "vector": "nearest, then ten memories",
}


def _goal(bench: Bench, mode: Mode) -> str:
    if mode == "hybrid":
        return bench.when_large("<= 1.15") if bench.is_sqlite else "<= 1.3"
    return bench.when_large("<= 0.5") if mode == "vector" and bench.is_sqlite else ""


async def _beside_parts(bench: Bench, mode: Mode) -> tuple[Times, Times]:
    raw = bench.raw

    def parts(each: BenchQuery) -> None:
        if mode == "hybrid":
            hybrid(raw, each.text, each.vector)
        elif mode == "text":
            raw.rows(raw.text(each.text)[:LIMIT])
        else:
            raw.rows(raw.vector(each.vector)[:LIMIT])

    # A percentile needs many queries; the other modes have none.
    many = sample_queries(HYBRID_QUERY_COUNT if mode == "hybrid" else QUERY_COUNT)
    return await side_by_side(lambda each: bench.store.search(each.query(mode)), parts, many)


def _in_milliseconds(bench: Bench, ours: Times) -> list[Figure]:
    half, tail = HYBRID_GOALS_MS.get(bench.size, (None, None))
    goals = (("half of them", ours.median, half), ("99 % of them", ours.tail, tail))
    return [
        Figure(bench.part, f"search hybrid, {name}", "ms", ms, goal, "what it may take", goal="<= 1")
        for name, ms, goal in goals
        if goal is not None
    ]


async def _beside_textbook(bench: Bench, raw: RawPostgres, mode: Mode) -> Figure:
    times = await side_by_side(
        lambda each: bench.store.search(each.query(mode)),
        lambda each: raw.textbook(mode, each.text, each.vector),
        sample_queries(TEXTBOOK_QUERY_COUNT),
    )
    goal = bench.when_large("<= 0.025") if mode == "hybrid" else ""
    return timing(bench.part, f"search {mode}", times, "textbook SQL", goal)


async def _recalls(bench: Bench) -> list[Figure]:
    """Return the recall of the nearest vectors, absolute and beside the raw driver's."""
    ids, many = bench.corpus.ids, sample_queries(QUERY_COUNT)
    ours, bare = dict.fromkeys((LIMIT, DEPTH), 0), dict.fromkeys((LIMIT, DEPTH), 0)
    for each in many:
        order = np.argsort(-(bench.corpus.matrix @ each.vector))[:DEPTH]
        answer = [hit.memory.id for hit in await bench.store.search(each.query("vector", limit=DEPTH))]
        nearest = bench.raw.vector(each.vector)
        short_answer = [hit.memory.id for hit in await bench.store.search(each.query("vector"))]
        for depth, hit_ids in ((LIMIT, short_answer), (DEPTH, answer)):
            nearest_ids = {ids[place] for place in order[:depth]}
            ours[depth] += len(nearest_ids.intersection(hit_ids))
            bare[depth] += len(nearest_ids.intersection(nearest[:depth]))
    goal = ">= 0.999" if bench.is_sqlite else ">= 0.99"
    figures = []
    for depth in (LIMIT, DEPTH):
        name, whole = f"recall@{depth} by vector", depth * len(many)
        share, plain = ours[depth] / whole, bare[depth] / whole
        figures.append(Figure(bench.part, name, "", share, 1.0, "numpy, everything measured", goal=goal))
        figures.append(Figure(bench.part, name, "", share, plain, "nearest, raw"))
    return figures


async def _load(bench: Bench, raw: RawSqlite) -> Figure:
    [each] = sample_queries(1)
    query = SearchQuery(embedding=each.vector, mode="vector", limit=LIMIT)

    async def first(_: int) -> None:
        async with open_store(bench.url, read_only=True) as store:
            await store.search(query)

    times = await side_by_side(first, lambda _: raw.load(), range(LOAD_COUNT), warm=1)
    return timing(bench.part, "open, first search by meaning", times, "read all vectors into numpy")
