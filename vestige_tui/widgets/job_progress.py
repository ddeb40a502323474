"""A job at a glance: how far it is as a whole, how fast, how long yet, and what became of the rows of each table."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.text import cells, cut, duration, grouped, plain
from vestige_tui.widgets.glyphs import level, spark

STALE_SECONDS = 30
SPARK_CELLS = 16
LEAST_BAR, MOST_BAR = 4, 24
COLUMNS = (("inserted", 10), ("present", 9), ("repaired", 10), ("failed", 8))
"""What became of rows, with the cells that each figure keeps."""
FIRST_TO_GO = ("present", "repaired")


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of the rows of one table."""

    read: int = 0
    inserted: int = 0
    present: int = 0
    repaired: int = 0
    failed: int = 0


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
    """One job as it stands: ``rate`` in rows a second, ``rates`` its recent course, times in seconds."""

    title: str
    phase: str
    tables: tuple[TableBar, ...]
    rate: float | None = None
    rates: tuple[float, ...] = ()
    seconds_left: float | None = None
    heartbeat_age: float | None = None
    note: str = ""
    running: bool = True

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
        fraction = progress.fraction
        said = f"{int(fraction * 100):>4} %" if fraction is not None else "   ─ %"
        full, rest = level(fraction or 0.0, max(8, width - len(said)))
        left = f"{duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
        rate = f"{grouped(round(progress.rate))} rows/s" if progress.rate is not None else ""
        pulse: list[tuple[str, str]] = []
        if width >= 72:
            pulse += [(f"{spark(progress.rates, SPARK_CELLS):<{SPARK_CELLS}}  ", "$accent")]
        pulse += [(f"{rate:<15}", "$text"), (f"{left:<15}", "$text")]
        if progress.heartbeat_age is not None:
            late = progress.heartbeat_age > STALE_SECONDS
            age = f"heartbeat {duration(progress.heartbeat_age)} ago"
            room = max(0, width - sum(cells(text) for text, _ in pulse))
            age = age if len(age) <= room else f"beat {duration(progress.heartbeat_age)}"
            pulse.append((age, "$warning" if late else "$text-muted"))
        phase = cut(plain(progress.phase) or "not begun yet", width)
        return [
            Content.assemble((full, "$accent"), (rest, "$text-disabled"), (said, "$text bold")),
            Content.styled(phase, "$text-muted"),
            Content.assemble(*pulse),
        ]

    def _tables(self, progress: Progress, width: int) -> list[Content]:
        shown = list(COLUMNS)
        names = min(14, max((cells(plain(bar.name)) for bar in progress.tables), default=4))
        fixed = names + 2 + 6 + 4 + 9
        for name in FIRST_TO_GO:
            if width < fixed + LEAST_BAR + 2 + sum(size for _, size in shown):
                shown = [column for column in shown if column[0] != name]
        bar_cells = max(LEAST_BAR, min(MOST_BAR, width - fixed - sum(size for _, size in shown)))
        head = " " * (fixed + bar_cells) + "".join(f"{name:>{size}}" for name, size in shown)
        lines = [Content.styled(head, "$text-disabled")]
        lines += [self._table(bar, names, bar_cells, shown, progress.running, width) for bar in progress.tables]
        if hidden := self._hidden(progress, [name for name, _ in shown]):
            lines += [Content(""), Content.styled(cut(hidden, width), "$text-muted")]
        return lines

    @staticmethod
    def _table(
        bar: TableBar, names: int, bar_cells: int, shown: list[tuple[str, int]], running: bool, width: int
    ) -> Content:
        name = cut(plain(bar.name), names)
        name += " " * (names - cells(name) + 2)
        if bar.note and not bar.done:
            return Content.assemble((name, "$text-muted"), (cut(plain(bar.note), width - names - 2), "$text-disabled"))
        fraction = min(1.0, bar.done / bar.total) if bar.total else 1.0
        full, rest = level(fraction, bar_cells)
        whole = bar.total if bar.total is not None else bar.done
        pieces = [
            (name, "$text"),
            (full, "$accent" if running and fraction < 1 else "$text-muted"),
            (rest, "$text-disabled"),
            (f"{int(fraction * 100):>4} %", "$text" if fraction < 1 else "$text-muted"),
            (" of ", "$text-disabled"),
            (f"{grouped(whole):>9}", "$text-muted"),
        ]
        for title, size in shown:
            count = getattr(bar.rows, title) if bar.rows is not None else 0
            ink = "$text" if count else "$text-disabled"
            if count and title in ("failed", "repaired"):
                ink = "$error" if title == "failed" else "$warning"
            pieces.append((f"{grouped(count) if count else '─':>{size}}", ink))
        return Content.assemble(*pieces)

    @staticmethod
    def _hidden(progress: Progress, shown: list[str]) -> str:
        """What the columns that found no room would say, in words."""
        words = {"present": "already there", "repaired": "repaired"}
        sums = {name: sum(getattr(bar.rows, name) for bar in progress.tables if bar.rows is not None) for name in words}
        return "   ".join(
            f"{grouped(count)} {words[name]}" for name, count in sums.items() if count and name not in shown
        )
