"""The sync state of a copy: whose each row of the target is, and in which state it came.

It lies in the target itself, as packed records that are written in the transaction of the rows that they speak of: what
is in the target and what is known of it cannot come apart, whatever ends a worker, and on whichever machine the copy is
taken up. Without it a copy deletes nothing and overwrites nothing.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vestige_tui.config import state_dir
from vestige_tui.core.errors import Refused
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.transfer.convert import TABLES
from vestige_tui.transfer.row_keys import key_of
from vestige_tui.transfer.target_readers import meaning

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np

    from vestige_tui.jobs.context import Running
    from vestige_tui.store.backends.protocol import Row, Transaction
    from vestige_tui.transfer.convert import Fit

    Records: TypeAlias = np.ndarray[Any, np.dtype[np.void]]

OURS, ALIKE, REFUSED, GONE, TOLD, UNTAKEN = 1, 2, 4, 8, 16, 32
"""Inserted by this copy; last seen equal on both sides; not taken by the target; deleted since; told as a finding, that
it stays as it is in the target; there, but its last edit was not taken."""

KEPT = timedelta(days=30)
"""So long the sync state of a copy that nobody took up again stays in its target."""
CHUNKS = 64
"""Rows of the sync state that are read at once, each the records of a batch."""

# What was it, of which table, its key, its state, and the time that an edit of it moves.
_RECORD = struct.Struct("<BBQQq")
_FORM = [("what", "u1"), ("table", "u1"), ("key", "<u8"), ("state", "<u8"), ("stamp", "<i8")]
_NUMBERS = {table.name: number for number, table in enumerate(TABLES)}
_UPDATED_AT = 12
"""The value of a memory that any edit of it moves."""
UNDATED = ("users", "groups", "memberships", "domains", "scheduling", "edges", "marks")
"""Tables without such a value: what their rows say is noted in its stead. A log has no edits, and a vector's are those
of its memory."""


class Mark(NamedTuple):
    """A row as it came.

    ``key`` and ``state`` are hashes. ``stamp`` is the time of its last edit in microseconds since 2000; in a table
    without such a time a hash of what the row says, however it is spelt; 0 for none.
    """

    key: int
    state: int
    stamp: int
    what: int


def mark_of(table: str, fit: Fit) -> Mark:
    """The mark of a row in its present state."""
    state = hashed(pgbinary_encode.row(*fit.values))
    return Mark(hashed(key_of(table, fit.values)), state, _stamp(table, fit.values, state), 0)


def stamp_of(table: str, values: Sequence[bytes | None]) -> int:
    """What an edit of a row changes, read off its values as a source has them or as the target gives them back."""
    return _stamp(table, values, hashed(pgbinary_encode.row(*values)))


def _stamp(table: str, values: Sequence[bytes | None], state: int) -> int:
    if table in UNDATED:
        told = meaning(table, values)
        # Most rows are told in their own spelling: hashing them once is enough.
        return (state if told is values else hashed(pgbinary_encode.row(*told))) - 2**63
    return int.from_bytes(values[_UPDATED_AT] or b"", "big", signed=True) if table == "memories" else 0


def hashed(data: bytes) -> int:
    """The first 64 bits of a BLAKE2b digest."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Brought:
    """The marks of one copy, over all its attempts; ``chain``, the job of the first of them, names it.

    ``blind``: what came before this attempt is not known, because the copy was begun by a version that noted it
    elsewhere, or because nobody took it up for long.
    """

    def __init__(self, running: Running, chain: str, *, blind: bool) -> None:
        self.chain = chain
        self.blind = blind
        self._running = running
        self._last = 0
        # What was read of the target, so that each look reads only what is new; the disk keeps it out of memory.
        self._folder = state_dir() / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by ``close``
        self._size = 0
        self._stale = True
        """Is there more in the target than was read?"""

    @classmethod
    async def of_run(cls, running: Running) -> Brought:
        """The marks of the copy that an attempt belongs to."""
        chain = running.checkpoint.get("chain")
        if chain is None:
            return cls(running, running.job_id, blind=False)
        rows = await _asked(running, "list_sync_state", {"chain": chain, "after": 0, "limit": 1})
        return cls(running, str(chain), blind=not rows or bool(running.checkpoint.get("blind")))

    def close(self) -> None:
        """Let go of what was read."""
        self._spool.close()

    async def begin(self, transaction: Transaction, now: datetime) -> None:
        """Begin to note, in the transaction of the attempt's first step; what other copies left for long is deleted."""
        await transaction.execute("forget_old_sync_state", {"chain": self.chain, "since": now - KEPT})
        await self._append(transaction, b"")

    async def add(self, transaction: Transaction, table: str, marks: Iterable[Mark]) -> None:
        """Note marks in the transaction that makes them true."""
        number = _NUMBERS[table]
        packed = b"".join([_RECORD.pack(mark.what, number, mark.key, mark.state, mark.stamp) for mark in marks])
        if packed:
            await self._append(transaction, packed)

    async def _append(self, transaction: Transaction, packed: bytes) -> None:
        await transaction.execute("add_sync_state", {"chain": self.chain, "records": packed})
        self._stale = True

    async def forget(self, transaction: Transaction) -> None:
        """Delete all marks, in the transaction that ends the copy: what is done for good needs them no more."""
        await transaction.execute("forget_sync_state", {"chain": self.chain})

    async def of(self, table: str) -> Remembered:
        """What is known of a table's rows, by all transactions that have ended."""
        import numpy as np

        if self._stale:
            await self._read()
        if not self._size:
            return Remembered(np.zeros(0, dtype=_FORM))
        found = np.memmap(self._spool, dtype=_FORM, mode="r")
        return Remembered(found[found["table"] == _NUMBERS[table]])

    async def last(self) -> set[int]:
        """The keys of the batch that was written last."""
        import numpy as np

        [row] = await _asked(self._running, "last_sync_state", {"chain": self.chain})
        return set(np.frombuffer(row["records"], dtype=_FORM)["key"].tolist())

    async def _read(self) -> None:
        asked = {"chain": self.chain, "limit": CHUNKS}
        while rows := await _asked(self._running, "list_sync_state", {**asked, "after": self._last}):
            try:
                self._spool.seek(self._size)
                self._spool.write(b"".join([row["records"] for row in rows]))
                self._spool.flush()
            except OSError as error:
                raise Refused(f"What the copy knows finds no room in {self._folder}: {error.strerror}.") from error
            self._size += sum(len(row["records"]) for row in rows)
            self._last = int(rows[-1]["id"])
        # Nobody else writes to it: until this copy does, there is nothing new.
        self._stale = False


async def _asked(running: Running, name: str, params: dict[str, Any]) -> list[Row]:
    return await running.patiently(partial(running.store.backend.fetch, name, params)) or []


class Remembered:
    """The newest mark of each row of a table; it takes some 34 bytes of memory for each."""

    def __init__(self, records: Records) -> None:
        import numpy as np

        # The last record of a key is the newest.
        order = np.argsort(records["key"], kind="stable")
        keys = records["key"][order]
        newest = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.zeros(0, dtype=bool)
        self._records = records[order[newest]]
        self._keys = np.ascontiguousarray(self._records["key"])
        self.refusals = bool((self._records["what"] & REFUSED).any())
        """Is there a row that could not be copied?"""

    def get(self, key: int) -> Mark | None:
        import numpy as np

        place = int(self._keys.searchsorted(np.uint64(key)))
        if place == len(self._keys) or int(self._keys[place]) != key:
            return None
        what, _, _, state, stamp = self._records[place].tolist()
        return Mark(key, state, stamp, what)

    def ours_but(self, seen: array[int]) -> set[int]:
        """The keys of rows that this copy has inserted, and not deleted since, which are not in ``seen``."""
        import numpy as np

        what = self._records["what"]
        ours = self._keys[(what & OURS > 0) & (what & GONE == 0)]
        return set(np.setdiff1d(ours, np.frombuffer(seen, dtype=np.uint64)).tolist())
