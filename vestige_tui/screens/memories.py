"""What Search, Browse and Review have in common: commands on the memory under the cursor, or on the selection."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from vestige_tui.chips import BadChip
from vestige_tui.commands import DeleteMemory, TagMemory
from vestige_tui.errors import NotFound, ReadOnly, Usage, VestigeError
from vestige_tui.model import Draft as NewMemory
from vestige_tui.model import Edge, Memory, Patch
from vestige_tui.screens.details import detail_of
from vestige_tui.screens.editor import Draft
from vestige_tui.screens.filters import FilteredPlace
from vestige_tui.screens.modals import Ask, Choice, Confirm, Pick
from vestige_tui.text import cells, cut, grouped, one_line, plain, short_id
from vestige_tui.widgets.empty import Empty
from vestige_tui.widgets.memory_card import MemoryCard
from vestige_tui.widgets.memory_table import selection_line
from vestige_tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Sequence

    from vestige_tui.model import Change, Hit
    from vestige_tui.store.service import Store

T = TypeVar("T")

SHOWN_ROWS = 200
KIND_CELLS = 14
READ_AFTER_SECONDS = 0.04
LINK_TYPES = ("related", "supports", "contradicts", "causes", "part_of", "follows")


class MemoryPlace(FilteredPlace):
    """A place that shows memories. A subclass tells which of them a command is about."""

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
        self.console.note_change()

    def _writable(self) -> Store | None:
        """The store, if it can be written; else the line below says why not."""
        store = self.store
        if store is None:
            self.say("The store is not open yet.", severity="waiting")
        elif store.read_only:
            self.say_error(ReadOnly(f"This store is read-only: {store.read_only_reason}."))
        else:
            return store
        return None

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
        draft = Draft("", "new-memory")
        if not draft.edit(self.app) or not draft.text.strip():
            draft.discard()
            self.say("Nothing was written.", severity="quiet")
            return
        change = await self._keep_draft(draft, store.insert(NewMemory(draft.text)))
        self.changed(change, f"Added {short_id(change.changed[0])}.")

    @work(group="write", exit_on_error=False)
    async def action_edit_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        whole = await store.get(memory.id)
        draft = Draft(whole.content, short_id(plain(memory.id)))
        if not draft.edit(self.app) or not draft.text.strip():
            draft.discard()
            self.say("Nothing was changed.", severity="quiet")
            return
        patch = Patch(content=draft.text)
        self.will_change([memory])
        change = await self._keep_draft(draft, store.update(memory.id, patch, expected=whole.updated_at))
        self.changed(change, "Saved the edit.")

    async def _keep_draft(self, draft: Draft, writing: Coroutine[object, object, Change]) -> Change:
        """Write, and throw the draft away only once that has worked: no text a person typed is lost."""
        try:
            change = await writing
        except VestigeError as error:
            raise type(error)(f"{error.message} Your text is kept in {draft.path}.") from error
        except Exception as error:
            raise VestigeError(f"The text could not be saved; it is kept in {draft.path}.") from error
        draft.discard()
        return change

    @work(group="write", exit_on_error=False)
    async def action_tag_memory(self) -> None:
        store, memories = self._writable(), self.chosen_memories()
        if store is None or not memories:
            return
        have = ", ".join(dict.fromkeys(tag for memory in memories for tag in memory.tags)) or "no tags yet"
        typed = await self.app.push_screen_wait(
            Ask(f"Tags of {_named(memories)}", placeholder="+add -remove", note=f"Now: {plain(have)}")
        )
        if not typed or not typed.strip():
            return
        add = [word.removeprefix("+") for word in typed.split() if not word.startswith("-")]
        remove = [word[1:] for word in typed.split() if word.startswith("-")]
        change = await store.tag([memory.id for memory in memories], add, remove)
        self.changed(change, f"Tagged {_named(memories)}." if change.changed else "No tag was changed.")

    @work(group="write", exit_on_error=False)
    async def action_delete_memory(self) -> None:
        store, memories = self._writable(), self.chosen_memories()
        if store is None or not memories:
            return
        preview = await store.delete_preview([memory.id for memory in memories])
        notes = []
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
        change = await store.delete([memory.id for memory in memories])
        self.forget_selection()
        self.changed(change, f"Deleted {_named(memories)}.")

    def forget_selection(self) -> None:
        """The selected memories are gone."""

    @work(group="write", exit_on_error=False)
    async def action_link_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        other = await self._ask_for_memory(store, f"Link {one_line(memory.content, 40)} to")
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
        other = await self._ask_for_memory(store, f"What replaces {one_line(memory.content, 40)}?")
        if other is not None:
            self.will_change([memory])
            self.changed(await store.supersede(memory.id, other), "Another memory replaces this one now.")

    async def _ask_for_memory(self, store: Store, title: str) -> str | None:
        """Ask for another memory: by id, or by words whose best hits are then offered."""
        from vestige_tui.model import SearchQuery

        typed = await self.app.push_screen_wait(Ask(title, placeholder="words that find it, or its id"))
        if not typed or not typed.strip():
            return None
        try:
            return await store.resolve(typed)
        except VestigeError:
            answer = await store.search(SearchQuery(typed, limit=30))
        if not answer:
            raise Usage(f"No memory answers {plain(typed)!r}.")
        choices = [Choice(hit.memory.id, one_line(hit.memory.content)) for hit in answer]
        return await self.app.push_screen_wait(Pick(title, choices))

    @work(group="write", exit_on_error=False)
    async def action_undo(self) -> None:
        store = self._writable()
        if store is None:
            return
        change = await store.undo()
        self.changed(
            change, f"Took back the last change of {grouped(len(change.changed))} " + _plural(len(change.changed))
        )

    @work(group="write", exit_on_error=False)
    async def action_grade_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        from vestige_tui.model import Rating
        from vestige_tui.scheduling import preview
        from vestige_tui.text import ago

        whole = await store.get(memory.id)
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

    A subclass composes a `FilterBar` and then ``compose_found``, and tells which widget the list is.
    """

    def the_list(self) -> Widget:
        """The list beside the card."""
        raise NotImplementedError

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

    # The card

    def open_card(self) -> None:
        """Go on to the card; without room for both it takes the place of the list."""
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
        if card.detail is not None and card.detail.memory.id != memory.id:
            # Who runs through a list reads nothing on the way.
            await asyncio.sleep(READ_AFTER_SECONDS)
        try:
            await card.show(await detail_of(self.store, memory.id, hit))
        except NotFound:
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
        if not memories:
            return
        said = selection_line(tuple(memories)) + (", as many as can be at once" if cut else "")
        keys = [f"{self._key_of(command.id, command.key)} {command.label}" for command in (TagMemory, DeleteMemory)]
        self.query_one("#chosen", StatusLine).say(f"{said}:  {'   '.join(keys)}", "esc give up")


def _plural(count: int) -> str:
    return "memory." if count == 1 else "memories."


def _counted(count: int, what: str) -> str:
    return f"{grouped(count)} {what}{'' if count == 1 else 's'}" if count else ""


def _named(memories: Sequence[Memory]) -> str:
    return one_line(memories[0].content, 40) if len(memories) == 1 else f"{grouped(len(memories))} memories"
