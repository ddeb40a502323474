"""Timing of two alternatives side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.table import Figure

WARMUP_COUNT = 5

Input = TypeVar("Input")


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of each call."""

    all: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.all)

    @property
    def tail(self) -> float:
        """99th percentile."""
        return sorted(self.all)[min(len(self.all) - 1, int(len(self.all) * 0.99))]


async def side_by_side(
    ours: Callable[[Input], Awaitable[object]],
    raw: Callable[[Input], object] | Callable[[Input], Awaitable[object]],
    inputs: Sequence[Input],
    *,
    warm: int = WARMUP_COUNT,
) -> tuple[Times, Times]:
    """Time both for each input in turn, after a few uncounted warm-up calls (``warm``)."""
    pairs: list[tuple[float, float]] = []
    for each in [*inputs[:warm], *inputs]:
        start = time.perf_counter()
        await ours(each)
        middle = time.perf_counter()
        result = raw(each)
        if isinstance(result, Awaitable):
            await result
        pairs.append((middle - start, time.perf_counter() - middle))
    measured = pairs[min(warm, len(inputs)) :]
    return _times(first for first, _ in measured), _times(second for _, second in measured)


def _times(seconds: Iterable[float]) -> Times:
    return Times(tuple(each * 1_000 for each in seconds))


def timing(part: str, name: str, times: tuple[Times, Times], beside: str, goal: str = "") -> Figure:
    """Return the figure of such a pair."""
    ours, raw = times
    return Figure(part, name, "ms", ours.median, raw.median, beside, ours.tail, raw.tail, goal)
