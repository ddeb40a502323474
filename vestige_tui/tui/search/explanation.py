"""A search laid open: both branches and the fused list side by side, and beneath them what they were made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import PurePath
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.search import Explanation, Hit, SearchQuery
from vestige_tui.core.text import cells, cut, grouped, plain, redact
from vestige_tui.presenters import explanation
from vestige_tui.tui.commands import OF_AN_EXPLANATION, AskWhyNot, bindings
from vestige_tui.tui.dialogs.details import detail_of
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.place import Console
from vestige_tui.tui.search.rank_list import (
    COSINE,
    MEANING,
    MEANING_SHARE,
    PLACE,
    SCORE,
    TOTAL,
    WORDS,
    WORDS_SHARE,
    Figure,
    Ranked,
    RankLines,
    RankList,
)
from vestige_tui.tui.search.why_not import tell_why_not
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.widgets.memory_card import MemoryCard, MemoryDetail, Section
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.status_line import StatusLine
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

LEAST_GAP = 2
WORD_CELLS = 24


class Reading(Dialog[None]):
    """One memory to read, over the list that it was opened from."""

    def __init__(self, detail: MemoryDetail, clock: Callable[[], datetime]) -> None:
        super().__init__("Memory", (("↑↓", "scroll"), ("esc", "back")))
        self._detail = detail
        self._clock = clock

    def compose_body(self) -> ComposeResult:
        yield MemoryCard(clock=self._clock)

    async def on_mount(self) -> None:
        card = self.query_one(MemoryCard)
        card.focus()
        await card.show(self._detail)


class ExplanationScreen(Screen[None]):
    """How the answer to ``query`` came about; the memory under the cursor is the same one in every list.

    ``memory_id`` is where the cursor begins. The store is asked again whenever it changes.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["explanation.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_AN_EXPLANATION)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-medium"), (100, "-wide")]  # noqa: RUF012 - Textual declares it so
    HELP = """\
Both ways of searching give a list of their own, by words and by meaning, and these become the one in the middle. The
memory under the cursor is marked in all of them; the other rows say which place they have elsewhere. What is pale lies
behind the end of the answer.

Beneath the lists: how the score of the memory under the cursor comes about, what became of each word, how many memories
each filter would leave by itself, and which steps the search took. `tab` goes there.
"""

    def __init__(self, query: SearchQuery, memory_id: str | None = None) -> None:
        super().__init__()
        self._query = query
        self._current = memory_id
        self._found: Explanation | None = None
        self._hits: dict[str, Hit] = {}

    def compose(self) -> ComposeResult:
        yield Static(id="explained-query", markup=False)
        yield Static(id="explained-why", markup=False)
        with Horizontal(id="explained-lists"):
            with Vertical(id="by-words"):
                yield Static(id="words-title", markup=False)
                yield RankList((SCORE, WORDS_SHARE, PLACE, MEANING), id="words")
            with Vertical(id="fused"):
                yield Static(id="fused-title", markup=False)
                yield RankList((TOTAL, WORDS, MEANING), id="together")
            with Vertical(id="by-meaning"):
                yield Static(id="meaning-title", markup=False)
                yield RankList((COSINE, MEANING_SHARE, PLACE, WORDS), id="meaning")
            yield RankLines((), id="lines")
            yield Empty("Asking …", id="nothing")
        with Panels(id="explained-how"), Horizontal(id="how-columns"):
            with Vertical(id="how-score"):
                yield Section("this memory", id="how-sums")
                yield Section("how one list is made", id="how-rules")
            with Vertical(id="how-query"):
                yield Section("words", id="how-words")
                yield Section("filters", id="how-filters")
                yield Section("steps", id="how-steps")
        yield StatusLine()
        yield KeyLine()

    @property
    def console(self) -> Console:
        """The app, as far as this screen knows it."""
        app = self.app
        assert isinstance(app, Console)
        return app

    @property
    def lists(self) -> tuple[RankList, ...]:
        """The lists that are shown, from left to right."""
        return tuple(each for each in self.query(RankList) if each.display and each.parent and each.parent.display)

    def on_mount(self) -> None:
        self.add_class("-nothing")
        self.console.store_changed.subscribe(self, self._store_changed)

    def on_screen_resume(self) -> None:
        self._ask()

    def _store_changed(self, _: None) -> None:
        if self.is_current:
            self._ask()

    # Asking

    @work(group="search", exclusive=True, exit_on_error=False)
    async def _ask(self) -> None:
        store = self.console.store
        if store is not None:
            self._show(await store.explain(self._query))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            event.stop()
            error = event.worker.error
            said = plain(str(error)) if isinstance(error, VestigeError) else "Something went wrong; nothing was lost."
            self.query_one(StatusLine).say(redact(said), "", "bad")

    def _show(self, found: Explanation) -> None:
        first = self._found is None
        self._found = found
        self.query_one(StatusLine).say("")
        whole = explanation.fused(found)
        self._hits = {hit.memory.id: hit for hit in whole}
        places = {id: place for place, id in enumerate(self._hits, start=1)}
        shown = len(found.answer)

        def ranked(hits: Sequence[Hit]) -> list[Ranked]:
            return [Ranked(hit, places[hit.memory.id], places[hit.memory.id] <= shown) for hit in hits]

        wanted = found.query.strip() if found.answer.mode == "literal" else ""
        missing = [explanation.why_missing(found, branch, self._query.mode) for branch in ("text", "vector")]
        self.set_class(not whole, "-nothing")
        self.set_class(any(missing), "-single")
        self.query_one("#words", RankList).show(ranked(found.text))
        self.query_one("#together", RankList).show(ranked(whole))
        self.query_one("#meaning", RankList).show(ranked(found.vector))
        self.query_one("#lines", RankList).show(ranked(whole), _figures(found), wanted)
        self._say(found, " ".join(dict.fromkeys(filter(None, (*found.answer.warnings, *missing)))))
        if not whole:
            self._current = None
            bound = (each.binding for each in self.active_bindings.values())
            own = (self.app.get_key_display(binding) for binding in bound if binding.id == AskWhyNot.id)
            key = next(own, AskWhyNot.key)
            self.query_one("#nothing", Empty).say(
                "No memory answers this.", (key, "why not this one"), ("esc", "ask something else")
            )
        elif self._current not in self._hits:
            self._current = next(iter(self._hits))
        # The lists get their room only once what is hidden and shown is laid out.
        self.call_after_refresh(partial(self._settle, first=first))

    def _settle(self, *, first: bool) -> None:
        self._follow()
        lists = self.lists
        # Another width, or another answer, may have hidden the list that one was in.
        if lists and (first or not (isinstance(self.focused, Panels) or self.focused in lists)):
            next(each for each in lists if each.id in ("together", "lines")).focus()

    def _say(self, found: Explanation, why: str) -> None:
        self.query_one("#explained-why", Static).update(Content(plain(why)))
        self.set_class(bool(why), "-why")
        self._say_query()
        for id, name, count in (
            ("words-title", explanation.branch_name(found, "text"), len(found.text)),
            ("meaning-title", "meaning", len(found.vector)),
            ("fused-title", "together", len(self._hits)),
        ):
            said = (
                f"  {grouped(count)}, {grouped(len(found.answer))} shown"
                if id == "fused-title"
                else f"  {grouped(count)}"
            )
            self.query_one(f"#{id}", Static).update(Content.assemble((name, "$text bold"), (said, "$text-muted")))
        self._fill("how-rules", lambda width: Content("\n").join(Content(rule) for rule in explanation.rules(found)))
        self._fill("how-words", (lambda width: _words(found, width)) if found.words else None)
        self._fill("how-filters", lambda width: _filters(found, width))
        self._fill("how-steps", lambda width: _steps(found, width))

    def _say_query(self) -> None:
        if self._found is None:
            return
        line = self.query_one("#explained-query", Static)
        width = line.size.width or self.size.width - 2
        said = explanation.summary(self._found)
        if not self.has_class("-wide"):
            said = said.partition(";")[0]
        asked = cut(plain(self._found.query[: width * 4]), max(8, width - cells(said) - LEAST_GAP))
        gap = " " * max(LEAST_GAP, width - cells(asked) - cells(said))
        line.update(Content.assemble((asked, "$text bold"), gap, (said, "$text-muted")))

    def _fill(self, id: str, body: Callable[[int], Content] | None) -> None:
        self.query_one(f"#{id}", Section).fill(body)

    def on_resize(self) -> None:
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        self._say_query()
        self._settle(first=False)

    # The memory under the cursor

    def _follow(self) -> None:
        """Mark one memory everywhere, and reckon its score."""
        for each in self.query(RankList):
            each.follow(self._current)
        found, hit = self._found, self._hits.get(self._current or "")
        if found is None or hit is None:
            self._fill("how-sums", None)
            return
        sums = explanation.sums(found, hit)
        self._fill("how-sums", lambda width: _pairs(sums))

    @on(RankList.MemoryHighlighted)
    def _highlighted(self, event: RankList.MemoryHighlighted) -> None:
        event.stop()
        if event.list.display:
            self._current = event.memory_id
            self._follow()

    @on(RankList.MemoryChosen)
    def _chosen(self, event: RankList.MemoryChosen) -> None:
        event.stop()
        self._read(event.memory_id)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self, memory_id: str) -> None:
        store = self.console.store
        if store is not None:
            detail = await detail_of(store, memory_id, self._hits.get(memory_id))
            await self.app.push_screen(Reading(detail, store.now))

    # Commands

    def action_step_column(self, step: int) -> None:
        lists = self.lists
        if not lists:
            return
        at = next((place for place, each in enumerate(lists) if each.has_focus), None)
        lists[(at + step) % len(lists) if at is not None else 0].focus()

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_ask_why_not(self) -> None:
        store: Store | None = self.console.store
        if store is not None:
            await tell_why_not(self.app, store, self._query)

    def action_refresh_place(self) -> None:
        self._ask()

    def action_place(self, place: str) -> None:
        self.app.switch_mode(place)

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen("A search laid open", self.HELP, self))

    def action_back(self) -> None:
        self.dismiss(None)


def _figures(found: Explanation) -> tuple[Figure, ...]:
    """What one list alone shows; the places of its branch are its own, where there is only one."""
    words, meaning = bool(found.text), bool(found.vector)
    if explanation.is_newest(found):
        return ()
    if found.answer.mode == "literal":
        return (TOTAL,)
    if words and meaning:
        return (TOTAL, WORDS, SCORE, WORDS_SHARE, MEANING, COSINE, MEANING_SHARE)
    return (TOTAL, SCORE, WORDS_SHARE) if words else (TOTAL, COSINE, MEANING_SHARE)


def _pairs(pairs: Sequence[tuple[str, str]]) -> Content:
    widest = max((cells(name) for name, _ in pairs), default=0)
    lines = [Content.assemble((f"{name:<{widest}}  ", "$text-muted"), plain(said)) for name, said in pairs]
    return Content("\n").join(lines)


def _words(found: Explanation, width: int) -> Content:
    rows = [explanation.word_row(word) for word in found.words]
    names = min(WORD_CELLS, max(cells(row[0]) for row in rows))
    uses = max(cells(row[1]) for row in rows)
    lines = [Content.styled(f"{'':<{names}}  {'':<{uses}}  memories  weight", "$text-disabled")]
    for word, use, count, weight in rows:
        shown = cut(word, names)
        lines.append(
            Content.assemble(
                shown + " " * (names - cells(shown) + 2),
                (f"{use:<{uses}}  {count:>8}  {weight:>6}", "$text-muted"),
            )
        )
    return Content("\n").join(lines)


def _filters(found: Explanation, width: int) -> Content:
    rows = [(plain(each.text), grouped(each.memories)) for each in found.filters]
    rows.append(("all together", f"{grouped(found.passing)} of {grouped(found.total)}"))
    widest = max(cells(count) for _, count in rows)
    names = min(max(cells(name) for name, _ in rows), max(8, width - widest - 2))
    lines = []
    for name, count in rows:
        shown = cut(name, names)
        lines.append(Content.assemble(shown + " " * (names - cells(shown) + 2), (f"{count:>{widest}}", "$text-muted")))
    return Content("\n").join(lines)


def _steps(found: Explanation, width: int) -> Content:
    rows = [(each.what, plain(each.how), explanation.milliseconds(each.ms)) for each in found.steps]
    names, times = max(len(row[0]) for row in rows), max(len(row[2]) for row in rows)
    room = max(12, width - names - times - 4)
    lines = []
    for what, how, took in rows:
        first, *rest = wrap(how, room) or [""]
        time = " " * (room - cells(first) + 2) + f"{took:>{times}}"
        lines.append(Content.assemble((f"{what:<{names}}  ", "$text-muted"), first, (time, "$text-muted")))
        lines += [Content(" " * (names + 2) + more) for more in rest]
    return Content("\n").join(lines)
