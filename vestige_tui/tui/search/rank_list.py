"""Ranked lists of a search's explanation, each memory with its positions in the other lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from vestige_tui.core.search import NO_TERMS, Hit, MatchTerms
from vestige_tui.core.text import cells, grouped
from vestige_tui.presenters.explanation import NONE, figure
from vestige_tui.presenters.passages import passage_parts
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit

RANK_CELLS = 4
MIN_TEXT_CELLS = 30


@dataclass(frozen=True, slots=True)
class RankRow:
    """Row of a rank list: the hit, its rank in the fused list, and whether the answer shows it."""

    hit: Hit
    place: int
    shown: bool


@dataclass(frozen=True, slots=True)
class RankColumn:
    """Column of figures: its title, its width in cells, and the text of a row."""

    title: str
    cells: int
    of: Callable[[RankRow], str]


def _rank(rank: int | None) -> str:
    return NONE if rank is None else f"#{grouped(rank)}"


FUSED_RANK = RankColumn("fused", 6, lambda row: _rank(row.place))
FUSED_SCORE = RankColumn("score", 6, lambda row: figure(row.hit.score))
TEXT_RANK = RankColumn("text", 6, lambda row: _rank(row.hit.text_rank))
TEXT_SCORE = RankColumn("score", 6, lambda row: figure(row.hit.text_score))
TEXT_NORM = RankColumn("norm", 6, lambda row: figure(row.hit.text_share))
VECTOR_RANK = RankColumn("vector", 8, lambda row: _rank(row.hit.vector_rank))
COSINE = RankColumn("cosine", 7, lambda row: figure(row.hit.vector_score, 3))
VECTOR_NORM = RankColumn("norm", 6, lambda row: figure(row.hit.vector_share))


class RankList(RowList):
    """List of two lines for each memory, text and figures; without a cursor while the memory is not in it."""

    row_height: ClassVar[int] = 2
    head_height: ClassVar[int] = 1

    @dataclass
    class RankHighlighted(Message):
        """The user moved to another memory in this list."""

        list: RankList
        memory_id: str

    @dataclass
    class RankChosen(Message):
        """A memory was opened."""

        memory_id: str

    def __init__(self, figures: Sequence[RankColumn], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._figures = tuple(figures)
        self._rows: tuple[RankRow, ...] = ()
        self._places: dict[str, int] = {}
        self._terms = NO_TERMS

    @property
    def rows(self) -> tuple[RankRow, ...]:
        """Rows of the list."""
        return self._rows

    @property
    def current(self) -> RankRow | None:
        """Row under the cursor, None without a cursor."""
        return self._rows[self._cursor] if 0 <= self._cursor < len(self._rows) else None

    def show(
        self,
        rows: Sequence[RankRow],
        figures: Sequence[RankColumn] | None = None,
        *,
        terms: MatchTerms = NO_TERMS,
    ) -> None:
        """Show these rows, and other figures if given; ``follow`` then sets the cursor.

        Each row shows the passage that matches the ``terms`` of the search.
        """
        self._terms = terms
        self._rows = tuple(rows)
        self._figures = tuple(figures) if figures is not None else self._figures
        self._places = {row.hit.memory.id: index for index, row in enumerate(self._rows)}
        self._resize_to(len(self._rows))

    def follow(self, memory_id: str | None) -> None:
        """Put the cursor on a memory without posting a message; remove it if the rows lack the memory."""
        place = self._places.get(memory_id or "")
        self._cursor = -1 if place is None else place
        if place is not None and place not in self._fully_visible:
            self._reveal(center=True)
        self.refresh()

    @property
    def _fully_visible(self) -> range:
        room = max(0, self.size.height - self.head_height)
        top = -(-round(self.scroll_y) // self.row_height)
        return range(top, (round(self.scroll_y) + room) // self.row_height)

    def on_focus(self) -> None:
        if self._cursor < 0 and self._rows:
            # A focused list needs a cursor.
            self.move_to(self._fully_visible.start)
        super().on_focus()

    def cursor_moved(self) -> None:
        if (row := self.current) is not None:
            self.post_message(self.RankHighlighted(self, row.hit.memory.id))

    def row_chosen(self) -> None:
        if (row := self.current) is not None:
            self.post_message(self.RankChosen(row.hit.memory.id))

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
            yield from self._draw_figures(row, figures)
        else:
            yield fit(grouped(index + 1), RANK_CELLS - 1, right=True) + " ", "muted"
            yield from self._draw_text(row, max(4, width - RANK_CELLS))

    def _fitting(self, width: int) -> tuple[RankColumn, ...]:
        """Return the columns that fit."""
        figures = self._figures
        while sum(each.cells for each in figures) > width:
            figures = figures[:-1]
        return figures

    @staticmethod
    def _indent(figures: Sequence[RankColumn], width: int) -> str:
        return " " * min(RANK_CELLS, width - sum(each.cells for each in figures))

    @staticmethod
    def _draw_figures(row: RankRow, figures: Sequence[RankColumn]) -> Iterable[Piece]:
        for each in figures:
            text = each.of(row)
            yield fit(text, each.cells, right=True), "faint" if text == NONE else "muted"

    def _draw_text(self, row: RankRow, room: int) -> Iterable[Piece]:
        ink = "text" if row.shown else "muted"
        for text, matched in passage_parts(row.hit.memory.content, self._terms, room):
            yield text, "match" if matched else ink
            room -= cells(text)
        yield " " * room, ink


class RankLines(RankList):
    """List of one line for each memory: its rank, as many figures as leave room for the text, and the text."""

    row_height: ClassVar[int] = 1

    def _fitting(self, width: int) -> tuple[RankColumn, ...]:
        room = width - RANK_CELLS - MIN_TEXT_CELLS
        # Ranks first; other figures only where there is room.
        columns: list[RankColumn] = []
        for each in sorted(self._figures, key=lambda each: each not in (FUSED_SCORE, TEXT_RANK, VECTOR_RANK)):
            if each.cells <= room:
                room -= each.cells
                columns.append(each)
        return tuple(sorted(columns, key=self._figures.index))

    def draw_head(self, width: int) -> Iterable[Piece]:
        yield " " * RANK_CELLS, "head"
        for each in self._fitting(width):
            yield fit(each.title, each.cells, right=True), "head"

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        row, figures = self._rows[index], self._fitting(width)
        yield fit(grouped(index + 1), RANK_CELLS - 1, right=True) + " ", "muted"
        yield from self._draw_figures(row, figures)
        yield "  ", "text"
        yield from self._draw_text(row, max(4, width - RANK_CELLS - 2 - sum(each.cells for each in figures)))
