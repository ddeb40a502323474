"""Commands that work everywhere: help, back, refresh, quit."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.places import PLACES, NextPlace, PreviousPlace


class ShowHelp(Command):
    id, key, label, action = "help.show", "question_mark,f1", "help", "show_help"
    group, footer, display = "Everywhere", True, "?"
    help = "Show what this place is for and every key that works here."


class ShowErrorDetails(Command):
    id, key, label, action = "error.details", "exclamation_mark", "details", "show_details"
    group, display = "Everywhere", "!"
    help = "Show the details behind the last error."


class Leave(Command):
    id, key, label, action = "place.back", "escape", "back", "back"
    group = "Everywhere"
    help = "Leave what is open; what was typed stays."


class Refresh(Command):
    id, key, label, action = "place.refresh", "ctrl+r", "refresh", "refresh_place"
    group = "Everywhere"
    help = "Ask the store again."


class Quit(Command):
    id, key, label, action = "app.quit", "ctrl+q", "quit", "quit"
    group, priority = "Everywhere", True
    help = "Leave the console; jobs go on."


class SuspendConsole(Command):
    id, key, label, action = "app.suspend", "ctrl+z", "suspend", "suspend_console"
    group, priority = "Everywhere", True
    help = "Stop the console, as a job of your shell; fg brings it back."


EVERYWHERE: tuple[type[Command], ...] = (
    *PLACES,
    PreviousPlace,
    NextPlace,
    ShowErrorDetails,
    Refresh,
    Leave,
    ShowHelp,
)
"""Commands that every place binds; ``place.Place`` does it."""
