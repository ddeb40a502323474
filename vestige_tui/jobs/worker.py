"""One job in a process of its own: ``python -m vestige_tui.jobs.worker``, its spec as JSON on stdin.

Passwords come only that way. It writes "taken" to stdout once it owns the row in the ledger, and from then on reports
only to the ledger and to its log. It continues when the terminal closes.
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
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vestige_tui.config.log import configure_log
from vestige_tui.core.errors import Cancelled, Conflict, StoreReplaced, VestigeError
from vestige_tui.core.log import PACKAGE, LogFormatter, suppressed
from vestige_tui.core.text import redact
from vestige_tui.core.times import format_time
from vestige_tui.jobs.context import JobContext, Meter
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.transitions import CANCELLED
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

TAKEN = "taken"
POLL_SECONDS = 0.25
BEAT_SECONDS = 2.0
GRACE_SECONDS = 0.5
"""Time for a job that should stop to reach its next checkpoint; then its statement is cancelled."""
NICENESS = 5
"""Lower priority than interactive programs."""
MAX_FINAL_ATTEMPTS = 5
CONNECTIONS = 4
BROKEN_OFF = "The work was broken off, and nobody had asked for that."


def owner() -> str:
    """Owner string of a run: process id, host, and start."""
    return f"{os.getpid()}@{socket.gethostname()} {format_time(datetime.now(UTC))}"


async def claim(store: Store, spec: Mapping[str, Any]) -> JobContext | None:
    """Claim the job that a spec names in the ledger of its target; None if it is not there to be taken."""
    job_id = str(spec["job_id"])
    claimed = await Ledger(store).take(job_id, owner())
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


async def run(spec: Mapping[str, Any], *, on_taken: Callable[[], None] | None = None) -> None:
    """Run the job that a spec names to its end, and record the result in the ledger.

    ``on_taken`` is called once the ledger has given it the job.
    """
    async with open_store(spec["target"], max_connections=CONNECTIONS) as store:
        context = await claim(store, spec)
        if context is None:
            log.error("Job %s is not there to be taken", spec["job_id"])
            return
        if on_taken is not None:
            on_taken()
        ledger, job_id = context.ledger, context.job_id
        log.info("Took job %s (%s)", job_id, context.kind)
        task = asyncio.create_task(import_module(KINDS[context.kind]).run(context))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, context.stop.set)
        heartbeats = asyncio.create_task(_beat(ledger, job_id, context.stop, task))
        try:
            await _settle(ledger, job_id, context.stop, task)
        finally:
            heartbeats.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeats


async def _beat(ledger: Ledger, job_id: str, stop: asyncio.Event, task: asyncio.Task[str]) -> None:
    """Send heartbeats and poll for a request to stop, also during a long statement."""
    last_beat = 0.0
    stopped_at = 0.0
    is_cancelled = False
    while True:
        await asyncio.sleep(POLL_SECONDS)
        with suppressed(log, "record a heartbeat", VestigeError):
            try:
                if time.monotonic() - last_beat >= BEAT_SECONDS:
                    await ledger.heartbeat(job_id)
                    last_beat = time.monotonic()
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


async def _settle(ledger: Ledger, job_id: str, stop: asyncio.Event, task: asyncio.Task[str]) -> None:
    try:
        result = await task
    except (Cancelled, asyncio.CancelledError) as error:
        if stop.is_set() or task.cancelling():
            log.info("Job %s was cancelled", job_id)
            await _tell(ledger, job_id, error=CANCELLED)
        else:
            log.error("Job %s was broken off: %s", job_id, error)
            await _tell(ledger, job_id, error=redact(str(error)) or BROKEN_OFF)
    except VestigeError as error:
        log.error("Job %s failed: %s", job_id, error)
        await _tell(ledger, job_id, error=redact(error.message))
    except Exception as error:
        # The message goes to the ledger, the lines of code only to the log.
        log.error("Job %s failed", job_id, exc_info=error)
        await _tell(ledger, job_id, error=f"The job failed: {redact(f'{type(error).__name__}: {error}')}")
    else:
        log.info("Job %s is completed", job_id)
        await _tell(ledger, job_id, result=result)


async def _tell(ledger: Ledger, job_id: str, *, error: str = "", result: str = "") -> None:
    """Record the end of a job, with retries and backoff while the database does not answer."""
    for attempt in range(MAX_FINAL_ATTEMPTS):
        try:
            await ledger.transition(job_id, "failed" if error else "completed", error=error, result=result)
            return
        except Conflict as conflict:
            # Another process ended it otherwise, and that stands.
            log.debug("Job %s was ended by another process: %s", job_id, conflict)
            return
        except VestigeError as failure:
            log.error("The ledger did not take the end of job %s: %s", job_id, failure)
            if attempt < MAX_FINAL_ATTEMPTS - 1:
                await asyncio.sleep(2.0**attempt)


def _hand_over() -> None:
    """Signal the parent process and let go of its pipe: later output to stdout goes to the log."""
    with suppress(OSError):
        os.write(1, f"{TAKEN}\n".encode())
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
        asyncio.run(run(spec, on_taken=_hand_over))
    except VestigeError as error:
        log.error("The worker ends: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
