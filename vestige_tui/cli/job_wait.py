"""Starting a job and waiting for its end in the terminal: what every command that begins one has in common."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui.cli.jobs import status_of
from vestige_tui.cli.output import Output, Progress
from vestige_tui.core.errors import Conflict, Unavailable, VestigeError
from vestige_tui.core.jobs import LEASE_SECONDS
from vestige_tui.core.text import short_id
from vestige_tui.presenters.shell_jobs import line, way_on

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.jobs.start import JobRequest, StartedJob
    from vestige_tui.store.store import Store

INTERRUPTED = 130
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
"""How long a database that went away is waited for; the worker waits for it by itself."""
DOUBT_SECONDS = LEASE_SECONDS / 2
"""How long a silent worker is listened for: this machine may have slept, or the database was away, and it with them."""


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job that a command began: as it ended, or as it stood when nobody waited any longer."""

    job: Job
    interrupted: bool
    """Was ctrl-C pressed?"""
    store: Store
    """What the job writes, open."""

    @property
    def status(self) -> int:
        """The exit status of the command."""
        if self.interrupted and self.job.status != "completed":
            return INTERRUPTED
        return 0 if self.job.in_flight else status_of(self.job)


@asynccontextmanager
async def begun(work: JobRequest, output: Output, counted: str, *, detach: bool) -> AsyncIterator[JobHandle]:
    """Start a job and wait for its end, unless told otherwise; ``counted`` says what its rows are, as in "copied"."""
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.store.open import open_store

    progress = output.progress(counted)
    for folder in dict.fromkeys(url for url in (work.source, work.target) if url.startswith("pgembed:")):
        output.note(f"Starting the server of {folder.removeprefix('pgembed:')} …")
    with contextlib.ExitStack() as handling:
        presses = handling.enter_context(_interrupts())
        try:
            progress.show("looking at the stores …", 0)
            launched = await _started(work, presses, output, progress)
        finally:
            progress.end()
        short = short_id(launched.job_id)
        output.note(f"Job {short} was under way already." if launched.already_running else f"Job {short} has begun.")
        async with open_store(work.target, max_connections=2) as store:
            ledger = Ledger(store)
            try:
                waits = not detach or presses.count
                told = (
                    _wait(ledger, launched.job_id, presses, output, progress) if waits else ledger.job(launched.job_id)
                )
                job = await told
            finally:
                progress.end()
                handling.close()
            interrupted = bool(presses.count)
            if interrupted and not job.in_flight and (way := way_on(job, datetime.now(UTC))):
                output.note(f"Job {short} was cancelled; {way}.")
            yield JobHandle(job, interrupted, store)


async def _started(work: JobRequest, presses: _Presses, output: Output, progress: Progress) -> StartedJob:
    """Start a job. After ctrl-C it is still waited for, so that it can be cancelled; after a second one it is not."""
    from vestige_tui.jobs.start import start

    starting = asyncio.create_task(start(work))
    try:
        while not starting.done() and (seen := presses.count) < 2:
            if seen:
                progress.end()
                output.note("Waiting for the job to begin, to cancel it; ctrl-C again does not wait.")
            pressing = asyncio.create_task(presses.more_than(seen))
            await asyncio.wait({starting, pressing}, return_when=asyncio.FIRST_COMPLETED)
            pressing.cancel()
        if not starting.done():
            output.note("Should the job begin nevertheless, `vestige-tui jobs list` shows it.")
            raise KeyboardInterrupt
        try:
            return starting.result()
        except VestigeError as error:
            if not presses.count:
                raise
            # A terminal sends ctrl-C to what was being started, too.
            output.note("It was broken off while it was being started; nothing was begun.")
            raise KeyboardInterrupt from error
    finally:
        starting.cancel()


async def _wait(ledger: Ledger, job_id: str, presses: _Presses, output: Output, progress: Progress) -> Job:
    """Wait for the end of a job, or for a second ctrl-C; gives the job as it stands then."""
    asked = False
    lost_since: float | None = None
    silent_since: float | None = None
    job: Job | None = None
    while True:
        seen = presses.count
        try:
            if seen and not asked:
                progress.end()
                # One that ended in this very moment says so itself, below.
                with contextlib.suppress(Conflict):
                    if await ledger.cancel(job_id) == "asked":
                        output.note("Stopping at the next checkpoint; ctrl-C again leaves the worker running.")
                asked = True
            job = await ledger.job(job_id)
            lost_since = None
        except VestigeError as error:
            silent_since = None
            if lost_since is None:
                lost_since = time.monotonic()
                progress.end()
                output.note(f"{error.message} The worker goes on by itself.")
            if time.monotonic() - lost_since > PATIENCE_SECONDS:
                raise
        if job is not None and lost_since is None:
            if not job.in_flight:
                return job
            now = datetime.now(UTC)
            if job.silence(now) is None:
                silent_since = None
            elif silent_since is None:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since >= DOUBT_SECONDS:
                raise Unavailable(
                    f"The worker of job {short_id(job_id)} gave no sign of life for {LEASE_SECONDS} s; "
                    f"{way_on(job, now)}, and so does the same command."
                )
            progress.show(line(job, now), sum(each.read for each in job.progress.tables.values()))
        if seen > 1 and job is not None:
            progress.end()
            output.note(f"Job {short_id(job_id)} goes on; `vestige-tui jobs watch {short_id(job_id)}` shows it.")
            return job
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(presses.more_than(seen), POLL_SECONDS)


class _Presses:
    """How often ctrl-C was pressed."""

    def __init__(self) -> None:
        self.count = 0
        self._pressed = asyncio.Event()

    def press(self) -> None:
        self.count += 1
        self._pressed.set()

    async def more_than(self, seen: int) -> None:
        """Wait until it was pressed more often than that."""
        while self.count <= seen:
            self._pressed.clear()
            await self._pressed.wait()


@contextlib.contextmanager
def _interrupts() -> Iterator[_Presses]:
    """While the block runs, ctrl-C is counted instead of ending the program."""
    presses = _Presses()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, presses.press)
    try:
        yield presses
    finally:
        loop.remove_signal_handler(signal.SIGINT)
