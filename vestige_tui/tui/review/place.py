"""Review: one memory at a time, first as a question, then whole to be graded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from vestige_tui.core.errors import Conflict, NotFound, Unsure, VestigeError
from vestige_tui.core.filter_syntax import BadChip, write_chips
from vestige_tui.core.memories import Filter, Memory
from vestige_tui.core.reviews import QueueCounts, Rating, Review, Scheduling
from vestige_tui.core.scheduling import from_json, preview, same_schedule
from vestige_tui.core.text import ago, grouped
from vestige_tui.presenters.changes import NOTHING_TO_REDO, change_sentence, redo_sentence, title, undo_sentence
from vestige_tui.tui.commands.catalogue import IN_PLACE
from vestige_tui.tui.commands.command import Command, bindings
from vestige_tui.tui.commands.everywhere import Leave
from vestige_tui.tui.commands.lists import FocusFilter as FilterCommand
from vestige_tui.tui.commands.memories import AddMemory, CopyId, EditMemory, UndoChange
from vestige_tui.tui.commands.moments import ShowMoment
from vestige_tui.tui.commands.places import GoToBrowse, GoToReview
from vestige_tui.tui.commands.review import Reveal, Suspend
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.layout_widths import NARROW_BELOW_CELLS
from vestige_tui.tui.memory_place import MemoryPlace
from vestige_tui.tui.review.card import CardFace, ReviewCard
from vestige_tui.tui.review.cloze import prompt_of, question_of
from vestige_tui.tui.review.rating_bar import LABELS, RatingBar
from vestige_tui.tui.review.review_session import ReviewSession, SessionCard
from vestige_tui.tui.review.session_figures import summary_of, why_nothing
from vestige_tui.tui.review.session_progress import SessionLine, SessionProgress
from vestige_tui.tui.review.session_summary import SessionSummary, Summary
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.retention_plot import Retention, RetentionPlot
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.memories import Change, UndoneChange
    from vestige_tui.store.store import Store
    from vestige_tui.tui.notice import Notice

log = logging.getLogger(__name__)

SESSION_CARD_LIMIT = 500
MAX_CARD_ROWS = 16
"""Height of a card beside its curve at most, as the style sheet has it."""
GRADED_CELLS, NARROW_GRADED_CELLS = 28, 14
"""Room for the text of a graded memory, which leaves room for its due date in a narrow status line."""
NO_REVIEWS_THEN = "The console shows a past moment; to review, return to now."
PRACTICE_WORDS = {Rating.AGAIN: "once more", Rating.HARD: "done", Rating.GOOD: "done", Rating.EASY: "done"}
NEEDS_A_CARD = frozenset(
    {"grade", "suspend", "bury", "edit_memory", "copy_memory", "copy_id", "delete_memory", "supersede_memory"}
)


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """Write of this session: its journal entry, and whether it was a grade, with the answer shown."""

    entry: int
    grade: bool
    revealed: bool


class Phase(Enum):
    """Phase of a review session; its value is the CSS class of what is shown."""

    EMPTY = "-nothing"
    """No session, for want of cards or of a store."""
    ASKING = "-asking"
    DONE = "-done"


class ReviewPlace(MemoryPlace):
    """Session of reviews: memories due until midnight, longest overdue first, then today's share of the new ones."""

    GO_TO = GoToReview
    AUTO_FOCUS = ""
    CSS_PATH: ClassVar[list[str | PurePath]] = ["place.tcss"]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (23, "-short"), (32, "-tall")]  # noqa: RUF012 - Textual declares it so
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["review"], AddMemory, CopyId)
    HELP = """\
The card asks first: `space` shows the full memory, then `1` to `4` grade how well you remembered it. Each grade shows
when the memory is due next; `space` again shows the exact dates.

A memory graded Again is shown once more in the same session, as practice: that writes nothing.

`u` undoes the last change of this console, also one of an earlier session; without one it opens the journal. `U`
redoes the change that this console undid last.

`f` chooses the memories to review, with counts; `/` types the filter: `tag:keys`, `domain:auth`, `owner:mira`,
`since:-30d`, `recall:0.5`.
"""

    def __init__(self) -> None:
        super().__init__()
        self._session: ReviewSession | None = None
        self._card: CardFace | None = None
        self._reviews: tuple[Review, ...] = ()
        self._since: datetime | None = None
        self._phase = Phase.EMPTY
        self.add_class(Phase.EMPTY.value, update=False)
        self._revealed = False
        self._long = False
        """Has the text the whole height?"""
        self._exact = False
        self._grading = False
        self._too_early: Notice | None = None
        """Notice on a grade that was given before the answer was shown."""
        self._counts: QueueCounts | None = None
        self._summary: Summary | None = None
        self._entries: list[SessionEntry] = []
        self._just_changed: dict[str, int | None] = {}
        self._chosen = Filter()
        self._lock = asyncio.Lock()

    def compose_body(self) -> ComposeResult:
        yield FilterBar("domain:auth  tag:keys  codebase:api", id="ask")
        with Vertical(id="session"):
            yield SessionLine()
            yield ReviewCard(id="card")
            yield RatingBar()
            yield RetentionPlot(id="curve")
        yield SessionSummary(id="summary")
        yield Empty("", id="nothing")

    def on_mount(self) -> None:
        super().on_mount()
        self._set_phase(Phase.EMPTY)
        self.query_one("#nothing", Empty).say("Opening the store…")

    def _set_phase(self, phase: Phase) -> None:
        """Show the session, its summary, or the reason for an empty one."""
        self._phase = phase
        for each in Phase:
            self.set_class(each is phase, each.value)
        self.refresh_bindings()

    def why_not(self, action: str) -> str:
        if reason := super().why_not(action):
            return reason
        if self._card is None and (action in NEEDS_A_CARD or (action == "reveal" and not self._more_due())):
            return "There is no card to review."
        return ""

    def label_of(self, action: str) -> str:
        """Return what the key of the answer does now, once there is nothing to reveal."""
        if action != "reveal":
            return ""
        if self._card is None:
            return "continue"
        return ("intervals" if self._exact else "dates") if self._revealed else ""

    # Reading the store

    def refresh_place(self) -> None:
        if self.store is None:
            return
        if self.store.moment is not None:
            self._say_past()
        elif not self._has_begun():
            self._begin(again=False)
        else:
            self._recheck()

    @work(group="card", exit_on_error=False)
    async def _say_past(self) -> None:
        """Show that a past moment has no reviews; the session begins anew at now."""
        async with self._lock:
            # A reading that was under way has ended, so that it shows no card any more.
            if self.store is None or self.store.moment is None:
                return
            self._session = self._card = None
            self.query_one("#nothing", Empty).say(NO_REVIEWS_THEN, (self.key_named(ShowMoment), "return to now"))
            self._set_phase(Phase.EMPTY)

    def _has_begun(self) -> bool:
        return self._session is not None and self._phase is not Phase.EMPTY

    @work(group="card", exit_on_error=False)
    async def _begin(self, *, again: bool = True) -> None:
        """Fix the order of a new session and show its first card; without ``again`` only if none has begun."""
        async with self._lock:
            store = self.store
            if store is None or store.moment is not None or (not again and self._has_begun()):
                return
            with suppress(BadChip):
                # An invalid filter may have been typed before the store was open.
                self._chosen = await self.current_filter(store)
            chosen = self._chosen
            self._counts = await store.reviews.queue_counts(chosen)
            due = await store.reviews.due(limit=SESSION_CARD_LIMIT, filter=chosen)
            new = await store.reviews.new(self._counts.new_today, chosen) if self._counts.new_today else ()
            self._session = ReviewSession([memory.id for memory in (*due, *new)], self.now())
            await self._advance(store, self._session, fresh=True)

    async def _advance(
        self, store: Store, session: ReviewSession, *, revealed: bool = False, fresh: bool = False
    ) -> None:
        """Show the next card, or at the end the summary."""
        self._since = None
        while next_card := session.card:
            memory = await self._fetch(store, next_card)
            if memory is not None:
                await self._ask(memory, next_card, revealed=revealed)
                return
            session.set_aside(next_card.memory_id, elsewhere=True)
        self._card = None
        self._revealed = False
        if session.acted:
            await self._finish(store, session)
            return
        await self._say_nothing(store)
        if not fresh and self._counts is not None and self._counts.offered:
            # Other consoles emptied this session while more came due: begin a new one.
            self._begin()

    async def _fetch(self, store: Store, next_card: SessionCard) -> Memory | None:
        """Return the memory of a card, and keep its reviews; None if it is not to be shown any more."""
        try:
            memory, reviews, marks = await asyncio.gather(
                store.get(next_card.memory_id),
                store.reviews.log(next_card.memory_id),
                store.reviews.marks(next_card.memory_id),
            )
        except NotFound as error:
            log.debug("The memory of the next card is gone: %s", error)
            return None
        self._reviews = reviews
        now = store.now()
        if next_card.practice or next_card.requeued:
            return memory
        resting = marks.suspended or (marks.buried_until is not None and marks.buried_until > now)
        if resting or (memory.superseded_by is not None and not self._chosen.superseded):
            return None
        return memory if _is_due(memory.scheduling, store.policy.days.bound(now, 1)) else None

    async def _ask(self, memory: Memory, next_card: SessionCard, *, revealed: bool = False) -> None:
        prompt = prompt_of(memory)
        now = self.now()
        same = (
            self._card is not None and self._card.memory.id == memory.id and self._card.practice == next_card.practice
        )
        self._card = CardFace(
            memory, prompt.text, prompt.blanks, prompt.marks, now, next_card.practice, self._card_keys()
        )
        self._since = self._since if same and self._since is not None else now
        self._exact = False
        await self._show_card(revealed)
        self._set_phase(Phase.ASKING)
        self._show_progress()
        if not self.query_one(FilterBar).has_focus_within:
            self.query_one(ReviewCard).focus_text()

    def _card_keys(self) -> tuple[str, str, str]:
        commands: tuple[type[Command], ...] = (Reveal, EditMemory, Suspend)
        keys = self._keys_of({command.id: command.key for command in commands})
        return keys[Reveal.id], keys[EditMemory.id], keys[Suspend.id]

    async def _show_card(self, revealed: bool) -> None:
        card = self._card
        if card is None:
            return
        self._revealed = revealed
        if revealed:
            self._status.withdraw(self._too_early)
        else:
            self._set_long(False)
        await self.query_one(ReviewCard).show(card, revealed=revealed)
        self.call_after_refresh(self._make_room)
        retention = Retention.of(card.memory, self._reviews, card.now)
        self.query_one("#curve", RetentionPlot).show(retention)
        self.set_class(revealed and retention is not None and not card.practice, "-curved")
        self._show_grades()
        self.refresh_bindings()

    def _make_room(self) -> None:
        """Give a text that does not fit the whole height; its curve is not shown then."""
        card, curve = self.query_one(ReviewCard), self.query_one("#curve").styles.height
        if card.overflows:
            self._set_long(True)
        elif self._long and curve is not None:
            beside_the_curve = min(MAX_CARD_ROWS, card.size.height - int(curve.value) - 1)
            self._set_long(not card.fits(beside_the_curve))

    def _set_long(self, long: bool) -> None:
        self._long = long
        self.set_class(long, "-long")

    def on_resize(self) -> None:
        if self._card is not None:
            self._set_long(False)
            self.call_after_refresh(self._make_room)

    def _show_grades(self) -> None:
        card, store, bar = self._card, self.store, self.query_one(RatingBar)
        if card is None or store is None or not self._revealed:
            bar.offer(None, self.now())
        elif card.practice:
            bar.say(PRACTICE_WORDS)
        else:
            now = self.now()
            exact_in = store.policy.days if self._exact else None
            bar.offer(preview(card.memory.scheduling, now, store.policy), now, exact_in=exact_in)

    def _show_progress(self) -> None:
        line, session, card = self.query_one(SessionLine), self._session, self._card
        line.counts = self._counts
        if session is None or card is None:
            line.progress = None
            return
        at = session.handled + (0 if card.practice else 1)
        line.progress = SessionProgress(at, session.total, card.practice, session.practice_left, session.seconds_left())

    # Following the store

    @work(group="card", exit_on_error=False)
    async def _recheck(self) -> None:
        """Follow a change of the store: count again; the card stays unless it was deleted or graded elsewhere."""
        async with self._lock:
            store, session = self.store, self._session
            if store is None or session is None or store.moment is not None:
                return
            self._counts = await store.reviews.queue_counts(self._chosen)
            await self._drop_graded(store, session)
            card = self._card
            if card is not None and _is_current(session, card):
                self._show_progress()
                await self._check_card(store, session, card)
            elif card is None and session.card is None and self._phase is Phase.DONE:
                await self._finish(store, session)
            else:
                # The read of the next card has failed before.
                await self._advance(store, session)

    async def _drop_graded(self, store: Store, session: ReviewSession) -> None:
        """Take the cards out of the queue that were graded elsewhere since the session began."""
        queued = set(session.queued)
        suspects = {each.memory_id for each in await store.reviews.since(session.started)} & queued
        if not suspects:
            return
        bound = store.policy.days.bound(store.now(), 1)
        states = {memory.id: memory.scheduling for memory in await store.memories.get_many(sorted(suspects))}
        graded = [memory_id for memory_id, state in states.items() if not _is_due(state, bound)]
        for memory_id in graded:
            session.set_aside(memory_id, elsewhere=True)
        if graded:
            cards = "1 queued card was" if len(graded) == 1 else f"{grouped(len(graded))} queued cards were"
            self.say(f"{cards} graded elsewhere; skipped.", severity="quiet")

    async def _check_card(self, store: Store, session: ReviewSession, card: CardFace) -> None:
        before = card.memory
        why = ""
        try:
            memory, marks = await asyncio.gather(store.get(before.id), store.reviews.marks(before.id))
        except NotFound as error:
            log.debug("The memory of the card is gone: %s", error)
            why = "This memory was deleted elsewhere; skipped."
        else:
            if card.practice:
                pass
            elif not same_schedule(memory.scheduling, before.scheduling):
                due = memory.scheduling.next_review if memory.scheduling else None
                when = f"; it is now due {ago(due, self.now())}" if due else ""
                why = f"This memory was graded elsewhere{when}."
            elif memory.superseded_by is not None and before.superseded_by is None:
                why = "This memory was replaced elsewhere; skipped."
            elif marks.suspended or (marks.buried_until is not None and marks.buried_until > self.now()):
                why = "This memory was suspended or buried elsewhere; skipped."
            if not why:
                if memory != before:
                    await self._ask(memory, SessionCard(memory.id, card.practice), revealed=self._revealed)
                if self._just_changed.get(before.id) is not None:
                    # Without an entry the change is still under way, and is not to be taken for one made elsewhere.
                    del self._just_changed[before.id]
                return
        # Checked only now: a change of our own may be seen in the store before it is noted here.
        ours = before.id in self._just_changed
        entry = self._just_changed.pop(before.id, None)
        if not ours:
            self.say(why, severity="waiting")
        session.set_aside(before.id, elsewhere=not ours, entry=entry)
        await self._advance(store, session)

    # Revealing and grading

    @on(ReviewCard.Clicked)
    async def _card_clicked(self) -> None:
        if not self._revealed:
            await self.action_reveal()

    async def action_reveal(self) -> None:
        """Show the answer; once shown, toggle intervals and dates; at the end, continue with the cards still due."""
        if self._card is None:
            if self._more_due():
                self._begin()
        elif self._grading:
            return
        elif self._revealed:
            self._exact = not self._exact
            self._show_grades()
            self.refresh_bindings()
        else:
            await self._show_card(True)

    def _more_due(self) -> bool:
        return self._phase is Phase.DONE and self._counts is not None and self._counts.offered > 0

    @on(RatingBar.Rated)
    def _rated(self, event: RatingBar.Rated) -> None:
        self.action_grade(int(event.rating))

    def action_grade(self, rating: int) -> None:
        card, grade = self._card, Rating(rating)
        if card is None or self._grading:
            return
        if not self._revealed:
            key = self._key_of(Reveal.id, Reveal.key)
            hint = f"Press {key} first to show the answer, then {rating} to grade it."
            self._too_early = self.say(hint, severity="quiet")
        elif card.practice or self._writable() is not None:
            self._grading = True
            self.query_one(RatingBar).press(grade)
            self._grade(card, grade)

    @work(group="card", exit_on_error=False)
    async def _grade(self, card: CardFace, rating: Rating) -> None:
        try:
            async with self._lock:
                store, session = self.store, self._session
                if store is None or session is None or self._card is None or self._card.memory.id != card.memory.id:
                    return
                if not _is_current(session, card):
                    pass
                elif card.practice:
                    session.practise(card.memory.id, rating, self._seconds())
                    self.say("Practised; nothing was written.", severity="quiet")
                else:
                    await self._write_grade(store, session, card.memory, rating)
                await self._advance(store, session)
        except VestigeError:
            self.query_one(RatingBar).press(None)
            raise
        finally:
            self._grading = False

    async def _write_grade(self, store: Store, session: ReviewSession, memory: Memory, rating: Rating) -> None:
        try:
            change = await store.reviews.record(memory.id, rating, expected=memory.scheduling)
        except NotFound as error:
            log.debug("The graded memory is gone: %s", error)
            self.say("This memory was deleted elsewhere; nothing was written.", severity="waiting")
            session.set_aside(memory.id, elsewhere=True)
            return
        except Conflict as error:
            log.debug("The memory was graded by another process: %s", error)
            fresh = await store.get(memory.id)
            due = fresh.scheduling.next_review if fresh.scheduling else None
            when = f" It is now due {ago(due, store.now())}." if due else ""
            self.say(f"This memory was graded elsewhere; nothing was written.{when}", severity="waiting")
            session.set_aside(memory.id, elsewhere=True)
            return
        except Unsure:
            # If it was saved, then by this console.
            self._just_changed[memory.id] = None
            raise
        new = change.scheduling
        assert new is not None
        session.grade(memory.id, rating, memory.scheduling, new, self._seconds(), entry=change.undo)
        when = f"due {ago(new.next_review, store.now())}" if new.next_review else "no date"
        practice = "; practised later in this session" if rating == Rating.AGAIN else ""
        # On a narrow screen the text gives way, not the due date.
        cells = GRADED_CELLS if self.size.width >= NARROW_BELOW_CELLS else NARROW_GRADED_CELLS
        sentence = change_sentence("review", title(memory.content, cells), f"{LABELS[rating]}: {when}{practice}")
        self._report_write(change, sentence, grade=True)

    def _seconds(self) -> float:
        return (self.now() - self._since).total_seconds() if self._since is not None else 0.0

    def _report_write(self, change: Change, sentence: str, *, grade: bool = False) -> None:
        if change.undo is not None:
            self._entries.append(SessionEntry(change.undo, grade, self._revealed))
        super().changed(change, sentence)

    def will_change(self, memories: Sequence[Memory]) -> None:
        self._just_changed.update({memory.id: None for memory in memories})

    def changed(self, change: Change, sentence: str) -> None:
        """Show an edit, a delete or a supersession on the card, or continue with the next one."""
        self._just_changed.update(dict.fromkeys(change.changed, change.undo))
        if self._session is not None and change.undo is not None:
            self._session.name_entry(change.changed, change.undo)
        self._report_write(change, sentence)
        if self._session is None or self._card is None:
            self.refresh_place()
        else:
            self._recheck()

    @work(group="card", exit_on_error=False)
    async def action_suspend(self) -> None:
        await self._rest(bury=False)

    @work(group="card", exit_on_error=False)
    async def action_bury(self) -> None:
        await self._rest(bury=True)

    async def _rest(self, *, bury: bool) -> None:
        card, store = self._card, self._writable()
        if card is None or store is None:
            return
        async with self._lock:
            session = self._session
            if session is None or self._card is not card:
                return
            memory = card.memory
            if _is_current(session, card):
                change = await self._put_to_rest(store, memory.id, bury=bury)
                session.set_aside(memory.id, entry=change.undo)
                verb, until = ("bury", "until tomorrow") if bury else ("suspend", "until resumed")
                content = memory.content if self._revealed else question_of(memory)
                self._report_write(change, change_sentence(verb, title(content), until))
            await self._advance(store, session)

    async def _put_to_rest(self, store: Store, memory_id: str, *, bury: bool) -> Change:
        try:
            return await (store.reviews.bury(memory_id) if bury else store.reviews.suspend(memory_id))
        except Unsure:
            self._just_changed[memory_id] = None
            raise

    @work(group="card", exit_on_error=False)
    async def action_undo(self) -> None:
        """Undo the last change of this console, of this session or not; without one, open the journal."""
        store = self._writable()
        if store is None:
            return
        async with self._lock:
            change = await self.store_session.own_changes.undo(store)
            if change is not None and change.undone is not None:
                await self._take_back(store, change, change.undone)
        if change is None:
            await self.app.run_action("app.show_journal")

    async def _take_back(self, store: Store, change: Change, undone: UndoneChange) -> None:
        """Show an undo: the card of its change is asked again, if the session has it or the change was a grade."""
        # A change of a domain's row alone has no memory.
        entry, memory_id = undone.entry, next(iter(change.changed), None)
        mine = next((each for each in self._entries if each.entry == entry.id), None)
        if mine is not None:
            self._entries.remove(mine)
        session = self._session
        back = session is not None and session.undo(entry.id)
        if memory_id is not None and entry.verb == "review" and not back:
            # The grade of an earlier session is of no card of this one.
            session = self._session = session or ReviewSession((), self.now())
            session.requeue(memory_id)
            back = True
        self.store_session.note_change()
        self._just_changed.update(dict.fromkeys(change.changed))
        revealed = mine is not None and mine.revealed
        if memory_id is not None and not revealed:
            # The card is asked again: its answer stays hidden.
            change = replace(change, undone=await _as_question(store, memory_id, undone))
        self.say(undo_sentence(change), change)
        if back and session is not None:
            await self._advance(store, session, revealed=revealed)
        else:
            self._recheck()

    @work(group="card", exit_on_error=False)
    async def action_redo(self) -> None:
        """Reverse the last undo of this console; its card is graded or left out again."""
        store = self._writable()
        if store is None:
            return
        async with self._lock:
            change = await self.store_session.own_changes.redo(store)
            if change is not None and change.redone is not None:
                await self._make_again(store, change, change.redone)
        if change is None:
            self.say(NOTHING_TO_REDO, severity="quiet")

    async def _make_again(self, store: Store, change: Change, redone: UndoneChange) -> None:
        entry, session, memory_id = redone.entry, self._session, next(iter(change.changed), None)
        self.store_session.note_change()
        self._just_changed.update(dict.fromkeys(change.changed, entry.id))
        self._entries.append(SessionEntry(entry.id, entry.verb == "review", self._revealed))
        if memory_id is not None and not self._revealed:
            change = replace(change, redone=await _as_question(store, memory_id, redone))
        self.say(redo_sentence(change), change)
        asked = session is not None and session.card is not None and session.card.memory_id == memory_id
        if (
            session is None
            or memory_id is None
            or not asked
            or entry.verb not in ("review", "suspend", "bury", "delete")
        ):
            self._recheck()
            return
        if entry.verb == "review":
            prior, new = (from_json(state[0]["scheduling"] or {}) for state in (entry.before, entry.after))
            session.grade(memory_id, Rating(entry.after[0]["rating"]), prior, new, self._seconds(), entry=entry.id)
        else:
            session.set_aside(memory_id, entry=entry.id)
        await self._advance(store, session)

    # The filter

    def action_filter(self) -> None:
        self.add_class("-filtering")
        self.query_one(FilterBar).focus_input()

    @on(FilterBar.Asked)
    def _filtered(self, event: FilterBar.Asked) -> None:
        bar = self.query_one(FilterBar)
        bar.note("a filter needs a field, such as tag:keys" if event.text else "")
        self.set_class(bool(event.chips) or bar.has_focus_within, "-filtering")
        self._choose()

    @work(group="filter", exclusive=True, exit_on_error=False)
    async def _choose(self) -> None:
        """Begin a new session with the filter of the line; an invalid or unchanged one is ignored."""
        store = self.store
        if store is None:
            return
        try:
            chosen = await self.current_filter(store)
        except BadChip:
            return
        if chosen != self._chosen:
            self._chosen = chosen
            self._begin()

    async def tally(self, chosen: Filter) -> str:
        """Return the number of memories that pass a filter, and of those that a session would show."""
        assert self.store is not None
        offered = (await self.store.reviews.queue_counts(chosen)).offered
        return f"{await super().tally(chosen)} {grouped(offered)} to review now."

    @on(FilterBar.Left)
    def _leave_filter(self) -> None:
        bar = self.query_one(FilterBar)
        self.set_class(bool(bar.chips), "-filtering")
        self._focus_body()

    def _focus_body(self) -> None:
        if self._card is not None:
            self.query_one(ReviewCard).focus_text()
        elif self._phase is Phase.DONE:
            self.query_one(SessionSummary).focus()
        else:
            self.set_focus(None)

    def action_back(self) -> None:
        bar = self.query_one(FilterBar)
        if bar.has_focus_within:
            bar.set_text("")
            self._leave_filter()
        elif bar.chips and self._card is None:
            bar.set_chips([])
            self._leave_filter()
        else:
            super().action_back()

    # End of the session

    async def _finish(self, store: Store, session: ReviewSession) -> None:
        self._counts = counts = await store.reviews.queue_counts(self._chosen)
        keys = []
        if counts.offered:
            keys.append((self._key_of(Reveal.id, Reveal.key), f"continue, {grouped(counts.offered)} more"))
        if self._entries:
            keys.append((self._key_of(UndoChange.id, UndoChange.key), "undo the last change"))
        summary = replace(await summary_of(store, session, self._chosen), keys=keys)
        first = self._phase is not Phase.DONE
        self._set_phase(Phase.DONE)
        if first or summary != self._summary:
            self._summary = summary
            self.query_one(SessionSummary).show(summary)
        if first and not self.query_one(FilterBar).has_focus_within:
            self._focus_body()

    async def _say_nothing(self, store: Store) -> None:
        self._counts = counts = await store.reviews.queue_counts(self._chosen)
        nothing = self.query_one("#nothing", Empty)
        if self._chosen != Filter():
            change = (self._key_of(FilterCommand.id, "/"), "change the filters")
            clear = (self._key_of(Leave.id, "esc"), "clear the filters")
            nothing.say(await why_nothing(store, counts, self._chosen), change, clear)
        elif await store.memories.count(Filter(superseded=True)):
            browse = (self._key_of(GoToBrowse.id, GoToBrowse.key).upper(), "browse; R grades any memory")
            nothing.say(await why_nothing(store, counts, self._chosen), browse)
        else:
            add = (self._key_of(AddMemory.id, AddMemory.key), "add the first memory")
            nothing.say("This store has no memories yet.", add)
        self._set_phase(Phase.EMPTY)

    def action_show_statistics(self) -> None:
        from vestige_tui.tui.review.statistics_page import StatisticsScreen

        chips = self.query_one(FilterBar).chips
        self.app.push_screen(StatisticsScreen(self._chosen, write_chips(chips)))

    # Subject of commands

    def chosen_subject(self) -> str:
        # The answer of a card stays hidden until it is revealed.
        memory = self.current_memory()
        return super().chosen_subject() if memory is None or self._revealed else title(question_of(memory))

    def current_memory(self) -> Memory | None:
        return self._card.memory if self._card is not None else None


async def _as_question(store: Store, memory_id: str, change: UndoneChange) -> UndoneChange:
    """Return a change whose sentence asks for the text of its memory instead of showing it."""
    memories = await store.memories.get_many([memory_id]) if change.content and memory_id else ()
    return replace(change, content=question_of(memories[0])) if memories else change


def _is_due(state: Scheduling | None, bound: datetime) -> bool:
    """Check whether a memory is to be reviewed before a time; a new one is."""
    return state is None or state.reps == 0 or state.next_review is None or state.next_review < bound


def _is_current(session: ReviewSession, card: CardFace) -> bool:
    """Check whether the card shown is still the current one of the session."""
    current = session.card
    return current is not None and (current.memory_id, current.practice) == (card.memory.id, card.practice)
