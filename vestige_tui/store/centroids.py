"""Centroid of a domain: the mean of the vectors of its memories, by the database or here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.domains import DomainScore
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.backends.protocol import Row

Fetch: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[Sequence["Row"]]]
"""Returns the rows of a named query."""

BATCH_VECTORS = 4_000


async def centroid_of(fetch: Fetch, domain: str, dimension: int, *, by_database: bool) -> Vector | None:
    """Return the mean of a domain's vectors of this dimension; None if it has none."""
    import numpy as np

    if by_database:
        [row] = await fetch("average_domain", {"id": domain})
        return None if row["centroid"] is None else rows.as_vector(row["centroid"])
    total, count, seq = np.zeros(dimension), 0, 0
    while records := await fetch("list_domain_vectors", {"id": domain, "seq": seq, "limit": BATCH_VECTORS}):
        blobs = [row["embedding"] for row in records]
        batch, batch_count = await asyncio.to_thread(_sum, blobs, dimension)
        total, count, seq = total + batch, count + batch_count, int(records[-1]["seq"])
    return (total / count).astype(np.float32) if count else None


def _sum(blobs: Sequence[object], dimension: int) -> tuple[Any, int]:
    import numpy as np

    fitting = (vector for vector in map(rows.as_vector, blobs) if len(vector) == dimension)
    vectors = [vector for vector in fitting if np.isfinite(vector).all()]
    return np.sum(vectors, axis=0, dtype=np.float64) if vectors else np.zeros(dimension), len(vectors)


async def similarities(records: Sequence[Row], vector: Vector) -> list[DomainScore]:
    """Return domains by the cosine of their centroids and a vector, best first; none of a centroid without direction.

    ``records``: id, label and centroid, of the vector's dimension.
    """
    return await asyncio.to_thread(_similarities, records, vector)


def _similarities(records: Sequence[Row], vector: Vector) -> list[DomainScore]:
    import numpy as np

    if not records:
        return []
    centroids = np.stack([rows.as_vector(row["centroid"]) for row in records])
    norms = np.linalg.norm(centroids, axis=1) * np.linalg.norm(vector)
    products = centroids @ vector
    scores = [
        rows.domain_score({**row, "similarity": product / norm})
        for row, product, norm in zip(records, products, norms, strict=True)
        if norm > 0
    ]
    return sorted(scores, key=lambda score: (-score.similarity, score.name))
