"""Step with the counts of a copy: rows of each table, and tables that are left behind."""

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

LABEL_CELLS = 10
COUNT_CELLS = 12


def count_table(tables: Mapping[str, TableProgress]) -> Content:
    """Return the table of row counts, then the tables that the target does not have."""
    copied = {name: progress.total for name, progress in tables.items() if progress.total}
    left_behind = {name: progress.left_behind for name, progress in tables.items() if progress.left_behind}
    names_cut = {name: cut(plain(name), 30) for name in (*copied, *left_behind)}
    name_cells = max(len("table"), *(cells(name) for name in names_cut.values())) if names_cut else 0
    if not names_cut:
        return Content.styled("The source is empty; only tables are created.", "$text-muted")

    def line(name: str, count: int, style: str) -> Content:
        pad = " " * (name_cells - cells(names_cut[name]))
        return Content.styled(f"{names_cut[name]}{pad}{grouped(count):>{COUNT_CELLS}}", style)

    lines = [Content.styled(f"{'table':<{name_cells}}{'rows':>{COUNT_CELLS}}", "$text-disabled")]
    lines += [line(name, count, "$text") for name, count in copied.items()]
    if left_behind:
        lines += [Content(""), Content.styled("not copied, because the target does not have these tables", "$warning")]
        lines += [line(name, count, "$text-muted") for name, count in left_behind.items()]
    return Content("\n").join(lines)


class CountStep(WizardStep):
    """Labelled facts, and below them the counts."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go_on", "continue", show=False)]

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
            lines += labelled(label, text, width, LABEL_CELLS, "$text-muted")
        self.query_one(".note", Static).update(Content("\n").join(lines))

    def action_go_on(self) -> None:
        self._on()
