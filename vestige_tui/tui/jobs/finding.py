"""Finding of a job in full, with its memory if the open store holds it."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.text import one_line, plain, short_id
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.jobs.finding_list import outcome_heading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.core.jobs import JobFinding
    from vestige_tui.core.memories import Memory
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

LABEL_CELLS = 8
SHOWN_CELLS = 400
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def memories_of(store: Store, finding: JobFinding) -> tuple[Memory, ...]:
    """Return the memories of a finding that a store holds: that of its row, or both ends of a link."""
    key = finding.source_key
    memories = []
    for memory_id in dict.fromkeys(_UUID.findall(key) or [key]):
        try:
            memories.append(await store.get(memory_id))
        except VestigeError as error:
            # The id may exist in the other store only, or belong to no memory.
            log.debug("A finding has no memory here: %s", error)
    return tuple(memories)


class FindingSheet(Dialog[str | None]):
    """Dialog with reason, table, row and memories; ``enter`` returns the id of the first memory."""

    DEFAULT_CSS = """
    FindingSheet { background: $background 88%; }
    FindingSheet #sheet-rows { background: $panel; padding: 0; max-height: 16; }
    FindingSheet #sheet-rows > Static { margin: 0 0 1 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open(0)", "open", show=False),
        Binding("o", "open(1)", "open the other", show=False),
    ]

    def __init__(self, finding: JobFinding, memories: tuple[Memory, ...], others: Sequence[str] = ()) -> None:
        """``others`` are the stores of the job that are not open."""
        opens = (("enter", "open the memory"), ("o", "open the other memory"))[: len(memories)]
        super().__init__(outcome_heading(finding.outcome)[0], (*opens, ("esc", "back")))
        self._finding, self._memories, self._others = finding, memories[:2], others

    def compose_body(self) -> ComposeResult:
        finding = self._finding
        with VerticalScroll(id="sheet-rows"):
            yield Static(Content(plain(finding.reason, newlines=True)), markup=False)
            rows = [("table", finding.subject), ("row", finding.source_key or "─")]
            yield Static(Content("\n").join(_row(label, plain(text)) for label, text in rows), markup=False)
            for memory in self._memories:
                row = _row(short_id(memory.id), f" {one_line(memory.content, SHOWN_CELLS)}")
                yield Static(row, markup=False)
            if not self._memories and finding.source_key:
                yield Static(Content.styled(self._not_here(), "$text-muted"), markup=False)

    def _not_here(self) -> str:
        where = f"; look for it in {' or '.join(self._others)}" if self._others else ""
        return f"The open store has no memory for this row{where}."

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()

    def action_open(self, place: int) -> None:
        if place < len(self._memories):
            self.dismiss(self._memories[place].id)


def _row(label: str, text: str) -> Content:
    return Content.assemble((f"{label:<{LABEL_CELLS}}", "$text-disabled"), text)
