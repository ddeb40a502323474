"""A migration of a Vestige server that rebuilds tables: without columns that the server does not know."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path


def rebuild(path: Path, original: Path, tables: Sequence[str], version: int | None = None) -> None:
    """Rebuild tables of an adopted file as they are in ``original``, with their indexes and triggers."""
    with closing(sqlite3.connect(original)) as connection:
        objects = [
            (str(sort), str(table), str(sql))
            for sort, table, sql in connection.execute(
                "SELECT type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'table' DESC"
            )
            if table in tables
        ]
        columns = {
            table: [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")] for table in tables
        }
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as server:
        server.execute("PRAGMA foreign_keys = OFF")
        server.execute("BEGIN IMMEDIATE")
        for sort, table, sql in objects:
            if sort != "table":
                server.execute(sql)
                continue
            names = ", ".join(columns[table])
            server.execute(sql.replace(f"TABLE {table} ", "TABLE rebuilt ", 1))
            server.execute(f"INSERT INTO rebuilt ({names}) SELECT {names} FROM {table}")
            server.execute(f"DROP TABLE {table}")
            server.execute(f"ALTER TABLE rebuilt RENAME TO {table}")
        if version is not None:
            server.execute("UPDATE schema_version SET version = ?", (version,))
        server.execute("COMMIT")


if __name__ == "__main__":
    rebuild(Path(sys.argv[1]), Path(sys.argv[2]), ["knowledge_nodes"], 36)
