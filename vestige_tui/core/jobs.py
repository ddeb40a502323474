"""Jobs: their status, their progress, and the findings about single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

JobStatus: TypeAlias = Literal["queued", "dispatched", "in_progress", "completed", "failed", "stuck"]


@dataclass(frozen=True, slots=True)
class TableProgress:
    """Rows of one table in a job. For each table, at the end of a copy: read = inserted + present + failed.

    ``repaired`` counts among inserted; ``left_behind`` is a table that the target has no place for; ``total`` is what
    there was to read when the job began (None: not counted yet). ``updated`` and ``deleted`` are what a copy brought of
    later changes of its source. A comparison counts what it compared as ``read``, and ``differ``, ``only_source`` and
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
class JobProgress:
    """How far a job is. ``rate`` in rows a second, ``eta`` in seconds, ``rates`` the recent rates, oldest first."""

    phase: str = ""
    tables: Mapping[str, TableProgress] = field(default_factory=dict)
    rate: float | None = None
    eta: float | None = None
    rates: tuple[float, ...] = ()
    zero_vectors: int = 0


LEASE_SECONDS = 30
"""A worker that gave no sign for so long is gone, and another one may take its job up."""


@dataclass(frozen=True, slots=True)
class Job:
    """One delegation: a job of ours (``kind`` copy), or work that an agent was given (``kind`` delegation).

    ``id`` is the delegation_id; ``store`` says in which store the row lies; source and target carry no password.
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
    """Which of all attempts of the plan."""
    tries: int = 1
    """Which of those that go on from one another: 1 where it began anew."""
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
    """What a job of ours was told besides source and target, so that it can be taken up anywhere."""

    @property
    def resumed(self) -> bool:
        """Did it go on from where an earlier attempt was?"""
        return self.tries > 1

    @property
    def resumable(self) -> bool:
        """Does its next attempt go on from its checkpoint? A comparison, and a repair by one, begin anew."""
        return self.kind not in ("verify", "repair")

    @property
    def in_flight(self) -> bool:
        """Not ended yet; ``stuck`` can recover."""
        return self.status not in ("completed", "failed")

    def silence(self, now: datetime) -> float | None:
        """For how many seconds a job of ours gave no sign of life; None while that is no reason to worry.

        What an agent does may give signs as seldom as it likes: the ledger decides when that is stuck.
        """
        sign = self.last_heartbeat or self.created_at
        if not self.in_flight or self.kind == "delegation" or sign is None:
            return None
        seconds = (now - sign).total_seconds()
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
    """What became of one row of a job that could not simply be copied, or that differs on both sides."""

    subject: str
    outcome: FindingKind
    source_key: str
    reason: str
