"""The log file that several processes write: no line is lost or torn, and nothing disturbs the program."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from vestige_tui.process.log_file import SharedLogFile

WRITERS, LINES = 4, 400
WRITER = """
import logging, sys
from pathlib import Path
from vestige_tui.process.log_file import SharedLogFile
log = logging.getLogger("writer")
log.addHandler(SharedLogFile(Path(sys.argv[1]), max_bytes=int(sys.argv[2]), files=int(sys.argv[3])))
log.setLevel(logging.INFO)
sys.stdin.read(1)
for number in range(int(sys.argv[5])):
    log.info("%s-%s %s", sys.argv[4], number, "x" * (number % 90))
"""


def logger_of(handler: SharedLogFile, name: str) -> logging.Logger:
    log = logging.getLogger(f"tests.log_file.{name}")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
    return log


def read_lines(path: Path) -> list[str]:
    return [line for each in path.parent.glob(f"{path.name}*") for line in each.read_text().splitlines()]


def test_several_processes_lose_and_tear_no_line_at_rotation(tmp_path: Path) -> None:
    path, max_bytes, files = tmp_path / "log", 5_000, 100
    command = [sys.executable, "-c", WRITER, str(path), str(max_bytes), str(files)]
    writers = [subprocess.Popen([*command, str(each), str(LINES)], stdin=subprocess.PIPE) for each in range(WRITERS)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b".")  # all begin together
        writer.stdin.close()
    assert [writer.wait(120) for writer in writers] == [0] * WRITERS
    expected = {f"{each}-{number} {'x' * (number % 90)}" for each in range(WRITERS) for number in range(LINES)}
    assert Counter(read_lines(path)) == Counter(expected)
    rotated = list(tmp_path.glob("log.*"))
    assert len(rotated) > 5
    assert all(0 < each.stat().st_size <= max_bytes for each in rotated)


def test_it_keeps_so_many_files_of_mode_600_in_a_folder_of_mode_700(tmp_path: Path) -> None:
    path = tmp_path / "state" / "program" / "log"
    log = logger_of(SharedLogFile(path, max_bytes=200, files=3), "kept")
    assert not path.parent.exists()  # opened with the first record
    for number in range(100):
        log.info("line %03d", number)
    assert {each.name for each in path.parent.iterdir()} == {"log", "log.1", "log.2"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().endswith("line 099\n")


def test_a_file_that_was_deleted_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = logger_of(SharedLogFile(path), "deleted")
    log.info("one")
    path.unlink()
    log.info("two")
    assert path.read_text() == "two\n"


def test_a_lock_that_is_never_released_stops_no_writer(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = logger_of(SharedLogFile(path, max_bytes=10), "locked")
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        log.info("written without the lock, and not rotated")
    assert path.read_text() == "written without the lock, and not rotated\n"
    log.info("rotated")
    assert (path.read_text(), len(read_lines(path))) == ("rotated\n", 2)


@pytest.mark.parametrize(
    "obstacle", ["a file in place of the folder", "a folder in place of the file", "a broken line"]
)
def test_nothing_disturbs_the_program(tmp_path: Path, capfd: pytest.CaptureFixture[str], obstacle: str) -> None:
    path = tmp_path / "state" / "log"
    log = logger_of(SharedLogFile(path), "disturbed")
    if obstacle == "a file in place of the folder":
        path.parent.write_text("")
    elif obstacle == "a folder in place of the file":
        path.mkdir(parents=True)
    log.info("%s and %s", "only one value") if obstacle == "a broken line" else log.info("line")
    assert capfd.readouterr() == ("", "")
    if obstacle == "a folder in place of the file":
        path.rmdir()
        log.info("the next one is written again")
        assert path.read_text() == "the next one is written again\n"


def test_a_full_disk_tears_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    log = logger_of(SharedLogFile(path), "full")
    log.info("whole")
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:3])

    def none_left(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for failing in (full, none_left):
        monkeypatch.setattr("vestige_tui.process.log_file.os.write", failing)
        log.info("lost")
    monkeypatch.undo()
    log.info("whole again")
    assert path.read_text() == "whole\nwhole again\n"


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "vestige-tui.log"
    os.mkfifo(path)
    handler = SharedLogFile(path)
    handler.emit(logging.LogRecord("vestige_tui", logging.INFO, "", 0, "lost", None, None))
    assert path.is_fifo()
    handler.close()
