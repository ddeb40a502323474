"""Stages of a job with their weights, from which its share done and the time left follow; pure, without a database.

The share never falls and is below 1 until the job has ended, however wrong the estimates are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_SHARE = 0.99
"""Largest share of a job that has not ended."""
MIN_SECONDS = 1.0
"""Shortest time from which a speed is computed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Part of a job: its name, and its weight, the estimated work in any unit that is the same for all stages."""

    name: str
    weight: float


class Stages:
    """Progress through the stages of one attempt; ``floor`` is the share that an earlier attempt has reached."""

    def __init__(
        self, stages: Sequence[Stage], *, floor: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stages = tuple(stage for stage in stages if stage.weight > 0)
        self._total = sum(stage.weight for stage in self._stages) or 1.0
        self._clock = clock
        self._start = self._stage_start = clock()
        self._index = 0
        self._fraction = self._first_fraction = 0.0
        self._skipped = 0.0
        self._has_moved = False
        self._share = min(MAX_SHARE, max(0.0, floor))

    @property
    def name(self) -> str:
        """Name of the current stage, empty after the last one."""
        return self._stages[self._index].name if self._index < len(self._stages) else ""

    def begin(self, name: str) -> None:
        """Go on to a stage; those before it are done. A stage that is over, or unknown, changes nothing."""
        index = next((index for index, stage in enumerate(self._stages) if stage.name == name), -1)
        if index > self._index:
            self._index, self._fraction, self._first_fraction = index, 0.0, 0.0
            self._stage_start = self._clock()
            self._raise_share()

    def reach(self, name: str, fraction: float) -> None:
        """Set the fraction of a stage that is done, 0..1; a fraction of another than the current one is ignored.

        The first fraction of an attempt may be the work of an earlier one, and counts for no speed.
        """
        self.begin(name)
        if name != self.name:
            return
        fraction = min(1.0, max(0.0, fraction))
        if not self._has_moved and self._index == 0:
            self._first_fraction, self._skipped = fraction, fraction * self._stages[0].weight
        self._has_moved = True
        self._fraction = max(self._fraction, fraction)
        self._raise_share()

    @property
    def share(self) -> float:
        """Share of the whole job that is done, 0..MAX_SHARE; it never falls."""
        return self._share

    def _raise_share(self) -> None:
        self._share = max(self._share, min(MAX_SHARE, self._done / self._total))

    @property
    def _done(self) -> float:
        before = sum(stage.weight for stage in self._stages[: self._index])
        return before + (self._stages[self._index].weight * self._fraction if self._index < len(self._stages) else 0.0)

    def seconds_left(self, stage_left: float | None = None) -> float | None:
        """Return the estimated seconds to the end of the job, None while nothing is known of its speed.

        ``stage_left`` are the seconds to the end of the current stage, where its caller knows them.
        """
        if self._index >= len(self._stages):
            return None
        elapsed = self._clock() - self._start
        done = self._done - self._skipped
        if stage_left is None:
            gained = self._fraction - self._first_fraction
            in_stage = self._clock() - self._stage_start
            if gained > 0 and in_stage >= MIN_SECONDS:
                stage_left = in_stage * (1 - self._fraction) / gained
        later = sum(stage.weight for stage in self._stages[self._index + 1 :])
        if stage_left is not None and not later:
            return stage_left
        if done <= 0 or elapsed < MIN_SECONDS:
            return None
        seconds_per_weight = elapsed / done
        if stage_left is None:
            stage_left = self._stages[self._index].weight * (1 - self._fraction) * seconds_per_weight
        return stage_left + later * seconds_per_weight
