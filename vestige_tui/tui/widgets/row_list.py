"""List of rows of equal height, drawn line by line: cursor, motions, mouse and scrolling for any row count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vestige_tui.core.text import cells, cut
from vestige_tui.presenters.style import Ink
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import MOTIONS, ChooseRow

Piece: TypeAlias = tuple[str, Ink]
"""Plain text and its ink."""

INKS: tuple[Ink, ...] = (
    *("text", "strong", "muted", "faint", "accent", "bad", "waiting", "good", "head", "track", "match"),
)


EDGE = "▏ "
"""Left edge of the pane that has the focus; elsewhere it marks the current row."""


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` in exactly ``width`` cells: cut, or padded on its right (or, with ``right``, on its left)."""
    text = cut(text, width)
    pad = " " * (width - cells(text))
    return pad + text if right else text + pad


class RowList(ScrollView, can_focus=True, inherit_bindings=False):
    """List of rows by number. A subclass sets ``row_height`` and ``head_height``, and draws rows and head."""

    row_height: ClassVar[int] = 1
    head_height: ClassVar[int] = 0

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"ink--{ink}" for ink in INKS} | {
        "row--cursor",
        "row--blurred",
        "row--chosen",
    }
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ChooseRow), *bindings(*MOTIONS)]

    DEFAULT_CSS = """
    RowList {
        background: $background;
        color: $foreground;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & .ink--text { color: $foreground; }
        & .ink--strong { color: $foreground; text-style: bold; }
        & .ink--muted { color: $text-muted; }
        & .ink--faint { color: $text-disabled; }
        & .ink--accent { color: $accent; }
        & .ink--bad { color: $error; }
        & .ink--waiting { color: $warning; }
        & .ink--good { color: $success; }
        & .ink--track { color: $track; }
        & .ink--head { color: $text-muted; }
        & .ink--match { color: $accent; text-style: bold underline; }
        & .row--cursor { background: $block-cursor-blurred-background; }
        & .row--blurred { background: $panel; }
        & .row--chosen { background: $accent 8%; }
        &:ansi .row--chosen { background: ansi_default; }
        &:ansi .row--cursor { text-style: bold; }
        &:nocolor .row--cursor { text-style: bold; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._count = 0
        self._cursor = 0
        self._strips: dict[tuple[int, int, int, bool, bool, bool], Strip] = {}

    # For subclasses ──────────────────────────────────────────────────────────────────────────────────────────────

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        """Return line ``line`` of row ``index``, at most ``width`` cells, without the bar on its left."""
        raise NotImplementedError

    def draw_head(self, width: int) -> Iterable[Piece]:
        """Return the line above the rows, which does not scroll."""
        return ()

    def is_selected(self, index: int) -> bool:
        """Return True if row ``index`` is selected."""
        return False

    def top_of(self, index: int) -> int:
        """Return the first line of row ``index``, its heading included; the end of the list for ``count``."""
        return index * self.row_height

    def row_on(self, line: int) -> tuple[int, int]:
        """Return the row on a line, and the line within that row; negative for a heading above it."""
        return divmod(line, self.row_height)

    def cursor_moved(self) -> None:
        """Hook: the cursor is on another row, or its row has another memory."""

    def row_chosen(self) -> None:
        """Hook: the user has opened the row under the cursor."""

    # Rows and cursor ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def count(self) -> int:
        """Number of rows."""
        return self._count

    @property
    def cursor(self) -> int:
        """Index of the row under the cursor, from 0."""
        return self._cursor

    @property
    def visible_rows(self) -> range:
        """Range of the rows that are at least partly visible."""
        height = max(0, self.size.height - self.head_height)
        top = self.row_on(round(self.scroll_y))[0]
        return range(top, min(self._count, self.row_on(round(self.scroll_y) + height - 1)[0] + 1))

    def _resize_to(self, count: int) -> None:
        self._count = count
        self._cursor = max(0, min(self._cursor, count - 1))
        self.virtual_size = Size(0, self.top_of(count) + self.head_height)
        self.repaint()

    def repaint(self) -> None:
        """Redraw every line; call it after the content of rows has changed."""
        self._strips.clear()
        self.refresh()

    def move_to(self, index: int, *, center: bool = False) -> None:
        """Put the cursor on row ``index`` (clamped) and scroll it into view."""
        if not self._count:
            return
        index = max(0, min(index, self._count - 1))
        moved = index != self._cursor
        self._cursor = index
        self._reveal(center=center)
        self.refresh()
        if moved:
            self.cursor_moved()

    def _reveal(self, *, center: bool = False) -> None:
        room = self.size.height - self.head_height
        if room <= 0:
            return
        top, bottom = self.top_of(self._cursor), self.top_of(self._cursor + 1)
        y = round(self.scroll_y)
        if center:
            y = top - (room - (bottom - top)) // 2
        elif top < y:
            y = top
        elif bottom > y + room:
            y = bottom - room
        self.scroll_to(y=y, animate=False, force=True)

    @property
    def _page(self) -> int:
        return max(1, (self.size.height - self.head_height) // self.row_height)

    def action_cursor_down(self) -> None:
        self.move_to(self._cursor + 1)

    def action_cursor_up(self) -> None:
        if self._cursor == 0:
            raise SkipAction
        self.move_to(self._cursor - 1)

    def action_half_page_down(self) -> None:
        self.move_to(self._cursor + max(1, self._page // 2))

    def action_half_page_up(self) -> None:
        self.move_to(self._cursor - max(1, self._page // 2))

    def action_page_down(self) -> None:
        self.move_to(self._cursor + self._page)

    def action_page_up(self) -> None:
        self.move_to(self._cursor - self._page)

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(self._count - 1)

    def action_choose(self) -> None:
        if self._count:
            self.row_chosen()

    # Mouse ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def row_at(self, y: int) -> int | None:
        """Return the row at line ``y`` of the widget, None in the head or below the last one."""
        if y < self.head_height:
            return None
        index = self.row_on(y - self.head_height + round(self.scroll_y))[0]
        return index if index < self._count else None

    def on_click(self, event: events.Click) -> None:
        index = self.row_at(event.y)
        if index is None:
            return
        if event.chain > 1 and index == self._cursor:
            self.row_chosen()
        else:
            self.move_to(index)

    # Painting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_resize(self) -> None:
        self._strips.clear()
        self._reveal()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def ink(self, ink: Ink, *rows: str) -> Style:
        """Return the Rich style of an ink on an ordinary row, or on one of the ``row--`` kinds."""
        return self.get_visual_style(*(f"row--{row}" for row in rows), f"ink--{ink}").rich_style

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        edge = self._edge(False)
        if y < self.head_height:
            return self._strip([edge, *self.draw_head(width - 3)], width, ())
        at = y - self.head_height + round(self.scroll_y)
        index, line = self.row_on(at)
        if index >= self._count:
            return self._strip([edge], width, ())
        is_current, selected, focused = index == self._cursor and line >= 0, self.is_selected(index), self.has_focus
        key = (index, line, width, is_current, selected, focused)
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) > 2000:
                self._strips.clear()
            rows = (
                *(("chosen",) if selected else ()),
                *((("cursor",) if focused else ("blurred",)) if is_current else ()),
            )
            strip = self._strip([self._edge(is_current), *self.draw_row(index, line, width - 3)], width, rows)
            self._strips[key] = strip
        return strip

    def _edge(self, is_current: bool) -> Piece:
        """Return the left edge of a line: in the accent while the list has the focus, wide on the current row."""
        if self.has_focus:
            return ("▌ " if is_current else EDGE), "accent"
        return (EDGE, "track") if is_current else ("  ", "text")

    def _strip(self, pieces: list[Piece], width: int, rows: tuple[str, ...]) -> Strip:
        segments = [Segment(text, self.ink(ink, *rows)) for text, ink in pieces if text]
        return Strip(segments).adjust_cell_length(width, self.ink("text", *rows))
