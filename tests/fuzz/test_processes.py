"""What only a process of its own can show: bytes as arguments, closed and full descriptors, signals."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.polling import until
from vestige_tui.cli.program import run as run_program

PROGRAM = f"{sys.executable} -m vestige_tui"
SYSTEM_REFUSES = "The output could not be written: No space left on device.\n"


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store with one memory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert run_program(["--store", str(tmp_path / "store.db"), "schema", "up", "--json"]) == 0
    return f"sqlite:{tmp_path / 'store.db'}"


def shell(command: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_bytes_that_are_no_utf_8(sample: str, tmp_path: Path, locale: str) -> None:
    url = f"sqlite:{tmp_path}".encode() + b"/\xff\xfe.db"
    for arguments, status in (
        ([b"--store", url, b"list"], 1),
        ([b"--store", sample.encode(), b"show", b"\xff\xff\xff\xff\xff\xff"], 2),
        ([b"--store", sample.encode(), b"list", b"--after", b"\xff"], 2),
        ([b"\xff\xfe"], 2),
    ):
        done = subprocess.run(
            [os.fsencode(sys.executable), b"-m", b"vestige_tui", b"--json", *arguments],
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        )
        assert done.returncode == status, done.stderr
        assert set(json.loads(done.stdout)) == {"error"}
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("list <&- >&-", (0, "", "No memory matches.\n")),
        ("list 2>&-", (0, "", "")),
        ("list <&- >&- 2>&-", (0, "", "")),
        ("list --json >/dev/full", (1, "", SYSTEM_REFUSES)),
        ("list --json >/dev/full 2>/dev/full", (1, "", "")),
        ("--version >/dev/full", (1, "", SYSTEM_REFUSES)),
        ("--help >/dev/full", (1, "", SYSTEM_REFUSES)),
        ("list --help >/dev/full", (1, "", SYSTEM_REFUSES)),
        ("--help | head -c 1", (0, "u", "")),
    ],
)
def test_descriptors_that_are_closed_or_full(sample: str, command: str, expected: tuple[int, str, str]) -> None:
    store = "" if command.startswith("--version") else f"--store {sample} "
    assert shell(f"set -o pipefail; {PROGRAM} {store}{command}") == expected


def test_a_closed_descriptor_is_given_to_no_file(sample: str, tmp_path: Path) -> None:
    """The export would be descriptor 1, and whatever is printed would be written into it."""
    target = tmp_path / "export.jsonl"
    assert shell(f"{PROGRAM} --store {sample} export {target} --json <&- >&- 2>&-") == (0, "", "")
    assert target.read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", [["import", "-"], ["import", "fifo"], ["add", "-"]], ids=" ".join)
async def test_one_signal_ends_a_read(
    sample: str, tmp_path: Path, command: list[str], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file that is opened while the signal comes is closed by the end of the process alone.
    monkeypatch.delenv("PYTHONWARNINGS")
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    process = _start(sample, *command)

    assert process.stdin is not None
    if "fifo" in command:
        writer = await opened_for_writing(tmp_path / "fifo")
    else:
        writer = process.stdin.fileno()
        os.write(writer, b" ")

    async def is_read() -> bool:
        return unread_bytes(writer) == 0

    await until(is_read)
    process.send_signal(number)
    # stdin stays open until it has ended.
    assert process.wait() == 130
    out, err = process.communicate()
    assert (out, err) == (b"", b"Interrupted.\n")


def _start(store: str, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "vestige_tui", "--store", store, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that ignores ctrl-C for its background commands would hand that on.
        preexec_fn=_default_signals,
    )


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


async def opened_for_writing(fifo: Path) -> int:
    """Open a pipe once it has a reader."""
    descriptors: list[int] = []

    async def opens() -> bool:
        with contextlib.suppress(OSError):
            descriptors.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(descriptors)

    await until(opens)
    return descriptors[0]


def unread_bytes(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
