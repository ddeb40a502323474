"""Result of a job, or its problem, in a sentence; the same for console and command line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vestige_tui.core.jobs import Job, TableProgress
from vestige_tui.core.text import duration, grouped, plain, redact, short_id
from vestige_tui.core.times import clock_time
from vestige_tui.jobs.transitions import CANCELLED, GIVEN_UP, LEASE_LOST, OVERDUE
from vestige_tui.presenters.job_progress import (
    DIFFERENCES,
    differences,
    failed_rows,
    quantity,
    row_differences,
    rows_read,
    sum_in_words,
    unit,
)
from vestige_tui.presenters.jobs import silence_in_words, state_label, stuck_seconds, wait_in_words
from vestige_tui.presenters.style import Sentence

ENDS_AT_CHECKPOINT = "It ends at its next checkpoint."
_WRITTEN_STAYS = "everything written until then is kept"
_REASONS = {
    LEASE_LOST: "Its worker sent no heartbeat, and another attempt took over.",
    OVERDUE: "It missed its deadline.",
    GIVEN_UP: "A user marked it as failed.",
}
"""Sentences for the errors by which the ledger ends a job."""
_RETRIED = "retried as "
"""Start of the error of work that was queued again; the new id follows."""
_NOUNS: Mapping[str, str] = {"copy": "copy", "verify": "comparison", "repair": "repair", "reembed": "re-embedding"}


def failure_reason(job: Job) -> str:
    """Return the reason of a failure as a sentence, also for the errors of the ledger."""
    error = redact(job.error or "")
    if error in _REASONS:
        return _REASONS[error]
    if error.startswith(_RETRIED):
        return f"It was queued again, as {short_id(error.removeprefix(_RETRIED))}."
    return plain(error) or "It gave no reason for its failure."


def status_sentence(job: Job, now: datetime) -> Sentence | None:
    """Return the problem or the result of a job; None while there is nothing to say beside its state."""
    if job.in_flight:
        return _problem_in_flight(job, now)
    if job.status == "failed":
        if job.error == CANCELLED:
            return Sentence(f"A user cancelled it; {_WRITTEN_STAYS}.")
        return Sentence(failure_reason(job), "bad")
    if job.kind in ("verify", "repair") or differences(job):
        return comparison_result(job.progress.tables)
    if failed := failed_rows(job):
        return _failed_rows_sentence(failed)
    if job.kind == "copy":
        return Sentence("Every row that was read is in the target.")
    return Sentence(f"{plain(job.result).rstrip('.')}.") if job.is_ours and job.result else None


def comparison_result(tables: Mapping[str, TableProgress]) -> Sentence:
    """Return the result of a comparison, by its row counts."""
    difference_count = sum(map(row_differences, tables.values()))
    if difference_count:
        counts = {name: sum(getattr(table, name) for table in tables.values()) for name in DIFFERENCES}
        parts = ", ".join(sum_in_words(count, name) for name, count in counts.items() if count)
        pronoun = "it" if difference_count == 1 else "them"
        return Sentence(f"{quantity(difference_count, 'difference')}: {parts}; the findings list {pronoun}.", "waiting")
    if failed := sum(table.failed for table in tables.values()):
        return _failed_rows_sentence(failed)
    return Sentence("Every row is the same in both stores.", "good")


def _failed_rows_sentence(failed: int) -> Sentence:
    return Sentence(f"{quantity(failed, 'row')} could not be copied; the findings say why.", "waiting")


def _problem_in_flight(job: Job, now: datetime) -> Sentence | None:
    if not job.is_ours:
        if (stuck := stuck_seconds(job, now)) is None:
            return None
        since = clock_time(job.last_heartbeat or job.updated_at or now, now)
        return Sentence(f"No heartbeat since {since}, for {duration(stuck)}; it may still recover.", "waiting")
    if silence := silence_in_words(job, now):
        return Sentence(f"No heartbeat from its worker {silence}.", "waiting")
    if wait := wait_in_words(job, now):
        return Sentence(wait, "waiting")
    return Sentence(ENDS_AT_CHECKPOINT, "waiting") if job.cancel_requested else None


def end_sentence(job: Job) -> Sentence:
    """Return the end of a job in a sentence that names its kind: done, failed or cancelled."""
    noun = _NOUNS.get(job.kind, "work") if not job.options.get("rollback") else "rollback"
    if job.error == CANCELLED:
        return Sentence(f"The {noun} was cancelled; {_WRITTEN_STAYS}.")
    if job.status == "failed":
        return Sentence(f"The {noun} failed: {failure_reason(job)}", "bad")
    rows = rows_read(job)
    details = [quantity(rows, unit(job).removesuffix("s"))] if job.is_ours and rows else []
    label = state_label(job, job.finished_at or job.updated_at or job.created_at or datetime.now(UTC))
    if job.is_ours and label.word != "done":
        details.append(label.word)
    end = "Rolled back" if job.options.get("rollback") else f"The {noun} is done"
    result = f": {', '.join(details)}" if details else ""
    return Sentence(f"{end}{result}.", "waiting" if label.ink == "waiting" else "text")


def start_sentence(kind: str, options: Mapping[str, Any], *, already_running: bool, job_id: str = "") -> str:
    """Return the start of a job in a sentence, with the beginning of its id if given."""
    noun = _NOUNS.get(kind, "work")
    if options.get("rollback"):
        start = "The rollback has started"
    elif already_running:
        start = f"This {noun} is already running"
    else:
        start = f"The {noun} has started"
    return f"{start}, as job {short_id(job_id)}." if job_id else f"{start}."


def later_run_sentence(later: Job) -> str:
    """Return a sentence about a later run of the same plan and its end."""
    if later.in_flight:
        end = "is running"
    elif later.error == CANCELLED:
        end = "was cancelled"
    else:
        end = "is done" if later.status == "completed" else "failed"
    attempt = f"Attempt {grouped(later.tries)}" if later.resumed else "A new run"
    return f"{attempt} followed this one and {end}."
