"""Sweeper: ends work in the ledger of an open store that no worker will end any more.

Work over its deadline fails, work without a heartbeat is stuck, and a run of our own whose worker is silent for the
lease fails before its plan is started again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vestige_tui.core.errors import ReadOnly, Unavailable, VestigeError
from vestige_tui.core.log import log_suppressed, suppressed
from vestige_tui.core.text import duration, grouped
from vestige_tui.jobs.transitions import IN_FLIGHT, LEASE, LEASE_LOST, OVERDUE, STUCK_AFTER, TRANSITIONS, settle
from vestige_tui.jobs.worker_sign import living_worker
from vestige_tui.store.schema.rows import as_time

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Row, Transaction
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

SWEEP_SECONDS = 300.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Counts of a sweep: jobs failed at their deadline, jobs marked as stuck, rows that it could not settle."""

    deadline_failures: int = 0
    stuck_marked: int = 0
    errors: int = 0

    def __add__(self, other: SweepResult) -> SweepResult:
        return SweepResult(
            self.deadline_failures + other.deadline_failures,
            self.stuck_marked + other.stuck_marked,
            self.errors + other.errors,
        )


async def end_lost_run(transaction: Transaction, run: Row, now: datetime) -> bool:
    """End the unfinished run of a plan whose worker gave no heartbeat for LEASE, so that the plan can be retried.

    A worker whose process lives on this machine is not lost: it may not have reached the ledger.

    ``run`` is a row of ``find_unfinished_run``. Returns False where its worker is alive. ``Ledger.start`` asks this
    before each attempt, and then continues from the checkpoint of the run that ended here.
    """
    job_id, last_sign = str(run["delegation_id"]), as_time(run["last_sign"]) or now
    if run["status"] in IN_FLIGHT:
        if now - last_sign <= LEASE or living_worker(job_id) is not None:
            return False
        await settle(transaction, job_id, "failed", now=now, error=LEASE_LOST)
    # Also if the delegation was ended by a program that knows no runs.
    await transaction.execute("finish_run", {"id": job_id, "now": now})
    return True


async def sweep_once(
    store: Store, *, now: datetime, since: datetime, threshold: timedelta = STUCK_AFTER
) -> SweepResult:
    """End work over its deadline, then mark as stuck the work that stopped giving heartbeats.

    ``since``: start of this sweeper, or of the database. No heartbeat could be recorded before it, so nothing is
    marked as stuck until one ``threshold`` has passed. Work that never gave a heartbeat is left to its deadline,
    and so is work that is stuck already. A row that cannot be settled is counted and skipped; raises Unavailable
    and ReadOnly.
    """
    failed = stuck = errors = 0
    rows = await store.backend.fetch("list_sweepable", {"in_flight": list(IN_FLIGHT)})
    for row in rows:
        try:
            if _moment(row["deadline"], _NEVER) < now:
                failed += await _expire(store, row, now)
            elif "stuck" in TRANSITIONS[row["status"]] and now - since >= threshold:
                silence = now - _moment(row["last_heartbeat"], now)
                if silence > threshold:
                    stuck += await _stall(store, row, now, silence)
        except (Unavailable, ReadOnly):
            raise
        except VestigeError as error:
            log_suppressed(log, "update a job in a sweep", error)
            errors += 1
    if failed or stuck or errors:
        log.info("Swept: %s over their deadline, %s stuck, %s not updated", failed, stuck, errors)
    return SweepResult(failed, stuck, errors)


async def sweep(store: Store, *, since: datetime | None = None, threshold: timedelta = STUCK_AFTER) -> SweepResult:
    """Sweep a store's ledger once; grace counts from the server's start, or from ``since`` if that is later."""
    [server] = await store.backend.fetch("describe_server")
    # A server that was down recorded no heartbeats.
    server_start = as_time(server.get("started_at")) or _LONG_AGO
    return await sweep_once(store, now=store.now(), since=max(server_start, since or _LONG_AGO), threshold=threshold)


async def sweeping(
    store: Store, interval: float = SWEEP_SECONDS, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncGenerator[SweepResult, None]:
    """Sweep now and every ``interval`` seconds; yield each result that changed something.

    A store that is open read-only is left alone; one that cannot be reached is swept next time.
    """
    since = last = store.now()
    while not store.read_only:
        now = store.now()
        if now - last > timedelta(seconds=2 * interval):
            # The machine slept, and its workers with it.
            since = now
        last = now
        result = SweepResult()
        with suppressed(log, "sweep the ledger", VestigeError):
            result = await sweep(store, since=since)
        if result.deadline_failures or result.stuck_marked:
            yield result
        await pause(interval)


async def _expire(store: Store, row: Row, now: datetime) -> int:
    params = {"id": row["delegation_id"], "observed": row["status"], "now": now}
    async with store.backend.write() as transaction:
        moved = await transaction.execute(
            "expire_delegation", {**params, "status": "failed", "error": OVERDUE, "deadline": row["deadline"]}
        )
        if moved:
            await transaction.execute("finish_run", {"id": row["delegation_id"], "now": now})
    return moved


async def _stall(store: Store, row: Row, now: datetime, silence: timedelta) -> int:
    params = {"id": row["delegation_id"], "observed": row["status"], "now": now}
    error = f"no heartbeat for {silence // timedelta(seconds=1)} s"
    async with store.backend.write() as transaction:
        return await transaction.execute(
            "stall_delegation",
            {**params, "status": "stuck", "error": error, "last_heartbeat": row["last_heartbeat"]},
        )


_NEVER = datetime.max.replace(tzinfo=UTC)


def _moment(stored: object, default: datetime) -> datetime:
    """Parse a stored time, the default for None. Raises VestigeError if it cannot be read."""
    if stored is None:
        return default
    if (moment := as_time(stored)) is None:
        raise VestigeError("A time in the job log cannot be read.")
    return moment


def sweep_summary(result: SweepResult, threshold: timedelta = STUCK_AFTER) -> str:
    """Return a sweep's result in a sentence or two."""
    sentences = []
    if count := result.deadline_failures:
        sentences.append(f"{_jobs(count)} past {'its' if count == 1 else 'their'} deadline and marked as failed.")
    if count := result.stuck_marked:
        silence = duration(threshold.total_seconds())
        sentences.append(f"{_jobs(count)} stuck: no heartbeat for more than {silence}.")
    if count := result.errors:
        sentences.append(f"{grouped(count)} {'job' if count == 1 else 'jobs'} could not be updated.")
    return " ".join(sentences) or "No job is past its deadline, and none is newly stuck."


def _jobs(count: int) -> str:
    return "1 job is" if count == 1 else f"{grouped(count)} jobs are"
