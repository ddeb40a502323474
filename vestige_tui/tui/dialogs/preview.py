"""Preview of a bulk change: every memory that it changes, and those that it leaves out, with the reason."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import ClassVar, TypeAlias

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.bulk import BulkPreview, keeping_replaced
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.memories import Memory
from vestige_tui.core.text import cells, cut, one_line, plain, redact
from vestige_tui.presenters.bulk import action_verb, many, preview_notes, preview_title
from vestige_tui.tui.dialogs.modals import Confirm
from vestige_tui.tui.widgets.row_list import Piece, RowList, fit
from vestige_tui.tui.workers import work

log = logging.getLogger(__name__)

PAGE_ROWS = 50
PAGES_HELD = 20
KIND_CELLS = 14
MAX_ROWS = 14
MAX_NARROW_ROWS = 6
KEEP_KEY = "r"
"""Key that deletes, and keeps the memories replaced which the deletion would make active beside others."""

ReadMany: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Memory]]]


class PreviewRows(RowList):
    """List of memories by id, read page by page as they come into view; behind them those that are left out."""

    def __init__(self, preview: BulkPreview, read: ReadMany) -> None:
        super().__init__(id="sheet-rows")
        self._read = read
        self._ids = (*preview.ids, *(memory_id for each in preview.left_out for memory_id in each.ids))
        self._changed = len(preview.ids)
        self._reasons = [(len(each.ids), each.reason) for each in preview.left_out]
        self._pages: OrderedDict[int, dict[str, Memory]] = OrderedDict()

    def on_mount(self) -> None:
        self._resize_to(len(self._ids))
        self._load()

    def on_resize(self) -> None:
        super().on_resize()
        self._load()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._load()

    @work(group="rows", exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        while (page := self._page_to_read()) is not None:
            ids = self._ids[page * PAGE_ROWS : (page + 1) * PAGE_ROWS]
            try:
                memories = await self._read(ids)
            except VestigeError as error:
                log_suppressed(log, "read the rows of a preview", error)
                memories = ()
            self._pages[page] = {memory.id: memory for memory in memories}
            while len(self._pages) > PAGES_HELD:
                self._pages.popitem(last=False)
            self.repaint()

    def _page_to_read(self) -> int | None:
        visible = self.visible_rows
        pages = range(visible.start // PAGE_ROWS, (max(visible.stop, 1) - 1) // PAGE_ROWS + 1)
        return next((page for page in pages if page not in self._pages and page * PAGE_ROWS < self.count), None)

    def draw_row(self, index: int, line: int, width: int) -> Iterable[Piece]:
        page, memory_id = self._pages.get(index // PAGE_ROWS), self._ids[index]
        memory = page.get(memory_id) if page is not None else None
        reason = self._reason(index)
        kind = min(KIND_CELLS, width // 4)
        text = "·" if page is None else one_line(memory.content) if memory is not None else "deleted elsewhere"
        yield fit(plain(memory.node_type) if memory else "", kind) + "  ", "muted"
        room = width - kind - 2
        if not reason:
            yield fit(text, room), "text" if memory is not None else "faint"
            return
        label = cut(f"  left out: {reason}", max(0, room - 8))
        yield fit(text, room - cells(label)), "muted"
        yield label, "waiting"

    def _reason(self, index: int) -> str:
        index -= self._changed
        for count, reason in self._reasons:
            if 0 <= index < count:
                return reason
            index -= count
        return ""


class PreviewDialog(Confirm):
    """Question before a change of several memories, with every row of it; only ``y`` agrees."""

    DEFAULT_CSS = """
    PreviewDialog #sheet-rows { padding: 0; }
    PreviewDialog #sheet { width: 96; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(KEEP_KEY, "keep_replaced", "leave the others replaced", show=False)
    ]

    def __init__(self, preview: BulkPreview, read: ReadMany, *, fault: str = "") -> None:
        notes = preview_notes(preview, KEEP_KEY)
        super().__init__(preview_title(preview), (), verb=action_verb(preview), notes=notes)
        kept = f"delete; {many(preview.beside_count)} {'stays' if preview.beside_count == 1 else 'stay'} replaced"
        keeps = [(KEEP_KEY, kept)] if preview.beside_count else []
        self._keys = (*self._keys[:1], *keeps, ("↑↓", "scroll"), *self._keys[1:])
        self.agreed = preview
        """Preview that the user agrees to: the one that is shown, or the one that keeps memories replaced."""
        self._preview, self._read, self._fault = preview, read, fault

    def compose_body(self) -> ComposeResult:
        if self._fault:
            yield Static(Content(redact(plain(self._fault))), id="sheet-fault", markup=False)
        if self._notes:
            notes = Content("\n").join(Content(plain(note)) for note in self._notes)
            yield Static(notes, id="sheet-notes", markup=False)
        yield PreviewRows(self._preview, self._read)

    def on_mount(self) -> None:
        self._fit_rows()

    def on_resize(self) -> None:
        self._fit_rows()

    def action_keep_replaced(self) -> None:
        if self._preview.beside_count:
            self.agreed = keeping_replaced(self._preview)
            self.dismiss(True)

    def _fit_rows(self) -> None:
        rows = self.query_one(PreviewRows)
        most = MAX_ROWS if self.size.height >= 30 else MAX_NARROW_ROWS
        rows.styles.height = max(1, min(rows.count or 1, most))
