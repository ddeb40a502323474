"""Preview of a fix: every row that it changes, with the values before and after; only ``y`` agrees."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.text import plain, redact
from vestige_tui.presenters.doctor import change_parts, fix_question, preview_notes
from vestige_tui.tui import layout_widths
from vestige_tui.tui.dialogs.loss import ConfirmLoss
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit

if TYPE_CHECKING:
    from vestige_tui.core.doctor import FixPreview

MAX_ROWS = 14
MAX_NARROW_ROWS = 6
KIND_CELLS = 22
MAX_ROW_CELLS = 36
"""Most cells of the table and the key of a row."""
_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


class ChangedRows(RowList):
    """List of the rows that a fix changes."""

    def __init__(self, preview: FixPreview) -> None:
        super().__init__(id="sheet-rows")
        self._changes = preview.changes

    def on_mount(self) -> None:
        self._resize_to(len(self._changes))

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        kind, row, change = change_parts(self._changes[index])
        room = 0 if layout_widths.is_narrow(self.app.size.width) else KIND_CELLS
        if room:
            yield fit(kind, room) + "  ", "muted"
            width -= room + 2
        room = min(MAX_ROW_CELLS, width // 2)
        yield fit(_UUID.sub(r"\1", row), room) + "  ", "muted"
        yield fit(change, max(0, width - room - 2)), "text"


class FixDialog(ConfirmLoss):
    """Question before a fix, with every row of it."""

    DEFAULT_CSS = """
    FixDialog #sheet-rows { padding: 0; }
    FixDialog #sheet { width: 104; }
    """

    def __init__(self, preview: FixPreview, *, fault: str = "") -> None:
        super().__init__(fix_question(preview), (), verb="fix", notes=preview_notes(preview))
        self._keys = (*self._keys[:1], ("↑↓", "scroll"), *self._keys[1:]) if preview.changes else self._keys
        self._preview, self._fault = preview, fault

    def compose_body(self) -> ComposeResult:
        if self._fault:
            yield Static(Content(redact(plain(self._fault))), id="sheet-fault", markup=False)
        notes = Content("\n").join(Content(plain(note)) for note in self._notes)
        yield Static(notes, id="sheet-notes", markup=False)
        if self._preview.changes:
            yield ChangedRows(self._preview)

    def on_mount(self) -> None:
        self._fit_rows()

    def on_resize(self) -> None:
        self._fit_rows()

    def _fit_rows(self) -> None:
        for rows in self.query(ChangedRows):
            most = MAX_ROWS if self.size.height >= 30 else MAX_NARROW_ROWS
            rows.styles.height = max(1, min(rows.count or 1, most))
            rows.focus()
