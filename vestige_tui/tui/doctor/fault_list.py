"""List of the kinds of fault that the doctor found, one a line: their number, and whether a fix exists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message

from vestige_tui.core.text import cells, grouped
from vestige_tui.presenters.doctor import KIND_WORDS, clause
from vestige_tui.tui import layout_widths
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit

if TYPE_CHECKING:
    from vestige_tui.core.doctor import Finding

MIN_COUNT_CELLS = 6
NOT_FIXED = "not fixed here"


class FaultList(RowList):
    """One line for each kind of fault; ``enter`` opens its examples."""

    head_height: ClassVar[int] = 1

    @dataclass
    class FaultHighlighted(Message):
        """Another kind of fault came under the cursor."""

    @dataclass
    class FaultChosen(Message):
        """A kind of fault was opened."""

        finding: Finding

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._findings: tuple[Finding, ...] = ()

    @property
    def current(self) -> Finding | None:
        """Finding under the cursor, None for an empty list."""
        return self._findings[self._cursor] if self._cursor < len(self._findings) else None

    def show(self, findings: Sequence[Finding]) -> None:
        """Replace the findings; the cursor stays on its kind of fault if that is still there."""
        kind = self.current.kind if self.current else ""
        self._findings = tuple(findings)
        self._resize_to(len(self._findings))
        self._cursor = next((row for row, each in enumerate(self._findings) if each.kind == kind), 0)
        self.repaint()
        self.post_message(self.FaultHighlighted())

    def cursor_moved(self) -> None:
        self.post_message(self.FaultHighlighted())

    def row_chosen(self) -> None:
        if (finding := self.current) is not None:
            self.post_message(self.FaultChosen(finding))

    # Painting

    def _columns(self, width: int) -> tuple[int, int, int]:
        """Return the cells of the count, of the name, and of the sentence, which a narrow terminal leaves out."""
        count = max([MIN_COUNT_CELLS, *(len(grouped(each.count)) for each in self._findings)])
        longest = max([0, *(cells(KIND_WORDS[each.kind].label) for each in self._findings)])
        end = len(NOT_FIXED) + 2 if any(not each.fixable for each in self._findings) else 0
        if layout_widths.is_narrow(self.app.size.width):
            return count, max(0, width - count - 2 - end), 0
        return count, longest, max(0, width - count - 2 - longest - 2 - end)

    def draw_head(self, width: int) -> Iterable[Piece]:
        count, name, sentence = self._columns(width)
        yield f"{fit('count', count, right=True)}  {fit('fault', name)}", "faint"
        if sentence:
            yield f"  {fit('problem', sentence)}", "faint"

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        finding = self._findings[index]
        count, name, sentence = self._columns(width)
        yield fit(grouped(finding.count), count, right=True) + "  ", "muted"
        yield fit(KIND_WORDS[finding.kind].label, name), "text"
        if sentence:
            yield "  " + fit(clause(finding), sentence), "muted"
        if not finding.fixable:
            yield f"  {NOT_FIXED}", "waiting"
