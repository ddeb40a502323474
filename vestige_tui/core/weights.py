"""Weights of FSRS with their algorithm and hash, and the weights that a store has kept."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from vestige_tui.core.scheduling import DEFAULT_WEIGHTS

FSRS_6 = "fsrs-6"
"""Algorithm of this program's scheduler."""
WEIGHT_DECIMALS = 4
"""Decimals of fitted weights: fsrs-rs computes in single precision, and every database keeps so many exactly."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of one algorithm; of FSRS-6 there are 21."""

    values: tuple[float, ...] = DEFAULT_WEIGHTS
    algorithm: str = FSRS_6

    @property
    def hash(self) -> str:
        """SHA-256 of the algorithm and the weights, in hexadecimal."""
        return _hash(self.algorithm, self.values)

    @property
    def usable(self) -> bool:
        """Check whether the scheduler takes them: those of FSRS-6, each within its bounds."""
        low, high = bounds()
        return (
            self.algorithm == FSRS_6
            and len(self.values) == len(DEFAULT_WEIGHTS)
            and all(map(math.isfinite, self.values))
            and all(least <= value <= most for least, value, most in zip(low, self.values, high, strict=True))
        )


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Weights as a store keeps them. Those with the latest ``applied_at`` are in force, None was never applied."""

    weights: Weights
    hash: str
    created_at: datetime | None
    applied_at: datetime | None


def fitted(values: Sequence[float]) -> Weights:
    """Return computed values as weights of FSRS-6: within the bounds of the scheduler, rounded."""
    low, high = bounds()
    return Weights(
        tuple(
            round(min(max(value, least), most), WEIGHT_DECIMALS)
            for least, value, most in zip(low, values, high, strict=True)
        )
    )


def bounds() -> tuple[Sequence[float], Sequence[float]]:
    """Return the lowest and the highest value of each weight that py-fsrs takes."""
    from fsrs.scheduler import LOWER_BOUNDS_PARAMETERS, UPPER_BOUNDS_PARAMETERS

    return LOWER_BOUNDS_PARAMETERS, UPPER_BOUNDS_PARAMETERS


@lru_cache(maxsize=64)
def _hash(algorithm: str, values: tuple[float, ...]) -> str:
    return hashlib.sha256(json.dumps([algorithm, values]).encode()).hexdigest()
