"""Rows of the ledger in Python: jobs, attempts, progress, and text as every database takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.jobs import DELEGATION, Job, JobProgress, JobWait, StepProgress, TableProgress
from vestige_tui.core.storable import clean
from vestige_tui.core.times import format_time
from vestige_tui.store.schema.rows import as_json, as_list, as_map, as_time

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Row

PREVIEW_BYTES = 4_096


def preview(text: str) -> str:
    """Return ``text`` in at most 4,096 bytes of UTF-8, cut between two characters."""
    return clean(text).encode()[:PREVIEW_BYTES].decode("utf-8", "ignore")


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


def run_of_row(row: Row, default_start: datetime) -> ClaimedRun:
    """Return the attempt of a row of ``read_run``."""
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
        first_started=as_time(row["first_started"]) or default_start,
    )


def job_of_row(row: Row, store: str) -> Job:
    """Return the job of a row of the ledger; ``store`` is the location of its store."""
    return Job(
        id=str(row["delegation_id"]),
        kind=str(row["kind"] or DELEGATION),
        status=str(row["status"]),
        store=store,
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
        wait=read_wait(row["progress"]),
    )


_COUNTS = tuple(field.name for field in fields(TableProgress))


def progress_json(progress: JobProgress) -> dict[str, Any]:
    """Return progress as the ledger stores it."""
    return {
        "phase": progress.phase,
        # A list: JSON objects do not keep their order in every database.
        "tables": [
            {
                "name": clean(name),
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
        "share": progress.share,
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
    live = as_map(data.get(LIVE))
    step = _read_step(as_map(live.get("step"))) if live else None
    shares = [share for share in (number(data.get("share")), number(live.get("share"))) if share is not None]
    return JobProgress(
        phase=str(data.get("phase") or ""),
        tables=tables,
        # During a statement of the server no rows are read.
        rate=number(data.get("rate")) if step is None else None,
        eta=number((live or data).get("eta")),
        rates=tuple(float(rate) for rate in rates if isinstance(rate, int | float)) if isinstance(rates, list) else (),
        zero_vectors=int(number(data.get("zero_vectors")) or 0),
        share=min(1.0, max(0.0, *shares)) if shares else None,
        step=step,
    )


LIVE = "live"
"""Field of the stored progress for a long statement that runs now; the next checkpoint is stored without it.

It is stored beside the counts, which belong to the last checkpoint and change with the next one only.
"""


def live_json(progress: JobProgress) -> dict[str, Any]:
    """Return the step, the share and the time left of a progress as the ledger stores them between checkpoints."""
    step = progress.step
    shown = {"name": clean(step.name), "done": step.done, "total": step.total, "unit": step.unit} if step else {}
    return {"share": progress.share, "eta": progress.eta, "step": {**shown, "eta": step.eta if step else None}}


def _read_step(data: Mapping[str, Any]) -> StepProgress | None:
    name = data.get("name")
    if not isinstance(name, str):
        return None
    done, total = (max(0, int(number(data.get(key)) or 0)) for key in ("done", "total"))
    return StepProgress(name, done, total, str(data.get("unit") or ""), number(data.get("eta")))


WAIT = "wait"
"""Field of the stored progress for the wait of a worker; the next checkpoint is stored without it."""


def wait_json(wait: JobWait) -> dict[str, str]:
    """Return the wait of a worker as the ledger stores it."""
    return {"reason": preview(wait.reason), "since": format_time(wait.since)}


def read_wait(stored: object) -> JobWait | None:
    """Parse the output of ``wait_json`` in stored progress; None where there is none. Never raises."""
    data = as_map(as_map(stored).get(WAIT))
    since = as_time(data.get("since"))
    return JobWait(str(data.get("reason")), since) if since is not None else None


def number(value: object) -> float | None:
    """Return a number of a JSON value; None for anything else."""
    return float(value) if isinstance(value, int | float) else None
