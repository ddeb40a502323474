"""Keys of commands as the console displays them: those of the user's keymap, else their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.binding import Binding
from textual.keys import key_to_character

from vestige_tui.tui.filters.saved import Configured

if TYPE_CHECKING:
    from textual.app import App

    from vestige_tui.tui.commands.command import Command


def shown_key(app: App[Any], command: type[Command], *, typing: bool = False) -> str:
    """Return a key of a command as it is displayed, even if it is not active now.

    With ``typing`` return a key without a character, if there is one: an input line would take a letter.
    """
    configured = app.config.keys.get(command.id) if isinstance(app, Configured) else None
    keys = (configured or command.key).split(",")
    key = next((name for name in keys if key_to_character(name) is None), keys[0]) if typing else keys[0]
    display = None if configured else command.display
    return app.get_key_display(Binding(key, command.action, key_display=display))
