"""The state machine of jobs: the table of transitions, the times that move a job, and the move itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from vestige_tui.core.errors import Conflict
from vestige_tui.core.jobs import LEASE_SECONDS, JobStatus
from vestige_tui.core.storable import clean
from vestige_tui.jobs.ledger_rows import preview

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction

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

DEADLINE = timedelta(hours=6)
LEASE = timedelta(seconds=LEASE_SECONDS)
"""Time without a heartbeat after which a run has lost its worker and may be started again."""
STUCK_AFTER = timedelta(minutes=10)
"""Time without a heartbeat after which work in flight that gave heartbeats before is stuck."""
CANCELLED = "cancelled"
LEASE_LOST = "lease lost"
OVERDUE = "deadline exceeded by sweeper"
GIVEN_UP = "marked as failed by a person"

TransitionResult: TypeAlias = Literal["moved", "replayed", "missing"]
"""Result of a transition: this call moved the job (its caller ends the work), it was there before, no such row."""


async def settle(
    transaction: Transaction, job_id: str, status: JobStatus, *, now: datetime, error: str = "", result: str = ""
) -> TransitionResult:
    """Move a job to a state inside a write; an end also finishes the run. Raises Conflict against ``TRANSITIONS``.

    A compare-and-swap: exactly one of several callers that report the same end gets ``moved``.
    """
    params = {
        "id": job_id,
        "status": status,
        "error": clean(error) or None,
        "result": preview(result) or None,
        "now": now,
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
