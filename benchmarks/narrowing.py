"""Search under filters of 0 % to 100 % of the memories: time, recall, and rows returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.bench import BenchQuery, sample_queries
from benchmarks.clock import side_by_side, timing
from benchmarks.corpus import NARROWINGS, Narrowing
from benchmarks.raw import LIMIT
from benchmarks.table import Figure

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from vestige_tui.core.memories import Filter
    from vestige_tui.core.search import Explanation

TIMED_QUERY_COUNT = 15
RECALL_QUERY_COUNT = 6
LENGTH_QUERY_COUNT = 3
LIMITS = (LIMIT, 50)
SHORT_OF = "answers with fewer or more rows"


async def measure(bench: Bench) -> list[Figure]:
    """Measure time for each filter, recall over all and of the worst, and the number of incomplete answers."""
    times, by_vector, hybrid, incomplete, answers = list[Figure](), dict[str, float](), dict[str, float](), 0, 0
    for narrowing in NARROWINGS:
        passing = np.array([narrowing.passes(draft) for draft in bench.corpus.drafts])
        name = f"{narrowing.name} ({100 * passing.mean():.3g} %)"
        times.append(await _time(bench, narrowing, name))
        if passing.any():
            by_vector[name], hybrid[name] = await _recall(bench, narrowing.filter, passing)
        wrong, total = await _count_incomplete(bench, narrowing.filter, int(passing.sum()))
        incomplete, answers = incomplete + wrong, answers + total
    return [
        *times,
        *_recalls(bench, "recall@10 by vector", by_vector, "numpy over what passes"),
        *_recalls(bench, "recall@10 hybrid", hybrid, "the same, measured exactly"),
        Figure(bench.part, f"filtered, {SHORT_OF}", "", incomplete, answers, "min(limit, matches) rows", goal="<= 0"),
    ]


def _recalls(bench: Bench, name: str, recalls: dict[str, float], beside: str) -> list[Figure]:
    worst = min(recalls, key=lambda key: recalls[key])
    mean = sum(recalls.values()) / len(recalls)
    return [
        Figure(bench.part, f"filtered, {name}", "", mean, 1.0, beside, goal=">= 0.99"),
        Figure(bench.part, f"filtered, {name}, worst: {worst}", "", recalls[worst], 1.0, beside, goal=">= 0.95"),
    ]


async def _time(bench: Bench, narrowing: Narrowing, name: str) -> Figure:
    async def narrow(each: BenchQuery) -> None:
        await bench.store.search(each.query(filter=narrowing.filter))

    async def wide(each: BenchQuery) -> None:
        await bench.store.search(each.query())

    times = await side_by_side(narrow, wide, sample_queries(TIMED_QUERY_COUNT))
    return timing(bench.part, f"hybrid, {name}", times, "our hybrid without a filter", "<= 8")


async def _recall(
    bench: Bench, filter: Filter, passing: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[float, float]:
    """Return the recall of the best ten: of the vector branch, and of both branches fused."""
    places = np.flatnonzero(passing)
    matrix, ids = bench.corpus.matrix[places], bench.corpus.ids
    by_meaning = by_both = total_of_meaning = total_of_both = 0
    for each in sample_queries(RECALL_QUERY_COUNT):
        cosines = {ids[place]: float(cosine) for place, cosine in zip(places, matrix @ each.vector, strict=True)}
        order = sorted(cosines, key=lambda memory_id: -cosines[memory_id])
        hits = await bench.store.search(each.query("vector", filter=filter))
        by_meaning += len(set(order[:LIMIT]).intersection(hit.memory.id for hit in hits))
        total_of_meaning += min(LIMIT, len(order))
        explanation = await bench.store.explain(each.query(filter=filter))
        best = _fused(explanation, cosines)[:LIMIT]
        by_both += len(set(best).intersection(hit.memory.id for hit in explanation.answer))
        total_of_both += len(best)
    return by_meaning / total_of_meaning, by_both / total_of_both


def _fused(explanation: Explanation, cosines: dict[str, float]) -> list[str]:
    """Fuse like the service: its own text branch and the exact nearest; ``cosines``: of every passing memory."""
    fusion = explanation.fusion
    hits = {hit.memory.id: hit for hit in (*explanation.vector, *explanation.text)}
    nearest = sorted(cosines, key=lambda memory_id: -cosines[memory_id])[: fusion.depth]
    best, farthest = cosines[nearest[0]], cosines[nearest[-1]]
    base = farthest - (1 - fusion.floor) * abs(farthest)
    most = max((hit.text_score or 0.0 for hit in explanation.text), default=0.0)

    def score(memory_id: str) -> float:
        hit = hits.get(memory_id)
        words = (hit.text_score or 0.0) / most if hit and most else 0.0
        meaning = max(0.0, (cosines[memory_id] - base) / (best - base)) if best > base else 0.0
        return fusion.text_weight * words + fusion.vector_weight * meaning

    return sorted(
        {*nearest, *(hit.memory.id for hit in explanation.text)}, key=lambda memory_id: (-score(memory_id), memory_id)
    )


async def _count_incomplete(bench: Bench, filter: Filter, matches: int) -> tuple[int, int]:
    """Count the answers that do not have min(matches, limit) rows, and all answers."""
    wrong = answers = 0
    for each in sample_queries(LENGTH_QUERY_COUNT):
        for limit in LIMITS:
            for mode in ("hybrid", "vector"):
                hits = await bench.store.search(each.query(mode, limit=limit, filter=filter))
                wrong += len(hits) != min(limit, matches)
                answers += 1
    return wrong, answers
