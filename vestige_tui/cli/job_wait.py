"""Start a job and wait for its end in the terminal: shared by the commands that start jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui.cli.job_lines import advice, line
from vestige_tui.cli.jobs import PATIENCE_SECONDS, status_of
from vestige_tui.cli.output import Output, ProgressLine
from vestige_tui.core.errors import Busy, Conflict, NotFound, Unavailable, VestigeError
from vestige_tui.core.jobs import LEASE_SECONDS
from vestige_tui.core.log import suppressed
from vestige_tui.core.text import short_id
from vestige_tui.presenters.job_actions import cancel_sentence
from vestige_tui.presenters.job_outcome import end_sentence, start_sentence
from vestige_tui.presenters.job_progress import rows_read
from vestige_tui.presenters.jobs import wait_in_words

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job, JobWait
    from vestige_tui.jobs.ledger import Ledger
    from vestige_tui.jobs.start import JobRequest, StartedJob
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

INTERRUPTED_STATUS = 130
POLL_SECONDS = 0.5
_GOES_ON = "The worker continues in the background."
DOUBT_SECONDS = LEASE_SECONDS / 2
"""Time to wait for a silent worker: a suspended machine or an unreachable database silences one that is alive."""


@dataclass(frozen=True, slots=True)
class JobHandle:
    """Job that a command started, as last read: at its end, or when the command stopped waiting."""

    job: Job
    interrupted: bool
    """True after ctrl-C."""
    store: Store
    """Target of the job, open."""

    @property
    def status(self) -> int:
        """Exit status of the command."""
        if self.interrupted and self.job.status != "completed":
            return INTERRUPTED_STATUS
        return 0 if self.job.in_flight else status_of(self.job)


@asynccontextmanager
async def started_job(request: JobRequest, output: Output, counted: str, *, detach: bool) -> AsyncIterator[JobHandle]:
    """Start a job and wait for its end unless ``detach``; ``counted`` labels its rows, as in "copied"."""
    from vestige_tui.jobs.ledger import Ledger

    progress = output.progress(counted)
    for server_url in dict.fromkeys(url for url in (request.source, request.target) if url.startswith("pgembed:")):
        output.note(f"Starting the embedded server in {server_url.removeprefix('pgembed:')} …")
    with contextlib.ExitStack() as signal_scope:
        presses = signal_scope.enter_context(_counted_interrupts())
        try:
            progress.show("checking the stores …", 0)
            launch = await _start_job(request, presses, output, progress)
        finally:
            progress.end()
        already_running, job_id = launch.already_running, launch.job_id
        output.note(start_sentence(request.kind, request.options, already_running=already_running, job_id=job_id))
        async with _open_target(request.target, job_id, output) as store:
            ledger = Ledger(store)
            try:
                must_wait = not detach or presses.count
                pending_job = (
                    _wait(ledger, launch.job_id, presses, output, progress) if must_wait else ledger.job(launch.job_id)
                )
                job = await pending_job
            finally:
                progress.end()
                signal_scope.close()
            interrupted = bool(presses.count)
            if interrupted and job.status == "failed":
                output.note(f"{end_sentence(job).text} {advice(job, datetime.now(UTC))}")
            yield JobHandle(job, interrupted, store)


@asynccontextmanager
async def _open_target(url: str, job_id: str, output: Output) -> AsyncIterator[Store]:
    """Open the target of a job that has begun; retry while its worker waits for it, too."""
    from vestige_tui.jobs.worker_sign import living_worker
    from vestige_tui.store.open import open_store

    lost_since = time.monotonic()
    is_noted = False
    while True:
        store = open_store(url, max_connections=2)
        try:
            await store.open()
            break
        except (Unavailable, Busy) as error:
            await store.close()
            if living_worker(job_id) is None and time.monotonic() - lost_since > PATIENCE_SECONDS:
                raise
            if not is_noted:
                output.note(f"{error.message} {_GOES_ON}")
                is_noted = True
            await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            await store.close()
            raise
    try:
        yield store
    finally:
        await store.close()


async def _start_job(request: JobRequest, presses: _Presses, output: Output, progress: ProgressLine) -> StartedJob:
    """Start a job. A first ctrl-C still waits for the start, so that it can be cancelled; a second one does not."""
    from vestige_tui.jobs.start import start

    start_task = asyncio.create_task(start(request))
    try:
        while not start_task.done() and (press_count := presses.count) < 2:
            if press_count:
                progress.end()
                output.note("Waiting for the job to start, then cancelling it; press ctrl-C again to stop waiting.")
            press_task = asyncio.create_task(presses.more_than(press_count))
            await asyncio.wait({start_task, press_task}, return_when=asyncio.FIRST_COMPLETED)
            press_task.cancel()
        if not start_task.done():
            output.note("The job may still start; check with `vestige-tui jobs list`.")
            raise KeyboardInterrupt
        try:
            return start_task.result()
        except VestigeError as error:
            if not presses.count:
                raise
            # A terminal sends ctrl-C to the starting worker, too.
            output.note("Interrupted before the job started.")
            raise KeyboardInterrupt from error
    finally:
        start_task.cancel()


async def _wait(ledger: Ledger, job_id: str, presses: _Presses, output: Output, progress: ProgressLine) -> Job:
    """Poll a job until it ends or ctrl-C is pressed twice; return its last state."""
    from vestige_tui.jobs.worker_sign import with_living_worker

    cancel_requested = False
    lost_since: float | None = None
    silent_since: float | None = None
    job: Job | None = None
    noted: JobWait | None = None
    while True:
        press_count = presses.count
        try:
            if press_count and not cancel_requested:
                progress.end()
                # A job that has just ended is reported below.
                with suppressed(log, "cancel a job that has ended", Conflict):
                    if (result := await ledger.cancel(job_id)) == "asked":
                        sentence = cancel_sentence(result).removesuffix(".")
                        output.note(f"{sentence}; press ctrl-C again to leave the worker running.")
                cancel_requested = True
            job = await ledger.job(job_id)
            lost_since = None
        except NotFound:
            # The ledger answers, and is another one: the file of the store was replaced.
            progress.end()
            raise
        except VestigeError as error:
            silent_since = None
            if lost_since is None:
                lost_since = time.monotonic()
                progress.end()
                output.note(f"{error.message} {_GOES_ON}")
            job = with_living_worker(job) if job is not None else None
            is_alive = job is not None and job.worker_pid is not None
            if not is_alive and time.monotonic() - lost_since > PATIENCE_SECONDS:
                raise
        if job is not None and job.in_flight and job.wait != noted:
            noted = job.wait
            if noted is not None:
                progress.end()
                output.note(wait_in_words(job, datetime.now(UTC)))
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
                    f"The worker of job {short_id(job_id)} sent no heartbeat for {LEASE_SECONDS} s; "
                    f"{advice(job, now).removesuffix('.')}, and so does the same command."
                )
            progress.show(line(job, now), rows_read(job))
        if press_count > 1 and job is not None:
            progress.end()
            output.note(
                f"Job {short_id(job_id)} keeps running; follow it with `vestige-tui jobs watch {short_id(job_id)}`."
            )
            return job
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await presses.more_than(press_count)


class _Presses:
    """Counter of ctrl-C presses."""

    def __init__(self) -> None:
        self.count = 0
        self._pressed = asyncio.Event()

    def press(self) -> None:
        self.count += 1
        self._pressed.set()

    async def more_than(self, count: int) -> None:
        """Wait until the count exceeds ``count``."""
        while self.count <= count:
            self._pressed.clear()
            await self._pressed.wait()


@contextlib.contextmanager
def _counted_interrupts() -> Iterator[_Presses]:
    """Count ctrl-C within the block instead of ending the program."""
    presses = _Presses()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, presses.press)
    try:
        yield presses
    finally:
        loop.remove_signal_handler(signal.SIGINT)
