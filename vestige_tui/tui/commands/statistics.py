"""Commands of the page of review statistics."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.memories import RedoChange, UndoChange
from vestige_tui.tui.commands.places import PLACES


class ShowStatistics(Command):
    id, key, label, action = "review.statistics", "h", "statistics", "show_statistics"
    group = "Review"
    help = "Open the statistics: past reviews by day, true retention by group, and the load of the coming days."
    words = "heat map calendar retention forecast load what if"


class LowerRetention(Command):
    id, key, label, action = "statistics.lower", "minus", "lower", "step_retention(-1)"
    group, footer, display = "Statistics", True, "-"
    help = "Compare the load with that under a lower desired retention; nothing is changed."


class HigherRetention(Command):
    id, key, label, action = "statistics.higher", "plus,equals_sign", "higher", "step_retention(1)"
    group, footer, display = "Statistics", True, "+"
    help = "Compare the load with that under a higher desired retention; nothing is changed."


class FitWeights(Command):
    id, key, label, action = "statistics.fit", "f", "fit", "fit_weights"
    group, footer, writes = "Statistics", True, True
    help = "Fit FSRS weights to the review log; first shows how well they predict and how many due dates would move."
    words = "optimize optimise fsrs reschedule"


class LeaveStatistics(Command):
    id, key, label, action = "statistics.leave", "escape", "back", "back"
    group, footer, display = "Statistics", True, "esc"
    help = "Go back from the statistics to the reviews."


OF_STATISTICS: tuple[type[Command], ...] = (
    LowerRetention,
    HigherRetention,
    FitWeights,
    UndoChange,
    RedoChange,
    LeaveStatistics,
    *PLACES,
    Refresh,
    Close,
    ShowLegend,
    ShowHelp,
)
"""Commands of the page of statistics, besides the motions of its text."""
