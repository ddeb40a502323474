"""Progress of a job: the whole as one bar, rate, time left, and the outcome of each table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.jobs import LEASE_SECONDS
from vestige_tui.core.text import cells, cut, duration, grouped, plain
from vestige_tui.presenters.job_progress import (
    DIFFERENCES,
    NONE,
    count_name,
    percent,
    rate_in_words,
    sum_in_words,
    time_left,
)
from vestige_tui.tui.widgets.glyphs import level, spark

SPARK_CELLS = 16
PERCENT_CELLS = 6
MIN_BAR_CELLS, MAX_BAR_CELLS = 4, 24


@dataclass(frozen=True, slots=True)
class Column:
    """Column of counts: its title, its width in cells, and the style of counts over 0."""

    title: str
    cells: int
    style: str


COLUMNS: Mapping[str, Column] = {
    name: Column(count_name(name), cells, style)
    for name, cells, style in (
        ("encoded", 10, "$text"),
        ("inserted", 10, "$text"),
        ("present", 9, "$text"),
        ("updated", 9, "$text"),
        ("deleted", 9, "$text"),
        ("repaired", 10, "$warning"),
        ("failed", 8, "$error"),
        ("differ", 8, "$error"),
        ("only_source", 16, "$error"),
        ("only_target", 16, "$error"),
        ("differences", 13, "$error"),
    )
}
COPIED = ("inserted", "present", "repaired", "failed")
ENCODED = ("encoded", "failed")
COMPARED = DIFFERENCES
"""Three columns that ``differences``, their sum, replaces where they do not fit."""
FIRST_TO_GO = ("deleted", "updated", "present", "repaired")
LAST_TO_GO = ("inserted", "encoded", "differences", "failed")
"""Columns that are dropped last; sums of dropped columns are shown in words."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Counts of one table's rows by outcome."""

    read: int = 0
    inserted: int = 0
    present: int = 0
    repaired: int = 0
    failed: int = 0
    updated: int = 0
    deleted: int = 0
    differ: int = 0
    only_source: int = 0
    only_target: int = 0
    encoded: int = 0

    @property
    def differences(self) -> int:
        """Number of rows that differ, or are on one side only."""
        return self.differ + self.only_source + self.only_target


@dataclass(frozen=True, slots=True)
class TableBar:
    """Progress of one table: ``done`` of ``total`` rows, or a ``note`` (waiting, left behind) if none was read."""

    name: str
    done: int
    total: int | None
    note: str = ""
    rows: RowCounts | None = None


@dataclass(frozen=True, slots=True)
class JobProgressView:
    """Progress of one job: ``rate`` in rows (or another ``unit``) a second, its recent ``rates``, times in seconds."""

    title: str
    phase: str
    tables: tuple[TableBar, ...]
    rate: float | None = None
    rates: tuple[float, ...] = ()
    seconds_left: float | None = None
    heartbeat_age: float | None = None
    note: str = ""
    running: bool = True
    share: float | None = None
    """Share of the whole job that is done, 0..1; None: that of its rows."""
    columns: tuple[str, ...] = COPIED
    """Columns of the tables, by their names in ``COLUMNS``."""
    checkpoint: int | None = None
    """Number of rows that are safe: the job continues from there if its worker dies."""
    unit: str = "rows"
    """Plural noun of the counted items."""

    @property
    def stale(self) -> bool:
        """True once the last heartbeat is older than the lease, so that the figures are outdated."""
        return self.running and self.heartbeat_age is not None and self.heartbeat_age > LEASE_SECONDS

    @property
    def fraction(self) -> float | None:
        """Share of the job that is done, 0..1, of all rows if it is not known; None while they are not counted."""
        if self.share is not None:
            return self.share
        counted = [bar for bar in self.tables if bar.total is not None]
        total = sum(bar.total or 0 for bar in counted)
        return min(1.0, sum(bar.done for bar in counted) / total) if total else None


class JobProgressPanel(Widget):
    """Widget for a ``JobProgressView``; figures keep their position while they grow."""

    DEFAULT_CSS = "JobProgressPanel { height: auto; width: 1fr; }"

    progress: reactive[JobProgressView | None] = reactive(None, layout=True)

    def render(self) -> Content:
        progress = self.progress
        if progress is None:
            return Content("")
        width = self.size.width or 80
        lines = []
        if progress.title:
            lines += [Content.styled(cut(plain(progress.title), width), "$text bold"), Content("")]
        if progress.running:
            lines += [*self._whole(progress, width), Content("")]
        lines += self._tables(progress, width)
        if progress.note:
            lines += [Content(""), Content.styled(plain(progress.note), "$text-muted")]
        return Content("\n").join(lines)

    def _whole(self, progress: JobProgressView, width: int) -> list[Content]:
        """Return the bar of the whole job, with phase and heartbeat below; always the same number of lines."""
        fraction, stale = progress.fraction, progress.stale
        # The work after the last row is read has no figures.
        moves = not stale and (fraction is None or fraction < 1)
        percent_text = percent(fraction).rjust(PERCENT_CELLS)
        full, rest = level(fraction or 0.0, max(8, width - len(percent_text)))
        rate = rate_in_words(progress.rate if moves else None, progress.unit)
        left = time_left(progress.seconds_left if moves else None)
        ink = "$text" if moves else "$text-disabled"
        pulse: list[tuple[str, str]] = []
        if width >= 72:
            course = "$accent" if moves else "$track"
            pulse += [(f"{spark(progress.rates, SPARK_CELLS):<{SPARK_CELLS}}  ", course)]
        pulse += [(f"{rate:<15}", ink), (f"{left:<15}", ink)]
        if progress.heartbeat_age is not None:
            age = f"heartbeat {duration(progress.heartbeat_age)} ago"
            room = max(0, width - sum(cells(text) for text, _ in pulse))
            age = age if len(age) <= room else f"beat {duration(progress.heartbeat_age)}"
            pulse.append((age, "$warning" if stale else "$text-muted"))
        phase = plain(progress.phase) or "not started yet"
        safe = f"checkpoint at {grouped(progress.checkpoint)} {progress.unit}" if progress.checkpoint else ""
        room = width - cells(safe) - 2
        if safe and room >= 12:
            phase = cut(phase, room)
            phase += " " * (width - cells(safe) - cells(phase)) + safe
        phase = cut(phase, width)
        return [
            Content.assemble(
                (full, "$accent" if moves else "$text-muted"),
                (rest, "$track"),
                (percent_text, "$text bold" if moves else "$text-muted"),
            ),
            Content.styled(phase, "$text-muted" if moves or stale else "$text"),
            Content.assemble(*pulse),
        ]

    def _tables(self, progress: JobProgressView, width: int) -> list[Content]:
        columns = [name for name in COLUMNS if name in progress.columns]
        names = min(14, max((cells(plain(bar.name)) for bar in progress.tables), default=4))
        fixed = names + 2 + 6 + 4 + 9
        if set(COMPARED) & set(columns) and width < fixed + MIN_BAR_CELLS + 2 + _cells_of(columns):
            columns = [*(name for name in columns if name not in COMPARED), "differences"]
        for name in (*FIRST_TO_GO, *LAST_TO_GO):
            air = 2 if name in FIRST_TO_GO else 0
            if width < fixed + MIN_BAR_CELLS + air + _cells_of(columns):
                columns = [column for column in columns if column != name]
        bar_cells = max(MIN_BAR_CELLS, min(MAX_BAR_CELLS, width - fixed - _cells_of(columns)))
        titles = "".join(f"{COLUMNS[name].title:>{COLUMNS[name].cells}}" for name in columns)
        head = " " * (fixed + bar_cells) + titles
        lines = [Content.styled(head, "$text-disabled")]
        moves = progress.running and not progress.stale
        lines += [self._table(bar, names, bar_cells, columns, moves, width) for bar in progress.tables]
        if hidden := self._hidden(progress, columns):
            lines += [Content(""), Content.styled(cut(hidden, width), "$text-muted")]
        return lines

    @staticmethod
    def _table(bar: TableBar, names: int, bar_cells: int, columns: list[str], moves: bool, width: int) -> Content:
        name = cut(plain(bar.name), names)
        name += " " * (names - cells(name) + 2)
        if bar.note and not bar.done:
            return Content.assemble((name, "$text-muted"), (cut(plain(bar.note), width - names - 2), "$text-disabled"))
        fraction = min(1.0, bar.done / bar.total) if bar.total else 1.0
        full, rest = level(fraction, bar_cells)
        total = bar.total if bar.total is not None else bar.done
        pieces = [
            (name, "$text"),
            (full, "$accent" if moves and fraction < 1 else "$text-muted"),
            (rest, "$track"),
            (percent(fraction).rjust(PERCENT_CELLS), "$text" if fraction < 1 else "$text-muted"),
            (" of ", "$text-disabled"),
            (f"{grouped(total):>9}", "$text-muted"),
        ]
        for name in columns:
            column = COLUMNS[name]
            count = getattr(bar.rows, name) if bar.rows is not None else 0
            ink = column.style if count else "$text-disabled"
            pieces.append((f"{grouped(count) if count else NONE:>{column.cells}}", ink))
        return Content.assemble(*pieces)

    @staticmethod
    def _hidden(progress: JobProgressView, columns: list[str]) -> str:
        """Return the sums of the columns that did not fit, in words."""
        sums = {
            name: sum(getattr(bar.rows, name) for bar in progress.tables if bar.rows is not None)
            for name in progress.columns
            if name not in columns and not (name in COMPARED and "differences" in columns)
        }
        return "   ".join(sum_in_words(count, name) for name, count in sums.items() if count)


def _cells_of(names: list[str]) -> int:
    return sum(COLUMNS[name].cells for name in names)
