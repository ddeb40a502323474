"""Backup of a whole SQLite file, by its path, with a connection of its own in the calling thread.

It is copied by SQLite's backup API from one read transaction, so that it is of one moment however busily another
process writes. It is written beside its name and appears there only when it is whole.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from vestige_tui.core import file_targets, files
from vestige_tui.core.backups import Backup, BackupListener, BackupStep
from vestige_tui.core.errors import DiskFull, ForeignStore, Refused, StoreMissing, Unavailable
from vestige_tui.core.text import below_home, bytes_size
from vestige_tui.store.backends.sqlite_address import address_of
from vestige_tui.store.backends.sqlite_connection import BUSY_MS, open_for_look
from vestige_tui.store.backends.sqlite_errors import is_full, translate
from vestige_tui.store.backends.sqlite_file import damaged
from vestige_tui.store.backends.sqlite_wal import is_stale
from vestige_tui.store.schema.named_sql import load
from vestige_tui.store.schema.vestige_files import survey

PAGES_PER_STEP = 2_048
"""Pages between two reports of the progress."""


def ignore(step: BackupStep) -> None:
    """Receive the progress of a backup without showing it."""


def back_up_file(path: Path, target: Path, tell: BackupListener = ignore) -> Backup:
    """Copy a file into a new one; other processes may write to it meanwhile.

    Raises Refused if the target exists, DiskFull, or Unavailable for a damaged file; nothing is left behind then.
    """
    refuse_missing(path)
    if is_stale(path):
        raise Refused(f"{path.name}-wal beside {title_of(path)} was written for another file; move it away first.")
    document = examined(target)
    with translated(path, target), closing(opened(path)) as connection:
        if survey(connection).kind == "foreign":
            raise ForeignStore(f"{title_of(path)} is a SQLite file, but not a memory store; it was not touched.")
        return back_up_connection(connection, document, tell)


def examined(target: Path) -> file_targets.FileTarget:
    """Examine the name of a new backup. Raises Refused if it exists, Unavailable if it cannot be written."""
    document = file_targets.examine_document(target)
    if document.occupied:
        raise Refused(f"{title_of(target)} already exists; name another file.")
    return document


def back_up_connection(
    connection: sqlite3.Connection, document: file_targets.FileTarget, tell: BackupListener = ignore
) -> Backup:
    """Copy the file of an idle connection into a new one, as of this moment, and compare the two."""
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    connection.execute("BEGIN")
    try:
        rows = count_rows(connection)
        refuse_small_disk(document.path, size_of(connection), document.name)
        with files.drafted(document) as draft:
            copy_pages(connection, draft, tell)
            verify(draft, rows, path)
            size = draft.stat().st_size
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return Backup(document.path, size, rows)


def refuse_small_disk(target: Path, needed: int, name: str) -> None:
    """Raise DiskFull if a disk has not enough room for a file, before anything is written to it."""
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise DiskFull(
            f"{name} needs {bytes_size(needed)}, and its disk has {bytes_size(free)} left; nothing was written. Free "
            "some space or name another disk.",
            disk=f"the disk of {name}",
        )


def copy_pages(connection: sqlite3.Connection, draft: Path, tell: BackupListener) -> None:
    """Copy all pages of a file into an empty one that is not a store yet."""

    def progress(status: int, remaining: int, total: int) -> None:
        tell(BackupStep("copying", total - remaining, total))

    with closing(sqlite3.connect(draft)) as copy:
        # Until it has its name, nothing of the copy must survive a crash.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        connection.backup(copy, pages=PAGES_PER_STEP, progress=progress, sleep=0)


def verify(draft: Path, rows: Mapping[str, int], path: Path) -> None:
    """Check the pages of a copy and compare its rows with those of the original. Raises Unavailable."""
    with closing(open_for_look(draft, immutable=True)) as copy:
        [fault] = copy.execute(load("sqlite", "backup")["check_pages"]).fetchone()
        if fault != "ok":
            raise damaged(title_of(path), " ".join(str(fault).split()))
        if count_rows(copy) != rows:
            raise Unavailable(f"The copy of {title_of(path)} has other rows than the file; it was deleted.")


def count_rows(connection: sqlite3.Connection, schema: str = "main") -> dict[str, int]:
    """Return the number of rows of each table."""
    blocks = load("sqlite", "backup")
    statement = blocks["count_table"].replace("{schema}", schema)
    tables = names_of(connection, blocks["list_tables"], schema=schema)
    return {table: number_of(connection, statement.replace("{table}", quoted_name(table))) for table in tables}


# SQLite


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def opened(path: Path, *, idle: bool = False) -> sqlite3.Connection:
    """Open a file for reading; text that is not UTF-8 is read with replacements."""
    address = address_of(path, idle=idle)
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def refuse_missing(path: Path) -> None:
    if not path.exists():
        raise StoreMissing(f"There is no file {title_of(path)}; check the path.")
    if not path.is_file():
        raise ForeignStore(f"{title_of(path)} is not a file.")


def size_of(connection: sqlite3.Connection) -> int:
    pages, page_bytes = number_of(connection, "PRAGMA page_count"), number_of(connection, "PRAGMA page_size")
    return pages * page_bytes


def names_of(connection: sqlite3.Connection, statement: str, **params: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(statement, params).fetchall()]


def number_of(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])


def title_of(path: Path) -> str:
    return below_home(str(path))


@contextmanager
def translated(path: Path, target: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the system into those of the store; a full disk is that of ``target``."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, title_of(target if is_full(error) else path), path) from error
    except OSError as error:
        raise file_targets.write_error(title_of(target), error) from error
