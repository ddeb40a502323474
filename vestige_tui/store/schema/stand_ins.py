"""Stand-ins for the objects of pending migrations, so that a store that may not be migrated can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.schema.named_sql import Dialect

_CREATED_TABLE = re.compile(r"^CREATE\s+TABLE (\w+) \(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^\s+([a-z_]+)\s+(double precision|\w+(?:\[\])?)", re.MULTILINE)
_ADDED_COLUMN = re.compile(r"^ALTER TABLE (\w+) ADD COLUMN (\w+)\s+(\w+(?:\[\])?)([^;]*);", re.MULTILINE)
_DEFAULT = re.compile(r"\bDEFAULT ('[^']*'|-?[\w.]+)")
_WITH = re.compile(r"\s*(?:--[^\n]*\n\s*)*WITH(?: RECURSIVE)?\b")
_SERIAL_TYPES = {"bigserial": "bigint", "serial": "integer"}


@dataclass(frozen=True, slots=True)
class StandIn:
    """Table as pending migrations leave it: empty, or the ``present`` one with new columns that hold their defaults."""

    name: str
    present: bool
    columns: tuple[tuple[str, str, str], ...]
    """Name, type and value of each new column."""

    def view(self) -> str:
        """Return the SQLite statement that creates it as a temporary view."""
        values = ", ".join(f"{value} AS {name}" for name, _, value in self.columns)
        body = f"SELECT t.rowid AS rowid, t.*, {values} FROM main.{self.name} t" if self.present else ""
        return f"CREATE TEMP VIEW {self.name} AS {body or f'SELECT {values} WHERE 0'}"

    def common_table(self, schema: str) -> str:
        """Return it as a common table expression of PostgreSQL; ``schema`` is a quoted identifier."""
        values = ", ".join(f"{value}::{type_name} AS {name}" for name, type_name, value in self.columns)
        body = f"SELECT t.*, {values} FROM {schema}.{self.name} t" if self.present else f"SELECT {values} WHERE false"
        return f"{self.name} AS NOT MATERIALIZED ({body})"


def stand_ins(dialect: Dialect, pending_versions: Iterable[int]) -> tuple[StandIn, ...]:
    """Return the tables that these migrations create or widen."""
    versions = set(pending_versions)
    created: set[str] = set()
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for migration in migrations(dialect):
        if migration.version not in versions:
            continue
        for name, body in _CREATED_TABLE.findall(migration.up):
            created.add(name)
            columns[name] = [(column, _type(type_name), "NULL") for column, type_name in _COLUMN.findall(body)]
        for name, column, type_name, rest in _ADDED_COLUMN.findall(migration.up):
            default = _DEFAULT.search(rest)
            columns.setdefault(name, []).append((column, _type(type_name), default[1] if default else "NULL"))
    return tuple(StandIn(name, name not in created, tuple(added)) for name, added in columns.items())


def _type(name: str) -> str:
    return _SERIAL_TYPES.get(name, name)


def with_common_tables(statement: str, tables: Iterable[StandIn], schema: str) -> str:
    """Return a PostgreSQL query that reads the stand-ins that it names in place of the tables."""
    named = [table.common_table(schema) for table in tables if re.search(rf"\b{table.name}\b", statement)]
    return with_definitions(statement, named)


def with_definitions(statement: str, definitions: Sequence[str]) -> str:
    """Return a PostgreSQL query with these common table expressions before its own."""
    if not definitions:
        return statement
    head = _WITH.match(statement)
    if head is None:
        return f"WITH {', '.join(definitions)} {statement}"
    return f"{head[0]} {', '.join(definitions)},{statement[head.end() :]}"
