"""The command palette: a line to type a command's name, and the entries that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from vestige_tui.core.text import cells, cut, plain
from vestige_tui.tui.commands.palette import HEADINGS, PaletteEntry, matching
from vestige_tui.tui.dialogs.modals import Dialog

MAX_NAME_CELLS = 34
GAP_CELLS = 2


class Palette(Dialog[PaletteEntry | None]):
    """Dialog that answers the entry chosen, None if the user cancels. A disabled entry shows its reason and stays."""

    DEFAULT_CSS = """
    Palette { align: center top; }
    Palette #sheet { width: 90; height: auto; max-height: 88%; margin: 2 0 0 0; padding: 0 1; border: round $accent; }
    Palette #sheet-title { display: none; }
    Palette OptionList { max-height: 50vh; height: auto; margin: 0; }
    Palette #palette-sentence { height: auto; max-height: 3; margin: 1 0 0 0; color: $text-muted; }
    Palette.-narrow #sheet { width: 100%; max-width: 100%; margin: 0; max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,ctrl+n", "move(1)", "down", show=False, priority=True),
        Binding("up,ctrl+p", "move(-1)", "up", show=False, priority=True),
        Binding("pagedown", "move(10)", "page down", show=False, priority=True),
        Binding("pageup", "move(-10)", "page up", show=False, priority=True),
    ]

    def __init__(self, entries: Sequence[PaletteEntry]) -> None:
        super().__init__("Commands", (("enter", "run"), ("↑↓", "move"), ("esc", "close")))
        self._entries = entries
        self._shown: list[PaletteEntry | None] = []
        """Entry of each row; None for a heading."""

    def compose_body(self) -> ComposeResult:
        yield Input(placeholder="Type the name of a command", compact=True)
        yield OptionList(markup=False)
        yield Static(id="palette-sentence", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self.call_after_refresh(self._narrow)

    def on_resize(self) -> None:
        self.call_after_refresh(self._narrow)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._narrow()

    def _narrow(self) -> None:
        """Show the entries that the line names; headings only while it is empty."""
        query = self.query_one(Input).value.strip()
        matches = matching(self._entries, query)
        self._shown = []
        for entry in matches:
            is_first = not query and not any(each is not None and each.kind is entry.kind for each in self._shown)
            self._shown += [None, entry] if is_first else [entry]
        options = self.query_one(OptionList)
        width = max(20, options.size.width - 2)
        options.clear_options()
        options.add_options([self._option(number, width) for number in range(len(self._shown))])
        options.highlighted = next((number for number, entry in enumerate(self._shown) if entry is not None), None)
        self._say(options.highlighted)

    def _option(self, number: int, width: int) -> Option:
        entry = self._shown[number]
        if entry is None:
            following = self._shown[number + 1]
            assert following is not None
            return Option(Content.styled(HEADINGS[following.kind], "$text-disabled"), disabled=True)
        return Option(self._line(entry, width))

    def _line(self, entry: PaletteEntry, width: int) -> Content:
        name_cells = min(MAX_NAME_CELLS, max(cells(plain(each.name)) for each in self._entries))
        keys = entry.keys
        name = cut(plain(entry.name), min(name_cells, width - cells(keys) - GAP_CELLS))
        sentence = cut(plain(entry.sentence.rstrip(".")), max(0, width - name_cells - cells(keys) - 2 * GAP_CELLS))
        if width < 2 * name_cells:
            sentence, name = "", cut(plain(entry.name), width - cells(keys) - GAP_CELLS)
        left = name + " " * (name_cells + GAP_CELLS - cells(name)) + sentence if sentence else name
        gap = " " * max(GAP_CELLS, width - cells(left) - cells(keys))
        ink = "$text-disabled" if entry.reason else "$text"
        return Content.assemble(
            (left[: len(name)], ink),
            (left[len(name) :] + gap, "$text-disabled" if entry.reason else "$text-muted"),
            (keys, "$text-disabled" if entry.reason else "$accent bold"),
        )

    def _say(self, number: int | None) -> None:
        """Show the whole sentence of the entry under the cursor, or why it is disabled."""
        entry = self._shown[number] if number is not None and number < len(self._shown) else None
        text = "No command has this name." if entry is None else entry.reason or entry.sentence
        style = "$warning" if entry is None or entry.reason else "$text-muted"
        self.query_one("#palette-sentence", Static).update(Content.styled(plain(text), style))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._say(event.option_index)

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        rows = [number for number, entry in enumerate(self._shown) if entry is not None]
        if not rows:
            return
        at = rows.index(options.highlighted) if options.highlighted in rows else 0
        beyond = not 0 <= at + step < len(rows)
        target = (at + step) % len(rows) if abs(step) == 1 or not beyond else (0 if step < 0 else len(rows) - 1)
        options.highlighted = rows[target]
        if target == 0:
            options.scroll_home(animate=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose(self.query_one(OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._choose(event.option_index)

    def _choose(self, number: int | None) -> None:
        entry = self._shown[number] if number is not None and number < len(self._shown) else None
        if entry is not None and not entry.reason:
            self.dismiss(entry)
