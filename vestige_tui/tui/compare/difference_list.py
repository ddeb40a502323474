"""List of the differences between two moments, in four groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from textual.message import Message

from vestige_tui.core.history import DeletedMemory, Difference
from vestige_tui.core.memories import Memory
from vestige_tui.core.text import ago, cut, grouped, one_line
from vestige_tui.presenters.moments import GROUP_TITLES, decision_words, deletion_words
from vestige_tui.tui import layout_widths
from vestige_tui.tui.widgets.grouped_list import GroupedList
from vestige_tui.tui.widgets.row_list import Piece, fit

FACT_CELLS = {True: 44, False: 30}
"""Cells of the event of a memory, in a wide and in another terminal; in a narrow one it is left out."""
GROUP_SIGNS = {"appeared": "+", "superseded": "◇", "active_again": "●", "deleted": "-"}


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """Row of the list: its group, the text, the event, and the memory or the deleted one."""

    group: str
    text: str
    fact: str
    subject: Memory | DeletedMemory


def rows_of(difference: Difference, now: datetime) -> Iterator[DifferenceRow]:
    """Yield the rows of a difference, group by group."""
    for group, members in (("superseded", difference.superseded), ("active_again", difference.active_again)):
        for each in members:
            yield DifferenceRow(group, each.memory.content, decision_words(each.decision, now), each.memory)
    for deleted in difference.deleted:
        yield DifferenceRow("deleted", deleted.content, deletion_words(deleted, now), deleted)
    for memory in difference.appeared:
        created = f"created {ago(memory.created_at, now)}" if memory.created_at else ""
        yield DifferenceRow("appeared", memory.content, created, memory)


class DifferenceList(GroupedList):
    """One line for each memory that differs, under the headings of the groups."""

    @dataclass
    class DifferenceRowChosen(Message):
        """A row was opened."""

        row: DifferenceRow

    def __init__(self, *, clock: Callable[[], datetime], id: str | None = None) -> None:
        super().__init__(id=id)
        self._clock = clock
        self._rows: tuple[DifferenceRow, ...] = ()
        self._counts: dict[str, int] = {}

    @property
    def current(self) -> DifferenceRow | None:
        """Row under the cursor, None for an empty list."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    def show(self, difference: Difference) -> None:
        """Show a difference; the cursor stays at its row number."""
        self._rows = tuple(rows_of(difference, self._clock()))
        self._counts = {GROUP_TITLES[name]: getattr(difference.counts, name) for name in GROUP_TITLES}
        self.group([GROUP_TITLES[row.group] for row in self._rows])

    def row_chosen(self) -> None:
        if (row := self.current) is not None:
            self.post_message(self.DifferenceRowChosen(row))

    # Painting

    def draw_heading(self, heading: str, width: int) -> Iterable[Piece]:
        count, shown = self._counts.get(heading, 0), self.size_of(heading)
        more = f", the newest {grouped(shown)} shown" if count > shown else ""
        return [(cut(f"{heading}  {grouped(count)}{more}", width), "faint")]

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        row, terminal = self._rows[index], self.app.size.width
        room = 0 if layout_widths.is_narrow(terminal) else FACT_CELLS[layout_widths.is_wide(terminal)]
        gone = row.group in ("superseded", "deleted")
        yield f"{GROUP_SIGNS[row.group]} ", "muted"
        text_room = max(4, width - 2 - (room + 2 if room else 0))
        yield fit(one_line(row.text), text_room), "muted" if gone else "text"
        if room:
            yield "  " + fit(row.fact, room), "muted"
