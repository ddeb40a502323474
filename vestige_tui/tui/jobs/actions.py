"""Actions of the user on a job: cancel, retry, mark as failed; and the reasons against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.jobs import LEASE_SECONDS
from vestige_tui.core.text import duration
from vestige_tui.presenters.jobs import came_after, is_ours, later_run, since_sign, standing, title
from vestige_tui.tui.dialogs.modals import Ask, Confirm

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job
    from vestige_tui.tui.place import Place

NOTHING = "There is no job here yet."
ENDED = "This job has ended already."


def reasons(job: Job | None, jobs: Sequence[Job], now: datetime, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons against commands on a job, by action; an action without one is allowed.

    ``keys`` are the labels of the keys that retry, copy and compare.
    """
    if job is None:
        return dict.fromkeys(("cancel_job", "retry_job", "fail_job", "copy_job_id"), NOTHING)
    by_action = {
        "cancel_job": _not_cancelled(job),
        "retry_job": _not_retried(job, jobs, now, keys),
        "fail_job": _not_failed(job, now),
    }
    return {action: why for action, why in by_action.items() if why}


def _not_cancelled(job: Job) -> str:
    if not job.in_flight:
        return ENDED
    return "It is being cancelled already, and ends at its next checkpoint." if job.cancel_requested else ""


def _not_retried(job: Job, jobs: Sequence[Job], now: datetime, keys: Mapping[str, str]) -> str:
    if job.status == "completed":
        return _why_complete(job, keys)
    if not is_ours(job):
        sign = since_sign(job, now)
        if job.in_flight and sign is not None and sign < LEASE_SECONDS:
            return f"It is at work: its last sign of life is {duration(sign)} old."
        return ""
    if job.in_flight:
        if job.silence(now) is not None:
            return ""
        sign = since_sign(job, now)
        if sign is None:
            return f"It is starting; from {LEASE_SECONDS} s on {keys['retry']} takes it up."
        return f"Its last sign is {duration(sign)} old; from {LEASE_SECONDS} s on {keys['retry']} takes it up."
    later = later_run(job, jobs)
    return came_after(later) if later is not None else ""


def _why_complete(job: Job, keys: Mapping[str, str]) -> str:
    """Return the reason against a retry of a completed job, and the alternative."""
    if job.kind in ("verify", "repair"):
        return f"It is done; {keys['verify']} compares the two once more."
    if job.kind == "copy":
        return f"It is done; {keys['copy']} brings what is missing, {keys['verify']} compares."
    return "It is done; there is nothing left to do again."


def _not_failed(job: Job, now: datetime) -> str:
    if not job.in_flight:
        return ENDED
    if is_ours(job) and job.silence(now) is None and job.last_heartbeat is not None:
        return "Its worker is alive; cancel it instead."
    return ""


async def cancel_job(place: Place, job: Job) -> None:
    """Cancel a job after confirmation: one of ours at its next checkpoint, an agent's work at once."""
    from vestige_tui.jobs.monitor import cancel

    rows = [title(job)]
    if is_ours(job):
        worker_gone = place.store is not None and job.silence(place.store.now()) is not None
        note = "Its worker is gone, so it ends at once." if worker_gone else "It ends at its next checkpoint."
        note += " What is written stays, and a second run goes on from there."
    else:
        note = "It ends here as cancelled; whoever works on it is not told, and what it still reports is not taken."
    if not await place.app.push_screen_wait(Confirm("Cancel this job?", rows, verb="cancel it", notes=[note])):
        return
    outcome = await cancel(place.store, job, place.store_session.urls)
    place.say("The job is cancelled at its next checkpoint." if outcome == "asked" else "The job is cancelled.")
    place.store_session.note_change()


async def retry_job(place: Place, job: Job) -> str:
    """Retry a job, or queue an agent's work once more; return the id of the new attempt, empty if the user declined."""
    from vestige_tui.jobs.monitor import retry

    if not is_ours(job):
        notes = [
            "It is queued for whom it was given to, with a new deadline.",
            *(["The one here ends as failed, retried."] if job.in_flight else []),
        ]
        rows = [title(job), standing(job, place.store.now()).word if place.store is not None else job.status]
        question = Confirm("Queue this work once more?", rows, verb="queue it", notes=notes)
        if not await place.app.push_screen_wait(question):
            return ""
    place.say("Taking the job up again…" if is_ours(job) else "Queueing the work once more…", severity="quiet")
    try:
        attempt_id = await retry(place.store, job, place.store_session.urls)
    except BaseException:
        place.say("")
        raise
    place.store_session.note_change()
    return attempt_id


async def fail_job(place: Place, job: Job) -> None:
    """Mark a job as failed with a reason, after confirmation."""
    from vestige_tui.jobs.monitor import mark_failed

    reason = await place.app.push_screen_wait(
        Ask(
            f"Mark as failed: {title(job)}",
            placeholder="why; may stay empty",
            note="What you write here stands in the ledger as its error.",
            verb="go on",
        )
    )
    if reason is None:
        return
    rows = [title(job), f"failed: {reason.strip() or 'marked as failed by a person'}"]
    note = "It ends for good, and nothing of it is undone."
    question = Confirm("Mark it as failed?", rows, verb="mark it as failed", notes=[note])
    if not await place.app.push_screen_wait(question):
        return
    await mark_failed(place.store, job, reason.strip(), place.store_session.urls)
    place.say("The job is marked as failed.")
    place.store_session.note_change()
