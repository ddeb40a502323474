"""Supersession as a tree: the active memory on top, the memories that it replaced below it."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.links import Lineage
from vestige_tui.core.memories import Memory
from vestige_tui.core.text import cut, one_line, short_id

MAX_TREE_DEPTH = 40


class LineageTree(Widget):
    """Tree of a ``Lineage`` with one memory marked."""

    DEFAULT_CSS = "LineageTree { height: auto; width: 1fr; }"

    shown: reactive[tuple[Lineage, str] | None] = reactive(None, layout=True)
    """The tree, and the id of the marked memory."""

    def render(self) -> Content:
        if self.shown is None:
            return Content("")
        lineage, here = self.shown
        width = self.size.width or 60
        return Content("\n").join(self._line(stem, memory, memory.id == here, width) for stem, memory in tree(lineage))

    @staticmethod
    def _line(stem: str, memory: Memory, here: bool, width: int) -> Content:
        tail = f"  {short_id(memory.id)}"
        text = one_line(memory.content)
        return Content.assemble(
            (stem, "$track"),
            ("● " if here else "○ " if memory.superseded_by is None else "◇ ", "$accent" if here else "$text-muted"),
            (cut(text, max(8, width - len(stem) - 2 - len(tail))), "$text bold" if here else "$text-muted"),
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
