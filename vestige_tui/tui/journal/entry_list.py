"""List of the entries of the journal, newest first: it holds those read so far, and asks for more near its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.message import Message

from vestige_tui.core.journal import UNDO, JournalLine, origin_label
from vestige_tui.core.text import AGO_CELLS, ago, cells, plain
from vestige_tui.presenters.changes import journal_sentence
from vestige_tui.tui import layout_widths
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit

NUMBER_CELLS = 5
STATE_CELLS = 9
WIDE_SOURCE_CELLS, MEDIUM_SOURCE_CELLS = 34, 18
"""Most cells of the column of consoles and commands, by the width of the terminal."""
TITLE_WIDTHS = (40, 32, 24, 16, 10, 8)
"""Cells of the texts in a sentence, the first that fits: the value behind a text must not be cut off."""
OWN = "this console"


class EntryList(RowList):
    """One line for each entry: its number, its time, its sentence, the console or command, and whether it is undone."""

    head_height: ClassVar[int] = 1

    @dataclass
    class EntryHighlighted(Message):
        """Another entry came under the cursor, or the entry has changed."""

    @dataclass
    class EntryChosen(Message):
        """An entry was opened."""

        line: JournalLine

    @dataclass
    class EndWanted(Message):
        """The user goes to the oldest entry, which may not be read yet."""

    @dataclass
    class Scrolled(Message):
        """Other rows came into view."""

    def __init__(self, origin: str, *, clock: Callable[[], datetime], id: str | None = None) -> None:
        super().__init__(id=id)
        self._origin = origin
        self._clock = clock
        self._entries: list[JournalLine] = []
        self._number_cells = NUMBER_CELLS
        self._state_cells = 0
        """Cells of the column that says what is undone or redone, with the space before it; 0 where nothing is."""
        self._longest_source = 0
        """Cells of the longest name of a console or command read so far."""

    @property
    def entries(self) -> Sequence[JournalLine]:
        """The entries read so far, newest first, without a gap."""
        return self._entries

    @property
    def current(self) -> JournalLine | None:
        """Entry under the cursor, None for an empty list."""
        return self._entries[self._cursor] if self._cursor < len(self._entries) else None

    def show(self, entries: Sequence[JournalLine]) -> None:
        """Replace the entries. The cursor keeps its entry, and the visible rows stay unless the list is at its top."""
        current, top = self.current, self.scroll_y
        self._entries = list(entries)
        self._longest_source = max([self._longest_source, *(cells(self._source(line)) for line in self._entries)])
        self._number_cells = max([self._number_cells, *(len(str(line.id)) for line in self._entries[:1])])
        if any(line.undone_by is not None for line in self._entries):
            self._state_cells = STATE_CELLS
        place = next((index for index, line in enumerate(self._entries) if current and line.id == current.id), None)
        shift = 0 if place is None else place - self._cursor
        self._resize_to(len(self._entries))
        if place is not None:
            self._cursor = place
        if shift and top > 0:
            self.scroll_to(y=top + shift, animate=False, force=True)
        self._reveal()
        self.post_message(self.EntryHighlighted())

    def cursor_moved(self) -> None:
        self.post_message(self.EntryHighlighted())

    def row_chosen(self) -> None:
        if (line := self.current) is not None:
            self.post_message(self.EntryChosen(line))

    def action_last(self) -> None:
        super().action_last()
        self.post_message(self.EndWanted())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Scrolled())

    def on_resize(self) -> None:
        super().on_resize()
        self.post_message(self.Scrolled())

    # Painting

    def _source_cells(self) -> int:
        """Return the cells of the column of consoles and commands; 0 in a narrow terminal."""
        width = self.app.size.width
        if layout_widths.is_narrow(width):
            return 0
        # Cells that it does not need are the sentences'.
        return min(WIDE_SOURCE_CELLS if layout_widths.is_wide(width) else MEDIUM_SOURCE_CELLS, self._longest_source)

    def draw_head(self, width: int) -> Iterable[Piece]:
        source = self._source_cells()
        if source:
            yield fit("entry", self._number_cells, right=True) + "  ", "head"
        yield fit("when", AGO_CELLS, right=True) + "  ", "head"
        yield fit("change", self._text_cells(width, source)), "head"
        if source:
            yield "  " + fit("by", source), "head"
        yield fit("", self._state_cells), "head"

    def _text_cells(self, width: int, source: int) -> int:
        sides = self._number_cells + 2 + source + 2 if source else 0
        return max(4, width - AGO_CELLS - 2 - self._state_cells - sides)

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        entry, source = self._entries[index], self._source_cells()
        reversed_since = entry.undone_by is not None
        if source:
            yield fit(str(entry.id), self._number_cells, right=True) + "  ", "muted"
        yield fit(ago(entry.at, self._clock()), AGO_CELLS, right=True) + "  ", "muted"
        room = self._text_cells(width, source)
        yield fit(_fitting_sentence(entry, room), room), "muted" if reversed_since else "text"
        if source:
            yield "  " + fit(self._source(entry), source), "muted"
        state = ("redone" if entry.verb == UNDO else "undone") if reversed_since else ""
        yield fit(f"  {state}", self._state_cells), "muted"

    def _source(self, entry: JournalLine) -> str:
        """Return the source of an entry, as a list names it: ``this console``, or user and origin."""
        if entry.origin is not None and entry.origin == self._origin:
            return OWN
        label = origin_label(entry.origin)
        return plain(f"{label} ({entry.actor})" if label else entry.actor)


def _fitting_sentence(entry: JournalLine, room: int) -> str:
    sentences = (journal_sentence(entry, width=width) for width in TITLE_WIDTHS)
    return next((each for each in sentences if cells(each) <= room), journal_sentence(entry, width=TITLE_WIDTHS[-1]))
