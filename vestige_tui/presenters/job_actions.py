"""Actions on a job in words: the possible ones, the reasons against others, and their effects.

The names of the actions are those of the reader: keys in the console, commands on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from vestige_tui.core.jobs import LEASE_SECONDS, Job
from vestige_tui.core.text import duration, short_id
from vestige_tui.presenters.job_outcome import later_run_sentence
from vestige_tui.presenters.job_progress import differences, failed_rows
from vestige_tui.presenters.jobs import heartbeat_age, later_run

NO_JOB = "There are no jobs yet."
_ENDED = "This job has already ended."


def next_actions(job: Job, now: datetime, names: Mapping[str, str], later: Job | None = None) -> str:
    """Return the actions that continue a job or check its result, as a sentence; empty without one.

    ``names`` are what the reader presses or types to retry, fail and verify; ``later`` is the last run of the same
    plan, if that came after this job.
    """
    if job.in_flight:
        return _actions_in_flight(job, now, names)
    if job.status == "failed":
        if later is not None:
            return later_run_sentence(later)
        return f"{names['retry']} {retry_effect(job)}."
    if differences(job):
        unchanged_rows = "; a copy never changes rows that the target has" if job.kind == "copy" else ""
        return f"{names['verify']} compares again{unchanged_rows}."
    if job.kind == "copy" and job.options.get("verify") is False and not failed_rows(job):
        return f"{names['verify']} compares both stores row by row."
    return ""


def _actions_in_flight(job: Job, now: datetime, names: Mapping[str, str]) -> str:
    if not job.is_ours:
        if job.status != "stuck":
            return ""
        return f"{names['retry']} {retry_effect(job)}, {names['fail']} marks it as failed."
    if job.silence(now) is None:
        return ""
    effect = "takes it over from its last checkpoint" if job.resumable else retry_effect(job)
    return f"{names['retry']} {effect}."


def retry_effect(job: Job) -> str:
    """Return the effect of a retry as a verb with its object."""
    if not job.is_ours:
        return "queues it again"
    return "continues from its last checkpoint" if job.resumable else "starts it from the beginning"


# Reasons against an action


def reasons_against(job: Job | None, jobs: Sequence[Job], now: datetime, names: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons against commands on a job, by action; an action without one is allowed.

    ``names`` are what the reader presses to retry, copy and verify.
    """
    if job is None:
        return dict.fromkeys(("cancel_job", "retry_job", "fail_job", "copy_job_id"), NO_JOB)
    by_action = {
        "cancel_job": _against_cancel(job),
        "retry_job": _against_retry(job, jobs, now, names),
        "fail_job": _against_fail(job, now),
    }
    return {action: reason for action, reason in by_action.items() if reason}


def _against_cancel(job: Job) -> str:
    if not job.in_flight:
        return _ENDED
    return "It is already being cancelled and ends at its next checkpoint." if job.cancel_requested else ""


def _against_retry(job: Job, jobs: Sequence[Job], now: datetime, names: Mapping[str, str]) -> str:
    if job.status == "completed":
        return _against_retry_of_completed(job, names)
    age = heartbeat_age(job, now)
    if not job.is_ours:
        if job.in_flight and age is not None and age < LEASE_SECONDS:
            return f"It is running: last heartbeat {duration(age)} ago."
        return ""
    if job.in_flight:
        if job.silence(now) is not None:
            return ""
        if job.worker_pid is not None:
            return f"Its worker, process {job.worker_pid}, is alive and continues by itself; cancel the job to end it."
        age_words = "It has no heartbeat yet" if age is None else f"Its last heartbeat was {duration(age)} ago"
        return f"{age_words}; after {LEASE_SECONDS} s without one, {names['retry']} takes it over."
    later = later_run(job, jobs)
    return later_run_sentence(later) if later is not None else ""


def _against_retry_of_completed(job: Job, names: Mapping[str, str]) -> str:
    if job.kind in ("verify", "repair"):
        return f"It is done; {names['verify']} compares both stores again."
    if job.kind == "copy":
        return f"It is done; {names['copy']} copies missing rows, {names['verify']} compares."
    return "It is done; there is nothing to retry."


def _against_fail(job: Job, now: datetime) -> str:
    if not job.in_flight:
        return _ENDED
    if job.is_ours and job.silence(now) is None and job.last_heartbeat is not None:
        return "Its worker is alive; cancel the job instead."
    return ""


# Effects


def cancel_sentence(result: Literal["asked", "ended"], subject: str = "The job") -> str:
    """Return the effect of a cancel request: at once, or at the next checkpoint of a live worker."""
    return f"{subject} is cancelled at its next checkpoint." if result == "asked" else f"{subject} is cancelled."


def retry_sentence(job: Job, new_id: str, subject: str = "") -> str:
    """Return the effect of a retry, with the beginning of the new attempt's id."""
    if not job.is_ours:
        return f"{subject or 'The work'} is queued again, as {short_id(new_id)}."
    effect = retry_effect(job) if job.resumable else "starts from the beginning"
    return f"{subject or 'The job'} {effect}, as {short_id(new_id)}."


def fail_sentence(subject: str = "The job") -> str:
    """Return the effect of marking a job as failed."""
    return f"{subject} is marked as failed."
