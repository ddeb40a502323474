"""Parts of the doctor that only a SQLite file has: its text index, tables that are not shown, modes, and a backup."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from vestige_tui.core.doctor import TableNotShown
from vestige_tui.core.errors import Refused
from vestige_tui.core.file_permissions import is_readable_by_others
from vestige_tui.core.text import below_home
from vestige_tui.store.backends.sqlite_rows import count_rows
from vestige_tui.store.backends.sqlite_text_check import stale_rows
from vestige_tui.store.schema.named_sql import created_tables

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Params, Row
    from vestige_tui.store.backends.sqlite_file import OpenedFile

T = TypeVar("T")
OWNER_ONLY = 0o600
_SIDE_FILES = ("", "-wal", "-journal")
"""Files with texts of a store; the -shm beside them holds none."""
_READ_TABLE = re.compile(r'\bmain\."?(\w+)')


def exposed_files(path: Path) -> list[Path]:
    """Return the files of a store that every user of the machine can read."""
    return [side for each in _SIDE_FILES if is_readable_by_others(side := Path(f"{path}{each}"))]


class InspectedFile(Protocol):
    """Store in a SQLite file, as its inspection queries it."""

    foreign: bool
    """Whether the tables are those of a Vestige server."""

    @property
    def look_mode(self) -> str:
        """Mode of another connection that only reads the file."""
        ...

    @property
    def view_script(self) -> str:
        """Views over the tables of a Vestige file; empty for a store of our own."""
        ...

    async def fetch(self, name: str, params: Params | None = None) -> list[Row]:
        """Return the rows of a named query."""
        ...

    async def run(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on a read-only connection, timed under this name."""
        ...


class SqliteInspection:
    """Inspection of one file for the doctor."""

    def __init__(self, backend: InspectedFile, file: OpenedFile) -> None:
        self._backend = backend
        self._file = file

    async def stale_texts(self, seconds: float) -> tuple[str, ...] | None:
        """Return the memories whose words the text index lacks, and entries without a memory; None if too slow."""
        backend = self._backend
        work = partial(stale_rows, self._file.path, backend.look_mode, seconds, folds=not backend.foreign)
        try:
            numbers = await asyncio.to_thread(work)
        except sqlite3.Error as error:
            raise self._file.error_of(error) from error
        if not numbers:
            return None if numbers is None else ()
        ids = [str(row["id"]) for row in await backend.fetch("list_stale_texts", {"seqs": numbers})]
        return (*ids, *(f"entry {number}" for number in numbers[: len(numbers) - len(ids)]))

    async def other_tables(self) -> tuple[TableNotShown, ...]:
        """Return the tables of the file that no query of the console reads, with their rows."""
        shown = sorted({*created_tables("sqlite"), *_READ_TABLE.findall(self._backend.view_script)})
        names = [str(row["name"]) for row in await self._backend.fetch("list_other_tables", {"shown": shown})]
        counts = await self._backend.run("count_other_tables", partial(count_rows, names))
        return tuple(TableNotShown(name, count) for name, count in zip(names, counts, strict=True))

    def exposed_files(self) -> Sequence[str]:
        """Return the names of the files that every user of the machine can read."""
        return [path.name for path in exposed_files(self._file.path)]

    def protect_files(self) -> None:
        """Let only the owner read and write the files. Raises Refused."""
        for path in exposed_files(self._file.path):
            try:
                path.chmod(OWNER_ONLY)
            except OSError as error:
                raise Refused(f"The mode of {below_home(str(path))} cannot be changed: {error.strerror}.") from error
