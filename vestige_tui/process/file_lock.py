"""Advisory locks on files (flock): taken within a limit of time, and the process that holds one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.002


def lock_within(descriptor: int, seconds: float) -> bool:
    """Lock an open file against other processes; return False if that takes longer. Raises OSError."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def try_lock(descriptor: int) -> bool:
    """Lock an open file if no other process holds its lock; return whether it is locked. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_holder(descriptor: int) -> int | None:
    """Return the process that holds the lock of an open file; None if it cannot be told, as where there is no /proc."""
    file = os.fstat(descriptor)
    return next((pid for pid in _lock_owners("FLOCK", file.st_ino) if _has_open(pid, file)), None)


def write_lock_owners(path: str, offsets: range) -> list[int]:
    """Return the processes that hold a write lock (fcntl) on one of these bytes of a file; none without /proc."""
    with suppress(OSError):
        return list(dict.fromkeys(_lock_owners("POSIX", os.stat(path).st_ino, offsets)))
    return []


def _lock_owners(kind: str, inode: int, offsets: range | None = None) -> Iterator[int]:
    """Yield the owners of the granted write locks on a file (proc_locks(5)).

    The device is not compared: below an overlay it is that of another file system.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (_PROC / "locks").read_text(encoding="ascii", errors="replace").splitlines()
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or fields[1] != kind or fields[3] != "WRITE":
            continue
        pid, file, start, end = fields[4:8]
        if not pid.isdecimal() or file.rpartition(":")[2] != str(inode):
            continue
        last = int(end) if end.isdecimal() else offsets.stop if offsets else 0
        if offsets is None or (int(start) < offsets.stop and last >= offsets.start):
            yield int(pid)


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Check whether a process has a file open; True if it is another user's, whose files are hidden."""
    try:
        links = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return True
    for link in links:
        with suppress(OSError):
            if os.path.samestat(link.stat(), file):
                return True
    return False
