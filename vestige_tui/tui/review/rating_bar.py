"""Four grades of a review, each with its next date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.core.text import ago
from vestige_tui.core.times import LocalDays

LABELS = {Rating.AGAIN: "Again", Rating.HARD: "Hard", Rating.GOOD: "Good", Rating.EASY: "Easy"}


class Grade(Widget):
    """One grade: its digit, its name and its date."""

    DEFAULT_CSS = """
    Grade { width: 1fr; height: 4; content-align: center middle; text-align: center; background: $surface; }
    Grade { margin: 0 1; color: $text; border-left: outer $surface; }
    Grade:hover { background: $panel; }
    Grade.-pressed { background: $block-cursor-blurred-background; border-left: outer $accent; text-style: bold; }
    Grade:ansi { border-left: blank; }
    Grade.-pressed:ansi { border-left: outer $accent; }
    Grade:disabled { color: $text-disabled; background: $background; border-left: outer $background; }
    """

    when: reactive[str] = reactive("")

    def __init__(self, rating: Rating) -> None:
        super().__init__()
        self.rating = rating

    def render(self) -> Content:
        quiet = "$text-disabled" if self.disabled else "$text-muted"
        return Content.assemble((f"{self.rating.value} ", quiet), LABELS[self.rating], "\n", (self.when or " ", quiet))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(RatingBar.Rated(self.rating))


class RatingBar(Horizontal):
    """Four grades in a row; a click posts ``Rated``, the digits belong to the place that owns the bar."""

    DEFAULT_CSS = "RatingBar { height: auto; width: 1fr; max-width: 84; }"

    @dataclass
    class Rated(Message):
        """A grade was clicked."""

        rating: Rating

    def compose(self) -> ComposeResult:
        for rating in Rating:
            yield Grade(rating)

    def offer(
        self, states: Mapping[Rating, Scheduling] | None, now: datetime, *, exact_in: LocalDays | None = None
    ) -> None:
        """Show the next date of each grade, as ``in 19 d`` or as the local day; None before the card is revealed."""
        words: dict[Rating, str] = {}
        for rating, state in (states or {}).items():
            if state.next_review is not None:
                words[rating] = f"{exact_in.of(state.next_review)}" if exact_in else ago(state.next_review, now)
        self.say(words, enabled=states is not None)

    def say(self, words: Mapping[Rating, str], *, enabled: bool = True) -> None:
        """Show these words under the grades."""
        for grade in self.query(Grade):
            grade.remove_class("-pressed")
            grade.disabled = not enabled
            grade.when = words.get(grade.rating, "")

    def press(self, rating: Rating | None) -> None:
        """Show one grade as pressed, or none."""
        for grade in self.query(Grade):
            grade.set_class(grade.rating == rating, "-pressed")
