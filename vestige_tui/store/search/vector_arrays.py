"""Arrays of the vector index: unit vectors, the signs of each as bits, and the memories that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True, eq=False)
class Arrays:
    """Arrays with spare capacity; rows from ``used`` on are undefined. A search keeps those it started with."""

    vectors: NDArray[np.float32]
    """Unit vectors, (capacity, dimension)."""
    bits: NDArray[np.uint64]
    """Their signs, (words, capacity)."""
    memory_seqs: NDArray[np.int64]
    """Seq of the memory of each vector."""
    vector_seqs: NDArray[np.int64]
    """Seq of the vector itself."""
    alive: NDArray[np.bool_]
    used: int = 0

    @classmethod
    def of(cls, capacity: int, dimension: int) -> Arrays:
        import numpy as np

        return cls(
            np.empty((capacity, dimension), dtype=np.float32),
            np.empty((-(-dimension // 64), capacity), dtype=np.uint64),
            np.empty(capacity, dtype=np.int64),
            np.empty(capacity, dtype=np.int64),
            np.zeros(capacity, dtype=np.bool_),
        )

    def copy_rows(self, indices: NDArray[np.int64] | slice, capacity: int) -> Arrays:
        """Return new arrays that begin with a copy of these rows."""
        arrays = Arrays.of(capacity, self.vectors.shape[1])
        memory_seqs = self.memory_seqs[: self.used][indices]
        arrays.used = len(memory_seqs)
        arrays.memory_seqs[: arrays.used] = memory_seqs
        arrays.vectors[: arrays.used] = self.vectors[: self.used][indices]
        arrays.bits[:, : arrays.used] = self.bits[:, : self.used][:, indices]
        arrays.vector_seqs[: arrays.used] = self.vector_seqs[: self.used][indices]
        arrays.alive[: arrays.used] = self.alive[: self.used][indices]
        return arrays


def bytes_for(count: int, dimension: int) -> int:
    """Return the bytes that this many vectors take in memory."""
    return count * (4 * dimension + 8 * -(-dimension // 64) + 17)


def pack_signs(units: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return the signs of vectors as 64-bit words: (rows, words)."""
    import numpy as np

    short = -units.shape[1] % 64
    signs = units > 0
    if short:
        signs = np.pad(signs, ((0, 0), (0, short)))
    return np.packbits(signs, axis=1).view(np.uint64)
