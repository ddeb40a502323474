"""List with rows in groups, each under a faint heading that the cursor skips."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from vestige_tui.core.text import cut, grouped
from vestige_tui.tui.widgets.row_list import Piece, RowList

GROUP_GAP_LINES = 1
"""Blank lines between two groups."""


class GroupedList(RowList):
    """RowList with groups. A subclass passes the heading of each row to ``group`` and implements ``draw_item``."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._headings: tuple[str, ...] = ()
        self._sizes: Counter[str] = Counter()
        self._tops: list[int] = [0]

    def group(self, headings: Sequence[str]) -> None:
        """Set the heading of each row; rows of one heading must be adjacent."""
        self._headings, self._sizes = tuple(headings), Counter(headings)
        self._tops = [0]
        for index in range(len(self._headings)):
            self._tops.append(self._tops[-1] + self._above(index) + self.row_height)
        self._resize_to(len(self._headings))

    def _above(self, index: int) -> int:
        """Return the number of lines above a row: its heading and the gap to the previous group."""
        if index and self._headings[index] == self._headings[index - 1]:
            return 0
        return 1 + (GROUP_GAP_LINES if index else 0)

    def first_line(self, index: int) -> int:
        """Return the first line of a row itself, below its heading."""
        return self._tops[index + 1] - self.row_height if index < len(self._headings) else 0

    def top_of(self, index: int) -> int:
        return self._tops[min(index, len(self._headings))]

    def row_on(self, line: int) -> tuple[int, int]:
        index = min(bisect_right(self._tops, line) - 1, len(self._headings))
        if index == len(self._headings):
            return index, 0
        return index, line - self._tops[index] - self._above(index)

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        if line >= 0:
            return self.draw_item(index, line, width)
        return self.draw_heading(self._headings[index], width) if line == -1 else ()

    def size_of(self, heading: str) -> int:
        """Return the number of rows under a heading."""
        return self._sizes[heading]

    def draw_heading(self, heading: str, width: int) -> Iterable[Piece]:
        """Return the line of a heading."""
        return [(cut(f"{heading}  {grouped(self._sizes[heading])}", width), "faint")]

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        """Return line ``line`` of row ``index``, as ``draw_row`` does in an ungrouped list."""
        raise NotImplementedError
