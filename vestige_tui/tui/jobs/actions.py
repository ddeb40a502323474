"""Actions of the user on a job: cancel, retry, mark as failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.jobs.transitions import GIVEN_UP
from vestige_tui.presenters.job_actions import cancel_sentence, fail_sentence
from vestige_tui.presenters.job_outcome import ENDS_AT_CHECKPOINT
from vestige_tui.presenters.jobs import state_label, title
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.modals import Ask, Confirm

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job
    from vestige_tui.tui.place import Place


def _noun(job: Job) -> str:
    """Return the word for a job of the console, or for delegated agent work."""
    return "job" if job.is_ours else "work"


async def cancel_job(place: Place, job: Job) -> None:
    """Cancel a job after confirmation: one of ours at its next checkpoint, an agent's work at once."""
    from vestige_tui.jobs.monitor import cancel

    rows, noun = [title(job)], _noun(job)
    if job.is_ours:
        worker_gone = place.store is not None and job.silence(place.store.present()) is not None
        note = "Its worker is gone, so it ends at once." if worker_gone else ENDS_AT_CHECKPOINT
        note += " Everything written is kept, and a retry continues from there."
    else:
        note = "It is marked as cancelled here; the agent is not notified, and its later reports are ignored."
    # "Cancel" beside an escape that cancels the question would be read as either.
    if not await place.app.push_screen_wait(Confirm(f"Stop this {noun}?", rows, verb=f"stop the {noun}", notes=[note])):
        return
    place.say(cancel_sentence(await cancel(place.store, job, place.store_session.urls), f"The {noun}"))
    place.store_session.note_change()


async def retry_job(place: Place, job: Job) -> str:
    """Retry a job, or queue an agent's work again; return the id of the new attempt, empty if the user declined."""
    from vestige_tui.jobs.monitor import retry

    if not job.is_ours:
        current = "The current attempt is marked as failed, with the note that it was queued again."
        notes = [
            "It is queued for the same agent, with a new deadline.",
            *([current] if job.in_flight else []),
        ]
        rows = [
            title(job),
            state_label(job, place.store.present()).word if place.store is not None else job.status,
        ]
        question = Confirm("Queue this work again?", rows, verb="queue it", notes=notes)
        if not await place.app.push_screen_wait(question):
            return ""
    place.say("Retrying the job…" if job.is_ours else "Queueing the work again…", severity="quiet")
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

    async def mark(reason: str) -> None:
        rows = [title(job), f"failed: {reason.strip() or GIVEN_UP}"]
        note = f"This is final; nothing that the {_noun(job)} wrote is undone."
        question = Confirm("Mark it as failed?", rows, verb="mark it as failed", notes=[note])
        if await place.app.push_screen_wait(question):
            await mark_failed(place.store, job, reason.strip(), place.store_session.urls)
            place.say(fail_sentence(f"The {_noun(job)}"))
            place.store_session.note_change()

    await ask_and_use(
        place,
        lambda line, fault: Ask(
            f"Mark as failed: {title(job)}",
            value=line,
            fault=fault,
            placeholder="reason (optional)",
            note=f"The reason is saved as the error of this {_noun(job)}.",
            verb="continue",
        ),
        mark,
        may_be_empty=True,
    )
