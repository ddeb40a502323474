"""Whole rows of any table of a PostgreSQL store as JSON, read and written by key; for the fixes of the doctor."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from psycopg import sql
from psycopg.types.json import Jsonb

from vestige_tui.core.doctor import Image, RowKey
from vestige_tui.store.schema.named_sql import load

if TYPE_CHECKING:
    from psycopg import AsyncConnection

BATCH_ROWS = 500
"""Rows of one statement: a row can have a text of a megabyte, and a parameter holds 256 MB of JSON."""
MAX_WRITES = 2
"""Writes of one row: triggers may change a column after the first one."""

T = TypeVar("T")
S = TypeVar("S", bound=Hashable)
_Shape: TypeAlias = tuple[str, tuple[str, ...]]
"""Table and columns of a key."""


def statement_on(table: str, name: str) -> str:
    """Return the statement of a name on a table of the store."""
    return load("postgres", "rows")[name].replace("{table}", _name(table))


class PostgresRows:
    """Rows of the tables that the search path of one connection finds."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]]) -> None:
        self._connection = connection
        self._columns: dict[str, list[str]] = {}

    async def read(self, keys: Sequence[RowKey]) -> list[Image | None]:
        """Return the row of each key, locked; None if there is none."""
        images: list[Image | None] = [None] * len(keys)
        for shape, places in _by_shape(enumerate(keys), lambda each: _shape_of(each[1])):
            columns = await self._columns_of(shape[0])
            pairs = ", ".join(f"{_literal(name)}, t.{_name(name)}" for name in columns)
            for some in batched(places, BATCH_ROWS):
                values = [key.values for _, key in some]
                for row in await self._run("read_rows", shape, values, columns=pairs):
                    images[some[int(row["place"]) - 1][0]] = row["image"]
        return images

    async def write(self, rows: Sequence[tuple[RowKey, Image | None]]) -> None:
        """Insert, update or delete rows in this order, so that each is as its image."""
        for some in batched(rows, BATCH_ROWS):
            pending: Sequence[tuple[RowKey, Image | None]] = some
            for _ in range(MAX_WRITES):
                current = await self.read([key for key, _ in pending])
                changes = [
                    _Write.of(key, old, new) for (key, new), old in zip(pending, current, strict=True) if old != new
                ]
                pending = [(each.key, each.image) for each in changes]
                for (name, shape, columns), group in _by_shape(changes, lambda each: each.shape):
                    await self._run(name, shape, [each.row for each in group], **_lists(columns))

    async def _columns_of(self, table: str) -> list[str]:
        if table not in self._columns:
            cursor = await self._connection.execute(statement_on(table, "table_columns").encode())
            self._columns[table] = [str(row["name"]) for row in await cursor.fetchall()]
        return self._columns[table]

    async def _run(self, name: str, shape: _Shape, rows: Sequence[Image], **parts: str) -> Sequence[dict[str, Any]]:
        table, keys = shape
        condition = " AND ".join(f"t.{_name(column)} = k.{_name(column)}" for column in keys)
        statement = statement_on(table, name).replace("{key}", condition)
        for part, text in parts.items():
            statement = statement.replace(f"{{{part}}}", text)
        cursor = await self._connection.execute(statement.encode(), {"rows": Jsonb([dict(row) for row in rows])})
        return await cursor.fetchall() if cursor.description else []


@dataclass(frozen=True, slots=True)
class _Write:
    """Write of one row: its statement, the columns that it sets, and the values of these and of the key."""

    key: RowKey
    image: Image | None
    statement: str
    columns: tuple[str, ...]
    row: Image

    @classmethod
    def of(cls, key: RowKey, current: Image | None, image: Image | None) -> _Write:
        if image is None:
            return cls(key, image, "delete_rows", (), key.values)
        if current is None:
            return cls(key, image, "insert_rows", tuple(image), image)
        changed = {name: value for name, value in image.items() if current.get(name) != value}
        return cls(key, image, "update_rows", tuple(changed), {**changed, **key.values})

    @property
    def shape(self) -> tuple[str, _Shape, tuple[str, ...]]:
        """What the writes of one statement have in common."""
        return self.statement, _shape_of(self.key), self.columns


def _by_shape(items: Iterable[T], shape_of: Callable[[T], S]) -> list[tuple[S, list[T]]]:
    """Return items by their shape, in the order in which the shapes occur first."""
    groups: dict[S, list[T]] = {}
    for item in items:
        groups.setdefault(shape_of(item), []).append(item)
    return list(groups.items())


def _shape_of(key: RowKey) -> _Shape:
    return key.table, tuple(name for name, _ in key.key)


def _lists(columns: Sequence[str]) -> dict[str, str]:
    names = [_name(column) for column in columns]
    return {
        "columns": ", ".join(names),
        "values": ", ".join(f"k.{name}" for name in names),
        "changes": ", ".join(f"{name} = k.{name}" for name in names),
    }


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield items in batches."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _name(name: str) -> str:
    return sql.Identifier(name).as_string(None).replace("%", "%%")


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None).replace("%", "%%")
