"""The jobs of all watched stores, two lines each: what it is and how far, and how it stands in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from textual.message import Message

from vestige_tui.model import Job
from vestige_tui.text import ago, cells, cut, duration, grouped, plain
from vestige_tui.widgets.job_progress import STALE_SECONDS
from vestige_tui.widgets.row_list import Ink, Piece, RowList, fit

CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands: a shape, the word for it, and its ink."""

    glyph: str
    word: str
    ink: Ink


STATES = {
    "queued": Standing("○", "waiting to start", "muted"),
    "dispatched": Standing("○", "starting", "muted"),
    "in_progress": Standing("►", "running", "accent"),
    "completed": Standing("✓", "done", "good"),
    "failed": Standing("■", "failed", "bad"),
    "stuck": Standing("◌", "stuck", "waiting"),
}


def standing(job: Job, now: datetime) -> Standing:
    """Return how a job stands, told also from its heartbeat, its errors and what the person asked of it."""
    found = STATES.get(job.status, Standing("○", plain(job.status), "muted"))
    if job.in_flight:
        if silent(job, now) is not None:
            return Standing("◌", "no sign of life", "waiting")
        return Standing("▫", "stopping", "waiting") if job.cancel_requested else found
    if job.error == CANCELLED:
        return Standing("▫", "cancelled", "muted")
    if job.status == "completed" and failed_rows(job):
        return Standing("◪", "done, but for some rows", "waiting")
    return found


def silent(job: Job, now: datetime) -> float | None:
    """Return for how many seconds a job in flight has given no sign, None while that is no reason to worry."""
    if not job.in_flight or job.last_heartbeat is None:
        return None
    seconds = (now - job.last_heartbeat).total_seconds()
    return seconds if seconds > STALE_SECONDS else None


def failed_rows(job: Job) -> int:
    """Return how many rows could not be copied."""
    return sum(table.failed for table in job.progress.tables.values())


def fraction(job: Job) -> float | None:
    """Return how much of its rows a job has read, 0..1; None while they are not counted."""
    counted = [table for table in job.progress.tables.values() if table.total is not None]
    total = sum(table.total or 0 for table in counted)
    return min(1.0, sum(table.read for table in counted) / total) if total else None


def where(url: str) -> str:
    """Return enough of a store's URL to know it again: a file's or folder's name, a server and its database."""
    scheme, _, rest = plain(url).partition(":")
    rest = rest.partition("?")[0].rstrip("/")
    if scheme in ("postgresql", "postgres"):
        host, slash, database = rest.lstrip("/").rpartition("@")[2].partition("/")
        named = host.partition(",")[0]
        first, _, domain = named.partition(".")
        return (named if domain[:1].isdigit() else first) + slash + database or "postgres"
    return rest.rsplit("/", 1)[-1] or plain(url)


def title(job: Job, *, short: bool = False) -> str:
    """Return what a job does, in a few words."""
    if job.kind == "delegation" or not job.target:
        return plain(job.task) or plain(job.kind)
    source = "" if short else f"{where(job.source)} "
    return f"{plain(job.kind)} {source}→ {where(job.target)}"


class JobList(RowList):
    """Jobs as they come, in flight first; the cursor keeps its job when others arrive above it."""

    row_height: ClassVar[int] = 2
    head_height: ClassVar[int] = 1

    @dataclass
    class JobHighlighted(Message):
        """Another job came under the cursor; None where there is none."""

        job: Job | None

    @dataclass
    class JobChosen(Message):
        """A job was opened."""

        job: Job

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._jobs: tuple[Job, ...] = ()
        self._now = datetime.now(UTC)

    @property
    def current(self) -> Job | None:
        """The job under the cursor."""
        return self._jobs[self._cursor] if self._cursor < len(self._jobs) else None

    def show(self, jobs: Sequence[Job], now: datetime) -> None:
        """Show these jobs as they stand at a moment."""
        before, line = self.current, self._cursor * self.row_height - round(self.scroll_y)
        self._jobs, self._now = tuple(jobs), now
        ids = [job.id for job in self._jobs]
        stays = before is not None and before.id in ids
        self._cursor = ids.index(before.id) if before is not None and stays else 0
        self._resize_to(len(self._jobs))
        if stays:
            self.scroll_to(y=self._cursor * self.row_height - line, animate=False, force=True)
        if self.current != before:
            self.post_message(self.JobHighlighted(self.current))

    def cursor_moved(self) -> None:
        self.post_message(self.JobHighlighted(self.current))

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.JobChosen(self.current))

    def draw_head(self, width: int) -> Iterable[Piece]:
        running = sum(job.in_flight for job in self._jobs)
        ended = len(self._jobs) - running
        said = "   ".join(filter(None, (f"{running} in flight" if running else "", f"{ended} ended" if ended else "")))
        return [(cut(said, width), "faint")]

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        job = self._jobs[index]
        stands = standing(job, self._now)
        done = fraction(job) if job.in_flight else None
        if line == 0:
            percent = f"{int(done * 100)} %" if done is not None else ""
            room = max(6, width - 2 - cells(percent) - 1)
            return [
                (f"{stands.glyph} ", stands.ink),
                (fit(title(job, short=True), room), "text" if job.in_flight else "muted"),
                (f" {percent}", "strong"),
            ]
        room = max(6, width - 2)
        pieces = [
            ("  ", "muted"),
            (cut(said := self._said(job, stands), room), stands.ink if job.in_flight else "faint"),
        ]
        left = f"{duration(job.progress.eta)} left" if job.in_flight and job.progress.eta is not None else ""
        if left and cells(said) + 2 + cells(left) <= room:
            pieces.append((" " * (room - cells(said) - cells(left)) + left, "muted"))
        return pieces

    def _said(self, job: Job, stands: Standing) -> str:
        if job.in_flight:
            quiet = silent(job, self._now)
            return f"no sign for {duration(quiet)}" if quiet is not None else stands.word
        failed = failed_rows(job)
        said = f"{grouped(failed)} failed {'row' if failed == 1 else 'rows'}" if failed else stands.word
        when = job.finished_at or job.updated_at
        return said + (f", {ago(when, self._now)}" if when is not None else "")
