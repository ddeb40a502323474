"""The ledger: one row for each delegation of work, and the runs of our own jobs beside it.

The state machine is that of delegations (RFC 2829 of that ledger, with its later corrections: ``stuck`` recovers, a
transition is a compare-and-swap, repeating a state only fills in details). A run of a plan is one delegation; a plan
has at most one unfinished run, so that starting it is idempotent.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from vestige_tui.core.errors import Conflict, NotFound, Usage
from vestige_tui.core.jobs import Job, JobFinding, JobProgress, JobStatus, JobWait
from vestige_tui.core.memories import Page
from vestige_tui.core.storable import clean
from vestige_tui.core.text import quoted, short_id
from vestige_tui.jobs.checkpoints import step_number
from vestige_tui.jobs.ledger_rows import (
    WAIT,
    ClaimedRun,
    Run,
    job_of_row,
    live_json,
    preview,
    progress_json,
    read_progress,
    run_of_row,
    wait_json,
)
from vestige_tui.jobs.sweeper import end_lost_run
from vestige_tui.jobs.transitions import (
    CANCELLED,
    DEADLINE,
    GIVEN_UP,
    IN_FLIGHT,
    LEASE,
    STATUSES,
    TransitionResult,
    settle,
)
from vestige_tui.jobs.worker_sign import with_living_worker
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.schema.rows import as_list, as_map, as_time

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Row, Transaction
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

NAMESPACE = uuid.UUID("7d0f3a5e-92c1-5b7e-8f64-3f1f1d9f6a10")
"""The namespace of the uuid5 names below; never changes, because rows in stores are named by it."""
CALLER = uuid.uuid5(NAMESPACE, "vestige-tui")

MAX_LISTED_JOBS = 1_000
"""Limit of the jobs in one list."""
MIN_PREFIX_LENGTH = 4
"""Minimum length of a unique prefix that names a job, in characters."""
FILTERS: Mapping[str, tuple[JobStatus, ...]] = {
    "in_flight": IN_FLIGHT,
    **{status: (status,) for status in STATUSES},
}
"""Filters of a list of jobs, by name."""


def plan_id(kind: str, source: str, target: str, model: str) -> uuid.UUID:
    """Return the id of a plan, the same for the same work; source and target are locations without a password."""
    return uuid.uuid5(NAMESPACE, "\n".join((kind, source, target, model)))


def check_listing(limit: int, status: str | None) -> tuple[JobStatus, ...]:
    """Return the states of a filter of ``FILTERS``, all for None. Raises Usage for another word or a bad limit."""
    if status is not None and status not in FILTERS:
        raise Usage(f"There is no status {quoted(status)}; use one of {', '.join(FILTERS)}.")
    if not 1 <= limit <= MAX_LISTED_JOBS:
        raise Usage(f"A list can have 1 to {MAX_LISTED_JOBS:,} jobs, not {limit:,}.")
    return STATUSES if status is None else FILTERS[status]


_NO_OPTIONS: Mapping[str, Any] = {}


class Ledger:
    """The ledger of one store. Methods that write raise ReadOnly on a store that is open read-only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # Delegations

    async def insert(
        self,
        *,
        caller: uuid.UUID,
        callee: uuid.UUID,
        task: str,
        delegation_id: str | None = None,
        deadline: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Insert a delegation as queued and return its id.

        Idempotent: a delegation with this id stays as it is; one with this key of the same caller does, too, and gives
        its id.
        """
        new_id = delegation_id or str(uuid.uuid4())
        async with self._store.backend.write() as transaction:
            if await self._insert(transaction, new_id, caller, callee, task, deadline, 0, idempotency_key):
                return new_id
            rows = await transaction.fetch(
                "find_delegation", {"id": new_id, "caller_id": str(caller), "idempotency_key": idempotency_key}
            )
        return str(rows[0]["delegation_id"])

    async def _insert(
        self,
        transaction: Transaction,
        delegation_id: str,
        caller: uuid.UUID,
        callee: uuid.UUID,
        task: str,
        deadline: datetime | None,
        retries: int,
        idempotency_key: str | None,
    ) -> bool:
        """Insert a delegation; return whether it is new."""
        now = self._store.now()
        return bool(
            await transaction.execute(
                "insert_delegation",
                {
                    "id": delegation_id,
                    "caller_id": str(caller),
                    "callee_id": str(callee),
                    "task": preview(task),
                    "deadline": deadline or now + DEADLINE,
                    "retry_count": retries,
                    "now": now,
                    "idempotency_key": idempotency_key,
                },
            )
        )

    async def transition(
        self, job_id: str, status: JobStatus, *, error: str = "", result: str = ""
    ) -> TransitionResult:
        """Move a job to a state. Raises Conflict if the state machine does not allow it.

        Exactly one of several callers that report the same end gets ``moved``. An end also finishes the run.
        """
        async with self._store.backend.write() as transaction:
            return await self.settle(transaction, job_id, status, error=error, result=result)

    async def settle(
        self, transaction: Transaction, job_id: str, status: JobStatus, *, error: str = "", result: str = ""
    ) -> TransitionResult:
        """Make a transition inside a write of the job itself, so that its last rows and its end are one transaction."""
        """Make a transition inside a write of the job itself, so that its last rows and its end are one transaction."""
        return await settle(transaction, job_id, status, now=self._store.now(), error=error, result=result)

    async def heartbeat(
        self, job_id: str, progress: JobProgress | None = None, checkpoint: Mapping[str, Any] | None = None
    ) -> bool:
        """Record a heartbeat, with progress if given; return whether the job is still in flight.

        It moves the deadline of a job of ours; the deadline of other work is fixed.
        """
        async with self._store.backend.write() as transaction:
            return await self.note(transaction, job_id, progress, checkpoint)

    async def note(
        self,
        transaction: Transaction,
        job_id: str,
        progress: JobProgress | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record a heartbeat inside a write of the job itself: a checkpoint and its rows are one transaction."""
        now = self._store.now()
        alive = await transaction.execute(
            "beat_delegation", {"id": job_id, "now": now, "deadline": now + DEADLINE, "in_flight": list(IN_FLIGHT)}
        )
        if alive and progress is not None:
            await transaction.execute(
                "save_progress",
                {
                    "id": job_id,
                    "progress": Json(progress_json(progress)),
                    "checkpoint": None if checkpoint is None else Json(dict(checkpoint)),
                },
            )
        return bool(alive)

    async def note_wait(self, job_id: str, wait: JobWait | None) -> None:
        """Record the wait of the worker of a run, None for no wait."""
        async with self._store.backend.write() as transaction:
            value = None if wait is None else Json(wait_json(wait))
            await transaction.execute("save_wait", {"id": job_id, "wait": value})

    async def note_live(self, job_id: str, progress: JobProgress) -> None:
        """Record a heartbeat with the progress of the statement that runs now, beside the counts of the checkpoint."""
        async with self._store.backend.write() as transaction:
            if await self.note(transaction, job_id):
                await transaction.execute("save_live", {"id": job_id, "live": Json(live_json(progress))})

    # Runs

    async def start(
        self,
        *,
        kind: str,
        source: str,
        target: str,
        model: str,
        task: str,
        owner: str,
        options: Mapping[str, Any] = _NO_OPTIONS,
        fresh: bool = False,
    ) -> Run:
        """Start the next attempt of a plan, or return the one under way; a run that lost its lease fails first.

        It continues from the checkpoint of the attempt before, unless that one completed or ``fresh`` is set.
        """
        plan = str(plan_id(kind, source, target, model))
        async with self._store.backend.write() as transaction:
            await transaction.fetch("lock_plan", {"plan": plan})
            now = self._store.now()
            if (run := await self._under_way(transaction, plan, now)) is not None:
                return run
            [attempts] = await transaction.fetch("read_attempts", {"plan": plan})
            last_rows = await transaction.fetch("read_last_attempt", {"plan": plan})
            job_id, attempt = str(uuid.uuid4()), int(attempts["last_attempt"]) + 1
            unfinished = last_rows[0] if last_rows and last_rows[0]["status"] != "completed" else None
            previous = None if fresh else unfinished
            checkpoint = as_map(previous["checkpoint"]) if previous else {}
            stored_progress = as_map(previous["progress"]) if previous else {}
            progress = {name: value for name, value in stored_progress.items() if name != WAIT}
            await self._insert(transaction, job_id, CALLER, uuid.UUID(plan), task, None, attempt - 1, None)
            await transaction.execute(
                "insert_run",
                {
                    "plan": plan,
                    "attempt": attempt,
                    "id": job_id,
                    "kind": kind,
                    "source": source,
                    "target": target,
                    "owner": owner,
                    "options": Json(dict(options)),
                    "checkpoint": Json(checkpoint),
                    "progress": Json(progress),
                    # Dropped indexes are missing even if the work starts over.
                    "dropped": list(as_list(unfinished["dropped_indexes"])) if unfinished else [],
                    "began_with": int(previous["began_with"]) if previous else attempt,
                    "now": now,
                },
            )
        first_started = as_time(attempts["first_started"]) or now
        return Run(job_id, attempt, False, first_started, checkpoint, read_progress(progress) if progress else None)

    async def _under_way(self, transaction: Transaction, plan: str, now: datetime) -> Run | None:
        """Return the attempt of a plan that a worker runs; one whose worker is silent is ended, and gives None."""
        rows = await transaction.fetch("find_unfinished_run", {"plan": plan})
        if not rows or await end_lost_run(transaction, rows[0], now):
            return None
        run = await self._read_run(transaction, str(rows[0]["delegation_id"]))
        return Run(run.id, run.attempt, True, run.first_started, run.checkpoint, run.progress)

    async def take(self, job_id: str, owner: str) -> ClaimedRun | None:
        """Claim a queued run for a worker; None if there is none to claim.

        Idempotent: a commit whose answer was lost has given it to this owner already.
        """
        async with self._store.backend.write() as transaction:
            rows = await transaction.fetch("get_job", {"id": job_id})
            if rows and rows[0]["status"] == "in_progress" and rows[0]["owner"] == owner:
                return await self._read_run(transaction, job_id)
            if not rows or rows[0]["status"] not in ("queued", "dispatched"):
                return None
            if not await transaction.execute("take_run", {"id": job_id, "owner": owner}):
                return None
            if await self.settle(transaction, job_id, "in_progress") != "moved":
                return None
            await self.note(transaction, job_id)
            return await self._read_run(transaction, job_id)

    async def run(self, job_id: str) -> ClaimedRun:
        """Return an attempt of one of our own jobs by its id. Raises NotFound."""
        return await self._read_run(self._store.backend, job_id)

    async def _read_run(self, reader: Transaction | Backend, job_id: str) -> ClaimedRun:
        rows = await reader.fetch("read_run", {"id": job_id})
        if not rows:
            raise NotFound(f"{quoted(job_id)} is not a job of vestige-tui in {self._store.title}.")
        return run_of_row(rows[0], self._store.now())

    async def first_started(self, plan: uuid.UUID) -> datetime | None:
        """Return the start of a plan's first attempt; None if there is none."""
        [row] = await self._store.backend.fetch("read_attempts", {"plan": str(plan)})
        return as_time(row["first_started"])

    async def step(self, job_id: str) -> int:
        """Return the number of committed steps of a run, from its checkpoint; 0 without one."""
        rows = await self._store.backend.fetch("read_checkpoint", {"id": job_id})
        return step_number(as_map(rows[0]["checkpoint"])) if rows else 0

    async def note_dropped(self, transaction: Transaction, job_id: str, names: Sequence[str]) -> None:
        """Store the names of dropped indexes, in the transaction that drops or rebuilds them (none)."""
        await transaction.execute("save_dropped", {"id": job_id, "dropped": list(names)})

    async def cancelled(self, job_id: str) -> bool | None:
        """Check whether the user asked the job to stop. None if it has already ended."""
        rows = await self._store.backend.fetch("read_cancel", {"id": job_id, "in_flight": list(IN_FLIGHT)})
        return bool(rows[0]["cancel_requested"]) if rows else None

    async def request_cancel(self, job_id: str) -> bool:
        """Ask a job to stop at its next checkpoint; it then ends as failed, "cancelled". False if it has ended."""
        async with self._store.backend.write() as transaction:
            return bool(await transaction.execute("request_cancel", {"id": job_id}))

    # Actions of the user on work of other agents, and on jobs without a worker

    async def cancel(self, job_id: str) -> Literal["asked", "ended"]:
        """Stop work: a job of ours with a live worker at its next checkpoint, anything else at once.

        Either way it ends as failed, "cancelled". Raises NotFound, and Conflict if it has ended.
        """
        async with self._store.backend.write() as transaction:
            job = await self._read_in_flight(transaction, job_id)
            heartbeat = job.last_heartbeat or job.created_at
            is_alive = job.plan is not None and heartbeat is not None and self._store.now() - heartbeat <= LEASE
            log.info("Cancel job %s, which %s", job_id, "is running" if is_alive else "has no worker")
            if is_alive and await transaction.execute("request_cancel", {"id": job_id}):
                return "asked"
            await self.settle(transaction, job_id, "failed", error=CANCELLED)
        return "ended"

    async def mark_failed(self, job_id: str, reason: str = "") -> None:
        """End work in flight, stuck or not, as failed. A worker that still lives then stops at its next checkpoint.

        Raises NotFound, and Conflict if it has ended.
        """
        async with self._store.backend.write() as transaction:
            await self._read_in_flight(transaction, job_id)
            await self.settle(transaction, job_id, "failed", error=reason or GIVEN_UP)
        log.info("Marked job %s as failed", job_id)

    async def retry(self, job_id: str) -> str:
        """Queue a delegation again, for the same callee and with a deadline of its own; return the new id.

        The old one ends as failed unless it has ended. Raises NotFound; Conflict if it completed, gave a heartbeat
        within 30 s, or was retried before; Usage for a job of ours, which is resumed instead.
        """
        new_id = str(uuid.uuid5(NAMESPACE, f"retry\n{job_id}"))
        async with self._store.backend.write() as transaction:
            old = await self._read_job(transaction, job_id)
            if old.plan is not None:
                raise Usage(f"Job {short_id(job_id)} is a {old.kind} job of vestige-tui; resume it instead.")
            if old.status == "completed":
                raise Conflict(f"Job {short_id(job_id)} is completed; there is nothing to retry.")
            now = self._store.now()
            if old.in_flight and old.last_heartbeat is not None and now - old.last_heartbeat < LEASE:
                raise Conflict(f"Job {short_id(job_id)} is running: its last heartbeat is less than 30 s old.")
            caller, callee = uuid.UUID(old.caller), uuid.UUID(old.callee)
            # The new id derives from the old one: two retries at once queue one delegation (idempotent).
            if not await self._insert(transaction, new_id, caller, callee, old.task, None, old.retry_count + 1, None):
                raise Conflict(f"Job {short_id(job_id)} was already retried as {short_id(new_id)}.")
            if old.in_flight:
                await self.settle(transaction, job_id, "failed", error=f"retried as {new_id}")
        log.info("Queued job %s again as %s", job_id, new_id)
        return new_id

    async def _read_job(self, transaction: Transaction, job_id: str) -> Job:
        rows = await transaction.fetch("get_job", {"id": job_id})
        if not rows:
            raise NotFound(f"There is no job {quoted(job_id)} in {self._store.title}.")
        return self._job(rows[0])

    async def _read_in_flight(self, transaction: Transaction, job_id: str) -> Job:
        job = await self._read_job(transaction, job_id)
        if not job.in_flight:
            raise Conflict(f"Job {short_id(job_id)} has already ended.")
        return job

    # Reading

    async def jobs(self, limit: int = 50, status: str | None = None) -> tuple[Job, ...]:
        """Return jobs in flight first, then the newest; all of them, or those of a filter of ``check_listing``.

        Raises Usage as that does.
        """
        statuses = check_listing(limit, status)
        if self._store.backend.foreign:
            return ()
        rows = await self._store.backend.fetch(
            "list_jobs", {"limit": limit, "statuses": list(statuses), "in_flight": list(IN_FLIGHT)}
        )
        return tuple(self._job(row) for row in rows)

    async def counts(self) -> dict[JobStatus, int]:
        """Count the jobs in each of the six states."""
        counts: dict[JobStatus, int] = dict.fromkeys(STATUSES, 0)
        if not self._store.backend.foreign:
            counts |= {row["status"]: int(row["jobs"]) for row in await self._store.backend.fetch("count_jobs")}
        return counts

    async def job(self, id_or_prefix: str) -> Job:
        """Return one job, by its id or a unique prefix of at least four characters. Raises NotFound, Usage."""
        matches = await self.matching(id_or_prefix)
        if not matches:
            raise NotFound(f"There is no job {quoted(id_or_prefix)} in {self._store.title}.")
        if len(matches) > 1:
            raise Usage(f"Several jobs begin with {quoted(id_or_prefix)}; give more characters.")
        return matches[0]

    async def matching(self, id_or_prefix: str) -> tuple[Job, ...]:
        """Return the job of this id, else up to three with this prefix of at least four characters."""
        if self._store.backend.foreign:
            return ()
        rows = await self._store.backend.fetch("get_job", {"id": id_or_prefix})
        if not rows and len(id_or_prefix) >= MIN_PREFIX_LENGTH:
            rows = await self._store.backend.fetch("find_jobs_by_prefix", {"prefix": id_or_prefix})
        return tuple(self._job(row) for row in rows)

    async def add_findings(self, transaction: Transaction, job_id: str, findings: Sequence[JobFinding]) -> None:
        """Insert findings about single rows."""
        if findings:
            values = [
                [clean(each.subject), each.outcome, clean(each.source_key), clean(each.reason)] for each in findings
            ]
            await transaction.execute("insert_findings", {"id": job_id, "findings": Json(values)})

    async def withdraw_findings(self, transaction: Transaction, job_id: str, findings: Sequence[JobFinding]) -> None:
        """Delete findings about rows, of this attempt or one that it continues; reasons are not compared."""
        if findings:
            values = [[clean(each.subject), each.outcome, clean(each.source_key)] for each in findings]
            await transaction.execute("delete_findings", {"id": job_id, "findings": Json(values)})

    async def findings(self, job_id: str, limit: int = 100, after: str | None = None) -> Page[JobFinding]:
        """Return a page of the findings of a job, in the order in which the job met the rows."""
        if after is not None and not after.isdigit():
            raise Usage("The list of this job's rows has no such page; start again at the first page.")
        rows = await self._store.backend.fetch(
            "list_findings", {"id": job_id, "after": int(after or 0), "limit": limit + 1}
        )
        page = rows[:limit]
        items = tuple(
            JobFinding(str(row["subject"]), row["outcome"], str(row["source_key"]), str(row["reason"])) for row in page
        )
        return Page(items, str(page[-1]["id"]) if len(rows) > limit else None)

    def _job(self, row: Row) -> Job:
        return with_living_worker(job_of_row(row, self._store.location))
