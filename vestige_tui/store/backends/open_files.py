"""Processes of this machine that have a file open, read from /proc: those of the same user, or all for root."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vestige_tui.core.health import Session
from vestige_tui.core.waits import STOPPED, WRITES
from vestige_tui.process.file_lock import write_lock_owners
from vestige_tui.process.process_state import is_stopped

PROC = Path("/proc")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR
"""Access modes of open(2) that allow writing."""
_WAL_WRITE_LOCK = range(120, 121)
"""Byte of the shared-memory file that a writer locks with a write-ahead log (SQLite's walformat)."""
_FILE_LOCKS = range(0x4000_0000, 0x4000_0200)
"""Bytes of the file itself that a writer locks without one: pending, reserved and shared (SQLite's lockingv3)."""


def open_files(path: str, proc: Path = PROC) -> tuple[Session, ...]:
    """Return the processes that have the file open, this one first, then the latest; none where there is no /proc."""
    target = os.path.realpath(path)
    sessions = [session for folder in _processes(proc) if (session := _session_of(folder, target)) is not None]
    return tuple(sorted(sessions, key=lambda each: (not each.mine, -each.pid)))


def lock_holders(path: str, proc: Path = PROC) -> tuple[Session, ...]:
    """Return the processes that hold the write lock of a SQLite file, else those that may write it but this one."""
    target = os.path.realpath(path)
    owners = {*write_lock_owners(f"{target}-shm", _WAL_WRITE_LOCK), *write_lock_owners(target, _FILE_LOCKS)}
    if owners:
        return tuple(_holder(proc / str(pid)) for pid in sorted(owners))
    return tuple(
        _holder(proc / str(each.pid)) for each in open_files(path, proc) if not each.mine and each.state == WRITES
    )


def _holder(process: Path) -> Session:
    pid = int(process.name)
    return _described(process, STOPPED if is_stopped(pid) else WRITES)


def _processes(proc: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (entry for entry in proc.iterdir() if entry.name.isdecimal())


def _session_of(process: Path, target: str) -> Session | None:
    modes = []
    # Processes of other users, and processes that are just ending, cannot be read.
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                if os.readlink(link) == target:
                    modes.append(_may_write(process / "fdinfo" / link.name))
    return _described(process, WRITES if any(modes) else "only reads") if modes else None


def _described(process: Path, state: str) -> Session:
    pid = int(process.name)
    name, user, started_at = "", "", None
    with suppress(OSError):
        name = (process / "comm").read_bytes().decode("utf-8", "replace").rstrip("\n")
    with suppress(OSError, KeyError):
        user = pwd.getpwuid(process.stat().st_uid).pw_name
    with suppress(OSError, ValueError, IndexError):
        started_at = _start_time(process)
    return Session(pid, name, user, state, started_at, pid == os.getpid())


def _may_write(info: Path) -> bool:
    for line in info.read_text().splitlines():
        if line.startswith("flags:"):
            return bool(int(line.split()[1], 8) & _WRITE_FLAGS)
    return False


def _start_time(process: Path) -> datetime:
    # The process name stands in brackets and may hold any character; the fields after the last one are numbers.
    ticks = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    uptime = float((process.parent / "uptime").read_text().split()[0])
    age = uptime - ticks / os.sysconf("SC_CLK_TCK")
    return datetime.now(UTC) - timedelta(seconds=max(0.0, age))
