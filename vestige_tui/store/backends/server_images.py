"""Before images of the rows of a Vestige server: an undo restores each value that a change has overwritten, exactly.

The undo writes values as this program spells them; what this module restores afterwards are the bytes that were there:
nanoseconds of times, the spelling of JSON, and rows that went with their memory. A value that the server has written
since the change stays as the undo leaves it. The SQL is in ``sql/sqlite/vestige/images.sql``.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vestige_tui.core.log import suppressed
from vestige_tui.store.schema.named_sql import load

log = logging.getLogger(__name__)

_KEPT, _NEW = "main.console_images", "temp.server_changes"
_OWN_KEY = "rowid"
_MAX_KEYS = 3
"""Columns of a primary key that an image has room for; a row with more is known by its number."""
_VECTOR = "embedding"
_PART = re.compile(r"\{(\w+)\}")
_RowKey: TypeAlias = tuple[str, tuple[Any, ...]]
"""Table of a row, and the values of its key as bytes."""


@dataclass(slots=True)
class _RowImage:
    """Row that a change has written: the ids of the first and the last image of each column."""

    columns: dict[str, tuple[int, int]] = field(default_factory=dict)
    is_deleted: bool = False
    existed: bool = False
    """There is such a row before the undo."""
    as_written: frozenset[str] = frozenset()
    """Columns that before the undo have the value that the change wrote."""


Images: TypeAlias = Mapping[_RowKey, _RowImage]


def watch(connection: sqlite3.Connection) -> None:
    """Let a connection note every row of the server that it changes, and every entry of the journal."""
    from vestige_tui.store.schema.adoption import TABLES

    blocks = load("sqlite", "vestige")
    connection.execute(blocks["changes_table"])
    connection.execute(blocks["index_insertions"])
    connection.execute(blocks["watch_entries"])
    for number, (table,) in enumerate(_fetch(connection, blocks["list_watched"])):
        if (name := table.decode()) not in TABLES:
            for event in ("update", "delete", "insert"):
                connection.execute(_trigger(connection, f"watch_{event}_{number}", event, name))


def keep(connection: sqlite3.Connection) -> None:
    """Move the noted changes of a write to its entry in the journal; without an entry they are forgotten."""
    blocks = load("sqlite", "vestige")
    for row in _fetch(connection, blocks["list_reinserted"]):
        place = _place(connection, _key(row), int(row[0]), _NEW)
        parts = {"column": _name(row[6].decode()), "id": str(row[0]), **place}
        connection.execute(_filled(blocks["note_reinserted"], parts))
    connection.execute(blocks["keep_changes"])
    connection.execute(blocks["forget_changes"])


def images_of(entry: int, connection: sqlite3.Connection) -> Images:
    """Return the images of an entry of the journal, compared with the rows as they are now."""
    rows = _fetch(connection, load("sqlite", "vestige")["list_images"], entry)
    images = _consolidated(rows)
    for key, row in images.items():
        _compare(connection, key, row)
    return images


def restore(images: Images, without_vector: Collection[str], connection: sqlite3.Connection) -> None:
    """Write the values before a change, after its undo. ``without_vector``: ids whose vector is of another model."""
    if not images:
        return
    omitted = {memory_id.encode() for memory_id in without_vector}
    changes = _fetch(connection, load("sqlite", "vestige")["list_changes"])
    deleted = _deleted(changes)
    with_vector = {
        part
        for key, row in images.items()
        if row.is_deleted and _VECTOR in row.columns and not omitted.intersection(key[1])
        for part in key[1]
        if _restore_row(connection, key, row, is_new=key in deleted or not row.existed)
    }
    for key, row in images.items():
        if _VECTOR in row.columns and row.is_deleted:
            continue
        if row.is_deleted:
            _restore_row(connection, key, row, is_new=key in deleted or not row.existed, omitted=omitted)
        else:
            if key in deleted and not (_VECTOR in row.columns and omitted.intersection(key[1])):
                _insert(connection, key, deleted[key], _NEW)
            follows = _vector_marks() if with_vector.intersection(key[1]) else frozenset()
            _put(connection, key, _firsts(row, row.as_written | follows), _KEPT)
    _put_back(connection, images, changes, with_vector)


def _vector_marks() -> set[str]:
    """Return the columns of a memory that tell whether it has a vector."""
    return set(load("sqlite", "vestige")["vector_marks"].split())


def _vector_figures() -> set[str]:
    """Return all columns of the server that follow from its vectors, so that the undo decides about them."""
    return _vector_marks() | set(load("sqlite", "vestige")["vector_counts"].split())


def _trigger(connection: sqlite3.Connection, name: str, event: str, table: str) -> str:
    blocks = load("sqlite", "vestige")
    side = "NEW" if event == "insert" else "OLD"
    keys = [f"{side}.{_name(key)}" for key in _key_columns(connection, table)]
    parts = {"place": _text(table), "keys": ", ".join([*keys, *["NULL"] * (_MAX_KEYS - len(keys))])}
    if event == "insert":
        values = _filled(blocks["inserted_row"], parts)
    else:
        template = blocks["updated_value" if event == "update" else "deleted_value"]
        values = "\n    UNION ALL ".join(
            _filled(template, {**parts, "text": _text(column), "column": _name(column)})
            for column in _columns(connection, table)
        )
    return _filled(blocks["watch_rows"], {"name": name, "event": event, "table": _name(table), "values": values})


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, int]:
    """Return the stored columns of a table, with their place in its primary key, from 1; 0 for others."""
    sql = load("sqlite", "vestige")["list_watched_columns"].replace("{place}", _text(table))
    return {name.decode(): int(place) for name, place in _fetch(connection, sql)}


def _key_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    columns = _columns(connection, table)
    keys = sorted((name for name, place in columns.items() if place), key=columns.__getitem__)
    return keys if 0 < len(keys) <= _MAX_KEYS else [_OWN_KEY]


def _consolidated(rows: Sequence[tuple[Any, ...]]) -> dict[_RowKey, _RowImage]:
    images: dict[_RowKey, _RowImage] = {}
    for row in rows:
        number, kind, name = int(row[0]), row[1], row[6].decode()
        image = images.setdefault(_key(row), _RowImage())
        image.is_deleted = image.is_deleted or kind == b"delete"
        image.columns[name] = (image.columns.get(name, (number,))[0], number)
    return images


def _deleted(changes: Sequence[tuple[Any, ...]]) -> dict[_RowKey, dict[str, int]]:
    """Return the rows that the undo has deleted, with the first image of each column."""
    rows: dict[_RowKey, dict[str, int]] = {}
    for change in changes:
        if change[1] == b"delete":
            rows.setdefault(_key(change), {}).setdefault(change[6].decode(), int(change[0]))
    return rows


def _key(row: tuple[Any, ...]) -> _RowKey:
    return row[2].decode(), tuple(row[3:6])


def _compare(connection: sqlite3.Connection, key: _RowKey, row: _RowImage) -> None:
    blocks = load("sqlite", "vestige")
    names = list(row.columns)
    values = ", ".join(
        _filled(blocks["compared_image"], {"column": _name(name), "id": str(row.columns[name][1])}) for name in names
    )
    sql = _filled(
        blocks["compare_images"], {"values": values, **_place(connection, key, row.columns[names[0]][0], _KEPT)}
    )
    if compared := _fetch(connection, sql):
        row.existed = True
        row.as_written = frozenset(name for name, is_equal in zip(names, compared[0], strict=True) if is_equal)


def _restore_row(
    connection: sqlite3.Connection, key: _RowKey, row: _RowImage, *, is_new: bool, omitted: Collection[bytes] = ()
) -> bool:
    """Restore a row that the change has deleted; return whether it is as before. ``is_new``: the undo inserted it."""
    if not is_new:
        return False
    names = row.columns.keys() - (_vector_marks() if set(omitted).intersection(key[1]) else set())
    if _put(connection, key, _firsts(row, names), _KEPT):
        return True
    return not row.existed and _insert(connection, key, _firsts(row, row.columns), _KEPT)


def _insert(connection: sqlite3.Connection, key: _RowKey, columns: Mapping[str, int], source: str) -> bool:
    """Insert a row of images; return False where its parent is gone, or another row stands in its place."""
    template = load("sqlite", "vestige")["insert_images"]
    values = ", ".join(_image(number, source) for number in columns.values())
    parts = {"table": _name(key[0]), "columns": ", ".join(map(_name, columns)), "values": values}
    with suppressed(log, "put back a row of the server", sqlite3.IntegrityError):
        connection.execute(_filled(template, parts))
        return True
    return False


def _put_back(
    connection: sqlite3.Connection, images: Images, changes: Sequence[tuple[Any, ...]], with_vector: Collection[Any]
) -> None:
    """Restore the values that the undo has written, but the change had not; ``with_vector``: keys of exact vectors."""
    inserted = {_key(row) for row in changes if row[1] == b"insert"}
    others: dict[_RowKey, dict[str, int]] = {}
    for row in changes:
        key, name = _key(row), row[6].decode()
        image = images.get(key)
        is_known = image is not None and (image.is_deleted or name in image.columns)
        follows = _vector_figures() - (_vector_marks() if set(with_vector).intersection(key[1]) else set())
        if row[1] == b"update" and not is_known and key not in inserted and name not in follows:
            others.setdefault(key, {}).setdefault(name, int(row[0]))
    for key, columns in others.items():
        _put(connection, key, columns, _NEW)


def _firsts(row: _RowImage, names: Collection[str]) -> dict[str, int]:
    return {name: first for name, (first, _) in row.columns.items() if name in names}


def _put(connection: sqlite3.Connection, key: _RowKey, columns: Mapping[str, int], source: str) -> bool:
    """Write the values before some images into their row; return False if there is none."""
    if not columns:
        return False
    template = load("sqlite", "vestige")["put_images"]
    values = ", ".join(f"{_name(name)} = {_image(number, source)}" for name, number in columns.items())
    place = _place(connection, key, next(iter(columns.values())), source)
    return connection.execute(_filled(template, {"values": values, **place})).rowcount > 0


def _image(number: int, source: str) -> str:
    return _filled(load("sqlite", "vestige")["image"], {"source": source, "id": str(number)})


def _place(connection: sqlite3.Connection, key: _RowKey, number: int, source: str) -> dict[str, str]:
    """Return the table of a row, and the condition that finds it by the key of one of its images."""
    template = load("sqlite", "vestige")["image_key"]
    condition = " AND ".join(
        _filled(template, {"column": _name(column), "key": f"key_{place}", "source": source, "id": str(number)})
        for place, column in enumerate(_key_columns(connection, key[0]), 1)
    )
    return {"table": _name(key[0]), "condition": condition}


def _filled(template: str, parts: Mapping[str, str]) -> str:
    return _PART.sub(lambda match: parts[match[1]], template)


def _fetch(connection: sqlite3.Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return rows with their texts as bytes, which need not be UTF-8."""
    connection.text_factory = bytes
    try:
        with closing(connection.cursor()) as cursor:
            cursor.row_factory = None
            return cursor.execute(sql, values).fetchall()
    finally:
        connection.text_factory = str


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
