"""The jobs of all watched stores under three headings, two lines each: what it is and how far, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from textual.message import Message

from vestige_tui.model import Job
from vestige_tui.text import ago, cells, cut, duration
from vestige_tui.widgets.grouped_list import GroupedList
from vestige_tui.widgets.job_words import (
    GROUPS,
    Standing,
    countdown,
    fraction,
    group_of,
    is_ours,
    silent,
    since_sign,
    standing,
    stuck_for,
    title,
)
from vestige_tui.widgets.row_list import Piece, fit


class JobList(GroupedList):
    """What runs, what agents are at, what is over; the cursor keeps its job when others arrive above it."""

    row_height: ClassVar[int] = 2

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
        before, line = self.current, self.first_line(self._cursor) - round(self.scroll_y)
        self._jobs = tuple(sorted(jobs, key=lambda job: GROUPS.index(group_of(job))))
        self._now = now
        ids = [job.id for job in self._jobs]
        stays = before is not None and before.id in ids
        self._cursor = ids.index(before.id) if before is not None and stays else 0
        self.group([group_of(job) for job in self._jobs])
        if stays:
            self.scroll_to(y=self.first_line(self._cursor) - line, animate=False, force=True)
        if self.current != before:
            self.post_message(self.JobHighlighted(self.current))

    def go_to(self, job_id: str) -> bool:
        """Put the cursor on a job; False where it is not here."""
        for index, job in enumerate(self._jobs):
            if job.id == job_id:
                self.move_to(index)
                return True
        return False

    def cursor_moved(self) -> None:
        self.post_message(self.JobHighlighted(self.current))

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.JobChosen(self.current))

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        job = self._jobs[index]
        stands = standing(job, self._now)
        if line == 0:
            done = fraction(job) if job.in_flight else None
            percent = f" {int(done * 100):>3} %" if done is not None else ""
            room = max(6, width - 2 - cells(percent))
            ink = "text" if job.in_flight else "muted"
            return [(f"{stands.glyph} ", stands.ink), (fit(title(job, short=True), room), ink), (percent, "strong")]
        said, aside, late = self._said(job, stands)
        room = max(6, width - 2)
        pieces = [("  ", "muted"), (cut(said, room), stands.ink if job.in_flight else "faint")]
        if aside and cells(said) + 2 + cells(aside) <= room:
            pad = " " * (room - cells(said) - cells(aside))
            pieces.append((pad + aside, "waiting" if late else "muted"))
        return pieces

    def _said(self, job: Job, stands: Standing) -> tuple[str, str, bool]:
        """How a job stands in words, what is left of its time, and whether that is nothing."""
        if not job.in_flight:
            when = job.finished_at or job.updated_at
            return stands.word + (f", {ago(when, self._now)}" if when is not None else ""), "", False
        if not is_ours(job):
            left, late = countdown(job.deadline, self._now)
            if (stuck := stuck_for(job, self._now)) is not None:
                return f"stuck {duration(stuck)}", left, late
            sign = since_sign(job, self._now)
            return f"{stands.word}, {duration(sign)}" if sign is not None else stands.word, left, late
        if (quiet := silent(job, self._now)) is not None:
            return f"no sign for {duration(quiet)}", "", False
        eta = job.progress.eta
        return stands.word, f"{duration(eta)} left" if eta is not None else "", False
