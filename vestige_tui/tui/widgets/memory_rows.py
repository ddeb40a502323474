"""List of memories with a multiple selection, on which commands act."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from textual.actions import SkipAction
from textual.message import Message

from vestige_tui.core.memories import Memory
from vestige_tui.tui.widgets.glyphs import EDITED
from vestige_tui.tui.widgets.row_list import Piece, RowList


class MemoryRows(RowList):
    """RowList of memories with a selection. A subclass implements ``memory_at``."""

    @dataclass
    class SelectionChanged(Message):
        """The selection is now ``memories``; ``cut`` if a limit has cut it.

        ``everything`` is the number of rows of a list of which all are selected without being read, else 0; ``lost``
        the number of memories that another list has taken out of the selection.
        """

        memories: tuple[Memory, ...]
        cut: bool = False
        everything: int = 0
        lost: int = 0

        @property
        def ids(self) -> tuple[str, ...]:
            """Ids of the selected memories."""
            return tuple(memory.id for memory in self.memories)

    def __init__(
        self, *, clock: Callable[[], datetime] | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._selected: dict[str, Memory] = {}
        self._edited: set[str] = set()
        """Ids of the memories whose text was another one at the past moment that is shown."""

    def memory_at(self, index: int) -> Memory | None:
        """Return the memory of row ``index``, None while it is not loaded."""
        raise NotImplementedError

    def note_edited(self, memories: Iterable[Memory], edited: Collection[str]) -> None:
        """Note which of these memories had another text at the past moment that is shown; their rows are marked."""
        self._edited.difference_update(memory.id for memory in memories)
        self._edited.update(edited)

    def edited_mark(self, memory: Memory) -> tuple[Piece, ...]:
        """Return the mark of a memory whose text was another one, two cells; nothing for the others."""
        return ((f"{EDITED.glyph} ", EDITED.ink),) if memory.id in self._edited else ()

    @property
    def selected(self) -> tuple[Memory, ...]:
        """Selected memories, in the order of their selection."""
        return tuple(self._selected.values())

    @property
    def everything(self) -> bool:
        """True if all rows of the list are selected, also those that are not read."""
        return False

    @property
    def chosen_or_current(self) -> tuple[Memory, ...]:
        """Memories that a command acts on: the selection, or the memory under the cursor; empty for ``everything``."""
        if self._selected or self.everything:
            return self.selected
        memory = self.memory_at(self._cursor)
        return (memory,) if memory is not None else ()

    @property
    def selecting(self) -> bool:
        """True while memories of the selection are still being read, so that ``selected`` lacks them."""
        return False

    def is_selected(self, index: int) -> bool:
        if not self._selected:
            return False
        memory = self.memory_at(index)
        return memory is not None and memory.id in self._selected

    def _renew(self, memories: Iterable[Memory]) -> bool:
        """Update the selected memories to these versions; return whether any of them has changed."""
        renewed = {memory.id: memory for memory in memories if self._selected.get(memory.id, memory) != memory}
        self._selected |= renewed
        return bool(renewed)

    def select_none(self) -> None:
        """Clear the selection."""
        self._selected.clear()
        self.repaint()
        self.post_message(self.SelectionChanged(()))

    def deselect(self, ids: Iterable[str]) -> None:
        """Remove these memories from the selection."""
        if any([self._selected.pop(id, None) is not None for id in ids]):
            self.repaint()
            self.post_message(self.SelectionChanged(self.selected))

    def action_toggle_selected(self) -> None:
        memory = self.memory_at(self._cursor)
        if memory is None:
            return
        if self._selected.pop(memory.id, None) is None:
            self._selected[memory.id] = memory
        self.post_message(self.SelectionChanged(self.selected))
        self.repaint()
        self.move_to(self._cursor + 1)

    def action_clear_selection(self) -> None:
        if not self._selected:
            raise SkipAction
        self.select_none()
