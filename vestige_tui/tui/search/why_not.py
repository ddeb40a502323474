"""Reason for a memory's absence from an answer: a dialog to name the memory, and a panel with the reason."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.search import SearchQuery, WhyNot
from vestige_tui.core.text import cells, cut, one_line, plain, short_id
from vestige_tui.presenters import explanation
from vestige_tui.tui.dialogs.modals import Ask, Choice, Dialog, Message, Pick

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

TITLE = "Why is this memory not in the results?"
CHOICES_LIMIT = 30
SHOWN_CELLS = 400


class WhyNotPanel(Dialog[None]):
    """Panel with the reason, then the ranks and scores of the memory."""

    DEFAULT_CSS = """
    WhyNotPanel #sheet-rows { background: $panel; padding: 0; max-height: 16; }
    WhyNotPanel #why-memory { color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; margin: 0 0 1 0; }
    WhyNotPanel #why-reason { text-style: bold; margin: 0 0 1 0; }
    """

    def __init__(self, verdict: WhyNot) -> None:
        super().__init__(TITLE, (("esc", "back"),))
        self._verdict = verdict

    def compose_body(self) -> ComposeResult:
        memory = self._verdict.memory
        with VerticalScroll(id="sheet-rows"):
            heading = Content.assemble(
                (f"{short_id(memory.id)}  ", "$text-disabled"), one_line(memory.content, SHOWN_CELLS)
            )
            yield Static(heading, id="why-memory", markup=False)
            yield Static(Content(plain(self._verdict.reason)), id="why-reason", markup=False)
            pairs = explanation.rank_rows(self._verdict)
            widest = max(cells(name) for name, _ in pairs)
            lines = [Content.assemble((f"{name:<{widest}}  ", "$text-muted"), value) for name, value in pairs]
            yield Static(Content("\n").join(lines), markup=False)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()


async def tell_why_not(app: App[Any], store: Store, query: SearchQuery) -> None:
    """Ask for a memory by its id or by words, and show why the answer to ``query`` lacks it."""
    typed = await app.push_screen_wait(Ask(TITLE, placeholder="an id, or words in its text", verb="explain"))
    if not typed or not typed.strip():
        return
    memory_id = await _pick_memory(app, store, typed)
    if memory_id is not None:
        await app.push_screen(WhyNotPanel(await store.why_not(query, memory_id)))


async def _pick_memory(app: App[Any], store: Store, typed: str) -> str | None:
    try:
        return await store.memories.resolve(typed)
    except VestigeError as error:
        log.debug("No id was typed, so it is searched for: %s", error)
        # Without filters, and with superseded memories: either may be the reason.
        answer = await store.search(SearchQuery(typed, mode="text", limit=CHOICES_LIMIT, superseded=True))
    if not answer.hits:
        await app.push_screen(Message(TITLE, f"No memory has this id or contains these words: {cut(typed, 60)}"))
        return None
    choices = [Choice(hit.memory.id, one_line(hit.memory.content, SHOWN_CELLS)) for hit in answer]
    return await app.push_screen_wait(Pick(TITLE, choices))
