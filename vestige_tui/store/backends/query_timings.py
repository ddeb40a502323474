"""Durations of the named queries of one open store, in a fixed number of counters, so that memory does not grow."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import log2

from vestige_tui.core.health import QueryTiming

log = logging.getLogger(__name__)

NAMES = 256
"""Number of names that have counters of their own; all later ones share one."""
OTHER = "all other queries"
SLOW_SECONDS = 1.0
"""A query that takes longer is logged as a warning."""
_BUCKETS_PER_DOUBLING = 6
"""Buckets between a duration and its double."""
_BUCKET_COUNT = 34 * _BUCKETS_PER_DOUBLING
"""Buckets from one microsecond to about four hours, each an eighth longer than the one before."""


@dataclass(slots=True)
class _Counter:
    """Durations of one name in seconds, and the number of calls in each bucket."""

    count: int = 0
    total: float = 0.0
    longest: float = 0.0
    last: float = 0.0
    last_at: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKET_COUNT)


class _Timing:
    """Context manager that times one query; a class, because a generator would cost three times as much."""

    __slots__ = ("_name", "_started", "_timings")

    def __init__(self, timings: Timings, name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.note(self._name, time.perf_counter() - self._started)


class Timings:
    """Recorder of query durations; ``note`` may be called from any thread."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._lock = threading.Lock()

    def note(self, name: str, seconds: float) -> None:
        """Record the duration of a query of this name, as its caller waited for it."""
        if seconds >= SLOW_SECONDS:
            log.warning("Slow query: %s took %.1f s", name, seconds)
        elif log.isEnabledFor(logging.DEBUG):
            log.debug("%s took %.1f ms", name, seconds * 1000)
        micros = seconds * 1e6
        bucket = min(_BUCKET_COUNT - 1, int(log2(micros) * _BUCKETS_PER_DOUBLING)) if micros > 1 else 0
        with self._lock:
            counter = self._counters.get(name)
            if counter is None:
                counter = self._add_counter(name)
            counter.count += 1
            counter.total += seconds
            if seconds > counter.longest:
                counter.longest = seconds
            counter.last = seconds
            counter.last_at = time.time()
            counter.buckets[bucket] += 1

    def of(self, name: str) -> _Timing:
        """Return a context manager that times a query of this name, even when it fails."""
        return _Timing(self, name)

    def _add_counter(self, name: str) -> _Counter:
        if len(self._counters) >= NAMES:
            name = OTHER
        return self._counters.setdefault(name, _Counter())

    def slowest(self) -> tuple[QueryTiming, ...]:
        """Return the recorded timings, longest total first."""
        with self._lock:
            timings = [_timing(name, counter) for name, counter in self._counters.items()]
        return tuple(sorted(timings, key=lambda each: (-each.total_ms, each.name)))


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
    """Estimate the quantile in milliseconds: the middle of its bucket, an eighth off at most."""
    target, cumulative = share * counter.count, 0
    for bucket, count in enumerate(counter.buckets):
        cumulative += count
        if cumulative == counter.count:
            break
        if cumulative >= target:
            return min(2 ** ((bucket + 0.5) / _BUCKETS_PER_DOUBLING) / 1000, counter.longest * 1000)
    return counter.longest * 1000
