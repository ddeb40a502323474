"""Jobs: their status, their progress, and the findings about single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

JobStatus: TypeAlias = Literal["queued", "dispatched", "in_progress", "completed", "failed", "stuck"]


@dataclass(frozen=True, slots=True)
class TableProgress:
    """Row counts of one table in a job. At the end of a copy: read = inserted + present + failed.

    ``repaired`` is part of inserted; ``left_behind`` is a table that the target lacks; ``total`` is the number of rows
    at the start of the job (None: not counted yet). ``updated`` and ``deleted`` are later changes of the source that a
    copy caught up with. A comparison counts compared rows as ``read``, and ``differ``, ``only_source`` and
    ``only_target``.
    """

    read: int = 0
    inserted: int = 0
    present: int = 0
    repaired: int = 0
    failed: int = 0
    left_behind: int = 0
    total: int | None = None
    updated: int = 0
    deleted: int = 0
    differ: int = 0
    only_source: int = 0
    only_target: int = 0


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Progress of one long statement on a server: its phase, ``done`` of ``total`` in ``unit``, ``eta`` in seconds.

    ``total`` is 0 where the server does not say it.
    """

    name: str
    done: int = 0
    total: int = 0
    unit: str = ""
    eta: float | None = None

    @property
    def fraction(self) -> float | None:
        """Share that is done, 0..1; None if unknown."""
        return min(1.0, self.done / self.total) if self.total else None

    def timed(self, eta: float | None) -> StepProgress:
        """Return it with the estimated seconds to its end."""
        return replace(self, eta=eta)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a job. ``rate`` in rows a second, ``eta`` in seconds, ``rates`` the recent rates, oldest first.

    ``share`` is the part of the whole job that is done, 0..1, its indexes and its comparison included (None: unknown,
    as in jobs of earlier versions); it never falls. ``step`` is the long statement that it runs on the server now.
    """

    phase: str = ""
    tables: Mapping[str, TableProgress] = field(default_factory=dict)
    rate: float | None = None
    eta: float | None = None
    rates: tuple[float, ...] = ()
    zero_vectors: int = 0
    share: float | None = None
    step: StepProgress | None = None


@dataclass(frozen=True, slots=True)
class JobWait:
    """Cause for which a worker waits, as a sentence: a full disk, a database that is away, a lock that is held."""

    reason: str
    since: datetime


LEASE_SECONDS = 30
"""A worker without a heartbeat for this long is lost, and another one may take over its job."""
DELEGATION = "delegation"
"""Kind of a job that was given to an agent."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the ledger: a job of this program (``kind`` copy), or work given to an agent (``kind`` delegation).

    ``id`` is the delegation_id; ``store`` the store that holds the row; source and target carry no password.
    """

    id: str
    kind: str
    status: str
    store: str
    task: str = ""
    source: str = ""
    target: str = ""
    plan: str | None = None
    attempt: int = 1
    """Number among all attempts of the plan, from 1."""
    tries: int = 1
    """Number among the attempts that continue one another: 1 after a fresh start."""
    owner: str = ""
    progress: JobProgress = field(default_factory=JobProgress)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_heartbeat: datetime | None = None
    deadline: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    result: str | None = None
    cancel_requested: bool = False
    caller: str = ""
    callee: str = ""
    retry_count: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of a job besides source and target, so that any machine can take it over."""
    wait: JobWait | None = None
    """Wait of its worker, None for no wait."""
    worker_pid: int | None = None
    """Process of its worker, if that runs on this machine: a sign of life besides the heartbeat."""

    @property
    def is_ours(self) -> bool:
        """True if a worker of this program runs it; every other job is work given to an agent."""
        return self.kind != DELEGATION

    @property
    def resumed(self) -> bool:
        """True if it continued from the checkpoint of an earlier attempt."""
        return self.tries > 1

    @property
    def resumable(self) -> bool:
        """True if its next attempt continues from its checkpoint; a comparison, and a repair by one, start over."""
        return self.kind not in ("verify", "repair")

    @property
    def in_flight(self) -> bool:
        """True until it has ended; ``stuck`` can recover."""
        return self.status not in ("completed", "failed")

    def silence(self, now: datetime) -> float | None:
        """Return the seconds since the last heartbeat; None within the lease, for ended jobs and for agents' work.

        An agent may send heartbeats as rarely as it likes: the ledger decides when its work is stuck. None also while
        the process of the worker is known to live.
        """
        if self.worker_pid is not None:
            return None
        heartbeat = self.last_heartbeat or self.created_at
        if not self.in_flight or not self.is_ours or heartbeat is None:
            return None
        seconds = (now - heartbeat).total_seconds()
        return seconds if seconds > LEASE_SECONDS else None


FindingKind: TypeAlias = Literal[
    "repaired",
    "failed",
    "left_behind",
    "zero_vector",
    "differs",
    "only_source",
    "only_target",
    "updated",
    "deleted",
]


@dataclass(frozen=True, slots=True)
class JobFinding:
    """Finding about one row: not copied as it was, or different on both sides."""

    subject: str
    outcome: FindingKind
    source_key: str
    reason: str
