"""One job in a process of its own: ``python -m vestige_tui.jobs.worker``, its spec as JSON on stdin.

Passwords come only that way. It writes "taken" to stdout once it owns the row in the ledger, or "waiting" if the
database is away, and from then on reports only to the ledger, its sign and its log. It continues when the terminal
closes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vestige_tui.config.log import configure_log
from vestige_tui.core.errors import (
    Busy,
    Cancelled,
    Conflict,
    StoreMissing,
    StoreReplaced,
    Unavailable,
    VestigeError,
)
from vestige_tui.core.jobs import JobWait
from vestige_tui.core.log import PACKAGE, LogFormatter, suppressed
from vestige_tui.core.text import redact
from vestige_tui.core.times import format_time
from vestige_tui.core.waits import wait_sentence
from vestige_tui.jobs.context import Backoff, JobContext, Meter
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.jobs.worker_sign import WorkerSign
from vestige_tui.store.direct_lines import set_direct_line
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

log = logging.getLogger("vestige_tui.jobs.worker")

KINDS = {
    "copy": "vestige_tui.transfer.copy",
    "verify": "vestige_tui.transfer.verify",
    "repair": "vestige_tui.transfer.reconcile",
    "reembed": "vestige_tui.reembed.plan",
}
"""The module of each kind of job: ``check`` refuses a request, ``run`` does the work."""

TAKEN, WAITING = "taken", "waiting"
"""Words to the parent process: the job is taken, or will be once its database answers."""
POLL_SECONDS = 0.25
BEAT_SECONDS = 2.0
GRACE_SECONDS = 0.5
"""Time for a job that should stop to reach its next checkpoint; then its statement is cancelled."""
NICENESS = 5
"""Lower priority than interactive programs."""
CONNECTIONS = 4
BROKEN_OFF = "The work was interrupted unexpectedly."


def owner() -> str:
    """Owner string of a run: process id, host, and start."""
    return f"{os.getpid()}@{socket.gethostname()} {format_time(datetime.now(UTC))}"


async def claim(store: Store, spec: Mapping[str, Any], claimant: str = "") -> JobContext | None:
    """Claim the job that a spec names in the ledger of its target; None if it is not there to be taken."""
    job_id = str(spec["job_id"])
    claimed = await Ledger(store).take(job_id, claimant or owner())
    if claimed is None:
        return None
    return JobContext(
        store,
        job_id,
        claimed.kind,
        source=str(spec["source"]),
        target=str(spec["target"]),
        options=claimed.options,
        moment=claimed.first_started,
        checkpoint=dict(claimed.checkpoint),
        meter=Meter(claimed.progress),
    )


async def run(spec: Mapping[str, Any], *, on_word: Callable[[str], None] = lambda word: None) -> None:
    """Run the job that a spec names to its end, and record the result in the ledger.

    ``on_word`` is called with TAKEN once the ledger has given it the job, before that with WAITING if it has to wait.
    """
    with WorkerSign(str(spec["job_id"])) as sign:
        store, context = await _take(spec, sign, on_word)
        try:
            if context is None:
                log.error("Job %s cannot be taken: another worker has it, or it ended", spec["job_id"])
                return
            on_word(TAKEN)
            await _work(context, sign)
        finally:
            await store.close()


async def _take(
    spec: Mapping[str, Any], sign: WorkerSign, on_word: Callable[[str], None]
) -> tuple[Store, JobContext | None]:
    """Open the target and claim the job; retry while the database does not answer, as any step of the job."""
    if direct_url := spec.get("direct"):
        set_direct_line(spec["target"], direct_url)
    pauses, claimant, since = Backoff(), owner(), datetime.now(UTC)
    while True:
        store = open_store(spec["target"], max_connections=CONNECTIONS, long_work=True)
        try:
            await store.open()
            context = await claim(store, spec, claimant)
        except (Unavailable, Busy) as error:
            await store.close()
            if isinstance(error, StoreMissing):
                raise
            pause = pauses.after(error)
            sign.write(JobWait(redact(error.message), since))
            on_word(WAITING)
            await asyncio.sleep(pause)
        except BaseException:
            await store.close()
            raise
        else:
            sign.write(None)
            return store, context


async def _work(context: JobContext, sign: WorkerSign) -> None:
    """Run a claimed job to its end, with heartbeats."""
    log.info("Took job %s (%s)", context.job_id, context.kind)
    task = asyncio.create_task(import_module(KINDS[context.kind]).run(context))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, context.stop.set)
    helpers = [asyncio.create_task(_beat(context, task)), asyncio.create_task(_keep_sign(context, sign))]
    try:
        await _settle(context, task)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


async def _keep_sign(context: JobContext, sign: WorkerSign) -> None:
    """Note the wait of this worker in its sign, also while the ledger cannot be written."""
    noted: JobWait | None = None
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if (wait := _wait_of(context)) != noted:
            noted = wait
            sign.write(wait)


def _wait_of(context: JobContext) -> JobWait | None:
    """Return the wait of a job: for the cause of its retries, a lock, or a server that does not answer."""
    if context.wait is not None:
        return context.wait
    report = context.store.long_wait()
    if report is None or not (report.holders or report.answers is False):
        return None  # no wait, or a long statement
    now = datetime.now(UTC)
    since = (now - timedelta(seconds=report.seconds)).replace(microsecond=0)
    return JobWait(redact(wait_sentence(report, now)), since)


async def _beat(context: JobContext, task: asyncio.Task[str]) -> None:
    """Send heartbeats and poll for a request to stop, also during a long statement."""
    ledger, job_id, stop = context.ledger, context.job_id, context.stop
    last_beat = 0.0
    stopped_at = 0.0
    is_cancelled = False
    noted: JobWait | None = None
    while True:
        await asyncio.sleep(POLL_SECONDS)
        with suppressed(log, "record a heartbeat", VestigeError):
            try:
                if time.monotonic() - last_beat >= BEAT_SECONDS:
                    await ledger.heartbeat(job_id)
                    last_beat = time.monotonic()
                    if (wait := _wait_of(context)) != noted:
                        await ledger.note_wait(job_id, wait)
                        noted = wait
                if await ledger.cancelled(job_id) is not False:
                    stop.set()
            except StoreReplaced:
                # Its ledger is gone with the file: no request to stop and no end can reach it.
                task.cancel()
                raise
        if stop.is_set():
            stopped_at = stopped_at or time.monotonic()
            # A checkpoint is never far, except in a long statement: cancel that one on the server.
            if not is_cancelled and time.monotonic() - stopped_at >= GRACE_SECONDS:
                is_cancelled = task.cancel()


async def _settle(context: JobContext, task: asyncio.Task[str]) -> None:
    job_id = context.job_id
    try:
        result = await task
    except (Cancelled, asyncio.CancelledError) as error:
        if context.stop.is_set() or task.cancelling():
            log.info("Job %s was cancelled", job_id)
            await _tell(context, error=CANCELLED)
        else:
            log.error("Job %s was interrupted: %s", job_id, error)
            await _tell(context, error=redact(str(error)) or BROKEN_OFF)
    except VestigeError as error:
        log.error("Job %s failed: %s", job_id, error)
        await _tell(context, error=redact(error.message))
    except Exception as error:
        # The message goes to the ledger, the lines of code only to the log.
        log.error("Job %s failed", job_id, exc_info=error)
        await _tell(context, error=f"The job failed: {redact(f'{type(error).__name__}: {error}')}")
    else:
        log.info("Job %s is completed", job_id)
        await _tell(context, result=result)


async def _tell(context: JobContext, *, error: str = "", result: str = "") -> None:
    """Record the end of a job, with retries and backoff while the database does not answer."""
    job_id = context.job_id

    async def record() -> None:
        await context.ledger.transition(job_id, "failed" if error else "completed", error=error, result=result)

    try:
        await context.persist(record)
    except Conflict as conflict:
        # Another process ended it otherwise, and that stands.
        log.debug("Job %s was ended by another process: %s", job_id, conflict)
    except VestigeError as failure:
        log.error("The end of job %s could not be recorded: %s", job_id, failure)


class _Parent:
    """The process that started this worker; it waits at a pipe for one word."""

    def __init__(self) -> None:
        self._waits = True

    def tell(self, word: str) -> None:
        """Write the first word, and let go of the pipe: later output to stdout goes to the log."""
        if self._waits:
            self._waits = False
            with suppress(OSError):
                os.write(1, f"{word}\n".encode())
            os.dup2(2, 1)


def _configure_logs(*, debug: bool) -> None:
    """Log to the file that all processes share, and from stderr to the log of this job alone."""
    configure_log(debug=debug)
    job_log = logging.StreamHandler(sys.stderr)
    job_log.setLevel(logging.INFO)
    # That log names the reason of a failure to the owner of the job, as its row in the ledger does.
    job_log.setFormatter(LogFormatter(quote=True))
    logging.getLogger(PACKAGE).addHandler(job_log)


def main() -> int:
    """Read the spec from stdin and run it; the exit status says only whether it could start."""
    os.umask(0o077)
    os.nice(NICENESS)
    with suppress(ValueError):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    spec = json.loads(sys.stdin.buffer.read())
    _configure_logs(debug=bool(spec.get("debug")))
    try:
        asyncio.run(run(spec, on_word=_Parent().tell))
    except VestigeError as error:
        log.error("The worker ends: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
