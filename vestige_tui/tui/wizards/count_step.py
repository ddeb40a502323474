"""What a copy would bring: a table of counts, what would be left behind, and what is worth knowing first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.jobs import TableProgress
from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.tui.jobs.detail import labelled
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.wizards.wizard import WizardStep

LABEL = 10
FIGURE = 12
"""The cells of a count."""


def count_table(tables: Mapping[str, TableProgress]) -> Content:
    """Return the tables with their rows, then those that the target has no place for."""
    brought = {name: each.total for name, each in tables.items() if each.total}
    left = {name: each.left_behind for name, each in tables.items() if each.left_behind}
    shown = {name: cut(plain(name), 30) for name in (*brought, *left)}
    names = max(len("table"), *(cells(name) for name in shown.values())) if shown else 0
    if not shown:
        return Content.styled("The source is empty; only tables are made.", "$text-muted")

    def line(name: str, count: int, style: str) -> Content:
        pad = " " * (names - cells(shown[name]))
        return Content.styled(f"{shown[name]}{pad}{grouped(count):>{FIGURE}}", style)

    lines = [Content.styled(f"{'table':<{names}}{'rows':>{FIGURE}}", "$text-disabled")]
    lines += [line(name, count, "$text") for name, count in brought.items()]
    if left:
        lines += [Content(""), Content.styled("left behind: the target has no place for them", "$warning")]
        lines += [line(name, count, "$text-muted") for name, count in left.items()]
    return Content("\n").join(lines)


class CountStep(WizardStep):
    """Counts to read before going on, under what there is to know, each with its label."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go_on", "go on", show=False)]

    def __init__(
        self, word: str, rows: Sequence[tuple[str, str]], tables: Mapping[str, TableProgress], on: Callable[[], None]
    ) -> None:
        super().__init__()
        self.word = word
        self._rows, self._tables, self._on = tuple(rows), tables, on

    def compose(self) -> ComposeResult:
        with Panels(classes="body"):
            yield Static(classes="note", markup=False)
            yield Static(count_table(self._tables), markup=False)

    def begin(self) -> None:
        self.query_one(Panels).focus()
        self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = max(20, self.query_one(Panels).scrollable_content_region.width)
        lines: list[Content] = []
        for label, text in self._rows:
            lines += labelled(label, text, width, LABEL, "$text-muted")
        self.query_one(".note", Static).update(Content("\n").join(lines))

    def action_go_on(self) -> None:
        self._on()
