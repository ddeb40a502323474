"""Why a memory is not in an answer: which one is meant, and then the reason."""

from __future__ import annotations

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

TITLE = "Why not this one?"
CHOICES = 30
SHOWN_CELLS = 400


class WhyNotPanel(Dialog[None]):
    """The reason first, then where the memory stands."""

    DEFAULT_CSS = """
    WhyNotPanel #sheet-rows { background: $panel; padding: 0; max-height: 16; }
    WhyNotPanel #why-memory { color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; margin: 0 0 1 0; }
    WhyNotPanel #why-reason { text-style: bold; margin: 0 0 1 0; }
    """

    def __init__(self, found: WhyNot) -> None:
        super().__init__(TITLE, (("esc", "back"),))
        self._found = found

    def compose_body(self) -> ComposeResult:
        memory = self._found.memory
        with VerticalScroll(id="sheet-rows"):
            named = Content.assemble(
                (f"{short_id(memory.id)}  ", "$text-disabled"), one_line(memory.content, SHOWN_CELLS)
            )
            yield Static(named, id="why-memory", markup=False)
            yield Static(Content(plain(self._found.reason)), id="why-reason", markup=False)
            pairs = explanation.standing(self._found)
            widest = max(cells(name) for name, _ in pairs)
            lines = [Content.assemble((f"{name:<{widest}}  ", "$text-muted"), said) for name, said in pairs]
            yield Static(Content("\n").join(lines), markup=False)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()


async def tell_why_not(app: App[Any], store: Store, query: SearchQuery) -> None:
    """Ask which memory is meant, by its id or by words, and say why the answer to ``query`` does not show it."""
    typed = await app.push_screen_wait(Ask(TITLE, placeholder="its id, or words that it holds"))
    if not typed or not typed.strip():
        return
    memory_id = await _meant(app, store, typed)
    if memory_id is not None:
        await app.push_screen(WhyNotPanel(await store.why_not(query, memory_id)))


async def _meant(app: App[Any], store: Store, typed: str) -> str | None:
    try:
        return await store.resolve(typed)
    except VestigeError:
        # Also what the filters keep out, and what was replaced.
        answer = await store.search(SearchQuery(typed, mode="text", limit=CHOICES, superseded=True))
    if not answer.hits:
        await app.push_screen(Message(TITLE, f"No memory has this id or holds these words: {cut(typed, 60)}"))
        return None
    choices = [Choice(hit.memory.id, one_line(hit.memory.content, SHOWN_CELLS)) for hit in answer]
    return await app.push_screen_wait(Pick(TITLE, choices))
