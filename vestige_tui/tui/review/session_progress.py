"""How far a sitting of reviews is, and what waits beyond it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.reviews import QueueCounts
from vestige_tui.core.text import cells, grouped
from vestige_tui.tui.widgets.glyphs import REST, level

LEFT_CELLS = 17


@dataclass(frozen=True, slots=True)
class Progress:
    """Which card of how many this is (0: none yet), how many practice cards wait, and how long the rest takes."""

    at: int
    total: int
    practice: bool = False
    practice_left: int = 0
    seconds_left: float = 0.0


class SessionLine(Widget):
    """Two lines: ``12 of 37 ━━━─── about 6 min left``, and the counts of the queue, faint."""

    DEFAULT_CSS = "SittingLine { height: 2; width: 1fr; }"

    progress: reactive[Progress | None] = reactive(None)
    counts: reactive[QueueCounts | None] = reactive(None)

    def render(self) -> Content:
        return Content("\n").join([self._progress(), self._counts()])

    def _progress(self) -> Content:
        shown = self.progress
        if shown is None or not shown.total:
            return Content("")
        width = 2 * len(grouped(shown.total)) + 4
        left = f"{grouped(shown.at)} of {grouped(shown.total)}"
        if shown.practice:
            left = f"practice, {grouped(shown.practice_left)} left"
            width = max(width, cells(left))
        right = _left(shown.seconds_left)
        room = max(4, self.size.width - width - LEFT_CELLS - 4)
        done = shown.at - (0 if shown.practice else 1)
        # Not level() alone: on the first card nothing is done yet.
        full, rest = level(done / shown.total, room) if done else ("", REST * room)
        return Content.assemble(
            (f"{left:<{width}}  ", "$text"),
            (full, "$accent"),
            (rest, "$text-disabled"),
            (f"  {right:>{LEFT_CELLS}}", "$text-muted"),
        )

    def _counts(self) -> Content:
        counts = self.counts
        if counts is None:
            return Content("")
        new = grouped(counts.new_today)
        if counts.new > counts.new_today:
            new += f" of {grouped(counts.new)}"
        parts = [
            ("overdue", grouped(counts.overdue), "$warning" if counts.overdue else "$text-muted"),
            ("today", grouped(counts.today), "$text-muted"),
            ("this week", grouped(counts.week), "$text-muted"),
            ("new", new, "$text-muted"),
        ]
        pieces: list[tuple[str, str]] = []
        for word, number, ink in parts:
            pieces += [(f"{word} ", "$text-disabled"), (f"{number}   ", ink)]
        return Content.assemble(*pieces)


def _left(seconds: float) -> str:
    """At most ``LEFT_CELLS`` wide, so that the bar beside it keeps its length."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under 1 min left"
    return f"about {minutes} min left" if minutes < 100 else f"about {round(minutes / 60)} h left"
