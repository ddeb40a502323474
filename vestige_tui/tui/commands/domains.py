"""Commands of the page of domains."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import Close, Refresh, ShowHelp, ShowLegend
from vestige_tui.tui.commands.memories import RedoChange, UndoChange
from vestige_tui.tui.commands.places import PLACES


class ShowDomains(Command):
    id, key, label, action = "domains.show", "D", "domains", "show_domains"
    group, only_now = "Lists", True
    help = "Open the page of domains: their memories, top terms and centroids; rename, merge or delete them."
    words = "topics categories centroid classify"


class AssignDomain(Command):
    id, key, label, action = "domains.assign", "a", "assign", "assign_domain"
    group, footer, writes = "Domains", True, True
    help = "Add the domain to the selected memories near it, or to the one under the cursor; first shows them."
    words = "classify add"


class RenameDomain(Command):
    id, key, label, action = "domains.rename", "r", "rename", "rename_domain"
    group, footer, writes = "Domains", True, True
    help = "Rename the domain on all of its memories; first shows them."


class MergeDomain(Command):
    id, key, label, action = "domains.merge", "m", "merge", "merge_domain"
    group, footer, writes = "Domains", True, True
    help = "Merge the domain and another one, under the name of either or a new one; first shows their memories."


class SetDomain(Command):
    id, key, label, action = "domains.set", "s", "set", "set_domain"
    group, footer, writes = "Domains", True, True
    help = "Set the label of the domain, and compute its centroid and its top terms again."
    words = "label centroid refresh"


class DeleteDomain(Command):
    id, key, label, action = "domains.delete", "d", "delete", "delete_domain"
    group, footer, writes = "Domains", True, True
    help = "Delete the domain; its memories stay, without it. First shows them."
    words = "remove"


class LeaveDomains(Command):
    id, key, label, action = "domains.leave", "escape", "back", "back"
    group, footer, display = "Domains", True, "esc"
    help = "Clear the selection, or close the page of domains."


OF_DOMAINS: tuple[type[Command], ...] = (
    AssignDomain,
    SetDomain,
    RenameDomain,
    MergeDomain,
    DeleteDomain,
    UndoChange,
    RedoChange,
    LeaveDomains,
    *PLACES,
    Refresh,
    Close,
    ShowLegend,
    ShowHelp,
)
"""Commands of the page of domains, besides those of its lists."""
