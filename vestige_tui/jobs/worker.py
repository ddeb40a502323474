"""One job in a process of its own: ``python -m vestige_tui.jobs.worker``, its work as JSON on stdin.

Passwords come only that way. It tells the one who started it "taken" on stdout once the row in the ledger is its own,
and from then on speaks only to the ledger and to its log. It goes on when the terminal closes.
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
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from vestige_tui.core.errors import Cancelled, Conflict, VestigeError
from vestige_tui.core.text import redact
from vestige_tui.core.times import format_time
from vestige_tui.jobs.context import JobContext, Meter
from vestige_tui.jobs.ledger import CANCELLED, Ledger
from vestige_tui.store.open import open_store

log = logging.getLogger("vestige_tui.jobs")

KINDS = {
    "copy": "vestige_tui.transfer.copy",
    "verify": "vestige_tui.transfer.verify",
    "repair": "vestige_tui.transfer.reconcile",
    "reembed": "vestige_tui.reembed.plan",
}
"""The module of each kind of job: ``check`` makes its refusals in front, ``run`` does it."""

TAKEN = "taken"
LOOK_SECONDS = 0.25
BEAT_SECONDS = 2.0
GRACE_SECONDS = 0.5
"""So long a job that should stop may take to its next checkpoint."""
NICENESS = 5
"""Whoever sits at a terminal comes first."""
FINAL_TRIES = 5
CONNECTIONS = 4
BROKEN_OFF = "The work was broken off, and nobody had asked for that."


def owner() -> str:
    """Who runs a job: process, machine, and since when."""
    return f"{os.getpid()}@{socket.gethostname()} {format_time(datetime.now(UTC))}"


async def run(spec: dict[str, Any]) -> None:
    """Run the job that a spec names to its end, whatever that is, and tell the ledger."""
    job_id = str(spec["job_id"])
    async with open_store(spec["target"], max_connections=CONNECTIONS) as store:
        ledger = Ledger(store)
        taken = await ledger.take(job_id, owner())
        if taken is None:
            log.error("job %s is not there to be taken", job_id)
            return
        _hand_over()
        running = JobContext(
            store,
            job_id,
            taken.kind,
            source=str(spec["source"]),
            target=str(spec["target"]),
            options=taken.options,
            moment=taken.first_started,
            checkpoint=dict(taken.checkpoint),
            meter=Meter(taken.progress),
        )
        working = asyncio.create_task(import_module(KINDS[taken.kind]).run(running))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.stop.set)
        beating = asyncio.create_task(_beat(ledger, job_id, running.stop, working))
        try:
            await _settle(ledger, job_id, running.stop, working)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


async def _beat(ledger: Ledger, job_id: str, stop: asyncio.Event, working: asyncio.Task[str]) -> None:
    """Give signs of life and look for a wish to stop, also while one statement takes long."""
    last = 0.0
    asked = 0.0
    broken_off = False
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with suppress(VestigeError):
            if time.monotonic() - last >= BEAT_SECONDS:
                await ledger.heartbeat(job_id)
                last = time.monotonic()
            if await ledger.cancelled(job_id) is not False:
                stop.set()
        if stop.is_set():
            asked = asked or time.monotonic()
            # A checkpoint is never far, but in a statement that takes long: that one is stopped on the server.
            if not broken_off and time.monotonic() - asked >= GRACE_SECONDS:
                broken_off = working.cancel()


async def _settle(ledger: Ledger, job_id: str, stop: asyncio.Event, working: asyncio.Task[str]) -> None:
    try:
        result = await working
    except (Cancelled, asyncio.CancelledError) as error:
        if stop.is_set() or working.cancelling():
            log.info("job %s was cancelled", job_id)
            await _tell(ledger, job_id, error=CANCELLED)
        else:
            said = redact(str(error)) or BROKEN_OFF
            log.error("job %s was broken off: %s", job_id, said)
            await _tell(ledger, job_id, error=said)
    except VestigeError as error:
        log.error("job %s failed: %s", job_id, redact(error.message))
        await _tell(ledger, job_id, error=redact(error.message))
    except Exception as error:
        # The sentence goes to the ledger, the place to the log; both without what a driver may have quoted.
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else "nowhere"
        said = redact(f"{type(error).__name__}: {error}")
        log.error("job %s failed at %s: %s", job_id, place, said)
        await _tell(ledger, job_id, error=f"The job failed: {said}")
    else:
        log.info("job %s is completed: %s", job_id, result)
        await _tell(ledger, job_id, result=result)


async def _tell(ledger: Ledger, job_id: str, *, error: str = "", result: str = "") -> None:
    """Tell the end, again where the database does not answer at once."""
    for attempt in range(FINAL_TRIES):
        try:
            await ledger.transition(job_id, "failed" if error else "completed", error=error, result=result)
            return
        except Conflict:
            # Somebody else has ended it otherwise, and that stands.
            return
        except VestigeError as trouble:
            log.error("the ledger did not take the end of job %s: %s", job_id, redact(trouble.message))
            if attempt < FINAL_TRIES - 1:
                await asyncio.sleep(2.0**attempt)


def _hand_over() -> None:
    """Tell whoever waits, and let go of the pipe to it: what is printed later goes where the log goes."""
    with suppress(OSError):
        os.write(1, f"{TAKEN}\n".encode())
    os.dup2(2, 1)


def main() -> int:
    """Read the work from stdin and do it; the status says only whether it could be begun."""
    os.umask(0o077)
    os.nice(NICENESS)
    with suppress(ValueError):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    spec = json.loads(sys.stdin.buffer.read())
    try:
        asyncio.run(run(spec))
    except VestigeError as error:
        log.error("%s", redact(error.message))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
