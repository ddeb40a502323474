"""Commands of the page of users, and the key that opens it."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.places import PLACES


class ShowUsers(Command):
    id, key, label, action = "users.show", "W", "users", "show_users"
    group, only_now = "Lists", True
    help = "Open the list of users: their groups, and the number of their memories by visibility."
    words = "owners people groups visibility"


class ViewAs(Command):
    id, key, label, action = "users.view_as", "a", "view as", "view_as"
    group, footer = "Users", True
    help = "Show what the user under the cursor may see; the store is read-only then."
    words = "viewer"


class ViewAll(Command):
    id, key, label, action = "users.view_all", "A", "view as everybody", "view_all"
    group = "Users"
    help = "Show the memories of all users again."


class LeaveUsers(Command):
    id, key, label, action = "users.leave", "escape", "back", "back"
    group, footer, display = "Users", True, "esc"
    help = "Close the list of users."


OF_THE_USERS: tuple[type[Command], ...] = (
    ViewAs,
    ViewAll,
    LeaveUsers,
    *PLACES,
    Refresh,
    Close,
    ShowLegend,
    ShowHelp,
)
"""Commands of the page of users, besides those of its list."""
