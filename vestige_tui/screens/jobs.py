"""Jobs: what runs now, how far it is, and what became of the rows of those that ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content

from vestige_tui.commands import IN_PLACE, ChooseRow, GoToJobs, bindings
from vestige_tui.errors import Usage
from vestige_tui.model import Job, JobFinding
from vestige_tui.screens.base import Place
from vestige_tui.screens.copying import copy_from
from vestige_tui.screens.modals import Confirm, Message
from vestige_tui.text import ago, below_home, cells, cut, duration, grouped, plain, short_id
from vestige_tui.widgets.empty import Empty
from vestige_tui.widgets.finding_list import OUTCOMES, FindingList
from vestige_tui.widgets.job_list import CANCELLED, JobList, failed_rows, silent, standing, title
from vestige_tui.widgets.job_progress import JobProgress, Progress, Rows, TableBar
from vestige_tui.widgets.memory_card import Section
from vestige_tui.widgets.panels import Panels

SHOWN_FINDINGS = 100
INKS = {"muted": "$text-muted", "accent": "$accent", "good": "$success", "bad": "$error", "waiting": "$warning"}


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
Copies run in a process of their own: they go on when this console is closed, and every console can watch them. What a
job does is written in the store that it fills.

`enter` opens a job, again its findings: the rows that were repaired or could not be copied, each with its reason.

`x` asks the job to stop at its next checkpoint; what is written by then stays, and a second run goes on from there.
"""

    def __init__(self) -> None:
        super().__init__()
        self._findings_of: tuple[str, int] = ("", -1)

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="work"):
            yield JobList(id="list")
            with JobDetail(id="one"):
                yield Section("", id="about")
                yield JobProgress(id="bars")
                yield FindingList(id="findings")
            yield Empty(
                "No job has run yet. Copies of a store, and work that agents were given, are shown here.",
                ("c", "copy this store to PostgreSQL"),
                id="nothing",
            )

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
        self.query_one(JobList).show(jobs, self._now())
        self._paint_one()
        self.refresh_bindings()

    def _job(self) -> Job | None:
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
        word = OUTCOMES.get(finding.outcome, (plain(finding.outcome), ""))[0]
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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "cancel_job" and self.is_mounted:
            job = self._job()
            return True if job is not None and job.in_flight and not job.cancel_requested else None
        return super().check_action(action, parameters)

    def _paint_one(self) -> None:
        job = self._job()
        if job is None:
            return
        now = self._now()
        self.query_one("#about", Section).fill(lambda width: _about(job, now, width))
        bars = self.query_one(JobProgress)
        bars.progress = _progress(job, now)
        bars.display = bars.progress is not None
        tables = job.progress.tables.values()
        troubled = sum(t.failed + t.repaired + bool(t.left_behind) for t in tables) + job.progress.zero_vectors
        if (job.id, troubled) != self._findings_of:
            if job.id != self._findings_of[0]:
                self._show_findings((), 0)
            self._findings_of = (job.id, troubled)
            self._read_findings(job, troubled)

    @work(group="findings", exclusive=True, exit_on_error=False)
    async def _read_findings(self, job: Job, troubled: int) -> None:
        from vestige_tui.jobs.watch import findings

        found = await findings(self.store, job, SHOWN_FINDINGS) if troubled else ()
        more = len(found) == SHOWN_FINDINGS and troubled > len(found)
        self._show_findings(found, troubled if more else len(found))

    def _show_findings(self, found: tuple[JobFinding, ...], total: int) -> None:
        findings = self.query_one(FindingList)
        findings.show(found, total)
        findings.display = bool(found)

    @work(group="write", exit_on_error=False)
    async def action_cancel_job(self) -> None:
        from vestige_tui.jobs.watch import request_cancel

        job = self._job()
        if job is None:
            raise Usage("There is no job to stop.")
        if not job.in_flight:
            raise Usage("This job has ended already.")
        agreed = await self.app.push_screen_wait(
            Confirm(
                "Stop this job?",
                [title(job), f"{grouped(sum(t.read for t in job.progress.tables.values()))} rows read so far"],
                verb="stop it",
                notes=["It ends at its next checkpoint. What is written stays, and a second run goes on from there."],
            )
        )
        if not agreed:
            return
        if await request_cancel(self.store, job):
            self.say("The job stops at its next checkpoint.")
        else:
            self.say("The job had ended meanwhile.", severity="quiet")

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_start_copy(self) -> None:
        await copy_from(self)


def _about(job: Job, now: datetime, width: int) -> Content:
    stands = standing(job, now)
    parts = [f"attempt {job.attempt}"] if job.attempt > 1 else []
    if job.created_at is not None:
        parts.append(f"begun {ago(job.created_at, now)}")
    if not job.in_flight and job.finished_at is not None and job.created_at is not None:
        parts.append(f"took {duration((job.finished_at - job.created_at).total_seconds())}")
    if job.in_flight and job.deadline is not None:
        parts.append(f"deadline {ago(job.deadline, now)}")
    parts.append(f"id {short_id(job.id)}")
    lines = [Content.styled(cut(title(job), width), "$text bold")]
    said = f"{stands.glyph} {stands.word}"
    rest = cut("   ".join(parts), max(0, width - cells(said) - 3))
    lines.append(Content.assemble((said, INKS.get(stands.ink, "$text")), "   ", (rest, "$text-muted")))
    if job.kind != "delegation" and job.target:
        for name, url in (("from", job.source), ("to", job.target)):
            lines.append(
                Content.assemble(
                    (f"{name:<5}", "$text-disabled"), (cut(plain(below_home(url)), width - 5), "$text-muted")
                )
            )
    lines += [Content(""), *told] if (told := _told(job, now)) else []
    return Content("\n").join(lines)


def _told(job: Job, now: datetime) -> list[Content]:
    """What a person should know about how the job stands, and what they can do."""
    if (quiet := silent(job, now)) is not None:
        return [
            Content.styled(f"Its worker gave no sign for {duration(quiet)}.", "$warning"),
            Content.styled("Starting the same copy again takes it over from its last checkpoint.", "$text-muted"),
        ]
    if job.in_flight:
        return [Content.styled("It ends at its next checkpoint.", "$warning")] if job.cancel_requested else []
    again = Content.styled("Starting the same copy again goes on from its last checkpoint.", "$text-muted")
    if job.error == CANCELLED:
        return [Content.styled("A person stopped it; what was written by then stays.", "$text"), again]
    if job.status == "failed":
        return [Content.styled(plain(job.error or "It gave no reason."), "$error"), again]
    failed = failed_rows(job)
    told = []
    if failed:
        rows = "row" if failed == 1 else "rows"
        told.append(Content.styled(f"{grouped(failed)} {rows} could not be copied; the findings say why.", "$warning"))
    elif job.result and job.kind == "delegation":
        told.append(Content.styled(plain(job.result, newlines=True), "$text"))
    elif job.kind == "copy":
        told.append(Content.styled("Every row that was read is in the target.", "$text"))
    return told


def _progress(job: Job, now: datetime) -> Progress | None:
    if not job.progress.tables:
        return None
    bars = []
    for name, table in job.progress.tables.items():
        note = ""
        if table.left_behind and not table.read:
            note = f"left behind, {grouped(table.left_behind)} {'row' if table.left_behind == 1 else 'rows'}"
        elif not table.read and table.total:
            note = f"waiting, {grouped(table.total)} rows" if job.in_flight else "not begun"
        rows = Rows(table.read, table.inserted, table.present, table.repaired, table.failed)
        if table.total or table.read or table.left_behind:
            bars.append(TableBar(name, table.read, table.total, note, None if note else rows))
    age = (now - job.last_heartbeat).total_seconds() if job.last_heartbeat and job.in_flight else None
    zero = job.progress.zero_vectors
    return Progress(
        title="",
        phase=job.progress.phase if job.in_flight else "",
        tables=tuple(bars),
        rate=job.progress.rate,
        rates=job.progress.rates,
        seconds_left=job.progress.eta if job.in_flight else None,
        heartbeat_age=max(0.0, age) if age is not None else None,
        note=f"{grouped(zero)} zero {'vector is' if zero == 1 else 'vectors are'} kept, but not searched."
        if zero
        else "",
        running=job.in_flight,
    )
