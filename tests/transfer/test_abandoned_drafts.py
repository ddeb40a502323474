"""Drafts of backups: those of killed processes are removed by the next backup, those of living ones are not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.store_exercise import fill
from vestige_tui.transfer.backups import back_up

WAIT_SECONDS = 60.0


def hidden(folder: Path) -> list[str]:
    """Return the names of the drafts and their locks in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".vestige"))


def drafts(names: list[str]) -> set[str]:
    """Return the drafts to which the hidden files of these names belong."""
    return {match[0] for name in names if (match := re.match(r"\.vestige-[0-9a-f]{32}", name))}


def held_backup(url: str, file: Path) -> subprocess.Popen[str]:
    """Begin a backup in another process, which stops in the middle of its work; return it there."""
    words = (sys.executable, "-m", "tests.support.held_backup", url, str(file))
    program = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "held\n"
    return program


@pytest.mark.slow
async def test_the_next_backup_removes_the_draft_of_a_killed_one_alone(store_url: str, tmp_path: Path) -> None:
    await fill(store_url)
    folder = tmp_path / "backups"
    folder.mkdir()
    killed, living = (held_backup(store_url, folder / f"{name}.db") for name in ("killed", "living"))
    try:
        both = hidden(folder)
        killed.kill()
        killed.communicate(timeout=WAIT_SECONDS)
        assert hidden(folder) == both
        await back_up(store_url, folder / "third.db")
        assert (len(drafts(both)), len(drafts(hidden(folder)))) == (2, 1)
        assert drafts(hidden(folder)) < drafts(both)
        output, _ = living.communicate("go on\n", timeout=WAIT_SECONDS)
        assert (living.returncode, output) == (0, "written\n")
        assert sorted(os.listdir(folder)) == ["living.db", "third.db"]
    finally:
        for program in (killed, living):
            program.kill()
            program.communicate(timeout=WAIT_SECONDS)


async def test_files_that_are_no_drafts_stay(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'store.db'}"
    await fill(url)
    others = [".vestige-notes", f".vestige-{'a' * 32}", f".vestige-{'b' * 31}.lock", ".vestige.lock"]
    for name in others:
        (tmp_path / name).write_text("kept")
    long_ago = time.time() - 10**8
    os.utime(tmp_path / others[1], (long_ago, long_ago))
    await back_up(url, tmp_path / "kept.db")
    assert hidden(tmp_path) == sorted(others)
