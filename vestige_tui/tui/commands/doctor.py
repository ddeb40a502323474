"""Commands of the page of the doctor."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.memories import RedoChange, UndoChange
from vestige_tui.tui.commands.places import PLACES


class ShowDoctor(Command):
    id, key, label, action = "doctor.show", "d", "doctor", "show_doctor"
    group, footer = "Store", True
    help = "Look at every row of the store for faults, and fix them after a preview."
    words = "check repair faults integrity"


class FixFault(Command):
    id, key, label, action = "doctor.fix", "f", "fix", "fix_fault"
    group, footer = "Doctor", True
    help = "Fix the faults under the cursor, after a preview of every row that changes."
    words = "repair"
    writes = True


class FixAllFaults(Command):
    id, key, label, action = "doctor.fix_all", "F", "fix all", "fix_all_faults"
    group, footer = "Doctor", True
    help = "Fix every fault that can be fixed in one change, after a preview of every row that changes."
    writes = True


class LeaveDoctor(Command):
    id, key, label, action = "doctor.leave", "escape", "back", "back"
    group, footer, display = "Doctor", True, "esc"
    help = "Close the doctor."


OF_THE_DOCTOR: tuple[type[Command], ...] = (
    FixFault,
    FixAllFaults,
    UndoChange,
    RedoChange,
    LeaveDoctor,
    *PLACES,
    Refresh,
    Close,
    ShowLegend,
    ShowHelp,
)
"""Commands of the page of the doctor, besides those of its list."""
