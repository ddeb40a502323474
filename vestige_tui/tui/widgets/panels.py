"""Scrolling column of text with the motions of every list."""

from __future__ import annotations

from typing import ClassVar

from textual.actions import SkipAction
from textual.binding import BindingType
from textual.containers import VerticalScroll

from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import MOTIONS


class Panels(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Container that scrolls as a whole; at its top, up goes to the widget above."""

    DEFAULT_CSS = """
    Panels { border-left: outer $background; }
    Panels:ansi { border-left: blank; }
    Panels:focus { border-left: outer $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings(*MOTIONS)

    def action_cursor_down(self) -> None:
        self.scroll_relative(y=1, animate=False)

    def action_cursor_up(self) -> None:
        if self.scroll_y <= 0:
            raise SkipAction
        self.scroll_relative(y=-1, animate=False)

    def action_half_page_down(self) -> None:
        self.scroll_relative(y=max(1, self.size.height // 2), animate=False)

    def action_half_page_up(self) -> None:
        self.scroll_relative(y=-max(1, self.size.height // 2), animate=False)

    def action_page_down(self) -> None:
        self.scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        self.scroll_page_up(animate=False)

    def action_first(self) -> None:
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        self.scroll_end(animate=False)
