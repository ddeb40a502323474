"""MemoryPlace: base of the places that show memories, with the commands on the current memory or on the selection.

Inheritance: Place (place.py) → FilteredPlace (filtered_place.py) → MemoryPlace (here) → ReadingPlace
(reading_place.py). Review derives from MemoryPlace, Search and Browse from ReadingPlace.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

from vestige_tui.core.errors import NotFound, ReadOnly, Usage, VestigeError
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Memory
from vestige_tui.core.memory_template import MemoryForm
from vestige_tui.core.text import cells, cut, grouped, one_line, plain, safe, short_id
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.presenters.changes import change_sentence, subject, tags_value, title, undo_sentence
from vestige_tui.presenters.stores import read_only_sentence
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.search import ToggleSuperseded
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.modals import Ask, Choice, Confirm, Pick
from vestige_tui.tui.filtered_place import FilteredPlace, form_of_filters
from vestige_tui.tui.memory_editor import edit_in_editor
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vestige_tui.core.memories import Change, DeletePreview
    from vestige_tui.core.search import Answer
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

SHOWN_ROWS = 200
SHOWN_RESTORED = 3
"""Memories that a delete makes active again and its dialog names."""
KIND_CELLS = 14
NOTE_CELLS = 300
MIN_PAIR_CELLS, MAX_PAIR_CELLS, PAIR_FRAME_CELLS = 8, 40, 62
"""Cells of each text of a sentence on two memories, and of all else on its line."""
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
            self.say(NOT_OPEN, severity="waiting")
        elif store.read_only:
            self.say_error(ReadOnly(read_only_sentence(store.read_only_reason)))
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
        store = self.store
        text = safe((await store.get(memory.id)).content, newlines=True)
        command = (
            f"vestige-tui --store {quote(without_password(store.location))} show {quote(memory.id)} --text > memory.txt"
        )
        self.say(await self.console.copy(text, "the text", instead=command), severity="quiet")

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_copy_id(self) -> None:
        if memory := self.current_memory():
            self.say(await self.console.copy(safe(memory.id), f"the id {plain(memory.id)}"), severity="quiet")

    # Write

    @work(group="write", exit_on_error=False)
    async def action_add_memory(self) -> None:
        store = self._writable()
        if store is None:
            return
        edited = await edit_in_editor(self, self.new_memory(), "new-memory", lambda form: store.insert(form.draft()))
        if edited is None:
            self.say("Nothing was added.", severity="quiet")
            return
        form, change = edited
        self.changed(change, change_sentence("add", title(form.content)))

    def new_memory(self) -> MemoryForm:
        """Return the fields that a new memory begins with: those that the filters ask for."""
        return form_of_filters(self.bar.chips)

    @work(group="write", exit_on_error=False)
    async def action_edit_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        current = await self.await_visibly(
            store.get(memory.id), slow="Reading the text…", gone_on="Nothing was edited: you left this screen first."
        )
        if current is None:
            return
        before = MemoryForm.of(current)

        async def save(form: MemoryForm) -> Change:
            self.will_change([current])
            return await store.update(current.id, form.patch(before), expected=current.updated_at)

        edited = await edit_in_editor(self, before, short_id(plain(memory.id)), save)
        if edited is None:
            self.say("No change.", severity="quiet")
            return
        form, change = edited
        self.changed(change, change_sentence("edit", title(form.content)))

    @work(group="write", exit_on_error=False)
    async def action_tag_memory(self) -> None:
        store, memories = self._writable(), self.chosen_memories()
        if store is None or not memories:
            return
        current_tags = (
            _tag_list(list(dict.fromkeys(tag for memory in memories for tag in memory.tags))) or "no tags yet"
        )
        question, note = f"Tags of {subject(memories)}", f"Current tags: {current_tags}"
        await ask_and_use(
            self,
            lambda line, fault: Ask(question, value=line, fault=fault, placeholder="+add -remove", note=note),
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
        sentence = change_sentence("tag", subject(changed), tags_value(add, remove)) if changed else "No tag changed"
        self.changed(change, sentence + _already_deleted(len(memories) - len(existing)))

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
            slow="Reading what would be deleted…",
            gone_on="Nothing was deleted: you left this screen first.",
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
            notes.append(f"Also deletes {' and '.join(filter(None, trail))}.")
        if preview.resurrected:
            restored = ", ".join(title(memory.content) for memory in preview.resurrected[:SHOWN_RESTORED])
            more = len(preview.resurrected) - SHOWN_RESTORED
            notes.append(f"Becomes active again: {restored}" + (f" and {grouped(more)} more" if more > 0 else ""))
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
            Confirm(f"Delete {subject(memories)}?", lines, notes=notes)
        ):
            return
        self.will_change(memories)
        change, deleted = await self._write_to_existing(store, memories, store.delete)
        self.forget_selection()
        if change is None:
            self.say(f"{_deleted_elsewhere(count)}; nothing was deleted.", severity="waiting")
        else:
            self.changed(change, change_sentence("delete", subject(deleted)) + _already_deleted(count - len(deleted)))

    def forget_selection(self) -> None:
        """Clear the selection, which has been deleted."""

    def forget_gone(self, memories: Sequence[Memory]) -> None:
        """Remove these deleted memories from the selection."""

    @work(group="write", exit_on_error=False)
    async def action_link_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        question, gone_on = f"Link {title(memory.content)} to", "Nothing was linked: you left this screen first."
        await self._ask_for_memory(store, question, gone_on, partial(self._link, store, memory))

    async def _link(self, store: Store, memory: Memory, other: str) -> None:
        kind = await self.app.push_screen_wait(Pick("Type of the link", [Choice(name, name) for name in LINK_TYPES]))
        if kind is not None:
            first, second = await self._quoted_pair(store, memory, other)
            change = await store.links.add(Edge(memory.id, other, kind))
            self.changed(change, change_sentence("link", f"{first} to {second}", kind))

    @work(group="write", exit_on_error=False)
    async def action_supersede_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        if memory.superseded_by is not None:
            change = await store.links.unsupersede(memory.id)
            self.changed(change, change_sentence("unsupersede", title(memory.content)))
            return
        question = f"Which memory replaces {title(memory.content)}?"
        gone_on = "Nothing was replaced: you left this screen first."
        await self._ask_for_memory(store, question, gone_on, partial(self._supersede, store, memory))

    async def _supersede(self, store: Store, memory: Memory, other: str) -> None:
        old, new = await self._quoted_pair(store, memory, other)
        self.will_change([memory])
        change = await store.links.supersede(memory.id, other)
        key = self._key_of(ToggleSuperseded.id, "")
        hidden = "" if self.replaced_too else f" (hidden; {key} shows it)" if key else " (hidden)"
        self.changed(change, change_sentence("supersede", old, new) + hidden)

    async def _quoted_pair(self, store: Store, memory: Memory, other: str) -> tuple[str, str]:
        """Return the quoted first lines of two memories, cut so that both fit into the status line."""
        room = max(MIN_PAIR_CELLS, min(MAX_PAIR_CELLS, (self.size.width - PAIR_FRAME_CELLS) // 2))
        others = await store.memories.get_many([other])
        # Deleted meanwhile by another process.
        text = title(others[0].content, room) if others else short_id(other)
        return title(memory.content, room), text

    async def _ask_for_memory(
        self, store: Store, question: str, gone_on: str, use: Callable[[str], Awaitable[None]]
    ) -> None:
        """Ask for another memory, by id or by words, and use its id; offer the best hits of the words."""

        async def use_typed(typed: str) -> None:
            hits = await self.await_visibly(_id_or_hits(store, typed), slow="Searching…", gone_on=gone_on)
            if hits is not None and not isinstance(hits, str):
                choices = [Choice(hit.memory.id, one_line(hit.memory.content)) for hit in hits]
                hits = await self.app.push_screen_wait(Pick(question, choices))
            if hits is not None:
                await use(hits)

        await ask_and_use(
            self,
            lambda line, fault: Ask(question, value=line, fault=fault, placeholder="search words, or an id"),
            use_typed,
        )

    @work(group="write", exit_on_error=False)
    async def action_undo(self) -> None:
        store = self._writable()
        if store is None:
            return
        # Undo the change that the status line offers, even if another process has written since.
        offer, self._undo_offer = self._undo_offer, None
        entry_id = offer[1] if offer is not None and offer[0] is self._status.notice else None
        change = await store.journal.undo(entry_id)
        self.changed(change, undo_sentence(change))

    @work(group="write", exit_on_error=False)
    async def action_grade_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        from vestige_tui.core.reviews import Rating
        from vestige_tui.core.scheduling import preview
        from vestige_tui.core.text import ago

        current = await self.await_visibly(
            store.get(memory.id),
            slow="Reading the schedule…",
            gone_on="Nothing was graded: you left this screen first.",
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
        when = f": due {ago(due, store.now())}" if due else ""
        grade = Rating(int(picked)).name.capitalize()
        self.changed(change, change_sentence("review", title(memory.content), f"{grade}{when}"))


async def _id_or_hits(store: Store, typed: str) -> str | Answer:
    """Return the id that was typed, or the answer of a search for the words. Raises Usage if there is no hit."""
    from vestige_tui.core.search import SearchQuery

    try:
        return await store.memories.resolve(typed)
    except VestigeError as error:
        log.debug("No id was typed, so it is searched for: %s", error)
        answer = await store.search(SearchQuery(typed, limit=30))
    if not answer:
        raise Usage(f"No memory matches {plain(typed)!r}.")
    return answer


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
        return "One memory was deleted elsewhere"
    return f"{grouped(count)} memories were deleted elsewhere"


def _already_deleted(count: int) -> str:
    return f" ({grouped(count)} {'was' if count == 1 else 'were'} already deleted)" if count else ""
