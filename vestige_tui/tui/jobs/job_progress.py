"""A job at a glance: how far it is as a whole, how fast, how long yet, and what became of the rows of each table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.jobs import LEASE_SECONDS
from vestige_tui.core.text import cells, cut, duration, grouped, plain
from vestige_tui.tui.widgets.glyphs import level, spark

SPARK_CELLS = 16
LEAST_BAR, MOST_BAR = 4, 24


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of each table: its title, the cells that it keeps, the ink where it is not 0, and how a sum is said."""

    title: str
    cells: int
    style: str
    words: str


COLUMNS: Mapping[str, Column] = {
    "encoded": Column("encoded", 10, "$text", "encoded"),
    "inserted": Column("inserted", 10, "$text", "inserted"),
    "present": Column("present", 9, "$text", "already there"),
    "updated": Column("updated", 9, "$text", "updated"),
    "deleted": Column("deleted", 9, "$text", "deleted"),
    "repaired": Column("repaired", 10, "$warning", "repaired"),
    "failed": Column("failed", 8, "$error", "failed"),
    "differ": Column("differ", 8, "$error", "differ"),
    "only_source": Column("only in source", 16, "$error", "only in source"),
    "only_target": Column("only in target", 16, "$error", "only in target"),
    "differences": Column("differences", 13, "$error", "differences"),
}
COPIED = ("inserted", "present", "repaired", "failed")
ENCODED = ("encoded", "failed")
COMPARED = ("differ", "only_source", "only_target")
"""Three figures, of which ``differences`` is the sum: it stands for them where they do not fit all."""
FIRST_TO_GO = ("deleted", "updated", "present", "repaired")
LAST_TO_GO = ("inserted", "encoded", "differences", "failed")
"""Figures that stay as long as they fit at all; what has gone is said in words."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of the rows of one table."""

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
        """How many rows differ, or are on one side only."""
        return self.differ + self.only_source + self.only_target


@dataclass(frozen=True, slots=True)
class TableBar:
    """How far one table is: ``done`` of ``total`` rows, or a ``note`` (waiting, left behind) where none was read."""

    name: str
    done: int
    total: int | None
    note: str = ""
    rows: Rows | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """One job as it stands: ``rate`` in rows (or ``what`` it counts) a second, its recent course, times in seconds."""

    title: str
    phase: str
    tables: tuple[TableBar, ...]
    rate: float | None = None
    rates: tuple[float, ...] = ()
    seconds_left: float | None = None
    heartbeat_age: float | None = None
    note: str = ""
    running: bool = True
    columns: tuple[str, ...] = COPIED
    """Which figures the tables show, by their names in ``COLUMNS``."""
    checkpoint: int | None = None
    """How many rows are safe: from there the job goes on if its worker dies."""
    what: str = "rows"
    """What it counts."""

    @property
    def stale(self) -> bool:
        """Whether its worker gave no sign for so long that its figures are of the past."""
        return self.running and self.heartbeat_age is not None and self.heartbeat_age > LEASE_SECONDS

    @property
    def fraction(self) -> float | None:
        """How much of all rows was read, 0..1; None while they are not counted."""
        counted = [bar for bar in self.tables if bar.total is not None]
        total = sum(bar.total or 0 for bar in counted)
        return min(1.0, sum(bar.done for bar in counted) / total) if total else None


class JobProgress(Widget):
    """Draws a ``Progress``; figures keep their place while they grow."""

    DEFAULT_CSS = "JobProgress { height: auto; width: 1fr; }"

    progress: reactive[Progress | None] = reactive(None, layout=True)

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

    def _whole(self, progress: Progress, width: int) -> list[Content]:
        """The job as one bar, under it what it is doing and the signs of life; always the same number of lines."""
        fraction, stale = progress.fraction, progress.stale
        # Once all rows are read, what is still to do has no figures.
        moves = not stale and (fraction is None or fraction < 1)
        said = f"{int(fraction * 100):>4} %" if fraction is not None else "   ─ %"
        full, rest = level(fraction or 0.0, max(8, width - len(said)))
        left = f"{duration(progress.seconds_left)} left" if moves and progress.seconds_left is not None else "─ left"
        rate = f"{grouped(round(progress.rate)) if moves and progress.rate is not None else '─'} {progress.what}/s"
        ink = "$text" if moves else "$text-disabled"
        pulse: list[tuple[str, str]] = []
        if width >= 72:
            course = "$accent" if moves else "$text-disabled"
            pulse += [(f"{spark(progress.rates, SPARK_CELLS):<{SPARK_CELLS}}  ", course)]
        pulse += [(f"{rate:<15}", ink), (f"{left:<15}", ink)]
        if progress.heartbeat_age is not None:
            age = f"heartbeat {duration(progress.heartbeat_age)} ago"
            room = max(0, width - sum(cells(text) for text, _ in pulse))
            age = age if len(age) <= room else f"beat {duration(progress.heartbeat_age)}"
            pulse.append((age, "$warning" if stale else "$text-muted"))
        phase = plain(progress.phase) or "not begun yet"
        safe = f"checkpoint at {grouped(progress.checkpoint)} {progress.what}" if progress.checkpoint else ""
        room = width - cells(safe) - 2
        if safe and room >= 12:
            phase = cut(phase, room)
            phase += " " * (width - cells(safe) - cells(phase)) + safe
        phase = cut(phase, width)
        return [
            Content.assemble(
                (full, "$accent" if moves else "$text-muted"),
                (rest, "$text-disabled"),
                (said, "$text bold" if moves else "$text-muted"),
            ),
            Content.styled(phase, "$text-muted" if moves or stale else "$text"),
            Content.assemble(*pulse),
        ]

    def _tables(self, progress: Progress, width: int) -> list[Content]:
        shown = [name for name in COLUMNS if name in progress.columns]
        names = min(14, max((cells(plain(bar.name)) for bar in progress.tables), default=4))
        fixed = names + 2 + 6 + 4 + 9
        if set(COMPARED) & set(shown) and width < fixed + LEAST_BAR + 2 + _cells_of(shown):
            shown = [*(name for name in shown if name not in COMPARED), "differences"]
        for name in (*FIRST_TO_GO, *LAST_TO_GO):
            air = 2 if name in FIRST_TO_GO else 0
            if width < fixed + LEAST_BAR + air + _cells_of(shown):
                shown = [column for column in shown if column != name]
        bar_cells = max(LEAST_BAR, min(MOST_BAR, width - fixed - _cells_of(shown)))
        titles = "".join(f"{COLUMNS[name].title:>{COLUMNS[name].cells}}" for name in shown)
        head = " " * (fixed + bar_cells) + titles
        lines = [Content.styled(head, "$text-disabled")]
        moves = progress.running and not progress.stale
        lines += [self._table(bar, names, bar_cells, shown, moves, width) for bar in progress.tables]
        if hidden := self._hidden(progress, shown):
            lines += [Content(""), Content.styled(cut(hidden, width), "$text-muted")]
        return lines

    @staticmethod
    def _table(bar: TableBar, names: int, bar_cells: int, shown: list[str], moves: bool, width: int) -> Content:
        name = cut(plain(bar.name), names)
        name += " " * (names - cells(name) + 2)
        if bar.note and not bar.done:
            return Content.assemble((name, "$text-muted"), (cut(plain(bar.note), width - names - 2), "$text-disabled"))
        fraction = min(1.0, bar.done / bar.total) if bar.total else 1.0
        full, rest = level(fraction, bar_cells)
        whole = bar.total if bar.total is not None else bar.done
        pieces = [
            (name, "$text"),
            (full, "$accent" if moves and fraction < 1 else "$text-muted"),
            (rest, "$text-disabled"),
            (f"{int(fraction * 100):>4} %", "$text" if fraction < 1 else "$text-muted"),
            (" of ", "$text-disabled"),
            (f"{grouped(whole):>9}", "$text-muted"),
        ]
        for name in shown:
            column = COLUMNS[name]
            count = getattr(bar.rows, name) if bar.rows is not None else 0
            ink = column.style if count else "$text-disabled"
            pieces.append((f"{grouped(count) if count else '─':>{column.cells}}", ink))
        return Content.assemble(*pieces)

    @staticmethod
    def _hidden(progress: Progress, shown: list[str]) -> str:
        """What the columns that found no room would say, in words."""
        sums = {
            name: sum(getattr(bar.rows, name) for bar in progress.tables if bar.rows is not None)
            for name in progress.columns
            if name not in shown and not (name in COMPARED and "differences" in shown)
        }
        return "   ".join(f"{grouped(count)} {COLUMNS[name].words}" for name, count in sums.items() if count)


def _cells_of(names: list[str]) -> int:
    return sum(COLUMNS[name].cells for name in names)
