"""Commands of the place Store."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command


class Vacuum(Command):
    id, key, label, action = "store.vacuum", "v", "vacuum", "vacuum"
    group, footer = "Store", True
    help = "Free unused disk space (VACUUM)."
    words = "compact shrink"
    writes = True
