"""MemoryPlace: base of the places that show memories, with the commands on the current memory or on the selection.

Inheritance: Place (place.py) → FilteredPlace (filtered_place.py) → MemoryPlace (here) → ReadingPlace
(reading_place.py). Review derives from MemoryPlace, Search and Browse from ReadingPlace.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Literal, TypeVar

from vestige_tui.core.bulk import Deletion, MarkEdit, Replacement, TagEdit, Target
from vestige_tui.core.errors import ReadOnly, Usage, VestigeError
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Memory
from vestige_tui.core.memory_template import MemoryForm
from vestige_tui.core.tag_syntax import read_tags, write_tag
from vestige_tui.core.text import cells, cut, grouped, one_line, plain, safe, short_id
from vestige_tui.jobs.known_stores import without_password
from vestige_tui.presenters.bulk import MARK_VALUES, many
from vestige_tui.presenters.changes import (
    NOTHING_TO_REDO,
    change_sentence,
    redo_sentence,
    subject,
    title,
    undo_sentence,
    with_warning,
)
from vestige_tui.tui.bulk_changes import change_many, edit_fields
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.commands.search import ToggleSuperseded
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.modals import Ask, Choice, Pick
from vestige_tui.tui.filtered_place import FilteredPlace, form_of_filters
from vestige_tui.tui.memory_editor import edit_in_editor
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.taken_out import EXPORT_INSTEAD, memories_to_copy
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vestige_tui.core.memories import Change
    from vestige_tui.core.search import Answer
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

NOTE_CELLS = 300
MIN_PAIR_CELLS, MAX_PAIR_CELLS, PAIR_FRAME_CELLS = 8, 40, 62
"""Cells of each text of a sentence on two memories, and of all else on its line."""
PATIENCE_SECONDS = 0.3
STILL_SELECTING = "Still selecting…"
MARK_VERBS: tuple[Literal["suspend", "bury", "resume"], ...] = ("suspend", "bury", "resume")
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
        self.say(with_warning(sentence, change), change, "waiting" if change.warnings else "done")
        self.store_session.note_change()

    def _writable(self) -> Store | None:
        """Return the store if it is writable, else show the reason. None behind a dialog, which has the keys."""
        store = self.store
        if self.app.screen is not self:
            return None
        if store is None:
            self.say(NOT_OPEN, severity="waiting")
        elif store.read_only:
            self.say_error(ReadOnly(self._why_not_written()))
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
        store, target = self.store, self.target()
        if store is None or target is None:
            return
        # Lists hold only the beginning of a text.
        memories = await memories_to_copy(store, target)
        if len(memories) == 1:
            memory = memories[0]
            location = quote(without_password(store.location))
            instead = f"vestige-tui --store {location} show {quote(memory.id)} --text > memory.txt"
            copied = await self.console.copy(safe(memory.content, newlines=True), "the text", instead=instead)
        else:
            text = "\n\n".join(safe(memory.content, newlines=True) for memory in memories)
            copied = await self.console.copy(text, f"the texts of {many(len(memories))}", instead=EXPORT_INSTEAD)
        self.say(copied, severity="quiet")

    @work(group="copy", exclusive=True, exit_on_error=False)
    async def action_copy_id(self) -> None:
        store, target = self.store, self.target()
        if store is None or target is None:
            return
        ids = [memory.id for memory in await memories_to_copy(store, target)]
        subject = f"the id {plain(ids[0])}" if len(ids) == 1 else f"the ids of {many(len(ids))}"
        self.say(await self.console.copy("\n".join(map(safe, ids)), subject), severity="quiet")

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_open_web_link(self) -> None:
        memory, store = self.current_memory(), self.store
        if memory is None or store is None:
            return
        from vestige_tui.tui.dialogs.open_link import open_link_of

        current = await self.await_visibly(
            store.get(memory.id),
            slow="Reading the memory…",
            gone_on="Nothing was opened: you left while it was loading.",
        )
        if current is not None:
            await open_link_of(self, current)

    # Write

    @work(group="write", exit_on_error=False)
    async def action_add_memory(self) -> None:
        store = self._writable()
        if store is None:
            return
        begun = self.new_memory()
        begun = replace(begun, sharing=await store.accounts.new_sharing(begun.sharing))

        async def add(form: MemoryForm) -> Change:
            return await store.insert(await store.accounts.draft_by_id(form.draft()))

        edited = await edit_in_editor(self, begun, "new-memory", add)
        if edited is None:
            self.say("Nothing was added.", severity="quiet")
            return
        form, change = edited
        outside = await self.show_added(store, change.changed[0])
        self.changed(change, change_sentence("add", title(form.content)) + outside)

    async def show_added(self, store: Store, memory_id: str) -> str:
        """Hook: let the next reading of the list show a new memory; return the reason if it would hide it, else ""."""
        return ""

    def new_memory(self) -> MemoryForm:
        """Return the fields that a new memory begins with: those that the filters ask for."""
        return form_of_filters(self.bar.chips)

    @work(group="write", exit_on_error=False)
    async def action_edit_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        current = await self.await_visibly(
            store.get(memory.id), slow="Reading the text…", gone_on="Nothing was edited: you left while it was loading."
        )
        if current is None:
            return
        before = MemoryForm.of(current, await store.accounts.sharing_of(current))

        async def save(form: MemoryForm) -> Change:
            patch = await store.accounts.patch_by_id(form.patch(before))
            self.will_change([current])
            return await store.update(current.id, patch, expected=current.updated_at)

        edited = await edit_in_editor(self, before, short_id(plain(memory.id)), save)
        if edited is None:
            self.say("No change.", severity="quiet")
            return
        form, change = edited
        self.changed(change, change_sentence("edit", title(form.content)))

    # Write to the chosen memories

    @work(group="write", exit_on_error=False)
    async def action_tag_memory(self) -> None:
        store, target = self._writable(), self.target()
        if store is None or target is None:
            return
        tags = [write_tag(tag) for tag in dict.fromkeys(tag for each in self.chosen_memories() for tag in each.tags)]
        note = f"Current tags: {_tag_list(tags) or 'no tags yet'}" if target.filter is None else ""
        question, hint = f"Tags of {self.chosen_subject()}", '+add -remove +"two words"'
        # A change of several is shown first.
        verb = "save" if target.filter is None and len(target.ids) == 1 else "continue"
        await ask_and_use(
            self,
            lambda line, fault: Ask(question, value=line, fault=fault, placeholder=hint, note=note, verb=verb),
            lambda typed: change_many(self, store, target, TagEdit(*read_tags(typed))),
        )

    @work(group="write", exit_on_error=False)
    async def action_edit_fields(self) -> None:
        store, target = self._writable(), self.target()
        if store is not None and target is not None:
            await edit_fields(self, store, target)

    @work(group="write", exit_on_error=False)
    async def action_mark_memory(self) -> None:
        store, target = self._writable(), self.target()
        if store is None or target is None:
            return
        choices = [Choice(verb, f"{verb.capitalize()} {MARK_VALUES.get(verb, '')}".strip()) for verb in MARK_VERBS]
        picked = await self.app.push_screen_wait(Pick(f"Mark {self.chosen_subject()}", choices))
        for verb in MARK_VERBS:
            if verb == picked:
                await change_many(self, store, target, MarkEdit(verb))

    @work(group="write", exit_on_error=False)
    async def action_pin_memory(self) -> None:
        store, target = self._writable(), self.target()
        if store is not None and target is not None:
            pinned = all(memory.marks.pinned for memory in self.chosen_memories())
            await change_many(self, store, target, MarkEdit("unpin" if pinned else "pin"))

    @work(group="write", exit_on_error=False)
    async def action_clear_marks(self) -> None:
        store, target = self._writable(), self.target()
        if store is not None and target is not None:
            await change_many(self, store, target, MarkEdit("clear_marks"))

    @work(group="write", exit_on_error=False)
    async def action_delete_memory(self) -> None:
        store, target = self._writable(), self.target()
        if store is not None and target is not None:
            await change_many(self, store, target, Deletion())

    def target(self) -> Target | None:
        """Return the memories that a command acts on; None without one."""
        ids = tuple(memory.id for memory in self.chosen_memories())
        return Target(ids) if ids else None

    def selection(self) -> Target | None:
        """Return the selected memories; None without a selection."""
        return None

    @property
    def still_selecting(self) -> bool:
        """True while rows of the selection are still being read."""
        return False

    def chosen_subject(self) -> str:
        """Return the chosen memories in words: the quoted text of one, the number of several."""
        return subject(self.chosen_memories())

    def forget_selection(self) -> None:
        """Clear the selection, which has been deleted."""

    def forget_gone(self, ids: Sequence[str]) -> None:
        """Remove these deleted memories from the selection."""

    @work(group="write", exit_on_error=False)
    async def action_link_memory(self) -> None:
        store, memory = self._writable(), self.current_memory()
        if store is None or memory is None:
            return
        question, gone_on = f"Link {title(memory.content)} to", "Nothing was linked: you left during the search."
        await self._ask_for_memory(store, question, gone_on, partial(self._link, store, memory))

    async def _link(self, store: Store, memory: Memory, other: str) -> None:
        kind = await self.app.push_screen_wait(Pick("Type of the link", [Choice(name, name) for name in LINK_TYPES]))
        if kind is not None:
            first, second = await self._quoted_pair(store, memory, other)
            change = await store.links.add(Edge(memory.id, other, kind))
            self.changed(change, change_sentence("link", f"{first} to {second}", kind))

    @work(group="write", exit_on_error=False)
    async def action_supersede_memory(self) -> None:
        store, target = self._writable(), self.target()
        if store is None or target is None:
            return
        memory = self.chosen_memories()[0] if len(target.ids) == 1 else None
        if memory is not None and memory.superseded_by is not None:
            change = await store.links.unsupersede(memory.id)
            self.changed(change, change_sentence("unsupersede", title(memory.content)))
            return
        verb = "replaces" if memory is not None else "is to replace"
        question = f"Which memory {verb} {self.chosen_subject()}?"
        gone_on = "Nothing was replaced: you left during the search."
        replace = partial(self._supersede, store, memory) if memory else partial(self._supersede_many, store, target)
        await self._ask_for_memory(store, question, gone_on, replace)

    async def _supersede(self, store: Store, memory: Memory, other: str) -> None:
        old, new = await self._quoted_pair(store, memory, other)
        self.will_change([memory])
        change = await store.links.supersede(memory.id, other)
        key = self._key_of(ToggleSuperseded.id, "")
        hidden = "" if self.replaced_too else f" (hidden; {key} shows it)" if key else " (hidden)"
        self.changed(change, change_sentence("supersede", old, new) + hidden)

    async def _supersede_many(self, store: Store, target: Target, winner: str) -> None:
        await change_many(self, store, target, Replacement(winner))

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
            lambda line, fault: Ask(
                question, value=line, fault=fault, placeholder="search words, or an id", verb="find"
            ),
            use_typed,
        )

    @work(group="write", exit_on_error=False)
    async def action_undo(self) -> None:
        store = self._writable()
        if store is None:
            return
        change = await self.store_session.own_changes.undo(store)
        if change is None:
            await self.app.run_action("app.show_journal")
        else:
            self.changed(change, undo_sentence(change))

    @work(group="write", exit_on_error=False)
    async def action_redo(self) -> None:
        store = self._writable()
        if store is None:
            return
        change = await self.store_session.own_changes.redo(store)
        if change is None:
            self.say(NOTHING_TO_REDO, severity="quiet")
        else:
            self.changed(change, redo_sentence(change))

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
            gone_on="Nothing was graded: you left while it was loading.",
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
