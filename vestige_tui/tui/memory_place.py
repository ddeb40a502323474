"""MemoryPlace: base of the places that show memories, with the commands on the current memory or on the selection.

Inheritance: Place (place.py) → FilteredPlace (filtered_place.py) → MemoryPlace (here) → ReadingPlace
(reading_place.py). Review derives from MemoryPlace, Search and Browse from ReadingPlace.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from textual.app import SuspendNotSupported

from vestige_tui.core.editor import EditedText
from vestige_tui.core.errors import NotFound, ReadOnly, Refused, Usage, VestigeError
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Memory, Patch
from vestige_tui.core.text import cells, cut, grouped, one_line, plain, safe, short_id
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.editor import EditorWait
from vestige_tui.tui.dialogs.modals import Ask, Choice, Confirm, Pick
from vestige_tui.tui.filtered_place import FilteredPlace
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from vestige_tui.core.memories import Change, DeletePreview
    from vestige_tui.core.search import Answer
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

SHOWN_ROWS = 200
KIND_CELLS = 14
NOTE_CELLS = 300
PATIENCE_SECONDS = 0.3
LINK_TYPES = ("related", "supports", "contradicts", "causes", "part_of", "follows")


@dataclass(slots=True, eq=False)
class _PendingQuery:
    """Query that a dialog waits for, and the notice that it takes long."""

    notice: Notice | None = None


class MemoryPlace(FilteredPlace):
    """Place with commands on memories. A subclass implements ``current_memory``."""

    def __init__(self) -> None:
        super().__init__()
        self._pending_query: _PendingQuery | None = None
        self._undo_offer: tuple[Notice, int] | None = None

    def now(self) -> datetime:
        """Return the time of the store's clock; of the system's until the store is open."""
        return self.store.now() if self.store is not None else datetime.now(UTC)

    def current_memory(self) -> Memory | None:
        """Return the memory under the cursor."""
        raise NotImplementedError

    def chosen_memories(self) -> Sequence[Memory]:
        """Return the selection, or the memory under the cursor."""
        memory = self.current_memory()
        return (memory,) if memory else ()

    def will_change(self, memories: Sequence[Memory]) -> None:
        """Hook before a write of these memories, by which a place tells its own writes from foreign ones."""

    def changed(self, change: Change, sentence: str) -> None:
        """Show a committed change in the status line, with its undo key, and refresh."""
        note = f"{sentence} {change.warnings[0]}" if change.warnings else sentence
        notice = self.say(note, change.undo, "waiting" if change.warnings else "done")
        self._undo_offer = (notice, change.undo) if change.undo is not None else None
        self.store_session.note_change()

    def _writable(self) -> Store | None:
        """Return the store if it is writable, else show the reason. None behind a dialog, which has the keys."""
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

    async def await_visibly(self, query: Awaitable[T], *, slow: str, gone_on: str) -> T | None:
        """Await the answer that a dialog, an editor or a screen needs; show ``slow`` while it takes long.

        None if the dialog must not open any more: the user has left, which ``gone_on`` says, or has given another
        command.
        """
        self._pending_query = pending = _PendingQuery()
        timer = self.set_timer(PATIENCE_SECONDS, partial(self._say_slow, pending, slow))
        try:
            answer = await query
        finally:
            timer.stop()
            superseded = self._pending_query is not pending
            if not superseded:
                self._pending_query = None
                self._status.withdraw(pending.notice)
        if superseded:
            return None
        if self.app.screen is not self:
            self.say(gone_on, severity="quiet")
            return None
        return answer

    def _say_slow(self, pending: _PendingQuery, slow: str) -> None:
        if self._pending_query is pending and self.app.screen is self:
            pending.notice = self.say(slow, severity="quiet")

    # Copy

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_copy_memory(self) -> None:
        memory = self.current_memory()
        if memory is None or self.store is None:
            return
        # Lists hold only the beginning of a text.
        text = safe((await self.store.get(memory.id)).content, newlines=True)
        self.app.copy_to_clipboard(text)
        self.say(f"Copied the text, {grouped(len(text))} characters.", severity="quiet")

    def action_copy_id(self) -> None:
        if memory := self.current_memory():
            self.app.copy_to_clipboard(safe(memory.id))
            self.say(f"Copied the id {plain(memory.id)}.", severity="quiet")

    # Write

    @work(group="write", exit_on_error=False)
    async def action_add_memory(self) -> None:
        store = self._writable()
        if store is None:
            return
        edited = EditedText("", "new-memory")
        if not await self._edit_text(edited):
            self.say("Nothing was written.", severity="quiet")
            return
        change = await self._save_edited(edited, store.insert(Draft(edited.text)))
        self.changed(change, f"Added {short_id(change.changed[0])}.")

    @work(group="write", exit_on_error=False)
    async def action_edit_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        current = await self.await_visibly(
            store.get(memory.id), slow="Reading the text…", gone_on="Nothing was edited; you had gone on."
        )
        if current is None:
            return
        edited = EditedText(current.content, short_id(plain(memory.id)))
        if not await self._edit_text(edited):
            self.say("Nothing was changed.", severity="quiet")
            return
        patch = Patch(content=edited.text)
        self.will_change([memory])
        change = await self._save_edited(edited, store.update(memory.id, patch, expected=current.updated_at))
        self.changed(change, "Saved the edit.")

    async def _edit_text(self, edited: EditedText) -> bool:
        """Let the user edit a text; return whether there is another text to save, and discard the file if not."""
        try:
            taken = await edited.edit(self.app.suspend)
            if edited.returned_at_once:
                taken = await self.app.push_screen_wait(EditorWait(edited))
        except SuspendNotSupported:
            raise Refused("An editor cannot be opened from this kind of terminal.") from None
        except asyncio.CancelledError:
            if edited.changed:
                self.console.last_words.append(edited.kept)
            else:
                edited.discard()
            raise
        if not taken and edited.changed:
            raise Refused(f"Nothing was saved. {edited.kept}")
        if not taken or not edited.text.strip():
            edited.discard()
            return False
        return True

    async def _save_edited(self, edited: EditedText, write: Coroutine[object, object, Change]) -> Change:
        """Await the write, and delete the edited file only after it has succeeded: no typed text is lost."""
        try:
            change = await write
        except VestigeError as error:
            raise type(error)(f"{error.message} {edited.kept}") from error
        except Exception as error:
            raise VestigeError(f"The text could not be saved; it is kept in {edited.path}.") from error
        edited.discard()
        return change

    @work(group="write", exit_on_error=False)
    async def action_tag_memory(self) -> None:
        store, memories = self._writable(), self.chosen_memories()
        if store is None or not memories:
            return
        current_tags = (
            _tag_list(list(dict.fromkeys(tag for memory in memories for tag in memory.tags))) or "no tags yet"
        )
        title, note = f"Tags of {_title_of(memories)}", f"Now: {current_tags}"
        await ask_and_use(
            self,
            lambda line, fault: Ask(title, value=line, fault=fault, placeholder="+add -remove", note=note),
            partial(self._tag, store, memories),
        )

    async def _tag(self, store: Store, memories: Sequence[Memory], typed: str) -> None:
        add = [word.removeprefix("+") for word in typed.split() if not word.startswith("-")]
        remove = [word[1:] for word in typed.split() if word.startswith("-")]
        change, existing = await self._write_to_existing(
            store, memories, lambda ids: store.memories.tag(ids, add, remove)
        )
        if change is None:
            self.say(f"{_deleted_elsewhere(len(memories))}; nothing was tagged.", severity="waiting")
            return
        changed = [memory for memory in existing if memory.id in change.changed]
        sentence = f"Tagged {_title_of(changed)}" if changed else "No tag was changed"
        self.changed(change, sentence + _already_gone(len(memories) - len(existing)))

    async def _write_to_existing(
        self, store: Store, memories: Sequence[Memory], write: Callable[[Sequence[str]], Awaitable[Change]]
    ) -> tuple[Change | None, Sequence[Memory]]:
        """Write to the memories that still exist; return the change (None if none exists) and these memories."""
        try:
            return await write([memory.id for memory in memories]), memories
        except NotFound as error:
            log.debug("Some of the chosen memories are gone: %s", error)
            existing = await self._existing(store, memories)
        return (await write([memory.id for memory in existing]) if existing else None), existing

    async def _existing(self, store: Store, memories: Sequence[Memory]) -> Sequence[Memory]:
        existing = await store.memories.get_many([memory.id for memory in memories])
        ids = {memory.id for memory in existing}
        self.forget_gone([memory for memory in memories if memory.id not in ids])
        return existing

    async def _delete_preview(self, store: Store, memories: Sequence[Memory]) -> DeletePreview:
        try:
            return await store.memories.preview_delete([memory.id for memory in memories])
        except NotFound as error:
            log.debug("Some of the chosen memories are gone: %s", error)
            existing = await self._existing(store, memories)
        return await store.memories.preview_delete([memory.id for memory in existing])

    @work(group="write", exit_on_error=False)
    async def action_delete_memory(self) -> None:
        store, memories = self._writable(), self.chosen_memories()
        if store is None or not memories:
            return
        preview = await self.await_visibly(
            self._delete_preview(store, memories),
            slow="Looking at what would go…",
            gone_on="Nothing was deleted; you had gone on.",
        )
        if preview is None:
            return
        count, memories = len(memories), preview.memories
        if not memories:
            self.say(f"{_deleted_elsewhere(count)}; nothing was deleted.", severity="waiting")
            return
        notes = [f"{_deleted_elsewhere(count - len(memories))}."] if len(memories) < count else []
        trail = [_count_of(preview.edges, "link"), _count_of(preview.reviews, "review")]
        if preview.edges or preview.reviews:
            notes.append(f"With {'it' if len(memories) == 1 else 'them'} go {' and '.join(filter(None, trail))}.")
        if preview.resurrected:
            restored = ", ".join(one_line(memory.content, 40) for memory in preview.resurrected[:3])
            notes.append(f"What {'it' if len(memories) == 1 else 'they'} replaced comes back: {restored}")
        kinds = [cut(plain(memory.node_type), KIND_CELLS) for memory in preview.memories[:SHOWN_ROWS]]
        widest = max(map(cells, kinds))
        lines = [
            f"{kind}{' ' * (widest - cells(kind))}  {one_line(memory.content)}"
            for kind, memory in zip(kinds, preview.memories, strict=False)
        ]
        if len(preview.memories) > SHOWN_ROWS:
            lines.append(f"and {grouped(len(preview.memories) - SHOWN_ROWS)} more")
        # One memory without links and reviews can be undone with one key, so it needs no confirmation.
        if (len(memories) > 1 or notes) and not await self.app.push_screen_wait(
            Confirm(f"Delete {_title_of(memories)}?", lines, notes=notes)
        ):
            return
        self.will_change(memories)
        change, deleted = await self._write_to_existing(store, memories, store.delete)
        self.forget_selection()
        if change is None:
            self.say(f"{_deleted_elsewhere(count)}; nothing was deleted.", severity="waiting")
        else:
            self.changed(change, f"Deleted {_title_of(deleted)}" + _already_gone(count - len(deleted)))

    def forget_selection(self) -> None:
        """Clear the selection, which has been deleted."""

    def forget_gone(self, memories: Sequence[Memory]) -> None:
        """Remove these deleted memories from the selection."""

    @work(group="write", exit_on_error=False)
    async def action_link_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        title, gone_on = f"Link {one_line(memory.content, 40)} to", "Nothing was linked; you had gone on."
        await self._ask_for_memory(store, title, gone_on, partial(self._link, store, memory))

    async def _link(self, store: Store, memory: Memory, other: str) -> None:
        kind = await self.app.push_screen_wait(
            Pick("How are they related?", [Choice(name, name) for name in LINK_TYPES])
        )
        if kind is not None:
            self.changed(await store.links.add(Edge(memory.id, other, kind)), "Linked the two memories.")

    @work(group="write", exit_on_error=False)
    async def action_supersede_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        if memory.superseded_by is not None:
            self.changed(await store.links.unsupersede(memory.id), "Nothing replaces this memory any more.")
            return
        title, gone_on = f"What replaces {one_line(memory.content, 40)}?", "Nothing was replaced; you had gone on."
        await self._ask_for_memory(store, title, gone_on, partial(self._supersede, store, memory))

    async def _supersede(self, store: Store, memory: Memory, other: str) -> None:
        self.will_change([memory])
        self.changed(await store.links.supersede(memory.id, other), "Another memory replaces this one now.")

    async def _ask_for_memory(
        self, store: Store, title: str, gone_on: str, use: Callable[[str], Awaitable[None]]
    ) -> None:
        """Ask for another memory, by id or by words, and use its id; offer the best hits of the words."""

        async def use_typed(typed: str) -> None:
            hits = await self.await_visibly(_id_or_hits(store, typed), slow="Searching…", gone_on=gone_on)
            if hits is not None and not isinstance(hits, str):
                choices = [Choice(hit.memory.id, one_line(hit.memory.content)) for hit in hits]
                hits = await self.app.push_screen_wait(Pick(title, choices))
            if hits is not None:
                await use(hits)

        await ask_and_use(
            self,
            lambda line, fault: Ask(title, value=line, fault=fault, placeholder="words that find it, or its id"),
            use_typed,
        )

    @work(group="write", exit_on_error=False)
    async def action_undo(self) -> None:
        store = self._writable()
        if store is None:
            return
        # Undo the change that the status line offers, even if another process has written since.
        offer, self._undo_offer = self._undo_offer, None
        change = await store.journal.undo(offer[1] if offer is not None and offer[0] is self._status.notice else None)
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

        current = await self.await_visibly(
            store.get(memory.id), slow="Reading its dates…", gone_on="Nothing was graded; you had gone on."
        )
        if current is None:
            return
        dates = preview(current.scheduling, store.now(), store.policy)
        choices = []
        for rating, state in dates.items():
            when = ago(state.next_review, store.now()) if state.next_review else ""
            choices.append(Choice(str(int(rating)), f"{int(rating)} {rating.name.capitalize():<6}  {when}"))
        picked = await self.app.push_screen_wait(Pick(one_line(memory.content, 60), choices, placeholder="1 to 4"))
        if picked is None:
            return
        self.will_change([memory])
        change = await store.reviews.record(memory.id, Rating(int(picked)), expected=current.scheduling)
        due = change.scheduling.next_review if change.scheduling else None
        self.changed(
            change, f"Graded {Rating(int(picked)).name.capitalize()}; due {ago(due, store.now()) if due else ''}."
        )


async def _id_or_hits(store: Store, typed: str) -> str | Answer:
    """Return the id that was typed, or the answer of a search for the words. Raises Usage if there is no hit."""
    from vestige_tui.core.search import SearchQuery

    try:
        return await store.memories.resolve(typed)
    except VestigeError as error:
        log.debug("No id was typed, so it is searched for: %s", error)
        answer = await store.search(SearchQuery(typed, limit=30))
    if not answer:
        raise Usage(f"No memory answers {plain(typed)!r}.")
    return answer


def _plural(count: int) -> str:
    return "memory." if count == 1 else "memories."


def _tag_list(names: Sequence[str]) -> str:
    """Return the names, comma-separated, in at most NOTE_CELLS; at least the beginning of the first."""
    parts: list[str] = []
    room = NOTE_CELLS
    for name in names:
        text = cut(plain(name), NOTE_CELLS)
        room -= cells(text) + 2
        if parts and room < 0:
            break
        parts.append(text)
    more = len(names) - len(parts)
    return ", ".join(parts) + (f" and {grouped(more)} more" if more else "")


def _count_of(count: int, noun: str) -> str:
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}" if count else ""


def _deleted_elsewhere(count: int) -> str:
    if count == 1:
        return "One memory was deleted elsewhere meanwhile"
    return f"{grouped(count)} memories were deleted elsewhere meanwhile"


def _already_gone(count: int) -> str:
    if not count:
        return "."
    return f"; {grouped(count)} {'was' if count == 1 else 'were'} gone already."


def _title_of(memories: Sequence[Memory]) -> str:
    return one_line(memories[0].content, 40) if len(memories) == 1 else f"{grouped(len(memories))} memories"
