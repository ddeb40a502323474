"""The lists of a search laid open: the same memories in the order of each, with the place that they have elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from vestige_tui.core.search import Hit
from vestige_tui.core.text import grouped, one_line
from vestige_tui.presenters.explanation import NONE, around, figure
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit

RANK_CELLS = 4
LEAST_TEXT = 30


@dataclass(frozen=True, slots=True)
class Ranked:
    """One row: the hit, its place in the fused list, and whether the answer shows it."""

    hit: Hit
    place: int
    shown: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of figures: its title, its cells, and what stands there."""

    title: str
    cells: int
    of: Callable[[Ranked], str]


def _rank(rank: int | None) -> str:
    return NONE if rank is None else grouped(rank)


PLACE = Figure("place", 6, lambda row: grouped(row.place))
TOTAL = Figure("total", 6, lambda row: figure(row.hit.score))
WORDS = Figure("words", 6, lambda row: _rank(row.hit.text_rank))
SCORE = Figure("score", 6, lambda row: figure(row.hit.text_score))
WORDS_SHARE = Figure("share", 6, lambda row: figure(row.hit.text_share))
MEANING = Figure("meaning", 8, lambda row: _rank(row.hit.vector_rank))
COSINE = Figure("cosine", 7, lambda row: figure(row.hit.vector_score, 3))
MEANING_SHARE = Figure("share", 6, lambda row: figure(row.hit.vector_share))


class RankList(RowList):
    """Two lines for each memory: what it says, and its figures; the cursor can be nowhere, where the memory is not."""

    row_height: ClassVar[int] = 2
    head_height: ClassVar[int] = 1

    @dataclass
    class MemoryHighlighted(Message):
        """A person went to another memory in this list."""

        list: RankList
        memory_id: str

    @dataclass
    class MemoryChosen(Message):
        """A memory was opened."""

        memory_id: str

    def __init__(self, figures: Sequence[Figure], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._figures = tuple(figures)
        self._rows: tuple[Ranked, ...] = ()
        self._places: dict[str, int] = {}
        self._wanted = ""

    @property
    def rows(self) -> tuple[Ranked, ...]:
        """What is shown."""
        return self._rows

    @property
    def current(self) -> Ranked | None:
        """The row under the cursor; None where it is nowhere."""
        return self._rows[self._cursor] if 0 <= self._cursor < len(self._rows) else None

    def show(self, rows: Sequence[Ranked], figures: Sequence[Figure] | None = None, wanted: str = "") -> None:
        """Show these rows, and other figures where they are given; ``follow`` then says where the cursor is.

        With ``wanted``, characters that were looked for, a row shows what stands around them.
        """
        self._wanted = wanted
        self._rows = tuple(rows)
        self._figures = tuple(figures) if figures is not None else self._figures
        self._places = {row.hit.memory.id: index for index, row in enumerate(self._rows)}
        self._resize_to(len(self._rows))

    def follow(self, memory_id: str | None) -> None:
        """Put the cursor on a memory, without saying so; nowhere where it is not among the rows."""
        place = self._places.get(memory_id or "")
        self._cursor = -1 if place is None else place
        if place is not None and place not in self._wholly_seen:
            self._reveal(center=True)
        self.refresh()

    @property
    def _wholly_seen(self) -> range:
        room = max(0, self.size.height - self.head_height)
        top = -(-round(self.scroll_y) // self.row_height)
        return range(top, (round(self.scroll_y) + room) // self.row_height)

    def on_focus(self) -> None:
        if self._cursor < 0 and self._rows:
            # A person who goes to a list goes to a memory of it.
            self.move_to(self._wholly_seen.start)
        super().on_focus()

    def cursor_moved(self) -> None:
        if (row := self.current) is not None:
            self.post_message(self.MemoryHighlighted(self, row.hit.memory.id))

    def row_chosen(self) -> None:
        if (row := self.current) is not None:
            self.post_message(self.MemoryChosen(row.hit.memory.id))

    def draw_head(self, width: int) -> Iterable[Piece]:
        figures = self._fitting(width)
        yield self._indent(figures, width), "head"
        for each in figures:
            yield fit(each.title, each.cells, right=True), "head"

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        row = self._rows[index]
        if line:
            figures = self._fitting(width)
            yield self._indent(figures, width), "text"
            yield from self._drawn(row, figures)
        else:
            yield fit(grouped(index + 1), RANK_CELLS - 1, right=True) + " ", "muted"
            yield from self._said(row, max(4, width - RANK_CELLS))

    def _fitting(self, width: int) -> tuple[Figure, ...]:
        """The figures that there is room for."""
        figures = self._figures
        while sum(each.cells for each in figures) > width:
            figures = figures[:-1]
        return figures

    @staticmethod
    def _indent(figures: Sequence[Figure], width: int) -> str:
        return " " * min(RANK_CELLS, width - sum(each.cells for each in figures))

    @staticmethod
    def _drawn(row: Ranked, figures: Sequence[Figure]) -> Iterable[Piece]:
        for each in figures:
            said = each.of(row)
            yield fit(said, each.cells, right=True), "faint" if said == NONE else "muted"

    def _said(self, row: Ranked, room: int) -> Iterable[Piece]:
        content, ink = row.hit.memory.content, "text" if row.shown else "muted"
        found = around(content, self._wanted, room) if self._wanted else None
        if found is None:
            yield fit(one_line(content, room), room), ink
            return
        before, wanted, behind = found
        yield before, ink
        yield wanted, "accent"
        yield behind, ink


class RankLines(RankList):
    """One line for each memory: its place, as many of its figures as leave room for the text, and what it says."""

    row_height: ClassVar[int] = 1

    def _fitting(self, width: int) -> tuple[Figure, ...]:
        room = width - RANK_CELLS - LEAST_TEXT
        # The places are what one looks for; the figures behind them come where there is room.
        chosen: list[Figure] = []
        for each in sorted(self._figures, key=lambda each: each not in (TOTAL, WORDS, MEANING)):
            if each.cells <= room:
                room -= each.cells
                chosen.append(each)
        return tuple(sorted(chosen, key=self._figures.index))

    def draw_head(self, width: int) -> Iterable[Piece]:
        yield " " * RANK_CELLS, "head"
        for each in self._fitting(width):
            yield fit(each.title, each.cells, right=True), "head"

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        row, figures = self._rows[index], self._fitting(width)
        yield fit(grouped(index + 1), RANK_CELLS - 1, right=True) + " ", "muted"
        yield from self._drawn(row, figures)
        yield "  ", "text"
        yield from self._said(row, max(4, width - RANK_CELLS - 2 - sum(each.cells for each in figures)))
