"""List of a lineage: the tree of replacements around a memory, and the decisions on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from textual.message import Message

from vestige_tui.core.links import Lineage, SupersessionEvent
from vestige_tui.core.memories import Memory
from vestige_tui.core.text import ago, cells, cut, one_line, short_id
from vestige_tui.presenters.changes import title
from vestige_tui.presenters.moments import RECORDED_LATE, decision_clause, late_events
from vestige_tui.tui.widgets.grouped_list import GroupedList
from vestige_tui.tui.widgets.lineage import tree
from vestige_tui.tui.widgets.row_list import Piece, fit

TREE, DECISIONS = "The active memory on top, below it what it replaces", "Decisions on this memory, newest first"
WHEN_CELLS = 9


@dataclass(frozen=True, slots=True)
class LineageRow:
    """Row of the list: its heading, the branch or time before the text, the text, a note behind it, and its memory."""

    heading: str
    stem: str
    text: str
    note: str
    memory_id: str | None
    here: bool = False
    other_gone: bool = False
    """True for a decision whose other memory was deleted."""


def rows_of(
    lineage: Lineage, events: Sequence[SupersessionEvent], known: Mapping[str, Memory], here: str, now: datetime
) -> Iterator[LineageRow]:
    """Yield the lines of the tree, then the decisions; ``known`` are the memories that exist, by id."""
    for stem, memory in tree(lineage):
        sign = "● " if memory.id == here else "◇ " if memory.superseded_by else "○ "
        text, note = one_line(memory.content), short_id(memory.id)
        yield LineageRow(TREE, f"{stem}{sign}", text, note, memory.id, memory.id == here)
    names = {memory.id: title(memory.content) for memory in known.values()}
    late = late_events(events)
    for event in reversed(events):
        other = event.winner_id if event.loser_id == here else event.loser_id
        gone = other is not None and other not in known
        note = ", ".join(words for words, said in ((RECORDED_LATE, event.id in late), ("deleted", gone)) if said)
        when = f"{ago(event.decided_at, now):>{WHEN_CELLS}}  "
        other_gone = gone or event.kind == "winner_deleted"
        memory_id = None if gone else other
        yield LineageRow(DECISIONS, when, decision_clause(event, names), note, memory_id, other_gone=other_gone)


class LineageList(GroupedList):
    """One line for each memory of the tree and for each decision."""

    @dataclass
    class LineageRowChosen(Message):
        """A row was opened."""

        row: LineageRow

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[LineageRow, ...] = ()

    @property
    def rows(self) -> Sequence[LineageRow]:
        return self._rows

    def show(self, rows: Iterable[LineageRow]) -> None:
        """Show the rows of a lineage."""
        self._rows = tuple(rows)
        self.group([row.heading for row in self._rows])

    def row_chosen(self) -> None:
        if self._cursor < len(self._rows):
            self.post_message(self.LineageRowChosen(self._rows[self._cursor]))

    def draw_item(self, index: int, line: int, width: int) -> Iterable[Piece]:
        row = self._rows[index]
        stem = cut(row.stem, max(4, width // 2))
        yield stem, "accent" if row.here else "muted"
        note = f"  {row.note}" if row.note else ""
        room = max(4, width - cells(stem) - cells(note))
        yield fit(row.text, room), "text"
        yield note, "waiting" if row.heading == DECISIONS else "muted"
