"""The ledger: work handed to somebody else, one row each, and what our own jobs keep beside it.

The lifecycle is that of delegations (RFC 2829 of that ledger, with its later corrections: ``stuck`` recovers, a
transition is a compare-and-swap, telling a state again only fills in details). A run of a plan is one delegation;
a plan has at most one unfinished run, so that starting it twice is one job.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from vestige_tui.errors import Conflict, NotFound, Usage
from vestige_tui.model import Job, JobFinding, JobProgress, JobStatus, Page, TableProgress
from vestige_tui.store.backend import Json
from vestige_tui.store.rows import as_json, as_map, as_time

if TYPE_CHECKING:
    from vestige_tui.store.backend import Row, Transaction
    from vestige_tui.store.service import Store

TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    "queued": frozenset({"dispatched", "in_progress", "completed", "failed", "stuck"}),
    "dispatched": frozenset({"in_progress", "completed", "failed", "stuck"}),
    "in_progress": frozenset({"completed", "failed", "stuck"}),
    "stuck": frozenset({"completed", "failed"}),
    "completed": frozenset(),
    "failed": frozenset(),
}
"""Which state may follow which; every list of states is derived from this table."""

STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
IN_FLIGHT: tuple[JobStatus, ...] = tuple(status for status in STATUSES if TRANSITIONS[status])

NAMESPACE = uuid.UUID("7d0f3a5e-92c1-5b7e-8f64-3f1f1d9f6a10")
"""The namespace of the uuid5 names below; fixed for good, because rows in stores are named by it."""
CALLER = uuid.uuid5(NAMESPACE, "vestige-tui")

PREVIEW_BYTES = 4_096
DEADLINE = timedelta(hours=6)
LEASE = timedelta(seconds=30)
"""A run whose worker gave no sign for so long has lost its owner, and may be begun anew."""
CANCELLED = "cancelled"
LEASE_LOST = "lease lost"

Settled: TypeAlias = Literal["moved", "replayed", "missing"]
"""What telling the ledger a state came to: it moved (and whoever moved it ends the work), it was there, no such row."""


def plan_id(kind: str, source: str, target: str, model: str) -> uuid.UUID:
    """The name of a plan, the same for the same work; source and target are locations without a password."""
    return uuid.uuid5(NAMESPACE, "\n".join((kind, source, target, model)))


def preview(text: str) -> str:
    """``text`` in at most 4,096 bytes of UTF-8, cut between two characters."""
    text = text.replace("\0", "\u2400")
    raw = text.encode("utf-8", "replace")
    return raw[:PREVIEW_BYTES].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt of a plan. ``already_running``: somebody began it before, and nothing was written."""

    id: str
    attempt: int
    already_running: bool
    first_started: datetime
    """When the plan was tried for the first time: the moment of the copy, the same in each attempt."""


class Ledger:
    """The ledger of one store. Changing methods raise ReadOnly on a store that is open read-only."""

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
        """Note a delegation as queued; one that is there already, by id or key, is left as it is. Gives its id."""
        made = delegation_id or str(uuid.uuid4())
        async with self._store.backend.write() as transaction:
            await self._insert(transaction, made, caller, callee, task, deadline, 0, idempotency_key)
        return made

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
    ) -> None:
        now = self._store.now()
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

    async def transition(self, job_id: str, status: JobStatus, *, error: str = "", result: str = "") -> Settled:
        """Tell the state of a job. Raises Conflict where it cannot follow the present one.

        Exactly one of several who tell the same end gets ``moved``. An end also finishes the run.
        """
        async with self._store.backend.write() as transaction:
            return await self._transition(transaction, job_id, status, error, result)

    async def _transition(
        self, transaction: Transaction, job_id: str, status: JobStatus, error: str, result: str
    ) -> Settled:
        told = {
            "id": job_id,
            "status": status,
            "error": error.replace("\0", "\u2400") or None,
            "result": preview(result) or None,
            "now": self._store.now(),
        }
        while found := await transaction.fetch("read_status", {"id": job_id}):
            observed: JobStatus = found[0]["status"]
            if observed == status:
                replay = {key: value for key, value in told.items() if key != "status"}
                await transaction.execute("fill_delegation", {**replay, "observed": observed})
                return "replayed"
            if status not in TRANSITIONS[observed]:
                raise Conflict(f"Job {job_id[:8]} is {observed} and cannot become {status}.")
            # Somebody may have moved it since it was read: then it is read again.
            if await transaction.execute("transition_delegation", {**told, "observed": observed}):
                if not TRANSITIONS[status]:
                    await transaction.execute("finish_run", {"id": job_id, "now": self._store.now()})
                return "moved"
        return "missing"

    async def heartbeat(
        self, job_id: str, progress: JobProgress | None = None, checkpoint: Mapping[str, Any] | None = None
    ) -> bool:
        """A sign of life, with progress where there is some; tells whether the job is still in flight."""
        async with self._store.backend.write() as transaction:
            return await self.note(transaction, job_id, progress, checkpoint)

    async def note(
        self,
        transaction: Transaction,
        job_id: str,
        progress: JobProgress | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> bool:
        """The same inside a write of the job itself, so that a checkpoint and its rows are one transaction."""
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

    async def start(self, *, kind: str, source: str, target: str, model: str, task: str, owner: str) -> Run:
        """Begin the next attempt of a plan, or find the one under way; a run that lost its owner is failed first."""
        plan = plan_id(kind, source, target, model)
        async with self._store.backend.write() as transaction:
            await transaction.fetch("lock_plan", {"plan": str(plan)})
            now = self._store.now()
            found = await transaction.fetch("find_unfinished_run", {"plan": str(plan)})
            [before] = await transaction.fetch("read_attempts", {"plan": str(plan)})
            first = as_time(before["first_started"]) or now
            if found:
                running, last_sign = str(found[0]["delegation_id"]), as_time(found[0]["last_sign"]) or now
                if now - last_sign <= LEASE:
                    return Run(running, int(found[0]["attempt"]), True, first)
                await self._transition(transaction, running, "failed", LEASE_LOST, "")
                await transaction.execute("finish_run", {"id": running, "now": now})
            job_id, attempt = str(uuid.uuid4()), int(before["last_attempt"]) + 1
            await self._insert(transaction, job_id, CALLER, plan, task, None, attempt - 1, None)
            await transaction.execute(
                "insert_run",
                {
                    "plan": str(plan),
                    "attempt": attempt,
                    "id": job_id,
                    "kind": kind,
                    "source": source,
                    "target": target,
                    "owner": owner,
                    "now": now,
                },
            )
        return Run(job_id, attempt, False, first)

    async def take(self, job_id: str, owner: str) -> bool:
        """A worker takes a queued run over; tells whether it was there to be taken."""
        async with self._store.backend.write() as transaction:
            if not await transaction.execute("take_run", {"id": job_id, "owner": owner}):
                return False
            moved = await self._transition(transaction, job_id, "in_progress", "", "")
            await self.note(transaction, job_id)
        return moved == "moved"

    async def cancelled(self, job_id: str) -> bool | None:
        """Has a person asked the job to stop? None where it has ended already."""
        found = await self._store.backend.fetch("read_cancel", {"id": job_id, "in_flight": list(IN_FLIGHT)})
        return bool(found[0]["cancel_requested"]) if found else None

    async def request_cancel(self, job_id: str) -> bool:
        """Ask a job to stop at its next checkpoint; it then ends as failed, "cancelled". False where it has ended."""
        async with self._store.backend.write() as transaction:
            return bool(await transaction.execute("request_cancel", {"id": job_id}))

    # Reading

    async def jobs(self, limit: int = 50) -> tuple[Job, ...]:
        """What is in flight first, then the newest."""
        if self._store.backend.foreign:
            return ()
        found = await self._store.backend.fetch("list_jobs", {"limit": limit, "in_flight": list(IN_FLIGHT)})
        return tuple(self._job(row) for row in found)

    async def job(self, id_or_prefix: str) -> Job:
        """One job, by its id or a unique beginning of at least six characters. Raises NotFound, Usage."""
        if self._store.backend.foreign:
            raise NotFound(f"There is no job {id_or_prefix!r} in {self._store.title}.")
        found = await self._store.backend.fetch("get_job", {"id": id_or_prefix})
        if not found and len(id_or_prefix) >= 6:
            found = await self._store.backend.fetch("find_jobs_by_prefix", {"prefix": id_or_prefix})
        if not found:
            raise NotFound(f"There is no job {id_or_prefix!r} in {self._store.title}.")
        if len(found) > 1:
            raise Usage(f"{id_or_prefix!r} is the beginning of several jobs; give more of it.")
        return self._job(found[0])

    async def add_findings(self, transaction: Transaction, job_id: str, findings: Sequence[JobFinding]) -> None:
        """Note what became of single rows."""
        if findings:
            listed = [[each.subject, each.outcome, each.source_key, each.reason] for each in findings]
            await transaction.execute("insert_findings", {"id": job_id, "findings": Json(listed)})

    async def findings(self, job_id: str, limit: int = 100, after: str | None = None) -> Page[JobFinding]:
        """What became of single rows, in the order in which the job met them."""
        if after is not None and not after.isdigit():
            raise Usage("That is no cursor of a list of findings.")
        found = await self._store.backend.fetch(
            "list_findings", {"id": job_id, "after": int(after or 0), "limit": limit + 1}
        )
        page = found[:limit]
        items = tuple(
            JobFinding(str(row["subject"]), row["outcome"], str(row["source_key"]), str(row["reason"])) for row in page
        )
        return Page(items, str(page[-1]["id"]) if len(found) > limit else None)

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
        )


_COUNTS = tuple(field.name for field in fields(TableProgress))


def progress_json(progress: JobProgress) -> dict[str, Any]:
    """Progress as the ledger stores it."""
    return {
        "phase": progress.phase,
        # A list: JSON objects do not keep their order in every database.
        "tables": [
            {
                "name": name,
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
    """What ``progress_json`` wrote; what is missing or unreadable takes its default. Never raises."""
    data = as_map(stored)
    listed = data.get("tables")
    tables = {
        str(each["name"]): TableProgress(
            **{count: value for count in _COUNTS if isinstance(value := each.get(count), int)}
        )
        for each in (listed if isinstance(listed, list) else ())
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
