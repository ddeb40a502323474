"""Backups of a store, and the losses of a restore from one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

BackupStage: TypeAlias = Literal["copying", "comparing", "restoring", "indexing", "replacing"]
EXAMPLE_COUNT = 3
"""Examples of lost memories that are shown."""


@dataclass(frozen=True, slots=True)
class BackupStep:
    """Progress of a backup or restore: ``done`` of ``total`` pages of a file, or rows of a table."""

    stage: BackupStage
    done: int
    total: int | None = None
    table: str = ""


BackupListener: TypeAlias = Callable[[BackupStep], None]
"""Receiver of the progress; called from any thread."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Backup that was written, or put back: one SQLite file, compared with the store row by row or page by page."""

    path: Path
    bytes: int
    rows: Mapping[str, int]
    """Rows of each table, by the name of the table."""
    left_behind: Mapping[str, int] = field(default_factory=dict)
    """Tables of other programs that the file has no place for, with their rows."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """Rows of each table that the file cannot hold; they are missing."""


@dataclass(frozen=True, slots=True)
class TableLoss:
    """Rows of one table of a store that a restore deletes, and rows that it overwrites with an earlier state."""

    table: str
    missing: int
    changed: int = 0


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Restore of a backup into a store, before it is done."""

    backup: Path
    title: str
    """The store, as it is shown."""
    rows: Mapping[str, int]
    """Rows of the backup, by the name of the table."""
    losses: tuple[TableLoss, ...] = ()
    examples: tuple[str, ...] = ()
    """Texts of some memories that only the store has."""
    damage: str = ""
    """Why the store cannot be compared with the backup; its file is kept under another name then."""

    @property
    def loses(self) -> bool:
        """Check whether the restore needs consent."""
        return bool(self.losses or self.damage)


def backup_name(store_name: str, now: datetime) -> str:
    """Return the suggested name of a backup file."""
    return f"{store_name}-{now:%Y%m%d-%H%M%S}.backup.db"
