"""Adoption of a Vestige file: the console's columns and tables are added, so that it can write beside the server.

The SQL is in ``sql/sqlite/vestige/adoption.sql``. The server's own tables keep every row; what was added is recorded in
``console_adoption``, so that undoing the adoption drops that and nothing else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vestige_tui.core.errors import Refused
from vestige_tui.store.backends.sqlite_backup import back_up_connection, examined
from vestige_tui.store.schema.additions import (
    ADD,
    ADOPTION,
    COLUMNS,
    CREATE,
    MEMORIES,
    TABLES,
    additions_script,
    named_blocks,
)
from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.schema.sqlite_scripts import statements
from vestige_tui.store.schema.vestige_files import survey

SERVER_VERSION = "schema_version"
"""The server's table of its version."""
PHASE_1_VERSION, PHASE_2_VERSION = 14, 15


@dataclass(frozen=True, slots=True)
class AdoptionPlan:
    """Additions of an adoption to a file, with the number of memories that get the new columns."""

    line: str
    columns: tuple[str, ...]
    tables: tuple[str, ...]
    memories: int
    versions: tuple[int, int] | None
    """Schema version before and after; None where it stays."""
    is_again: bool = False
    """The file was adopted before; its server has removed these since."""

    @property
    def is_done(self) -> bool:
        """True if the file has all of them already."""
        return not self.columns and not self.tables


@dataclass(frozen=True, slots=True)
class Adoption:
    """Additions that were made to a file, and the rows of each of the server's tables, which are as many as before."""

    plan: AdoptionPlan
    backup: Path
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WithdrawalPlan:
    """Columns and tables that undoing an adoption drops, and the number of rows of the console in them."""

    columns: tuple[str, ...]
    tables: tuple[str, ...]
    indexes: tuple[str, ...]
    versions: tuple[int, int] | None
    written: Mapping[str, int]
    """Number of rows by kind: reviews, supersessions, marks, journal_entries, extras, users, groups, labelled."""


def plan_adoption(connection: sqlite3.Connection) -> AdoptionPlan:
    """Return the additions that a file lacks. Raises Refused for one of no Vestige server, or for a table of others."""
    found = survey(connection)
    if found.kind != "vestige":
        raise Refused("Only a file of a Vestige server can be adopted.")
    present = _columns(connection)
    for table in TABLES:
        known = {column for column, home in COLUMNS.items() if home == table}
        if table in present and (missing := _columns_of(table) - present[table] - known):
            raise Refused(f"The file has a table {table} of another program, without {sorted(missing)[0]}.")
    recorded = _one(connection, additions_script()["get_server_version"]) if SERVER_VERSION in present else None
    # On every other line this number is one of the server's own steps.
    advances = "(phase 1)" in found.line and recorded == PHASE_1_VERSION
    return AdoptionPlan(
        line=found.line,
        columns=tuple(column for column, table in COLUMNS.items() if table in present and column not in present[table]),
        tables=tuple(table for table in TABLES if table not in present),
        memories=int(_one(connection, additions_script()["count_server_memories"])),
        versions=(PHASE_1_VERSION, PHASE_2_VERSION) if advances else None,
        is_again=ADOPTION in present,
    )


def adopt(connection: sqlite3.Connection, backup: Path, now: str) -> Adoption:
    """Write a backup, then add the missing columns and tables in one transaction.

    Raises Refused if the backup is there already, and as ``plan_adoption`` does, Unavailable, and the driver's errors;
    nothing is added then.
    """
    plan_adoption(connection)
    back_up_connection(connection, examined(backup))
    with _transaction(connection):
        plan = plan_adoption(connection)
        if plan.is_done:
            raise Refused(f"Another process has adopted the file meanwhile. Only a backup was written: {backup.name}.")
        before, indexes = _rows(connection), _indexes(connection)
        blocks, additions, creations = additions_script(), named_blocks(ADD), named_blocks(CREATE)
        for column in plan.columns:
            connection.execute(additions[column])
        for table in plan.tables:
            _run(connection, creations[table])
        _run(connection, blocks["adoption_indexes"])
        if "superseded_by" in _columns(connection)[MEMORIES]:
            connection.execute(blocks["index_winners"])
        if ADOPTION in plan.tables:
            _import(connection)
            _record(connection, plan, sorted(_indexes(connection) - indexes), backup, now)
        else:
            _complete(connection, plan, _indexes(connection) - indexes)
        if plan.versions is not None:
            connection.execute(blocks["set_server_version"], (plan.versions[1],))
        after = _rows(connection)
        if changed := [table for table, count in before.items() if after.get(table) != count]:
            raise Refused(f"The number of rows of {changed[0]} changed, so nothing was adopted.")
    return Adoption(plan, backup, before)


def plan_withdrawal(connection: sqlite3.Connection) -> WithdrawalPlan:
    """Return the columns and tables that undoing an adoption drops. Raises Refused for a file that is not adopted."""
    present = _columns(connection)
    if ADOPTION not in present:
        raise Refused("The file is not adopted.")
    if missing := [table for table in TABLES if table not in present]:
        raise Refused(f"The file lacks the table {missing[0]} of its adoption; adopt it again, then undo that.")
    added = json.loads(str(_one(connection, additions_script()["get_added"])))
    columns = tuple(column for column in added["columns"] if column in present.get(COLUMNS[column], ()))
    versions = tuple(added["versions"]) if added["versions"] else None
    if versions and _one(connection, additions_script()["get_server_version"]) != versions[1]:
        versions = None
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        row = cursor.execute(additions_script()["count_written"]).fetchone()
        written = {column[0]: int(value) for column, value in zip(cursor.description, row, strict=True)}
    if {"codebase", "visibility"} <= present[MEMORIES]:
        written["labelled"] = int(_one(connection, additions_script()["count_labelled"]))
    return WithdrawalPlan(
        columns=columns,
        tables=tuple(table for table in reversed(TABLES) if table in added["tables"] and table in present),
        indexes=tuple(added["indexes"]),
        versions=(versions[0], versions[1]) if versions else None,
        written={kind: count for kind, count in written.items() if count},
    )


def withdraw(connection: sqlite3.Connection) -> WithdrawalPlan:
    """Drop the additions of an adoption, in one transaction; values written to the server's own columns stay."""
    with _transaction(connection):
        plan = plan_withdrawal(connection)
        for index in plan.indexes:
            connection.execute(f"DROP INDEX IF EXISTS main.{index}")
        for column in plan.columns:
            connection.execute(f"ALTER TABLE main.{COLUMNS[column]} DROP COLUMN {column}")
        for table in plan.tables:
            connection.execute(f"DROP TABLE main.{table}")
        if plan.versions is not None:
            connection.execute(additions_script()["set_server_version"], (plan.versions[0],))
    return plan


def has_new_winners(connection: sqlite3.Connection) -> bool:
    """Check whether the server of an adopted file has set or cleared a winner that the log does not know."""
    query = _new_winners(connection)
    return bool(query) and bool(_one(connection, f"SELECT EXISTS ({query})"))


def import_winners(connection: sqlite3.Connection) -> None:
    """Log the winners that the server has set or cleared, as events of kind imported and unsupersede."""
    if query := _new_winners(connection):
        connection.execute(f"{additions_script()['import_winners']} {query}")


def _new_winners(connection: sqlite3.Connection) -> str:
    """Return the query for winners that the log does not know; empty where the file has no such column."""
    nodes = _columns(connection)[MEMORIES]
    if "superseded_by" not in nodes:
        return ""
    decided_at = "n.updated_at"
    if "valid_until" in nodes:
        decided_at = "CASE WHEN julianday(n.valid_until) IS NULL THEN n.updated_at ELSE n.valid_until END"
    return additions_script()["new_winners"].replace("{decided_at}", decided_at)


def _import(connection: sqlite3.Connection) -> None:
    """Take over the winners and the pins that the server knows."""
    import_winners(connection)
    if "protected" in _columns(connection)[MEMORIES]:
        connection.execute(additions_script()["import_pins"])


def _record(connection: sqlite3.Connection, plan: AdoptionPlan, indexes: list[str], backup: Path, now: str) -> None:
    added = {"columns": plan.columns, "tables": plan.tables, "indexes": indexes, "versions": plan.versions}
    connection.execute(additions_script()["insert_adoption"], (now, str(backup), json.dumps(added)))
    connection.executemany(
        additions_script()["insert_adopted_migration"],
        [(step.version, step.name, step.checksum, now) for step in migrations("sqlite")],
    )


def _complete(connection: sqlite3.Connection, plan: AdoptionPlan, indexes: set[str]) -> None:
    """Add what was added again to the list of an earlier adoption."""
    added = json.loads(str(_one(connection, additions_script()["get_added"])))
    news = {"columns": plan.columns, "tables": plan.tables, "indexes": indexes}
    added |= {sort: list(dict.fromkeys([*added[sort], *sorted(names)])) for sort, names in news.items()}
    connection.execute(
        additions_script()["update_adoption"], (json.dumps({**added, "versions": plan.versions or added["versions"]}),)
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in statements(script):
        connection.execute(statement)


def _columns_of(table: str) -> set[str]:
    """Return the columns that a table of adoption has."""
    with closing(sqlite3.connect(":memory:")) as scratch:
        scratch.execute(statements(named_blocks(CREATE)[table])[0])
        return _columns(scratch)[table]


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """Return the tables of the file with the names of their columns."""
    names = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    columns = "SELECT name FROM pragma_table_xinfo(?, 'main')"
    return {table: set(_names(connection, columns, table)) for table in _names(connection, names)}


def _indexes(connection: sqlite3.Connection) -> set[str]:
    return set(_names(connection, additions_script()["list_indexes"]))


def _names(connection: sqlite3.Connection, sql: str, *values: str) -> list[str]:
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        return [str(name) for (name,) in cursor.execute(sql, values).fetchall()]


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of rows of each table that is not of this program, without SQLite's own."""
    count = additions_script()["count_table"]
    return {
        table: int(_one(connection, count.replace("{table}", _quoted(table))))
        for table in sorted(_columns(connection))
        if table not in TABLES and not table.startswith("sqlite_")
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _one(connection: sqlite3.Connection, sql: str) -> Any:
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        return cursor.execute(sql).fetchone()[0]
