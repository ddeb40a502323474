"""The vector index beside a SQLite file: all vectors of the registered model in memory.

A large store is searched in two steps: the signs of all vectors, packed into bits, say which of them may be near, and
these are measured exactly. Nothing is written to disk, so nothing can go stale between two sittings.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.store.search.filter_sets import Passing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.backends.protocol import ModelKey

Take: TypeAlias = "Callable[[list[tuple[Any, ...]]], None]"
Read: TypeAlias = "Callable[[str, Mapping[str, object], Take], Awaitable[None]]"
"""Runs a named query in a thread and hands over its rows there, chunk by chunk."""

EXACT = 20_000
"""So many vectors are all measured; of more, the bits choose."""
_FIRST, _FIRST_EACH = 1_200, 40
"""So many, and so many for each hit that is wanted, are measured first: they say how near is near."""
_DEVIATIONS = 2.75
"""As far beyond what chance has it the signs of a vector may differ that is nearer than the last hit."""
_INLINE = 2_000
_SMALL = 20_000
_REST = 20
_PLACES_KEPT = 6
_CLOSE = 1e-6


def memory_limit() -> int:
    """How many bytes the vectors of a store may take: a quarter of the machine's memory, 1 GB at least."""
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        installed = 0
    return max(1_000_000_000, installed // 4)


class _Stopped(Exception):
    """The store is being closed."""


class _TooLarge(Exception):
    """The vectors would take more memory than they may."""


@dataclass(slots=True, eq=False)
class _Held:
    """Arrays with room to grow; what lies behind ``used`` is nobody's. A search keeps those it began with."""

    rows: NDArray[np.float32]
    """Unit vectors, (room, dimension)."""
    bits: NDArray[np.uint64]
    """Their signs, (words, room)."""
    memories: NDArray[np.int64]
    """The seq of each one's memory."""
    written: NDArray[np.int64]
    """The seq of the vector itself."""
    alive: NDArray[np.bool_]
    used: int = 0

    @classmethod
    def of(cls, room: int, dimension: int) -> _Held:
        import numpy as np

        return cls(
            np.empty((room, dimension), dtype=np.float32),
            np.empty((-(-dimension // 64), room), dtype=np.uint64),
            np.empty(room, dtype=np.int64),
            np.empty(room, dtype=np.int64),
            np.zeros(room, dtype=np.bool_),
        )

    def taking(self, places: NDArray[np.int64] | slice, room: int) -> _Held:
        """New arrays that begin with some of these rows."""
        made = _Held.of(room, self.rows.shape[1])
        kept = self.memories[: self.used][places]
        made.used = len(kept)
        made.memories[: made.used] = kept
        made.rows[: made.used] = self.rows[: self.used][places]
        made.bits[:, : made.used] = self.bits[:, : self.used][:, places]
        made.written[: made.used] = self.written[: self.used][places]
        made.alive[: made.used] = self.alive[: self.used][places]
        return made


def _bytes_for(count: int, dimension: int) -> int:
    return count * (4 * dimension + 8 * -(-dimension // 64) + 17)


class VectorIndex:
    """Unit vectors by the seq of their memory, kept current by ``sync``; ``read`` asks the store's named queries.

    They are all of the model ``name`` (where none is given: the one that the store has at the first look). Once the
    store belongs to another one, the index is empty, and ``model`` is that one.
    ``rewritten``: vectors may change in place, as somebody else's program changes them, so that a new look reads all.
    """

    def __init__(
        self, dimension: int, read: Read, *, name: str | None = None, rewritten: bool = False, limit: int | None = None
    ) -> None:
        self.dimension = dimension
        self.name = name
        self._whose: tuple[Any, ...] = ()
        self._moved: ModelKey | None = None
        self._same = True
        self.limit = memory_limit() if limit is None else limit
        self._read = read
        self._rewritten = rewritten
        # Made with the first vector: most commands never search by meaning, and need no numpy then.
        self._held: _Held | None = None
        self._unusable: set[int] = set()
        self._last = 0
        self._alive = 0
        self._changes = 0
        self._places: OrderedDict[Passing, tuple[int, _Allowed]] = OrderedDict()
        self._token: object = None
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self._closed = False
        self.too_large = 0
        """How many vectors there are where they are too many to be held, otherwise 0."""

    def __len__(self) -> int:
        return self._alive

    @property
    def own(self) -> ModelKey:
        """The model whose vectors this index can hold."""
        return self.name or "", self.dimension

    @property
    def model(self) -> ModelKey:
        """The model that the store belonged to at the last look."""
        return self._moved or self.own

    @property
    def bytes(self) -> int:
        """What the vectors take in memory."""
        held = self._held
        return 0 if held is None else _bytes_for(len(held.memories), self.dimension)

    def stop(self) -> None:
        """Let a load that is under way end soon."""
        self._closed = True

    async def close(self) -> None:
        """Stop a load that is under way, and wait for its end."""
        self.stop()
        if self._task is not None:
            await asyncio.wait({self._task})

    # Keeping up with the store

    async def sync(self, token: object) -> None:
        """Bring in what was written, and drop what was deleted, since the store bore another token.

        Whoever comes while this is under way waits for it. Where a large store of somebody else is read anew, nobody
        waits: a search meanwhile is answered by what was there before.
        """
        async with self._lock:
            if self._task is not None and not self._task.done():
                if self._reads_anew():
                    return
                await asyncio.shield(self._task)
            if token == self._token or (self._reads_anew() and time.monotonic() < self._rest_until):
                return
            self._task = asyncio.create_task(self._catch_up(token))
            self._task.add_done_callback(_looked_at)
            if not self._reads_anew():
                await asyncio.shield(self._task)

    def _reads_anew(self) -> bool:
        return self._rewritten and self._alive > _SMALL

    async def _catch_up(self, token: object) -> None:
        count, last, whose = await self._look()
        if self._closed:
            return
        there = (str(whose[0] or ""), int(whose[1] or 0)) if whose else self.own
        if self.name is None:
            self.name = there[0]
        of_another = there != self.own
        self._moved = there if of_another else None
        self.too_large = count if _bytes_for(count, self.dimension) > self.limit and not of_another else 0
        if self.too_large or of_another:
            self._forget()
            self._token = token
            return
        # Those that were away have come back in a table that may be another one, with other seqs.
        anew = self._rewritten or (bool(self._whose) and whose != self._whose)
        self._whose, self._same = whose, True
        started = time.monotonic()
        try:
            if anew:
                await self._read_all(count)
            elif count != self._alive + len(self._unusable) or last != self._last:
                await self._read_new(count)
        except _TooLarge:
            self.too_large = count
            self._forget()
        except _Stopped:
            return
        if not self._same:
            await self._catch_up(token)
            return
        self._rest_until = time.monotonic() + _REST * (time.monotonic() - started)
        self._token = token

    async def _look(self) -> tuple[int, int, tuple[Any, ...]]:
        """How many vectors there are, the seq of the last, and what model they are of, in which of its turns."""
        measured: list[tuple[Any, ...]] = []
        await self._read("measure_embeddings", {}, measured.extend)
        [(count, last, *whose)] = measured
        return int(count), int(last), tuple(whose)

    def _forget(self) -> None:
        self._held, self._alive, self._unusable, self._last = None, 0, set(), 0
        self._changes += 1

    def _only(self) -> dict[str, object]:
        """How the named queries tell the vectors of this index from those of another model."""
        return dict(zip(("model", "dimension", "turn"), self._whose, strict=False))

    async def _read_all(self, count: int) -> None:
        fresh = VectorIndex(self.dimension, self._read, limit=self.limit)
        await fresh._read("list_embeddings_after", {"seq": -(2**63), **self._only()}, partial(self._fill, fresh, count))
        self._same = (await self._look())[2] == self._whose
        if self._same:
            self._held, self._alive, self._unusable = fresh._held, fresh._alive, fresh._unusable
            self._last = fresh._last
            self._changes += 1

    def _fill(self, fresh: VectorIndex, count: int, rows: list[tuple[Any, ...]]) -> None:
        if self._closed:
            raise _Stopped
        fresh._add(rows, count=count, known=0)

    async def _read_new(self, count: int) -> None:
        known = 0 if self._held is None else self._held.used
        asked = {"seq": self._last, **self._only()}
        await self._read("list_embeddings_after", asked, partial(self._add, count=count, known=known))
        if count != self._alive + len(self._unusable):
            await self._read("list_embedding_seqs", self._only(), self._keep)

    def _add(self, rows: list[tuple[Any, ...]], *, count: int, known: int) -> None:
        """Take in rows of [seq, seq of the memory, blob], in the thread that reads; ``known`` were there before."""
        import numpy as np

        if self._closed:
            raise _Stopped
        width = 4 * self.dimension
        fitting = [
            row for row in rows if row[1] is not None and type(row[2]) is bytes and len(row[2]) // 4 == self.dimension
        ]
        found = np.frombuffer(b"".join([row[2][:width] for row in fitting]), dtype="<f4").reshape(-1, self.dimension)
        with np.errstate(all="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", found, found))
            good = np.isfinite(norms) & (norms > 0)
        written = np.array([row[0] for row in fitting], dtype=np.int64)
        memories = np.array([row[1] for row in fitting], dtype=np.int64)
        if not good.all():
            found, norms, written, memories = found[good], norms[good], written[good], memories[good]
        if len(found) < len(rows):
            self._unusable.update({int(row[0]) for row in rows}.difference(written.tolist()))
        self._last = max(self._last, max(int(row[0]) for row in rows))
        held = self._room_for(len(found), count)
        # A vector that was written again has a new seq: the old one's row is given up.
        old = np.flatnonzero(held.alive[:known] & np.isin(held.memories[:known], memories))
        held.alive[old] = False
        start, end = held.used, held.used + len(found)
        # Straight into its place: a copy more would be felt in a load of many.
        units = np.divide(found, norms[:, None], out=held.rows[start:end])
        held.bits[:, start:end] = _packed(units).T
        held.memories[start:end] = memories
        held.written[start:end] = written
        held.alive[start:end] = True
        held.used = end
        self._alive += len(found) - len(old)
        self._changes += 1

    def _room_for(self, more: int, count: int) -> _Held:
        held = self._held
        if held is None:
            held = self._held = _Held.of(max(count, more), self.dimension)
        elif held.used + more > len(held.memories):
            room = max(held.used + more, len(held.memories) * 3 // 2)
            if _bytes_for(held.used + more, self.dimension) > self.limit:
                raise _TooLarge
            held = self._held = held.taking(slice(None), room)
        return held

    def _keep(self, rows: list[tuple[Any, ...]]) -> None:
        """Give up what is not among these seqs; the room it took is only given back once it is a quarter of all."""
        import numpy as np

        [(text, *same)] = rows
        self._same = all(same)
        if not self._same:
            return
        seqs = np.array(str(text).split(",") if text else [], dtype=np.int64)
        self._unusable.intersection_update(seqs.tolist())
        held = self._held
        if held is None:
            return
        held.alive[: held.used] &= np.isin(held.written[: held.used], seqs)
        living = np.flatnonzero(held.alive[: held.used])
        self._alive = len(living)
        if len(living) < 0.75 * held.used:
            self._held = held.taking(living, max(len(living), 1))
        self._changes += 1

    # Searching

    async def nearest(
        self, vector: Vector, depth: int, passing: Passing, *, exact: bool = False
    ) -> tuple[list[tuple[int, float]], str]:
        """The memories nearest to a vector by seq with their cosines, and how they were found.

        Best first, the ``depth`` best of what passes and all that tie with the last of them.
        """
        import numpy as np

        norm = float(np.linalg.norm(vector))
        held = self._held
        if norm == 0 or not np.isfinite(norm) or vector.shape != (self.dimension,) or held is None:
            return [], "no vector to measure"
        unit = np.asarray(vector / norm, dtype=np.float32)
        # The arrays are handed over, so that a sync meanwhile changes nothing under the search.
        work = partial(self._measured, held, held.used, unit, depth, passing, exact)
        return work() if held.used <= _INLINE else await asyncio.to_thread(work)

    def _measured(
        self, held: _Held, used: int, unit: Vector, depth: int, passing: Passing, exact: bool
    ) -> tuple[list[tuple[int, float]], str]:
        allowed = self._allowed(held, used, passing)
        count = used if allowed.places is None else len(allowed.places)
        first = max(_FIRST, _FIRST_EACH * depth)
        few = EXACT if allowed.places is None else EXACT // 2
        near = None
        if not exact and count > max(few, 4 * first):
            near = _near_by_bits(held, used, unit, depth, first, allowed)
        if near is not None:
            how = f"{allowed.count:,} vectors: bits first, {len(near):,} measured exactly"
        else:
            near = allowed.places
            passed = "" if passing.only is None else " that pass the filters"
            how = f"{allowed.count:,} vectors{passed}: all measured exactly"
        return _best(held, used, unit, depth, near, allowed.hidden), how

    async def measured(self, vector: Vector, memories: Collection[int]) -> list[tuple[int, float]]:
        """The cosines of some memories, by seq; of those only that have a vector."""
        norm, held = math.sqrt(float(vector @ vector)), self._held
        if norm == 0 or not math.isfinite(norm) or vector.shape != (self.dimension,) or held is None or not memories:
            return []
        places = _allowed(held, held.used, Passing(frozenset(memories), frozenset())).places
        return _best(held, held.used, vector / norm, len(memories), places, None)

    def _allowed(self, held: _Held, used: int, passing: Passing) -> _Allowed:
        # A change counts after it is made, so a figure from before it is never kept for what comes after.
        changes, known = self._changes, self._places.get(passing)
        if known is not None and known[0] == changes and known[1].used == used:
            return known[1]
        made = _allowed(held, used, passing)
        self._places[passing] = changes, made
        while len(self._places) > _PLACES_KEPT:
            self._places.popitem(last=False)
        return made


@dataclass(frozen=True, slots=True)
class _Allowed:
    """The rows that a search looks at: ``places``, or the first ``used`` of all, but those that are ``hidden``."""

    used: int
    count: int
    places: NDArray[np.int64] | None
    hidden: NDArray[np.bool_] | None


def _allowed(held: _Held, used: int, passing: Passing) -> _Allowed:
    import numpy as np

    memories, alive = held.memories[:used], held.alive[:used]
    if passing.only is not None:
        only = np.fromiter(passing.only, dtype=np.int64, count=len(passing.only))
        places = np.flatnonzero(np.isin(memories, only) & alive)
        return _Allowed(used, len(places), places, None)
    hidden = ~alive
    if passing.without:
        hidden |= np.isin(memories, np.fromiter(passing.without, dtype=np.int64, count=len(passing.without)))
    count = used - int(np.count_nonzero(hidden))
    return _Allowed(used, count, None, hidden if count < used else None)


def _packed(units: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The signs of vectors as whole words: (rows, words)."""
    import numpy as np

    short = -units.shape[1] % 64
    signs = units > 0
    if short:
        signs = np.pad(signs, ((0, 0), (0, short)))
    return np.packbits(signs, axis=1).view(np.uint64)


def _near_by_bits(
    held: _Held, used: int, unit: Vector, depth: int, first: int, allowed: _Allowed
) -> NDArray[np.int64] | None:
    """The rows whose signs may be those of the ``depth`` nearest; None where the signs tell too little of them.

    Signs of two vectors differ as often as their angle is a part of 180 degrees, with a scatter as of coins. So the
    nearest of the ``first`` rows by signs say how many signs may differ in whatever is as near.
    """
    import numpy as np

    distances = _differing(held.bits, used, unit, allowed)
    most = held.rows.shape[1]
    within = np.cumsum(np.bincount(distances, minlength=most + 1))
    cut = int(np.searchsorted(within, first))
    if cut > most:
        return None
    near = np.flatnonzero(distances <= cut)
    scores = _cosines(held.rows[near if allowed.places is None else allowed.places[near]], unit)
    part = math.acos(float(np.clip(np.partition(scores, -depth)[-depth], -1, 1))) / math.pi
    cut = max(cut, math.ceil(most * part + _DEVIATIONS * math.sqrt(most * part * (1 - part))))
    # Rows picked one by one cost four times as much as all in a row.
    if cut > most or within[cut] > len(distances) / 4:
        return None
    near = np.flatnonzero(distances <= cut)
    return near if allowed.places is None else allowed.places[near]


def _cosines(rows: NDArray[np.float32], unit: Vector) -> NDArray[np.float32]:
    import numpy as np

    # In this thread alone: a product spread over all cores would wait for the one that looks for words meanwhile.
    found: NDArray[np.float32] = np.einsum("ij,j->i", rows, unit)
    return found


def _differing(bits: NDArray[np.uint64], used: int, unit: Vector, allowed: _Allowed) -> NDArray[np.uint16]:
    """In how many signs each row differs from a vector; more than there are for a hidden one."""
    import numpy as np

    [signs] = _packed(unit[None, :])
    found = np.zeros(used if allowed.places is None else len(allowed.places), dtype=np.uint16)
    for word, sign in zip(bits, signs, strict=True):
        found += np.bitwise_count((word[:used] if allowed.places is None else word[allowed.places]) ^ sign)
    if allowed.hidden is not None:
        found[allowed.hidden] = len(unit) + 1
    return found


def _best(
    held: _Held,
    used: int,
    unit: Vector,
    depth: int,
    places: NDArray[np.int64] | None,
    hidden: NDArray[np.bool_] | None,
) -> list[tuple[int, float]]:
    import numpy as np

    scores = _cosines(held.rows[:used] if places is None else held.rows[places], unit)
    if places is None and hidden is not None:
        scores[hidden] = -np.inf
    if len(scores) > depth:
        least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        near = np.flatnonzero(scores >= least - _CLOSE)
    else:
        near = np.arange(len(scores))
    near = near[np.isfinite(scores[near])]
    chosen = near if places is None else places[near]
    # Measured again one by one: the product of a matrix rounds equal rows differently, and ties must be ties.
    exact = (held.rows[chosen].astype(np.float64) * unit).sum(axis=1)
    order = np.argsort(-exact, kind="stable")
    if len(order) > depth:
        order = order[exact[order] >= exact[order[depth - 1]]]
    return list(zip(held.memories[chosen[order]].tolist(), exact[order].tolist(), strict=True))


def _looked_at(task: asyncio.Task[None]) -> None:
    # Whoever waits gets the error; where nobody does, the next search tries again.
    if not task.cancelled():
        task.exception()
