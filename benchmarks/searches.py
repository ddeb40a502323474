"""Search without filters: each mode beside its raw parts, beside the textbook statement, and its recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.bench import BackendQuery, asked
from benchmarks.clock import side_by_side, timing
from benchmarks.raw import DEPTH, LIMIT, RawPostgres, RawSqlite, hybrid
from benchmarks.table import Figure
from vestige_tui.core.search import Mode, SearchQuery
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.clock import Times

MODES: tuple[Mode, ...] = ("hybrid", "text", "vector")
ASKED, FEWER = 200, 60
TEXTBOOK_ASKED = 20
LOADED = 3
MILLISECONDS = {1_000: (3.0, None), 100_000: (12.0, 40.0)}
"""What half and 99 % of the hybrid searches may take, by size."""


async def measure(bench: Bench) -> list[Figure]:
    """Every mode, asked the same questions."""
    found = [await _load(bench, bench.raw)] if isinstance(bench.raw, RawSqlite) else []
    for mode in MODES:
        times = await _beside_parts(bench, mode)
        found.append(timing(bench.part, f"search {mode}", times, _PARTS[mode], _goal(bench, mode)))
        if mode == "hybrid":
            found += _in_milliseconds(bench, times[0])
        if isinstance(bench.raw, RawPostgres):
            found.append(await _beside_textbook(bench, bench.raw, mode))
    return [*found, *await _recalls(bench)]


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

    def parts(each: BackendQuery) -> None:
        if mode == "hybrid":
            hybrid(raw, each.text, each.vector)
        elif mode == "text":
            raw.rows(raw.text(each.text)[:LIMIT])
        else:
            raw.rows(raw.vector(each.vector)[:LIMIT])

    # A tail needs many; the rest may be quicker.
    many = asked(ASKED if mode == "hybrid" else FEWER)
    return await side_by_side(lambda each: bench.store.search(each.query(mode)), parts, many)


def _in_milliseconds(bench: Bench, ours: Times) -> list[Figure]:
    half, tail = MILLISECONDS.get(bench.size, (None, None))
    goals = (("half of them", ours.median, half), ("99 % of them", ours.tail, tail))
    return [
        Figure(bench.part, f"search hybrid, {name}", "ms", took, goal, "what it may take", goal="<= 1")
        for name, took, goal in goals
        if goal is not None
    ]


async def _beside_textbook(bench: Bench, raw: RawPostgres, mode: Mode) -> Figure:
    times = await side_by_side(
        lambda each: bench.store.search(each.query(mode)),
        lambda each: raw.textbook(mode, each.text, each.vector),
        asked(TEXTBOOK_ASKED),
    )
    goal = bench.when_large("<= 0.025") if mode == "hybrid" else ""
    return timing(bench.part, f"search {mode}", times, "textbook SQL", goal)


async def _recalls(bench: Bench) -> list[Figure]:
    """How much of what is nearest is found, beside all of it, and beside what the plain driver finds."""
    ids, many = bench.corpus.ids, asked(FEWER)
    ours, bare = dict.fromkeys((LIMIT, DEPTH), 0), dict.fromkeys((LIMIT, DEPTH), 0)
    for each in many:
        order = np.argsort(-(bench.corpus.matrix @ each.vector))[:DEPTH]
        answer = [hit.memory.id for hit in await bench.store.search(each.query("vector", limit=DEPTH))]
        nearest = bench.raw.vector(each.vector)
        few = [hit.memory.id for hit in await bench.store.search(each.query("vector"))]
        for depth, given in ((LIMIT, few), (DEPTH, answer)):
            wanted = {ids[place] for place in order[:depth]}
            ours[depth] += len(wanted.intersection(given))
            bare[depth] += len(wanted.intersection(nearest[:depth]))
    goal = ">= 0.999" if bench.is_sqlite else ">= 0.99"
    found = []
    for depth in (LIMIT, DEPTH):
        name, whole = f"recall@{depth} by vector", depth * len(many)
        share, plain = ours[depth] / whole, bare[depth] / whole
        found.append(Figure(bench.part, name, "", share, 1.0, "numpy, everything measured", goal=goal))
        found.append(Figure(bench.part, name, "", share, plain, "nearest, raw"))
    return found


async def _load(bench: Bench, raw: RawSqlite) -> Figure:
    [each] = asked(1)
    query = SearchQuery(embedding=each.vector, mode="vector", limit=LIMIT)

    async def first(_: int) -> None:
        async with open_store(bench.url, read_only=True) as store:
            await store.search(query)

    times = await side_by_side(first, lambda _: raw.load(), range(LOADED), warm=1)
    return timing(bench.part, "open, first search by meaning", times, "read all vectors into numpy")
