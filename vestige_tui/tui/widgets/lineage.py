"""Supersession as a tree: the active memory on top, the memories that it replaced below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content
from textual.reactive import reactive

from vestige_tui.core.links import Lineage
from vestige_tui.core.memories import Memory
from vestige_tui.core.text import cut, one_line, short_id
from vestige_tui.tui.widgets.memory_links import MARK, NO_MARK, MemoryLines

MAX_TREE_DEPTH = 40


class LineageTree(MemoryLines):
    """Tree of a ``Lineage`` with the memory of the card marked by its glyph; the others can be opened."""

    shown: reactive[tuple[Lineage, str] | None] = reactive(None, layout=True)
    """The tree, and the id of the card's memory."""

    def show(self, lineage: Lineage | None, here: str) -> None:
        """Show this tree, or hide it if nothing was replaced."""
        related = lineage is not None and bool(lineage.replaces)
        self.shown = (lineage, here) if lineage is not None and related else None
        self.marked = None
        self.set_class(related, "-filled")

    @property
    def _rows(self) -> list[tuple[str, Memory]]:
        return list(tree(self.shown[0])) if self.shown is not None else []

    @property
    def _others(self) -> list[int]:
        """Indexes of the rows of other memories than the card's."""
        here = self.shown[1] if self.shown is not None else ""
        return [index for index, (_, memory) in enumerate(self._rows) if memory.id != here]

    @property
    def targets(self) -> Sequence[str]:
        rows = self._rows
        return [rows[index][1].id for index in self._others]

    def line_of(self, index: int) -> int:
        return self._others[index] + 1

    def render(self) -> Content:
        if self.shown is None:
            return Content("")
        width, others = self.size.width or 60, self._others
        marked = others[self.marked] if self.marked is not None else None
        lines = [Content.styled("replaced memories", "$text-disabled bold")]
        lines += [
            self._line(stem, memory, memory.id == self.shown[1], index == marked, width)
            for index, (stem, memory) in enumerate(self._rows)
        ]
        return Content("\n").join(lines)

    @staticmethod
    def _line(stem: str, memory: Memory, here: bool, marked: bool, width: int) -> Content:
        tail = f"  {short_id(memory.id)}"
        text = one_line(memory.content)
        style = "$accent bold" if marked else "$text bold" if here else "$text-muted"
        return Content.assemble(
            (MARK if marked else NO_MARK, "$accent"),
            (stem, "$track"),
            ("● " if here else "○ " if memory.superseded_by is None else "◇ ", "$accent" if here else "$text-muted"),
            (cut(text, max(8, width - len(stem) - 3 - len(tail))), style),
            (tail, "$text-disabled"),
        )


def tree(lineage: Lineage) -> Iterator[tuple[str, Memory]]:
    """Yield the lines of the tree from the top: the stem before a memory, and the memory."""
    yield "", lineage.memory
    yield from _below(lineage, "", 1)


def _below(lineage: Lineage, indent: str, depth: int) -> Iterator[tuple[str, Memory]]:
    if depth > MAX_TREE_DEPTH:
        return
    for number, older in enumerate(lineage.replaces):
        last = number == len(lineage.replaces) - 1
        yield indent + ("└─ " if last else "├─ "), older.memory
        yield from _below(older, indent + ("   " if last else "│  "), depth + 1)
