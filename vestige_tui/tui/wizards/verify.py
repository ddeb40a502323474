"""Wizard of a comparison of two stores row by row: those of the chosen job, or this one and another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from vestige_tui.core.errors import Usage
from vestige_tui.jobs.start import check
from vestige_tui.presenters.job_outcome import start_sentence
from vestige_tui.presenters.stores import location
from vestige_tui.tui.wizards.start_step import StartStep
from vestige_tui.tui.wizards.store_step import with_password
from vestige_tui.tui.wizards.two_stores import BetweenStores
from vestige_tui.tui.wizards.wizard import WizardStep

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job
    from vestige_tui.tui.place import Place
    from vestige_tui.tui.store_session import StoreSession
    from vestige_tui.tui.wizards.wizard import ShowJob

NOTES = (
    "Every row is compared by digests that the databases compute. Neither store changes, except that this "
    "comparison is recorded in the job log of the second store.",
)


class VerifyWizard(BetweenStores):
    """Steps source, target, start; only start if a ``job`` gives the two stores."""

    trail: ClassVar[Sequence[str]] = ("source", "target", "start")
    kind = "verify"
    source_note = "The original store."
    target_note = "The copy to compare with it."

    def __init__(self, session: StoreSession, job: Job | None) -> None:
        super().__init__("Compare two stores", session)
        self._from_job = job is not None
        if job is not None:
            self.source = with_password(session, job.source)
            self.target = with_password(session, job.target)

    def first(self) -> WizardStep:
        return self._start_step() if self._from_job else super().first()

    async def settle(self) -> None:
        await check(self.work(), dry=True)
        await self.go(self._start_step())

    def _start_step(self) -> WizardStep:
        def start(switches: Mapping[str, bool]) -> None:
            self.busy("starting the comparison …", lambda: self.begin({}))

        rows = [("source", location(self.source)), ("target", location(self.target))]
        return StartStep(rows, (), "start the comparison", start, NOTES)


async def verify_from(place: Place, job: Job | None, show_job: ShowJob) -> bool:
    """Run the wizard of a comparison and show its job; return whether the job runs."""
    if place.store is None:
        raise Usage("The store is not open yet.")
    job_with_stores = (
        job if job is not None and job.kind in ("copy", "verify", "repair") and job.source and job.target else None
    )
    place.say("")
    started_job = await place.app.push_screen_wait(VerifyWizard(place.store_session, job_with_stores))
    if started_job is None:
        place.say("Nothing was compared.", severity="quiet")
        return False
    sentence = start_sentence("verify", {}, already_running=started_job.already_running)
    await show_job(place.app, started_job.job_id, sentence)
    return True
