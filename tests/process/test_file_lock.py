"""Locks on files: a limit to the wait, and the process that holds one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from tests.support.stopped import stopped, stopped_file_lock, writer_of
from vestige_tui.process.file_lock import lock_holder, lock_within, write_lock_owners
from vestige_tui.process.process_state import is_stopped, process_label, start_time

WAL_WRITE_LOCK = range(120, 121)


def test_a_lock_of_a_stopped_process_is_waited_for_within_a_limit_and_named(tmp_path: Path) -> None:
    path = tmp_path / "file.lock"
    with stopped_file_lock(path) as pid, path.open("r+b") as file:
        assert not lock_within(file.fileno(), 0.05)
        assert lock_holder(file.fileno()) == pid
        assert process_label(pid).startswith(f"process {pid} (")
        assert process_label(pid).endswith(", stopped)")
    with path.open("r+b") as file:
        assert lock_within(file.fileno(), 30)
        assert lock_holder(file.fileno()) == os.getpid()


def test_another_file_that_is_locked_is_not_taken_for_it(tmp_path: Path) -> None:
    one, other = tmp_path / "one.lock", tmp_path / "other.lock"
    other.touch()
    with one.open("wb") as locked, other.open("r+b") as free:
        fcntl.flock(locked, fcntl.LOCK_EX)
        assert lock_holder(free.fileno()) is None


def test_the_writer_of_a_sqlite_file_is_found(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "v.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with writer_of(path) as pid:
        assert write_lock_owners(f"{path}-shm", WAL_WRITE_LOCK) == [pid]
    assert write_lock_owners(str(tmp_path / "missing"), WAL_WRITE_LOCK) == []


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        begun = start_time(process.pid)
        assert begun
        assert not is_stopped(process.pid)
        with stopped(process.pid):
            assert start_time(process.pid) == begun
        process.communicate(b"\n")
    assert start_time(process.pid) == ""
    assert not is_stopped(process.pid)
    assert process_label(process.pid) == f"process {process.pid}"
