"""Jobs of all watched stores under four headings, two lines each: the title, and the progress or outcome."""

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
    """List of jobs by group; the cursor keeps its job when others arrive above it."""

    row_height: ClassVar[int] = 2

    @dataclass
    class JobHighlighted(Message):
        """Another job came under the cursor; None for an empty list."""

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
        """Job under the cursor."""
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
        """Put the cursor on a job; return False if the list lacks it."""
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
        state = standing(job, self._now)
        room = max(6, width - 2)
        if line == 0:
            ink = "text" if job.in_flight else "muted"
            return [(f"{state.glyph} ", state.ink), (fit(title(job, room), room), ink)]
        variants, late = self._status_variants(job, state)
        text, aside = next((variant for variant in variants if _cells(*variant) <= room), variants[-1])
        text = cut(text, room)
        pieces = [("  ", "muted"), (text, "muted" if state.ink == "text" else state.ink)]
        if aside and _cells(text, aside) <= room:
            pad = " " * (room - cells(text) - cells(aside))
            pieces.append((pad + aside, "waiting" if late else "muted"))
        return pieces

    def _status_variants(self, job: Job, state: Standing) -> tuple[Sequence[tuple[str, str]], bool]:
        """Return pairs of state and time left, longest first, and whether the deadline is over."""
        if not job.in_flight:
            return _ended(job, state, self._now), False
        if not is_ours(job):
            return _with_agents(job, state, self._now)
        if (quiet := job.silence(self._now)) is not None:
            activity = doing(job)
            return (
                (f"for {duration(quiet)}", f"at {activity}" if activity else ""),
                (f"for {duration(quiet)}", ""),
            ), False
        text = (doing(job) if state is STATES["in_progress"] else "") or state.word
        eta = job.progress.eta
        return ((text, f"{duration(eta)} left" if eta is not None else ""), (text, "")), False


def _cells(text: str, aside: str) -> int:
    return cells(text) + (2 + cells(aside) if aside else 0)


def _ended(job: Job, state: Standing, now: datetime) -> Sequence[tuple[str, str]]:
    when = job.finished_at or job.updated_at
    if when is None:
        return ((state.word, ""),)
    brief, since = state.brief or state.word, ago(when, now)
    variants = (f"{state.word}, {since}", f"{brief}, {since}", f"{brief}, {since.removesuffix(' ago')}")
    return tuple((variant, "") for variant in variants)


def _with_agents(job: Job, state: Standing, now: datetime) -> tuple[Sequence[tuple[str, str]], bool]:
    """Return pairs of last heartbeat and deadline of an agent's work, and whether the deadline is over."""
    remaining, late = countdown(job.deadline, now)
    due, brief = (
        (remaining, remaining)
        if late
        else (f"due {remaining}", f"due {_time_until(job.deadline, now)}")
        if remaining
        else ("", "")
    )
    if (stuck := stuck_for(job, now)) is not None:
        long = short = f"stuck {duration(stuck)}"
    elif (sign := since_sign(job, now)) is not None:
        long, short = f"seen {duration(sign)} ago", f"seen {duration(sign)}"
    else:
        long = short = state.word
    variants = ((long, due), (long, brief), (short, brief))
    # The shortest text of late work is its deadline.
    return (*variants, (brief, "") if late else (long, "")), late


def _time_until(deadline: datetime | None, now: datetime) -> str:
    """Return the time until a deadline in one unit, rounded down."""
    remaining = (deadline - now if deadline is not None else timedelta()).total_seconds()
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if remaining >= seconds:
            return f"in {int(remaining // seconds)} {unit}"
    return f"in {max(0, int(remaining))} s"
