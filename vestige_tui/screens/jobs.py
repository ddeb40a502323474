"""Jobs: what runs now, how far it is, and what became of the rows of those that ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from vestige_tui.commands import (
    IN_PLACE,
    CancelJob,
    ChooseRow,
    FailJob,
    GoToJobs,
    Reembed,
    RetryJob,
    StartCopy,
    VerifyCopy,
    bindings,
)
from vestige_tui.errors import Usage
from vestige_tui.screens.base import Place
from vestige_tui.screens.copying import copy_from
from vestige_tui.screens.job_detail import about, counts_in_words, counts_of, progress_of
from vestige_tui.screens.job_steps import cancel_job, fail_job, reasons, retry_job
from vestige_tui.screens.modals import Message
from vestige_tui.screens.reembedding import reembed_from
from vestige_tui.screens.verifying import verify_from
from vestige_tui.text import plain
from vestige_tui.widgets.empty import Empty
from vestige_tui.widgets.finding_list import OUTCOMES, FindingList
from vestige_tui.widgets.job_list import JobList
from vestige_tui.widgets.job_progress import JobProgress
from vestige_tui.widgets.memory_card import Section
from vestige_tui.widgets.panels import Panels

if TYPE_CHECKING:
    from vestige_tui.model import Job, JobFinding

SHOWN_FINDINGS = 100
BEGINNINGS = (
    (StartCopy.key, "copy this store into another one"),
    (Reembed.key, "make its vectors anew with another model"),
    (VerifyCopy.key, "compare it with another store"),
)


class JobDetail(Panels):
    """One job in full; ``enter`` goes on to its findings."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(ChooseRow)

    def action_choose(self) -> None:
        findings = self.query_one(FindingList)
        if findings.count:
            findings.focus()


class JobsPlace(Place):
    """The jobs of every store that this person's consoles know, in flight first, one of them in full."""

    GO_TO = GoToJobs
    CSS_PATH: ClassVar[list[str | PurePath]] = ["jobs.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["jobs"])
    HELP = """\
Copies, comparisons and re-embeddings run in a process of their own: they go on when this console is closed, and every
console can watch them. What a job does is written in the store that it fills. Agents stand under a heading of theirs:
work that one program gave to another, with its last sign of life and what is left until its deadline.

`enter` opens a job, again its findings: the rows that were repaired, failed or differ, each with its reason.

`x` stops a job at its next checkpoint; what is written by then stays, and `R` goes on from there. `F` ends what nobody
ends any more. `c` copies a store, `r` makes its vectors anew with another model, `v` compares two stores row by row.
"""

    def __init__(self) -> None:
        super().__init__()
        self._findings_of: tuple[str, int, int] = ("", -1, SHOWN_FINDINGS)
        self._wanted = ""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="work"):
            yield JobList(id="list")
            with JobDetail(id="one"):
                yield Section("", id="about")
                yield JobProgress(id="bars")
                yield FindingList(id="findings")
            yield Empty(id="nothing")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(JobList).focus()
        self.every(1.0, self._paint)

    def refresh_place(self) -> None:
        self._paint()

    def _frame_changed(self, nothing: None) -> None:
        super()._frame_changed(nothing)
        if self.is_mounted and self.is_current:
            self._paint()

    def _now(self) -> datetime:
        return self.store.now() if self.store is not None else datetime.now(UTC)

    def _paint(self) -> None:
        jobs = self.console.jobs
        self.set_class(not jobs, "-nothing")
        if not jobs:
            self._say_why_empty()
        listed = self.query_one(JobList)
        listed.show(jobs, self._now())
        if self._wanted and listed.go_to(self._wanted):
            self._wanted = ""
        self._paint_one()
        self.refresh_bindings()

    def _say_why_empty(self) -> None:
        nothing = self.query_one("#nothing", Empty)
        if self.store is not None:
            nothing.say("No job has run yet. Copies, re-embeddings and the work of agents are shown here.", *BEGINNINGS)
        elif self.console.facts.link == "opening":
            nothing.say("The store is being opened.")
        else:
            nothing.say("The store could not be opened, so that its jobs cannot be read.")

    def select(self, job_id: str) -> None:
        """Put the cursor on a job, as soon as it is seen."""
        self._wanted = job_id
        self._paint()

    @property
    def job(self) -> Job | None:
        """The job under the cursor."""
        return self.query_one(JobList).current

    def on_job_list_job_highlighted(self) -> None:
        self.query_one(JobDetail).scroll_home(animate=False)
        self._paint_one()
        self.refresh_bindings()

    def on_job_list_job_chosen(self) -> None:
        self.add_class("-reading")
        findings = self.query_one(FindingList)
        # Beside the list everything is in view already, so that only the findings are left to go to.
        straight = not self.has_class("-narrow") and findings.count
        (findings if straight else self.query_one(JobDetail)).focus()

    @on(FindingList.FindingChosen)
    def _read_finding(self, event: FindingList.FindingChosen) -> None:
        finding = event.finding
        word = OUTCOMES.get(finding.outcome, (plain(finding.outcome), "muted"))[0]
        told = f"{finding.reason}\n\ntable   {finding.subject}\nrow     {finding.source_key}"
        self.app.push_screen(Message(word, told))

    def action_back(self) -> None:
        if self.query_one(FindingList).has_focus and self.has_class("-narrow"):
            self.query_one(JobDetail).focus()
        elif self.has_class("-reading"):
            self.remove_class("-reading")
            self.query_one(JobList).focus()
        else:
            super().action_back()

    # One job

    def _paint_one(self) -> None:
        job = self.job
        if job is None:
            return
        now = self._now()
        keys = {
            "retry": self._key_of(RetryJob.id, RetryJob.key),
            "fail": self._key_of(FailJob.id, FailJob.key),
            "cancel": self._key_of(CancelJob.id, CancelJob.key),
            "verify": self._key_of(VerifyCopy.id, VerifyCopy.key),
        }
        self.query_one("#about", Section).fill(lambda width: about(job, now, width, keys))
        bars = self.query_one(JobProgress)
        bars.progress = progress_of(job, now)
        bars.display = bars.progress is not None
        told = sum(counts_of(job).values())
        if (job.id, told) != self._findings_of[:2]:
            limit = self._findings_of[2]
            if job.id != self._findings_of[0]:
                limit = SHOWN_FINDINGS
                self._show_findings((), job, limit)
            self._findings_of = (job.id, told, limit)
            self._read_findings(job, limit)

    @on(FindingList.MoreWanted)
    def _want_more(self, event: FindingList.MoreWanted) -> None:
        job_id, told, limit = self._findings_of
        job = self.job
        if job is not None and job.id == job_id and event.held == limit:
            self._findings_of = (job_id, told, limit * 10)
            self._read_findings(job, limit * 10)

    @work(group="findings", exclusive=True, exit_on_error=False)
    async def _read_findings(self, job: Job, limit: int) -> None:
        from vestige_tui.jobs.watch import findings

        found = await findings(self.store, job, limit) if sum(counts_of(job).values()) else ()
        self._show_findings(found, job, limit)

    def _show_findings(self, found: tuple[JobFinding, ...], job: Job, limit: int) -> None:
        findings = self.query_one(FindingList)
        more = len(found) == limit and sum(counts_of(job).values()) > limit
        findings.show(found, counts_in_words(job), more=more)
        findings.display = bool(found)

    # What a person does about a job

    def why_not(self, action: str) -> str:
        """Why a command cannot be given for the job under the cursor."""
        return reasons(self.job, self.console.jobs, self._now()).get(action, "")

    def _chosen(self) -> Job:
        if (job := self.job) is None:
            raise Usage("There is no job here yet.")
        return job

    @work(group="write", exit_on_error=False)
    async def action_cancel_job(self) -> None:
        await cancel_job(self, self._chosen())

    @work(group="write", exit_on_error=False)
    async def action_retry_job(self) -> None:
        if begun := await retry_job(self, self._chosen()):
            self.select(begun)

    @work(group="write", exit_on_error=False)
    async def action_fail_job(self) -> None:
        await fail_job(self, self._chosen())

    @work(group="write", exit_on_error=False)
    async def action_copy_job_id(self) -> None:
        job = self._chosen()
        self.app.copy_to_clipboard(plain(job.id))
        self.say("Copied the job's id.")

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_start_copy(self) -> None:
        await copy_from(self)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_reembed(self) -> None:
        await reembed_from(self)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_verify_copy(self) -> None:
        await verify_from(self, self.job)


async def show_job(app: App[Any], job_id: str, said: str) -> None:
    """Go to the Jobs place, with the cursor on this job, and say there what was done."""
    await app.switch_mode(GoToJobs.place)
    place = app.screen
    if isinstance(place, JobsPlace):
        place.select(job_id)
        place.say(said)
