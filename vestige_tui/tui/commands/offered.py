"""Commands that a screen offers now: their keys as displayed, and why one is disabled; for help and the palette."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from textual.binding import ActiveBinding, Binding
from textual.dom import DOMNode
from textual.screen import Screen

from vestige_tui.tui.commands.catalogue import catalogue
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.filters.saved import Configured


@runtime_checkable
class Explaining(Protocol):
    """Protocol of a screen that says why a command is disabled."""

    def reason_against(self, action: str) -> str:
        """Return the reason as a sentence; empty if it is enabled."""
        ...


@dataclass(frozen=True, slots=True)
class OfferedCommand:
    """Command of a screen, with its action and the node that has it."""

    command: type[Command]
    keys: str
    """Its keys as displayed, with spaces between."""
    action: str
    node: DOMNode
    reason: str = ""
    """Why it is disabled, as a sentence; empty if it works."""
    is_live: bool = True
    """False if the widget that has the focus, such as an input line, takes its keys."""


def offered_commands(screen: Screen[Any]) -> list[OfferedCommand]:
    """Return the commands of a screen: the live ones first, those of the focused widget before those of the screen."""
    live = list(screen.active_bindings.values())
    live_ids = {active.binding.id for active in live}
    others = [each for each in _all_bindings(screen) if each.binding.id not in live_ids]
    return [*_merged(screen, live, is_live=True), *_merged(screen, others, is_live=False)]


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
                yield from (ActiveBinding(node, each, bool(state), each.tooltip) for each in variants)


def _merged(screen: Screen[Any], active_bindings: list[ActiveBinding], *, is_live: bool) -> Iterator[OfferedCommand]:
    """Yield one entry for each command of these bindings, with all its keys."""
    commands = catalogue()
    keys: dict[str, list[str]] = {}
    first: dict[str, ActiveBinding] = {}
    for active in active_bindings:
        id = active.binding.id
        if id is None or id not in commands:
            continue
        first.setdefault(id, active)
        display = screen.app.get_key_display(active.binding)
        if display not in keys.setdefault(id, []):
            keys[id].append(display)
    for id, active in first.items():
        reason = "" if active.enabled else _reason(screen, commands[id], active.binding)
        yield OfferedCommand(commands[id], " ".join(keys[id]), active.binding.action, active.node, reason, is_live)


def _reason(screen: Screen[Any], command: type[Command], binding: Binding) -> str:
    name = binding.action.rpartition(".")[2].partition("(")[0]
    reason = screen.reason_against(name) if isinstance(screen, Explaining) else ""
    return reason or f"{command.label.capitalize()} is not possible here."
