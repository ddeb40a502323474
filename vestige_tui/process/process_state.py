"""Processes of this machine by their number: start time, name, and whether one is stopped."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_STOPPED_STATES = "Tt"
"""States of a process that a signal or a debugger has stopped (proc(5))."""


def start_time(pid: int) -> str:
    """Return a word for a living process's start time, unique for its number; empty for a dead process."""
    if (_PROC / "self/stat").exists():
        fields = _stat_fields(pid)
        return "" if not fields or fields[0] in "ZX" else fields[19]
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    ps = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, env=environment, check=False
    )
    state, _, started = ps.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else re.sub(r"\W+", "_", started.strip())


def is_stopped(pid: int) -> bool:
    """Check whether a process is stopped, as by ctrl-Z or a debugger; False where there is no /proc."""
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] in _STOPPED_STATES


def process_label(pid: int) -> str:
    """Return a process in words: ``process 4711 (python3, stopped)``."""
    details = []
    with suppress(OSError):
        details.append((_PROC / str(pid) / "comm").read_bytes().decode("utf-8", "replace").rstrip("\n"))
    if is_stopped(pid):
        details.append("stopped")
    return f"process {pid} ({', '.join(details)})" if details else f"process {pid}"


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of a process's stat after its name, which may hold any character; none for a dead process."""
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []
