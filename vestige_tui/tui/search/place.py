"""Search: ask a question, see which memories answer it and why, read one beside the list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer

from vestige_tui.core.code_words import CodeWord
from vestige_tui.core.filter_syntax import Chip, misspelled_field, narrows
from vestige_tui.core.memories import Memory
from vestige_tui.core.search import NO_TERMS, Answer, EmptyReason, Hit, Mode, SearchQuery
from vestige_tui.core.text import cut, duration, grouped, plain
from vestige_tui.core.times import CALENDAR_DAYS
from vestige_tui.presenters.empty_answers import (
    empty_sentence,
    hits_without,
    literal_offer,
    literal_sentence,
    pronoun,
)
from vestige_tui.presenters.explanation import MODE_NAMES
from vestige_tui.tui import layout_widths
from vestige_tui.tui.commands.catalogue import IN_PLACE
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.everywhere import Leave, Quit, ShowHelp, ShowLegend
from vestige_tui.tui.commands.lists import LeaveLine
from vestige_tui.tui.commands.memories import AddMemory
from vestige_tui.tui.commands.places import GoToRegistry, GoToReview, GoToSearch
from vestige_tui.tui.commands.search import CycleMode, SearchLiteral, SearchWithout, ToggleSuperseded
from vestige_tui.tui.filtered_place import REPLACED
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.reading_place import OUTSIDE, ReadingPlace
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.first_hints import FirstHints
from vestige_tui.tui.widgets.status_line import StatusLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.store.store import Store
    from vestige_tui.tui.notice import Notice

PATIENCE_SECONDS = 0.4
HEAD_CHARS = 2_000
FIRST_HITS_LIMIT = 20
MORE_HITS_COUNT = 30
MODES: tuple[Mode, ...] = ("hybrid", "text", "vector", "literal")


class SearchPlace(ReadingPlace):
    """Search line over a list of hits: typing searches, `down` or `enter` moves to the hits, `/` back to the line."""

    GO_TO = GoToSearch
    CSS_PATH: ClassVar[list[str | PurePath]] = ["../reading_place.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*IN_PLACE["search"])
    HELP = """\
Type a question. Plain words are optional; `"a phrase"` and `+word` must occur, `-word` must not.

Filters: `type:decision`, `domain:auth`, `tag:"two words"`, `codebase:api`, `owner:mira`, `since:-30d`,
`until:2026-11-01`, `recall:0.8`, `is:due`. `+tag:a +tag:b` match memories with both tags, `-tag:a` those without it;
`with:replaced` shows replaced memories too. Backspace at the start of the line removes the last filter. `F8` (in the
list also `f`) chooses filters, with counts; `ctrl+s` saves them; `F` opens them in Browse or Review.

`m` switches between text and vector together, text only, vector only, and exact characters; `L` goes to exact
characters at once, such as a path, an id or a line of code. If a phrase, a +word, a -word or a filter excludes every
result, `n` searches without it.

Matching words are underlined, and each hit shows the passage with the most of them.

In the card, `tab` marks the next link and `enter` opens it; `esc` comes back. `i` unfolds the metadata, `z` hides the
card.

Each hit shows its rank by text (the words) and by vector (the meaning). `x` explains the ranking; `w` explains why a
memory is not in the results.
"""

    def __init__(self) -> None:
        super().__init__()
        self._mode: Mode = "hybrid"
        self._limit = FIRST_HITS_LIMIT
        self._warnings: tuple[str, ...] = ()
        self._terms = NO_TERMS
        self._edited: frozenset[str] = frozenset()
        """Ids of the hits whose text was another one at the past moment that is shown."""
        self._empty_because: EmptyReason | None = None
        self._code_word: CodeWord | None = None
        self._reset_cursor = True
        self._answered = False
        self._announced = False
        self._hint: Notice | None = None
        """Notice on a filter that is typed in the line."""
        self._patience: Timer | None = None
        self._note = ""
        self._question: tuple[str, tuple[Chip, ...]] = ("", ())
        self._go_to: str | None = None
        """Memory that the cursor goes to when the hits have been read."""
        self._guest: str | None = None
        """New memory that is no hit and the first row shows, until the question changes."""

    def compose_body(self) -> ComposeResult:
        yield FilterBar("Ask what your agents remember", history=self.console.search_history, id="ask")
        yield StatusLine(id="notes")
        yield from self.compose_found(HitList(clock=self.now, id="list"))
        if self.console.state.wants_hints:
            yield self._first_hints()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(FilterBar).focus_input()
        if self.query(FirstHints):
            self._note_hints()

    # Hints of the first start

    def _first_hints(self) -> FirstHints:
        keys = {
            "list": self.key_named(LeaveLine),
            "help": self.key_named(ShowHelp, typing=True),
            "signs": self.key_named(ShowLegend),
            "review": self.key_named(GoToReview),
            "quit": self.key_named(Quit),
            "back": self.key_named(Leave),
        }
        return FirstHints(keys)

    @work(group="state", exit_on_error=False)
    async def _note_hints(self) -> None:
        # In a thread, because the disk may be slow.
        await asyncio.to_thread(self.console.state.note_hints)

    def _close_hints(self) -> bool:
        """Remove the hints for good; return whether they were shown."""
        hints = self.query(FirstHints)
        hints.remove()
        return bool(hints)

    def on_screen_suspend(self) -> None:
        super().on_screen_suspend()
        if self.app.current_mode != self.GO_TO.place:
            self._close_hints()

    # Query

    def refresh_place(self) -> None:
        if self.store is not None:
            self._search()

    @on(FilterBar.Asked)
    def _asked(self, event: FilterBar.Asked) -> None:
        # Showing or hiding replaced memories leaves the cursor on its hit.
        question = (event.text, tuple(chip for chip in event.chips if chip != REPLACED))
        if question != self._question:
            self._limit = FIRST_HITS_LIMIT
            self._reset_cursor = True
            self._guest = None
        self._question = question
        self._status.withdraw(self._hint)
        misspelled = misspelled_field(event.text)
        if hint := f"{misspelled}." if misspelled else self.hint_on_filter(event.text):
            self._hint = self.say(hint, severity="quiet")
        self.refresh_place()

    @work(group="search", exclusive=True, exit_on_error=False)
    async def _search(self) -> None:
        store, bar = self.store, self.query_one(FilterBar)
        if store is None:
            return
        # The old answer stays visible until the new one arrives; only a slow one is announced.
        self._patience = patience = self.set_timer(PATIENCE_SECONDS, self._announce_slow)
        try:
            answer = await self.answer_or_none(self._ask(store, bar))
        finally:
            patience.stop()
            if self._patience is patience:
                self._patience = None
        if answer is not None:
            self._show(*answer, await self._guest_hit(store, answer[1]))
        else:
            self._clear_notice()

    async def show_added(self, store: Store, memory_id: str) -> str:
        self._go_to = self._guest = memory_id
        chosen = await self.answer_or_none(self.current_filter(store))
        hidden = chosen is not None and await store.memories.position(memory_id, chosen) is None
        return OUTSIDE if hidden else ""

    async def _guest_hit(self, store: Store, hits: Sequence[Hit]) -> Hit | None:
        """Return the new memory as a row if it is no hit."""
        if self._guest is None or any(hit.memory.id == self._guest for hit in hits):
            return None
        existing = await self.answer_or_none(store.memories.get_many([self._guest]))
        return Hit(existing[0], 0.0) if existing else None

    def _clear_notice(self) -> None:
        """Clear the notice of a slow search."""
        if not self._announced:
            return
        self._announced = False
        self.query_one(FilterBar).note(self._note)
        if not self._answered:
            self.query_one("#nothing", Empty).say("No results yet.")

    def _announce_slow(self) -> None:
        if self._patience is None:
            # The answer came while the message of the timer was under way.
            return
        self._announced = True
        self.query_one(FilterBar).note("searching …")
        if not self._answered:
            loading = self.store_session.embedders.state in ("idle", "loading")
            why = "Loading the embedding model; the first search waits for it." if loading else "Searching…"
            self.query_one("#nothing", Empty).say(why)

    async def _ask(self, store: Store, bar: FilterBar) -> tuple[Answer | None, Sequence[Hit]]:
        chosen = await self.current_filter(store)
        text = bar.text.strip()
        self._terms, self._empty_because, self._code_word, self._edited = NO_TERMS, None, None, frozenset()
        if not text:
            # One page beyond the cursor: new memories must not push the current one off the end.
            reach = self.query_one(HitList).cursor + MORE_HITS_COUNT
            page = await store.page(chosen, limit=max(self._limit, reach), head=HEAD_CHARS)
            await self._read_edits(store, page.items)
            return None, [Hit(memory, 0.0) for memory in page.items]
        query = SearchQuery.within(chosen, text, mode=self._mode, limit=self._limit)
        answer = await store.search(query)
        self._terms, self._empty_because = answer.terms, answer.empty_because
        self._code_word = literal_offer(query, answer)
        await self._read_edits(store, [hit.memory for hit in answer])
        return answer, answer.hits

    async def _read_edits(self, store: Store, memories: Sequence[Memory]) -> None:
        """Read which of the memories had another text at the past moment that is shown."""
        if store.moment is not None:
            self._edited = frozenset(await store.history.edited_since(memories, store.moment))

    def _show(self, answer: Answer | None, hits: Sequence[Hit], guest: Hit | None) -> None:
        bar, nothing = self.query_one(FilterBar), self.query_one("#nothing", Empty)
        self._answered = True
        self._warnings = answer.warnings if answer else ()
        self._announced, self._note = False, self._summary(answer, len(hits))
        hits = [guest, *hits] if guest is not None else hits
        bar.note(self._note)
        self.set_class(not hits, "-nothing")
        if not hits:
            self.reading = False
            self._say_nothing(nothing, answer is not None, bool(bar.chips))
        self.query_one(HitList).show(hits, keep_cursor=not self._reset_cursor, terms=self._terms, edited=self._edited)
        self._reset_cursor = False
        self._show_notes()
        self.refresh_bindings()
        ids = [hit.memory.id for hit in hits]
        if self._go_to in ids:
            self.query_one(HitList).move_to(ids.index(self._go_to))
        self._go_to = None
        if hits and self.focused is None:
            self.query_one(HitList).focus()
        elif not hits and self.query_one(HitList).has_focus:
            self.set_focus(None)

    def _summary(self, answer: Answer | None, count: int) -> str:
        if answer is None:
            return "newest first"
        count_text = f"best {grouped(count)}" if count == self._limit else _counted(count, "hit")
        if layout_widths.is_narrow(self.size.width):
            return f"{MODE_NAMES[answer.mode].replace(' and ', '+')}  {count_text}"
        took = answer.elapsed_ms
        return f"{MODE_NAMES[answer.mode]}   {count_text}, " + (
            f"{took:.0f} ms" if took < 1000 else duration(took / 1000)
        )

    def _frame_changed(self, _: None) -> None:
        super()._frame_changed(_)
        self._show_notes()

    def _show_notes(self) -> None:
        """Show the banner about the model, or else the warnings of this answer."""
        banner = self.store_session.banner
        text = banner.text if banner is not None else " ".join(self._warnings)
        hint = f"{self._key_of(GoToRegistry.id, GoToRegistry.key).upper()} registry" if banner is not None else ""
        if not text and self._code_word is not None and self.query_one(HitList).hits:
            text = literal_sentence(self._code_word)
            hint = f"{self.key_named(SearchLiteral)} exact characters"
        self.set_class(bool(text), "-notes")
        self.query_one("#notes", StatusLine).say(text, hint, "waiting")

    def _say_nothing(self, nothing: Empty, has_query: bool, filtered: bool) -> None:
        keys: list[tuple[str, str]] = []
        key, leave = self.key_named, self.key_named(LeaveLine)
        if filtered:
            keys.append(("home backspace" if has_query else "backspace", "remove the last filter"))
        # Letters are keys only outside the line, so the hints name the key that leaves it.
        if not self.replaced_too and (has_query or filtered):
            keys.append((f"{leave} {key(ToggleSuperseded)}", "show replaced memories too"))
        if self._empty_because is not None:
            without = self._empty_because
            label = f"search without {pronoun(without)}, {hits_without(without)}"
            keys.insert(0, (f"{leave} {key(SearchWithout)}", label))
        if self._code_word is not None:
            label = f"search for exactly {cut(plain(self._code_word.characters), 30)}"
            keys.append((f"{leave} {key(SearchLiteral)}", label))
        if has_query:
            mode = MODES[(MODES.index(self._mode) + 1) % len(MODES)]
            keys.append((f"{leave} {key(CycleMode)}", f"search by {MODE_NAMES[mode]}"))
            reason = self._empty_because
            nothing.say(empty_sentence(reason) if reason else "No memory matches this search.", *keys)
        elif filtered:
            nothing.say("No memory passes these filters.", *keys)
        else:
            nothing.say("This store has no memories yet.", (f"{leave} {key(AddMemory)}", "add the first memory"))

    def action_cycle_mode(self) -> None:
        self._mode = MODES[(MODES.index(self._mode) + 1) % len(MODES)]
        self.say(f"Searching by {MODE_NAMES[self._mode]}.", severity="quiet")
        self._reset_cursor = True
        self.refresh_place()

    def why_not(self, action: str) -> str:
        if action == SearchWithout.action and self._empty_because is None:
            if not self.bar.text.strip():
                return "There is no question, so there is nothing to leave out."
            if self.query_one(HitList).hits:
                return "The search has results, so there is nothing to leave out."
            return "No phrase, word or filter was found that excludes every result."
        return super().why_not(action)

    def action_search_without(self) -> None:
        reason = self._empty_because
        if reason is None:
            return
        if reason.kind == "replaced":
            self.action_toggle_superseded()
            return
        now, days = self.now(), self.store.policy.days if self.store is not None else CALENDAR_DAYS
        self.bar.set_text(reason.query.text)
        self.set_filters([chip for chip in self.bar.chips if not narrows(chip, reason.fields, now, days)])
        self.bar.ask_now()

    def action_search_literal(self) -> None:
        word = self._code_word
        self._mode = "hybrid" if self._mode == "literal" else "literal"
        self.say(f"Searching by {MODE_NAMES[self._mode]}.", severity="quiet")
        self._reset_cursor = True
        if word is not None and self._mode == "literal" and word.characters != self.bar.text.strip():
            self.bar.set_text(word.characters)
            self.bar.ask_now()
        else:
            self.refresh_place()

    def action_more_hits(self) -> None:
        self._limit += MORE_HITS_COUNT
        self.refresh_place()

    # Explanation

    async def _current_query(self, gone_on: str) -> tuple[Store, SearchQuery] | None:
        """Return store and query of the line, or None after showing the reason (``gone_on`` if the user left)."""
        store, text = self.store, self.bar.text.strip()
        if self.app.screen is not self:
            return None
        if store is None:
            self.say("The store is not open yet.", severity="waiting")
        elif not text:
            self.say("Type a question first: without one there is no ranking.", severity="quiet")
        else:
            chosen = await self.await_visibly(
                self.answer_or_none(self.current_filter(store)), slow="Reading the filters…", gone_on=gone_on
            )
            if chosen is not None:
                return store, SearchQuery.within(chosen, text, mode=self._mode, limit=self._limit)
        return None

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_explain_answer(self) -> None:
        from vestige_tui.tui.search.explanation import ExplanationScreen

        if (question := await self._current_query("Nothing was explained: you left while it was loading.")) is not None:
            memory = self.current_memory()
            await self.app.push_screen(ExplanationScreen(question[1], memory.id if memory else None))

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_ask_why_not(self) -> None:
        from vestige_tui.tui.search.why_not import tell_why_not

        if (question := await self._current_query("Nothing was explained: you left while it was loading.")) is not None:
            await tell_why_not(self.app, *question)

    # Moving between line, list and card

    def action_filter(self) -> None:
        self.reading = False
        self.query_one(FilterBar).focus_input()

    @on(FilterBar.Left)
    def _to_the_list(self) -> None:
        self.query_one(FilterBar).remember()
        # Without hits no widget has the focus, so that the keys of the place work.
        self.set_focus(self.query_one(HitList) if self.query_one(HitList).hits else None)

    def action_back(self) -> None:
        if not self._close_hints() and not self.close_card():
            super().action_back()
            self.query_one(FilterBar).focus_input()

    @on(HitList.HitHighlighted)
    def _highlighted(self, event: HitList.HitHighlighted) -> None:
        self.tell_keys()
        self._read_hit(event.hit)

    @on(HitList.HitChosen)
    def _chosen(self, event: HitList.HitChosen) -> None:
        self.query_one(FilterBar).remember()
        self._close_hints()
        self.open_card()

    @on(HitList.SelectionChanged)
    def _selected(self, event: HitList.SelectionChanged) -> None:
        self.show_selection(event.memories, lost=event.lost)

    # Subject of commands

    def the_list(self) -> HitList:
        return self.query_one(HitList)

    def show_current(self) -> None:
        hit = self.query_one(HitList).current
        self._read_hit(hit)

    def _read_hit(self, hit: Hit | None) -> None:
        # A literal search has no scores to show.
        self.read_memory(hit.memory if hit else None, None if self._terms.characters else hit, self._terms)

    def memory_under_cursor(self) -> Memory | None:
        hit = self.query_one(HitList).current
        return hit.memory if hit else None


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{grouped(count)} {noun}s"
