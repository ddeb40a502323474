"""Commands that work everywhere: help, back, close, refresh, quit."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.places import PLACES, NextPlace, PreviousPlace


class ShowHelp(Command):
    id, key, label, action = "help.show", "question_mark,f1", "help", "show_help"
    group, footer = "Everywhere", True
    help = "Show all keys that work here; F1 also works while you type."
    words = "keys shortcuts manual"


class ShowErrorDetails(Command):
    id, key, label, action = "error.details", "exclamation_mark", "details", "show_details"
    group, display = "Everywhere", "!"
    help = "Show the details of the last error."


class Leave(Command):
    id, key, label, action = "place.back", "escape", "back", "back"
    group = "Everywhere"
    help = "Go back, or close what is open; in Browse, Review and Registry, clear the text typed in the line."


class Refresh(Command):
    id, key, label, action = "place.refresh", "ctrl+r", "refresh", "refresh_place"
    group = "Everywhere"
    help = "Refresh this screen from the store."
    words = "reload update"


class ShowLegend(Command):
    id, key, label, action = "help.legend", "K", "legend of signs", "show_legend"
    group = "Everywhere"
    help = "Show what every sign on the screen means: ● ○ ◐ ◇ ▲ ▽ ◆, R .95."
    words = "glyphs symbols marks"


class OpenPalette(Command):
    id, key, label, action = "app.palette", "ctrl+p", "commands", "open_palette"
    group, priority = "Everywhere", True
    help = "Find a command by its name, and run it."


class OpenStore(Command):
    id, key, label, action = "app.open_store", "ctrl+o", "open another store…", "open_store"
    group, priority = "Everywhere", True
    help = "Open another store in this console: a file, a PostgreSQL server or a pgembed folder."
    words = "switch database connect file"


class Close(Command):
    id, key, label, action = "screen.close", "q", "close", "close"
    group = "Everywhere"
    help = "Close a page or a dialog; on a main screen, show which key quits."


class Quit(Command):
    id, key, label, action = "app.quit", "ctrl+q", "quit", "quit"
    group, footer, priority = "Everywhere", True, True
    help = "Quit the console; jobs keep running."
    words = "exit leave close"


class Interrupt(Command):
    id, key, label, action = "app.interrupt", "ctrl+c", "copy or quit", "interrupt"
    group, priority = "Everywhere", True
    help = "Copy the selected text; with nothing selected, press it twice to quit."


class SuspendConsole(Command):
    id, key, label, action = "app.suspend", "ctrl+z", "suspend", "suspend_console"
    group, priority = "Everywhere", True
    help = "Suspend the console; fg in the shell resumes it."


EVERYWHERE: tuple[type[Command], ...] = (
    *PLACES,
    PreviousPlace,
    NextPlace,
    ShowErrorDetails,
    Refresh,
    Leave,
    Close,
    ShowLegend,
    ShowHelp,
)
"""Commands that every place binds; ``place.Place`` does it."""
