"""Commands of the place Search and of its explanation."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Refresh, ShowHelp
from vestige_tui.tui.commands.places import PLACES


class CycleMode(Command):
    id, key, label, action = "search.mode", "m", "mode", "cycle_mode"
    group, footer = "Search", True
    help = "Search by words and meaning, by words, by meaning alone, or for exact characters."


class MoreHits(Command):
    id, key, label, action = "search.more", "plus", "more", "more_hits"
    group, display = "Search", "+"
    help = "Ask for more hits."


class ExplainAnswer(Command):
    id, key, label, action = "search.explain", "x", "explain", "explain_answer"
    group, footer = "Search", True
    help = "Show how the answer came about: both lists, what each word weighed, the filters, and what it cost."


class AskWhyNot(Command):
    id, key, label, action = "search.why_not", "w", "why not", "ask_why_not"
    group, footer = "Search", True
    help = "Pick any memory, and see where it stands and what keeps it from the answer."


class LeaveExplanation(Command):
    id, key, label, action = "explain.leave", "escape", "back", "back"
    group, footer, display = "Search", True, "esc"
    help = "Go back from the explanation to the hits."


class ColumnBefore(Command):
    id, key, label, action = "explain.before", "left", "list before", "step_column(-1)"
    group = "Search"
    help = "Go to the list on the left."


class ColumnAfter(Command):
    id, key, label, action = "explain.after", "right", "next list", "step_column(1)"
    group, footer, display = "Search", True, "←→"
    help = "Go to the list on the right."


class ToggleSuperseded(Command):
    id, key, label, action = "list.superseded", "o", "replaced too", "toggle_superseded"
    group = "Lists"
    help = "Also show memories that another one has replaced."


OF_AN_EXPLANATION: tuple[type[Command], ...] = (
    AskWhyNot,
    ColumnBefore,
    ColumnAfter,
    LeaveExplanation,
    *PLACES,
    Refresh,
    ShowHelp,
)
"""Commands of the explanation of a search, besides those of its lists."""
