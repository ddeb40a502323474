"""Filter line: free words, and a chip for each filter of the list."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.suggester import Suggester
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from vestige_tui.config.search_history import HistoryWalk, SearchHistory
from vestige_tui.core.completion import Completion
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.filter_syntax import Chip, normalized, split_chips, write_chips
from vestige_tui.core.log import suppressed
from vestige_tui.core.text import cells, cut, plain
from vestige_tui.presenters.filters import chip_words
from vestige_tui.tui.commands.command import bindings
from vestige_tui.tui.commands.lists import EarlierQuery, LeaveLine
from vestige_tui.tui.workers import work

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.15
CHIP_CELLS = 24
LEAST_CELLS = 4
CHIP_FRAME_CELLS = 6


class ChipView(Widget):
    """One chip; a click removes it."""

    DEFAULT_CSS = """
    ChipView { width: auto; height: 1; padding: 0 1; margin: 0 1 0 0; background: $panel; color: $text-muted; }
    ChipView:hover { background: $block-cursor-blurred-background; }
    ChipView.-bad { background: $error 15%; }
    ChipView:ansi.-bad { text-style: reverse; }
    """

    room: reactive[int] = reactive(CHIP_CELLS, layout=True)
    """Most cells of the value."""
    tight: reactive[bool] = reactive(False, layout=True)
    """True if the sign that a click removes the chip is left out, for want of room."""

    def __init__(self, chip: Chip) -> None:
        super().__init__()
        self.chip = chip

    def render(self) -> Content:
        field, value = chip_words(self.chip)
        sign = ("" if self.tight else " ×", "$text-disabled")  # noqa: RUF001 - it looks like a cross
        return Content.assemble((f"{field} ", "$text-muted"), (cut(value, self.room), "$text"), sign)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(FilterBar.ChipRemoved(self.chip))


Complete: TypeAlias = Callable[[str], Awaitable[Completion | None]]
"""Coroutine that returns the completion of a line."""


class _LineSuggester(Suggester):
    """Suggester of an ``AskInput``: it remembers the line that its suggestion stands for."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete
        self._last: Completion | None = None

    async def get_suggestion(self, value: str) -> str | None:
        completion = await self._complete(value)
        if completion is not None:
            self._last = completion
        return completion.shown if completion is not None else None

    def accepted(self, shown: str) -> str:
        """Return the line after the completion that is shown was accepted."""
        return self._last.line if self._last is not None and self._last.shown == shown else shown


class AskInput(Input):
    """Input of the filter line: backspace at its start removes the last chip, ``down`` goes to the list.

    With ``complete`` the rest of a word is shown behind it; ``tab`` and ``right`` accept it while it is shown.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(LeaveLine, EarlierQuery)

    whole_placeholder = ""
    """What to type, with an example behind a comma."""

    def on_resize(self, event: events.Resize) -> None:
        # An example that does not fit is left out rather than cut.
        if whole := self.whole_placeholder:
            self.placeholder = whole if cells(whole) <= event.size.width else whole.partition(",")[0]

    def complete_by(self, complete: Complete) -> None:
        """Complete words by this coroutine from now on."""
        self.suggester = _LineSuggester(complete)

    def _accept_completion(self) -> bool:
        """Take over the completion that is shown; return False if none is."""
        shown = self._suggestion
        if not (shown and self.cursor_at_end and isinstance(self.suggester, _LineSuggester)):
            return False
        self.value = self.suggester.accepted(shown)
        self.cursor_position = len(self.value)
        return True

    def action_cursor_right(self, select: bool = False) -> None:
        if select or not self._accept_completion():
            super().action_cursor_right(select)

    async def on_key(self, event: events.Key) -> None:
        if event.key == "tab" and self._accept_completion():
            event.stop()
            event.prevent_default()
            return
        if event.key == "backspace" and self.cursor_position == 0 and self.selection.is_empty:
            event.stop()
            event.prevent_default()
            self.post_message(FilterBar.ChipRemoved(None))

    def check_consume_key(self, key: str, character: str | None) -> bool:
        # Textual knows no character for these names, and would show their commands as live while the user types.
        return key in ("slash", "plus", "minus") or super().check_consume_key(key, character)

    def action_leave_line(self) -> None:
        if not self.query_ancestor(FilterBar).take_later():
            self.post_message(FilterBar.Left())

    def action_earlier_query(self) -> None:
        self.query_ancestor(FilterBar).take_earlier()


class FilterBar(Vertical):
    """Input and chips. Posts ``Asked`` after typing pauses (debounce), or at once when a chip is added or removed."""

    DEFAULT_CSS = """
    FilterBar { height: auto; width: 1fr; padding: 0 1; }
    FilterBar > #ask-line { height: 1; }
    FilterBar #ask-mark { width: 2; height: 1; color: $track; }
    FilterBar.-typing #ask-mark { color: $accent; }
    FilterBar AskInput { width: 1fr; height: 1; border: none; padding: 0; background: transparent; }
    FilterBar AskInput:focus { border: none; }
    FilterBar AskInput .input--suggestion { color: $text-muted; }
    FilterBar #ask-note { width: auto; height: 1; color: $text-muted; padding: 0 0 0 2; }
    FilterBar > #ask-chips { height: 1; padding: 0 0 0 2; display: none; }
    FilterBar.-chips > #ask-chips { display: block; }
    FilterBar > #ask-fault { width: 1fr; height: auto; padding: 0 0 0 2; color: $error; display: none; }
    FilterBar.-fault > #ask-fault { display: block; }
    """

    @dataclass
    class Asked(Message):
        """The query changed to ``text`` with ``chips``."""

        text: str
        chips: tuple[Chip, ...]

    @dataclass
    class ChipRemoved(Message):
        """A chip was removed; None means the last one."""

        chip: Chip | None

    @dataclass
    class Left(Message):
        """The focus goes from the line to the list."""

    def __init__(self, placeholder: str = "", *, history: SearchHistory | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._placeholder = placeholder
        self._history = history
        self._walk: HistoryWalk | None = None
        self._draft: tuple[str, tuple[Chip, ...]] = ("", ())
        """Words and filters before the walk through the history."""
        self._recalled = ""
        """Words that the walk has put into the line."""
        self._chips: tuple[Chip, ...] = ()
        self._timer: Timer | None = None
        self._last_query: tuple[str, tuple[Chip, ...]] = ("", ())

    def compose(self) -> ComposeResult:
        with Horizontal(id="ask-line"):
            yield Mark(id="ask-mark")
            line = AskInput(compact=True, select_on_focus=False)
            line.whole_placeholder = self._placeholder
            yield line
            yield Note(id="ask-note")
        yield Horizontal(id="ask-chips")
        yield Note(id="ask-fault")

    def on_descendant_focus(self) -> None:
        self.add_class("-typing")

    def on_descendant_blur(self) -> None:
        self.remove_class("-typing")

    @property
    def text(self) -> str:
        """Free words of the line."""
        return self.query_one(AskInput).value

    @property
    def chips(self) -> tuple[Chip, ...]:
        """Filters of the line."""
        return self._chips

    def complete_by(self, complete: Complete) -> None:
        """Complete the words of the line by this coroutine."""
        self.query_one(AskInput).complete_by(complete)

    def focus_input(self) -> None:
        """Focus the line."""
        self.query_one(AskInput).focus()

    def note(self, text: str) -> None:
        """Show a short text at the right end of the line, such as ``12 hits, 6 ms``."""
        self.query_one("#ask-note", Note).show(text)

    def set_chips(self, chips: Sequence[Chip]) -> None:
        """Replace the filters, as if typed; a field with one value keeps the last one."""
        self._chips = normalized(chips)
        row = self.query_one("#ask-chips", Horizontal)
        row.remove_children()
        views = [ChipView(chip) for chip in self._chips]
        row.mount(*views)
        self._fit(views)
        self.set_class(bool(self._chips), "-chips")
        self._ask()

    def complain(self, text: str, chip: Chip | None = None) -> None:
        """Show the fault of a chip on a line of its own; an empty text clears it."""
        self.query_one("#ask-fault", Note).show(text)
        self.set_class(bool(text), "-fault")
        for view in self.query(ChipView):
            view.set_class(chip is not None and view.chip == chip, "-bad")

    def on_resize(self) -> None:
        self._fit(self.query(ChipView))

    def _fit(self, views: Iterable[ChipView]) -> None:
        """Fit all chips into the line by cutting their longest values."""
        views = list(views)
        widths = [min(CHIP_CELLS, cells(plain(view.chip.value[:CHIP_CELLS]))) for view in views]
        room = self.size.width - 4 - sum(len(chip_words(view.chip)[0]) + CHIP_FRAME_CELLS for view in views)
        tight = sum(widths) > room
        room, value_cells = room + (2 * len(views) if tight else 0), CHIP_CELLS
        while value_cells > LEAST_CELLS and sum(min(width, value_cells) for width in widths) > room:
            value_cells -= 1
        for view in views:
            view.room, view.tight = value_cells, tight
        # If they still do not fit, show the last one.
        row = self.query_one("#ask-chips", Horizontal)
        row.call_after_refresh(lambda: row.scroll_to(x=row.max_scroll_x, animate=False, force=True))

    def set_text(self, text: str) -> None:
        """Replace the free words, as if typed."""
        self.query_one(AskInput).value = text

    def ask_now(self) -> None:
        """Ask without waiting for a pause in the typing."""
        self._ask()

    # History

    def remember(self) -> None:
        """Add the query of the line to the history, unless it has no words."""
        if self._history is not None and self.text.strip():
            self._add_to_history(self._history, " ".join(filter(None, (self.text.strip(), write_chips(self._chips)))))

    @work(group="history", exit_on_error=False)
    async def _add_to_history(self, history: SearchHistory, line: str) -> None:
        with suppressed(log, "write the search history", VestigeError, OSError):
            await asyncio.to_thread(history.add, line)

    @work(group="history", exit_on_error=False)
    async def take_earlier(self) -> None:
        """Take the next older query of the history into the line."""
        if self._history is None:
            return
        if self._walk is None:
            lines = await asyncio.to_thread(self._history.read)
            # Another press may have been as far meanwhile.
            if self._walk is None:
                self._draft = (self.text, self._chips)
                self._walk = HistoryWalk(lines, " ".join(filter(None, (self.text, write_chips(self._chips)))))
        if (earlier := self._walk.older()).position >= 0:
            self._recall(earlier)
        else:
            self._walk = None

    def take_later(self) -> bool:
        """Take the next newer query into the line, at last the draft; return whether there was a walk."""
        later = self._walk.newer() if self._walk is not None else None
        if later is None:
            self._walk = None
            return False
        self._recall(later)
        return True

    def _recall(self, walk: HistoryWalk) -> None:
        words, chips = self._draft if walk.position < 0 else split_chips(walk.line, ended=True)
        self._walk = walk if walk.position >= 0 else None
        self._recalled = words.strip() if walk.position >= 0 else words
        line = self.query_one(AskInput)
        line.value = self._recalled
        line.cursor_position = len(line.value)
        self.set_chips(chips)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._recalled:
            self._walk = None
        words, chips = split_chips(event.value)
        if chips:
            self.query_one(AskInput).value = words
            self.set_chips([*self._chips, *chips])
            return
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(SETTLE_SECONDS, self._ask)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        words, chips = split_chips(event.value + " ")
        if chips:
            self.query_one(AskInput).value = words
            self.set_chips([*self._chips, *chips])
        self._walk = None
        self._ask()
        self.post_message(self.Left())

    def on_filter_bar_chip_removed(self, event: ChipRemoved) -> None:
        event.stop()
        self._walk = None
        if self._chips:
            removed = event.chip if event.chip is not None else self._chips[-1]
            self.set_chips([chip for chip in self._chips if chip != removed])

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        query = (self.text.strip(), self._chips)
        if query != self._last_query:
            self._last_query = query
            self.post_message(self.Asked(*query))


class Mark(Widget):
    """Accent edge before the line, visible while the line has the focus."""

    def render(self) -> Content:
        return Content("▌ ")


class Note(Widget):
    """Short text at the end of the line."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._text = ""

    def show(self, text: str) -> None:
        self._text = text
        self.refresh(layout=True)

    def render(self) -> Content:
        return Content(plain(self._text))
