"""Embedding models and vectors. A vector is a float32 array of shape (dimension,)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """Which embedding model the vectors of a store come from."""

    name: str
    dimension: int
    hash: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VectorCensus:
    """What vectors are really there: count by width, memories without one, unusable ones of the registered width."""

    by_width: Mapping[int, int]
    without: int
    zero: int
    non_finite: int


@dataclass(frozen=True, slots=True)
class SpareVectors:
    """The vectors of a second model that a store holds: those being made for it, or those of the model before."""

    model: ModelSignature
    role: Literal["building", "kept"]
    vectors: int


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A store came to belong to another model; ``memories`` got new vectors in ``seconds``."""

    kind: Literal["reembed", "in_place", "rollback"]
    before: ModelSignature
    after: ModelSignature
    memories: int
    seconds: float
    changed_at: datetime
    job_id: str | None = None
