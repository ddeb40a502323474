"""Search under filters, from what leaves nothing to what leaves everything: time, recall, and rows returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.bench import BackendQuery, asked
from benchmarks.clock import side_by_side, timing
from benchmarks.corpus import NARROWINGS, Narrowing
from benchmarks.raw import LIMIT
from benchmarks.table import Figure

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from vestige_tui.core.memories import Filter
    from vestige_tui.core.search import Explanation

TIMED = 15
RECALLED = 6
COUNTED = 3
LIMITS = (LIMIT, 50)
SHORT_OF = "answers with fewer or more rows"


async def measure(bench: Bench) -> list[Figure]:
    """A line of time for each filter, the recall over all and of the worst, and how many answers were not whole."""
    times, meaning, fused, wrong, answers = list[Figure](), dict[str, float](), dict[str, float](), 0, 0
    for narrowing in NARROWINGS:
        passing = np.array([narrowing.passes(draft) for draft in bench.corpus.drafts])
        name = f"{narrowing.name} ({100 * passing.mean():.3g} %)"
        times.append(await _time(bench, narrowing, name))
        if passing.any():
            meaning[name], fused[name] = await _recall(bench, narrowing.filter, passing)
        odd, asked_for = await _counted(bench, narrowing.filter, int(passing.sum()))
        wrong, answers = wrong + odd, answers + asked_for
    return [
        *times,
        *_recalls(bench, "recall@10 by vector", meaning, "numpy over what passes"),
        *_recalls(bench, "recall@10 hybrid", fused, "the same, measured exactly"),
        Figure(bench.part, f"filtered, {SHORT_OF}", "", wrong, answers, "min(limit, matches) rows", goal="<= 0"),
    ]


def _recalls(bench: Bench, what: str, found: dict[str, float], beside: str) -> list[Figure]:
    worst = min(found, key=lambda name: found[name])
    mean = sum(found.values()) / len(found)
    return [
        Figure(bench.part, f"filtered, {what}", "", mean, 1.0, beside, goal=">= 0.99"),
        Figure(bench.part, f"filtered, {what}, worst: {worst}", "", found[worst], 1.0, beside, goal=">= 0.95"),
    ]


async def _time(bench: Bench, narrowing: Narrowing, name: str) -> Figure:
    async def narrow(each: BackendQuery) -> None:
        await bench.store.search(each.query(filter=narrowing.filter))

    async def wide(each: BackendQuery) -> None:
        await bench.store.search(each.query())

    times = await side_by_side(narrow, wide, asked(TIMED))
    return timing(bench.part, f"hybrid, {name}", times, "our hybrid without a filter", "<= 8")


async def _recall(
    bench: Bench, filter: Filter, passing: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[float, float]:
    """How much of the best ten is found: by meaning, and by both branches fused."""
    places = np.flatnonzero(passing)
    matrix, ids = bench.corpus.matrix[places], bench.corpus.ids
    by_meaning = by_both = wanted_of_meaning = wanted_of_both = 0
    for each in asked(RECALLED):
        cosines = {ids[place]: float(cosine) for place, cosine in zip(places, matrix @ each.vector, strict=True)}
        order = sorted(cosines, key=lambda memory_id: -cosines[memory_id])
        found = await bench.store.search(each.query("vector", filter=filter))
        by_meaning += len(set(order[:LIMIT]).intersection(hit.memory.id for hit in found))
        wanted_of_meaning += min(LIMIT, len(order))
        opened = await bench.store.explain(each.query(filter=filter))
        wanted = _fused(opened, cosines)[:LIMIT]
        by_both += len(set(wanted).intersection(hit.memory.id for hit in opened.answer))
        wanted_of_both += len(wanted)
    return by_meaning / wanted_of_meaning, by_both / wanted_of_both


def _fused(opened: Explanation, cosines: dict[str, float]) -> list[str]:
    """The service's fusion, over its own branch by words and the truly nearest; ``cosines``: of all that passes."""
    fusion = opened.fusion
    known = {hit.memory.id: hit for hit in (*opened.vector, *opened.text)}
    nearest = sorted(cosines, key=lambda memory_id: -cosines[memory_id])[: fusion.depth]
    best, farthest = cosines[nearest[0]], cosines[nearest[-1]]
    base = farthest - (1 - fusion.floor) * abs(farthest)
    most = max((hit.text_score or 0.0 for hit in opened.text), default=0.0)

    def score(memory_id: str) -> float:
        hit = known.get(memory_id)
        words = (hit.text_score or 0.0) / most if hit and most else 0.0
        meaning = max(0.0, (cosines[memory_id] - base) / (best - base)) if best > base else 0.0
        return fusion.text_weight * words + fusion.vector_weight * meaning

    return sorted(
        {*nearest, *(hit.memory.id for hit in opened.text)}, key=lambda memory_id: (-score(memory_id), memory_id)
    )


async def _counted(bench: Bench, filter: Filter, matches: int) -> tuple[int, int]:
    """How many answers had not as many rows as there are matches, up to their limit; and how many were looked at."""
    wrong = answers = 0
    for each in asked(COUNTED):
        for limit in LIMITS:
            for mode in ("hybrid", "vector"):
                found = await bench.store.search(each.query(mode, limit=limit, filter=filter))
                wrong += len(found) != min(limit, matches)
                answers += 1
    return wrong, answers
