"""What Search, Browse and Review have in common: commands on the memory under the cursor, or on the selection."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widget import Widget

from vestige_tui.core.errors import NotFound, ReadOnly, Usage, VestigeError
from vestige_tui.core.filter_syntax import BadChip
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Memory, Patch
from vestige_tui.core.text import cells, cut, grouped, one_line, plain, short_id
from vestige_tui.tui.browse.memory_table import selection_line
from vestige_tui.tui.commands import (
    ClearSelection,
    CopyId,
    CopyMemory,
    DeleteMemory,
    EditMemory,
    GradeMemory,
    LinkMemory,
    SupersedeMemory,
    TagMemory,
)
from vestige_tui.tui.dialogs.details import detail_of
from vestige_tui.tui.dialogs.editor import EditedText
from vestige_tui.tui.dialogs.modals import Ask, Choice, Confirm, Pick
from vestige_tui.tui.filtered_place import FilteredPlace
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.memory_card import MemoryCard
from vestige_tui.tui.widgets.status_line import Said, StatusLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from vestige_tui.core.memories import Change, DeletePreview
    from vestige_tui.core.search import Answer, Hit
    from vestige_tui.store.store import Store
    from vestige_tui.tui.widgets.memory_rows import MemoryRows

T = TypeVar("T")

SHOWN_ROWS = 200
KIND_CELLS = 14
NOTE_CELLS = 300
READ_AFTER_SECONDS = 0.04
PATIENCE_SECONDS = 0.3
ON_THE_CURRENT = {
    command.action for command in (EditMemory, CopyMemory, CopyId, LinkMemory, SupersedeMemory, GradeMemory)
}
ON_THE_CHOSEN = {command.action for command in (TagMemory, DeleteMemory)}
STILL_LOADED = "This row is still being loaded."
STILL_SELECTING = "Still selecting…"
LINK_TYPES = ("related", "supports", "contradicts", "causes", "part_of", "follows")


class MemoryPlace(FilteredPlace):
    """A place that shows memories. A subclass tells which of them a command is about."""

    def __init__(self) -> None:
        super().__init__()
        self._look: object | None = None
        self._offered: tuple[Said, int] | None = None

    def now(self) -> datetime:
        """The moment, by the store's clock once it is open."""
        return self.store.now() if self.store is not None else datetime.now(UTC)

    def current_memory(self) -> Memory | None:
        """The memory under the cursor."""
        raise NotImplementedError

    def chosen_memories(self) -> Sequence[Memory]:
        """The selection, or else the memory under the cursor."""
        memory = self.current_memory()
        return (memory,) if memory else ()

    def will_change(self, memories: Sequence[Memory]) -> None:
        """These are about to be written from here; a place that follows the store need not wonder who did it."""

    def changed(self, change: Change, sentence: str) -> None:
        """Something was written: say it, and show it."""
        note = f"{sentence} {change.warnings[0]}" if change.warnings else sentence
        self.say(note, change.undo, "waiting" if change.warnings else "done")
        self._offered = (self._status.said, change.undo) if change.undo is not None else None
        self.console.note_change()

    def _writable(self) -> Store | None:
        """The store, if it can be written; else the line below says why not. None behind a dialog: it has the keys."""
        store = self.store
        if self.app.screen is not self:
            return None
        if store is None:
            self.say("The store is not open yet.", severity="waiting")
        elif store.read_only:
            self.say_error(ReadOnly(f"This store is read-only: {store.read_only_reason}."))
        else:
            return store
        return None

    async def looked(self, asking: Awaitable[T], *, slow: str, gone_on: str) -> T | None:
        """What has to be known before a dialog, an editor or a screen is opened; ``slow`` is said of a slow answer.

        None where it must not be opened any more: the person is elsewhere, and ``gone_on`` says so, or has given
        another command that looks as well.
        """
        self._look = look = object()
        patience = self.set_timer(PATIENCE_SECONDS, partial(self._say_it_looks, look, slow))
        try:
            answer = await asking
        finally:
            patience.stop()
            superseded = self._look is not look
            if not superseded:
                self._look = None
                if self._status.said[0] == slow:
                    self.say("")
        if superseded:
            return None
        if self.app.screen is not self:
            self.say(gone_on, severity="quiet")
            return None
        return answer

    def _say_it_looks(self, look: object, slow: str) -> None:
        if self._look is look and self.app.screen is self:
            self.say(slow, severity="quiet")

    # Copy

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_copy_memory(self) -> None:
        memory = self.current_memory()
        if memory is None or self.store is None:
            return
        # A list holds only the beginning of a text.
        whole = plain((await self.store.get(memory.id)).content, newlines=True)
        self.app.copy_to_clipboard(whole)
        self.say(f"Copied the text, {grouped(len(whole))} characters.", severity="quiet")

    def action_copy_id(self) -> None:
        if memory := self.current_memory():
            self.app.copy_to_clipboard(plain(memory.id))
            self.say(f"Copied the id {plain(memory.id)}.", severity="quiet")

    # Write

    @work(group="write", exit_on_error=False)
    async def action_add_memory(self) -> None:
        store = self._writable()
        if store is None:
            return
        edited = EditedText("", "new-memory")
        if not edited.edit(self.app) or not edited.text.strip():
            edited.discard()
            self.say("Nothing was written.", severity="quiet")
            return
        change = await self._keep_draft(edited, store.insert(Draft(edited.text)))
        self.changed(change, f"Added {short_id(change.changed[0])}.")

    @work(group="write", exit_on_error=False)
    async def action_edit_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        whole = await self.looked(
            store.get(memory.id), slow="Reading the text…", gone_on="Nothing was edited; you had gone on."
        )
        if whole is None:
            return
        edited = EditedText(whole.content, short_id(plain(memory.id)))
        if not edited.edit(self.app) or not edited.text.strip():
            edited.discard()
            self.say("Nothing was changed.", severity="quiet")
            return
        patch = Patch(content=edited.text)
        self.will_change([memory])
        change = await self._keep_draft(edited, store.update(memory.id, patch, expected=whole.updated_at))
        self.changed(change, "Saved the edit.")

    async def _keep_draft(self, edited: EditedText, writing: Coroutine[object, object, Change]) -> Change:
        """Write, and throw the draft away only once that has worked: no text a person typed is lost."""
        try:
            change = await writing
        except VestigeError as error:
            raise type(error)(f"{error.message} Your text is kept in {edited.path}.") from error
        except Exception as error:
            raise VestigeError(f"The text could not be saved; it is kept in {edited.path}.") from error
        edited.discard()
        return change

    @work(group="write", exit_on_error=False)
    async def action_tag_memory(self) -> None:
        store, memories = self._writable(), self.chosen_memories()
        if store is None or not memories:
            return
        have = _enumerated(list(dict.fromkeys(tag for memory in memories for tag in memory.tags))) or "no tags yet"
        typed = await self.app.push_screen_wait(
            Ask(f"Tags of {_named(memories)}", placeholder="+add -remove", note=f"Now: {have}")
        )
        if not typed or not typed.strip():
            return
        add = [word.removeprefix("+") for word in typed.split() if not word.startswith("-")]
        remove = [word[1:] for word in typed.split() if word.startswith("-")]
        change, there = await self._to_those_there(store, memories, lambda ids: store.tag(ids, add, remove))
        if change is None:
            self.say(f"{_gone(len(memories))}; nothing was tagged.", severity="waiting")
            return
        tagged = [memory for memory in there if memory.id in change.changed]
        said = f"Tagged {_named(tagged)}" if tagged else "No tag was changed"
        self.changed(change, said + _of_them_gone(len(memories) - len(there)))

    async def _to_those_there(
        self, store: Store, memories: Sequence[Memory], write: Callable[[Sequence[str]], Awaitable[Change]]
    ) -> tuple[Change | None, Sequence[Memory]]:
        """Write to those of these memories that are still there, and tell which; None where none is."""
        try:
            return await write([memory.id for memory in memories]), memories
        except NotFound:
            there = await self._still_there(store, memories)
        return (await write([memory.id for memory in there]) if there else None), there

    async def _still_there(self, store: Store, memories: Sequence[Memory]) -> Sequence[Memory]:
        there = await store.get_many([memory.id for memory in memories])
        ids = {memory.id for memory in there}
        self.forget_gone([memory for memory in memories if memory.id not in ids])
        return there

    async def _what_would_go(self, store: Store, memories: Sequence[Memory]) -> DeletePreview:
        try:
            return await store.delete_preview([memory.id for memory in memories])
        except NotFound:
            there = await self._still_there(store, memories)
        return await store.delete_preview([memory.id for memory in there])

    @work(group="write", exit_on_error=False)
    async def action_delete_memory(self) -> None:
        store, memories = self._writable(), self.chosen_memories()
        if store is None or not memories:
            return
        preview = await self.looked(
            self._what_would_go(store, memories),
            slow="Looking at what would go…",
            gone_on="Nothing was deleted; you had gone on.",
        )
        if preview is None:
            return
        chosen, memories = len(memories), preview.memories
        if not memories:
            self.say(f"{_gone(chosen)}; nothing was deleted.", severity="waiting")
            return
        notes = [f"{_gone(chosen - len(memories))}."] if len(memories) < chosen else []
        trail = [_counted(preview.edges, "link"), _counted(preview.reviews, "review")]
        if preview.edges or preview.reviews:
            notes.append(f"With {'it' if len(memories) == 1 else 'them'} go {' and '.join(filter(None, trail))}.")
        if preview.resurrected:
            back = ", ".join(one_line(memory.content, 40) for memory in preview.resurrected[:3])
            notes.append(f"What {'it' if len(memories) == 1 else 'they'} replaced comes back: {back}")
        kinds = [cut(plain(memory.node_type), KIND_CELLS) for memory in preview.memories[:SHOWN_ROWS]]
        widest = max(map(cells, kinds))
        lines = [
            f"{kind}{' ' * (widest - cells(kind))}  {one_line(memory.content)}"
            for kind, memory in zip(kinds, preview.memories, strict=False)
        ]
        if len(preview.memories) > SHOWN_ROWS:
            lines.append(f"and {grouped(len(preview.memories) - SHOWN_ROWS)} more")
        # One memory without a trail can be brought back with one key: asking first would only be in the way.
        if (len(memories) > 1 or notes) and not await self.app.push_screen_wait(
            Confirm(f"Delete {_named(memories)}?", lines, notes=notes)
        ):
            return
        self.will_change(memories)
        change, deleted = await self._to_those_there(store, memories, store.delete)
        self.forget_selection()
        if change is None:
            self.say(f"{_gone(chosen)}; nothing was deleted.", severity="waiting")
        else:
            self.changed(change, f"Deleted {_named(deleted)}" + _of_them_gone(chosen - len(deleted)))

    def forget_selection(self) -> None:
        """The selected memories are gone."""

    def forget_gone(self, memories: Sequence[Memory]) -> None:
        """These memories are gone; what else is selected stays so."""

    @work(group="write", exit_on_error=False)
    async def action_link_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        title, gone_on = f"Link {one_line(memory.content, 40)} to", "Nothing was linked; you had gone on."
        other = await self._ask_for_memory(store, title, gone_on)
        if other is None:
            return
        kind = await self.app.push_screen_wait(
            Pick("How are they related?", [Choice(name, name) for name in LINK_TYPES])
        )
        if kind is None:
            return
        self.changed(await store.add_edge(Edge(memory.id, other, kind)), "Linked the two memories.")

    @work(group="write", exit_on_error=False)
    async def action_supersede_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        if memory.superseded_by is not None:
            self.changed(await store.unsupersede(memory.id), "Nothing replaces this memory any more.")
            return
        title, gone_on = f"What replaces {one_line(memory.content, 40)}?", "Nothing was replaced; you had gone on."
        other = await self._ask_for_memory(store, title, gone_on)
        if other is not None:
            self.will_change([memory])
            self.changed(await store.supersede(memory.id, other), "Another memory replaces this one now.")

    async def _ask_for_memory(self, store: Store, title: str, gone_on: str) -> str | None:
        """Ask for another memory: by id, or by words whose best hits are then offered."""
        typed = await self.app.push_screen_wait(Ask(title, placeholder="words that find it, or its id"))
        if not typed or not typed.strip():
            return None
        found = await self.looked(_meant(store, typed), slow="Searching…", gone_on=gone_on)
        if found is None or isinstance(found, str):
            return found
        choices = [Choice(hit.memory.id, one_line(hit.memory.content)) for hit in found]
        return await self.app.push_screen_wait(Pick(title, choices))

    @work(group="write", exit_on_error=False)
    async def action_undo(self) -> None:
        store = self._writable()
        if store is None:
            return
        # What the line offers to take back is that change, whoever has written another one since.
        offered, self._offered = self._offered, None
        change = await store.undo(offered[1] if offered is not None and offered[0] == self._status.said else None)
        self.changed(
            change, f"Took back the last change of {grouped(len(change.changed))} " + _plural(len(change.changed))
        )

    @work(group="write", exit_on_error=False)
    async def action_grade_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        from vestige_tui.core.reviews import Rating
        from vestige_tui.core.scheduling import preview
        from vestige_tui.core.text import ago

        whole = await self.looked(
            store.get(memory.id), slow="Reading its dates…", gone_on="Nothing was graded; you had gone on."
        )
        if whole is None:
            return
        dates = preview(whole.scheduling, store.now(), store.policy)
        choices = []
        for rating, state in dates.items():
            when = ago(state.next_review, store.now()) if state.next_review else ""
            choices.append(Choice(str(int(rating)), f"{int(rating)} {rating.name.capitalize():<6}  {when}"))
        picked = await self.app.push_screen_wait(Pick(one_line(memory.content, 60), choices, placeholder="1 to 4"))
        if picked is None:
            return
        self.will_change([memory])
        change = await store.record_review(memory.id, Rating(int(picked)), expected=whole.scheduling)
        due = change.scheduling.next_review if change.scheduling else None
        self.changed(
            change, f"Graded {Rating(int(picked)).name.capitalize()}; due {ago(due, store.now()) if due else ''}."
        )


class ReadingPlace(MemoryPlace):
    """A list with one memory open beside it, or instead of it where there is no room for both.

    A subclass composes a `FilterBar` and then ``compose_found``, and tells which widget the list is. It gives the
    keyboard to the line or the list itself: behind a dialog, letters are what they were before it.
    """

    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._keys_told: tuple[str, str] | None = None
        self._keys_wait: Timer | None = None

    def the_list(self) -> MemoryRows:
        """The list beside the card."""
        raise NotImplementedError

    def chosen_memories(self) -> Sequence[Memory]:
        return self.the_list().chosen_or_current

    def forget_selection(self) -> None:
        self.the_list().select_none()

    def forget_gone(self, memories: Sequence[Memory]) -> None:
        self.the_list().deselect([memory.id for memory in memories])

    def compose_found(self, rows: Widget) -> ComposeResult:
        """The list and the card beside it, what stands there instead, and the line that says what is selected."""
        with Horizontal(id="found"):
            yield rows
            yield Empty("Opening the store…", id="nothing")
            yield MemoryCard(clock=self.now, id="card")
        yield StatusLine(id="chosen")

    def on_mount(self) -> None:
        super().on_mount()
        self.add_class("-nothing")

    # What can be done

    @property
    def still_selecting(self) -> bool:
        """Whether rows that were selected are still being read."""
        return False

    def why_not(self, action: str) -> str:
        if action not in ON_THE_CURRENT and action not in ON_THE_CHOSEN:
            return super().why_not(action)
        if self.store is None:
            return "The store is not open yet."
        if action in ON_THE_CHOSEN and self.still_selecting:
            return STILL_SELECTING
        if self.current_memory() is None if action in ON_THE_CURRENT else not self.chosen_memories():
            return self.why_no_memory()
        return ""

    def why_no_memory(self) -> str:
        """Why no memory is under the cursor, as a sentence."""
        return STILL_LOADED if self.the_list().count else "There is no memory here."

    def tell_keys(self) -> None:
        """Show on the line of keys what can be done by now; rows that come at once make it do nothing."""
        keys = self.why_not(CopyMemory.action), self.why_not(DeleteMemory.action)
        if self._keys_wait is not None:
            self._keys_wait.stop()
            self._keys_wait = None
        if keys == self._keys_told:
            return
        if STILL_LOADED in keys:
            self._keys_wait = self.set_timer(PATIENCE_SECONDS, self._tell_keys_now)
        else:
            self._tell_keys_now()

    def _tell_keys_now(self) -> None:
        self._keys_told = self.why_not(CopyMemory.action), self.why_not(DeleteMemory.action)
        self.refresh_bindings()

    # The card

    def open_card(self) -> None:
        """Go on to the card; without room for both it takes the place of the list."""
        self._show_no_other(self.current_memory())
        self.add_class("-reading")
        self.query_one(MemoryCard).focus()

    def close_card(self) -> bool:
        """Go back to the list; tells whether a card was open."""
        was_open = self.has_class("-reading") or self.query_one(MemoryCard).has_focus_within
        self.remove_class("-reading")
        if was_open:
            self.the_list().focus()
        return was_open

    @work(group="read", exclusive=True, exit_on_error=False)
    async def read_memory(self, memory: Memory | None, hit: Hit | None = None) -> None:
        """Show this memory on the card, and how it was found."""
        card = self.query_one(MemoryCard)
        if memory is None or self.store is None:
            card.clear()
            return
        if self.has_class("-reading"):
            self._show_no_other(memory)
        if card.detail is not None and card.detail.memory.id != memory.id:
            # Who runs through a list reads nothing on the way.
            await asyncio.sleep(READ_AFTER_SECONDS)
        try:
            await card.show(await detail_of(self.store, memory.id, hit))
        except NotFound:
            card.clear()
        except VestigeError:
            self._show_no_other(memory)
            raise

    def _show_no_other(self, memory: Memory | None) -> None:
        """Clear the card if it shows another memory: commands would act on one that nobody sees."""
        card = self.query_one(MemoryCard)
        if card.detail is not None and (memory is None or card.detail.memory.id != memory.id):
            card.clear()

    # Asking

    async def answered(self, asking: Awaitable[T]) -> T | None:
        """What the store answers; None where it refuses, and then a line says why until it answers again."""
        try:
            answer = await asking
        except BadChip:
            # Said in the line; what is shown stays.
            return None
        except VestigeError as error:
            self.complain(error)
            return None
        self.answered_again()
        return answer

    # The selection

    def show_selection(self, memories: Sequence[Memory], *, cut: bool = False) -> None:
        """Say on a line of its own what is selected and what can be done with it, as long as it is."""
        self.set_class(bool(memories), "-chosen")
        self.tell_keys()
        if not memories:
            return
        said = selection_line(tuple(memories)) + (", as many as can be at once" if cut else "")
        keys = [f"{self._key_of(command.id, command.key)} {command.label}" for command in (TagMemory, DeleteMemory)]
        self.query_one("#chosen", StatusLine).say(
            f"{said}:  {'   '.join(keys)}", f"{self.key_named(ClearSelection)} give up"
        )


async def _meant(store: Store, typed: str) -> str | Answer:
    """The id that was typed, or the memories that answer these words. Raises Usage where none does."""
    from vestige_tui.core.search import SearchQuery

    try:
        return await store.resolve(typed)
    except VestigeError:
        answer = await store.search(SearchQuery(typed, limit=30))
    if not answer:
        raise Usage(f"No memory answers {plain(typed)!r}.")
    return answer


def _plural(count: int) -> str:
    return "memory." if count == 1 else "memories."


def _enumerated(names: Sequence[str]) -> str:
    """The names one after the other, as many as a dialog has room for; at least the beginning of the first."""
    said: list[str] = []
    room = NOTE_CELLS
    for name in names:
        shown = cut(plain(name), NOTE_CELLS)
        room -= cells(shown) + 2
        if said and room < 0:
            break
        said.append(shown)
    more = len(names) - len(said)
    return ", ".join(said) + (f" and {grouped(more)} more" if more else "")


def _counted(count: int, what: str) -> str:
    return f"{grouped(count)} {what}{'' if count == 1 else 's'}" if count else ""


def _gone(count: int) -> str:
    if count == 1:
        return "One memory was deleted elsewhere meanwhile"
    return f"{grouped(count)} memories were deleted elsewhere meanwhile"


def _of_them_gone(count: int) -> str:
    if not count:
        return "."
    return f"; {grouped(count)} {'was' if count == 1 else 'were'} gone already."


def _named(memories: Sequence[Memory]) -> str:
    return one_line(memories[0].content, 40) if len(memories) == 1 else f"{grouped(len(memories))} memories"
