"""File of a SQLite store: whether it is still the one that was opened, and whether its pages are whole.

SQLite writes through an open descriptor, also after another file has taken the name; the write-ahead log is found by
the name. Pages of one file would then be written beside, and later into, another one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from vestige_tui.core.errors import Busy, Cancelled, Refused, StoreReplaced, TablesChanged, Unavailable, VestigeError
from vestige_tui.core.health import SQLITE_RECOVERY
from vestige_tui.core.log import log_suppressed, suppressed
from vestige_tui.core.text import below_home
from vestige_tui.store.backends.sqlite_errors import lacks_column_or_table, translate
from vestige_tui.store.schema.named_sql import compose

if TYPE_CHECKING:
    from vestige_tui.core.file_targets import Identity

log = logging.getLogger(__name__)

VERIFY_SECONDS = 0.25
"""Longest check of the pages before a write; a larger file is checked as far as the time allows."""
PAUSE_FACTOR = 20
"""A slow check is not repeated within so many times the time that it took, although other programs change the file."""
QUICK_SECONDS = 0.02
"""Longest check, in processor time, that is repeated each time."""
LOOK_SECONDS = 5.0
"""Shortest time between two checks of the pages while changes are waited for."""
_BUSY_SECONDS = 1.0
_MIN_PAGE_BYTES = 512
_OWNER_ATTRIBUTE = "user.vestige-tui.file"
"""Extended attribute of a write-ahead log: device and inode of the log, and of the file that it is written for."""
_DAMAGE_HEADING = "*** in database main ***"
"""Line of SQLite before the faults of pages."""


class OpenedFile:
    """File that a store or a source has open. Once another file stands in its place, ``fault`` says so for good."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = below_home(str(path))
        """Name of the file as it is shown."""
        self._identity: Identity | None = None
        self._verified_ns: int | None = None
        """Modification time of the content that was verified or written last; None before."""
        self._damage = ""
        self.is_suspect = False
        """Another program has changed the file since the last write: by a checkpoint, or by another content."""
        self._seen_bytes = 0
        self._is_signed = False
        self._look_again_at = 0.0
        self._check_again_at = 0.0
        self._is_postponed = False
        """The pages are not checked since another program changed the file; only its content is compared."""
        self.is_of_server = False
        """A Vestige server made it, and may change its tables."""
        self.event = ""
        """Clause on the fate of the file; empty while it is the one that was opened."""
        self.fault = ""
        """The same with its remedy: why nothing is written any more."""

    def note_opened(self) -> None:
        """Remember which file was opened. Raises Refused for an empty file beside a write-ahead log."""
        status = os.stat(self.path)
        if not status.st_size:
            refuse_log_without_file(self.path)
        self._identity = status.st_dev, status.st_ino
        self._seen_bytes = status.st_size

    def refuse_replaced(self) -> None:
        """Raise StoreReplaced if the name no longer leads to the file that was opened."""
        if self.replaced():
            raise StoreReplaced(f"{self.title} is open read-only: {self.fault}.")

    def replaced(self) -> bool:
        """Check whether the name no longer leads to the file that was opened."""
        if not self.event and self._identity is not None:
            self._look(self._identity)
        return bool(self.event)

    def _look(self, identity: Identity) -> None:
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            self._lose("its file was removed or renamed while it was open", "put it back beside its -wal")
            return
        except OSError as error:
            log_suppressed(log, "check the file of the store", error)
            return
        if (status.st_dev, status.st_ino) != identity:
            self._lose("its file was replaced by another file while it was open", self._move_sides())
        # A checkpoint on a full disk may add a part of a page, but only grows the file.
        elif status.st_size < self._seen_bytes and (not status.st_size or status.st_size % _MIN_PAGE_BYTES):
            self._lose("its file was truncated while it was open", self._move_sides())
        self._seen_bytes = status.st_size

    def _move_sides(self) -> str:
        if not wal_bytes(self.path):
            return ""
        name = self.path.name
        return f"move {name}-wal and {name}-shm away"

    def _lose(self, event: str, remedy: str) -> None:
        steps = f"quit, {remedy}, and open it again" if remedy else "quit and open it again"
        self.event, self.fault = event, f"{event}; {steps}"
        log.warning("The store was replaced: %s", event)

    def error_of(self, error: sqlite3.Error) -> VestigeError:
        """Return the VestigeError for an error of SQLite: StoreReplaced where the file is no longer the one opened."""
        translated = translate(error, self.title, self.path)
        if isinstance(translated, Busy | Cancelled) or not self.replaced():
            return self.tables_changed() if self.is_of_server and lacks_column_or_table(error) else translated
        return StoreReplaced(f"{self.title} is open read-only: {self.fault}.")

    def tables_changed(self) -> TablesChanged:
        """Return the error for a file of which the tables are no longer those that were there when it was opened."""
        return TablesChanged(f"The tables of {self.title} have changed since it was opened; try again.")

    async def verify(self) -> None:
        """Refuse a write into another file or into damaged pages. Raises StoreReplaced or Unavailable.

        The pages are checked before the first write, and again after another program has changed the file: of a large
        file not each time, as a server that writes all the while checkpoints often.
        """
        self.refuse_replaced()
        if self._modified_ns() != self._verified_ns:
            if time.monotonic() >= self._check_again_at:
                await asyncio.to_thread(self._verify_pages)
            else:
                self.is_suspect = self._is_postponed = True
        self.refuse_replaced()
        if self._damage:
            raise damaged(self.title, self._damage)

    async def watch(self, *, pages: bool) -> None:
        """Look whether the file is still the one that was opened; with ``pages`` also at its content.

        That is read at most every LOOK_SECONDS. Raises StoreReplaced.
        """
        self.refuse_replaced()
        if not pages:
            return
        if self._modified_ns() != self._verified_ns and time.monotonic() >= self._look_again_at:
            self._look_again_at = time.monotonic() + LOOK_SECONDS
            await asyncio.to_thread(self._verify_pages)
            self.refuse_replaced()

    def _verify_pages(self) -> None:
        before, modified_ns = self._verified_ns, self._modified_ns()
        began, busy = time.monotonic(), time.thread_time()
        self._damage = page_damage(self.path, VERIFY_SECONDS) or ""
        pause = (time.monotonic() - began) * PAUSE_FACTOR if time.thread_time() - busy > QUICK_SECONDS else 0.0
        self._check_again_at = began + pause
        self._is_postponed = False
        self._verified_ns = None if self._damage else modified_ns
        self.is_suspect = before is not None
        if self._damage and before is not None:
            self._lose("its file was overwritten or damaged while it was open", self._move_sides())

    def compare(self, writer: sqlite3.Connection) -> None:
        """Refuse a write of a connection that has read another content than the file has now. Raises StoreReplaced.

        ``writer`` holds the lock for writing, so that no other program commits meanwhile.
        """
        self.refuse_replaced()
        if self.is_suspect:
            with closing(sqlite3.connect(_address(self.path, "mode=ro"), uri=True)) as reader:
                if _signature(reader) != _signature(writer):
                    self._lose("its file was overwritten while it was open", self._move_sides())
            self.is_suspect = False
            self.refuse_replaced()

    def note_written(self) -> None:
        """Take the file as it is after a write of this store, which may have changed it by a checkpoint."""
        if not self.event and not self._damage:
            if not self._is_postponed:
                self._verified_ns = self._modified_ns()
            if not self._is_signed and self._identity is not None:
                self._is_signed = True
                sign_log(self.path, self._identity)

    def _modified_ns(self) -> int | None:
        try:
            return os.stat(self.path).st_mtime_ns
        except OSError as error:
            log_suppressed(log, "check the file of the store", error)
            return None

    def may_checkpoint(self) -> bool:
        """Check whether the write-ahead log may be written into the file; blocks for VERIFY_SECONDS at most."""
        if (
            not self.replaced()
            and not self._damage
            and wal_bytes(self.path)
            and self._modified_ns() != self._verified_ns
        ):
            self._verify_pages()
        return not self.event and not self._damage


def _signature(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Return figures of a content that a write changes; none if SQLite cannot read them."""
    figures: list[tuple[object, ...]] = []
    with closing(connection.cursor()) as cursor, suppressed(log, "compare the content of the file", sqlite3.Error):
        cursor.row_factory = None
        figures += cursor.execute(compose("sqlite", "read_signature"))
    return figures


def sign_log(path: Path, identity: Identity) -> None:
    """Note on a write-ahead log for which file it is written, where the file system keeps such notes."""
    if sys.platform != "linux":
        return
    wal = f"{path}-wal"
    with suppress(OSError):
        os.setxattr(wal, _OWNER_ATTRIBUTE, repr((_identity_of(wal), identity)).encode())


def is_signed_for_another(path: Path) -> bool:
    """Check whether the write-ahead log beside a file bears the note that it was written for another file."""
    if sys.platform != "linux":
        return False
    wal = f"{path}-wal"
    try:
        note = os.getxattr(wal, _OWNER_ATTRIBUTE)
        # A copy of the log has the note of the original.
        prefix = f"({_identity_of(wal)!r}, ".encode()
        return note.startswith(prefix) and note != repr((_identity_of(wal), _identity_of(path))).encode()
    except OSError:
        return False


def _identity_of(path: str | Path) -> Identity:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def refuse_log_without_file(path: Path) -> None:
    """Raise Refused for the write-ahead log of a file that is missing or empty: SQLite would delete it."""
    if wal_bytes(path):
        title = below_home(str(path))
        raise Refused(
            f"{title} is missing or empty, and {path.name}-wal beside it holds changes of an earlier file; put that "
            f"file back, or move {path.name}-wal away."
        )


def damaged(title: str, fault: str) -> Unavailable:
    """Return the error for a write into damaged pages, which was not begun."""
    return Unavailable(
        f"{title} is damaged ({fault}), so nothing was written; open a backup, or recover it with the sqlite3 tool: "
        f"{SQLITE_RECOVERY}."
    )


def wal_bytes(path: Path) -> int:
    """Return the size of the write-ahead log beside a file; 0 where there is none."""
    try:
        return os.stat(f"{path}-wal").st_size
    except OSError:
        return 0


def page_damage(path: Path, seconds: float, mode: str = "mode=ro") -> str | None:
    """Return the first damage that SQLite finds in the pages of a file; empty if none, None if the time ran out."""
    result = check(path, "quick_check", seconds, mode)
    if result is None:
        return None
    # Rows that break a constraint are listed without this heading: the pages are whole.
    heading, _, fault = result.partition("\n")
    return " ".join(fault.split()) if heading == _DAMAGE_HEADING else ""


def _address(path: Path, mode: str) -> str:
    return f"file:{quote(bytes(path))}?{mode}"


def check(
    path: Path, pragma: Literal["quick_check", "integrity_check"], seconds: float, mode: str = "mode=ro"
) -> str | None:
    """Return the first line of a check of a file, "ok" if it finds nothing; None if the time ran out.

    Opens a connection of its own, and blocks.
    """
    try:
        with closing(
            sqlite3.connect(_address(path, mode), uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
        ) as connection:
            timer = threading.Timer(seconds, connection.interrupt)
            timer.start()
            try:
                return str(connection.execute(f"PRAGMA {pragma}(1)").fetchone()[0])
            finally:
                # Joined, as it must not interrupt a connection that is closed.
                timer.cancel()
                timer.join()
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return f"{_DAMAGE_HEADING}\n{error}"
        log_suppressed(log, "check the pages of the file", error)
        return None
