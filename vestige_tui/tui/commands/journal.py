"""Commands of the journal page."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.memories import RedoChange
from vestige_tui.tui.commands.places import PLACES


class ShowJournal(Command):
    id, key, label, action = "journal.show", "J", "journal", "show_journal"
    group = "Everywhere"
    help = "Open the journal, the list of changes by consoles and commands: open a changed memory, or undo a change."


class UndoEntry(Command):
    id, key, label, action = "journal.undo", "u", "undo", "undo_entry"
    group, footer = "Journal", True
    help = "Undo the change under the cursor, whichever console or command made it; on an undo, redo the change."
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
