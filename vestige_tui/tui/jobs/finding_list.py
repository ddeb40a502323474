"""Findings of a job, by outcome and table: the row, and the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from vestige_tui.core.jobs import JobFinding
from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.presenters.job_progress import count_name
from vestige_tui.presenters.style import Ink
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.jobs import LeaveJob
from vestige_tui.tui.commands.lists import ChooseRow
from vestige_tui.tui.widgets.grouped_list import GroupedList
from vestige_tui.tui.widgets.row_list import Piece, fit

MARKS: Mapping[str, tuple[str, Ink]] = {
    "failed": ("■", "bad"),
    "repaired": ("◪", "waiting"),
    "left_behind": ("□", "muted"),
    "zero_vector": ("○", "muted"),
    "differs": ("◪", "bad"),
    "only_source": ("◧", "bad"),
    "only_target": ("◨", "bad"),
    "updated": ("▪", "muted"),
    "deleted": ("▫", "muted"),
}
"""Glyph and ink of each outcome."""
MIN_KEY_CELLS, MIN_REASON_CELLS = 8, 28
FOOT_LINES = 1
_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def outcome_heading(outcome: str) -> tuple[str, Ink]:
    """Return an outcome with its glyph, and its ink."""
    glyph, ink = MARKS.get(outcome, ("", "muted"))
    return f"{glyph} {count_name(outcome)}".lstrip(), ink


def short_key(finding: JobFinding) -> str:
    """Return the row key of a finding, with each id cut to its first eight characters."""
    return _UUID.sub(r"\1", plain(finding.source_key))


class FindingList(GroupedList):
    """List of findings, one a line, under a heading for each outcome and table; a finding opens in full.

    It is as high as its rows, and its parent scrolls. With ``more`` it says that findings are missing, and posts
    ``MoreWanted`` once the cursor is on the last one.
    """

    head_height: ClassVar[int] = 1
    BINDINGS: ClassVar[list[BindingType]] = bindings(ChooseRow, LeaveJob)
    DEFAULT_CSS = "FindingList { height: auto; overflow-y: hidden; }"

    @dataclass
    class FindingChosen(Message):
        """A finding was opened."""

        finding: JobFinding

    @dataclass
    class MoreWanted(Message):
        """The cursor reached the last finding shown, and there are more."""

        shown_count: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._findings: tuple[JobFinding, ...] = ()
        self._key_cells: dict[str, int] = {}
        self._counts = ""
        self._more = False

    def show(self, findings: Sequence[JobFinding], counts: str = "", *, more: bool = False) -> None:
        """Show these findings; ``counts`` are their numbers by kind in words; with ``more`` these are not all."""
        before = self._findings[self._cursor] if self._cursor < len(self._findings) else None
        places: dict[str, int] = {}
        for finding in findings:
            places.setdefault(_heading(finding), len(places))
        self._findings = tuple(sorted(findings, key=lambda finding: places[_heading(finding)]))
        self._counts, self._more = counts, more
        self._key_cells = dict.fromkeys(places, MIN_KEY_CELLS)
        for finding in self._findings:
            heading = _heading(finding)
            self._key_cells[heading] = max(self._key_cells[heading], cells(short_key(finding)))
        if before is not None and before in self._findings:
            self._cursor = self._findings.index(before)
        self.group([_heading(finding) for finding in self._findings])
        self.styles.height = self.head_height + self.top_of(len(self._findings)) + (FOOT_LINES if more else 0)

    def cursor_moved(self) -> None:
        if self._more and self._cursor == len(self._findings) - 1:
            self.post_message(self.MoreWanted(len(self._findings)))

    def row_chosen(self) -> None:
        self.post_message(self.FindingChosen(self._findings[self._cursor]))

    # Scrolling of the parent

    def on_focus(self) -> None:
        self.call_after_refresh(self._reveal)

    @property
    def _page(self) -> int:
        return max(1, self.parent.size.height - 1) if isinstance(self.parent, Widget) else super()._page

    def _reveal(self, *, center: bool = False) -> None:
        panel = self.parent
        # Without the focus, the panel stays on the text of the job.
        if not isinstance(panel, Widget) or not self._findings or not self.has_focus:
            return
        # The heading is scrolled into view too, and with the first finding the head of the list.
        top = 0 if self._cursor == 0 else self.head_height + self.top_of(self._cursor)
        bottom = self.head_height + self.top_of(self._cursor + 1)
        if self._more and self._cursor == len(self._findings) - 1:
            bottom += FOOT_LINES
        x, y = self.virtual_region.offset
        panel.scroll_to_region(Region(x, y + top, 1, bottom - top), animate=False, force=True)

    # Painting

    def draw_head(self, width: int) -> Iterable[Piece]:
        text = "   ".join(filter(None, ("findings", self._counts, self._more_note)))
        return [(cut(text, width), "faint")]

    @property
    def _more_note(self) -> str:
        return f"first {grouped(len(self._findings))} shown, G loads more" if self._more else ""

    def render_line(self, y: int) -> Strip:
        if self._more and y == self.head_height + self.top_of(len(self._findings)):
            # Repeated at the end, where the head is out of view.
            width = self.scrollable_content_region.width
            return self._strip([("  ", "faint"), (cut(self._more_note, width - 3), "faint")], width, ())
        return super().render_line(y)

    def draw_heading(self, heading: str, width: int) -> Iterable[Piece]:
        finding = next(each for each in self._findings if _heading(each) == heading)
        word, ink = outcome_heading(finding.outcome)
        # The size of a group is unknown until all findings are loaded.
        count = "" if self._more else f"  {grouped(self.size_of(heading))}"
        return [(word, ink), (cut(f"   {plain(finding.subject)}{count}", width - cells(word)), "muted")]

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        finding = self._findings[index]
        room = max(MIN_KEY_CELLS, width - 2 - min(MIN_REASON_CELLS, cells(plain(finding.reason))))
        key = fit(short_key(finding), min(self._key_cells[_heading(finding)], room))
        return [(key + "  ", "text"), (fit(plain(finding.reason), max(4, width - cells(key) - 2)), "muted")]


def _heading(finding: JobFinding) -> str:
    return f"{finding.outcome} {finding.subject}"
