"""Page of the lineage of a memory: what replaces it and what it replaces, and every decision on it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.errors import NotFound
from vestige_tui.core.text import short_id
from vestige_tui.presenters.changes import title
from vestige_tui.presenters.moments import lineage_note
from vestige_tui.tui.command_screen import NOT_OPEN, CommandScreen
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.moments import OF_THE_LINEAGE
from vestige_tui.tui.dialogs.memory_sheet import memory_sheet
from vestige_tui.tui.lineage.lineage_list import LineageList, rows_of
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.memories import Memory

log = logging.getLogger(__name__)


class LineageScreen(CommandScreen):
    """Lineage of one memory, at the moment that the console shows."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["page.tcss"]
    AUTO_FOCUS = "LineageList"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_THE_LINEAGE)
    HELP = """\
The tree has the active memory on top and below it the memories that it replaces, in turn. Below the tree stands every
decision on the memory: replaced, active again, or active again because its replacement was deleted. Decisions that were
recorded after later ones, for example by an import, are marked "recorded late". `enter` opens the memory of a row.
"""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory
        self._list = LineageList(id="lineage")

    @property
    def help_title(self) -> str:
        return "Lineage"

    def compose(self) -> ComposeResult:
        heading = Content.assemble(("Lineage", "$text bold"), (f"   {title(self._memory.content)}", "$text-muted"))
        yield Static(heading, id="lineage-title", markup=False)
        yield Static(id="lineage-notes", markup=False)
        yield self._list
        yield Empty("Reading the decisions…", id="nothing")
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.store_changed.subscribe(self, self._store_changed)

    def on_screen_resume(self) -> None:
        self._read()

    def _store_changed(self, _: None) -> None:
        if self.is_current:
            self._read()

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        store, memory_id = self.store, self._memory.id
        if store is None:
            self._say_nothing(NOT_OPEN)
            return
        try:
            lineage, events = await asyncio.gather(store.links.lineage(memory_id), store.links.history(memory_id))
        except NotFound as error:
            self._say_nothing(error.message)
            return
        named = [each for event in events for each in (event.loser_id, event.winner_id) if each is not None]
        head = [lineage.memory.superseded_by] if lineage.memory.superseded_by else []
        known = {memory.id: memory for memory in await store.memories.get_many(list({*named, *head}))}
        self.query_one("#lineage-notes", Static).update(lineage_note(lineage, known))
        if events or lineage.replaces:
            self._list.show(rows_of(lineage, events, known, memory_id, store.now()))
            self.set_class(False, "-nothing")
        else:
            self._say_nothing("This memory was never replaced, and replaces no other.")

    def _say_nothing(self, why: str) -> None:
        self.query_one("#nothing", Empty).say(why, ("esc", "back"))
        self.set_class(True, "-nothing")

    @on(LineageList.LineageRowChosen)
    def _chosen(self, event: LineageList.LineageRowChosen) -> None:
        event.stop()
        memory_id = event.row.memory_id
        if memory_id is None:
            self._status.say(
                "The other memory of this decision no longer exists."
                if event.row.other_gone
                else "This decision concerns this memory alone."
            )
        else:
            self._open(memory_id)

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def _open(self, memory_id: str) -> None:
        store = self.store
        if store is None:
            return
        try:
            await self.app.push_screen(await memory_sheet(store, memory_id))
        except NotFound as error:
            log.debug("The memory of a lineage is gone: %s", error)
            self._status.say(f"Memory {short_id(memory_id)} was deleted meanwhile.", severity="waiting")

    def action_refresh_place(self) -> None:
        self._read()
        self._status.say("Refreshed.", severity="quiet")

    def action_back(self) -> None:
        self.dismiss(None)
