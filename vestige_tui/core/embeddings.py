"""Embedding models and vectors. A vector is a float32 array of shape (dimension,)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]

MAX_VECTOR_DIMENSIONS = 2_000
"""Most dimensions that pgvector can index as vector; wider vectors are of the type halfvec."""


INPUT = "{input}"
"""Placeholder of the text in an encoding template."""


@dataclass(frozen=True, slots=True)
class EncodingTemplates:
    """Forms in which a model reads a text and a query, with ``{input}`` once in each: ``search_query: {input}``.

    Vectors of texts and of queries belong together only if both are encoded by the templates of the store.
    """

    document: str = INPUT
    query: str = INPUT

    def render(self, text: str, *, query: bool = False) -> str:
        """Return a text, or a query, in the form in which the model reads it."""
        before, _, after = (self.query if query else self.document).partition(INPUT)
        return f"{before}{text}{after}"

    def to_options(self) -> dict[str, str]:
        """Return the options of a job that name these templates; none for a model that reads texts as they are."""
        return {} if self == RAW else {"document_template": self.document, "query_template": self.query}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> EncodingTemplates:
        """Return the templates that the options of a job name."""
        return cls(str(options.get("document_template", INPUT)), str(options.get("query_template", INPUT)))


RAW = EncodingTemplates()
"""Templates of a model that reads texts and queries as they are."""


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """Signature of the embedding model that the vectors of a store belong to, and how it encodes texts there."""

    name: str
    dimension: int
    hash: str = ""
    created_at: datetime | None = None
    templates: EncodingTemplates = RAW


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
