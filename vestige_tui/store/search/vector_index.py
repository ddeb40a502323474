"""Vector index of a SQLite store: all vectors of the registered model in memory, with binary quantization.

A large store is searched in two passes: the signs of all vectors, packed into bits, choose those that may be near, and
only these are measured exactly. Nothing is written to disk, so nothing can be stale after a restart.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.store.search.binary_quantization import AllowedRows, allowed_rows, best_rows, rows_near_by_signs
from vestige_tui.store.search.filter_sets import FilterSet
from vestige_tui.store.search.vector_arrays import Arrays, bytes_for, pack_signs

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.backends.protocol import ModelKey

Take: TypeAlias = "Callable[[list[tuple[Any, ...]]], None]"
Read: TypeAlias = "Callable[[str, Mapping[str, object], Take], Awaitable[None]]"
"""Runs a named query in a thread and passes its rows on there, chunk by chunk."""

EXACT_VECTORS = 20_000
"""Up to this many vectors are all measured exactly; above it, the bits choose."""
_SAMPLE_VECTORS, _SAMPLE_VECTORS_PER_HIT = 1_200, 40
"""Vectors measured first, in all and for each hit: they estimate the distance of the last hit."""
_INLINE_VECTORS = 2_000
"""Up to this many vectors are searched in the event loop, without a thread."""
_FOREGROUND_VECTORS = 20_000
"""A Vestige file with more vectors is reloaded in the background."""
_REST_FACTOR = 20
"""Pause after such a reload, as a multiple of its duration."""
_MAX_CACHED_SETS = 6
"""Filter sets with cached row indices."""


def memory_limit() -> int:
    """Return the most bytes that a store's vectors may take: a quarter of the machine's memory, at least 1 GB."""
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        installed = 0
    return max(1_000_000_000, installed // 4)


class _Stopped(Exception):
    """Raised in a load when the store is being closed."""


class _TooLarge(Exception):
    """Raised where the vectors would exceed the memory limit."""


class VectorIndex:
    """Unit vectors by the seq of their memory, kept current by ``sync``; ``read`` runs the store's named queries.

    All are of the model ``name`` (without one: of the store's model at the first look). Once the store belongs to
    another model, the index is empty, and ``model`` is that other one. ``rewritten``: another program may change
    vectors in place, so that every sync reads all of them.
    """

    def __init__(
        self, dimension: int, read: Read, *, name: str | None = None, rewritten: bool = False, limit: int | None = None
    ) -> None:
        self.dimension = dimension
        self.name = name
        self._turn: tuple[Any, ...] = ()
        self._other_model: ModelKey | None = None
        self._turn_unchanged = True
        self.limit = memory_limit() if limit is None else limit
        self._read = read
        self._rewritten = rewritten
        # Created with the first vector: most commands never search by vector, and need no numpy then.
        self._arrays: Arrays | None = None
        self._unusable: set[int] = set()
        self._last = 0
        self._alive = 0
        self._changes = 0
        self._cached_rows: OrderedDict[FilterSet, tuple[int, AllowedRows]] = OrderedDict()
        self._token: object = None
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self._closed = False
        self.too_large = 0
        """Number of vectors where they exceed the memory limit, otherwise 0."""

    def __len__(self) -> int:
        return self._alive

    @property
    def own(self) -> ModelKey:
        """Return the model of the vectors that this index can hold."""
        return self.name or "", self.dimension

    @property
    def model(self) -> ModelKey:
        """Return the model that the store belonged to at the last look."""
        return self._other_model or self.own

    @property
    def bytes(self) -> int:
        """Return the bytes that the vectors take in memory."""
        arrays = self._arrays
        return 0 if arrays is None else bytes_for(len(arrays.memory_seqs), self.dimension)

    def stop(self) -> None:
        """Make a running load end soon."""
        self._closed = True

    async def close(self) -> None:
        """Stop a running load, and wait for its end."""
        self.stop()
        if self._task is not None:
            await asyncio.wait({self._task})

    # Keeping up with the store

    async def sync(self, token: object) -> None:
        """Load new vectors and drop deleted ones, where the store has another change token than at the last sync.

        Calls during a sync wait for it. While a large Vestige file is reloaded, no search waits: it uses the vectors
        loaded before.
        """
        async with self._lock:
            if self._task is not None and not self._task.done():
                if self._reloads_in_background():
                    return
                await asyncio.shield(self._task)
            if token == self._token or (self._reloads_in_background() and time.monotonic() < self._rest_until):
                return
            self._task = asyncio.create_task(self._catch_up(token))
            self._task.add_done_callback(_retrieve_error)
            if not self._reloads_in_background():
                await asyncio.shield(self._task)

    def _reloads_in_background(self) -> bool:
        return self._rewritten and self._alive > _FOREGROUND_VECTORS

    async def _catch_up(self, token: object) -> None:
        count, last, turn = await self._measure()
        if self._closed:
            return
        model = (str(turn[0] or ""), int(turn[1] or 0)) if turn else self.own
        if self.name is None:
            self.name = model[0]
        is_other = model != self.own
        self._other_model = model if is_other else None
        self.too_large = count if bytes_for(count, self.dimension) > self.limit and not is_other else 0
        if self.too_large or is_other:
            self._clear()
            self._token = token
            return
        # After a swap and back, the same model's vectors may be in another table, with other seqs.
        reload = self._rewritten or (bool(self._turn) and turn != self._turn)
        self._turn, self._turn_unchanged = turn, True
        started = time.monotonic()
        try:
            if reload:
                await self._read_all(count)
            elif count != self._alive + len(self._unusable) or last != self._last:
                await self._read_new(count)
        except _TooLarge:
            self.too_large = count
            self._clear()
        except _Stopped:
            return
        if not self._turn_unchanged:
            await self._catch_up(token)
            return
        self._rest_until = time.monotonic() + _REST_FACTOR * (time.monotonic() - started)
        self._token = token

    async def _measure(self) -> tuple[int, int, tuple[Any, ...]]:
        """Return the number of vectors, the seq of the last one, and their model with its turn."""
        rows: list[tuple[Any, ...]] = []
        await self._read("measure_embeddings", {}, rows.extend)
        [(count, last, *turn)] = rows
        return int(count), int(last), tuple(turn)

    def _clear(self) -> None:
        self._arrays, self._alive, self._unusable, self._last = None, 0, set(), 0
        self._changes += 1

    def _turn_params(self) -> dict[str, object]:
        """Return the parameters by which named queries select the vectors of this index's model."""
        return dict(zip(("model", "dimension", "turn"), self._turn, strict=False))

    async def _read_all(self, count: int) -> None:
        loaded = VectorIndex(self.dimension, self._read, limit=self.limit)
        await loaded._read(
            "list_embeddings_after", {"seq": -(2**63), **self._turn_params()}, partial(self._fill_loaded, loaded, count)
        )
        self._turn_unchanged = (await self._measure())[2] == self._turn
        if self._turn_unchanged:
            self._arrays, self._alive, self._unusable = loaded._arrays, loaded._alive, loaded._unusable
            self._last = loaded._last
            self._changes += 1

    def _fill_loaded(self, loaded: VectorIndex, count: int, rows: list[tuple[Any, ...]]) -> None:
        if self._closed:
            raise _Stopped
        loaded._add(rows, count=count, known_rows=0)

    async def _read_new(self, count: int) -> None:
        known_rows = 0 if self._arrays is None else self._arrays.used
        params = {"seq": self._last, **self._turn_params()}
        await self._read("list_embeddings_after", params, partial(self._add, count=count, known_rows=known_rows))
        if count != self._alive + len(self._unusable):
            await self._read("list_embedding_seqs", self._turn_params(), self._drop_missing)

    def _add(self, rows: list[tuple[Any, ...]], *, count: int, known_rows: int) -> None:
        """Add rows of [seq, seq of the memory, blob], in the reading thread; ``known_rows`` were there before."""
        import numpy as np

        if self._closed:
            raise _Stopped
        width = 4 * self.dimension
        usable = [
            row for row in rows if row[1] is not None and type(row[2]) is bytes and len(row[2]) // 4 == self.dimension
        ]
        vectors = np.frombuffer(b"".join([row[2][:width] for row in usable]), dtype="<f4").reshape(-1, self.dimension)
        with np.errstate(all="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            good = np.isfinite(norms) & (norms > 0)
        vector_seqs = np.array([row[0] for row in usable], dtype=np.int64)
        memory_seqs = np.array([row[1] for row in usable], dtype=np.int64)
        if not good.all():
            vectors, norms, vector_seqs, memory_seqs = vectors[good], norms[good], vector_seqs[good], memory_seqs[good]
        if len(vectors) < len(rows):
            self._unusable.update({int(row[0]) for row in rows}.difference(vector_seqs.tolist()))
        self._last = max(self._last, max(int(row[0]) for row in rows))
        arrays = self._reserve(len(vectors), count)
        # A rewritten vector has a new seq, so its old row is dropped.
        replaced = np.flatnonzero(arrays.alive[:known_rows] & np.isin(arrays.memory_seqs[:known_rows], memory_seqs))
        arrays.alive[replaced] = False
        start, end = arrays.used, arrays.used + len(vectors)
        # Normalized in place: one more copy would slow down a load of many.
        units = np.divide(vectors, norms[:, None], out=arrays.vectors[start:end])
        arrays.bits[:, start:end] = pack_signs(units).T
        arrays.memory_seqs[start:end] = memory_seqs
        arrays.vector_seqs[start:end] = vector_seqs
        arrays.alive[start:end] = True
        arrays.used = end
        self._alive += len(vectors) - len(replaced)
        self._changes += 1

    def _reserve(self, added: int, count: int) -> Arrays:
        arrays = self._arrays
        if arrays is None:
            arrays = self._arrays = Arrays.of(max(count, added), self.dimension)
        elif arrays.used + added > len(arrays.memory_seqs):
            capacity = max(arrays.used + added, len(arrays.memory_seqs) * 3 // 2)
            if bytes_for(arrays.used + added, self.dimension) > self.limit:
                raise _TooLarge
            arrays = self._arrays = arrays.copy_rows(slice(None), capacity)
        return arrays

    def _drop_missing(self, rows: list[tuple[Any, ...]]) -> None:
        """Drop vectors that are not among these seqs; their room is freed once it is a quarter of all."""
        import numpy as np

        [(text, *flags)] = rows
        self._turn_unchanged = all(flags)
        if not self._turn_unchanged:
            return
        seqs = np.array(str(text).split(",") if text else [], dtype=np.int64)
        self._unusable.intersection_update(seqs.tolist())
        arrays = self._arrays
        if arrays is None:
            return
        arrays.alive[: arrays.used] &= np.isin(arrays.vector_seqs[: arrays.used], seqs)
        living = np.flatnonzero(arrays.alive[: arrays.used])
        self._alive = len(living)
        if len(living) < 0.75 * arrays.used:
            self._arrays = arrays.copy_rows(living, max(len(living), 1))
        self._changes += 1

    # Searching

    async def nearest(
        self, vector: Vector, depth: int, allowed: FilterSet, *, exact: bool = False
    ) -> tuple[list[tuple[int, float]], str]:
        """Return the memories nearest to a vector by seq with their cosines, and a note for the explanation.

        Best first: the ``depth`` best that pass, and all ties of the last of them.
        """
        import numpy as np

        norm = float(np.linalg.norm(vector))
        arrays = self._arrays
        if norm == 0 or not np.isfinite(norm) or vector.shape != (self.dimension,) or arrays is None:
            return [], "no vectors to compare"
        unit = np.asarray(vector / norm, dtype=np.float32)
        # The arrays are arguments, so that a concurrent sync changes nothing under the search.
        work = partial(self._search, arrays, arrays.used, unit, depth, allowed, exact)
        return work() if arrays.used <= _INLINE_VECTORS else await asyncio.to_thread(work)

    def _search(
        self, arrays: Arrays, used: int, unit: Vector, depth: int, filter_set: FilterSet, exact: bool
    ) -> tuple[list[tuple[int, float]], str]:
        allowed = self._allowed_for(arrays, used, filter_set)
        count = used if allowed.indices is None else len(allowed.indices)
        sample = max(_SAMPLE_VECTORS, _SAMPLE_VECTORS_PER_HIT * depth)
        exact_limit = EXACT_VECTORS if allowed.indices is None else EXACT_VECTORS // 2
        indices = None
        if not exact and count > max(exact_limit, 4 * sample):
            indices = rows_near_by_signs(arrays, used, unit, depth, sample, allowed)
        if indices is not None:
            how = f"{allowed.count:,} vectors: binary quantization first, {len(indices):,} compared exactly"
        else:
            indices = allowed.indices
            suffix = "" if filter_set.only is None else " that pass the filters"
            how = f"{allowed.count:,} vectors{suffix}: all compared exactly"
        return best_rows(arrays, used, unit, depth, indices, allowed.hidden), how

    async def cosines(self, vector: Vector, memory_seqs: Collection[int]) -> list[tuple[int, float]]:
        """Return the cosines of these memories by seq; memories without a vector are left out."""
        norm, arrays = math.sqrt(float(vector @ vector)), self._arrays
        if (
            norm == 0
            or not math.isfinite(norm)
            or vector.shape != (self.dimension,)
            or arrays is None
            or not memory_seqs
        ):
            return []
        indices = allowed_rows(arrays, arrays.used, FilterSet(frozenset(memory_seqs), frozenset())).indices
        return best_rows(arrays, arrays.used, vector / norm, len(memory_seqs), indices, None)

    def _allowed_for(self, arrays: Arrays, used: int, filter_set: FilterSet) -> AllowedRows:
        # The counter rises after a change, so a set from before it is never kept for later vectors.
        changes, cached = self._changes, self._cached_rows.get(filter_set)
        if cached is not None and cached[0] == changes and cached[1].used == used:
            return cached[1]
        allowed = allowed_rows(arrays, used, filter_set)
        self._cached_rows[filter_set] = changes, allowed
        while len(self._cached_rows) > _MAX_CACHED_SETS:
            self._cached_rows.popitem(last=False)
        return allowed


def _retrieve_error(task: asyncio.Task[None]) -> None:
    # Marks the error as retrieved: a waiting search raises it; without one, the next search tries again.
    if not task.cancelled():
        task.exception()
