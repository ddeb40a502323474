"""Help: every key that works in a screen, as its keymap has it, with the reason of those that do not; below, prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from textwrap import wrap
from typing import Any, ClassVar, Protocol, runtime_checkable

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from vestige_tui.core.text import cells, plain
from vestige_tui.tui.commands.catalogue import catalogue
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import ShowHelp
from vestige_tui.tui.dialogs.modals import Dialog
from vestige_tui.tui.filters.saved import Configured
from vestige_tui.tui.widgets.panels import Panels

LAST_GROUPS = ("Moving", "Places", "Everywhere")
OUTSIDE_THE_LINE = "Outside the input line"
MIN_TEXT_CELLS = 10


@runtime_checkable
class Explaining(Protocol):
    """Protocol of a screen that says why a command is disabled."""

    def reason_against(self, action: str) -> str:
        """Return the reason as a sentence; empty if it is enabled."""
        ...


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
        for reason, rows in _by_reason(self._rows):
            keys = " ".join(row.keys for row in rows)
            sentence = f"Disabled now: {keys}. {reason}"
            lines += [Content.styled(f"◌ {sentence}" if not lines else sentence, "$warning")]
        for group, group_rows in groupby(self._rows, key=lambda row: row.group):
            lines += [*([Content("")] if lines else []), Content.styled(group, "$text-disabled")]
            for row in group_rows:
                styles = ("$text-disabled", "$text-disabled") if row.reason else ("$accent bold", "$text-muted")
                room = max(MIN_TEXT_CELLS, width - key_cells - 2)
                for number, line in enumerate(wrap(row.sentence.rstrip("."), room, break_on_hyphens=False)):
                    head = "" if number else row.keys
                    lines.append(Content.assemble((f"{head:>{key_cells}}  ", styles[0]), (line, styles[1])))
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
    HelpScreen.-narrow #sheet-title, HelpScreen.-narrow #sheet-keys { margin: 0; }
    HelpScreen.-narrow #sheet-rows { max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding(ShowHelp.key, "leave", "close", id=ShowHelp.id, show=False)]

    def __init__(self, title: str, purpose: str, screen: Screen[Any]) -> None:
        super().__init__(title, (("esc", "back"), ("ctrl+p", "all commands")))
        self._purpose = purpose
        self._rows = tuple(help_rows(screen))

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
    live = list(screen.active_bindings.values())
    groups = [catalogue()[active.binding.id].group for active in live if active.binding.id in catalogue()]
    last = [group for group in LAST_GROUPS if group in groups]
    order = [*(group for group in dict.fromkeys(groups) if group not in last), *last]
    rows = sorted(_rows(screen, live), key=lambda row: order.index(row.group))
    if isinstance(screen.focused, Input):
        live_ids = {active.binding.id for active in live}
        others = [each for each in _all_bindings(screen) if each.binding.id not in live_ids]
        rows += [HelpRow(row.keys, OUTSIDE_THE_LINE, row.sentence, row.reason) for row in _rows(screen, others)]
    return rows


def _all_bindings(screen: Screen[Any]) -> Iterator[ActiveBinding]:
    """Yield the bindings of a screen and of all widgets that it shows, whatever has the focus."""
    app = screen.app
    keymap = app.config.keys if isinstance(app, Configured) else {}
    for node in (*screen.focus_chain, screen):
        # No public name of Textual gives the bindings of a widget that has not the focus.
        for _, binding in node._bindings:
            name, _, arguments = binding.action.partition("(")
            state = node.check_action(name, (arguments,) if arguments else ())
            keys = keymap.get(binding.id or "")
            variants = [replace(binding, key=key, key_display=None) for key in keys.split(",")] if keys else [binding]
            if state is not False:
                yield from (ActiveBinding(node, each, bool(state)) for each in variants)


def _rows(screen: Screen[Any], active_bindings: Sequence[ActiveBinding]) -> Iterator[HelpRow]:
    """Yield one row for each command of these bindings, with all its keys."""
    commands = catalogue()
    keys: dict[str, list[str]] = {}
    disabled: dict[str, str] = {}
    for active in active_bindings:
        id = active.binding.id
        if id not in commands:
            continue
        display = screen.app.get_key_display(active.binding)
        spellings = keys.setdefault(id, [])
        if display not in spellings:
            spellings.append(display)
        if not active.enabled:
            disabled[id] = _reason(screen, commands[id], active.binding)
    for id, spellings in keys.items():
        yield HelpRow(" ".join(spellings), commands[id].group, commands[id].help, disabled.get(id, ""))


def _reason(screen: Screen[Any], command: type[Command], binding: Binding) -> str:
    name = binding.action.rpartition(".")[2].partition("(")[0]
    reason = screen.reason_against(name) if isinstance(screen, Explaining) else ""
    return reason or f"{command.label.capitalize()} is not possible here."
