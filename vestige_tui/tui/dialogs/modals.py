"""The four dialogs: confirm a loss, ask for a line, pick from a list, read a message. Escape cancels each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from vestige_tui.core.text import cells, cut, grouped, plain, redact, safe
from vestige_tui.tui import layout_widths
from vestige_tui.tui.commands.everywhere import Close
from vestige_tui.tui.notice import Notice
from vestige_tui.tui.removal import WhileMounted

T = TypeVar("T")

MAX_KEY_CELLS = 1_000
MIN_ROWS = 2
"""Least rows of a list in a dialog, however low the terminal is."""


class Dialog(WhileMounted, ModalScreen[T]):
    """Base of all dialogs: a sheet with a title, a line of keys, and escape, which answers None (or False)."""

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;
    }

    Dialog #sheet {
        width: 72;
        max-width: 94%;
        height: auto;
        max-height: 88%;
        padding: 1 2;
        background: $panel;
        border-left: outer $accent;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
    }

    Dialog:ansi #sheet {
        border: round $accent;
    }

    Dialog #sheet-title { height: auto; text-style: bold; margin: 0 0 1 0; }
    Dialog #sheet-notes { height: auto; color: $text-muted; margin: 0 0 1 0; }
    Dialog #sheet-fault { height: auto; color: $error; margin: 1 0 0 0; }
    Dialog #sheet-rows { height: auto; max-height: 14; padding: 0 1; background: $surface; scrollbar-size-vertical: 1; }
    Dialog #sheet-rows { border-left: none; }
    Dialog #sheet-rows > Static { height: auto; }
    Dialog #sheet-keys { height: 2; padding: 1 0 0 0; dock: bottom; background: $panel; }
    Dialog Input { height: 1; border: none; padding: 0 1; background: $surface; }
    Dialog Input:focus { border: none; }
    Dialog OptionList {
        height: auto;
        max-height: 12;
        margin: 1 0 0 0;
        padding: 0;
        border: none;
        background: $panel;
        scrollbar-size-vertical: 1;
    }
    Dialog.-narrow #sheet-rows { max-height: 8; }
    """
    HORIZONTAL_BREAKPOINTS = layout_widths.HORIZONTAL
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False),
        Binding(Close.key, "close", "close", id=Close.id, show=False),
    ]

    def __init__(self, title: str, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._hint: Notice | None = None
        self._title = title
        self._keys = keys

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            yield Static(Content(plain(self._title)), id="sheet-title", markup=False)
            yield from self.compose_body()
            yield Static(self._key_line(), id="sheet-keys", markup=False)

    def compose_body(self) -> ComposeResult:
        """Yield the widgets between title and keys."""
        raise NotImplementedError

    def _key_line(self) -> Content:
        pieces = [Content.assemble((key, "$accent bold"), (f" {label}", "$text-muted")) for key, label in self._keys]
        line = Content("    ").join(pieces)
        return line if line.cell_length <= self._key_cells else Content("  ").join(pieces)

    @property
    def _key_cells(self) -> int:
        """Cells of the line of keys; before the first layout as many as it likes."""
        return self.query_one("#sheet-keys").size.width if self.is_mounted and self.size else MAX_KEY_CELLS

    @on(events.Mount)
    def _watch_height(self) -> None:
        # What a dialog shows may change while it is open, and a list has its height only after its first layout.
        self.watch(self.query_one("#sheet"), "virtual_size", self._fit, init=False)

    def on_resize(self) -> None:
        for each in self._scrolling():
            each.styles.max_height = None
        self.call_after_refresh(self._fit)

    def _scrolling(self) -> list[Widget]:
        """Return the parts of the sheet that scroll, and may be lower than their content."""
        return [each for each in self.query("#sheet > #sheet-rows, #sheet > OptionList") if each.display]

    def _fit(self) -> None:
        """Lower the list of the sheet until all of the sheet is visible, however low the terminal is."""
        if not self.is_mounted:
            return
        if self._hint is None:
            self.query_one("#sheet-keys", Static).update(self._key_line())
        sheet = self.query_one("#sheet")
        hidden = sheet.virtual_size.height - sheet.scrollable_content_region.height
        if hidden > 0 and (parts := self._scrolling()):
            tallest = max(parts, key=lambda each: each.outer_size.height)
            tallest.styles.max_height = max(MIN_ROWS, tallest.outer_size.height - hidden)

    def action_leave(self) -> None:
        self.dismiss(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "close" and any(line.is_on_screen for line in self.query(Input)):
            # A letter belongs to the line, also while that has not the focus.
            return False
        return super().check_action(action, parameters)

    def action_close(self) -> None:
        """Do as escape does, in a dialog without an input line."""
        self.action_leave()

    def hint(self, text: str) -> Notice:
        """Show a hint of the app instead of the keys until ``withdraw_hint``."""
        self._hint = Notice(text)
        self.query_one("#sheet-keys", Static).update(Content.styled(plain(text), "$warning"))
        return self._hint

    def withdraw_hint(self, notice: Notice) -> None:
        """Show the keys again, if the hint is still shown."""
        if notice is self._hint and self.is_mounted:
            self._hint = None
            self.query_one("#sheet-keys", Static).update(self._key_line())


class Confirm(Dialog[bool]):
    """Question before a loss: lists each row that will be deleted; only ``y`` agrees."""

    DEFAULT_CSS = "Confirm #sheet-rows > Static { text-wrap: nowrap; text-overflow: ellipsis; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "agree", "yes", show=False),
        Binding("n", "leave", "no", show=False),
    ]

    def __init__(self, title: str, rows: Sequence[str], *, verb: str = "delete", notes: Sequence[str] = ()) -> None:
        super().__init__(title, (("y", verb), ("esc", "cancel")))
        self._rows, self._notes = rows, notes

    def compose_body(self) -> ComposeResult:
        if self._notes:
            notes = Content("\n").join(Content(plain(note)) for note in self._notes)
            yield Static(notes, id="sheet-notes", markup=False)
        with VerticalScroll(id="sheet-rows"):
            yield Static(Content("\n").join(Content(cut(plain(row), 200)) for row in self._rows), markup=False)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()

    def action_agree(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)


class Ask(Dialog[str | None]):
    """Input of one line; answers None if the user cancels. ``verb`` says what ``enter`` does."""

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        fault: str = "",
        placeholder: str = "",
        note: str = "",
        verb: str,
    ) -> None:
        super().__init__(title, (("enter", verb), ("esc", "cancel")))
        self._value, self._placeholder, self._note, self._fault = value, placeholder, note, fault

    def compose_body(self) -> ComposeResult:
        if self._note:
            yield Static(Content(plain(self._note)), id="sheet-notes", markup=False)
        yield Input(value=safe(self._value), placeholder=self._placeholder, compact=True, select_on_focus=False)
        if self._fault:
            yield Static(Content(redact(plain(self._fault))), id="sheet-fault", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)


@dataclass(frozen=True, slots=True)
class Choice:
    """Row of Pick: the value it answers, its label, and a number of memories (None: no number)."""

    value: str
    label: str
    count: int | None = None


class Pick(Dialog[str | None]):
    """List that narrows while the user types; answers the value picked, None if the user cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,ctrl+n", "move(1)", "down", show=False, priority=True),
        Binding("up,ctrl+p", "move(-1)", "up", show=False, priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], *, placeholder: str = "type to narrow") -> None:
        super().__init__(title, (("enter", "choose"), ("↑↓", "move"), ("esc", "cancel")))
        self._choices = tuple(choices)
        self._matches = self._choices
        self._placeholder = placeholder

    def compose_body(self) -> ComposeResult:
        yield Input(placeholder=self._placeholder, compact=True)
        yield OptionList(markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self.call_after_refresh(self._narrow)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._narrow()

    def on_resize(self) -> None:
        self.call_after_refresh(self._narrow)

    def _narrow(self) -> None:
        typed = self.query_one(Input).value.casefold().strip()
        matches = [choice for choice in self._choices if all(word in choice.label.casefold() for word in typed.split())]
        # Labels that begin with the text come before those that contain it: "3" is the third grade, not "in 3 days".
        self._matches = tuple(sorted(matches, key=lambda choice: not choice.label.casefold().startswith(typed)))
        options = self.query_one(OptionList)
        width = max(12, options.size.width - 2)
        options.clear_options()
        options.add_options([Option(self._line(choice, width)) for choice in self._matches[:500]])
        if self._matches:
            options.highlighted = 0

    @staticmethod
    def _line(choice: Choice, width: int) -> Content:
        count = grouped(choice.count) if choice.count is not None else ""
        label = cut(plain(choice.label), width - len(count) - 2)
        gap = " " * max(2, width - cells(label) - len(count))
        return Content.assemble(label, gap, (count, "$text-muted"))

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        if options.option_count:
            options.highlighted = ((options.highlighted or 0) + step) % options.option_count

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        # Enter may be there before the list has its rows.
        self._choose(self.query_one(OptionList).highlighted or 0)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._choose(event.option_index)

    def _choose(self, index: int | None) -> None:
        if index is not None and index < len(self._matches):
            self.dismiss(self._matches[index].value)


class Message(Dialog[None]):
    """Text to read: the details of an error, a report."""

    def __init__(self, title: str, text: str, *, at_end: bool = False) -> None:
        super().__init__(title, (("esc", "back"),))
        self._text = text
        self._at_end = at_end

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="sheet-rows"):
            yield Static(Content(plain(self._text, newlines=True)), markup=False)

    def on_mount(self) -> None:
        rows = self.query_one("#sheet-rows")
        rows.focus()
        if self._at_end:
            rows.call_after_refresh(rows.scroll_end, animate=False)
