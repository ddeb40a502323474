"""What ctrl-C does while a job is being started, and what a command leaves that is told to end."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias, cast

import pytest

from tests.support.command_line import run_process
from vestige_tui.cli import job_wait
from vestige_tui.cli.job_wait import _Presses, _start_job, _wait
from vestige_tui.cli.output import Output, ProgressLine
from vestige_tui.core.errors import NotFound, Unavailable, VestigeError
from vestige_tui.core.jobs import Job, JobWait
from vestige_tui.jobs import start as launch
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, StartedJob
from vestige_tui.jobs.worker_sign import WorkerSign, with_living_worker
from vestige_tui.presenters.jobs import wait_in_words

WORK = JobRequest("copy", "sqlite:a.db", "pgembed:/new")
HALF = job_wait.DOUBT_SECONDS / 2 + 1
AWAY = Unavailable("The server cannot be reached.")
Look: TypeAlias = tuple[float, float | VestigeError | None]


@pytest.fixture
def begins(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """A start that takes until this is set."""
    begins = asyncio.Event()

    async def start(work: JobRequest) -> StartedJob:
        await begins.wait()
        return StartedJob("3e386abc", False)

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
    launched = await _start_job(WORK, presses, output, ProgressLine("copied"))
    assert (launched.job_id, presses.count) == ("3e386abc", 1)
    assert output.said == ["Waiting for the job to start, then cancelling it; press ctrl-C again to stop waiting."]


async def test_a_second_press_does_not_wait(begins: asyncio.Event) -> None:
    presses = _Presses()
    output = Telling(presses.press)
    asyncio.get_running_loop().call_soon(presses.press)
    with pytest.raises(KeyboardInterrupt):
        await _start_job(WORK, presses, output, ProgressLine("copied"))
    assert output.said[1] == "The job may still start; check with `vestige-tui jobs list`."


async def test_what_ctrl_c_ends_on_its_way_was_not_begun(
    monkeypatch: pytest.MonkeyPatch, begins: asyncio.Event
) -> None:
    async def fails(work: JobRequest) -> StartedJob:
        await begins.wait()
        raise Unavailable("The server did not start.")

    monkeypatch.setattr(launch, "start", fails)
    presses, output = _Presses(), Telling(begins.set)
    asyncio.get_running_loop().call_soon(presses.press)
    with pytest.raises(KeyboardInterrupt):
        await _start_job(WORK, presses, output, ProgressLine("copied"))
    assert output.said[1] == "Interrupted before the job started."
    with pytest.raises(Unavailable):
        await _start_job(WORK, _Presses(), output, ProgressLine("copied"))


@pytest.mark.slow
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


class Looks:
    """A ledger that is looked at so many seconds after the last time, and then tells what is given beside them.

    That is how long ago the worker gave its last sign, None where the job has ended, or the error that it raises.
    """

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = list(looks)
        self.seconds = 0.0

    async def job(self, job_id: str) -> Job:
        passed, stands = self._looks.pop(0)
        self.seconds += passed
        if isinstance(stands, VestigeError):
            raise stands
        sign = datetime.now(UTC) - timedelta(seconds=stands or 0)
        status = "completed" if stands is None else "in_progress"
        return with_living_worker(Job(job_id, "copy", status, "sqlite:b.db", last_heartbeat=sign, plan="a plan"))

    def monotonic(self) -> float:
        return self.seconds


async def waited(looks: Sequence[Look], monkeypatch: pytest.MonkeyPatch) -> Job:
    """The job, after a wait whose clock is moved by its looks."""
    ledger = Looks(looks)
    monkeypatch.setattr(job_wait, "time", ledger)
    monkeypatch.setattr(job_wait, "POLL_SECONDS", 0.0)
    return await _wait(cast(Ledger, ledger), "3e386abc", _Presses(), Telling(lambda: None), ProgressLine("copied"))


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(0.5, 600), (0.5, 600), (0.5, 0)], id="woken from a long sleep"),
        pytest.param([(HALF, 60), (HALF, 0), (HALF, 60)], id="woken twice"),
        pytest.param([(HALF, 60), (HALF, AWAY), (HALF, 60)], id="the database was away"),
    ],
)
async def test_a_worker_that_was_silent_while_nobody_could_hear_it_is_not_given_up(
    looks: list[Look], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await waited([(1.0, 1), *looks, (HALF, None)], monkeypatch)).status == "completed"


async def test_a_worker_that_stays_silent_while_it_is_listened_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="sent no heartbeat for 30 s"):
        await waited([(0.5, 60), (HALF, 70), (HALF, 80)], monkeypatch)


async def test_a_ledger_without_the_job_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no such job"):
        await waited([(1.0, 1), (1.0, NotFound("There is no such job.")), (1.0, None)], monkeypatch)


async def test_what_the_worker_waits_for_is_said_once_and_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Telling(lambda: None)
    wait = JobWait("The disk of b is full.", datetime.now(UTC))
    monkeypatch.setattr(job_wait, "POLL_SECONDS", 0.0)
    ledger = Looks([(1.0, 1), (HALF, AWAY), (HALF, 90), (HALF, 120), (1000.0, AWAY), (1.0, None)])
    monkeypatch.setattr(job_wait, "time", ledger)
    with WorkerSign("3e386abc") as sign:
        sign.write(wait)
        job = await _wait(cast(Ledger, ledger), "3e386abc", _Presses(), output, ProgressLine("copied"))
    assert job.status == "completed"
    assert [said for said in output.said if "The disk of b is full." in said] == [wait_in_words_of(wait)]


def wait_in_words_of(wait: JobWait) -> str:
    return wait_in_words(Job("a", "copy", "in_progress", "b", wait=wait), datetime.now(UTC))
