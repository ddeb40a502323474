"""Dialog with one memory in full; its links lead on to other memories, and escape comes back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.search import NO_TERMS
from vestige_tui.core.text import plain, redact, short_id
from vestige_tui.tui.dialogs.details import detail_of
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.widgets.memory_card import MemoryCard
from vestige_tui.tui.widgets.status_line import StatusLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.search import Hit, MatchTerms
    from vestige_tui.store.store import Store
    from vestige_tui.tui.widgets.memory_card import Step
    from vestige_tui.tui.widgets.memory_detail import MemoryDetail

log = logging.getLogger(__name__)


class MemorySheet(Dialog[None]):
    """Card of a memory over the list that it was opened from."""

    DEFAULT_CSS = """
    MemorySheet { background: $background 88%; }
    MemorySheet #sheet { width: 92; height: 88%; }
    MemorySheet MemoryCard { background: $panel; padding: 0; border-left: none; }
    MemorySheet MemoryCard:focus { border-left: none; }
    MemorySheet MemoryCard { scrollbar-background: $panel; }
    MemorySheet StatusLine { min-height: 0; }
    """

    def __init__(self, store: Store, detail: MemoryDetail) -> None:
        keys = (("tab", "next link"), ("enter", "open it"), ("r", "as stored"), ("esc", "back"))
        super().__init__(f"Memory {short_id(detail.memory.id)}", keys)
        self._store, self._detail = store, detail

    def compose_body(self) -> ComposeResult:
        yield MemoryCard(clock=self._store.now)
        yield StatusLine(id="sheet-said")

    async def on_mount(self) -> None:
        card = self.query_one(MemoryCard)
        card.focus()
        await card.show(self._detail)

    @on(MemoryCard.LinkOpened)
    def _opened(self, event: MemoryCard.LinkOpened) -> None:
        self._visit(event.memory_id)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _visit(self, memory_id: str) -> None:
        said = self.query_one("#sheet-said", StatusLine)
        try:
            detail = await detail_of(self._store, memory_id)
        except VestigeError as error:
            log.debug("A linked memory could not be read: %s", error)
            said.say(redact(plain(str(error))), severity="bad")
            return
        said.clear()
        await self.query_one(MemoryCard).visit(detail)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _return_to(self, step: Step) -> None:
        await self.query_one(MemoryCard).restore(step)

    def action_leave(self) -> None:
        step = self.query_one(MemoryCard).step_back()
        if step is None:
            self.dismiss(None)
        else:
            self._return_to(step)


async def memory_sheet(
    store: Store, memory_id: str, hit: Hit | None = None, terms: MatchTerms = NO_TERMS
) -> MemorySheet:
    """Return the dialog for a memory of a store, with the hit and terms of a search. Raises NotFound if it is gone."""
    return MemorySheet(store, await detail_of(store, memory_id, hit, terms))
