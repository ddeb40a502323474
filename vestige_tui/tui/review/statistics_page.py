"""Page of review statistics: past reviews by day, true retention, and the load under another desired retention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from vestige_tui.core.memories import Filter
from vestige_tui.core.scheduling import MAX_RETENTION, MIN_RETENTION
from vestige_tui.core.text import plain
from vestige_tui.presenters.changes import NOTHING_TO_REDO, redo_sentence, undo_sentence
from vestige_tui.presenters.review_statistics import (
    Load,
    load_of,
    load_sentence,
    retention_tables,
    summary_sentence,
    why_no_statistics,
)
from vestige_tui.presenters.weights import applied_sentence, in_force_sentence
from vestige_tui.tui.command_screen import NOT_OPEN, CommandScreen
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.memories import RedoChange, UndoChange
from vestige_tui.tui.commands.statistics import OF_STATISTICS, FitWeights
from vestige_tui.tui.review.fit_dialog import FitDialog
from vestige_tui.tui.review.statistics_charts import heat_map, load_chart, retention_columns
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.key_line import KeyLine
from vestige_tui.tui.widgets.panels import Panels
from vestige_tui.tui.workers import work

if TYPE_CHECKING:
    from vestige_tui.core.memories import Change
    from vestige_tui.core.review_statistics import ReviewStatistics
    from vestige_tui.store.store import Store

PAST_DAYS = 365
COMING_DAYS = 30
STEP = 0.05
"""Step of the desired retention in the what-if."""
SIDE_CELLS = 6
"""Cells beside the charts: border, padding and scroll bar."""


@dataclass(frozen=True, slots=True)
class StatisticsState:
    """Contents of the page: the statistics of the past, and the load of the coming days."""

    statistics: ReviewStatistics
    load: Load


class StatisticsScreen(CommandScreen):
    """Statistics of the reviews of the memories that pass a filter, read again when the store changes."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["statistics_page.tcss"]
    AUTO_FOCUS = "Panels"
    BINDINGS: ClassVar[list[BindingType]] = bindings(*OF_STATISTICS)
    HELP = """\
Each square of the calendar is one day of the last year; a darker one has more reviews. True retention is the share of
reviews not graded Again; first reviews are not counted. It is shown by type, by tag and by the age of the memory at its
review.

The bars compare the reviews of the coming days as they are due now with those under another desired retention. Each
memory counts once, on its next due date. `-` and `+` choose the retention; nothing is changed. To use another one, set
`desired_retention` under `[review]` in vestige.toml.

`f` fits the weights of FSRS to the review log of the whole store. It first shows how well the weights in force and the
fit predict the latest reviews, and how many due dates rescheduling would move; nothing changes before you confirm. `u`
undoes weights and due dates at once.
"""

    def __init__(self, chosen: Filter | None = None, chosen_text: str = "") -> None:
        super().__init__()
        self._chosen = chosen or Filter()
        self._chosen_text = chosen_text
        self._retention: float | None = None
        self._state: StatisticsState | None = None

    @property
    def help_title(self) -> str:
        return "Statistics"

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("Statistics", "$text bold"), id="statistics-title", markup=False)
        with Panels(id="statistics"):
            yield Static(id="summary", markup=False)
            yield Static(id="heat-title", markup=False)
            yield Static(id="heat", markup=False)
            yield Static(id="retention-title", markup=False)
            yield Static(id="retention", markup=False)
            yield Static(id="load-title", markup=False)
            yield Static(id="load-sum", markup=False)
            yield Static(id="load", markup=False)
            yield Static(id="weights", markup=False)
        yield Empty(id="nothing")
        yield self._status
        yield KeyLine()

    def on_mount(self) -> None:
        self.console.store_changed.subscribe(self, self._store_changed)
        self._load_all()

    def on_resize(self) -> None:
        self._draw()

    def _store_changed(self, _: None) -> None:
        if self.is_current:
            self._load_all()

    def on_screen_resume(self) -> None:
        self._store_changed(None)

    # Reading

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _load_all(self) -> None:
        store = self.store
        if store is None:
            self._say_nothing(NOT_OPEN)
            return
        statistics = await store.review_statistics.of_days(PAST_DAYS, self._chosen)
        self._state = StatisticsState(statistics, await self._planned(store))
        self._draw()

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _load_planned(self) -> None:
        store, state = self.store, self._state
        if store is not None and state is not None:
            self._state = replace(state, load=await self._planned(store))
            self._draw()

    async def _planned(self, store: Store) -> Load:
        """Return the load of the coming days, compared with the chosen retention, at first a step below the present."""
        present = store.policy.desired_retention
        if self._retention is None:
            self._retention = max(MIN_RETENTION, round(present - STEP, 2))
        retention = self._retention
        now_due = await store.reviews.due_times(COMING_DAYS, self._chosen)
        planned = await store.review_statistics.due_times(retention, self._chosen)
        return load_of(now_due, planned, retention, store.now(), COMING_DAYS, store.policy.days)

    # Drawing

    def _draw(self) -> None:
        state, store = self._state, self.store
        if state is None or store is None:
            return
        self.refresh_bindings()
        if reason := why_no_statistics(state.statistics):
            self._say_nothing(reason)
            return
        self.remove_class("-nothing")
        width = max(20, self.size.width - SIDE_CELLS)
        of_filter = f"   {plain(self._chosen_text)}" if self._chosen_text else ""
        self._put("statistics-title", Content.assemble(("Statistics", "$text bold"), (of_filter, "$text-muted")))
        self._put("summary", Content.styled(summary_sentence(state.statistics), "$text"))
        self._put("heat-title", _title("reviews by day"))
        self._put("heat", heat_map(state.statistics, width))
        tables = retention_tables(state.statistics)
        self._put("retention-title", _title("true retention") if tables else Content(""))
        self._put("retention", retention_columns(tables, width))
        present, planned = store.policy.desired_retention, state.load.retention
        bars = f"coming days: left bar as due now ({present:.2f}), right bar with {planned:.2f}"
        self._put("load-title", _title(bars))
        self._put("load-sum", Content.styled(load_sentence(state.load), "$text-muted"))
        self._put("load", load_chart(state.load, width))
        in_force = in_force_sentence(store.weights.current, applied=store.weights.applied)
        key = self._key(FitWeights.id)
        hint = f"FSRS weights. {in_force}{f' {key} fits them to this log.' if key else ''}"
        self._put("weights", Content.styled(hint, "$text-disabled"))

    def _put(self, name: str, content: Content) -> None:
        self.query_one(f"#{name}", Static).update(content)

    def _say_nothing(self, why: str) -> None:
        self.query_one("#nothing", Empty).say(why, ("esc", "back"))
        self.add_class("-nothing")

    # Commands

    def why_not(self, action: str) -> str:
        if reason := super().why_not(action):
            return reason
        if action == "step_retention" and (self._state is None or why_no_statistics(self._state.statistics)):
            return "There are no reviews to compare."
        return ""

    def action_step_retention(self, step: int) -> None:
        if self._retention is None:
            return
        stepped = round(round(self._retention / STEP) * STEP + step * STEP, 2)
        self._retention = min(max(stepped, MIN_RETENTION), MAX_RETENTION)
        self._load_planned()

    @work(group="write", exclusive=True, exit_on_error=False)
    async def action_fit_weights(self) -> None:
        store = self.store
        if store is None:
            return
        answer = await self.app.push_screen_wait(FitDialog(store))
        if answer is not None:
            change = await store.weights.apply(answer.weights, reschedule=answer.reschedule)
            self._say_change(change, applied_sentence(answer.weights, change))

    @work(group="write", exit_on_error=False)
    async def action_undo(self) -> None:
        store = self.store
        if store is None:
            return
        change = await self.store_session.own_changes.undo(store)
        if change is None:
            await self.app.run_action("app.show_journal")
        else:
            self._say_change(change, undo_sentence(change))

    @work(group="write", exit_on_error=False)
    async def action_redo(self) -> None:
        store = self.store
        if store is None:
            return
        change = await self.store_session.own_changes.redo(store)
        if change is None:
            self._status.say(NOTHING_TO_REDO, severity="quiet")
        else:
            self._say_change(change, redo_sentence(change))

    def _say_change(self, change: Change, sentence: str) -> None:
        name, label = (RedoChange.id, "redo") if change.undone is not None else (UndoChange.id, "undo")
        key = self._key(name)
        self._status.say(f"{sentence}.", f"{key} {label}" if key else "")
        self.store_session.note_change()
        self._load_all()

    def _key(self, command: str) -> str:
        """Return the key of a command as it is set; empty for one without a key here."""
        keys = (each.binding for each in self.active_bindings.values() if each.binding.id == command)
        return next((self.app.get_key_display(binding) for binding in keys), "")

    def action_refresh_place(self) -> None:
        self._load_all()
        self._status.say("Refreshed.", severity="quiet")

    def action_back(self) -> None:
        self.dismiss(None)


def _title(text: str) -> Content:
    return Content.styled(text, "$text-disabled")
