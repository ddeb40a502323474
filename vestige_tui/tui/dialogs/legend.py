"""The legend of signs, over any screen."""

from __future__ import annotations

from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.text import cells
from vestige_tui.tui.commands.everywhere import ShowLegend
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.widgets.legend import legend
from vestige_tui.tui.widgets.panels import Panels

GAP_CELLS = 2


class LegendScreen(Dialog[None]):
    """Every sign with its meaning; the key that opened it closes it."""

    DEFAULT_CSS = """
    LegendScreen #sheet { width: 76; height: 88%; max-height: 88%; }
    LegendScreen #sheet-rows { height: 1fr; max-height: 100%; background: $panel; padding: 0 1 0 0; }
    LegendScreen.-narrow #sheet { width: 100%; max-width: 100%; height: 100%; max-height: 100%; padding: 0 1; }
    LegendScreen.-narrow #sheet-title { margin: 0; }
    LegendScreen.-narrow #sheet-keys { height: 1; padding: 0; }
    LegendScreen.-narrow #sheet-rows { max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding(ShowLegend.key, "leave", "close", id=ShowLegend.id, show=False)]

    def __init__(self) -> None:
        super().__init__("Legend of signs", (("↑↓", "scroll"), ("esc", "back")))

    def compose_body(self) -> ComposeResult:
        with Panels(id="sheet-rows"):
            yield LegendSheet(markup=False)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()


class LegendSheet(Static):
    """Signs in one column, meanings in the next."""

    def render(self) -> Content:
        width = self.size.width or 60
        signs = legend()
        sign_cells = max(cells(each.sign) for group in signs.values() for each in group)
        lines: list[Content] = []
        for heading, group in signs.items():
            lines += [*([Content("")] if lines else []), Content.styled(heading, "$text-disabled")]
            for each in group:
                room = max(10, width - sign_cells - GAP_CELLS)
                for number, meaning in enumerate(wrap(each.meaning, room, break_on_hyphens=False)):
                    sign = "" if number else each.sign
                    gap = " " * (sign_cells - cells(sign) + GAP_CELLS)
                    lines.append(Content.assemble((sign, "$accent bold"), gap, (meaning, "$text")))
        return Content("\n").join(lines)
