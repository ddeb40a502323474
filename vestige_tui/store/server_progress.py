"""Progress of a long statement that the server runs for us, read by a second connection once a second.

A server that does not report it, a role that may not see it and a pooler in between cost only these figures.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.jobs import StepProgress
from vestige_tui.core.log import suppressed

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Row

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MIN_GAIN = 0.002
"""Least fraction gained from which the time left is estimated."""


class StepClock:
    """Estimates the time left of a step from the fractions that it has reached."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name: str | None = None
        self._start = (0.0, 0.0)

    def seconds_left(self, name: str, fraction: float | None) -> float | None:
        """Return the seconds left of a step; None until it has been seen to move."""
        if fraction is None:
            return None
        now = self._clock()
        if name != self._name or fraction < self._start[1]:
            self._name, self._start = name, (now, fraction)
        seconds, gained = now - self._start[0], fraction - self._start[1]
        return round(seconds * (1 - fraction) / gained, 1) if gained >= MIN_GAIN and seconds > 0 else None


def step_of(row: Row, expected: int = 0) -> StepProgress:
    """Return the step of a row of ``server_progress``; ``expected`` tuples if the server does not know how many.

    A figure that this role may not see is missing, and so is the progress.
    """
    done, total = _number(row["tuples_done"]), _number(row["tuples_total"]) or expected
    unit = "tuples"
    if not (done and total):
        done, total, unit = _number(row["blocks_done"]), _number(row["blocks_total"]), "blocks"
    name = str(row["phase"] or "").removeprefix("building index: ")
    return StepProgress(name, min(done, total) if total else 0, total, unit if total else "")


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


@asynccontextmanager
async def watched(
    backend: Backend,
    kind: str,
    show: Callable[[StepProgress], Awaitable[None]],
    *,
    expected: int = 0,
) -> AsyncIterator[None]:
    """Call ``show`` with the progress of a statement of this ``kind`` ("index", "vacuum") until the block ends."""
    if not backend.capabilities.reports_progress:
        yield
        return
    ended = asyncio.Event()
    task = asyncio.create_task(_poll(backend, kind, show, expected, ended))
    try:
        yield
    finally:
        # A driver may turn the cancellation into an error of its own, which is suppressed as any other.
        ended.set()
        task.cancel()
        await asyncio.wait({task})


async def _poll(
    backend: Backend,
    kind: str,
    show: Callable[[StepProgress], Awaitable[None]],
    expected: int,
    ended: asyncio.Event,
) -> None:
    clock = StepClock()
    while not ended.is_set():
        await asyncio.sleep(POLL_SECONDS)
        with suppressed(log, "read the progress of the server", VestigeError):
            records = await backend.fetch("server_progress", {"kind": kind})
            if not records:
                continue
            step = step_of(records[0], expected)
            await show(step.timed(clock.seconds_left(step.name, step.fraction)))
