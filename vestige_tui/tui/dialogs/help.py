"""Help: the purpose of a place, and every key that is live there, as its keymap has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any

from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from vestige_tui.core.text import cells, plain
from vestige_tui.tui.commands.catalogue import catalogue
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.widgets.panels import Panels


class Sheet(Static):
    """Text of the help screen, wrapped again at every width."""

    def __init__(self, purpose: str, rows: Sequence[tuple[str, type[Command]]]) -> None:
        super().__init__(markup=False)
        self._purpose = purpose
        self._rows = rows

    def render(self) -> Content:
        width = self.size.width or 60
        lines = [prose(self._purpose)]
        key_cells = max((cells(key) for key, _ in self._rows), default=1)
        for group, rows in groupby(self._rows, key=lambda row: row[1].group):
            lines += [Content(""), Content.styled(group, "$text-disabled")]
            for key, command in rows:
                help_lines = wrap(command.help.rstrip("."), max(10, width - key_cells - 2), break_on_hyphens=False)
                for number, line in enumerate(help_lines):
                    head = "" if number else key
                    lines.append(Content.assemble((f"{head:>{key_cells}}  ", "$accent bold"), (line, "$text-muted")))
        return Content("\n").join(lines)


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
    """Help for the screen beneath it."""

    DEFAULT_CSS = """
    HelpScreen #sheet { width: 84; height: 88%; max-height: 88%; }
    HelpScreen #sheet-rows { height: 1fr; max-height: 100%; background: $panel; padding: 0 1 0 0; }
    HelpScreen.-narrow #sheet { width: 100%; max-width: 100%; height: 100%; max-height: 100%; padding: 0 1; }
    HelpScreen.-narrow #sheet-title, HelpScreen.-narrow #sheet-keys { margin: 0; }
    HelpScreen.-narrow #sheet-rows { max-height: 100%; }
    """

    def __init__(self, title: str, purpose: str, screen: Screen[Any]) -> None:
        super().__init__(title, (("esc", "back"), ("ctrl+p", "all commands")))
        self._purpose = purpose
        self._rows = tuple(live_keys(screen))

    def compose_body(self) -> ComposeResult:
        with Panels(id="sheet-rows"):
            yield Sheet(self._purpose, self._rows)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()


def live_keys(screen: Screen[Any]) -> Iterator[tuple[str, type[Command]]]:
    """Yield the keys and the command of every live binding of a screen, grouped, the place's own groups first."""
    commands = catalogue()
    keys: dict[str, list[str]] = {}
    for _, binding, _, _ in screen.active_bindings.values():
        if binding.id in commands:
            key = screen.app.get_key_display(binding)
            spellings = keys.setdefault(binding.id, [])
            if key not in spellings:
                spellings.append(key)
    groups = list(dict.fromkeys(commands[id].group for id in keys))
    last = [group for group in ("Places", "Everywhere") if group in groups]
    for group in [*(group for group in groups if group not in last), *last]:
        for id, spellings in keys.items():
            if commands[id].group == group:
                yield " ".join(spellings), commands[id]
