"""Help: every key that works in a screen, as its keymap has it, with the reason of those that do not; below, prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from vestige_tui.core.text import cells, plain
from vestige_tui.tui.commands.everywhere import OpenPalette, ShowHelp
from vestige_tui.tui.commands.offered import offered_commands
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.widgets.panels import Panels

LAST_GROUPS = ("Moving", "Screens", "Everywhere")
OUTSIDE_THE_LINE = "Outside the input line"
MIN_TEXT_CELLS = 10
MANY_KEYS = 4
"""Keys from which their common reason stands above all keys, as that of a read-only store does, and not below them."""


@dataclass(frozen=True, slots=True)
class HelpRow:
    """Keys of one command as they are displayed, its sentence, and why it is disabled (empty if it works)."""

    keys: str
    group: str
    sentence: str
    reason: str = ""


class Sheet(Static):
    """Text of the help screen, wrapped again at every width."""

    def __init__(self, purpose: str, rows: Sequence[HelpRow]) -> None:
        super().__init__(markup=False)
        self._purpose = purpose
        self._rows = rows

    def render(self) -> Content:
        width = self.size.width or 60
        key_cells = max((cells(row.keys) for row in self._rows), default=1)
        lines: list[Content] = []
        below: list[Content] = []
        for reason, rows in _by_reason(self._rows):
            sentence = f"◌ Disabled now: {' '.join(row.keys for row in rows)}. {reason}"
            if len(rows) >= MANY_KEYS:
                lines.append(Content.styled(sentence, "$warning"))
            else:
                below.append(Content.styled(sentence, "$text-muted"))
        for group, group_rows in groupby(self._rows, key=lambda row: row.group):
            lines += [*([Content("")] if lines else []), Content.styled(group, "$text-disabled")]
            for row in group_rows:
                styles = ("$text-disabled", "$text-disabled") if row.reason else ("$accent bold", "$text-muted")
                room = max(MIN_TEXT_CELLS, width - key_cells - 2)
                for number, line in enumerate(wrap(row.sentence.rstrip("."), room, break_on_hyphens=False)):
                    head = "" if number else row.keys
                    lines.append(Content.assemble((f"{head:>{key_cells}}  ", styles[0]), (line, styles[1])))
        if below:
            lines += [Content(""), *below]
        return Content("\n").join([*lines, Content(""), prose(self._purpose)])


def _by_reason(rows: Sequence[HelpRow]) -> Iterator[tuple[str, Sequence[HelpRow]]]:
    """Yield each reason with the rows that it disables."""
    for reason in dict.fromkeys(row.reason for row in rows if row.reason):
        yield reason, [row for row in rows if row.reason == reason]


def prose(text: str) -> Content:
    """Return paragraphs with their line breaks removed, and parts between backticks styled as keys."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", plain(text, newlines=True).strip()):
        parts = " ".join(paragraph.split()).split("`")
        paragraphs.append(
            Content.assemble(*((part, "$accent bold" if number % 2 else "$text") for number, part in enumerate(parts)))
        )
    return Content("\n\n").join(paragraphs)


class HelpScreen(Dialog[None]):
    """Help for the screen beneath it; its own key closes it again."""

    DEFAULT_CSS = """
    HelpScreen #sheet { width: 84; height: 88%; max-height: 88%; }
    HelpScreen #sheet-rows { height: 1fr; max-height: 100%; background: $panel; padding: 0 1 0 0; }
    HelpScreen.-narrow #sheet { width: 100%; max-width: 100%; height: 100%; max-height: 100%; padding: 0 1; }
    HelpScreen.-narrow #sheet-title { margin: 0; }
    HelpScreen.-narrow #sheet-keys { height: 1; padding: 0; }
    HelpScreen.-narrow #sheet-rows { max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding(ShowHelp.key, "leave", "close", id=ShowHelp.id, show=False)]

    def __init__(self, title: str, purpose: str, screen: Screen[Any]) -> None:
        self._rows = tuple(help_rows(screen))
        palette = next((row.keys for row in self._rows if row.sentence == OpenPalette.help), OpenPalette.key)
        super().__init__(title, (("esc", "back"), (palette, "all commands")))
        self._purpose = purpose

    def compose_body(self) -> ComposeResult:
        with Panels(id="sheet-rows"):
            yield Sheet(self._purpose, self._rows)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()


def help_rows(screen: Screen[Any]) -> list[HelpRow]:
    """Return the rows of help: the live keys by group, the place's own groups first.

    While an input line has the focus, its letters are no keys: those of the rest of the screen follow, in a group of
    their own.
    """
    offered = offered_commands(screen)
    live = [HelpRow(each.keys, each.command.group, each.command.help, each.reason) for each in offered if each.is_live]
    groups = [row.group for row in live]
    last = [group for group in LAST_GROUPS if group in groups]
    order = [*(group for group in dict.fromkeys(groups) if group not in last), *last]
    rows = sorted(live, key=lambda row: order.index(row.group))
    if isinstance(screen.focused, Input):
        others = (each for each in offered if not each.is_live)
        rows += [HelpRow(each.keys, OUTSIDE_THE_LINE, each.command.help, each.reason) for each in others]
    return rows
