"""Backups of stores of every kind, by URL: one SQLite file, which is a store of its own, and its restore.

A SQLite store is copied page by page, a store on a server row by row (``server_backup``). ``back_up`` serves every
command that offers a backup before it deletes something.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from vestige_tui.config.directories import make_private_dir, state_dir
from vestige_tui.core.backups import Backup, BackupListener, BackupStep, RestorePlan, backup_name
from vestige_tui.core.errors import Cancelled
from vestige_tui.core.paths import user_path

SERVER_SCHEMES = ("postgresql", "postgres", "pgembed")
T = TypeVar("T")


def ignore(step: BackupStep) -> None:
    """Receive the progress of a backup without showing it."""


def is_server(url: str) -> bool:
    """Check whether a URL names a store on a server, whose backup is made row by row."""
    return url.partition(":")[0] in SERVER_SCHEMES


def file_of(url: str) -> Path:
    """Return the file of the URL of a SQLite store."""
    from vestige_tui.transfer.sqlite_source import sqlite_path

    return sqlite_path(url)


def suggested_path(url: str, now: datetime) -> Path:
    """Return the path of a new backup in the state directory; the directory is created, private to its owner."""
    name = "server" if is_server(url) else file_of(url).name
    folder = state_dir() / "backups"
    make_private_dir(folder)
    # Two backups within one second would have one name.
    while (path := folder / backup_name(name, now)).exists():
        now += timedelta(seconds=1)
    return path


async def back_up(url: str, target: str | Path, tell: BackupListener = ignore) -> Backup:
    """Write a backup of the store at a URL, which may hold a password, into a new file; the store is only read.

    The file appears under its name only when it is whole and compared. Raises Refused if the file exists, DiskFull,
    StoreMissing, ForeignStore, SchemaPending or Unavailable; then no file is left.
    """
    path = user_path(str(target)).absolute()
    if is_server(url):
        from vestige_tui.transfer.server_backup import back_up_server

        return await back_up_server(url, path, tell)
    from vestige_tui.store.backends.sqlite_backup import back_up_file

    return await _in_thread(lambda heard: back_up_file(file_of(url), path, heard), tell)


async def plan_restore(backup: str | Path, url: str) -> RestorePlan:
    """Return the losses of the store at a URL if a backup was restored into it; neither is changed.

    Raises StoreMissing, ForeignStore, Refused for a backup of another kind of store, or Unavailable if it is damaged.
    """
    path = user_path(str(backup)).absolute()
    if is_server(url):
        from vestige_tui.transfer.server_restore_plan import plan_server_restore

        return await plan_server_restore(path, url)
    from vestige_tui.store.backends.sqlite_restore import plan_restore as plan

    return await asyncio.to_thread(plan, path, file_of(url))


async def restore(backup: str | Path, url: str, tell: BackupListener = ignore) -> Backup:
    """Make the store at a URL equal to a backup of it. Ask for consent before, with ``plan_restore``.

    All or nothing: whenever the program ends, the store is the old one or that of the backup. Raises Refused for a
    SQLite file that another process has open, Busy, DiskFull or Unavailable.
    """
    path = user_path(str(backup)).absolute()
    if is_server(url):
        from vestige_tui.transfer.server_restore import restore_server

        return await restore_server(path, url, tell)
    from vestige_tui.store.backends.sqlite_restore import restore_file

    return await _in_thread(lambda heard: restore_file(path, file_of(url), heard), tell)


async def _in_thread(work: Callable[[BackupListener], T], tell: BackupListener) -> T:
    """Run work in a thread. Cancelled, it is ended at its next step, before its files are left to it."""
    is_stopped = threading.Event()

    def heard(step: BackupStep) -> None:
        if is_stopped.is_set():
            raise Cancelled
        tell(step)

    task = asyncio.create_task(asyncio.to_thread(work, heard))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        is_stopped.set()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
