"""A running job at a glance: a bar for each table, what became of the rows, how fast and for how long yet."""

from __future__ import annotations

from dataclasses import dataclass, fields

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.text import cut, duration, grouped, plain
from vestige_tui.widgets.glyphs import level, spark

STALE_SECONDS = 30


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
    """How far one table is: ``done`` of ``total`` rows, or a ``note`` (waiting, building index) instead of a bar."""

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


class JobProgress(Widget):
    """Draws a ``Progress``; figures keep their place while they grow."""

    DEFAULT_CSS = "JobProgress { height: auto; width: 1fr; }"

    progress: reactive[Progress | None] = reactive(None, layout=True)

    def render(self) -> Content:
        progress = self.progress
        if progress is None:
            return Content("")
        width = self.size.width or 80
        lines = [self._title(progress, width), Content("")]
        names = min(14, max((len(plain(bar.name)) for bar in progress.tables), default=4))
        lines += [self._bar(bar, names, width) for bar in progress.tables]
        counted = [bar for bar in progress.tables if bar.rows is not None]
        if counted:
            lines += [Content(""), *self._figures(counted, names, width)]
        lines += [Content(""), self._pulse(progress, width)]
        if progress.note:
            lines.append(Content.styled(cut(plain(progress.note), width), "$text-muted"))
        return Content("\n").join(lines)

    def _title(self, progress: Progress, width: int) -> Content:
        phase = plain(progress.phase)
        if width < 80:
            lines = (cut(plain(progress.title), width), cut(phase, width))
            return Content.assemble(lines[0], "\n", (lines[1], "$text-muted"))
        title = cut(plain(progress.title), max(8, width - len(phase) - 2))
        return Content.assemble(title, "  ", (phase, "$text-muted"))

    def _bar(self, bar: TableBar, names: int, width: int) -> Content:
        name = f"{cut(plain(bar.name), names):<{names}}  "
        if bar.note and not bar.done:
            return Content.assemble((name, "$text-muted"), (cut(plain(bar.note), width - names - 2), "$text-disabled"))
        counts = f"{grouped(bar.done):>11}" + (f" / {grouped(bar.total):<11}" if bar.total is not None else "")
        cells = max(6, min(48, width - names - 2 - 2 - 6 - 25))
        fraction = bar.done / bar.total if bar.total else 1.0
        full, rest = level(fraction, cells)
        percent = f"{int(fraction * 100):>4} %" if bar.total is not None else " " * 6
        return Content.assemble(
            (name, "$text"), (full, "$accent"), (rest, "$text-disabled"), (percent, "$text"), (counts, "$text-muted")
        )

    def _figures(self, bars: list[TableBar], names: int, width: int) -> list[Content]:
        titles = [column.name for column in fields(Rows) if width >= names + 2 + 55 or column.name != "present"]
        cells = 11 if width >= names + 2 + 11 * len(titles) else 9
        head = " " * (names + 2) + "".join(f"{title:>{cells}}" for title in titles)
        lines = [Content.styled(head, "$text-disabled")]
        for bar in bars:
            pieces: list[tuple[str, str]] = [(f"{cut(plain(bar.name), names):<{names}}  ", "$text-muted")]
            for title in titles:
                count = getattr(bar.rows, title)
                ink = "$text" if count else "$text-disabled"
                if count and title in ("failed", "repaired"):
                    ink = "$error" if title == "failed" else "$warning"
                pieces.append((f"{grouped(count) if count else '─':>{cells}}", ink))
            lines.append(Content.assemble(*pieces))
        return lines

    def _pulse(self, progress: Progress, width: int) -> Content:
        rate = f"{grouped(round(progress.rate))} rows/s" if progress.rate is not None else "─"
        pieces: list[tuple[str, str]] = [(f"{rate:<14}", "$text")]
        if width >= 70 and progress.rates:
            pieces.append((f"{spark(progress.rates, 16):<16}   ", "$accent"))
        left = f"{duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
        pieces.append((f"{left:<16}", "$text"))
        if progress.heartbeat_age is not None:
            late = progress.heartbeat_age > STALE_SECONDS
            said = f"heartbeat {duration(progress.heartbeat_age)} ago" + (", stuck?" if late else "")
            pieces.append((said, "$warning" if late else "$text-muted"))
        return Content.assemble(*pieces)
