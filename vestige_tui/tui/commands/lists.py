"""Commands of lists: motions, selection, filters, sorting."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command


class RowDown(Command):
    id, key, label, action = "list.down", "j,down", "down", "cursor_down"
    group = "Moving"
    help = "Go one row down."


class RowUp(Command):
    id, key, label, action = "list.up", "k,up", "up", "cursor_up"
    group = "Moving"
    help = "Go one row up."


class HalfPageDown(Command):
    id, key, label, action = "list.half_down", "ctrl+d", "half a page down", "half_page_down"
    group = "Moving"
    help = "Go half a page down."


class HalfPageUp(Command):
    id, key, label, action = "list.half_up", "ctrl+u", "half a page up", "half_page_up"
    group = "Moving"
    help = "Go half a page up."


class PageDown(Command):
    id, key, label, action = "list.page_down", "pagedown", "page down", "page_down"
    group = "Moving"
    help = "Go a page down."


class PageUp(Command):
    id, key, label, action = "list.page_up", "pageup", "page up", "page_up"
    group = "Moving"
    help = "Go a page up."


class FirstRow(Command):
    id, key, label, action = "list.first", "g,home", "first", "first"
    group = "Moving"
    help = "Go to the first row."


class LastRow(Command):
    id, key, label, action = "list.last", "G,end", "last", "last"
    group = "Moving"
    help = "Go to the last row."


class ChooseRow(Command):
    id, key, label, action = "list.choose", "enter", "open", "choose"
    group, footer, display = "Lists", True, "enter"
    help = "Open the row under the cursor."


class SelectRow(Command):
    id, key, label, action = "list.select", "space", "select", "toggle_selected"
    group, footer = "Lists", True
    help = "Select or deselect the row, and move to the next one."


class SelectRange(Command):
    id, key, label, action = "list.range", "v", "range", "toggle_range"
    group = "Lists"
    help = "Start a range here; move, then press again to select it."


class SelectAll(Command):
    id, key, label, action = "list.all", "asterisk", "all", "select_all"
    group, display = "Lists", "*"
    help = "Select every row of the list."


class ClearSelection(Command):
    id, key, label, action = "list.clear", "escape", "clear selection", "clear_selection"
    group = "Lists"
    help = "Clear the selection."


class FocusFilter(Command):
    id, key, label, action = "list.filter", "slash", "filter", "filter"
    group, footer, display = "Lists", True, "/"
    help = "Type a filter such as type:decision; in Search, a question."
    words = "search find query question"


class PickFilters(Command):
    id, key, label, action = "filter.pick", "f,f8", "filters", "pick_filters"
    group, footer = "Lists", True
    help = "Choose filters (with counts), or a saved filter; F8 works while you type."


class CarryFilters(Command):
    id, key, label, action = "filter.carry", "F", "open these filters in…", "carry_filters"
    group = "Lists"
    help = "Open these filters in Search, Browse or Review."


class SaveFilters(Command):
    id, key, label, action = "filter.save", "ctrl+s", "save filters", "save_filters"
    group = "Lists"
    help = "Save the filters under a name."


class LeaveLine(Command):
    id, key, label, action = "line.leave", "down", "to the list", "leave_line"
    group, footer = "Lists", True
    help = "Go from the input line to the list, where letters are keys."


class EarlierQuery(Command):
    id, key, label, action = "line.history", "up", "earlier question", "earlier_query"
    group = "Lists"
    help = "Take an earlier question into the search line; down goes back to later ones."


class Sort(Command):
    id, key, label, action = "list.sort", "s", "sort", "sort"
    group, footer = "Lists", True
    help = "Choose the order of the list."
    words = "order"


MOTIONS: tuple[type[Command], ...] = (
    RowDown,
    RowUp,
    HalfPageDown,
    HalfPageUp,
    PageDown,
    PageUp,
    FirstRow,
    LastRow,
)
"""Commands that every list binds; ``widgets.row_list.RowList`` does it."""

SELECTING: tuple[type[Command], ...] = (SelectRow, SelectRange, SelectAll, ClearSelection)
"""Further commands of a list with a selection."""

OF_FILTERS: tuple[type[Command], ...] = (CarryFilters, SaveFilters)
"""Commands of a place with a filter line, besides ``FocusFilter`` and ``PickFilters``."""
