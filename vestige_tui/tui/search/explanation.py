"""Explanation of a search: both branches and the fused list side by side, scores and steps beneath them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePath
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.search import NO_TERMS, Explanation, Hit, SearchQuery
from vestige_tui.core.text import cells, cut, grouped, plain
from vestige_tui.presenters import explanation
from vestige_tui.tui import layout_widths
from vestige_tui.tui.command_screen import CommandScreen
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.search import OF_AN_EXPLANATION, AskWhyNot
from vestige_tui.tui.dialogs.memory_sheet import memory_sheet
from vestige_tui.tui.search.rank_list import (
    COSINE,
    FUSED_RANK,
    FUSED_SCORE,
    TEXT_NORM,
    TEXT_RANK,
    TEXT_SCORE,
    VECTOR_NORM,
    VECTOR_RANK,
    RankColumn,
    RankLines,
    RankList,
    RankRow,
)
from vestige_tui.tui.search.why_not import tell_why_not
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.widgets.section import Section
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

MIN_GAP_CELLS = 2
WORD_CELLS = 24


class ExplanationScreen(CommandScreen):
    """Explanation of the answer to ``query``; the cursor is on the same memory in every list.

    ``memory_id`` is the memory under the cursor at first. The query runs again whenever the store changes.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["explanation.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_AN_EXPLANATION)
    HELP = """\
A search by text (the words) and a search by vector (the meaning) each rank their own list; the list in the middle fuses
both. The memory under the cursor is marked in every list, and each row shows its rank in the other lists. Pale rows
rank too low to be in the results.

Below the lists: the score of the memory under the cursor step by step, how each word was used (ranked, required,
excluded or ignored) and its weight, the number of memories that pass each filter alone, and the steps of the search.
`tab` goes there.
"""

    def __init__(self, query: SearchQuery, memory_id: str | None = None) -> None:
        super().__init__()
        self._query = query
        self._current = memory_id
        self._explanation: Explanation | None = None
        self._hits: dict[str, Hit] = {}

    def compose(self) -> ComposeResult:
        yield Static(id="explained-query", markup=False)
        yield Static(id="explained-why", markup=False)
        with Horizontal(id="explained-lists"):
            with Vertical(id="by-words"):
                yield Static(id="words-title", markup=False)
                yield RankList((TEXT_SCORE, TEXT_NORM, FUSED_RANK, VECTOR_RANK), id="words")
            with Vertical(id="fused"):
                yield Static(id="fused-title", markup=False)
                yield RankList((FUSED_SCORE, TEXT_RANK, VECTOR_RANK), id="together")
            with Vertical(id="by-meaning"):
                yield Static(id="meaning-title", markup=False)
                yield RankList((COSINE, VECTOR_NORM, FUSED_RANK, TEXT_RANK), id="meaning")
            yield RankLines((), id="lines")
            yield Empty("Searching…", id="nothing")
        with Panels(id="explained-how"), Horizontal(id="how-columns"):
            with Vertical(id="how-score"):
                yield Section("this memory", id="how-sums")
                yield Section("how the scores are combined", id="how-rules")
            with Vertical(id="how-query"):
                yield Section("words", id="how-words")
                yield Section("filters", id="how-filters")
                yield Section("steps", id="how-steps")
        yield self._status
        yield KeyLine()

    @property
    def lists(self) -> tuple[RankList, ...]:
        """Visible lists, from left to right."""
        return tuple(each for each in self.query(RankList) if each.display and each.parent and each.parent.display)

    def on_mount(self) -> None:
        self.add_class("-nothing")
        self.console.store_changed.subscribe(self, self._store_changed)

    def on_screen_resume(self) -> None:
        self._ask()

    def _store_changed(self, _: None) -> None:
        if self.is_current:
            self._ask()

    # Query

    @work(group="search", exclusive=True, exit_on_error=False)
    async def _ask(self) -> None:
        store = self.console.session.store
        if store is not None:
            self._show(await store.explain(self._query))

    def _show(self, result: Explanation) -> None:
        first = self._explanation is None
        self._explanation = result
        self._status.say("")
        fused = explanation.fused(result)
        self._hits = {hit.memory.id: hit for hit in fused}
        places = {id: place for place, id in enumerate(self._hits, start=1)}
        answer_size = len(result.answer)

        def rank_rows(hits: Sequence[Hit]) -> list[RankRow]:
            return [RankRow(hit, places[hit.memory.id], places[hit.memory.id] <= answer_size) for hit in hits]

        terms = result.answer.terms
        missing = [explanation.why_missing(result, branch, self._query.mode) for branch in ("text", "vector")]
        self.set_class(not fused, "-nothing")
        self.set_class(any(missing), "-single")
        self.query_one("#words", RankList).show(rank_rows(result.text), terms=terms)
        self.query_one("#together", RankList).show(rank_rows(fused), terms=terms)
        self.query_one("#meaning", RankList).show(rank_rows(result.vector), terms=terms)
        self.query_one("#lines", RankList).show(rank_rows(fused), _figures(result), terms=terms)
        self._say(result, " ".join(dict.fromkeys(filter(None, (*result.answer.warnings, *missing)))))
        if not fused:
            self._current = None
            bound = (each.binding for each in self.active_bindings.values())
            own = (self.app.get_key_display(binding) for binding in bound if binding.id == AskWhyNot.id)
            key = next(own, AskWhyNot.key)
            self.query_one("#nothing", Empty).say(
                "No memory matches this search.", (key, "why a memory is missing"), ("esc", "back to the search")
            )
        elif self._current not in self._hits:
            self._current = next(iter(self._hits))
        # The lists have their size only after the layout.
        self.call_after_refresh(partial(self._settle, first=first))

    def _settle(self, *, first: bool) -> None:
        self._follow()
        lists = self.lists
        # Another width or answer may have hidden the focused list.
        if lists and (first or not (isinstance(self.focused, Panels) or self.focused in lists)):
            next(each for each in lists if each.id in ("together", "lines")).focus()

    def _say(self, result: Explanation, why: str) -> None:
        self.query_one("#explained-why", Static).update(Content(plain(why)))
        self.set_class(bool(why), "-why")
        self._say_query()
        for id, name, count in (
            ("words-title", explanation.branch_name(result, "text"), len(result.text)),
            ("meaning-title", "vector", len(result.vector)),
            ("fused-title", "fused", len(self._hits)),
        ):
            counts = (
                f"  {grouped(count)}, {grouped(len(result.answer))} shown"
                if id == "fused-title"
                else f"  {grouped(count)}"
            )
            self.query_one(f"#{id}", Static).update(Content.assemble((name, "$text bold"), (counts, "$text-muted")))
        self._fill("how-rules", lambda width: Content("\n").join(Content(rule) for rule in explanation.rules(result)))
        self._fill("how-words", (lambda width: _words(result, width)) if result.words else None)
        self._fill("how-filters", lambda width: _filters(result, width))
        self._fill("how-steps", lambda width: _steps(result, width))

    def _say_query(self) -> None:
        if self._explanation is None:
            return
        line = self.query_one("#explained-query", Static)
        width = line.size.width or self.size.width - 2
        summary = explanation.summary(self._explanation)
        if not layout_widths.is_wide(self.size.width):
            summary = summary.partition(";")[0]
        query = cut(plain(self._explanation.query[: width * 4]), max(8, width - cells(summary) - MIN_GAP_CELLS))
        gap = " " * max(MIN_GAP_CELLS, width - cells(query) - cells(summary))
        line.update(Content.assemble((query, "$text bold"), gap, (summary, "$text-muted")))

    def _fill(self, id: str, body: Callable[[int], Content] | None) -> None:
        self.query_one(f"#{id}", Section).fill(body)

    def on_resize(self) -> None:
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        self._say_query()
        self._settle(first=False)

    # The memory under the cursor

    def _follow(self) -> None:
        """Mark the current memory in every list, and show the sums of its score."""
        for each in self.query(RankList):
            each.follow(self._current)
        result, hit = self._explanation, self._hits.get(self._current or "")
        if result is None or hit is None:
            self._fill("how-sums", None)
            return
        sums = explanation.score_rows(result, hit)
        self._fill("how-sums", lambda width: _pairs(sums))

    @on(RankList.RankHighlighted)
    def _highlighted(self, event: RankList.RankHighlighted) -> None:
        event.stop()
        if event.list.display:
            self._current = event.memory_id
            self._follow()

    @on(RankList.RankChosen)
    def _chosen(self, event: RankList.RankChosen) -> None:
        event.stop()
        self._read(event.memory_id)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self, memory_id: str) -> None:
        store = self.console.session.store
        if store is not None:
            terms = self._explanation.answer.terms if self._explanation is not None else NO_TERMS
            await self.app.push_screen(await memory_sheet(store, memory_id, self._hits.get(memory_id), terms))

    # Commands

    def action_step_column(self, step: int) -> None:
        lists = self.lists
        if not lists:
            return
        at = next((place for place, each in enumerate(lists) if each.has_focus), None)
        lists[(at + step) % len(lists) if at is not None else 0].focus()

    @work(group="pick", exclusive=True, exit_on_error=False)
    async def action_ask_why_not(self) -> None:
        store: Store | None = self.console.session.store
        if store is not None:
            await tell_why_not(self.app, store, self._query)

    def action_refresh_place(self) -> None:
        self._ask()

    @property
    def help_title(self) -> str:
        return "Ranking explained"

    def action_back(self) -> None:
        self.dismiss(None)


def _figures(result: Explanation) -> tuple[RankColumn, ...]:
    """Return the columns of the single list, without ranks where only one branch has hits."""
    words, meaning = bool(result.text), bool(result.vector)
    if explanation.is_newest(result):
        return ()
    if result.answer.mode == "literal":
        return (FUSED_SCORE,)
    if words and meaning:
        return (FUSED_SCORE, TEXT_RANK, TEXT_SCORE, TEXT_NORM, VECTOR_RANK, COSINE, VECTOR_NORM)
    return (FUSED_SCORE, TEXT_SCORE, TEXT_NORM) if words else (FUSED_SCORE, COSINE, VECTOR_NORM)


def _pairs(pairs: Sequence[tuple[str, str]]) -> Content:
    widest = max((cells(name) for name, _ in pairs), default=0)
    lines = [Content.assemble((f"{name:<{widest}}  ", "$text-muted"), plain(value)) for name, value in pairs]
    return Content("\n").join(lines)


def _words(result: Explanation, width: int) -> Content:
    rows = [explanation.word_row(word) for word in result.words]
    names = min(WORD_CELLS, max(cells(row[0]) for row in rows))
    uses = max(cells(row[1]) for row in rows)
    lines = [Content.styled(f"{'':<{names}}  {'':<{uses}}  memories  weight", "$text-disabled")]
    for word, use, count, weight in rows:
        label = cut(word, names)
        lines.append(
            Content.assemble(
                label + " " * (names - cells(label) + 2),
                (f"{use:<{uses}}  {count:>8}  {weight:>6}", "$text-muted"),
            )
        )
    return Content("\n").join(lines)


def _filters(result: Explanation, width: int) -> Content:
    rows = explanation.filter_rows(result)
    widest = max(cells(count) for _, count in rows)
    names = min(max(cells(name) for name, _ in rows), max(8, width - widest - 2))
    lines = []
    for name, count in rows:
        label = cut(name, names)
        lines.append(Content.assemble(label + " " * (names - cells(label) + 2), (f"{count:>{widest}}", "$text-muted")))
    return Content("\n").join(lines)


def _steps(result: Explanation, width: int) -> Content:
    rows = explanation.step_rows(result)
    names, times = max(len(row[0]) for row in rows), max(len(row[2]) for row in rows)
    room = max(12, width - names - times - 4)
    lines = []
    for what, how, took in rows:
        first, *rest = wrap(how, room) or [""]
        time = " " * (room - cells(first) + 2) + f"{took:>{times}}"
        lines.append(Content.assemble((f"{what:<{names}}  ", "$text-muted"), first, (time, "$text-muted")))
        lines += [Content(" " * (names + 2) + more) for more in rest]
    return Content("\n").join(lines)
