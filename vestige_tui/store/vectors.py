"""The vector index beside a SQLite file: all vectors of the registered width in memory, searched exactly.

Nothing is written to disk, so nothing can go stale: rows that were written since are found by their growing seq.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vestige_tui.store.rows import as_vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vestige_tui.model import Vector
    from vestige_tui.store.backend import Row

CHUNK = 4_000
_INLINE = 8_000


class VectorIndex:
    """Unit vectors by memory id. ``fetch`` asks the store's named queries."""

    def __init__(self, dimension: int, fetch: Callable[[str, dict[str, Any]], Awaitable[list[Row]]]) -> None:
        self.dimension = dimension
        self._fetch = fetch
        # Made with the first vector: most commands never search by meaning, and need no numpy then.
        self._matrix: NDArray[np.float32] | None = None
        self._used = 0
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._row_of_seq: dict[int, int | None] = {}
        self._last = 0
        self._lock = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def bytes(self) -> int:
        """What the vectors take in memory."""
        return 0 if self._matrix is None else int(self._matrix.nbytes)

    async def sync(self) -> None:
        """Bring in what was written, and drop what was deleted, since the last time."""
        async with self._lock:
            [measure] = await self._fetch("measure_embeddings", {})
            if measure["n"] == len(self._row_of_seq) and measure["last"] == self._last:
                return
            while rows := await self._fetch("list_embeddings_after", {"seq": self._last, "limit": CHUNK}):
                self._add(rows)
                self._last = int(rows[-1]["seq"])
                # Each chunk gives the event loop its turn, so that typing never waits for a load.
                await asyncio.sleep(0)
            if measure["n"] != len(self._row_of_seq):
                self._keep({int(row["seq"]) for row in await self._fetch("list_embedding_seqs", {})})

    def _add(self, rows: Sequence[Row]) -> None:
        import numpy as np

        usable: list[Vector] = []
        for row in rows:
            vector, place = as_vector(row["embedding"]), None
            norm = float(np.linalg.norm(vector)) if vector.shape == (self.dimension,) else 0.0
            if norm > 0 and np.isfinite(norm):
                place = self._used + len(usable)
                usable.append(vector / np.float32(norm))
                self._row_of[str(row["node_id"])] = place
                self._ids.append(str(row["node_id"]))
            self._row_of_seq[int(row["seq"])] = place
        if not usable:
            return
        held, needed = self._matrix, self._used + len(usable)
        if held is None or needed > len(held):
            grown = np.zeros((max(needed, self._used * 3 // 2), self.dimension), dtype=np.float32)
            if held is not None:
                grown[: self._used] = held[: self._used]
            self._matrix = held = grown
        held[self._used : needed] = np.stack(usable)
        self._used = needed

    def _keep(self, seqs: set[int]) -> None:
        kept = sorted((place, seq) for seq, place in self._row_of_seq.items() if seq in seqs and place is not None)
        places = [place for place, _ in kept]
        self._matrix = None if self._matrix is None else self._matrix[places]
        self._ids = [self._ids[place] for place in places]
        self._row_of = {memory_id: place for place, memory_id in enumerate(self._ids)}
        self._row_of_seq = {seq: None for seq, place in self._row_of_seq.items() if seq in seqs and place is None}
        self._row_of_seq.update({seq: place for place, (_, seq) in enumerate(kept)})
        self._used = len(places)

    async def nearest(self, vector: Vector, depth: int, among: Iterable[str] | None = None) -> list[tuple[str, float]]:
        """The ids nearest to a vector with their cosines, best first, ties by id; only ``among`` these where given."""
        import numpy as np

        norm = float(np.linalg.norm(vector))
        if norm == 0 or not np.isfinite(norm) or vector.shape != (self.dimension,) or self._matrix is None:
            return []
        unit = np.asarray(vector / norm, dtype=np.float32)
        places: NDArray[np.int64] | None = None
        if among is not None:
            found = [self._row_of[memory_id] for memory_id in among if memory_id in self._row_of]
            places = np.asarray(found, dtype=np.int64)
        # The arrays are handed over, so that a sync meanwhile changes nothing under the search.
        work = (self._matrix[: self._used], self._ids, unit, depth, places)
        count = self._used if places is None else len(places)
        return _nearest(*work) if count <= _INLINE else await asyncio.to_thread(_nearest, *work)


def _nearest(
    matrix: NDArray[np.float32], ids: list[str], unit: Vector, depth: int, places: NDArray[np.int64] | None
) -> list[tuple[str, float]]:
    import numpy as np

    live = np.arange(len(matrix)) if places is None else places
    scores = (matrix if places is None else matrix[places]) @ unit
    top = np.argpartition(-scores, depth)[: depth + 1] if depth < len(scores) else np.arange(len(scores))
    best = sorted(((ids[live[i]], float(scores[i])) for i in top), key=lambda hit: (-hit[1], hit[0]))
    return best[:depth]
