"""ReadingPlace: base of Search and Browse, a list of memories with a memory card beside it.

Inheritance: Place (place.py) → FilteredPlace (filtered_place.py) → MemoryPlace (memory_place.py) → ReadingPlace (here).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from vestige_tui.core.bulk import Target
from vestige_tui.core.errors import NotFound, VestigeError
from vestige_tui.core.filter_syntax import BadChip
from vestige_tui.core.memories import Filter, Memory
from vestige_tui.core.search import NO_TERMS
from vestige_tui.core.text import grouped
from vestige_tui.presenters.bulk import many
from vestige_tui.tui import layout_widths
from vestige_tui.tui.browse.memory_table import selection_line
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.lists import ClearSelection
from vestige_tui.tui.commands.memories import (
    CopyId,
    CopyMemory,
    DeleteMemory,
    EditFields,
    EditMemory,
    GradeMemory,
    LinkMemory,
    MarkMemory,
    OpenWebLink,
    SupersedeMemory,
    TagMemory,
    ToggleCard,
    ToggleMetadata,
)
from vestige_tui.tui.commands.moments import ShowLineage
from vestige_tui.tui.dialogs.details import detail_of
from vestige_tui.tui.memory_place import PATIENCE_SECONDS, STILL_SELECTING, MemoryPlace
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.memory_card import MemoryCard, Step
from vestige_tui.tui.widgets.status_line import StatusLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from vestige_tui.core.search import Hit, MatchTerms
    from vestige_tui.tui.widgets.memory_rows import MemoryRows

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_AFTER_SECONDS = 0.04
"""Debounce: a row is read when the cursor has stood on it for this time."""
ON_THE_CURRENT = {command.action for command in (EditMemory, OpenWebLink, LinkMemory, GradeMemory, ShowLineage)}
ON_THE_CHOSEN = {
    command.action for command in (CopyMemory, CopyId, TagMemory, EditFields, MarkMemory, SupersedeMemory, DeleteMemory)
}
ON_A_SELECTION = (TagMemory, EditFields, DeleteMemory)
"""Commands that the line of the selection names."""
OUTSIDE = " (outside the filters; shown as the first row)"
STILL_LOADED = "This row is still loading."


class ReadingPlace(MemoryPlace):
    """MemoryPlace with a list and a memory card side by side, or one of the two in a narrow terminal.

    A subclass composes a `FilterBar` and ``compose_found``, and implements ``the_list``. It focuses the filter line or
    the list itself: behind a dialog the focus must not move.
    """

    AUTO_FOCUS = ""
    reading: reactive[bool] = reactive(False, repaint=False, toggle_class="-reading")
    """True while the card is open; in a narrow terminal it replaces the list."""

    def __init__(self) -> None:
        super().__init__()
        # Before there are widgets: a class added later applies the style sheet to all of them again.
        self.add_class("-nothing", update=False)
        self._shown_keys: tuple[str, str] | None = None
        self._keys_timer: Timer | None = None

    def the_list(self) -> MemoryRows:
        """Return the list beside the card."""
        raise NotImplementedError

    def chosen_memories(self) -> Sequence[Memory]:
        visited = self._visited
        return (visited,) if visited is not None else self.the_list().chosen_or_current

    def target(self) -> Target | None:
        if self.the_list().everything:
            return Target(filter=self.list_filter)
        return super().target()

    def selection(self) -> Target | None:
        rows = self.the_list()
        return self.target() if rows.selected or rows.everything else None

    @property
    def list_filter(self) -> Filter:
        """Filter that the rows of the list pass."""
        return Filter()

    def chosen_subject(self) -> str:
        rows = self.the_list()
        return many(rows.count) if rows.everything else super().chosen_subject()

    def forget_selection(self) -> None:
        self.the_list().select_none()

    def forget_gone(self, ids: Sequence[str]) -> None:
        self.the_list().deselect(ids)

    def compose_found(self, rows: Widget) -> ComposeResult:
        """Yield the list, its empty state and the card side by side, and the line of the selection."""
        with Horizontal(id="found"):
            yield rows
            yield Empty("Opening the store…", id="nothing")
            yield MemoryCard(clock=self.now, id="card")
        yield StatusLine(id="chosen")

    def memory_under_cursor(self) -> Memory | None:
        """Return the memory of the list's current row."""
        raise NotImplementedError

    def current_memory(self) -> Memory | None:
        # A memory that was opened by a link of the card is the object of the commands, for it is in sight.
        return self._visited or self.memory_under_cursor()

    @property
    def _visited(self) -> Memory | None:
        """Memory that was opened by a link of the card."""
        card = self.query_one(MemoryCard)
        return card.detail.memory if card.visiting and card.detail is not None else None

    # Enabled commands

    def why_not(self, action: str) -> str:
        reason = super().why_not(action)
        if action == ToggleCard.action and not layout_widths.is_wide(self.size.width):
            return "This terminal is too narrow to show the card beside the list; enter opens the memory."
        if reason or (action not in ON_THE_CURRENT and action not in ON_THE_CHOSEN):
            return reason
        if self.store is None:
            return NOT_OPEN
        if action in ON_THE_CHOSEN and self.still_selecting:
            return STILL_SELECTING
        if action in ON_THE_CURRENT:
            return "" if self.current_memory() is not None else self.why_no_memory()
        if self.target() is None:
            return self.why_no_memory()
        return ""

    def why_no_memory(self) -> str:
        """Return the reason for which no memory is under the cursor, as a sentence."""
        return STILL_LOADED if self._row_is_loading() else "There is no memory here."

    def _row_is_loading(self) -> bool:
        """Check whether the cursor is on a row whose memory is still being read."""
        return self.store is not None and self.current_memory() is None and self.the_list().count > 0

    def tell_keys(self) -> None:
        """Refresh the key line if the enabled commands have changed; debounced while rows load."""
        keys = self._reasons_of_keys()
        if self._keys_timer is not None:
            self._keys_timer.stop()
            self._keys_timer = None
        if keys == self._shown_keys:
            return
        if self._row_is_loading():
            self._keys_timer = self.set_timer(PATIENCE_SECONDS, self._show_keys_now)
        else:
            self._show_keys_now()

    def _show_keys_now(self) -> None:
        self._shown_keys = self._reasons_of_keys()
        self.refresh_bindings()

    def _reasons_of_keys(self) -> tuple[str, str]:
        """Return the reasons against a command on the current memory, and against one on the chosen ones.

        Neither of the two writes, so that no reason of the store hides that of the rows.
        """
        return self.why_not(OpenWebLink.action), self.why_not(CopyMemory.action)

    # The card

    @property
    def is_page_open(self) -> bool:
        return self.reading and not layout_widths.is_wide(self.size.width)

    def open_card(self) -> None:
        """Focus the card; in a narrow terminal it replaces the list."""
        self._clear_other(self.current_memory())
        self.reading = True
        self.query_one(MemoryCard).focus()

    def close_card(self) -> bool:
        """Go back to the memory from which a link was opened, else to the list; return whether the card was open."""
        card = self.query_one(MemoryCard)
        was_open = self.reading or card.has_focus_within
        if was_open and (step := card.step_back()) is not None:
            self._return_to(step)
            return True
        self.reading = False
        if was_open:
            self.the_list().focus()
        return was_open

    @work(group="read", exclusive=True, exit_on_error=False)
    async def read_memory(self, memory: Memory | None, hit: Hit | None = None, terms: MatchTerms = NO_TERMS) -> None:
        """Show this memory on the card, with the ranks of its hit, and mark what matches the terms of the search."""
        card = self.query_one(MemoryCard)
        if memory is None or self.store is None:
            card.clear()
            return
        if card.visiting and card.origin_id == memory.id and (visited := self._visited) is not None:
            # The list was read again; the card stays where its links led.
            memory, hit = visited, None
        if self.reading:
            self._clear_other(memory)
        if card.detail is not None and card.detail.memory.id != memory.id:
            # Debounce: rows that the cursor only passes are not read.
            await asyncio.sleep(READ_AFTER_SECONDS)
        try:
            await card.show(await detail_of(self.store, memory.id, hit, terms))
        except NotFound as error:
            log.debug("The memory of the card is gone: %s", error)
            card.clear()
        except VestigeError:
            self._clear_other(memory)
            raise

    @on(MemoryCard.LinkOpened)
    def _link_opened(self, event: MemoryCard.LinkOpened) -> None:
        self._visit(event.memory_id)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _visit(self, memory_id: str) -> None:
        """Show the memory of a link on the card."""
        if self.store is None:
            return
        detail = await detail_of(self.store, memory_id)
        self.reading = True
        await self.query_one(MemoryCard).visit(detail)
        self.tell_keys()

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _return_to(self, step: Step) -> None:
        """Show the memory before the last link as it was left."""
        await self.query_one(MemoryCard).restore(step)
        self.tell_keys()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        card = self.query_one(MemoryCard)
        if card.visiting and event.widget is not card:
            # The list's own memory is in sight again before its keys act.
            card.clear()
            self.show_current()

    def show_current(self) -> None:
        """Show the memory of the list's current row on the card."""
        raise NotImplementedError

    # Hiding the card

    def action_toggle_card(self) -> None:
        self.console.card_hidden = not self.console.card_hidden
        self._show_hidden()
        if self.console.card_hidden and self.query_one(MemoryCard).has_focus_within:
            self.the_list().focus()
        key = self.key_named(ToggleCard)
        self.say(f"{key} shows the card again." if self.console.card_hidden else "", severity="quiet")

    def action_show_lineage(self) -> None:
        from vestige_tui.tui.lineage.page import LineageScreen

        if (memory := self.current_memory()) is not None:
            self.app.push_screen(LineageScreen(memory))

    def action_toggle_metadata(self) -> None:
        self.query_one(MemoryCard).action_toggle_metadata()

    def _show_hidden(self) -> None:
        self.set_class(self.console.card_hidden, "-zoomed")
        self.reading = self.reading and not self.console.card_hidden

    def on_screen_resume(self) -> None:
        self._show_hidden()
        self.query_one(MemoryCard).name_key(self.key_named(ToggleMetadata))
        super().on_screen_resume()

    def _clear_other(self, memory: Memory | None) -> None:
        """Clear the card if it shows another memory: commands must not act on one that is out of sight."""
        card = self.query_one(MemoryCard)
        if card.detail is not None and (memory is None or card.detail.memory.id != memory.id):
            card.clear()

    # Queries

    async def answer_or_none(self, query: Awaitable[T]) -> T | None:
        """Await a query of the store; on an error show it until the next answer, and return None."""
        try:
            answer = await query
        except BadChip:
            # The filter line shows the fault; the list stays as it is.
            return None
        except VestigeError as error:
            self.complain(error)
            return None
        self.answered_again()
        return answer

    # The selection

    def show_selection(
        self, memories: Sequence[Memory], *, cut: bool = False, everything: int = 0, lost: int = 0
    ) -> None:
        """Show the selection and its commands on a line of their own while there is one; note its lost memories."""
        self.set_class(bool(memories or everything), "-chosen")
        self.tell_keys()
        if lost:
            subject = "1 memory is" if lost == 1 else f"{grouped(lost)} memories are"
            self.say(f"The list has changed: {subject} no longer selected.", severity="quiet")
        if not memories and not everything:
            return
        # Where there is little room the keys have it.
        narrow = layout_widths.is_narrow(self.size.width)
        sentence = f"{grouped(len(memories))} selected" if narrow else selection_line(tuple(memories))
        sentence += " (the limit)" if cut else ""
        if everything:
            sentence = f"All {grouped(everything)} selected"
        shown = self._keys_of({command.id: command.key for command in ON_A_SELECTION})
        keys = [f"{shown[command.id]} {command.label}" for command in ON_A_SELECTION]
        self.query_one("#chosen", StatusLine).say(
            f"{sentence}:  {'   '.join(keys)}", f"{self.key_named(ClearSelection)} clear"
        )
