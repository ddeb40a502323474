"""Jobs of all watched stores under four headings, two lines each: the title, and the progress or outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from textual.message import Message

from vestige_tui.core.jobs import Job
from vestige_tui.core.text import ago, cells, cut
from vestige_tui.presenters.job_progress import current_step, time_left
from vestige_tui.presenters.jobs import (
    GROUPS,
    StateLabel,
    countdown,
    deadline_in_words,
    group_of,
    heartbeat_in_words,
    is_running,
    silence_in_words,
    state_label,
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
        job, room = self._jobs[index], max(6, width - 2)
        if line == 0:
            state = state_label(job, self._now)
            ink = "text" if job.in_flight else "muted"
            return [(f"{state.glyph} ", state.ink), (fit(title(job, room), room), ink)]
        return [("  ", "muted"), *status_line(job, self._now, room)]


def status_line(job: Job, now: datetime, width: int) -> list[Piece]:
    """Return the progress or the end of a job in ``width`` cells, the time left or the deadline at the right."""
    state = state_label(job, now)
    variants, late = _status_variants(job, state, now)
    text, aside = next((variant for variant in variants if _cells(*variant) <= width), variants[-1])
    text = cut(text, width)
    pieces: list[Piece] = [(text, "muted" if state.ink == "text" else state.ink)]
    if aside and _cells(text, aside) <= width:
        pad = " " * (width - cells(text) - cells(aside))
        pieces.append((pad + aside, "waiting" if late else "muted"))
    return pieces


def _status_variants(job: Job, state: StateLabel, now: datetime) -> tuple[Sequence[tuple[str, str]], bool]:
    """Return pairs of state and time left, longest first, and whether the deadline is over."""
    if not job.in_flight:
        return _ended_variants(job, state, now), False
    if not job.is_ours:
        return _delegation_variants(job, state, now)
    if silence := silence_in_words(job, now):
        step = current_step(job)
        return ((silence, f"at {step}" if step else ""), (silence, "")), False
    text = (current_step(job) if is_running(job, now) else "") or state.word
    eta = job.progress.eta
    return ((text, time_left(eta) if eta is not None else ""), (text, "")), False


def _cells(text: str, aside: str) -> int:
    return cells(text) + (2 + cells(aside) if aside else 0)


def _ended_variants(job: Job, state: StateLabel, now: datetime) -> Sequence[tuple[str, str]]:
    when = job.finished_at or job.updated_at
    if when is None:
        return ((state.word, ""),)
    brief, since = state.brief or state.word, ago(when, now)
    variants = (f"{state.word}, {since}", f"{brief}, {since}", f"{brief}, {since.removesuffix(' ago')}")
    return tuple((variant, "") for variant in variants)


def _delegation_variants(job: Job, state: StateLabel, now: datetime) -> tuple[Sequence[tuple[str, str]], bool]:
    """Return pairs of last heartbeat and deadline of an agent's work, and whether the deadline is over."""
    remaining, late = countdown(job.deadline, now)
    due = brief = deadline_in_words(job, now)
    if remaining and not late:
        brief = f"due {_time_until(job.deadline, now)}"
    long = heartbeat_in_words(job, now) or state.word
    short = long.removesuffix(" ago")
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
