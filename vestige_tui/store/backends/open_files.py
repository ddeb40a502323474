"""Which processes of this machine have a file open, where /proc tells: those of the same user, or all for root."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vestige_tui.core.health import Session

PROC = Path("/proc")
_WRITES = os.O_WRONLY | os.O_RDWR


def holders(path: str, proc: Path = PROC) -> tuple[Session, ...]:
    """The processes with the file open, this one first, then the latest; none where there is no /proc."""
    target = os.path.realpath(path)
    found = [session for folder in _processes(proc) if (session := _holder(folder, target)) is not None]
    return tuple(sorted(found, key=lambda each: (not each.mine, -each.pid)))


def _processes(proc: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (entry for entry in proc.iterdir() if entry.name.isdecimal())


def _holder(process: Path, target: str) -> Session | None:
    modes = []
    # Processes of others, and those that end just now, cannot be looked at.
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                if os.readlink(link) == target:
                    modes.append(_may_write(process / "fdinfo" / link.name))
    if not modes:
        return None
    pid = int(process.name)
    name, user, since = "", "", None
    with suppress(OSError):
        name = (process / "comm").read_bytes().decode("utf-8", "replace").rstrip("\n")
    with suppress(OSError, KeyError):
        user = pwd.getpwuid(process.stat().st_uid).pw_name
    with suppress(OSError, ValueError, IndexError):
        since = _started(process)
    return Session(pid, name, user, "may write" if any(modes) else "only reads", since, pid == os.getpid())


def _may_write(info: Path) -> bool:
    for line in info.read_text().splitlines():
        if line.startswith("flags:"):
            return bool(int(line.split()[1], 8) & _WRITES)
    return False


def _started(process: Path) -> datetime:
    # Its name stands in brackets and may hold anything; what comes behind the last of them is numbers.
    ticks = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    uptime = float((process.parent / "uptime").read_text().split()[0])
    age = uptime - ticks / os.sysconf("SC_CLK_TCK")
    return datetime.now(UTC) - timedelta(seconds=max(0.0, age))
