"""Commands of the journal page."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.memories import RedoChange
from vestige_tui.tui.commands.places import PLACES


class ShowJournal(Command):
    id, key, label, action = "journal.show", "J", "journal", "show_journal"
    group = "Everywhere"
    help = "Open the journal: all changes of the store, to open their memories or to undo them."


class UndoEntry(Command):
    id, key, label, action = "journal.undo", "u", "undo", "undo_entry"
    group, footer = "Journal", True
    help = "Undo the change under the cursor, made in a console or by a command; on an undo, reverse it."
    writes = True


class LeaveJournal(Command):
    id, key, label, action = "journal.leave", "escape", "back", "back"
    group, footer, display = "Journal", True, "esc"
    help = "Close the journal."


OF_THE_JOURNAL: tuple[type[Command], ...] = (
    UndoEntry,
    RedoChange,
    LeaveJournal,
    *PLACES,
    Refresh,
    Close,
    ShowLegend,
    ShowHelp,
)
"""Commands of the journal page, besides those of its list."""
