"""Restores of a file that are killed at each of their steps, beside a write-ahead log that a dead writer has left."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.store_backups import rows_of_all_tables
from tests.support.store_exercise import fill
from vestige_tui.transfer.backups import back_up

SIDES = ("", "-wal")
KILLED = -9
MAX_STEPS = 40
DYING_WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("UPDATE knowledge_nodes SET content = 'written before the death ' || id")
os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_log(path: Path) -> None:
    """Change every memory in a process that dies with its changes in the write-ahead log."""
    assert subprocess.run([sys.executable, "-c", DYING_WRITER, str(path)], check=False).returncode == KILLED
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0


def run_killed(file: Path, path: Path, step: int) -> int:
    words = (sys.executable, "-m", "tests.support.killable_backup", "restore", str(file), f"sqlite:{path}", str(step))
    return subprocess.run(words, check=False, capture_output=True).returncode


def copied(path: Path, folder: Path) -> Path:
    """Copy a store with its write-ahead log into a new folder."""
    folder.mkdir()
    for side in SIDES:
        if os.path.exists(f"{path}{side}"):
            shutil.copyfile(f"{path}{side}", folder / f"{path.name}{side}")
    return folder / path.name


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


@pytest.mark.slow
async def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(f"sqlite:{path}")
    backup = await back_up(f"sqlite:{path}", tmp_path / "kept.db")
    new = rows_of_all_tables(f"sqlite:{path}")
    leave_log(path)
    old = rows_of_all_tables(f"sqlite:{copied(path, tmp_path / 'read')}")
    assert old != new
    outcomes = []
    for step in range(1, MAX_STEPS):
        store = copied(path, tmp_path / f"step {step}")
        status = run_killed(backup.path, store, step)
        assert status in (0, KILLED)
        assert is_sound(store)
        rows = rows_of_all_tables(f"sqlite:{store}")
        assert rows in (old, new)
        outcomes.append(rows == new)
        if status == 0:
            break
        # The next one finds what the dead one has left.
        assert run_killed(backup.path, store, MAX_STEPS) == 0
        assert rows_of_all_tables(f"sqlite:{store}") == new
        assert sorted(each for each in os.listdir(store.parent) if not each.endswith(("-wal", "-shm"))) == [path.name]
    assert outcomes == sorted(outcomes)
    # Old before and after the log was emptied, new from the rename on.
    assert outcomes[:2] == [False, False]
    assert outcomes[-2:] == [True, True]


@pytest.mark.slow
async def test_a_killed_restore_of_a_damaged_file_keeps_it_and_its_log(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(f"sqlite:{path}")
    backup = await back_up(f"sqlite:{path}", tmp_path / "kept.db")
    new = rows_of_all_tables(f"sqlite:{path}")
    leave_log(path)
    damaged = bytearray(path.read_bytes())
    damaged[4096 : 4096 * 9] = b"\x5a" * 4096 * 8
    path.write_bytes(damaged)
    log = path.with_name(f"{path.name}-wal").read_bytes()
    for step in range(1, MAX_STEPS):
        store = copied(path, tmp_path / f"step {step}")
        status = run_killed(backup.path, store, step)
        assert status in (0, KILLED)
        contents = [each.read_bytes() for each in store.parent.iterdir() if not each.name.endswith(".restored")]
        assert (bytes(damaged) in contents, log in contents) == (True, True)
        assert store.exists()
        if store.read_bytes() != bytes(damaged):
            assert rows_of_all_tables(f"sqlite:{store}") == new
        if status == 0:
            return
        assert run_killed(backup.path, store, MAX_STEPS) == 0
        assert rows_of_all_tables(f"sqlite:{store}") == new
    raise AssertionError("the restore did not come to its end")
