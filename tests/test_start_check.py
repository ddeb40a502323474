"""What proves that the console starts, itself tried: on the real program, and on programs that do not start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import start_check

# Fills a sample store as the real program does, and instead of the console does what follows.
PROGRAM = """\
#!{python}
import sys, time
if "demo" in sys.argv:
    sys.exit(0)
{instead}
"""


def program(folder: Path, instead: str) -> str:
    path = folder / "vestige-tui"
    path.write_text(PROGRAM.format(python=sys.executable, instead=instead))
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
@pytest.mark.terminal
def test_the_console_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert start_check.main(["--starts", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("2 of 2 starts painted the Search place and left with status 0\n")
    assert captured.err == ""


@pytest.mark.terminal
@pytest.mark.parametrize(
    ("instead", "why"),
    [
        ("raise SystemExit(0)", "ended with 0 before"),
        ("raise RuntimeError('No screens on stack')", "No screens on stack"),
        ("print('▌F2 Search, 3 memories'); sys.stdin.read(1); sys.exit(4)", "left with status 4"),
        ("print('▌F2 Search, 3 memories, Traceback'); sys.stdin.read(1)", "wrote a traceback"),
    ],
    ids=["ends", "crashes", "status", "traceback"],
)
def test_a_console_that_does_not_start_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], instead: str, why: str
) -> None:
    keys = "import tty; tty.setraw(0)\n"
    assert start_check.main(["--starts", "2", program(tmp_path, keys + instead)]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("0 of 2 starts painted")
    assert captured.err.count("failed: ") == 2
    assert why in captured.err


def test_a_store_that_cannot_be_filled_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "vestige-tui"
    broken.write_text(f"#!{sys.executable}\nraise SystemExit('There is no room.')\n")
    broken.chmod(0o755)
    assert start_check.main(["--starts", "1", str(broken)]) == 1
    assert "There is no room." in capsys.readouterr().err


def test_cores_are_busy_only_meanwhile() -> None:
    with start_check.busy(2) as loops:
        assert [loop.poll() for loop in loops] == [None, None]
    assert all(loop.returncode is not None for loop in loops)
    loops = []
    with pytest.raises(subprocess.TimeoutExpired), start_check.busy(1) as loops:
        loops[0].wait(0.01)
    assert loops[0].returncode is not None
