"""Workers that run in a process of their own and are killed at one of their calls of a database.

``VESTIGE_DEATHS`` is the number of deaths of each test, or ``all`` for a death at every call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from tests.support.jobs import read_job
from tests.support.store_rows import Outcome, read_outcome
from vestige_tui.jobs import start
from vestige_tui.jobs.start import JobRequest

KILLED_STATUS = -9
DEATHS = os.environ.get("VESTIGE_DEATHS", "6")
TIMEOUT_SECONDS = 7_200 if DEATHS == "all" else 120 + 20 * int(DEATHS)
"""Timeout of a test that is marked ``deaths``."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers of jobs that are started, but run only in ``run``: in a process that forks one for each line."""

    requests: IO[str]
    answers: IO[str]
    specs: list[Mapping[str, str]] = field(default_factory=list)
    """Specs of the workers that were started, the latest last."""

    async def start(self, request: JobRequest) -> str:
        """Start a job and return its id."""
        started = await start.start(request, spawn=self.specs.append)
        assert not started.already_running
        return started.job_id

    def run(
        self, die_at: int = 0, edits: Sequence[tuple[str, str]] = (), *, spec: Mapping[str, str] | None = None
    ) -> tuple[int, int]:
        """Run the worker of a spec, that of the latest job by default; return its exit status and its calls.

        The ``edits``, pairs of a store and a statement, are made behind its back once it has read all rows; with edits
        only the later calls count.
        """
        request = {"spec": spec or self.specs[-1], "die_at": die_at, "edits": edits}
        self.requests.write(json.dumps(request) + "\n")
        self.requests.flush()
        answer: dict[str, Any] = json.loads(self.answers.readline())
        return answer["status"], answer["calls"]

    async def run_undisturbed(self, request: JobRequest, edits: Sequence[tuple[str, str]] = ()) -> tuple[Outcome, int]:
        """Run a job to its end without a death; return its outcome and its calls."""
        job_id = await self.start(request)
        status, calls = self.run(0, edits)
        job = await read_job(request.target, job_id)
        assert (status, job.status, job.error) == (0, "completed", None)
        return await read_outcome(request.target, job), calls

    async def run_killed(self, request: JobRequest, die_at: int, edits: Sequence[tuple[str, str]] = ()) -> Outcome:
        """Run a job whose worker dies at a call, and a second attempt that completes it; return the outcome."""
        job_id = await self.start(request)
        status, calls = self.run(die_at, edits)
        # One heartbeat more or less is a call more or less: the last of them may not be reached.
        assert status == KILLED_STATUS or (status == 0 and calls < die_at)
        job = await read_job(request.target, job_id)
        if job.status != "completed":
            job_id = await self.start(request)
            assert self.run()[0] == 0
            job = await read_job(request.target, job_id)
            assert job.attempt == 2
        assert (job.status, job.error) == ("completed", None)
        return await read_outcome(request.target, job)


@contextmanager
def killable_workers() -> Iterator[Workers]:
    """Start the process that forks a worker for each run, for the block."""
    command = [sys.executable, "-m", "tests.support.killable_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield Workers(server.stdin, server.stdout)
        server.stdin.close()


def kill_points(calls: int, *, dense: int = 0) -> list[int]:
    """Choose the calls at which a worker dies, spread evenly from the first to the last.

    Half of them are among the last ``dense`` calls, if that is given.
    """
    if DEATHS == "all":
        return list(range(1, calls + 1))
    count = int(DEATHS)
    if not dense:
        return _spread(1, calls, count)
    return sorted({*_spread(1, calls, count - count // 2), *_spread(max(1, calls - dense), calls, count // 2)})


def _spread(first: int, last: int, count: int) -> list[int]:
    if count == 1:
        return [first]
    return sorted({first + round(place * (last - first) / (count - 1)) for place in range(count)})
