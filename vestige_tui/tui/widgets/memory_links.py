"""Lines of the card that lead to other memories: links and neighbours, and the tree of supersession."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from vestige_tui.core.text import cells, cut, grouped, one_line, plain, short_id
from vestige_tui.tui.widgets.glyphs import figure
from vestige_tui.tui.widgets.memory_detail import MemoryDetail

SHOWN_ROWS = 12
MAX_KIND_CELLS = 12
MARK, NO_MARK = "▌", " "


class MemoryLines(Widget):
    """Titled lines, some of which stand for another memory. A click on one posts ``Opened``; one may be marked."""

    DEFAULT_CSS = """
    MemoryLines { height: auto; width: 1fr; margin: 1 0 0 0; display: none; text-wrap: nowrap; }
    MemoryLines.-filled { display: block; }
    """

    marked: reactive[int | None] = reactive(None, layout=True)
    """Index of the marked memory in ``targets``."""

    @dataclass
    class Opened(Message):
        """The user opened the memory of a line."""

        memory_id: str

    @property
    def targets(self) -> Sequence[str]:
        """Ids of the memories that can be opened, from top to bottom."""
        return ()

    def line_of(self, index: int) -> int:
        """Return the line of a target, from 0 at the title."""
        raise NotImplementedError

    def target_on(self, line: int) -> str | None:
        """Return the memory of a line, None if it stands for none."""
        return next((target for index, target in enumerate(self.targets) if self.line_of(index) == line), None)

    def on_click(self, event: events.Click) -> None:
        target = self.target_on(event.y)
        if target is not None:
            event.stop()
            self.post_message(self.Opened(target))


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Memory at the other end of a link, or further away: the weight, its way (``─▶``), its kind and its text."""

    memory_id: str
    weight: float
    arrow: str
    kind: str
    text: str


def link_rows(detail: MemoryDetail) -> tuple[LinkRow, ...]:
    """Return the memories at the other ends of the edges, then those more than one edge away; heaviest first."""
    texts = {neighbor.memory.id: one_line(neighbor.memory.content) for neighbor in detail.neighbors}
    rows: list[LinkRow] = []
    near: set[str] = set()
    for edge in detail.edges:
        out = edge.source_id == detail.memory.id
        other = edge.target_id if out else edge.source_id
        near.add(other)
        text = texts.get(other, short_id(other))
        rows.append(LinkRow(other, edge.weight, "─▶" if out else "◀─", plain(edge.edge_type), text))
    rows.sort(key=lambda row: -row.weight)
    for neighbor in detail.neighbors:
        if neighbor.memory.id not in near:
            steps = f"{neighbor.depth} steps" if neighbor.depth > 1 else ""
            rows.append(LinkRow(neighbor.memory.id, neighbor.weight, "··", steps, texts[neighbor.memory.id]))
    return tuple(rows)


class LinkList(MemoryLines):
    """Links and neighbours of a memory; those past ``SHOWN_ROWS`` are shown once one is marked, or by a click."""

    rows: reactive[tuple[LinkRow, ...]] = reactive((), layout=True)
    unfolded: reactive[bool] = reactive(False, layout=True)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._memory_id = ""

    def show(self, memory_id: str, rows: tuple[LinkRow, ...]) -> None:
        """Show the links of a memory, or hide the list if there are none."""
        self.marked = None
        self.unfolded = self.unfolded and memory_id == self._memory_id
        self._memory_id, self.rows = memory_id, rows
        self.set_class(bool(rows), "-filled")

    @property
    def targets(self) -> Sequence[str]:
        return [row.memory_id for row in self.rows]

    def line_of(self, index: int) -> int:
        return index + 1

    def watch_marked(self, marked: int | None) -> None:
        if marked is not None and marked >= SHOWN_ROWS:
            self.unfolded = True

    @property
    def _shown(self) -> tuple[LinkRow, ...]:
        return self.rows if self.unfolded else self.rows[:SHOWN_ROWS]

    def on_click(self, event: events.Click) -> None:
        if event.y == len(self._shown) + 1 and len(self._shown) < len(self.rows):
            event.stop()
            self.unfolded = True
        else:
            super().on_click(event)

    def render(self) -> Content:
        width, shown = self.size.width or 60, self._shown
        kinds = min(MAX_KIND_CELLS, max((cells(row.kind) for row in shown), default=0))
        lines = [Content.styled("links", "$text-disabled bold")]
        lines += [self._line(row, kinds, width, index == self.marked) for index, row in enumerate(shown)]
        if len(shown) < len(self.rows):
            lines.append(Content.styled(f"and {grouped(len(self.rows) - len(shown))} more", "$text-disabled"))
        return Content("\n").join(lines)

    @staticmethod
    def _line(row: LinkRow, kinds: int, width: int, marked: bool) -> Content:
        kind = cut(row.kind, kinds)
        return Content.assemble(
            (MARK if marked else NO_MARK, "$accent"),
            (f"{figure(row.weight):>3} {row.arrow} ", "$text-disabled"),
            (kind + " " * (kinds - cells(kind) + 2), "$text-muted"),
            (cut(row.text, max(8, width - kinds - 10)), "$accent bold" if marked else "$text"),
        )
