"""Opening a link of a memory: choose one of several, confirm the whole address, open or copy it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.text import cut, plain
from vestige_tui.core.web_links import WebLink, web_links
from vestige_tui.tui.browser import is_remote, open_in_browser
from vestige_tui.tui.dialogs.modals import Choice, Dialog, Pick

if TYPE_CHECKING:
    from vestige_tui.core.memories import Memory
    from vestige_tui.tui.place import Place

SHOWN_CELLS = 60


class ConfirmLink(Dialog[bool]):
    """Question before a link is opened or copied: its whole address, its site, and what is misleading in it."""

    DEFAULT_CSS = """
    ConfirmLink #link-warnings { height: auto; color: $warning; margin: 0 0 1 0; }
    ConfirmLink #link-site { height: auto; color: $text-muted; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "agree", "yes", show=False),
        Binding("n", "leave", "no", show=False),
    ]

    def __init__(self, link: WebLink, *, remote: bool) -> None:
        title = "Copy this link? Over ssh no browser is opened." if remote else "Open this link in the browser?"
        super().__init__(title, (("y", "copy" if remote else "open"), ("esc", "cancel")))
        self._link = link

    def compose_body(self) -> ComposeResult:
        if self._link.warnings:
            warnings = Content("\n").join(Content(f"▲ {plain(each)}") for each in self._link.warnings)
            yield Static(warnings, id="link-warnings", markup=False)
        with VerticalScroll(id="sheet-rows"):
            yield Static(Content(plain(self._link.address)), id="link-address", markup=False)
        yield Static(Content.assemble("site  ", (plain(self._link.host), "$text bold")), id="link-site", markup=False)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()

    def action_agree(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)


async def open_link_of(place: Place, memory: Memory) -> None:
    """Let the user choose a link of a memory's text or metadata, confirm it, and open it; over ssh it is copied."""
    links = {link.address: link for link in web_links(_texts(memory))}
    if not links:
        place.say("This memory has no http or https link.", severity="quiet")
        return
    address: str | None = next(iter(links))
    if len(links) > 1:
        choices = [Choice(link.address, f"{'▲ ' if link.warnings else ''}{link.address}") for link in links.values()]
        address = await place.app.push_screen_wait(Pick("Open a link of this memory", choices))
    remote = is_remote()
    if address is None or not await place.app.push_screen_wait(ConfirmLink(links[address], remote=remote)):
        return
    if not remote and await open_in_browser(address):
        place.say(f"Opened in the browser: {cut(address, SHOWN_CELLS)}", severity="quiet")
        return
    sentence = await place.console.copy(address, "the link")
    place.say(sentence if remote else f"No browser could be opened. {sentence}", severity="quiet")


def _texts(memory: Memory) -> Iterator[str]:
    yield memory.content
    yield from _strings(memory.metadata)


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts within JSON data, in their order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)
