"""Starting a job and waiting for its end in the terminal: what every command that begins one has in common."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui.cli.jobs import status_of, summary
from vestige_tui.cli.output import Output, Progress
from vestige_tui.errors import Conflict, Unavailable, VestigeError
from vestige_tui.text import short_id

if TYPE_CHECKING:
    from vestige_tui.jobs.launch import Work
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.model import Job
    from vestige_tui.store.service import Store

INTERRUPTED = 130
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
"""How long a database that went away is waited for; the worker waits for it by itself."""


@dataclass(frozen=True, slots=True)
class Begun:
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
async def begun(work: Work, output: Output, counted: str, *, detach: bool) -> AsyncIterator[Begun]:
    """Start a job and wait for its end, unless told otherwise; ``counted`` says what its rows are, as in "copied"."""
    from vestige_tui.jobs.launch import start
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.store import open_store

    launched = await start(work)
    short = short_id(launched.job_id)
    output.note(f"Job {short} was under way already." if launched.already_running else f"Job {short} has begun.")
    progress = output.progress(counted)
    async with open_store(work.target, max_connections=2) as store:
        ledger = Ledger(store)
        if detach:
            yield Begun(await ledger.job(launched.job_id), False, store)
            return
        try:
            job, interrupted = await _wait(ledger, launched.job_id, output, progress)
        finally:
            progress.end()
        yield Begun(job, interrupted, store)


async def _wait(ledger: Ledger, job_id: str, output: Output, progress: Progress) -> tuple[Job, bool]:
    """Wait for the end of a job, or for a second ctrl-C; gives the job and whether ctrl-C was pressed."""
    from vestige_tui.jobs.ledger import LEASE

    presses = 0
    pressed = asyncio.Event()

    def press() -> None:
        nonlocal presses
        presses += 1
        pressed.set()

    asked = False
    lost_since: float | None = None
    job: Job | None = None
    with _interrupts(press):
        while True:
            try:
                if presses and not asked:
                    progress.end()
                    # One that ended in this very moment says so itself, below.
                    with contextlib.suppress(Conflict):
                        if await ledger.cancel(job_id) == "asked":
                            output.note("Stopping at the next checkpoint; ctrl-C again leaves the worker running.")
                    asked = True
                job = await ledger.job(job_id)
                lost_since = None
            except VestigeError as error:
                now = time.monotonic()
                if lost_since is None:
                    lost_since = now
                    progress.end()
                    output.note(f"{error.message} The worker goes on by itself.")
                if now - lost_since > PATIENCE_SECONDS:
                    raise
            if job is not None and lost_since is None:
                if not job.in_flight:
                    return job, bool(presses)
                read = sum(each.read for each in job.progress.tables.values())
                progress.show(summary(job), read)
                if job.last_heartbeat and datetime.now(UTC) - job.last_heartbeat > LEASE:
                    raise Unavailable(
                        f"The worker of job {short_id(job_id)} gave no sign for {LEASE.seconds} s; "
                        "give the same command again to go on from its checkpoint."
                    )
            if presses > 1 and job is not None:
                progress.end()
                output.note(f"Job {short_id(job_id)} goes on; `vestige-tui jobs watch {short_id(job_id)}` shows it.")
                return job, True
            pressed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pressed.wait(), POLL_SECONDS)


@contextlib.contextmanager
def _interrupts(press: Callable[[], None]) -> Iterator[None]:
    """While the block runs, ctrl-C calls ``press`` on the loop instead of ending the program."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, press)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
