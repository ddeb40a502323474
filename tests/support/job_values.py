"""Values of jobs for tests of their words: no ledger, no store, no console."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from vestige_tui.core.jobs import DELEGATION, Job, JobProgress, TableProgress

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
KINDS = ("copy", "verify", "repair", "reembed", DELEGATION)
COPY = Job(
    "3e386abc-0000-4000-8000-000000000000",
    "copy",
    "in_progress",
    "postgresql://me@db1.example.org/memories",
    source="sqlite:/srv/agents/far/below/everything/else/vestige.db",
    target="postgresql://me@db1.example.org/memories",
    plan="p",
    progress=JobProgress("copying vectors", {"vectors": TableProgress(1_234, total=2_931)}, rate=512.4, eta=3.3),
    created_at=NOW - timedelta(minutes=2),
    last_heartbeat=NOW - timedelta(seconds=1),
)
DELEGATED = replace(
    COPY,
    kind=DELEGATION,
    plan=None,
    source="",
    target="",
    task="reindex the docs",
    progress=JobProgress(),
    callee="11111111-1111-4111-8111-111111111111",
    deadline=NOW + timedelta(hours=5, minutes=12),
)


def of_kind(kind: str, status: str = "in_progress") -> Job:
    """Return a job of this kind and status, with its end if it has ended."""
    job = DELEGATED if kind == DELEGATION else replace(COPY, kind=kind)
    ended = status in ("completed", "failed")
    return replace(job, status=status, finished_at=NOW if ended else None)


def with_rows(job: Job, table: TableProgress, phase: str = "done") -> Job:
    """Return a job whose one table has these counts."""
    return replace(job, progress=JobProgress(phase, {"memories": table}))
