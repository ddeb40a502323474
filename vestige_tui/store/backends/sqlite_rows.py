"""Whole rows of any table of a SQLite file as JSON, read and written by key; for the fixes of the doctor."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from vestige_tui.core.doctor import Image, RowKey
from vestige_tui.core.log import log_suppressed
from vestige_tui.store.schema.named_sql import load

log = logging.getLogger(__name__)

ROWID = "rowid"
MAX_WRITES = 2
"""Writes of one row: triggers may change a column after the first one."""


def read_rows(keys: Sequence[RowKey], connection: sqlite3.Connection) -> list[Image | None]:
    """Return the row of each key; None where there is none."""
    columns = _Columns(connection)
    return [_read(connection, columns, key) for key in keys]


def own_keys(keys: Sequence[RowKey], connection: sqlite3.Connection) -> list[RowKey]:
    """Return keys by row number as keys by the primary key, where the table has one: a vacuum renumbers rows."""
    columns = _Columns(connection)
    return [_own_key(connection, columns, key) for key in keys]


def count_rows(tables: Sequence[str], connection: sqlite3.Connection) -> list[int | None]:
    """Return the number of rows of each table; None for one that cannot be read, such as of an extension."""
    counts: list[int | None] = []
    for table in tables:
        try:
            [(count,)] = _fetch(connection, _template("count_rows").replace("{table}", _name(table)))
        except sqlite3.Error as error:
            log_suppressed(log, "count the rows of a table", error)
            count = None
        counts.append(count)
    return counts


def write_rows(rows: Sequence[tuple[RowKey, Image | None]], connection: sqlite3.Connection) -> None:
    """Insert, update or delete rows, so that each is as its image; None deletes."""
    columns = _Columns(connection)
    for key, image in rows:
        for _ in range(MAX_WRITES):
            current = _read(connection, columns, key)
            if current == image:
                break
            _write(connection, key, current, image)


class _Columns:
    """Columns of the tables of one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_table: dict[str, tuple[list[str], list[str]]] = {}
        self._readings: dict[tuple[object, ...], str] = {}

    def of(self, table: str) -> tuple[list[str], list[str]]:
        """Return the columns of a table that are stored, and those of its primary key."""
        if table not in self._by_table:
            rows = _fetch(self._connection, _template("table_columns").replace("{table}", _text(table)))
            names = [str(name) for name, _ in rows]
            keys = [str(name) for name, place in sorted(rows, key=lambda row: int(row[1])) if place]
            self._by_table[table] = names if keys else [ROWID, *names], keys or [ROWID]
        return self._by_table[table]

    def reading(self, key: RowKey) -> str:
        """Return the statement that reads the row of a key, composed once for keys of the same columns."""
        shape = (key.table, *((name, _mark(value)) for name, value in key.key))
        if shape not in self._readings:
            names, _ = self.of(key.table)
            chosen = ", ".join(f"typeof({_name(name)}), {_name(name)}" for name in names)
            self._readings[shape] = _filled("read_row", key, columns=chosen)
        return self._readings[shape]


def _read(connection: sqlite3.Connection, columns: _Columns, key: RowKey) -> Image | None:
    names, _ = columns.of(key.table)
    sql = columns.reading(key)
    connection.text_factory = bytes
    try:
        rows = _fetch(connection, sql, [_stored(value) for _, value in key.key])
    finally:
        connection.text_factory = str
    if not rows:
        return None
    values = iter(rows[0])
    return {name: _image_value(sort, value) for name, sort, value in zip(names, values, values, strict=True)}


def _own_key(connection: sqlite3.Connection, columns: _Columns, key: RowKey) -> RowKey:
    _, primary = columns.of(key.table)
    if [name for name, _ in key.key] != [ROWID] or primary == [ROWID]:
        return key
    image = _read(connection, columns, key)
    return key if image is None else RowKey.of(key.table, {name: image[name] for name in primary})


def _write(connection: sqlite3.Connection, key: RowKey, current: Image | None, image: Image | None) -> None:
    parameters = [_stored(value) for _, value in key.key]
    if image is None:
        connection.execute(_filled("delete_row", key), parameters)
        return
    if current is None:
        names, marks = ", ".join(map(_name, image)), ", ".join(map(_mark, image.values()))
        connection.execute(
            _filled("insert_row", key, columns=names, values=marks), [_stored(value) for value in image.values()]
        )
        return
    changed = {name: value for name, value in image.items() if current.get(name) != value}
    changes = ", ".join(f"{_name(name)} = {_mark(value)}" for name, value in changed.items())
    values = [_stored(value) for value in changed.values()]
    connection.execute(_filled("update_row", key, changes=changes), [*values, *parameters])


def _image_value(sort: bytes, value: Any) -> Any:
    """Return a stored value as JSON; a blob, a text that is no UTF-8 and an infinite number are objects."""
    if isinstance(value, bytes):
        if sort == b"blob":
            return {"blob": value.hex()}
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"text": value.hex()}
    return {"real": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _stored(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    [(sort, text)] = value.items()
    return float(text) if sort == "real" else bytes.fromhex(text)


def _mark(value: Any) -> str:
    return "CAST(? AS TEXT)" if isinstance(value, Mapping) and "text" in value else "?"


def _filled(name: str, key: RowKey, **parts: str) -> str:
    # Equal where both are NULL: a part of a primary key may be, in SQLite.
    condition = " AND ".join(f"{_name(column)} IS {_mark(value)}" for column, value in key.key)
    sql = _template(name).replace("{table}", _name(key.table)).replace("{key}", condition)
    for part, text in parts.items():
        sql = sql.replace(f"{{{part}}}", text)
    return sql


def _template(name: str) -> str:
    return load("sqlite", "rows")[name]


def _fetch(connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, values).fetchall()


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
