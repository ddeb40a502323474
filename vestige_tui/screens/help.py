"""What a place is for, and every key that works there right now, by its own keymap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from vestige_tui.commands import Command, catalogue
from vestige_tui.screens.modals import Dialog
from vestige_tui.text import plain


class HelpScreen(Dialog[None]):
    """Help for the screen beneath it."""

    DEFAULT_CSS = """
    HelpScreen #sheet { width: 84; height: 88%; max-height: 88%; }
    HelpScreen #sheet-rows { height: 1fr; max-height: 100%; background: $panel; padding: 0; }
    """

    def __init__(self, title: str, purpose: str, screen: Screen[Any]) -> None:
        super().__init__(title, (("esc", "back"), ("ctrl+p", "all commands by name")))
        self._purpose = purpose
        self._rows = tuple(live_keys(screen))

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(id="sheet-rows"):
            yield Static(self._text(), markup=False)

    def on_mount(self) -> None:
        self.query_one("#sheet-rows").focus()

    def _text(self) -> Content:
        lines = [Content.styled(plain(self._purpose, newlines=True).strip(), "$text")]
        keys = max((len(key) for key, _ in self._rows), default=1)
        for group, rows in groupby(self._rows, key=lambda row: row[1].group):
            lines += [Content(""), Content.styled(group, "$text-disabled")]
            for key, command in rows:
                lines.append(
                    Content.assemble((f"{key:>{keys}}  ", "$accent bold"), (command.help.rstrip("."), "$text-muted"))
                )
        return Content("\n").join(lines)


def live_keys(screen: Screen[Any]) -> Iterator[tuple[str, type[Command]]]:
    """Yield the keys and command of everything that is live on a screen, grouped, what is most local first."""
    known = catalogue()
    keys: dict[str, list[str]] = {}
    for _, binding, _, _ in screen.active_bindings.values():
        if binding.id in known:
            written = screen.app.get_key_display(binding)
            shown = keys.setdefault(binding.id, [])
            if written not in shown:
                shown.append(written)
    groups = list(dict.fromkeys(known[id].group for id in keys))
    last = [group for group in ("Places", "Everywhere") if group in groups]
    for group in [*(group for group in groups if group not in last), *last]:
        for id, shown in keys.items():
            if known[id].group == group:
                yield " ".join(shown), known[id]
