"""The line in which a person asks: free words, and a chip for each field that the list is filtered by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from vestige_tui.commands import LeaveLine, bindings
from vestige_tui.text import cut, plain

SETTLE_SECONDS = 0.15
FIELDS = {
    "type": "type",
    "domain": "domain",
    "tag": "tag",
    "codebase": "codebase",
    "since": "since",
    "until": "until",
    "recall": "recall",
}
"""What may stand before a colon, ``tag:security``: the name of the field that the chip then has."""


MANY = ("type", "domain", "tag")
"""Fields of which several values may be given, meaning any of them."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter: a field of ``FIELDS`` and the value that was typed or picked for it."""

    field: str
    value: str


class ChipView(Widget):
    """A chip; a click takes it away."""

    DEFAULT_CSS = """
    ChipView { width: auto; height: 1; padding: 0 1; margin: 0 1 0 0; background: $panel; color: $text-muted; }
    ChipView:hover { background: $block-cursor-blurred-background; }
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__()
        self.chip = chip

    def render(self) -> Content:
        field, value = plain(self.chip.field), cut(plain(self.chip.value), 24)
        return Content.assemble((f"{field} ", "$text-muted"), (value, "$text"), (" ×", "$text-disabled"))  # noqa: RUF001

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(FilterBar.ChipRemoved(self.chip))


class AskInput(Input):
    """The input itself: backspace at its beginning takes the last chip away, ``down`` goes on to the list."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(LeaveLine)

    async def on_key(self, event: events.Key) -> None:
        if event.key == "backspace" and self.cursor_position == 0 and self.selection.is_empty:
            event.stop()
            event.prevent_default()
            self.post_message(FilterBar.ChipRemoved(None))

    def check_consume_key(self, key: str, character: str | None) -> bool:
        # Textual knows no character for these names, and would show their commands as live while one types.
        return key in ("slash", "plus", "minus") or super().check_consume_key(key, character)

    def action_leave_line(self) -> None:
        self.post_message(FilterBar.Left())


class FilterBar(Vertical):
    """Input and chips. ``Asked`` comes when typing settles, or at once when a chip comes or goes."""

    DEFAULT_CSS = """
    FilterBar { height: auto; width: 1fr; padding: 0 1; }
    FilterBar > #ask-line { height: 1; }
    FilterBar #ask-mark { width: 2; height: 1; color: $text-disabled; }
    FilterBar.-typing #ask-mark { color: $accent; }
    FilterBar AskInput { width: 1fr; height: 1; border: none; padding: 0; background: transparent; }
    FilterBar AskInput:focus { border: none; }
    FilterBar #ask-note { width: auto; height: 1; color: $text-muted; padding: 0 0 0 2; }
    FilterBar > #ask-chips { height: 1; padding: 0 0 0 2; display: none; }
    FilterBar.-chips > #ask-chips { display: block; }
    """

    @dataclass
    class Asked(Message):
        """The question became ``text`` with ``chips``."""

        bar: FilterBar
        text: str
        chips: tuple[Chip, ...]

    @dataclass
    class ChipRemoved(Message):
        """A chip was taken away; None means the last one."""

        chip: Chip | None

    @dataclass
    class Left(Message):
        """The person went on from the line to the list."""

    def __init__(self, placeholder: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._placeholder = placeholder
        self._chips: tuple[Chip, ...] = ()
        self._timer: Timer | None = None
        self._asked: tuple[str, tuple[Chip, ...]] = ("", ())

    def compose(self) -> ComposeResult:
        with Horizontal(id="ask-line"):
            yield Mark(id="ask-mark")
            yield AskInput(placeholder=self._placeholder, compact=True, select_on_focus=False)
            yield Note(id="ask-note")
        yield Horizontal(id="ask-chips")

    def on_descendant_focus(self) -> None:
        self.add_class("-typing")

    def on_descendant_blur(self) -> None:
        self.remove_class("-typing")

    @property
    def text(self) -> str:
        """The free words."""
        return self.query_one(AskInput).value

    @property
    def chips(self) -> tuple[Chip, ...]:
        """The filters."""
        return self._chips

    def focus_input(self) -> None:
        """Go to the line."""
        self.query_one(AskInput).focus()

    def note(self, text: str) -> None:
        """Say something short at the right end of the line, such as ``12 hits, 6 ms``."""
        self.query_one("#ask-note", Note).show(text)

    def set_chips(self, chips: Sequence[Chip]) -> None:
        """Replace the filters, as if they had been typed; a field that takes one value keeps the last one given."""
        last = {chip.field: chip for chip in chips}
        self._chips = tuple(chip for chip in dict.fromkeys(chips) if chip.field in MANY or chip == last[chip.field])
        row = self.query_one("#ask-chips", Horizontal)
        row.remove_children()
        row.mount(*(ChipView(chip) for chip in self._chips))
        self.set_class(bool(self._chips), "-chips")
        self._ask()

    def set_text(self, text: str) -> None:
        """Replace the free words, as if they had been typed."""
        self.query_one(AskInput).value = text

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        words, found = split_chips(event.value)
        if found:
            self.query_one(AskInput).value = words
            self.set_chips([*self._chips, *found])
            return
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(SETTLE_SECONDS, self._ask)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        words, found = split_chips(event.value + " ")
        if found:
            self.query_one(AskInput).value = words
            self.set_chips([*self._chips, *found])
        self._ask()
        self.post_message(self.Left())

    def on_filter_bar_chip_removed(self, event: ChipRemoved) -> None:
        event.stop()
        if self._chips:
            gone = event.chip if event.chip is not None else self._chips[-1]
            self.set_chips([chip for chip in self._chips if chip != gone])

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        asked = (self.text.strip(), self._chips)
        if asked != self._asked:
            self._asked = asked
            self.post_message(self.Asked(self, *asked))


class Mark(Widget):
    """The accent edge before the line, seen while it has the keyboard."""

    def render(self) -> Content:
        return Content("▌ ")


class Note(Widget):
    """The short word at the end of the line."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._text = ""

    def show(self, text: str) -> None:
        self._text = text
        self.refresh(layout=True)

    def render(self) -> Content:
        return Content(plain(self._text))


def split_chips(text: str) -> tuple[str, tuple[Chip, ...]]:
    """Return the free words and the chips of what was typed: each finished ``field:value`` or ``field:"two words"``."""
    words: list[str] = []
    chips: list[Chip] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            words.append(text[at])
            at += 1
            continue
        name, colon, rest = text[at:].partition(":")
        if colon and name in FIELDS and rest:
            end = rest.find('"', 1) if rest[0] == '"' else next((i for i, c in enumerate(rest) if c.isspace()), -1)
            value = rest[1:end] if rest[0] == '"' else rest[:end]
            if end > 0 and value:
                chips.append(Chip(FIELDS[name], value))
                at += len(name) + 1 + end + 1
                continue
        stop = next((i for i in range(at, len(text)) if text[i].isspace()), len(text))
        words.append(text[at:stop])
        at = stop
    return "".join(words), tuple(chips)
