"""Lists of the memories in one domain, and of those near its centroid that are not in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from vestige_tui.core.memories import Memory
from vestige_tui.core.search import Hit
from vestige_tui.core.text import one_line, plain
from vestige_tui.presenters.domains import similarity
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import ClearSelection, SelectRow
from vestige_tui.tui.widgets.memory_rows import MemoryRows
from vestige_tui.tui.widgets.row_list import Piece, fit

SIMILARITY_CELLS = 4
KIND_CELLS = 10
MIN_TEXT_CELLS = 34


class MemberList(MemoryRows):
    """One line for each memory: its type and its first line."""

    @dataclass
    class DomainMemoryChosen(Message):
        """A memory was opened."""

        memory_id: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._memories: tuple[Memory, ...] = ()

    def show(self, memories: Sequence[Memory], *, another: bool) -> None:
        """Replace the memories. Those of ``another`` domain are shown from the first one on."""
        self._memories = tuple(memories)
        if another:
            self._cursor = 0
            self.select_none()
        shown = {memory.id for memory in memories}
        self.deselect([memory.id for memory in self.selected if memory.id not in shown])
        self._resize_to(len(self._memories))
        self._reveal()

    def memory_at(self, index: int) -> Memory | None:
        return self._memories[index] if index < len(self._memories) else None

    def row_chosen(self) -> None:
        if (memory := self.memory_at(self._cursor)) is not None:
            self.post_message(self.DomainMemoryChosen(memory.id))

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        memory = self._memories[index]
        if width - KIND_CELLS - 2 >= MIN_TEXT_CELLS:
            yield fit(plain(memory.node_type), KIND_CELLS) + "  ", "muted"
            width -= KIND_CELLS + 2
        yield fit(one_line(memory.content), width), "text"


class NearList(MemberList):
    """Memories outside of a domain, each with its similarity to the centroid; they can be selected."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(SelectRow, ClearSelection)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._similarities: dict[str, float] = {}

    def show_hits(self, hits: Sequence[Hit], *, another: bool) -> None:
        """Replace the memories by hits of a search by the centroid."""
        self._similarities = {hit.memory.id: hit.vector_score or 0.0 for hit in hits}
        self.show([hit.memory for hit in hits], another=another)

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        value = self._similarities.get(self._memories[index].id, 0.0)
        yield ("■ " if self.is_selected(index) else "  "), "accent"
        yield fit(similarity(value), SIMILARITY_CELLS, right=True) + "  ", "muted"
        yield from super().draw_row(index, line, width - 2 - SIMILARITY_CELLS - 2)
