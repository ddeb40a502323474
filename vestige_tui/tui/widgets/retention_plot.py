"""Recall over time in block glyphs: the forgetting curve of one memory, and the reviews due in the coming days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from vestige_tui.core.memories import Memory
from vestige_tui.core.reviews import Rating, Review, Scheduling, undone_reviews
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.text import ago, grouped
from vestige_tui.tui.widgets.glyphs import EIGHTHS, figure

TITLE, LEGEND = "recall over time", "▲ review  ▽ forgotten  ◆ due"
MIN_TITLED_LINES = 5
"""Least height of a curve with a title."""

StyledText: TypeAlias = tuple[str, str]
ColumnOf: TypeAlias = Callable[[datetime], int]


@dataclass(frozen=True, slots=True)
class Retention:
    """Data of a forgetting curve: the state after each review, oldest first, and the period shown."""

    states: tuple[Scheduling, ...]
    forgotten: tuple[datetime, ...]
    start: datetime
    end: datetime
    now: datetime
    due: datetime | None
    is_past: bool = False
    """True if ``now`` is a past moment."""

    @classmethod
    def of(cls, memory: Memory, reviews: Sequence[Review], now: datetime, *, is_past: bool = False) -> Retention | None:
        """Return the curve of a memory and its review log; None if it was never reviewed."""
        undone = undone_reviews(reviews)
        reviews_in_force = sorted((r for r in reviews if r.undoes is None and r.id not in undone), key=lambda r: r.at)
        states = [review.new for review in reviews_in_force if review.new.last_review is not None]
        latest = memory.scheduling
        if latest is not None and latest.reps > 0 and latest.last_review is not None:
            states = [state for state in states if state.last_review != latest.last_review] + [latest]
        states.sort(key=lambda state: state.last_review or now)
        if not states or states[0].last_review is None:
            return None
        due = states[-1].next_review
        first = states[0].last_review
        ahead = max(timedelta(days=3), (due - now) * 1.3 if due is not None else timedelta(0), (now - first) * 0.25)
        return cls(
            states=tuple(states),
            forgotten=tuple(r.at for r in reviews_in_force if r.rating == Rating.AGAIN),
            start=first,
            end=now + min(ahead, timedelta(days=3650)),
            now=now,
            due=due,
            is_past=is_past,
        )

    def recall(self, moment: datetime) -> float | None:
        """Return the recall at a moment, from the last review before it; None before the first."""
        state = None
        for candidate in self.states:
            if candidate.last_review is not None and candidate.last_review <= moment:
                state = candidate
        return retrievability(state, moment) if state is not None else None


def column(value: float, height: int) -> list[str]:
    """Return a bar of ``value`` 0..1 as ``height`` glyphs from top to bottom, in steps of an eighth of a line."""
    eighths = round(max(0.0, min(1.0, value)) * height * 8)
    return [EIGHTHS[max(0, min(8, eighths - 8 * line))] for line in range(height - 1, -1, -1)]


class RetentionPlot(Widget):
    """Plot of a forgetting curve: past and future, ``▲`` review, ``▽`` forgotten, ``◆`` due date."""

    DEFAULT_CSS = "RetentionPlot { height: 7; width: 1fr; }"

    def __init__(
        self, retention: Retention | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._retention = retention

    @staticmethod
    def title(width: int) -> Content:
        """Return the line above the curve, with the legend of its marks if there is room."""
        rest = width - len(TITLE) - len(LEGEND)
        legend = [(" " * rest + LEGEND, "$text-disabled")] if rest >= 2 else []
        return Content.assemble((TITLE, "$text-disabled bold"), *legend)

    def show(self, retention: Retention | None) -> None:
        """Draw another curve, or a note that there is none yet."""
        self._retention = retention
        self.refresh()

    def render(self) -> Content:
        width, height = self.size
        plot = self._retention
        if plot is None:
            return Content.styled("no curve yet: never reviewed", "$text-disabled")
        if width < 20 or height < 4:
            return Content("")
        titled = height >= MIN_TITLED_LINES
        lines = self._lines(plot, Size(width, height - 1 if titled else height))
        titles = [self.title(width)] if titled else []
        return Content("\n").join([*titles, *(Content.assemble(*line) for line in lines)])

    def _lines(self, plot: Retention, size: Size) -> list[list[StyledText]]:
        cells, rows = size.width - 5, size.height - 2
        step = (plot.end - plot.start) / max(1, cells - 1)

        def place(moment: datetime) -> int:
            return max(0, min(cells - 1, round((moment - plot.start) / step)))

        today = place(plot.now)
        # Sampled at cell ends, so that the fall and the rise of a review are in neighbouring cells.
        values = [plot.recall(plot.start + step * index) for index in range(cells)]
        lowest = min((value for value in values if value is not None), default=0.0)
        floor = max(0.0, int(lowest * 10) / 10 - 0.1)
        scaled = [None if value is None else (value - floor) / (1 - floor) for value in values]
        bars = [column(value, rows) if value is not None else [" "] * rows for value in scaled]
        titles = {0: "1.0", rows - 1: figure(floor)}
        lines: list[list[StyledText]] = []
        for row in range(rows):
            past = "".join(bar[row] for bar in bars[:today])
            ahead = "".join(bar[row] for bar in bars[today + 1 :])
            lines.append(
                [
                    (f"{titles.get(row, ''):>3} ", "$text-disabled"),
                    (past, "$text-disabled"),
                    (bars[today][row], "$accent"),
                    (ahead, "$track"),
                ]
            )
        lines.append([("    ", ""), *self._marks(plot, cells, place, today)])
        lines.append([("    ", ""), *self._moments(plot, cells, today, place)])
        return lines

    def _marks(self, plot: Retention, cells: int, place: ColumnOf, today: int) -> list[StyledText]:
        marks: dict[int, StyledText] = {}
        for state in plot.states:
            if state.last_review is not None:
                marks[place(state.last_review)] = ("▲", "$text")
        for moment in plot.forgotten:
            marks[place(moment)] = ("▽", "$warning")
        if plot.due is not None and plot.start <= plot.due <= plot.end:
            marks[place(plot.due)] = ("◆", "$warning" if plot.due <= plot.now else "$text")
        marks.setdefault(today, ("│", "$accent"))
        return [marks.get(index, ("─", "$track")) for index in range(cells)]

    def _moments(self, plot: Retention, cells: int, today: int, place: ColumnOf) -> list[StyledText]:
        words: list[tuple[int, str, str]] = [(0, ago(plot.start, plot.now), "$text-muted")]
        if plot.is_past:
            moment = f"{plot.now:%Y-%m-%d}"
            words.append((min(today - len(moment) // 2, cells - len(moment)), moment, "$warning"))
        else:
            words.append((today - 1, "now", "$accent"))
        if plot.due is not None and plot.due > plot.now:
            text = f"due {ago(plot.due, plot.now)}"
            words.append((min(place(plot.due) - 2, cells - len(text)), text, "$text-muted"))
        pieces: list[StyledText] = []
        at = 0
        for position, word, style in words:
            position = max(position, at + 2) if at else max(0, position)
            if position + len(word) > cells:
                continue
            pieces += [(" " * (position - at), ""), (word, style)]
            at = position + len(word)
        return pieces


class ForecastBars(Widget):
    """Bars of the number of memories due on each of the coming days; the first is today, with the overdue ones."""

    DEFAULT_CSS = "ForecastBars { height: 6; width: 1fr; }"

    def __init__(self, counts: Sequence[int] = (), *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._counts = tuple(counts)

    def show(self, counts: Sequence[int]) -> None:
        """Draw these counts, today first."""
        self._counts = tuple(counts)
        self.refresh()

    def render(self) -> Content:
        width, height = self.size
        top = max(self._counts, default=0)
        if not top:
            return Content.styled("nothing is due on these days", "$text-disabled")
        margin = max(3, len(grouped(top)))
        rows, cells = height - 1, width - margin - 1
        if rows < 1 or cells < len(self._counts):
            return Content("")
        day_cells = 3 if cells >= len(self._counts) * 3 else 2 if cells >= len(self._counts) * 2 else 1
        bar, gap = ("█" * (day_cells - 1), " ") if day_cells > 1 else ("█", "")
        bars = [column(max(count / top, 1 / (8 * rows)) if count else 0, rows) for count in self._counts]
        lines: list[Content] = []
        for row in range(rows):
            title = grouped(top) if row == 0 else "0" if row == rows - 1 and rows > 1 else ""
            pieces: list[StyledText] = [(f"{title:>{margin}} ", "$text-disabled")]
            for index, glyphs in enumerate(bars):
                pieces.append((glyphs[row] * len(bar) + gap, "$accent" if index == 0 else "$text-disabled"))
            lines.append(Content.assemble(*pieces))
        last = f"in {len(self._counts) - 1} d"
        room = len(self._counts) * day_cells - len("today") - len(last)
        lines.append(
            Content.assemble(" " * (margin + 1), ("today", "$accent"), " " * max(1, room), (last, "$text-disabled"))
        )
        return Content("\n").join(lines)
