"""The ledger: one row for each delegation of work, and the runs of our own jobs beside it.

The state machine is that of delegations (RFC 2829 of that ledger, with its later corrections: ``stuck`` recovers, a
transition is a compare-and-swap, repeating a state only fills in details). A run of a plan is one delegation; a plan
has at most one unfinished run, so that starting it is idempotent.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from vestige_tui.core.errors import Conflict, NotFound, ReadOnly, Unavailable, Usage, VestigeError
from vestige_tui.core.jobs import LEASE_SECONDS, Job, JobFinding, JobProgress, JobStatus, TableProgress
from vestige_tui.core.memories import Page
from vestige_tui.core.text import short_id
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.schema.rows import as_json, as_list, as_map, as_time

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Row, Transaction
    from vestige_tui.store.store import Store

TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    "queued": frozenset({"dispatched", "in_progress", "completed", "failed", "stuck"}),
    "dispatched": frozenset({"in_progress", "completed", "failed", "stuck"}),
    "in_progress": frozenset({"completed", "failed", "stuck"}),
    "stuck": frozenset({"completed", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
}
"""Transitions of the state machine; every list of states is derived from this table."""

STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
IN_FLIGHT: tuple[JobStatus, ...] = tuple(status for status in STATUSES if TRANSITIONS[status])

NAMESPACE = uuid.UUID("7d0f3a5e-92c1-5b7e-8f64-3f1f1d9f6a10")
"""The namespace of the uuid5 names below; never changes, because rows in stores are named by it."""
CALLER = uuid.uuid5(NAMESPACE, "vestige-tui")

PREVIEW_BYTES = 4_096
DEADLINE = timedelta(hours=6)
LEASE = timedelta(seconds=LEASE_SECONDS)
"""Time without a heartbeat after which a run has lost its worker and may be started again."""
STUCK_AFTER = timedelta(minutes=10)
"""Time without a heartbeat after which work in flight that gave heartbeats before is stuck."""
CANCELLED = "cancelled"
LEASE_LOST = "lease lost"
OVERDUE = "deadline exceeded by sweeper"
GIVEN_UP = "marked as failed by a person"

MAX_LISTED_JOBS = 1_000
"""Limit of the jobs in one list."""
MIN_PREFIX_LENGTH = 4
"""Minimum length of a unique prefix that names a job, in characters."""
FILTERS: Mapping[str, tuple[JobStatus, ...]] = {
    "in_flight": IN_FLIGHT,
    **{status: (status,) for status in STATUSES},
}
"""Filters of a list of jobs, by name."""

TransitionResult: TypeAlias = Literal["moved", "replayed", "missing"]
"""Result of a transition: this call moved the job (its caller ends the work), it was there before, no such row."""


def plan_id(kind: str, source: str, target: str, model: str) -> uuid.UUID:
    """Return the id of a plan, the same for the same work; source and target are locations without a password."""
    return uuid.uuid5(NAMESPACE, "\n".join((kind, source, target, model)))


def check_listing(limit: int, status: str | None) -> tuple[JobStatus, ...]:
    """Return the states of a filter of ``FILTERS``, all for None. Raises Usage for another word or a bad limit."""
    if status is not None and status not in FILTERS:
        raise Usage(f"There is no status {status!r}; give one of {', '.join(FILTERS)}.")
    if not 1 <= limit <= MAX_LISTED_JOBS:
        raise Usage(f"A list of jobs has 1 to {MAX_LISTED_JOBS:,} of them, not {limit:,}.")
    return STATUSES if status is None else FILTERS[status]


def preview(text: str) -> str:
    """Return ``text`` in at most 4,096 bytes of UTF-8, cut between two characters."""
    return _storable(text).encode()[:PREVIEW_BYTES].decode("utf-8", "ignore")


def _storable(text: str) -> str:
    """Return ``text`` as every database takes it: NUL becomes its symbol, a lone surrogate a question mark."""
    return text.replace("\0", "\u2400").encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt of a plan. ``already_running``: it was under way before, and nothing was written."""

    id: str
    attempt: int
    already_running: bool
    first_started: datetime
    """Start of the plan's first attempt: the moment of the copy, the same in each attempt."""
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    """State to continue from; empty if it starts over."""
    progress: JobProgress | None = None


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """An attempt as its worker reads it: the job, its options, and the progress of earlier attempts."""

    id: str
    attempt: int
    kind: str
    source: str
    target: str
    options: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    progress: JobProgress | None
    dropped_indexes: tuple[str, ...]
    """Indexes that this attempt or one before it dropped, and that are not rebuilt yet."""
    first_started: datetime
    """Start of the plan's first attempt."""


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
        params = {
            "id": job_id,
            "status": status,
            "error": _storable(error) or None,
            "result": preview(result) or None,
            "now": self._store.now(),
        }
        while rows := await transaction.fetch("read_status", {"id": job_id}):
            observed: JobStatus = rows[0]["status"]
            if observed == status:
                replay = {key: value for key, value in params.items() if key != "status"}
                await transaction.execute("fill_delegation", {**replay, "observed": observed})
                return "replayed"
            if status not in TRANSITIONS[observed]:
                raise Conflict(f"Job {job_id[:8]} is {observed} and cannot become {status}.")
            # Compare-and-swap: if another process has moved it since, read it again.
            if await transaction.execute("transition_delegation", {**params, "observed": observed}):
                if not TRANSITIONS[status]:
                    await transaction.execute("finish_run", {"id": job_id, "now": params["now"]})
                return "moved"
        return "missing"

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
            progress = as_map(previous["progress"]) if previous else {}
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
        """Return the unfinished attempt of a plan; one that lost its lease is ended, and the result is None."""
        rows = await transaction.fetch("find_unfinished_run", {"plan": plan})
        if not rows:
            return None
        job_id, last_sign = str(rows[0]["delegation_id"]), as_time(rows[0]["last_sign"]) or now
        if rows[0]["status"] in IN_FLIGHT:
            if now - last_sign <= LEASE:
                run = await self._read_run(transaction, job_id)
                return Run(job_id, run.attempt, True, run.first_started, run.checkpoint, run.progress)
            await self.settle(transaction, job_id, "failed", error=LEASE_LOST)
        # Also if the delegation was ended by a program that knows no runs.
        await transaction.execute("finish_run", {"id": job_id, "now": now})
        return None

    async def take(self, job_id: str, owner: str) -> ClaimedRun | None:
        """Claim a queued run for a worker; None if there is none to claim."""
        async with self._store.backend.write() as transaction:
            rows = await transaction.fetch("read_status", {"id": job_id})
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
            raise NotFound(f"{job_id!r} is no job of this program in {self._store.title}.")
        row = rows[0]
        progress = as_map(row["progress"])
        return ClaimedRun(
            id=str(row["delegation_id"]),
            attempt=int(row["attempt"]),
            kind=str(row["kind"]),
            source=str(row["source"]),
            target=str(row["target"]),
            options=as_map(row["options"]),
            checkpoint=as_map(row["checkpoint"]),
            progress=read_progress(progress) if progress else None,
            dropped_indexes=as_list(row["dropped_indexes"]),
            first_started=as_time(row["first_started"]) or self._store.now(),
        )

    async def first_started(self, plan: uuid.UUID) -> datetime | None:
        """Return the start of a plan's first attempt; None if there is none."""
        [row] = await self._store.backend.fetch("read_attempts", {"plan": str(plan)})
        return as_time(row["first_started"])

    async def step(self, job_id: str) -> int:
        """Return the number of committed steps of a run, from its checkpoint; 0 without one."""
        rows = await self._store.backend.fetch("read_checkpoint", {"id": job_id})
        return int(_number(as_map(rows[0]["checkpoint"]).get("step")) or 0) if rows else 0

    async def note_dropped(self, transaction: Transaction, job_id: str, names: Sequence[str]) -> None:
        """Store the names of dropped indexes, in the transaction that drops or rebuilds them (none)."""
        await transaction.execute("save_dropped", {"id": job_id, "dropped": list(names)})

    async def cancelled(self, job_id: str) -> bool | None:
        """Check whether the user asked the job to stop. None if it has ended already."""
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

    async def retry(self, job_id: str) -> str:
        """Queue a delegation again, for the same callee and with a deadline of its own; return the new id.

        The old one ends as failed unless it has ended. Raises NotFound; Conflict if it completed, gave a heartbeat
        within 30 s, or was retried before; Usage for a job of ours, which is resumed instead.
        """
        new_id = str(uuid.uuid5(NAMESPACE, f"retry\n{job_id}"))
        async with self._store.backend.write() as transaction:
            old = await self._read_job(transaction, job_id)
            if old.plan is not None:
                raise Usage(f"Job {short_id(job_id)} is a {old.kind} of this program, which is resumed, not queued.")
            if old.status == "completed":
                raise Conflict(f"Job {short_id(job_id)} is completed; there is nothing to do again.")
            now = self._store.now()
            if old.in_flight and old.last_heartbeat is not None and now - old.last_heartbeat < LEASE:
                raise Conflict(f"Job {short_id(job_id)} is at work: its last sign of life is less than 30 s old.")
            caller, callee = uuid.UUID(old.caller), uuid.UUID(old.callee)
            # The new id derives from the old one: two retries at once queue one delegation (idempotent).
            if not await self._insert(transaction, new_id, caller, callee, old.task, None, old.retry_count + 1, None):
                raise Conflict(f"Job {short_id(job_id)} was retried before, as {short_id(new_id)}.")
            if old.in_flight:
                await self.settle(transaction, job_id, "failed", error=f"retried as {new_id}")
        return new_id

    async def _read_job(self, transaction: Transaction, job_id: str) -> Job:
        rows = await transaction.fetch("get_job", {"id": job_id})
        if not rows:
            raise NotFound(f"There is no job {job_id!r} in {self._store.title}.")
        return self._job(rows[0])

    async def _read_in_flight(self, transaction: Transaction, job_id: str) -> Job:
        job = await self._read_job(transaction, job_id)
        if not job.in_flight:
            raise Conflict(f"Job {short_id(job_id)} has ended already.")
        return job

    # The sweeper

    async def sweep(self, *, now: datetime, since: datetime, threshold: timedelta = STUCK_AFTER) -> SweepResult:
        """End work over its deadline, then mark as stuck the work that stopped giving heartbeats.

        ``since``: start of this sweeper, or of the database. No heartbeat could be recorded before it, so nothing is
        marked as stuck until one ``threshold`` has passed. Work that never gave a heartbeat is left to its deadline,
        and so is work that is stuck already. A row that cannot be settled is counted and skipped; raises Unavailable
        and ReadOnly.
        """
        failed = stuck = errors = 0
        rows = await self._store.backend.fetch("list_sweepable", {"in_flight": list(IN_FLIGHT)})
        for row in rows:
            try:
                if _moment(row["deadline"], _NEVER) < now:
                    failed += await self._expire(row, now)
                elif "stuck" in TRANSITIONS[row["status"]] and now - since >= threshold:
                    silence = now - _moment(row["last_heartbeat"], now)
                    if silence > threshold:
                        stuck += await self._stall(row, now, silence)
            except (Unavailable, ReadOnly):
                raise
            except VestigeError:
                errors += 1
        return SweepResult(failed, stuck, errors)

    async def _expire(self, row: Row, now: datetime) -> int:
        params = {"id": row["delegation_id"], "observed": row["status"], "now": now}
        async with self._store.backend.write() as transaction:
            moved = await transaction.execute(
                "expire_delegation", {**params, "status": "failed", "error": OVERDUE, "deadline": row["deadline"]}
            )
            if moved:
                await transaction.execute("finish_run", {"id": row["delegation_id"], "now": now})
        return moved

    async def _stall(self, row: Row, now: datetime, silence: timedelta) -> int:
        params = {"id": row["delegation_id"], "observed": row["status"], "now": now}
        error = f"no heartbeat for {silence // timedelta(seconds=1)} s"
        async with self._store.backend.write() as transaction:
            return await transaction.execute(
                "stall_delegation",
                {**params, "status": "stuck", "error": error, "last_heartbeat": row["last_heartbeat"]},
            )

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
            raise NotFound(f"There is no job {id_or_prefix!r} in {self._store.title}.")
        if len(matches) > 1:
            raise Usage(f"{id_or_prefix!r} is the beginning of several jobs; give more of it.")
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
                [_storable(each.subject), each.outcome, _storable(each.source_key), _storable(each.reason)]
                for each in findings
            ]
            await transaction.execute("insert_findings", {"id": job_id, "findings": Json(values)})

    async def withdraw_findings(self, transaction: Transaction, job_id: str, findings: Sequence[JobFinding]) -> None:
        """Delete findings about rows, of this attempt or one that it continues; reasons are not compared."""
        if findings:
            values = [[_storable(each.subject), each.outcome, _storable(each.source_key)] for each in findings]
            await transaction.execute("delete_findings", {"id": job_id, "findings": Json(values)})

    async def findings(self, job_id: str, limit: int = 100, after: str | None = None) -> Page[JobFinding]:
        """Return a page of the findings of a job, in the order in which the job met the rows."""
        if after is not None and not after.isdigit():
            raise Usage("That is no cursor of a list of findings.")
        rows = await self._store.backend.fetch(
            "list_findings", {"id": job_id, "after": int(after or 0), "limit": limit + 1}
        )
        page = rows[:limit]
        items = tuple(
            JobFinding(str(row["subject"]), row["outcome"], str(row["source_key"]), str(row["reason"])) for row in page
        )
        return Page(items, str(page[-1]["id"]) if len(rows) > limit else None)

    def _job(self, row: Row) -> Job:
        return Job(
            id=str(row["delegation_id"]),
            kind=str(row["kind"] or "delegation"),
            status=str(row["status"]),
            store=self._store.location,
            task=str(row["task_preview"]),
            source=str(row["source"] or ""),
            target=str(row["target"] or ""),
            plan=row["plan"],
            attempt=int(row["attempt"] or 1),
            tries=int(row["tries"] or 1),
            owner=str(row["owner"] or ""),
            progress=read_progress(row["progress"]),
            created_at=as_time(row["created_at"]),
            updated_at=as_time(row["updated_at"]),
            last_heartbeat=as_time(row["last_heartbeat"]),
            deadline=as_time(row["deadline"]),
            finished_at=as_time(row["finished_at"]),
            error=row["error_detail"],
            result=row["result_preview"],
            cancel_requested=bool(row["cancel_requested"]),
            caller=str(row["caller_id"]),
            callee=str(row["callee_id"]),
            retry_count=int(row["retry_count"]),
            options=as_map(row["options"]),
        )


_NEVER = datetime.max.replace(tzinfo=UTC)


def _moment(stored: object, default: datetime) -> datetime:
    """Parse a stored time, the default for None. Raises VestigeError if it cannot be read."""
    if stored is None:
        return default
    if (moment := as_time(stored)) is None:
        raise VestigeError("A time in the ledger cannot be read.")
    return moment


_COUNTS = tuple(field.name for field in fields(TableProgress))


def progress_json(progress: JobProgress) -> dict[str, Any]:
    """Return progress as the ledger stores it."""
    return {
        "phase": progress.phase,
        # A list: JSON objects do not keep their order in every database.
        "tables": [
            {
                "name": _storable(name),
                **{
                    count: value
                    for count in _COUNTS
                    if (value := getattr(table, count)) or (count == "total" and value == 0)
                },
            }
            for name, table in progress.tables.items()
        ],
        "rate": progress.rate,
        "eta": progress.eta,
        "rates": list(progress.rates),
        "zero_vectors": progress.zero_vectors,
    }


def read_progress(stored: object) -> JobProgress:
    """Parse the output of ``progress_json``; a missing or unreadable value takes its default. Never raises."""
    data = as_map(stored)
    entries = data.get("tables")
    tables = {
        str(each["name"]): TableProgress(
            **{count: value for count in _COUNTS if isinstance(value := each.get(count), int)}
        )
        for each in (entries if isinstance(entries, list) else ())
        if isinstance(each, dict) and "name" in each
    }
    rates = as_json(data.get("rates"))
    return JobProgress(
        phase=str(data.get("phase") or ""),
        tables=tables,
        rate=_number(data.get("rate")),
        eta=_number(data.get("eta")),
        rates=tuple(float(rate) for rate in rates if isinstance(rate, int | float)) if isinstance(rates, list) else (),
        zero_vectors=int(_number(data.get("zero_vectors")) or 0),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
