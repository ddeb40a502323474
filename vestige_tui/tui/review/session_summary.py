"""Widget for the summary of a session: grades, true retention, forecast; ``session_figures.py`` computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.reviews import Rating
from vestige_tui.core.text import grouped
from vestige_tui.tui.review.rating_bar import LABELS
from vestige_tui.tui.widgets.retention_plot import ForecastBars

BAR_CELLS = 24
ROOMY_LINES = 26
WIDE_CELLS = 70


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a session: ``remembered`` of ``asked`` memories reviewed before, ``expected`` by forgetting curves.

    ``holds`` is the median interval, in days, of those not forgotten, None without any.

    ``returning`` counts the memories due in each span, soonest first; ``forecast`` those of the coming days.
    """

    title: str
    grades: Mapping[Rating, int] = field(default_factory=dict)
    asked: int = 0
    remembered: int = 0
    retention: float | None = None
    expected: float = 0.0
    holds: float | None = None
    repeated: int = 0
    elsewhere: int = 0
    returning: Sequence[tuple[str, int]] = ()
    forecast: Sequence[int] = ()
    note: str = ""
    keys: Sequence[tuple[str, str]] = ()


class SessionSummary(VerticalScroll):
    """Widget for a ``Summary``; scrolls if the room is small."""

    DEFAULT_CSS = """
    SessionSummary { height: 1fr; width: 1fr; scrollbar-size-vertical: 1; }
    SessionSummary > Static { height: auto; width: 1fr; margin: 0 0 1 0; }
    SessionSummary > #summary-forecast-title, SessionSummary > #summary-keys { margin: 0; }
    SessionSummary > ForecastBars { margin: 0 0 1 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._summary: Summary | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="summary-facts", markup=False)
        yield Static(id="summary-forecast-title", markup=False)
        yield ForecastBars(id="summary-forecast")
        yield Static(id="summary-keys", markup=False)

    def show(self, summary: Summary) -> None:
        """Show a summary, scrolled to its beginning."""
        self._summary = summary
        self._lay_out()
        self.query_one("#summary-forecast-title", Static).update(
            Content.styled(f"due in the next {len(summary.forecast)} days", "$text-disabled")
        )
        bars = self.query_one("#summary-forecast", ForecastBars)
        bars.show(summary.forecast)
        self.query_one("#summary-keys", Static).update(_keys(summary.keys))
        self.scroll_home(animate=False)

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        if self._summary is not None:
            close = self.size.height < ROOMY_LINES
            facts = _facts(self._summary, close=close, narrow=self.size.width < WIDE_CELLS)
            self.query_one("#summary-facts", Static).update(facts)


def _facts(summary: Summary, *, close: bool, narrow: bool) -> Content:
    lines = [Content.styled(summary.title, "$text bold")]
    if summary.note:
        lines.append(Content.styled(summary.note, "$text-muted"))
    graded = sum(summary.grades.values())
    if graded:
        lines += [Content(""), *([_grades_line(summary.grades)] if close else [*_grades(summary.grades), Content("")])]
        lines += [*_retention(summary), *_returning(summary.returning, narrow)]
        aside = []
        if summary.repeated:
            aside.append(f"practised {grouped(summary.repeated)}")
        if summary.elsewhere:
            aside.append(f"{grouped(summary.elsewhere)} changed or graded elsewhere")
        if aside:
            lines.append(_line("also", ", ".join(aside)))
        lines += [Content(""), Content.styled(encouragement(summary), "$text")]
    return Content("\n").join(lines)


def _line(word: str, value: str) -> Content:
    return Content.assemble((f"{word:<16}", "$text-disabled"), (value, "$text-muted"))


def _grades(grades: Mapping[Rating, int]) -> list[Content]:
    most = max(grades.values(), default=0)
    widest = len(grouped(most))
    lines = []
    for rating in Rating:
        count = grades.get(rating, 0)
        bar = "━" * max(1, round(count / most * BAR_CELLS)) if count else ""
        lines.append(
            Content.assemble(
                (f"{LABELS[rating]:<16}", "$text-disabled"),
                (f"{grouped(count):>{widest}}  ", "$text"),
                (bar, "$warning" if rating == Rating.AGAIN else "$accent"),
            )
        )
    return lines


def _grades_line(grades: Mapping[Rating, int]) -> Content:
    pieces: list[tuple[str, str]] = [(f"{'grades':<16}", "$text-disabled")]
    for rating in Rating:
        pieces += [(f"{LABELS[rating]} ", "$text-muted"), (f"{grouped(grades.get(rating, 0))}   ", "$text")]
    return Content.assemble(*pieces)


def _retention(summary: Summary) -> list[Content]:
    if summary.retention is None:
        return [_line("remembered", "nothing to count: all were new")]
    share = f"{summary.retention:.0%}".replace("%", " %")
    counts = f"{grouped(summary.remembered)} of {grouped(summary.asked)}, without new ones"
    return [Content.assemble(_line("remembered", ""), (share, "$text bold"), (f"   {counts}", "$text-muted"))]


def _returning(spans: Sequence[tuple[str, int]], narrow: bool) -> list[Content]:
    gap = "  " if narrow else "   "
    text = gap.join(f"{word.removeprefix('within a ') if narrow else word} {grouped(n)}" for word, n in spans if n)
    return [_line("due", text)] if text else []


def encouragement(summary: Summary) -> str:
    """Return one sentence on the results against the expectation of the forgetting curves."""
    graded = sum(summary.grades.values())
    if not summary.asked:
        sentence = f"{_memories(graded)} now {'has' if graded == 1 else 'have'} a first due date"
    elif summary.remembered >= round(summary.expected):
        sentence = f"Predicted {summary.expected:.0f} of {grouped(summary.asked)} remembered"
        sentence += f"; actual {grouped(summary.remembered)}"
    else:
        forgotten = summary.asked - summary.remembered
        sentence = (
            "The forgotten memory returns" if forgotten == 1 else f"The {grouped(forgotten)} forgotten memories return"
        )
        sentence += " at shorter intervals"
        if summary.holds is not None:
            sentence += f"; the median interval of the remembered ones is {summary.holds:.0f} d"
    return f"{sentence}."


def _memories(count: int) -> str:
    return "1 memory" if count == 1 else f"{grouped(count)} memories"


def _keys(keys: Sequence[tuple[str, str]]) -> Content:
    pieces: list[tuple[str, str]] = []
    for key, label in keys:
        pieces += [(key, "$accent bold"), (f" {label}    ", "$text-muted")]
    return Content.assemble(*pieces)
