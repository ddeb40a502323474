"""What ctrl-C does while a job is being started, and what a command leaves that is told to end."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import run_process
from vestige_tui.cli.output import Output, Progress
from vestige_tui.cli.waiting import _Presses, _started
from vestige_tui.errors import Unavailable
from vestige_tui.jobs import launch
from vestige_tui.jobs.launch import Launched, Work

WORK = Work("copy", "sqlite:a.db", "pgembed:/new")


@pytest.fixture
def begins(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """A start that takes until this is set."""
    begins = asyncio.Event()

    async def start(work: Work) -> Launched:
        await begins.wait()
        return Launched("3e386abc", False)

    monkeypatch.setattr(launch, "start", start)
    return begins


class Telling(Output):
    """Keeps what is said, and presses or lets the job begin at the first word."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__(as_json=False)
        self.said: list[str] = []
        self._then = then

    def note(self, text: str, *, fold: bool = True) -> None:
        self.said.append(text)
        if len(self.said) == 1:
            self._then()


async def test_a_job_that_is_being_started_is_waited_for_to_be_cancelled(begins: asyncio.Event) -> None:
    presses, output = _Presses(), Telling(begins.set)
    asyncio.get_running_loop().call_soon(presses.press)
    launched = await _started(WORK, presses, output, Progress("copied"))
    assert (launched.job_id, presses.count) == ("3e386abc", 1)
    assert output.said == ["Waiting for the job to begin, to cancel it; ctrl-C again does not wait."]


async def test_a_second_press_does_not_wait(begins: asyncio.Event) -> None:
    presses = _Presses()
    output = Telling(presses.press)
    asyncio.get_running_loop().call_soon(presses.press)
    with pytest.raises(KeyboardInterrupt):
        await _started(WORK, presses, output, Progress("copied"))
    assert output.said[1] == "Should the job begin nevertheless, `vestige-tui jobs list` shows it."


async def test_what_ctrl_c_ends_on_its_way_was_not_begun(
    monkeypatch: pytest.MonkeyPatch, begins: asyncio.Event
) -> None:
    async def fails(work: Work) -> Launched:
        await begins.wait()
        raise Unavailable("The server did not start.")

    monkeypatch.setattr(launch, "start", fails)
    presses, output = _Presses(), Telling(begins.set)
    asyncio.get_running_loop().call_soon(presses.press)
    with pytest.raises(KeyboardInterrupt):
        await _started(WORK, presses, output, Progress("copied"))
    assert output.said[1] == "It was broken off while it was being started; nothing was begun."
    with pytest.raises(Unavailable):
        await _started(WORK, _Presses(), output, Progress("copied"))


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_lets_go_of_its_server(tmp_path: Path, told: signal.Signals) -> None:
    folder = tmp_path / "server"
    assert run_process("--store", f"pgembed:{folder}", "schema", "up").status == 0
    arguments = [sys.executable, "-m", "vestige_tui", "--store", f"pgembed:{folder}", "jobs", "watch", "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        deadline = time.monotonic() + 60
        while not list(folder.glob("lease.*")):
            assert time.monotonic() < deadline
            assert command.poll() is None
            time.sleep(0.01)
        command.send_signal(told)
        assert command.communicate(timeout=60)[1] == "Interrupted.\n"
    assert command.returncode == 130
    assert not list(folder.glob("lease.*"))
    with open(folder / "running.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
