"""Backup and restore in the console: place of the file, losses, and progress in the status line."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vestige_tui.core.backups import Backup, BackupListener, BackupStep, RestorePlan
from vestige_tui.core.errors import Usage
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import below_home, bytes_size
from vestige_tui.presenters import backups as words
from vestige_tui.transfer import backups
from vestige_tui.tui.command_screen import NOT_OPEN
from vestige_tui.tui.dialogs.asking import ask_and_use
from vestige_tui.tui.dialogs.loss import ConfirmLoss
from vestige_tui.tui.dialogs.modals import Ask

if TYPE_CHECKING:
    from textual.app import App

    from vestige_tui.core.memories import Change
    from vestige_tui.store.store import Store
    from vestige_tui.tui.notice import Severity
    from vestige_tui.tui.place import Place
    from vestige_tui.tui.store_session import StoreSession

RESTORE_NOTE = "A file that `backup` has written. What the store would lose is listed before anything changes."


def _open_store(place: Place) -> Store:
    if place.store is None:
        raise Usage(NOT_OPEN)
    return place.store


class BackingScreen(Protocol):
    """Screen as a backup uses it: its store, and a line for the progress."""

    @property
    def app(self) -> App[Any]: ...

    @property
    def store_session(self) -> StoreSession: ...

    @property
    def is_mounted(self) -> bool: ...

    def say(self, text: str, change: Change | None = None, severity: Severity = "done") -> object: ...


def told(place: BackingScreen, stop: str = "") -> BackupListener:
    """Return a receiver that shows the progress in the status line, from any thread."""
    loop = asyncio.get_running_loop()

    def show(step: BackupStep) -> None:
        if place.is_mounted:
            sentence = words.step_in_words(step)
            place.say(f"{sentence[:1].upper()}{sentence[1:]}{stop}", severity="quiet")

    def tell(step: BackupStep) -> None:
        loop.call_soon_threadsafe(show, step)

    return tell


async def suggested_path(place: BackingScreen) -> Path:
    """Return the path of a new backup in the state directory."""
    return await asyncio.to_thread(backups.suggested_path, place.store_session.url, datetime.now(UTC))


async def ask_and_back_up(place: Place, stop: str) -> Backup | None:
    """Ask for a file and write a backup of the open store into it; None if the user cancels.

    ``stop`` says how the user stops it.
    """
    store, suggested = _open_store(place), await suggested_path(place)
    note = await _room(store, suggested)

    def ask(line: str, fault: str) -> Ask:
        value = line or below_home(str(suggested))
        return Ask(f"Back up {store.title} to", value=value, fault=fault, note=note, verb="write")

    async def write(line: str) -> Backup:
        return await written(place, line.strip(), stop)

    return await ask_and_use(place, ask, write)


async def _room(store: Store, path: Path) -> str:
    """Return the size of the store and the room on the disk of a path, as a sentence."""
    size = (await store.maintenance.stats()).size_bytes
    free = (await asyncio.to_thread(shutil.disk_usage, path.parent)).free
    needs = f"The store has {bytes_size(size)}; " if size is not None else ""
    return f"{needs}{bytes_size(free)} are free here. An existing file is not replaced."


async def written(place: BackingScreen, path: str | Path, stop: str = "") -> Backup:
    """Write a backup of the open store, with its progress in the status line."""
    try:
        return await backups.back_up(place.store_session.url, path, told(place, stop))
    except BaseException:
        if place.is_mounted:
            place.say("")
        raise


async def confirmed_with_backup(place: BackingScreen, question: ConfirmLoss) -> bool:
    """Ask before a loss; write a backup first if the user wants one. Return whether to go on."""
    if not await place.app.push_screen_wait(question):
        return False
    if question.wants_backup:
        backup = await written(place, await suggested_path(place))
        place.say(words.backup_sentences(backup)[0], severity="quiet")
    return True


async def ask_for_restore(place: Place) -> RestorePlan | None:
    """Ask for a backup and for consent to the losses of its restore; None if the user cancels."""
    store, url = _open_store(place), place.store_session.url
    newest = await asyncio.to_thread(_newest, await suggested_path(place))

    def ask(line: str, fault: str) -> Ask:
        title = f"Restore {store.title} from"
        return Ask(title, value=line or newest, fault=fault, placeholder="backup file", note=RESTORE_NOTE, verb="next")

    async def plan(line: str) -> RestorePlan:
        place.say("Comparing the backup with the store…", severity="quiet")
        try:
            return await backups.plan_restore(user_path(line.strip()), url)
        finally:
            place.say("")

    restore = await ask_and_use(place, ask, plan)
    if restore is None:
        return None
    rows = words.loss_rows(restore) or [f"{restore.title} has nothing that the backup lacks."]
    notes = words.restore_lines(restore)[: 2 if restore.damage else 1]
    question = ConfirmLoss(f"Restore {store.title}?", rows, verb="restore", notes=notes)
    return restore if await confirmed_with_backup(place, question) else None


def _newest(suggested: Path) -> str:
    """Return the newest backup in the folder of a suggested path; empty if there is none."""
    files = [path for path in suggested.parent.glob("*.backup.db") if path.is_file()]
    return below_home(str(max(files, key=lambda path: path.stat().st_mtime))) if files else ""


async def restored(place: Place, plan: RestorePlan) -> str:
    """Restore a backup into the store of the console, which is closed if it is a file; return the result."""
    done = await backups.restore(plan.backup, place.store_session.url, told(place))
    return words.restored_sentence(done, plan.title)
