"""Processes that are stopped (SIGSTOP) while they hold something."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vestige_tui.process.process_state import is_stopped

_LOCK_A_FILE = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o600)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
_LOCK_A_STORE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process for the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while not is_stopped(pid):
            time.sleep(0.005)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def stopped_file_lock(path: Path) -> Iterator[int]:
    """Let a process lock a file (flock) and stop; yield its number."""
    with _holder(_LOCK_A_FILE, path) as pid, stopped(pid):
        yield pid


@contextmanager
def writer_of(path: Path) -> Iterator[int]:
    """Let a process hold the write lock of a SQLite file; yield its number."""
    with _holder(_LOCK_A_STORE, path) as pid:
        yield pid


@contextmanager
def _holder(script: str, path: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.stdin.close()
