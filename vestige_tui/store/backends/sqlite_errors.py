"""Errors of SQLite in the words of the store. Imports no driver but the standard library's."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from vestige_tui.core.errors import (
    Busy,
    Cancelled,
    Conflict,
    DiskFull,
    ForeignStore,
    NotFound,
    ReadOnly,
    Refused,
    Unavailable,
    Unreachable,
    VestigeError,
)
from vestige_tui.core.health import SQLITE_RECOVERY
from vestige_tui.core.waits import sessions_in_words
from vestige_tui.store.backends.open_files import lock_holders


def is_busy(outcome: object) -> bool:
    if not isinstance(outcome, sqlite3.Error):
        return False
    name = getattr(outcome, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in str(outcome)


def is_full(error: object) -> bool:
    # A limit on the size of files gives SQLITE_IOERR_WRITE, a full disk either.
    name = getattr(error, "sqlite_errorname", "") if isinstance(error, sqlite3.Error) else ""
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE"))


def lacks_column_or_table(error: sqlite3.Error) -> bool:
    """Check whether a statement names a column or a table that is not there."""
    text = str(error)
    return isinstance(error, sqlite3.OperationalError) and any(
        words in text for words in ("no such column", "no such table", "has no column named", "schema has changed")
    )


def translate(error: sqlite3.Error, title: str, path: Path) -> VestigeError:
    """Return the VestigeError for an error of SQLite; of a locked file with the process that holds it."""
    text = str(error)
    name = getattr(error, "sqlite_errorname", "") or ""
    if is_busy(error):
        holders = sessions_in_words(lock_holders(str(path)), datetime.now(UTC)) or "another process"
        return Busy(f"{title} is locked by {holders}; nothing was changed. Try again.")
    if name.startswith("SQLITE_INTERRUPT") or text == "interrupted":
        return Cancelled("The query was cancelled.")
    if name.startswith("SQLITE_READONLY"):
        return ReadOnly(f"{title} cannot be written.")
    if name.startswith("SQLITE_NOTADB"):
        return ForeignStore(f"{title} is encrypted or not a SQLite file; it was not touched.")
    if name.startswith("SQLITE_CORRUPT") or "malformed" in text:
        return Unavailable(
            f"{title} is damaged ({text}); open a backup, or recover it with the sqlite3 tool: {SQLITE_RECOVERY}."
        )
    if name.startswith("SQLITE_FULL"):
        return DiskFull(
            f"The disk of {title} is full; nothing was changed. Free some space and try again.",
            disk=f"the disk of {title}",
        )
    if is_full(error):
        return DiskFull(
            f"{title} cannot grow ({text}): its disk is full or failing; nothing was changed.",
            disk=f"the disk of {title}",
        )
    if name.startswith("SQLITE_CANTOPEN"):
        return Unreachable(f"{title} cannot be opened.")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return NotFound("This change refers to a memory, user or job that does not exist; it was not made.")
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return Conflict(f"The store refused this: {text}.")
    if "no such table" in text:
        return Refused(f"{title} has no memory tables yet; run `vestige-tui schema up`.")
    if "because it is a view" in text:
        # A view stands before a file of a Vestige server whose own tables have no place for this.
        return Refused(f"The tables of this Vestige server in {title} have no place for this; nothing was changed.")
    return VestigeError(f"SQLite failed: {text}.")
