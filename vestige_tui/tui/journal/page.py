"""Page of the journal: all changes of the store, newest first; it opens their memories and undoes them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static
from textual.worker import Worker

from vestige_tui.core.errors import NotFound
from vestige_tui.core.journal import UNDO, JournalLine
from vestige_tui.core.text import grouped, one_line, plain, short_id
from vestige_tui.presenters.changes import not_undoable, redo_sentence, undo_sentence
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.tui.changing_page import ChangingPage
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.journal import OF_THE_JOURNAL
from vestige_tui.tui.dialogs.memory_sheet import memory_sheet
from vestige_tui.tui.dialogs.modals import Choice, Pick
from vestige_tui.tui.journal.entry_list import EntryList
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

PAGE_ENTRIES = 100
MAX_CHOICES = 200
"""Memories of one entry that the list to choose from offers."""
NO_JOURNAL = "This file belongs to a Vestige server, and this console only reads it, so it has no journal."
NO_MEMORY = "This change concerns no memory, so there is none to open."
NO_CHANGES = "No changes yet. Each change by a console or a command is recorded here and can be undone."


class JournalScreen(ChangingPage):
    """All changes of the store. Entries are read by keyset as they come into view, and again when the store changes."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["page.tcss"]
    AUTO_FOCUS = "EntryList"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_THE_JOURNAL)
    HELP = """\
The journal has every change that a console or a command made to this store, newest first. `enter` opens the memory of
an entry. `u` undoes the change under the cursor, whichever console or command made it; on an undo it redoes the
change. If that would overwrite a later change of a memory, `u` changes nothing.

In the other places `u` undoes the last change of this console only, and `U` redoes the change that this
console undid last.
"""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._list = EntryList(origin, clock=self._now, id="entries")
        self._loader: Worker[None] | None = None
        self._fresh: set[int] = set()
        """Numbers of the entries that were read since the last change of the store."""
        self._changed = True
        """True if the newest entries have not been read since the last change of the store."""
        self._complete = False
        """True once the oldest entry is read."""
        self._wants_last = False

    @property
    def help_title(self) -> str:
        return "Journal"

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("Journal", "$text bold"), id="journal-title", markup=False)
        yield Static(id="journal-why", markup=False)
        yield self._list
        yield Empty(id="nothing")
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.store_changed.subscribe(self, self._store_changed)
        self.console.frame_changed.subscribe(self, self._frame_changed)

    def _now(self) -> datetime:
        # Of now, also where the console shows a past moment: the journal is not limited to that.
        return self.store.present() if self.store is not None else datetime.now(UTC)

    # Reading

    def on_screen_resume(self) -> None:
        self.read_again()

    def _store_changed(self, _: None) -> None:
        self.read_again()

    def read_again(self) -> None:
        if self.is_current:
            self._changed = True
            self._fresh.clear()
            self._load_missing()

    def _frame_changed(self, _: None) -> None:
        if self.is_current:
            self.refresh_bindings()

    @on(EntryList.Scrolled)
    def _scrolled(self) -> None:
        self._load_missing()

    @on(EntryList.EntryHighlighted)
    def _highlighted(self) -> None:
        self.refresh_bindings()
        self._load_missing()

    @on(EntryList.EndWanted)
    def _go_to_the_end(self) -> None:
        self._wants_last = not self._complete
        self._load_missing()

    def _load_missing(self) -> None:
        """Start to read the missing rows, unless a running read will notice it."""
        is_running = self._loader is not None and not self._loader.is_finished
        if self.is_current and not is_running and self._is_missing():
            self._loader = self._load()

    def _is_missing(self) -> bool:
        return self._changed or self._stale_rows() is not None or self._ends_in_view()

    def _stale_rows(self) -> range | None:
        """Return the visible rows, if one of them was read before the last change of the store."""
        entries, visible = self._list.entries, self._list.visible_rows
        rows = range(visible.start, min(visible.stop, len(entries)))
        return rows if any(entries[row].id not in self._fresh for row in rows) else None

    def _ends_in_view(self) -> bool:
        """Check whether entries after the last one that was read are near."""
        if self._complete:
            return False
        near = max(self._list.cursor, self._list.visible_rows.stop) + len(self._list.visible_rows)
        return self._wants_last or near >= len(self._list.entries)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        store = self.store
        self._say_state(store)
        if store is None:
            return
        while self._is_missing():
            if self._changed:
                await self._read_newest(store)
            elif (rows := self._stale_rows()) is not None:
                await self._read_again(store, rows)
            else:
                await self._read_older(store)
            self._say_state(store)
        if self._wants_last:
            self._wants_last = False
            self._list.move_to(len(self._list.entries) - 1)

    async def _read_newest(self, store: Store) -> None:
        """Read the entries that are newer than those in the list; the first page for an empty list."""
        # Before the read: a change that comes meanwhile is another one.
        self._changed = False
        known = self._list.entries[0].id if self._list.entries else 0
        newest: list[JournalLine] = []
        while True:
            before_id = newest[-1].id if newest else None
            page = await store.journal.page(limit=PAGE_ENTRIES, before_id=before_id)
            newest += page.items
            if page.next is None or not known or newest[-1].id <= known:
                self._complete = self._complete or page.next is None
                break
        # Entries may be committed in another order than that of their numbers.
        by_number = {line.id: line for line in (*self._list.entries, *newest)} if newest else {}
        self._show([by_number[number] for number in sorted(by_number, reverse=True)], newest)

    async def _read_again(self, store: Store, rows: range) -> None:
        entries = self._list.entries
        first = entries[rows.start].id
        again = (await store.journal.page(limit=len(rows), before_id=first + 1)).items
        last = again[-1].id if again else 0
        newer, older = [line for line in entries if line.id > first], [line for line in entries if line.id < last]
        self._show([*newer, *again, *older], again)

    async def _read_older(self, store: Store) -> None:
        entries = self._list.entries
        page = await store.journal.page(limit=PAGE_ENTRIES, before_id=entries[-1].id if entries else None)
        self._complete = page.next is None
        self._show([*entries, *page.items], page.items)

    def _show(self, entries: Sequence[JournalLine], fresh: Sequence[JournalLine]) -> None:
        self._fresh |= {line.id for line in fresh}
        self._list.show(entries)

    def _say_state(self, store: Store | None) -> None:
        """Show the number of entries read, or why there are none, and why nothing can be undone."""
        entries = self._list.entries
        if store is None:
            self._say_nothing(NOT_OPEN)
            return
        read_only = read_only_sentence(store.read_only_reason) if store.read_only else ""
        foreign = store.kind == "vestige"
        more = "" if self._complete else "+"
        count = (
            f"{grouped(len(entries))}{more} {'entry' if len(entries) == 1 and not more else 'entries'}, newest first"
        )
        facts = count if entries else ""
        self.query_one("#journal-title", Static).update(
            Content.assemble(("Journal", "$text bold"), (f"   {facts}", "$text-muted"))
        )
        self.query_one("#journal-why", Static).update(Content(plain(read_only)))
        self.set_class(bool(read_only) and bool(entries), "-why")
        if entries:
            self.set_class(False, "-nothing")
        elif not self._changed:
            self._say_nothing(NO_JOURNAL if foreign else " ".join(filter(None, (NO_CHANGES, read_only))))

    def _say_nothing(self, why: str) -> None:
        self.query_one("#nothing", Empty).say(why, ("esc", "back"))
        self.set_class(True, "-nothing")

    # Disabled commands

    def why_not(self, action: str) -> str:
        reason = super().why_not(action)
        if reason or action != "undo_entry":
            return reason
        line = self._list.current
        return "There is no entry here." if line is None else not_undoable(line)

    # Commands

    @on(EntryList.EntryChosen)
    def _chosen(self, event: EntryList.EntryChosen) -> None:
        event.stop()
        self._open(event.line)

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def _open(self, line: JournalLine) -> None:
        store = self.store
        if store is None:
            return
        ids = list(dict.fromkeys(line.ids))
        if not ids:
            self._status.say(NO_MEMORY, severity="quiet")
            return
        memories = await store.memories.get_many(ids[:MAX_CHOICES])
        if not memories:
            self._status.say(_gone(line, ids), severity="waiting")
            return
        memory_id: str | None = memories[0].id
        if len(ids) > 1:
            more = f", the first {grouped(MAX_CHOICES)} of {grouped(len(ids))}" if len(ids) > MAX_CHOICES else ""
            choices = [Choice(memory.id, one_line(memory.content)) for memory in memories]
            memory_id = await self.app.push_screen_wait(Pick(f"Memories of this change{more}", choices))
        if memory_id is None:
            return
        try:
            await self.app.push_screen(await memory_sheet(store, memory_id))
        except NotFound as error:
            log.debug("The memory of the entry is gone: %s", error)
            self._status.say(f"Memory {short_id(memory_id)} was deleted meanwhile.", severity="waiting")

    @work(group="write", exit_on_error=False)
    async def action_undo_entry(self) -> None:
        store, line = self.store, self._list.current
        if store is None or line is None:
            return
        if line.verb == UNDO:
            change = await store.journal.redo(line.id)
            self.changed(change, redo_sentence(change))
        else:
            change = await store.journal.undo(line.id)
            self.changed(change, undo_sentence(change))


def _gone(line: JournalLine, ids: list[str]) -> str:
    """Return the sentence for an entry none of whose memories exists."""
    subject = f"Memory {short_id(plain(ids[0]))} was" if len(ids) == 1 else "These memories were"
    restores = "; u restores it." if line.verb == "delete" and line.undone_by is None and len(ids) == 1 else "."
    return f"{subject} deleted{restores}"
