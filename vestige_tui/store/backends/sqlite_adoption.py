"""Adoption of the file of a Vestige server, by its path, with a connection of its own in the calling thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from vestige_tui.core.errors import Refused, StoreMissing
from vestige_tui.core.text import below_home
from vestige_tui.store.backends.sqlite_connection import BUSY_MS, open_for_look
from vestige_tui.store.backends.sqlite_errors import translate
from vestige_tui.store.backends.sqlite_file import damaged
from vestige_tui.store.backends.sqlite_wal import is_stale
from vestige_tui.store.schema import adoption
from vestige_tui.store.schema.adoption import Adoption, AdoptionPlan, WithdrawalPlan


def backup_path(path: Path, now: datetime) -> Path:
    """Return the path beside a file at which its adoption keeps a backup."""
    # To the microsecond: two processes may adopt a file in the same second.
    return path.with_name(f"{path.name}.before-adoption-{now:%Y%m%d-%H%M%S-%f}")


def adoption_plan(path: Path) -> AdoptionPlan:
    """Return the additions of an adoption; the file is only read. Raises Refused, StoreMissing or Unavailable."""
    with _translated(path), closing(open_for_look(_existing(path), immutable=False)) as connection:
        return adoption.plan_adoption(connection)


def adopt_file(path: Path, now: datetime) -> Adoption:
    """Write a backup beside a file, then add the console's columns and tables, in one transaction.

    Raises Refused or Unavailable; nothing is added then. Raises Busy while another process writes for too long.
    """
    backup = backup_path(path, now)
    with _writing(path) as connection:
        return adoption.adopt(connection, backup, now.isoformat(timespec="microseconds"))


def withdrawal_plan(path: Path) -> WithdrawalPlan:
    """Return the plan of undoing an adoption; the file is only read. Raises Refused for a file that is not adopted."""
    with _translated(path), closing(open_for_look(_existing(path), immutable=False)) as connection:
        return adoption.plan_withdrawal(connection)


def withdraw_from(path: Path) -> WithdrawalPlan:
    """Drop the additions of the adoption of a file, in one transaction."""
    with _writing(path) as connection:
        return adoption.withdraw(connection)


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for writing, checked for damage."""
    _existing(path)
    if is_stale(path):
        raise Refused(
            f"{path.name}-wal beside {below_home(str(path))} was written for another file; move it away first."
        )
    if not os.access(path, os.W_OK):
        raise Refused(f"{below_home(str(path))} cannot be written.")
    with _translated(path):
        address = f"file:{quote(bytes(path))}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            [fault] = connection.execute("PRAGMA quick_check(1)").fetchone()
            if fault != "ok":
                raise damaged(below_home(str(path)), str(fault))
            yield connection


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise StoreMissing(f"There is no file {below_home(str(path))}.")
    return path


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, below_home(str(path)), path) from error
