"""Review: one memory at a time, first asked, then shown whole and graded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from vestige_tui.core.errors import Conflict, NotFound, Unsure, VestigeError
from vestige_tui.core.filter_syntax import BadChip
from vestige_tui.core.memories import Filter, Memory
from vestige_tui.core.reviews import QueueCounts, Rating, Review
from vestige_tui.core.scheduling import preview
from vestige_tui.core.text import ago, grouped, one_line
from vestige_tui.core.times import local_midnight
from vestige_tui.tui.commands import (
    IN_PLACE,
    AddMemory,
    CopyId,
    EditMemory,
    GoToBrowse,
    GoToReview,
    Leave,
    Reveal,
    Suspend,
    UndoChange,
    bindings,
)
from vestige_tui.tui.commands import FocusFilter as FilterCommand
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.memory_place import MemoryPlace
from vestige_tui.tui.review.card import Asked, ReviewCard
from vestige_tui.tui.review.cloze import prompt_of
from vestige_tui.tui.review.rating_bar import LABELS, RatingBar
from vestige_tui.tui.review.session import ReviewSession, SessionCard
from vestige_tui.tui.review.session_progress import Progress, SessionLine
from vestige_tui.tui.review.session_summary import SessionSummary, Summary
from vestige_tui.tui.review.summary import summary_of, why_nothing
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.retention_plot import Retention, RetentionPlot
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.memories import Change
    from vestige_tui.store.store import Store

SITTING_CARDS = 500
PRACTICE_WORDS = {Rating.AGAIN: "once more", Rating.HARD: "done", Rating.GOOD: "done", Rating.EASY: "done"}
NEEDS_A_CARD = frozenset(
    {"grade", "suspend", "bury", "edit_memory", "copy_memory", "copy_id", "delete_memory", "supersede_memory"}
)


@dataclass(frozen=True, slots=True)
class Written:
    """Something that this sitting wrote: its journal entry, how it was said, and whether it was a grade."""

    entry: int
    sentence: str
    grade: bool


class ReviewPlace(MemoryPlace):
    """A sitting: what is due until tonight, longest waiting first, then today's share of the new ones."""

    GO_TO = GoToReview
    AUTO_FOCUS = ""
    CSS_PATH: ClassVar[list[str | PurePath]] = ["place.tcss"]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (23, "-short"), (32, "-tall")]  # noqa: RUF012 - Textual declares it so
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["review"], AddMemory, CopyId)
    HELP = """\
First the card asks; `space` shows the whole memory, and then `1` to `4` grade how well you knew it. Each grade says
when it brings the memory back, and `space` again gives the exact days.

What you did not know comes back once more in the same sitting, as practice: nothing is written then.

`u` takes the last grade back, also one of an earlier sitting or another console.

`f` picks what is asked; `/` types it: `tag:keys`, `domain:auth`, `owner:mira`, `since:-30d`, `recall:0.5`.
"""

    def __init__(self) -> None:
        super().__init__()
        self._sitting: ReviewSession | None = None
        self._asked: Asked | None = None
        self._reviews: tuple[Review, ...] = ()
        self._since: datetime | None = None
        self._revealed = False
        self._exact = False
        self._grading = False
        self._counts: QueueCounts | None = None
        self._summary: Summary | None = None
        self._written: list[Written] = []
        self._just_changed: set[str] = set()
        self._chosen = Filter()
        self._turn = asyncio.Lock()

    def compose_body(self) -> ComposeResult:
        yield FilterBar("domain:auth  tag:keys  codebase:api", id="ask")
        with Vertical(id="sitting"):
            yield SessionLine()
            yield ReviewCard(id="card")
            yield RatingBar()
            yield RetentionPlot(id="curve")
        yield SessionSummary(id="summary")
        yield Empty("", id="nothing")

    def on_mount(self) -> None:
        super().on_mount()
        self._be("-nothing")
        self.query_one("#nothing", Empty).say("Opening the store…")

    def _be(self, state: str) -> None:
        """Show the sitting, its summary, or why there is nothing."""
        for each in ("-asking", "-done", "-nothing"):
            self.set_class(each == state, each)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in NEEDS_A_CARD and self._asked is None:
            return None
        if action == "reveal" and self._asked is None and not self._more_due():
            return None
        return super().check_action(action, parameters)

    # Asking the store

    def refresh_place(self) -> None:
        if self.store is None:
            return
        if not self._has_begun():
            self._begin(again=False)
        else:
            self._look_again()

    def _has_begun(self) -> bool:
        return self._sitting is not None and not self.has_class("-nothing")

    @work(group="card", exit_on_error=False)
    async def _begin(self, *, again: bool = True) -> None:
        """Fix the order of a new sitting, and show its first card; not ``again`` where another call was faster."""
        async with self._turn:
            store = self.store
            if store is None or (not again and self._has_begun()):
                return
            with suppress(BadChip):
                # It may have been asked for before there was a store to read it.
                self._chosen = await self.wanted(store)
            chosen = self._chosen
            self._counts = await store.queue_counts(chosen)
            due = await store.get_due_memories(limit=SITTING_CARDS, filter=chosen)
            new = await store.get_new_memories(self._counts.new_today, chosen) if self._counts.new_today else ()
            self._sitting = ReviewSession([memory.id for memory in (*due, *new)], self.now())
            await self._advance(store, self._sitting, fresh=True)

    async def _advance(
        self, store: Store, sitting: ReviewSession, *, revealed: bool = False, fresh: bool = False
    ) -> None:
        """Show the card whose turn it is, or what the sitting came to."""
        self._since = None
        while turn := sitting.turn:
            memory = await self._fetch(store, turn)
            if memory is not None:
                await self._ask(memory, turn, revealed=revealed)
                return
            sitting.set_aside(turn.memory_id, elsewhere=True)
        self._asked = None
        self._revealed = False
        if sitting.acted:
            await self._finish(store, sitting)
            return
        await self._say_nothing(store)
        if not fresh and self._counts is not None and self._counts.offered:
            # Others emptied this sitting while more came due: that is asked in a new one.
            self._begin()

    async def _fetch(self, store: Store, turn: SessionCard) -> Memory | None:
        """The memory of a turn with its reviews; None where there is nothing to ask any more."""
        try:
            memory, reviews, marks = await asyncio.gather(
                store.get(turn.memory_id), store.reviews(turn.memory_id), store.marks(turn.memory_id)
            )
        except NotFound:
            return None
        self._reviews = reviews
        now = store.now()
        if turn.practice or turn.brought_back:
            return memory
        resting = marks.suspended or (marks.buried_until is not None and marks.buried_until > now)
        if resting or (memory.superseded_by is not None and not self._chosen.superseded):
            return None
        state = memory.scheduling
        due = state.next_review if state is not None and state.reps > 0 else None
        return None if due is not None and due >= local_midnight(now, days=1) else memory

    async def _ask(self, memory: Memory, turn: SessionCard, *, revealed: bool = False) -> None:
        prompt = prompt_of(memory)
        now = self.now()
        same = self._asked is not None and self._asked.memory.id == memory.id and self._asked.practice == turn.practice
        self._asked = Asked(memory, prompt.text, prompt.blanks, prompt.marks, now, turn.practice, self._card_keys())
        self._since = self._since if same and self._since is not None else now
        self._exact = False
        await self._show_card(revealed)
        self._be("-asking")
        self._show_progress()
        if not self.query_one(FilterBar).has_focus_within:
            self.query_one(ReviewCard).focus_text()

    def _card_keys(self) -> tuple[str, str, str]:
        return (
            self._key_of(Reveal.id, Reveal.key),
            self._key_of(EditMemory.id, EditMemory.key),
            self._key_of(Suspend.id, Suspend.key),
        )

    async def _show_card(self, revealed: bool) -> None:
        asked = self._asked
        if asked is None:
            return
        self._revealed = revealed
        await self.query_one(ReviewCard).show(asked, revealed=revealed)
        retention = Retention.of(asked.memory, self._reviews, asked.now)
        self.query_one("#curve", RetentionPlot).show(retention)
        self.set_class(revealed and retention is not None and not asked.practice, "-curved")
        self._show_grades()

    def _show_grades(self) -> None:
        asked, store, bar = self._asked, self.store, self.query_one(RatingBar)
        if asked is None or store is None or not self._revealed:
            bar.offer(None, self.now())
        elif asked.practice:
            bar.say(PRACTICE_WORDS)
        else:
            now = self.now()
            bar.offer(preview(asked.memory.scheduling, now, store.policy), now, exact=self._exact)

    def _show_progress(self) -> None:
        line, sitting, asked = self.query_one(SessionLine), self._sitting, self._asked
        line.counts = self._counts
        if sitting is None or asked is None:
            line.progress = None
            return
        at = sitting.handled + (0 if asked.practice else 1)
        line.progress = Progress(at, sitting.total, asked.practice, sitting.practice_left, sitting.seconds_left())

    # Following the store

    @work(group="card", exit_on_error=False)
    async def _look_again(self) -> None:
        """The store changed: count anew; the card stays unless it vanished or somebody else graded it."""
        async with self._turn:
            store, sitting = self.store, self._sitting
            if store is None or sitting is None:
                return
            self._counts = await store.queue_counts(self._chosen)
            asked = self._asked
            if asked is not None and _is_turn(sitting, asked):
                self._show_progress()
                await self._check_card(store, sitting, asked)
            elif asked is None and sitting.turn is None and self.has_class("-done"):
                await self._finish(store, sitting)
            else:
                # What comes next could not be read when it was time.
                await self._advance(store, sitting)

    async def _check_card(self, store: Store, sitting: ReviewSession, asked: Asked) -> None:
        known = asked.memory
        why = ""
        try:
            memory, marks = await asyncio.gather(store.get(known.id), store.marks(known.id))
        except NotFound:
            why = "This memory was deleted meanwhile; it is left out."
        else:
            if asked.practice:
                pass
            elif memory.scheduling != known.scheduling:
                due = memory.scheduling.next_review if memory.scheduling else None
                when = f"; it is due {ago(due, self.now())} now" if due else ""
                why = f"Somebody else graded this memory meanwhile{when}."
            elif memory.superseded_by is not None and known.superseded_by is None:
                why = "Another memory replaces this one now; it is left out."
            elif marks.suspended or (marks.buried_until is not None and marks.buried_until > self.now()):
                why = "This memory was put to rest meanwhile; it is left out."
            if not why:
                if memory != known:
                    await self._ask(memory, SessionCard(memory.id, asked.practice), revealed=self._revealed)
                self._just_changed.discard(known.id)
                return
        # Asked only now: our own change may have been seen in the store before it was said here.
        ours = known.id in self._just_changed
        self._just_changed.discard(known.id)
        if not ours:
            self.say(why, severity="waiting")
        sitting.set_aside(known.id, elsewhere=not ours)
        await self._advance(store, sitting)

    # Revealing and grading

    @on(ReviewCard.Clicked)
    async def _card_clicked(self) -> None:
        if not self._revealed:
            await self.action_reveal()

    async def action_reveal(self) -> None:
        """Show the answer; once shown, switch between how far and which day; at the end, go on with what is due."""
        if self._asked is None:
            if self._more_due():
                self._begin()
        elif self._grading:
            return
        elif self._revealed:
            self._exact = not self._exact
            self._show_grades()
        else:
            await self._show_card(True)

    def _more_due(self) -> bool:
        return self.has_class("-done") and self._counts is not None and self._counts.offered > 0

    @on(RatingBar.Rated)
    def _rated(self, event: RatingBar.Rated) -> None:
        self.action_grade(int(event.rating))

    def action_grade(self, rating: int) -> None:
        asked, grade = self._asked, Rating(rating)
        if asked is None or self._grading:
            return
        if not self._revealed:
            key = self._key_of(Reveal.id, Reveal.key)
            self.say(f"{key} first: it shows the answer, and then {rating} grades it.", severity="quiet")
        elif asked.practice or self._writable() is not None:
            self._grading = True
            self.query_one(RatingBar).press(grade)
            self._grade(asked, grade)

    @work(group="card", exit_on_error=False)
    async def _grade(self, asked: Asked, rating: Rating) -> None:
        try:
            async with self._turn:
                store, sitting = self.store, self._sitting
                if store is None or sitting is None or self._asked is None or self._asked.memory.id != asked.memory.id:
                    return
                if not _is_turn(sitting, asked):
                    pass
                elif asked.practice:
                    sitting.practise(asked.memory.id, rating, self._seconds())
                    self.say("Practised; nothing was written.", severity="quiet")
                else:
                    await self._write_grade(store, sitting, asked.memory, rating)
                await self._advance(store, sitting)
        except VestigeError:
            self.query_one(RatingBar).press(None)
            raise
        finally:
            self._grading = False

    async def _write_grade(self, store: Store, sitting: ReviewSession, memory: Memory, rating: Rating) -> None:
        try:
            change = await store.record_review(memory.id, rating, expected=memory.scheduling)
        except NotFound:
            self.say("This memory was deleted meanwhile; nothing was written.", severity="waiting")
            sitting.set_aside(memory.id, elsewhere=True)
            return
        except Conflict:
            fresh = await store.get(memory.id)
            due = fresh.scheduling.next_review if fresh.scheduling else None
            when = f" It is due {ago(due, store.now())} now." if due else ""
            self.say(f"Somebody else graded this memory meanwhile; nothing was written.{when}", severity="waiting")
            sitting.set_aside(memory.id, elsewhere=True)
            return
        except Unsure:
            # If it was saved, nobody else did it.
            self._just_changed.add(memory.id)
            raise
        new = change.scheduling
        assert new is not None
        sitting.grade(memory.id, rating, memory.scheduling, new, self._seconds())
        when = f"due {ago(new.next_review, store.now())}" if new.next_review else "no date"
        back = ", and once more here as practice" if rating == Rating.AGAIN else ""
        self._wrote(change, f"{LABELS[rating]}, {when}{back}: {one_line(memory.content, 40)}", grade=True)

    def _seconds(self) -> float:
        return (self.now() - self._since).total_seconds() if self._since is not None else 0.0

    def _wrote(self, change: Change, sentence: str, *, grade: bool = False) -> None:
        if change.undo is not None:
            self._written.append(Written(change.undo, sentence, grade))
        super().changed(change, sentence)

    def will_change(self, memories: Sequence[Memory]) -> None:
        self._just_changed.update(memory.id for memory in memories)

    def changed(self, change: Change, sentence: str) -> None:
        """An edit, a delete, a supersession: the card shows it, or makes room for the next one."""
        self._just_changed.update(change.changed)
        self._wrote(change, sentence)
        if self._sitting is None or self._asked is None:
            self.refresh_place()
        else:
            self._look_again()

    @work(group="card", exit_on_error=False)
    async def action_suspend(self) -> None:
        await self._rest("Suspended; it is not asked any more")

    @work(group="card", exit_on_error=False)
    async def action_bury(self) -> None:
        await self._rest("Buried until tomorrow", bury=True)

    async def _rest(self, said: str, *, bury: bool = False) -> None:
        asked, store = self._asked, self._writable()
        if asked is None or store is None:
            return
        async with self._turn:
            sitting = self._sitting
            if sitting is None or self._asked is not asked:
                return
            memory = asked.memory
            if _is_turn(sitting, asked):
                change = await self._put_to_rest(store, memory.id, bury=bury)
                sitting.set_aside(memory.id)
                self._wrote(change, f"{said}: {one_line(memory.content, 40)}")
            await self._advance(store, sitting)

    async def _put_to_rest(self, store: Store, memory_id: str, *, bury: bool) -> Change:
        try:
            return await (store.bury(memory_id) if bury else store.suspend(memory_id))
        except Unsure:
            self._just_changed.add(memory_id)
            raise

    @work(group="card", exit_on_error=False)
    async def action_undo(self) -> None:
        """Take back what this sitting did last; before its beginning, the last review of anybody."""
        store = self._writable()
        if store is None:
            return
        async with self._turn:
            sitting = self._sitting or ReviewSession((), self.now())
            self._sitting = sitting
            if self._written:
                last = self._written[-1]
                try:
                    change = await store.undo(last.entry)
                except (Conflict, NotFound):
                    # It never can be; the one before it may.
                    self._written.remove(last)
                    raise
                self._written.remove(last)
                [memory_id, *_] = change.changed
                graded, back = last.grade, last.grade or sitting.has_seen(memory_id)
                said = f"Undone: {last.sentence}"
            else:
                try:
                    change = await store.undo_review()
                except NotFound as error:
                    self.say(error.message, severity="quiet")
                    return
                [memory_id, *_] = change.changed
                graded, back, said = False, True, ""
            self.console.note_change()
            self._just_changed.update(change.changed)
            if back:
                sitting.bring_back(memory_id)
            self.say(said or await self._what_was_undone(store, memory_id))
            if back:
                await self._advance(store, sitting, revealed=graded)
        if not back:
            self._look_again()

    async def _what_was_undone(self, store: Store, memory_id: str) -> str:
        log = {review.id: review for review in await store.reviews(memory_id)}
        undone = [log[entry.undoes] for entry in log.values() if entry.undoes in log]
        if not undone:
            return "Took the last review back."
        last = undone[-1]
        return f"Took back {LABELS[Rating(last.rating)]} of {ago(last.at, store.now())}; it is asked again."

    # The filter

    def action_filter(self) -> None:
        self.add_class("-filtering")
        self.query_one(FilterBar).focus_input()

    @on(FilterBar.Asked)
    def _filtered(self, event: FilterBar.Asked) -> None:
        bar = self.query_one(FilterBar)
        bar.note("a filter has a field: tag:keys" if event.text else "")
        self.set_class(bool(event.chips) or bar.has_focus_within, "-filtering")
        self._choose()

    @work(group="filter", exclusive=True, exit_on_error=False)
    async def _choose(self) -> None:
        """Begin anew with the filter that the line asks for; one that says nothing leaves the sitting as it is."""
        store = self.store
        if store is None:
            return
        try:
            chosen = await self.wanted(store)
        except BadChip:
            return
        if chosen != self._chosen:
            self._chosen = chosen
            self._begin()

    async def tally(self, chosen: Filter) -> str:
        """How much a filter leaves, and how much of that a sitting would ask."""
        assert self.store is not None
        offered = (await self.store.queue_counts(chosen)).offered
        return f"{await super().tally(chosen)} {grouped(offered)} would be asked now."

    @on(FilterBar.Left)
    def _leave_filter(self) -> None:
        bar = self.query_one(FilterBar)
        self.set_class(bool(bar.chips), "-filtering")
        self._focus_body()

    def _focus_body(self) -> None:
        if self._asked is not None:
            self.query_one(ReviewCard).focus_text()
        elif self.has_class("-done"):
            self.query_one(SessionSummary).focus()
        else:
            self.set_focus(None)

    def action_back(self) -> None:
        bar = self.query_one(FilterBar)
        if bar.has_focus_within:
            bar.set_text("")
            self._leave_filter()
        elif bar.chips and self._asked is None:
            bar.set_chips([])
            self._leave_filter()
        else:
            super().action_back()

    # What is left

    async def _finish(self, store: Store, sitting: ReviewSession) -> None:
        self._counts = counts = await store.queue_counts(self._chosen)
        keys = []
        if counts.offered:
            more = f"{grouped(counts.offered)} more {'waits' if counts.offered == 1 else 'wait'}"
            keys.append((self._key_of(Reveal.id, Reveal.key), f"go on: {more}"))
        if self._written:
            keys.append((self._key_of(UndoChange.id, UndoChange.key), "undo the last one"))
        summary = replace(await summary_of(store, sitting, self._chosen), keys=keys)
        first = not self.has_class("-done")
        self._be("-done")
        if first or summary != self._summary:
            self._summary = summary
            self.query_one(SessionSummary).show(summary)
        if first and not self.query_one(FilterBar).has_focus_within:
            self._focus_body()

    async def _say_nothing(self, store: Store) -> None:
        self._counts = counts = await store.queue_counts(self._chosen)
        nothing = self.query_one("#nothing", Empty)
        if self._chosen != Filter():
            change = (self._key_of(FilterCommand.id, "/"), "change the filter")
            clear = (self._key_of(Leave.id, "esc"), "clear it")
            nothing.say(await why_nothing(store, counts, self._chosen), change, clear)
        elif await store.count(Filter(superseded=True)):
            browse = (self._key_of(GoToBrowse.id, GoToBrowse.key).upper(), "browse, and grade any memory with R")
            nothing.say(await why_nothing(store, counts, self._chosen), browse)
        else:
            add = (self._key_of(AddMemory.id, AddMemory.key), "write the first one")
            nothing.say("This store holds no memories yet.", add)
        self._be("-nothing")

    # What commands are about

    def current_memory(self) -> Memory | None:
        return self._asked.memory if self._asked is not None else None


def _is_turn(sitting: ReviewSession, asked: Asked) -> bool:
    """Whether the card that is shown is the one whose turn it is, and not one that was done with."""
    turn = sitting.turn
    return turn is not None and (turn.memory_id, turn.practice) == (asked.memory.id, asked.practice)
