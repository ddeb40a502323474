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

MAX_VECTOR_DIMENSIONS = 2_000
"""Most dimensions that pgvector can index as vector; wider vectors are of the type halfvec."""


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """Signature of the embedding model that the vectors of a store belong to."""

    name: str
    dimension: int
    hash: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VectorCensus:
    """Stored vectors: count by width, memories without one, unusable ones of the registered width."""

    by_width: Mapping[int, int]
    without: int
    zero: int
    non_finite: int


@dataclass(frozen=True, slots=True)
class SpareVectors:
    """Shadow table with the vectors of a second model: one being built, or the previous one, kept for a rollback."""

    model: ModelSignature
    role: Literal["building", "kept"]
    vectors: int


@dataclass(frozen=True, slots=True)
class ModelChange:
    """Change of the model that a store belongs to; ``memories`` got new vectors in ``seconds``."""

    kind: Literal["reembed", "in_place", "rollback"]
    before: ModelSignature
    after: ModelSignature
    memories: int
    seconds: float
    changed_at: datetime
    job_id: str | None = None
