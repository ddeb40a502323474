"""Search for the nearest vectors in two passes: by their signs alone (binary quantization), then by exact cosines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vestige_tui.store.search.filter_sets import FilterSet
from vestige_tui.store.search.vector_arrays import Arrays, pack_signs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vestige_tui.core.embeddings import Vector

_DEVIATIONS = 2.75
"""Standard deviations beyond the expected number of differing signs that a nearer vector is allowed."""
_TIE_MARGIN = 1e-6
"""Margin within which float32 cosines are measured again in float64."""


@dataclass(frozen=True, slots=True)
class AllowedRows:
    """Rows of the arrays that a search reads: ``indices``, or the first ``used``, except the ``hidden`` ones."""

    used: int
    count: int
    indices: NDArray[np.int64] | None
    hidden: NDArray[np.bool_] | None


def allowed_rows(arrays: Arrays, used: int, filter_set: FilterSet) -> AllowedRows:
    """Return the rows of the arrays that pass a filter set."""
    import numpy as np

    memory_seqs, alive = arrays.memory_seqs[:used], arrays.alive[:used]
    if filter_set.only is not None:
        only = np.fromiter(filter_set.only, dtype=np.int64, count=len(filter_set.only))
        indices = np.flatnonzero(np.isin(memory_seqs, only) & alive)
        return AllowedRows(used, len(indices), indices, None)
    hidden = ~alive
    if filter_set.without:
        hidden |= np.isin(memory_seqs, np.fromiter(filter_set.without, dtype=np.int64, count=len(filter_set.without)))
    count = used - int(np.count_nonzero(hidden))
    return AllowedRows(used, count, None, hidden if count < used else None)


def rows_near_by_signs(
    arrays: Arrays, used: int, unit: Vector, depth: int, sample: int, allowed: AllowedRows
) -> NDArray[np.int64] | None:
    """Return the rows that may be among the ``depth`` nearest by their signs; None where signs decide too little.

    Two vectors differ in a share of their signs that is their angle / 180 degrees, with binomial scatter. So the
    cosines of the nearest ``sample`` rows by signs bound the number of differing signs of any row that is as near.
    """
    import numpy as np

    distances = _differing_signs(arrays.bits, used, unit, allowed)
    dimension = arrays.vectors.shape[1]
    within = np.cumsum(np.bincount(distances, minlength=dimension + 1))
    max_differing = int(np.searchsorted(within, sample))
    if max_differing > dimension:
        return None
    indices = np.flatnonzero(distances <= max_differing)
    scores = _cosines(arrays.vectors[indices if allowed.indices is None else allowed.indices[indices]], unit)
    angle_share = math.acos(float(np.clip(np.partition(scores, -depth)[-depth], -1, 1))) / math.pi
    max_differing = max(
        max_differing,
        math.ceil(dimension * angle_share + _DEVIATIONS * math.sqrt(dimension * angle_share * (1 - angle_share))),
    )
    # Gathering single rows costs four times as much as reading all in sequence.
    if max_differing > dimension or within[max_differing] > len(distances) / 4:
        return None
    indices = np.flatnonzero(distances <= max_differing)
    return indices if allowed.indices is None else allowed.indices[indices]


def _cosines(vectors: NDArray[np.float32], unit: Vector) -> NDArray[np.float32]:
    import numpy as np

    # In this thread alone: a product on all cores would wait for the concurrent text branch.
    cosines: NDArray[np.float32] = np.einsum("ij,j->i", vectors, unit)
    return cosines


def _differing_signs(bits: NDArray[np.uint64], used: int, unit: Vector, allowed: AllowedRows) -> NDArray[np.uint16]:
    """Return the number of signs in which each row differs from a vector; above the maximum for a hidden one."""
    import numpy as np

    [signs] = pack_signs(unit[None, :])
    counts = np.zeros(used if allowed.indices is None else len(allowed.indices), dtype=np.uint16)
    for word, sign in zip(bits, signs, strict=True):
        counts += np.bitwise_count((word[:used] if allowed.indices is None else word[allowed.indices]) ^ sign)
    if allowed.hidden is not None:
        counts[allowed.hidden] = len(unit) + 1
    return counts


def best_rows(
    arrays: Arrays,
    used: int,
    unit: Vector,
    depth: int,
    indices: NDArray[np.int64] | None,
    hidden: NDArray[np.bool_] | None,
) -> list[tuple[int, float]]:
    """Return the nearest memories by seq with their exact cosines, best first, and all ties of the last."""
    import numpy as np

    scores = _cosines(arrays.vectors[:used] if indices is None else arrays.vectors[indices], unit)
    if indices is None and hidden is not None:
        scores[hidden] = -np.inf
    if len(scores) > depth:
        lowest = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        nearest = np.flatnonzero(scores >= lowest - _TIE_MARGIN)
    else:
        nearest = np.arange(len(scores))
    nearest = nearest[np.isfinite(scores[nearest])]
    rows = nearest if indices is None else indices[nearest]
    # Measured again in float64: a matrix product rounds equal rows differently, and ties must be ties.
    exact = (arrays.vectors[rows].astype(np.float64) * unit).sum(axis=1)
    order = np.argsort(-exact, kind="stable")
    if len(order) > depth:
        order = order[exact[order] >= exact[order[depth - 1]]]
    return list(zip(arrays.memory_seqs[rows[order]].tolist(), exact[order].tolist(), strict=True))
