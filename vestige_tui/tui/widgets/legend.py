"""Legend: every sign that the console draws, with its meaning, by the part of the screen where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vestige_tui.presenters.job_progress import count_name
from vestige_tui.presenters.jobs import STATUS_LABELS
from vestige_tui.tui.jobs.finding_list import MARKS
from vestige_tui.tui.widgets import glyphs
from vestige_tui.tui.widgets.header import STATES


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign with its meaning in a few words."""

    sign: str
    meaning: str


def legend() -> Mapping[str, Sequence[Sign]]:
    """Return the signs by heading. States and marks come from the tables that draw them, so that none is missing."""
    memories = [value for value in vars(glyphs).values() if isinstance(value, glyphs.State)]
    links = {state.partition(" ")[2]: shape for state, shape, _ in STATES.values()}
    return {
        "Memories": [
            *(Sign(state.glyph, f"{state.word}: {state.meaning}") for state in memories),
            Sign("R .95", "recall: the chance to remember it now, here 95 %"),
            Sign(f"{glyphs.FULL * 3}{glyphs.REST}", "recall as a bar; also progress"),
            Sign("●─ ├─ └─ │", "lineage: the memory in view, and those that it replaces"),
            Sign("─▶ ◀─", "link to another memory; link from another memory to this one"),
        ],
        "Forgetting curve": [
            Sign("▲", "review, remembered"),
            Sign("▽", "review, forgotten"),
            Sign("◆", "due date"),
            Sign("│", "now"),
            Sign("█", "recall; in a forecast: reviews that are due"),
        ],
        "Review": [Sign("▁", "word blanked out in the question, for you to recall")],
        "Lists": [
            Sign("▌", "row under the cursor, or pane with the focus"),
            Sign("▏", "row under the cursor, in a list that does not have the focus"),
            Sign("■", "selected row"),
            Sign("▼", "column by which the list is sorted"),
            Sign("● ○", "filter or switch: on, off"),
            Sign("─", "none"),
            Sign("…", "cut off: no room for the rest"),
        ],
        "Jobs": [
            *(Sign(label.glyph, label.word) for label in STATUS_LABELS.values()),
            Sign("◐", "waiting for a database"),
            Sign("▫", "cancelled, or being cancelled"),
            Sign("◪", "done, with failed rows or differences"),
        ],
        "Findings": [Sign(glyph, count_name(outcome)) for outcome, (glyph, _) in MARKS.items()],
        "Store and messages": [
            *(Sign(shape, f"store: {word}") for word, shape in links.items()),
            Sign("▪", "change made"),
            Sign("◐", "needs your attention"),
            Sign("■", "failure"),
            Sign("◌", "in progress"),
            Sign("►", "running, or the current step"),
        ],
        "Charts": [
            Sign(glyphs.EIGHTHS[1:], "amounts over time, scaled to the largest"),
            Sign("█ ▓ ▒ ░ ▚", "parts of a whole, named beside the bar"),
            Sign("· ░ ▒ ▓ █", "reviews of a day: none, few, some, many, most"),
        ],
    }
