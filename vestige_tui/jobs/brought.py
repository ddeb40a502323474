"""What a copy has brought, row by row: whose a row of the target is, and in which state it came.

A file in the state directory, of one fixed record a row, so that it is known also after a restart which rows somebody
deleted or edited in the source, and which in the target. Without it a copy deletes nothing and overwrites nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import time
import zlib
from array import array
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vestige_tui.config import state_dir
from vestige_tui.jobs.index import KEEP
from vestige_tui.jobs.keys import key_of
from vestige_tui.jobs.tables import TABLES

if TYPE_CHECKING:
    import numpy as np

    from vestige_tui.jobs.tables import Fit

    Records: TypeAlias = np.ndarray[Any, np.dtype[np.void]]

OURS, ALIKE, REFUSED, GONE, TOLD, UNTAKEN = 1, 2, 4, 8, 16, 32
"""Inserted by this copy; last seen equal on both sides; not taken by the target; deleted since; told as a finding, that
it stays as it is in the target; there, but its last edit was not taken."""
TOUCH_SECONDS = 3_600.0

# What was it, of which table, its key, its state, and the time that an edit of it moves.
_RECORD = struct.Struct("<BBQQq")
_FORM = [("what", "u1"), ("table", "u1"), ("key", "<u8"), ("state", "<u8"), ("stamp", "<i8")]
_HEAD = 255
_NUMBERS = {table.name: number for number, table in enumerate(TABLES)}
_STAMPS = {"memories": 12, "scheduling": 4}
"""The value of a row that any edit of it moves."""


class Mark(NamedTuple):
    """A row as it came: ``key`` and ``state`` are hashes, ``stamp`` microseconds since 2000, 0 for none."""

    key: int
    state: int
    stamp: int
    what: int


def mark_of(table: str, fit: Fit) -> Mark:
    """The mark of a row in its present state."""
    values = fit.values
    stamp = values[_STAMPS[table]] if table in _STAMPS else None
    # Compared with an earlier state of the same row alone, and made for every row of a copy: it has to be fast.
    said = b"\x1f".join([b"\x1e" if value is None else value for value in values])
    state = zlib.crc32(said) << 32 | zlib.adler32(said)
    return Mark(hashed(key_of(table, values)), state, int.from_bytes(stamp or b"", "big", signed=True), 0)


def hashed(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Brought:
    """The marks of one copy, over all its attempts; ``chain`` names it.

    ``token`` is what the attempt before called the file, None for the first one. Where that file is not here, because
    it was lost or another machine took the copy up, a new one begins ``blind``: what came before is not known.
    """

    def __init__(self, chain: str, token: int | None) -> None:
        folder = state_dir() / "jobs"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / f"{chain}.rows"
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._touched = 0.0
        self.touch()
        _forget_old(folder)
        head = os.pread(self._file, _RECORD.size, 0)
        if token is not None and len(head) == _RECORD.size and _RECORD.unpack(head)[2] == token:
            self.token, self.blind = token, bool(_RECORD.unpack(head)[0])
            # Whoever was killed while writing may have left half a record.
            size = os.fstat(self._file).st_size
            os.ftruncate(self._file, size - size % _RECORD.size)
            return
        self.token, self.blind = secrets.randbits(48), token is not None
        os.ftruncate(self._file, 0)
        os.write(self._file, _RECORD.pack(self.blind, _HEAD, self.token, 0, 0))

    def close(self, *, forget: bool = False) -> None:
        """Close the file; what is done for good needs it no more."""
        os.close(self._file)
        if forget:
            self._path.unlink(missing_ok=True)

    def touch(self) -> None:
        """Say that the file is in use, at most every hour: what nobody touched for long is forgotten."""
        now = time.time()
        if now - self._touched >= TOUCH_SECONDS:
            os.utime(self._file)
            self._touched = now

    def add(self, table: str, marks: Iterable[Mark]) -> None:
        number = _NUMBERS[table]
        packed = b"".join([_RECORD.pack(mark.what, number, mark.key, mark.state, mark.stamp) for mark in marks])
        while packed:
            packed = packed[os.write(self._file, packed) :]

    def of(self, table: str) -> Remembered:
        """What is known of a table's rows."""
        import numpy as np

        self.touch()
        found = np.memmap(self._path, dtype=_FORM, mode="r")
        return Remembered(found[found["table"] == _NUMBERS[table]])


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


def _forget_old(folder: Path) -> None:
    oldest = time.time() - KEEP.total_seconds()
    for path in folder.glob("*.rows"):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
