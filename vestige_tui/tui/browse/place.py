"""Browse: every memory in one table, filtered and sorted, with one beside it to read."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType

from vestige_tui.core.filter_syntax import Chip, may_become_filter, misspelled_field
from vestige_tui.core.memories import Filter, Memory, Page, Sort
from vestige_tui.core.text import grouped
from vestige_tui.presenters.sorting import SORTS, sort_sentence
from vestige_tui.tui.browse.memory_table import Fetch, Locate, MemoryTable
from vestige_tui.tui.commands.catalogue import IN_PLACE
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.everywhere import Leave
from vestige_tui.tui.commands.lists import ClearSelection, PickFilters
from vestige_tui.tui.commands.memories import AddMemory
from vestige_tui.tui.commands.places import GoToBrowse, GoToSearch
from vestige_tui.tui.commands.search import ToggleSuperseded
from vestige_tui.tui.dialogs.modals import Choice, Pick
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.memory_place import STILL_SELECTING
from vestige_tui.tui.reading_place import OUTSIDE, ReadingPlace
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.store.store import Store
    from vestige_tui.tui.notice import Notice

HEAD_CHARS = 400
HIDDEN_FROM_COLUMNS = 100
"""Width from which the line says how many replaced memories the list hides."""


class BrowsePlace(ReadingPlace):
    """Table of every memory in the store, narrowed by the filter line above it."""

    GO_TO = GoToBrowse
    CSS_PATH: ClassVar[list[str | PurePath]] = ["../reading_place.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["browse"])
    HELP = """\
All memories of the store. `f` chooses filters, with counts; or press `/` and type them: `type:decision`, `domain:auth`,
`tag:"two words"`, `codebase:api`, `owner:mira`, `since:-30d`, `until:2026-11-01`, `recall:0.8`, `is:due`.

Several tags find memories with any of them; `+tag:a +tag:b` with all of them, `-tag:a` without it. `is:` shows only
memories that are `due`, `new`, `suspended`, `buried`, `leech`, `pinned`, `replaced` or `without-vector`;
`with:replaced` shows replaced ones too. `ctrl+s` saves filters under a name; `F` opens them in Search or Review.

In the card, `tab` marks the next link and `enter` opens it; `esc` comes back. `i` unfolds the metadata, `z` hides the
card.

`space` selects a row, `v` starts a range, `*` selects every row. Then `t` tags the selection, `E` changes its fields,
`M` its marks, `S` replaces it and `d` deletes it. Each first shows every memory that it changes; `u` undoes the whole
change.
"""

    def __init__(self) -> None:
        super().__init__()
        self._sort: Sort = "created"
        self._filter = Filter()
        self._moment: datetime | None = None
        """Time of the recalls by which the rows are sorted, the same for all pages of one reading."""
        self._source_key: tuple[tuple[Chip, ...], Sort, str | None, datetime | None] | None = None
        self._go_to: str | None = None
        """Memory that the cursor goes to when the rows have been read."""
        self._guest: str | None = None
        """New memory that the filters hide and the first row shows, until filters or order change."""
        self._hint: Notice | None = None
        """Notice on words in the line that are no filter."""

    def compose_body(self) -> ComposeResult:
        yield FilterBar("Type a filter, such as type:decision", id="ask")
        yield from self.compose_found(MemoryTable(clock=self.now, id="list"))

    def on_mount(self) -> None:
        super().on_mount()
        table = self.query_one(MemoryTable)
        table.focus()
        # Rows not loaded yet come into view only by scrolling; for loaded ones the table posts messages.
        self.watch(table, "scroll_y", self.tell_keys, init=False)

    # The list

    def refresh_place(self) -> None:
        if self.store is not None:
            self._list()

    @on(FilterBar.Asked)
    def _asked(self, event: FilterBar.Asked) -> None:
        self._status.withdraw(self._hint)
        if hint := self._hint_on(event.text):
            self._hint = self.say(hint, severity="quiet")
        self.refresh_place()

    def _hint_on(self, text: str) -> str:
        """Return a hint on what stands in the line; empty where it is empty or the beginning of a filter."""
        if pending := self.hint_on_filter(text):
            return pending
        if not text or may_become_filter(text):
            return ""
        if misspelled := misspelled_field(text):
            return f"{misspelled}."
        search_key = self.key_named(GoToSearch).upper()
        return f"To search for words, go to Search ({search_key}); a filter here is field:value."

    @work(group="list", exclusive=True, exit_on_error=False)
    async def _list(self) -> None:
        store, bar = self.store, self.query_one(FilterBar)
        if store is None:
            return
        result = await self.answer_or_none(self._count(store))
        if result is None:
            return
        chosen, count, last, hidden, guest = result
        count += guest is not None
        number = f"{grouped(count)} {'memory' if count == 1 else 'memories'}"
        if hidden:
            number += f", {grouped(hidden)} replaced hidden"
        bar.note(f"{sort_sentence(self._sort, last)}   {number}")
        if not count and self.query_one(MemoryTable).has_focus:
            # Otherwise the line would take the focus from the hidden table, and letters would be text.
            self.set_focus(None)
        self.set_class(not count, "-nothing")
        if count and self.focused is None:
            self.query_one(MemoryTable).focus()
        if not count:
            self.reading = False
            self._say_nothing(bool(bar.chips))
        self._moment = store.now()
        # Compare chips, not the times that they stand for: -3h is another time at each call.
        source_key = bar.chips, self._sort, self._guest, store.moment
        table, self._filter = self.query_one(MemoryTable), chosen
        go_to, self._go_to = self._go_to, None
        if source_key == self._source_key:
            table.reload(count, go_to=go_to)
        else:
            self._source_key = source_key
            fetch, locate = self._fetcher(store, self._sort, guest), self._locator(store, self._sort, guest)
            table.set_source(count, fetch, sort=self._sort, locate=locate)
        self.tell_keys()

    async def show_added(self, store: Store, memory_id: str) -> str:
        self._go_to, self._guest = memory_id, None
        chosen = await self.answer_or_none(self.current_filter(store))
        if chosen is None or await store.memories.position(memory_id, chosen, sort=self._sort) is not None:
            return ""
        self._guest = memory_id
        return OUTSIDE

    async def _guest_row(self, store: Store, chosen: Filter) -> Memory | None:
        """Return the memory of the first row that the filters hide; None without one, and once they have changed."""
        if self._guest is None:
            return None
        shown = self._source_key[:2] if self._source_key is not None else None
        hidden = shown == (self.query_one(FilterBar).chips, self._sort) and (
            await store.memories.position(self._guest, chosen, sort=self._sort) is None
        )
        existing = await store.memories.get_many([self._guest]) if hidden else ()
        if not existing:
            self._guest = None
        return existing[0] if existing else None

    async def _count(self, store: Store) -> tuple[Filter, int, int, int, Memory | None]:
        """Return the filter, three numbers and the guest.

        The numbers are of its memories, of those without the key of the order, and of the replaced ones that the whole
        list hides, where there is room to say so.
        """
        chosen, sort = await self.current_filter(store), self._sort
        count, last = await store.memories.count(chosen), await store.memories.count_last(chosen, sort=sort)
        hidden = 0
        if not self.bar.chips and self.size.width >= HIDDEN_FROM_COLUMNS:
            # They have an index: all memories are not counted a second time.
            hidden = await store.memories.count(Filter(states=("replaced",)))
        return chosen, count, last, hidden, await self._guest_row(store, chosen)

    def _fetcher(self, store: Store, sort: Sort, guest: Memory | None) -> Fetch:
        async def fetch(offset: int, limit: int, after: str | None) -> Page[Memory]:
            above = [guest] if guest is not None and offset == 0 else []
            offset -= guest is not None and offset > 0
            page = await store.page(
                self._filter,
                sort=sort,
                limit=limit - len(above),
                after=after,
                offset=offset,
                head=HEAD_CHARS,
                moment=self._moment,
            )
            if store.moment is not None:
                edited = await store.history.edited_since(page.items, store.moment)
                self.query_one(MemoryTable).note_edited(page.items, edited)
            return Page((*above, *page.items), page.next)

        return fetch

    def _locator(self, store: Store, sort: Sort, guest: Memory | None) -> Locate:
        async def locate(memory_id: str) -> int | None:
            if guest is not None and memory_id == guest.id:
                return 0
            position = await store.memories.position(memory_id, self._filter, sort=sort, moment=self._moment)
            return None if position is None else position + (guest is not None)

        return locate

    @on(MemoryTable.Failed)
    def _failed(self, event: MemoryTable.Failed) -> None:
        self.complain(event.error)

    def _say_nothing(self, filtered: bool) -> None:
        nothing = self.query_one("#nothing", Empty)
        key = self.key_named
        keys = [] if self.replaced_too else [(key(ToggleSuperseded), "show replaced memories too")]
        if filtered:
            change, clear = key(PickFilters, typing=True), key(Leave)
            nothing.say(
                "No memory passes these filters.", (change, "change the filters"), (clear, "clear the filters"), *keys
            )
        else:
            nothing.say("This store has no memories yet.", (key(AddMemory), "add the first memory"))

    def action_filter(self) -> None:
        self.reading = False
        self.query_one(FilterBar).focus_input()

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_sort(self) -> None:
        choices = [Choice(sort, label) for sort, label in SORTS.items()]
        picked = await self.app.push_screen_wait(Pick("Sort by", choices))
        for sort in SORTS:
            if sort == picked:
                self._sort_by(sort)

    @on(MemoryTable.SortChosen)
    def _sort_chosen(self, event: MemoryTable.SortChosen) -> None:
        self._sort_by(event.sort)

    def _sort_by(self, sort: Sort) -> None:
        self._sort = sort
        self.refresh_place()

    # Moving between list and card

    @on(FilterBar.Left)
    def _to_the_table(self) -> None:
        self.query_one(MemoryTable).focus()

    def action_back(self) -> None:
        bar = self.query_one(FilterBar)
        if self.close_card():
            return
        if bar.has_focus_within:
            bar.set_text("")
        elif bar.chips:
            bar.set_chips(())
        else:
            super().action_back()
        self.query_one(MemoryTable).focus()

    @on(MemoryTable.MemoryHighlighted)
    def _highlighted(self, event: MemoryTable.MemoryHighlighted) -> None:
        self.read_memory(event.memory)
        self.tell_keys()

    @on(MemoryTable.NotHere)
    def _not_here(self) -> None:
        if self.the_list().everything:
            self.say(f"All rows are selected; {self.key_named(ClearSelection)} clears the selection.", severity="quiet")
            return
        self.say(STILL_SELECTING if self.still_selecting else self.why_no_memory(), severity="quiet")

    @on(MemoryTable.MemoryChosen)
    def _chosen(self, event: MemoryTable.MemoryChosen) -> None:
        self.open_card()

    @on(MemoryTable.SelectionChanged)
    def _selected(self, event: MemoryTable.SelectionChanged) -> None:
        self.show_selection(event.memories, cut=event.cut, everything=event.everything, lost=event.lost)

    # Subject of commands

    @property
    def still_selecting(self) -> bool:
        return self.query_one(MemoryTable).selecting

    @property
    def list_filter(self) -> Filter:
        return self._filter

    def the_list(self) -> MemoryTable:
        return self.query_one(MemoryTable)

    def show_current(self) -> None:
        self.read_memory(self.query_one(MemoryTable).current)

    def memory_under_cursor(self) -> Memory | None:
        return self.query_one(MemoryTable).current
