"""Jobs: those in flight with their progress, and those that ended with their findings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.reactive import reactive

from vestige_tui.core.errors import Usage, VestigeError
from vestige_tui.core.text import safe
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.presenters.job_actions import NO_JOB, reasons_against, retry_sentence
from vestige_tui.presenters.job_progress import finding_counts, findings_in_words
from vestige_tui.presenters.jobs import later_run
from vestige_tui.presenters.stores import location, read_only_sentence
from vestige_tui.tui import layout_widths
from vestige_tui.tui.commands.catalogue import IN_PLACE, action_names
from vestige_tui.tui.commands.command import Command, bindings
from vestige_tui.tui.commands.jobs import (
    CancelJob,
    FailJob,
    LeaveJob,
    OpenJobStore,
    Reembed,
    RetryJob,
    StartCopy,
    VerifyCopy,
)
from vestige_tui.tui.commands.lists import ChooseRow
from vestige_tui.tui.commands.places import GoToJobs
from vestige_tui.tui.dialogs.memory_sheet import memory_sheet
from vestige_tui.tui.jobs.actions import cancel_job, fail_job, retry_job
from vestige_tui.tui.jobs.detail import about, ended, progress_of
from vestige_tui.tui.jobs.finding import FindingSheet, memories_of
from vestige_tui.tui.jobs.finding_list import FindingList
from vestige_tui.tui.jobs.job_list import JobList
from vestige_tui.tui.jobs.job_progress import JobProgressPanel
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.place import Place
from vestige_tui.tui.store_session_events import SessionState
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.section import Section
from vestige_tui.tui.wizards.copy import copy_from
from vestige_tui.tui.wizards.reembed import reembed_from
from vestige_tui.tui.wizards.verify import verify_from
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vestige_tui.core.jobs import Job, JobFinding

FIRST_FINDINGS_LIMIT = 100
KEYS: Mapping[str, type[Command]] = {
    "retry": RetryJob,
    "fail": FailJob,
    "cancel": CancelJob,
    "copy": StartCopy,
    "verify": VerifyCopy,
}
"""Commands with keys that the sentences on a job name."""
ON_ITS_LEDGER = action_names((CancelJob, RetryJob, FailJob))
"""Actions that write to the store that the job is recorded in."""
BEGINNINGS: tuple[tuple[type[Command], str], ...] = (
    (StartCopy, "copy this store to another"),
    (Reembed, "re-embed it with another model"),
    (VerifyCopy, "compare it with another store"),
)


class JobDetail(Panels):
    """Panel with one job in full; ``enter`` moves to its findings."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(ChooseRow, LeaveJob)

    def action_choose(self) -> None:
        findings = self.query_one(FindingList)
        if findings.count:
            findings.focus(scroll_visible=False)


class JobsPlace(Place):
    """Jobs of every store known to the user's consoles, in flight first, one of them in full."""

    GO_TO = GoToJobs
    CSS_PATH: ClassVar[list[str | PurePath]] = ["place.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["jobs"])
    HELP = """\
Copies, comparisons and re-embeddings run in processes of their own: they continue when this console is closed, and
every console can watch them. A job is recorded in the store that it writes to. Delegated agent work has its own
section: work that one program gave to another, with its last heartbeat and the time left until its deadline.

`enter` opens a job; press it again for the rows that were repaired, that failed or that differ, each with its
reason.

`x` cancels a job at its next checkpoint; everything written until then is kept, and `R` continues from there. `F` marks
an abandoned job or delegated task as failed. `c` copies a store, `r` re-embeds with another model, `v` compares two
stores row by row.
"""
    reading: reactive[bool] = reactive(False, repaint=False, toggle_class="-reading")
    """True while a job is open; in a narrow terminal it replaces the list."""

    def __init__(self) -> None:
        super().__init__()
        self._findings_of: tuple[str, int, int] = ("", -1, FIRST_FINDINGS_LIMIT)
        self._unread = False
        self._cursor_target = ""
        self._started_id = ""
        self._started_notice: Notice | None = None
        self._keys = {word: command.key for word, command in KEYS.items()}

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="work"):
            yield JobList(id="list")
            with JobDetail(id="one"):
                yield Section("", id="about")
                yield JobProgressPanel(id="bars")
                yield FindingList(id="findings")
            yield Empty(id="nothing")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(JobList).focus()
        self.every(1.0, self._paint)

    def refresh_place(self) -> None:
        if self._unread:
            job_id, _, limit = self._findings_of
            self._findings_of = (job_id, -1, limit)
        self._paint()

    def _frame_changed(self, nothing: None) -> None:
        super()._frame_changed(nothing)
        if self.is_mounted and self.is_current:
            self._paint()

    def _now(self) -> datetime:
        # Of now, also where the console shows a past moment: jobs are not limited to that.
        return self.store.present() if self.store is not None else datetime.now(UTC)

    def _paint(self) -> None:
        jobs = self.store_session.jobs
        self.set_class(not jobs, "-nothing")
        if not jobs:
            self._say_why_empty()
        listed = self.query_one(JobList)
        listed.show(jobs, self._now())
        if self._cursor_target and listed.go_to(self._cursor_target):
            self._cursor_target = ""
        self._follow_started()
        self._paint_one()
        self.refresh_bindings()

    def _say_why_empty(self) -> None:
        nothing = self.query_one("#nothing", Empty)
        if self._cursor_target:
            nothing.say("The new job appears here in a moment.")
        elif self.store is not None:
            shown = self._keys_of({command.id: command.key for command, _ in BEGINNINGS})
            keys = ((shown[command.id], label) for command, label in BEGINNINGS)
            nothing.say("No jobs yet. Copies, re-embeddings and delegated agent work appear here.", *keys)
        elif self.store_session.state is SessionState.OPENING:
            nothing.say("Opening the store…")
        else:
            nothing.say("The store could not be opened, so its jobs cannot be read.")

    def select(self, job_id: str) -> None:
        """Put the cursor on a job as soon as it is listed."""
        self._cursor_target = job_id
        self._paint()

    def began(self, job_id: str, text: str) -> None:
        """Report the start of a job until it is listed, and later its end; put the cursor on it."""
        self._started_id, self._started_notice = job_id, self.say(text)
        self.select(job_id)

    def _follow_started(self) -> None:
        """Clear the report of a started job once it is listed, and report its end."""
        job = next((job for job in self.store_session.jobs if job.id == self._started_id), None)
        if job is None:
            return
        self._status.withdraw(self._started_notice)
        self._started_notice = None
        if not job.in_flight:
            self._started_id = ""
            sentence, severity = ended(job)
            hint = f"{self.key_named(OpenJobStore)} open it" if job.kind == "copy" and job.status == "completed" else ""
            self._status.say(sentence, hint, severity)

    @property
    def job(self) -> Job | None:
        """Job under the cursor."""
        return self.query_one(JobList).current

    def on_job_list_job_highlighted(self) -> None:
        self.query_one(JobDetail).scroll_home(animate=False)
        self._paint_one()
        self.refresh_bindings()

    def on_job_list_job_chosen(self) -> None:
        self.reading = True
        findings = self.query_one(FindingList)
        # Beside the list the whole job is in view already, so the focus goes to its findings.
        straight = not layout_widths.is_narrow(self.size.width) and findings.count
        (findings if straight else self.query_one(JobDetail)).focus(scroll_visible=False)

    @on(FindingList.FindingChosen)
    def _read_finding(self, event: FindingList.FindingChosen) -> None:
        self._open_finding(event.finding)

    @work(group="finding", exclusive=True, exit_on_error=False)
    async def _open_finding(self, finding: JobFinding) -> None:
        memories = await memories_of(self.store, finding) if self.store is not None else ()
        chosen = await self.app.push_screen_wait(FindingSheet(finding, memories, self._other_stores()))
        if chosen is not None and self.store is not None:
            self.app.push_screen(await memory_sheet(self.store, chosen))

    def _other_stores(self) -> tuple[str, ...]:
        """Return the stores of the job under the cursor that are not open, for reading."""
        job, store = self.job, self.store
        here = without_password(store.location) if store is not None else ""
        urls = (without_password(job.source), store_of(job)) if job is not None else ()
        return tuple(location(url) for url in dict.fromkeys(urls) if url and url != here)

    @property
    def is_page_open(self) -> bool:
        return self.reading and layout_widths.is_narrow(self.size.width)

    def action_back(self) -> None:
        if self.query_one(FindingList).has_focus and layout_widths.is_narrow(self.size.width):
            self.query_one(JobDetail).focus()
        elif self.reading or self.query_one(JobDetail).has_focus_within:
            self.reading = False
            self.query_one(JobList).focus()
        else:
            super().action_back()

    # One job

    def _paint_one(self) -> None:
        job = self.job
        if job is None:
            return
        now = self._now()
        shown = self._keys_of({command.id: command.key for command in KEYS.values()})
        keys = self._keys = {word: shown[command.id] for word, command in KEYS.items()}
        later = later_run(job, self.store_session.jobs)
        self.query_one("#about", Section).fill(lambda width: about(job, now, width, keys, later))
        bars = self.query_one(JobProgressPanel)
        bars.progress = progress_of(job, now)
        bars.display = bars.progress is not None
        finding_count = sum(finding_counts(job).values())
        if (job.id, finding_count) != self._findings_of[:2]:
            limit = self._findings_of[2]
            if job.id != self._findings_of[0]:
                limit = FIRST_FINDINGS_LIMIT
                self._show_findings((), job, limit)
            self._findings_of = (job.id, finding_count, limit)
            self._read_findings(job, limit)

    @on(FindingList.MoreWanted)
    def _want_more(self, event: FindingList.MoreWanted) -> None:
        job_id, finding_count, limit = self._findings_of
        job = self.job
        if job is not None and job.id == job_id and event.shown_count == limit:
            self._findings_of = (job_id, finding_count, limit * 10)
            self._read_findings(job, limit * 10)

    @work(group="findings", exclusive=True, exit_on_error=False)
    async def _read_findings(self, job: Job, limit: int) -> None:
        from vestige_tui.jobs.monitor import findings

        self._unread = False
        has_findings = any(finding_counts(job).values())
        try:
            rows = await findings(self.store, job, limit, self.store_session.urls) if has_findings else ()
        except VestigeError:
            # Retried only when the user asks, or the store has changed.
            self._unread = True
            raise
        self._show_findings(rows, job, limit)

    def _show_findings(self, rows: tuple[JobFinding, ...], job: Job, limit: int) -> None:
        findings = self.query_one(FindingList)
        more = len(rows) == limit and sum(finding_counts(job).values()) > limit
        findings.show(rows, "   ".join(findings_in_words(job)), more=more)
        findings.display = bool(rows)

    # Actions on a job

    def why_not(self, action: str) -> str:
        """Return the reason against a command on the job under the cursor, or an empty string."""
        if reason := super().why_not(action):
            return reason
        job, store = self.job, self.store
        if action in ON_ITS_LEDGER and job and store and store.read_only and job.store == store.location:
            return read_only_sentence(store.read_only_reason)
        if action == "open_job_store":
            return self._against_opening(job)
        return reasons_against(job, self.store_session.jobs, self._now(), self._keys).get(action, "")

    def _against_opening(self, job: Job | None) -> str:
        if job is None:
            return NO_JOB
        url, store = store_of(job), self.store
        return "This store is open already." if store is not None and url == without_password(store.location) else ""

    def _chosen(self) -> Job:
        if (job := self.job) is None:
            raise Usage(NO_JOB)
        return job

    @work(group="write", exit_on_error=False)
    async def action_cancel_job(self) -> None:
        await cancel_job(self, self._chosen())

    @work(group="write", exit_on_error=False)
    async def action_retry_job(self) -> None:
        job = self._chosen()
        if not (attempt_id := await retry_job(self, job)):
            return
        if job.is_ours:
            self.began(attempt_id, retry_sentence(job, attempt_id))
        else:
            self.select(attempt_id)
            self.say(retry_sentence(job, attempt_id))

    @work(group="write", exit_on_error=False)
    async def action_fail_job(self) -> None:
        await fail_job(self, self._chosen())

    @work(group="write", exit_on_error=False)
    async def action_copy_job_id(self) -> None:
        job = self._chosen()
        self.say(await self.console.copy(safe(job.id), "the id of the job"))

    async def action_open_job_store(self) -> None:
        url = store_of(self._chosen())
        await self.app.run_action(f"open_store({url!r})")

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_start_copy(self) -> None:
        await copy_from(self, show_job)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_reembed(self) -> None:
        await reembed_from(self, show_job)

    @work(group="begin", exclusive=True, exit_on_error=False)
    async def action_verify_copy(self) -> None:
        await verify_from(self, self.job, show_job)


def store_of(job: Job) -> str:
    """Return the URL of the store that a job writes to, without a password."""
    return without_password(job.target or job.store)


async def show_job(app: App[Any], job_id: str, text: str) -> None:
    """Open the Jobs screen with the cursor on a job, and report its start there."""
    await app.switch_mode(GoToJobs.place)
    place = app.screen
    if isinstance(place, JobsPlace):
        place.began(job_id, text)
