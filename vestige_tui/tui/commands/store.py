"""Commands of the place Store."""

from __future__ import annotations

from vestige_tui.tui.commands.command import Command


class Vacuum(Command):
    id, key, label, action = "store.vacuum", "v", "vacuum", "vacuum"
    group, footer = "Store", True
    help = "Free unused disk space (VACUUM)."
    words = "compact shrink"
    writes = True


class BackUp(Command):
    id, key, label, action = "store.back_up", "b", "back up", "back_up"
    group, footer = "Store", True
    help = "Write a backup of the whole store into a file."
    words = "backup save copy dump"


class RestoreBackup(Command):
    id, key, label, action = "store.restore", "B", "restore…", "restore_backup"
    group = "Store"
    help = "Make the store equal to a backup; what it would lose is listed first."
    words = "backup recover roll back load"
    writes = True
