"""Which processes have a file open, told from /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from vestige_tui.store.backends.open_files import open_files

HOLD = """
import sys
file = open(sys.argv[1], sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


def test_processes_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"")
    assert open_files(str(path)) == ()
    if not Path("/proc/self/fd").exists():
        # Nothing tells here, and nobody is known.
        with path.open("rb"):
            assert open_files(str(path)) == ()
        return
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with (
        path.open("rb"),
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(link), "r+b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        ours, theirs = open_files(str(link))
        with closing(other.stdin) if other.stdin else closing(other.stdout):
            pass
    assert (ours.pid, ours.mine, ours.state) == (os.getpid(), True, "only reads")
    assert (theirs.pid, theirs.mine, theirs.state) == (other.pid, False, "may write")
    assert theirs.application.startswith("python")
    for each in (ours, theirs):
        assert each.since is not None
        assert 0 <= (datetime.now(UTC) - each.since).total_seconds() < 86_400
    assert ours.since is not None
    assert theirs.since is not None
    assert ours.since < theirs.since


def test_where_there_is_no_proc_nobody_is_known(tmp_path: Path) -> None:
    assert open_files(str(tmp_path / "store.db"), tmp_path / "nowhere") == ()


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """A name may hold anything, and a process may end in the middle."""
    store, proc = tmp_path / "store.db", tmp_path / "proc"
    store.write_bytes(b"")
    for pid, name in (("12", b"\x1b]0;x\x07) 1 2\xff\n"), ("13", b"gone\n")):
        process = proc / pid
        (process / "fd").mkdir(parents=True)
        (process / "comm").write_bytes(name)
    (proc / "self").mkdir()
    (proc / "12" / "fd" / "3").symlink_to(store)
    (proc / "12" / "fdinfo").mkdir()
    (proc / "12" / "fdinfo" / "3").write_text("pos:\t0\nflags:\t02\n")
    (proc / "12" / "stat").write_text("12 (a) b) S 1\n")
    [found] = open_files(str(store), proc)
    assert (found.pid, found.state, found.since, found.mine) == (12, "may write", None, False)
    assert found.application == "\x1b]0;x\x07) 1 2\N{REPLACEMENT CHARACTER}"
