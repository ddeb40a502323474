"""Commands of the place Search and of its explanation."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.places import PLACES


class CycleMode(Command):
    id, key, label, action = "search.mode", "m", "mode", "cycle_mode"
    group, footer = "Search", True
    help = "Switch the search: text and vector together, text only, vector only, or exact characters."


class MoreHits(Command):
    id, key, label, action = "search.more", "plus", "more", "more_hits"
    group, display = "Search", "+"
    help = "Show more hits."


class SearchWithout(Command):
    id, key, label, action = "search.without", "n", "search without what blocks results", "search_without"
    group = "Search"
    help = "Search again without the phrase, word or filter that excludes every result."
    words = "search without"


class SearchLiteral(Command):
    id, key, label, action = "search.literal", "L", "exact characters", "search_literal"
    group = "Search"
    help = "Search for exact characters, such as a path, a hash or an error code; press again to search by words."


class ExplainAnswer(Command):
    id, key, label, action = "search.explain", "x", "explain", "explain_answer"
    group, footer = "Search", True
    help = "Explain the ranking: both lists, the weight of each word, the filters, and the time of each step."


class AskWhyNot(Command):
    id, key, label, action = "search.why_not", "w", "why not", "ask_why_not"
    group, footer = "Search", True
    help = "Pick a memory, and see its rank and why it is not in the results."


class LeaveExplanation(Command):
    id, key, label, action = "explain.leave", "escape", "back", "back"
    group, footer, display = "Search", True, "esc"
    help = "Go back from the explanation to the hits."


class ColumnBefore(Command):
    id, key, label, action = "explain.before", "left", "previous list", "step_column(-1)"
    group = "Search"
    help = "Go to the list on the left."


class ColumnAfter(Command):
    id, key, label, action = "explain.after", "right", "next list", "step_column(1)"
    group, footer, display = "Search", True, "←→"
    help = "Go to the list on the right."


class ToggleSuperseded(Command):
    id, key, label, action = "list.superseded", "o", "show replaced", "toggle_superseded"
    group = "Lists"
    help = "Show or hide memories that another one replaces."


OF_AN_EXPLANATION: tuple[type[Command], ...] = (
    AskWhyNot,
    ColumnBefore,
    ColumnAfter,
    LeaveExplanation,
    Close,
    *PLACES,
    Refresh,
    ShowLegend,
    ShowHelp,
)
"""Commands of the explanation of a search, besides those of its lists."""
