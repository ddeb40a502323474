"""The other tables in the file of a backup, read and written with a connection of its own in the calling thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from vestige_tui.core.text import below_home
from vestige_tui.store.backends.sqlite_backup import opened
from vestige_tui.store.backends.sqlite_errors import translate
from vestige_tui.transfer.other_tables import RENUMBERING, FileRow, OtherTable, backup_sql, quoted
from vestige_tui.transfer.table_spec import TABLES, Table

CHUNK_ROWS = 200
LOGS = tuple(table for table in TABLES if table.log)


class FileTables:
    """Open file of a backup: its other tables, the numbers of its logs, and the last numbers of its tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def common(self, table: OtherTable) -> OtherTable | None:
        """Return a table with the columns that the file has, too; None where it has no such table."""
        rows = self._connection.execute(backup_sql("sqlite", "list_file_columns"), {"table": table.name}).fetchall()
        return table.within(str(name) for (name,) in rows) if rows else None

    def clear(self, table: OtherTable) -> None:
        self._connection.execute(backup_sql("sqlite", "delete_rows", table=table.quoted))

    def insert(self, table: OtherTable, rows: Sequence[FileRow]) -> None:
        values = ", ".join("?" * len(table.columns))
        statement = backup_sql("sqlite", "insert_row", table=table.quoted, columns=table.column_list, values=values)
        self._connection.executemany(statement, rows)

    def read(self, table: OtherTable) -> Iterator[list[FileRow]]:
        """Yield the rows of a table, the latest first, in chunks."""
        statement = backup_sql("sqlite", "read_file_rows", table=table.quoted, columns=table.column_list)
        with closing(self._connection.execute(statement)) as cursor:
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield rows

    def digest(self, table: OtherTable) -> int:
        """Return a number that two equal tables share, in any order of their rows."""
        return sum(table.digest(row) for rows in self.read(table) for row in rows)

    def numbers(self, stored_as: str) -> list[int]:
        """Return the numbers of the lines of a log, in order."""
        statement = backup_sql("sqlite", "read_numbers", table=quoted(stored_as))
        return [int(number) for (number,) in self._connection.execute(statement)]

    def renumber(self, log: Table, old: Sequence[int], new: Sequence[int]) -> None:
        """Give the lines of a log other numbers, by which the journal names them."""
        run = self._connection.execute
        run(backup_sql("sqlite", "begin_numbers"))
        self._connection.executemany(backup_sql("sqlite", "add_number"), zip(old, new, strict=True))
        for block in RENUMBERING[log.name]:
            run(backup_sql("sqlite", block))
        run(backup_sql("sqlite", "end_numbers"))

    def sequences(self) -> dict[str, int]:
        """Return the last number of each table."""
        rows = self._connection.execute(backup_sql("sqlite", "read_sequences")).fetchall()
        return {str(name): int(last) for name, last in rows}

    def set_sequences(self, lasts: Mapping[str, int]) -> None:
        for name, last in lasts.items():
            self._connection.execute(backup_sql("sqlite", "forget_sequence"), {"name": name})
            self._connection.execute(backup_sql("sqlite", "put_sequence"), {"name": name, "last": last})


@contextmanager
def written(path: Path) -> Iterator[FileTables]:
    """Open the file of a backup in one transaction; leaving the block commits it. Raises as a store does."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # Rows come in the order of the server, where every reference is checked.
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE")
            yield FileTables(connection)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise translate(error, below_home(str(path)), path) from error


@contextmanager
def read(path: Path) -> Iterator[FileTables]:
    """Open a backup for reading. Raises as a store does."""
    try:
        with closing(opened(path, idle=True)) as connection:
            yield FileTables(connection)
    except sqlite3.Error as error:
        raise translate(error, below_home(str(path)), path) from error
