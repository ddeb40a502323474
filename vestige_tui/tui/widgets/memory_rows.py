"""Rows that are memories, to be selected one by one until a command acts on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from textual.actions import SkipAction
from textual.message import Message

from vestige_tui.core.memories import Memory
from vestige_tui.tui.widgets.row_list import RowList


class MemoryRows(RowList):
    """A list of memories and a selection of them. A subclass gives ``memory_at``."""

    @dataclass
    class SelectionChanged(Message):
        """The selection became ``memories``; ``cut`` where it would hold more than it can."""

        memories: tuple[Memory, ...]
        cut: bool = False

        @property
        def ids(self) -> tuple[str, ...]:
            """The ids of the selected memories."""
            return tuple(memory.id for memory in self.memories)

    def __init__(
        self, *, clock: Callable[[], datetime] | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._selected: dict[str, Memory] = {}

    def memory_at(self, index: int) -> Memory | None:
        """Return the memory of row ``index``, None while it is not here."""
        raise NotImplementedError

    @property
    def selected(self) -> tuple[Memory, ...]:
        """The selected memories, in the order in which they were selected."""
        return tuple(self._selected.values())

    @property
    def chosen_or_current(self) -> tuple[Memory, ...]:
        """What a command acts on: the selection, or without one the memory under the cursor."""
        if self._selected:
            return self.selected
        memory = self.memory_at(self._cursor)
        return (memory,) if memory is not None else ()

    @property
    def selecting(self) -> bool:
        """Whether memories that were selected are still being read, so that ``selected`` does not hold them yet."""
        return False

    def is_selected(self, index: int) -> bool:
        if not self._selected:
            return False
        memory = self.memory_at(index)
        return memory is not None and memory.id in self._selected

    def _renew(self, memories: Iterable[Memory]) -> bool:
        """Let the selection hold these memories as they are now; tells whether any of it was another before."""
        renewed = {memory.id: memory for memory in memories if self._selected.get(memory.id, memory) != memory}
        self._selected |= renewed
        return bool(renewed)

    def select_none(self) -> None:
        """Give up the selection."""
        self._selected.clear()
        self.repaint()
        self.post_message(self.SelectionChanged(()))

    def deselect(self, ids: Iterable[str]) -> None:
        """Take these memories out of the selection."""
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
