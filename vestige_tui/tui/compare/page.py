"""Page that compares a store at two moments: memories that appeared, were replaced or deleted, or are active again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.errors import NotFound, Usage
from vestige_tui.core.history import DeletedMemory
from vestige_tui.core.text import short_id
from vestige_tui.core.times import moment_text
from vestige_tui.presenters.moments import TODAYS_TEXTS, counts_sentence, deletion_words
from vestige_tui.tui.command_screen import NOT_OPEN, CommandScreen
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.moments import OF_THE_COMPARISON, SetEnd, SetStart
from vestige_tui.tui.compare.difference_list import DifferenceList
from vestige_tui.tui.dialogs.memory_sheet import MemorySheet, memory_sheet
from vestige_tui.tui.moments import ask_for_moment, show_moment
from vestige_tui.tui.shown_keys import shown_key
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.widgets.memory_detail import MemoryDetail
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.history import Difference
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

FIRST_SPAN = timedelta(days=7)
"""Time from the first moment to now, until the user sets another one."""
HEAD_CHARS = 400


class ComparisonScreen(CommandScreen):
    """Difference of two moments: the past moment of the console, or a week ago, and now."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["page.tcss"]
    AUTO_FOCUS = "DifferenceList"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_THE_COMPARISON)
    HELP = """\
The store at two moments: the memories that appeared between them, those that were replaced, those that are active
again, and those that the journal says were deleted in between. Texts, tags and marks are shown as they are today;
those of a deleted memory as they were when it was deleted.

`s` sets the first moment, `e` the second one; an empty line means now. `t` closes this page and shows the store as of
the second moment. `enter` opens a memory.
"""

    def __init__(self) -> None:
        super().__init__()
        self._list = DifferenceList(clock=self._now, id="difference")
        self._start: datetime | None = None
        self._end: datetime | None = None
        """Second moment; None for now."""
        self._difference: Difference | None = None

    @property
    def shown_moment(self) -> datetime | None:
        return None

    @property
    def help_title(self) -> str:
        return "Two moments"

    def compose(self) -> ComposeResult:
        yield Static(id="compare-title", markup=False)
        yield Static(id="compare-counts", markup=False)
        yield self._list
        yield Empty("Opening the store…", id="nothing")
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.store_changed.subscribe(self, self._store_changed)
        self._start = self.store_session.moment

    @property
    def _live(self) -> Store | None:
        """The store as it is now, whatever moment the console shows."""
        return self.store.at(None) if self.store is not None else None

    def _now(self) -> datetime:
        store = self._live
        return store.now() if store is not None else datetime.now(UTC)

    # Reading

    def on_screen_resume(self) -> None:
        self._read()

    def _store_changed(self, _: None) -> None:
        if self.is_current:
            self._read()

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        store = self._live
        if store is None:
            self._say_nothing(NOT_OPEN)
            return
        now = store.now()
        self._start = start = self._start or now - FIRST_SPAN
        difference = await store.history.difference(start, self._end or now, head=HEAD_CHARS)
        self._difference = difference
        self._list.show(difference)
        end = "now" if self._end is None else moment_text(self._end)
        self.query_one("#compare-title", Static).update(
            Content.assemble(("Two moments", "$text bold"), (f"   {moment_text(start)} → {end}", "$warning"))
        )
        counts = counts_sentence(difference.counts)
        self.query_one("#compare-counts", Static).update(f"{counts} {TODAYS_TEXTS}" if difference.counts.total else "")
        if difference.counts.total:
            self.set_class(False, "-nothing")
        else:
            start_key, end_key = shown_key(self.app, SetStart), shown_key(self.app, SetEnd)
            self._say_nothing(counts, (start_key, "set the first moment"), (end_key, "set the second moment"))

    def _say_nothing(self, why: str, *keys: tuple[str, str]) -> None:
        self.query_one("#nothing", Empty).say(why, *keys, ("esc", "back"))
        self.set_class(True, "-nothing")

    # Commands

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_set_start(self) -> None:
        store = self._live
        if store is None:
            return
        answer = await ask_for_moment(self, store, "Compare from", self._start, "compare")
        if answer is not None:
            self._set(answer[0] or store.now(), self._end)

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_set_end(self) -> None:
        store = self._live
        if store is None:
            return
        answer = await ask_for_moment(self, store, "Compare to", self._end, "compare")
        if answer is not None:
            self._set(self._start, answer[0])

    def _set(self, start: datetime | None, end: datetime | None) -> None:
        """Set both moments, the earlier one first."""
        if start is not None and end is not None and start > end:
            start, end = end, start
        self._start, self._end = start, end
        self._read()

    def action_show_end(self) -> None:
        self.dismiss(None)
        show_moment(self, self._end)

    @on(DifferenceList.DifferenceRowChosen)
    def _chosen(self, event: DifferenceList.DifferenceRowChosen) -> None:
        event.stop()
        subject = event.row.subject
        if isinstance(subject, DeletedMemory):
            self._open_deleted(subject)
        else:
            self._open(subject.id)

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def _open(self, memory_id: str) -> None:
        store = self._live
        if store is None:
            return
        shown = store.at(self._end) if self._end is not None else store
        try:
            await self.app.push_screen(await memory_sheet(shown, memory_id))
        except NotFound as error:
            log.debug("The memory of a difference is gone: %s", error)
            self._status.say(f"Memory {short_id(memory_id)} was deleted meanwhile.", severity="waiting")

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def _open_deleted(self, deleted: DeletedMemory) -> None:
        store = self._live
        if store is None:
            raise Usage(NOT_OPEN)
        memory = await store.history.deleted_memory(deleted.entry, deleted.id)
        self._status.say(f"Memory {short_id(deleted.id)} was {deletion_words(deleted, store.now())}.")
        await self.app.push_screen(MemorySheet(store, MemoryDetail(memory)))

    def action_refresh_place(self) -> None:
        self._read()
        self._status.say("Refreshed.", severity="quiet")

    def action_back(self) -> None:
        self.dismiss(None)
