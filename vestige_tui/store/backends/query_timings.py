"""How long the named queries of one open store took: a fixed number of counters each, so that nothing grows."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import log2

from vestige_tui.core.health import QueryTiming

NAMES = 256
"""So many names have counters of their own; what comes after them is counted together."""
OTHER = "all other queries"
_PER_DOUBLING = 6
_BUCKETS = 34 * _PER_DOUBLING
"""From one microsecond to about four hours, each bucket an eighth longer than the one before."""


@dataclass(slots=True)
class _Counter:
    """What is kept of one name; seconds, and how many calls fell into each bucket."""

    count: int = 0
    total: float = 0.0
    longest: float = 0.0
    last: float = 0.0
    last_at: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKETS)


class _Timing:
    """One query under way; a class of its own, because a generator would cost three times as much."""

    __slots__ = ("_name", "_started", "_timings")

    def __init__(self, timings: Timings, name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.note(self._name, time.perf_counter() - self._started)


class Timings:
    """A recorder; ``note`` may be called from any thread."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._lock = threading.Lock()

    def note(self, name: str, seconds: float) -> None:
        """A query of this name took so long, as whoever asked it waited."""
        micros = seconds * 1e6
        bucket = min(_BUCKETS - 1, int(log2(micros) * _PER_DOUBLING)) if micros > 1 else 0
        with self._lock:
            counter = self._counters.get(name)
            if counter is None:
                counter = self._new(name)
            counter.count += 1
            counter.total += seconds
            if seconds > counter.longest:
                counter.longest = seconds
            counter.last = seconds
            counter.last_at = time.time()
            counter.buckets[bucket] += 1

    def of(self, name: str) -> _Timing:
        """A block whose time is that of a query of this name, however it ends."""
        return _Timing(self, name)

    def _new(self, name: str) -> _Counter:
        if len(self._counters) >= NAMES:
            name = OTHER
        return self._counters.setdefault(name, _Counter())

    def slowest(self) -> tuple[QueryTiming, ...]:
        """What was recorded, the queries that took most time in all first."""
        with self._lock:
            found = [_timing(name, counter) for name, counter in self._counters.items()]
        return tuple(sorted(found, key=lambda each: (-each.total_ms, each.name)))


def _timing(name: str, counter: _Counter) -> QueryTiming:
    return QueryTiming(
        name=name,
        count=counter.count,
        total_ms=counter.total * 1000,
        median_ms=_quantile(counter, 0.5),
        p95_ms=_quantile(counter, 0.95),
        longest_ms=counter.longest * 1000,
        last_ms=counter.last * 1000,
        last_at=datetime.fromtimestamp(counter.last_at, UTC),
    )


def _quantile(counter: _Counter, share: float) -> float:
    """Milliseconds within which this share of the calls ended: the middle of its bucket, an eighth off at most."""
    wanted, seen = share * counter.count, 0
    for bucket, count in enumerate(counter.buckets):
        seen += count
        if seen == counter.count:
            break
        if seen >= wanted:
            return min(2 ** ((bucket + 0.5) / _PER_DOUBLING) / 1000, counter.longest * 1000)
    return counter.longest * 1000
