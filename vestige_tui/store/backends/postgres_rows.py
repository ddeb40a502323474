"""Whole rows of any table of a PostgreSQL store as JSON, read and written by key; for the fixes of the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

from vestige_tui.core.doctor import Image, RowKey
from vestige_tui.store.schema.named_sql import load

if TYPE_CHECKING:
    from psycopg import AsyncConnection

MAX_WRITES = 2
"""Writes of one row: triggers may change a column after the first one."""


def statement_on(table: str, name: str) -> str:
    """Return the statement of a name on a table of the store."""
    return load("postgres", "rows")[name].replace("{table}", _name(table))


class PostgresRows:
    """Rows of the tables that the search path of one connection finds."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]]) -> None:
        self._connection = connection
        self._columns: dict[str, list[str]] = {}

    async def read(self, key: RowKey) -> Image | None:
        """Return the row of a key, locked; None if there is none."""
        columns = await self._columns_of(key.table)
        pairs = ", ".join(f"{_literal(name)}, t.{_name(name)}" for name in columns)
        records = await self._run("read_row", key, key.values, columns=pairs)
        return records[0]["image"] if records else None

    async def write(self, key: RowKey, image: Image | None) -> None:
        """Insert, update or delete a row, so that it is as its image."""
        for _ in range(MAX_WRITES):
            current = await self.read(key)
            if current == image:
                return
            if image is None:
                await self._run("delete_row", key, key.values)
            elif current is None:
                names, values = (", ".join(f"{prefix}{_name(name)}" for name in image) for prefix in ("", "k."))
                await self._run("insert_row", key, image, columns=names, values=values)
            else:
                changed = [name for name, value in image.items() if current.get(name) != value]
                changes = ", ".join(f"{_name(name)} = k.{_name(name)}" for name in changed)
                await self._run("update_row", key, {**image, **key.values}, changes=changes)

    async def _columns_of(self, table: str) -> list[str]:
        if table not in self._columns:
            cursor = await self._connection.execute(statement_on(table, "table_columns").encode())
            self._columns[table] = [str(row["name"]) for row in await cursor.fetchall()]
        return self._columns[table]

    async def _run(self, name: str, key: RowKey, row: Image, **parts: str) -> Sequence[dict[str, Any]]:
        condition = " AND ".join(f"t.{_name(column)} = k.{_name(column)}" for column, _ in key.key)
        statement = statement_on(key.table, name).replace("{key}", condition)
        for part, text in parts.items():
            statement = statement.replace(f"{{{part}}}", text)
        cursor = await self._connection.execute(statement.encode(), {"row": Jsonb(dict(row))})
        return await cursor.fetchall() if cursor.description else []


def _name(name: str) -> str:
    return sql.Identifier(name).as_string(None).replace("%", "%%")


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None).replace("%", "%%")
