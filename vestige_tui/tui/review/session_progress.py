"""Progress of a session of reviews, and the counts of the queue beyond it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.reviews import QueueCounts
from vestige_tui.core.text import cells, grouped
from vestige_tui.tui.widgets.glyphs import REST, level

TIME_LEFT_CELLS = 17


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """Position of the current card (0: none yet), practice cards left, and estimated seconds for the rest."""

    at: int
    total: int
    practice: bool = False
    practice_left: int = 0
    seconds_left: float = 0.0


class SessionLine(Widget):
    """Two lines: ``card 12 of 37 ━━━─── about 6 min left``, and the counts of the queue, faint."""

    DEFAULT_CSS = "SessionLine { height: 2; width: 1fr; }"

    progress: reactive[SessionProgress | None] = reactive(None)
    counts: reactive[QueueCounts | None] = reactive(None)

    def render(self) -> Content:
        return Content("\n").join([self._progress(), self._counts()])

    def _progress(self) -> Content:
        progress = self.progress
        if progress is None or not progress.total:
            return Content("")
        # The card in view is not done yet, so its number is no count of the graded.
        position = f"card {grouped(progress.at)} of {grouped(progress.total)}"
        width = 2 * len(grouped(progress.total)) + len("card  of ")
        if progress.practice:
            position = f"practice, {grouped(progress.practice_left)} left"
            width = max(width, cells(position))
        time_left = _time_left(progress.seconds_left)
        room = max(4, self.size.width - width - TIME_LEFT_CELLS - 4)
        done_count = progress.at - (0 if progress.practice else 1)
        # On the first card nothing is done yet.
        full, rest = level(done_count / progress.total, room) if done_count else ("", REST * room)
        return Content.assemble(
            (f"{position:<{width}}  ", "$text"),
            (full, "$accent"),
            (rest, "$track"),
            (f"  {time_left:>{TIME_LEFT_CELLS}}", "$text-muted"),
        )

    def _counts(self) -> Content:
        counts = self.counts
        if counts is None:
            return Content("")
        new = grouped(counts.new_today)
        if counts.new > counts.new_today:
            new += f" of {grouped(counts.new)}"
        # The due and the new ones are the cards of the session, whose number stands above.
        parts = [
            ("due ", grouped(counts.due), "$text-muted"),
            (" (overdue ", grouped(counts.overdue), "$warning" if counts.overdue else "$text-muted"),
            (", today ", grouped(counts.today), "$text-muted"),
            (")   new ", new, "$text-muted"),
            ("   this week ", grouped(counts.week), "$text-muted"),
        ]
        pieces: list[tuple[str, str]] = []
        for words, number, ink in parts:
            pieces += [(words, "$text-disabled"), (number, ink)]
        return Content.assemble(*pieces)


def _time_left(seconds: float) -> str:
    """Return the time left in at most ``TIME_LEFT_CELLS`` cells, so that the bar keeps its length."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under 1 min left"
    return f"about {minutes} min left" if minutes < 100 else f"about {round(minutes / 60)} h left"
