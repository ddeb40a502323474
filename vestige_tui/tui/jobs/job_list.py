"""The jobs of all watched stores under four headings, two lines each: what it is, and how far it is or how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from textual.message import Message

from vestige_tui.core.jobs import Job
from vestige_tui.core.text import ago, cells, cut, duration
from vestige_tui.presenters.jobs import (
    GROUPS,
    STATES,
    Standing,
    countdown,
    doing,
    group_of,
    is_ours,
    since_sign,
    standing,
    stuck_for,
    title,
)
from vestige_tui.tui.widgets.grouped_list import GroupedList
from vestige_tui.tui.widgets.row_list import Piece, fit


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
        self._jobs = tuple(sorted(jobs, key=lambda job: GROUPS.index(group_of(job, now))))
        self._now = now
        ids = [job.id for job in self._jobs]
        stays = before is not None and before.id in ids
        self._cursor = ids.index(before.id) if before is not None and stays else 0
        self.group([group_of(job, now) for job in self._jobs])
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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "choose" and not self._jobs:
            return None
        return super().check_action(action, parameters)

    def cursor_moved(self) -> None:
        self.post_message(self.JobHighlighted(self.current))

    def row_chosen(self) -> None:
        if self.current is not None:
            self.post_message(self.JobChosen(self.current))

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        job = self._jobs[index]
        stands = standing(job, self._now)
        room = max(6, width - 2)
        if line == 0:
            ink = "text" if job.in_flight else "muted"
            return [(f"{stands.glyph} ", stands.ink), (fit(title(job, room), room), ink)]
        ways, late = self._said(job, stands)
        said, aside = next((way for way in ways if _cells(*way) <= room), ways[-1])
        said = cut(said, room)
        pieces = [("  ", "muted"), (said, "muted" if stands.ink == "text" else stands.ink)]
        if aside and _cells(said, aside) <= room:
            pad = " " * (room - cells(said) - cells(aside))
            pieces.append((pad + aside, "waiting" if late else "muted"))
        return pieces

    def _said(self, job: Job, stands: Standing) -> tuple[Sequence[tuple[str, str]], bool]:
        """How a job stands and what is left of its time, in fewer and fewer words; and whether its time is over."""
        if not job.in_flight:
            return _ended(job, stands, self._now), False
        if not is_ours(job):
            return _with_agents(job, stands, self._now)
        if (quiet := job.silence(self._now)) is not None:
            done = doing(job)
            return ((f"for {duration(quiet)}", f"at {done}" if done else ""), (f"for {duration(quiet)}", "")), False
        said = (doing(job) if stands is STATES["in_progress"] else "") or stands.word
        eta = job.progress.eta
        return ((said, f"{duration(eta)} left" if eta is not None else ""), (said, "")), False


def _cells(said: str, aside: str) -> int:
    return cells(said) + (2 + cells(aside) if aside else 0)


def _ended(job: Job, stands: Standing, now: datetime) -> Sequence[tuple[str, str]]:
    when = job.finished_at or job.updated_at
    if when is None:
        return ((stands.word, ""),)
    brief, since = stands.brief or stands.word, ago(when, now)
    ways = (f"{stands.word}, {since}", f"{brief}, {since}", f"{brief}, {since.removesuffix(' ago')}")
    return tuple((way, "") for way in ways)


def _with_agents(job: Job, stands: Standing, now: datetime) -> tuple[Sequence[tuple[str, str]], bool]:
    """Work of an agent: when it gave a sign last, and until when it should be done."""
    left, late = countdown(job.deadline, now)
    due, brief = (left, left) if late else (f"due {left}", f"due {_roughly(job.deadline, now)}") if left else ("", "")
    if (stuck := stuck_for(job, now)) is not None:
        long = short = f"stuck {duration(stuck)}"
    elif (sign := since_sign(job, now)) is not None:
        long, short = f"seen {duration(sign)} ago", f"seen {duration(sign)}"
    else:
        long = short = stands.word
    ways = ((long, due), (long, brief), (short, brief))
    # What is late is said before anything else.
    return (*ways, (brief, "") if late else (long, "")), late


def _roughly(deadline: datetime | None, now: datetime) -> str:
    """What is left until a deadline, in one unit, never more than there is."""
    left = (deadline - now if deadline is not None else timedelta()).total_seconds()
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if left >= seconds:
            return f"in {int(left // seconds)} {unit}"
    return f"in {max(0, int(left))} s"
