"""Commands on past moments: showing the store as of one, stepping through decisions, comparing two moments."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.places import PLACES


class ShowMoment(Command):
    id, key, label, action = "moment.show", "T", "past moment", "show_moment"
    group = "Everywhere"
    help = "Show the store as of a past moment, read-only; an empty line returns to now."
    words = "time travel as-of history back when"


class EarlierDecision(Command):
    id, key, label, action = "moment.earlier", "less_than_sign", "earlier decision", "step_moment(-1)"
    group, display = "Everywhere", "<"
    help = "Go back to the last time, before the moment shown, that a memory was replaced or became active again."
    words = "time travel past"


class LaterDecision(Command):
    id, key, label, action = "moment.later", "greater_than_sign", "later decision", "step_moment(1)"
    group, display = "Everywhere", ">"
    help = (
        "Go on to the first time, after the moment shown, that a memory was replaced or became active again; after the "
        "last one, return to now."
    )
    words = "time travel now"


class CompareMoments(Command):
    id, key, label, action = "moment.compare", "C", "compare moments", "compare_moments"
    group = "Everywhere"
    help = "Compare the store at two moments: what appeared, was replaced, is active again, or was deleted in between."
    words = "diff difference changes time"


class SetStart(Command):
    id, key, label, action = "compare.start", "s", "from", "set_start"
    group, footer = "Compare", True
    help = "Set the first moment."


class SetEnd(Command):
    id, key, label, action = "compare.end", "e", "to", "set_end"
    group, footer = "Compare", True
    help = "Set the second moment; an empty line means now."


class OpenDifference(Command):
    id, key, label, action = "compare.show", "t", "show this moment", "show_end"
    group, footer = "Compare", True
    help = "Show the store as of the second moment."


class LeaveComparison(Command):
    id, key, label, action = "compare.leave", "escape", "back", "back"
    group, footer, display = "Compare", True, "esc"
    help = "Close the comparison."


class ShowLineage(Command):
    id, key, label, action = "memory.lineage", "H", "lineage", "show_lineage"
    group = "Memory"
    help = "Open the lineage of the memory: what replaces it, what it replaces, and every decision on it."
    words = "history supersession tree replaced"


class LeaveLineage(Command):
    id, key, label, action = "lineage.leave", "escape", "back", "back"
    group, footer, display = "Lineage", True, "esc"
    help = "Close the lineage."


OF_THE_LINEAGE: tuple[type[Command], ...] = (LeaveLineage, *PLACES, Refresh, Close, ShowLegend, ShowHelp)
"""Commands of the page of a lineage, besides those of its list."""

OF_THE_COMPARISON: tuple[type[Command], ...] = (
    SetStart,
    SetEnd,
    OpenDifference,
    LeaveComparison,
    *PLACES,
    Refresh,
    Close,
    ShowLegend,
    ShowHelp,
)
"""Commands of the page that compares two moments, besides those of its list."""
