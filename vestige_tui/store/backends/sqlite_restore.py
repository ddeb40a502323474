"""Restore of a whole SQLite file from a backup, by their paths, and the comparison of the two before it.

The file that becomes the store is prepared beside it and put into its place by one rename, while nothing else has the
store open: whenever the program dies, the store is the old one or the new one.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from vestige_tui.core import file_targets
from vestige_tui.core.backups import EXAMPLE_COUNT, Backup, BackupListener, BackupStep, RestorePlan, TableLoss
from vestige_tui.core.errors import ForeignStore, Refused, SchemaPending, Unavailable
from vestige_tui.core.waits import sessions_in_words
from vestige_tui.process.private_directory import make_private_dir
from vestige_tui.store.backends.open_files import open_files
from vestige_tui.store.backends.sqlite_address import address_of
from vestige_tui.store.backends.sqlite_backup import (
    copy_pages,
    count_rows,
    ignore,
    names_of,
    number_of,
    opened,
    quoted_name,
    refuse_missing,
    refuse_small_disk,
    size_of,
    title_of,
    translated,
    verify,
)
from vestige_tui.store.backends.sqlite_connection import BUSY_MS
from vestige_tui.store.backends.sqlite_errors import is_busy
from vestige_tui.store.backends.sqlite_file import damaged, page_damage, refuse_log_without_file, wal_bytes
from vestige_tui.store.backends.sqlite_wal import is_stale
from vestige_tui.store.schema.named_sql import load
from vestige_tui.store.schema.vestige_files import Kind, survey

CHECK_SECONDS = 60.0
"""Longest check of the pages of a store before a restore compares it."""


def plan_restore(backup: Path, path: Path) -> RestorePlan:
    """Compare a backup with the store that it is to replace; both are only read.

    Raises StoreMissing, ForeignStore, Refused for a backup of another kind of store, or Unavailable if it is damaged.
    """
    if backup.exists() and path.exists() and os.path.samefile(backup, path):
        raise Refused(f"{title_of(backup)} is the store itself; name a backup.")
    kind, rows = backup_contents(backup)
    title = title_of(path)
    if not path.exists():
        refuse_log_without_file(path)
        return RestorePlan(backup, title, rows)
    if not path.is_file():
        raise ForeignStore(f"{title} is not a file; a backup is restored into a file.")
    if damage := _damage(path):
        return RestorePlan(backup, title, rows, damage=damage)
    with translated(path, path), closing(opened(path)) as connection:
        present = survey(connection).kind
        if present not in ("empty", kind):
            raise Refused(_of_another_kind(present, title, backup))
        losses, examples = ((), ()) if present == "empty" else _losses(connection, backup)
    return RestorePlan(backup, title, rows, losses, examples)


def backup_contents(backup: Path) -> tuple[Kind, Mapping[str, int]]:
    """Return the kind and the rows of a backup, whose pages are checked."""
    refuse_missing(backup)
    with translated(backup, backup), closing(opened(backup, idle=True)) as connection:
        kind = survey(connection).kind
        if kind == "foreign":
            raise ForeignStore(f"{title_of(backup)} is a SQLite file, but not a backup of a memory store.")
        if kind == "empty":
            raise SchemaPending(f"{title_of(backup)} contains no memory store; name a backup.")
        [fault] = connection.execute(load("sqlite", "backup")["check_pages"]).fetchone()
        if fault != "ok":
            raise damaged(title_of(backup), " ".join(str(fault).split()))
        return kind, count_rows(connection)


def _of_another_kind(present: Kind, title: str, backup: Path) -> str:
    if present == "foreign":
        return f"{title} is a SQLite file, but not a memory store; it was not touched."
    whose = "of a Vestige server" if present == "vestige" else "of this program"
    return (
        f"{title} is a store {whose}, and {title_of(backup)} is not; nothing was changed. `vestige-tui migrate copy` "
        "copies one into the other."
    )


def _damage(path: Path) -> str:
    """Return why SQLite cannot read a file, as a clause; empty if it can."""
    if is_stale(path):
        return f"{path.name}-wal beside it was written for another file"
    try:
        fault = page_damage(path, CHECK_SECONDS)
    except OSError as error:
        return str(error.strerror)
    return f"it is damaged ({fault})" if fault else ""


def _losses(connection: sqlite3.Connection, backup: Path) -> tuple[tuple[TableLoss, ...], tuple[str, ...]]:
    """Return the rows of each table of a store that a backup lacks or has otherwise, and some of the lost texts."""
    blocks = load("sqlite", "backup")
    connection.execute(blocks["attach_backup"], {"address": address_of(backup, idle=True)})
    kept = set(names_of(connection, blocks["list_tables"], schema="backup"))
    every = [_loss(connection, table, kept) for table in names_of(connection, blocks["list_compared"])]
    losses = tuple(loss for loss in every if loss.missing or loss.changed)
    rows = connection.execute(blocks["list_examples"], {"limit": EXAMPLE_COUNT}).fetchall() if losses else []
    return losses, tuple(str(content) for (content,) in rows)


def _loss(connection: sqlite3.Connection, table: str, kept: set[str]) -> TableLoss:
    blocks, name = load("sqlite", "backup"), quoted_name(table)

    def count(block: str, **parts: str) -> int:
        statement = blocks[block].replace("{table}", name)
        for part, text in parts.items():
            statement = statement.replace(f"{{{part}}}", text)
        return number_of(connection, statement)

    columns, key = _columns(connection, table) if table in kept else ([], [])
    if not columns:
        return TableLoss(table, count("count_table", schema="main"))
    unlike = count("count_unlike", columns=", ".join(map(quoted_name, columns)))
    if not key or not unlike:
        return TableLoss(table, unlike)
    same_key = " AND ".join(f"b.{column} IS s.{column}" for column in map(quoted_name, key))
    missing = count("count_missing", same_key=same_key)
    return TableLoss(table, missing, max(0, unlike - missing))


def _columns(connection: sqlite3.Connection, table: str) -> tuple[list[str], list[str]]:
    """Return the columns that a table has in store and backup, and those of them that identify a row; none if no such.

    A number of its own that a row gets when it is written identifies none: the row keeps its other unique columns.
    """
    blocks = load("sqlite", "backup")
    listed = connection.execute(blocks["list_columns"], {"table": table, "schema": "main"}).fetchall()
    common = set(names_of(connection, blocks["list_columns"], table=table, schema="backup"))
    columns = [str(name) for name, _ in listed if name in common]
    key = [str(name) for name, place in sorted(listed, key=lambda each: int(each[1])) if place]
    if key == ["seq"]:
        unique = connection.execute(blocks["list_unique"], {"table": table}).fetchall()
        key = [str(column) for index, column in unique if index == unique[0][0]]
        columns = [column for column in columns if column != "seq"]
    return columns, key if set(key) <= common else []


# Restore


def restore_file(backup: Path, path: Path, tell: BackupListener = ignore) -> Backup:
    """Put a backup into the place of a store, by one rename; a file that SQLite cannot read is kept beside it.

    Raises Refused while another process has the file open, DiskFull, or Unavailable; the store is as before then.
    """
    refuse_open_elsewhere(path)
    make_private_dir(path.parent)
    draft = path.with_name(f".{path.name}.restored")
    with translated(path, path):
        _discard(draft)
        try:
            rows = _prepare(backup, path, draft, tell)
            size = draft.stat().st_size
            tell(BackupStep("replacing", 0))
            with _set_aside(path, tell) if path.exists() and _damage(path) else _alone(path):
                tell(BackupStep("replacing", 0))
                os.rename(draft, path)
            tell(BackupStep("replacing", 0))
            _sync_folder(path.parent)
        finally:
            _discard(draft)
    return Backup(backup, size, rows)


def refuse_open_elsewhere(path: Path) -> None:
    """Raise Refused while another process has a file open, with its name where the system tells it."""
    others = [session for session in open_files(str(path)) if not session.mine]
    if others:
        names = sessions_in_words(others, datetime.now(UTC))
        raise Refused(f"{title_of(path)} is open in {names}; end it first. Nothing was changed.")


def _prepare(backup: Path, path: Path, draft: Path, tell: BackupListener) -> Mapping[str, int]:
    """Copy a backup to the file that becomes the store, with the permissions of that; return the rows."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(opened(backup, idle=True)) as connection:
        connection.execute("BEGIN")
        rows = count_rows(connection)
        refuse_small_disk(draft, size_of(connection), title_of(path))
        copy_pages(connection, draft, tell)
    verify(draft, rows, backup)
    with suppress(PermissionError):
        draft.chmod(mode)
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return rows


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a file against every other connection, with an empty write-ahead log; nothing for a missing file.

    In a log that stays, SQLite would find pages of the old file for the new one. Raises Refused if a connection of
    another process, or of this one, has the file open.
    """
    if not path.exists():
        yield
        return
    address = f"file:{quote(bytes(path))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)) as connection:
        try:
            # Other connections hold a shared lock on a file with a write-ahead log for as long as they are open.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                refuse_open_elsewhere(path)
                raise Refused(f"{title_of(path)} is open in another process; end it first.") from error
            raise
        if wal_bytes(path):
            raise Unavailable(f"The write-ahead log of {title_of(path)} could not be emptied; nothing was changed.")
        yield


@contextmanager
def _set_aside(path: Path, tell: BackupListener) -> Iterator[None]:
    """Keep a file that SQLite cannot read, and its side files, under another name: their contents can still be saved.

    The file keeps its own name as well until it is replaced. Its side files lose theirs, because SQLite would apply a
    log to the file that replaces it.
    """
    suffix = _free_suffix(path)
    for side in (*file_targets.SIDES, ""):
        with suppress(FileNotFoundError):
            _keep(f"{path}{side}", f"{path}{suffix}{side}")
            tell(BackupStep("replacing", 0))
    for side in file_targets.SIDES:
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{side}")
    yield


def _free_suffix(path: Path) -> str:
    """Return a suffix with the time, under which neither the file nor a side file has been kept yet."""
    start = f".before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    numbered = itertools.chain((start,), (f"{start}-{number}" for number in itertools.count(2)))
    sides = ("", *file_targets.SIDES)
    return next(suffix for suffix in numbered if not any(os.path.lexists(f"{path}{suffix}{side}") for side in sides))


def _keep(path: str, other: str) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(path, other)
    except FileNotFoundError:
        raise
    except OSError:
        # For its owner alone from the start, whatever the mask.
        descriptor = os.open(other, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(path, "rb") as source, os.fdopen(descriptor, "wb") as target:
            shutil.copyfileobj(source, target)
        shutil.copystat(path, other)


def _discard(draft: Path) -> None:
    for side in ("", *file_targets.SIDES):
        with suppress(OSError):
            os.unlink(f"{draft}{side}")


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
