"""SQL of copies and comparisons: the blocks of ``sql/<dialect>/copy``, filled in for each table from its spec.

A statement is named by a verb and a table. Most tables share the verb's block; a log has one of its own kind, and a
table may name another one. ``/*slot*/`` or ``/*slot alias*/`` in a block takes a list or condition from the spec.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from vestige_tui.store.schema.named_sql import load
from vestige_tui.transfer.codecs import JSON, TEXT
from vestige_tui.transfer.table_spec import BY_NAME, SCHEDULING, TABLES

if TYPE_CHECKING:
    from vestige_tui.store.schema.named_sql import Dialect
    from vestige_tui.transfer.table_spec import Column, Table

VERBS: Mapping[str, tuple[str, ...]] = {
    "postgres": (
        *("any", "straight", "stage", "load", "orphans", "belong", "logged", "present", "merge", "update", "settle"),
        *("link", "free", "delete", "count", "read", "differ", "show", "keys"),
    ),
    "sqlite": (
        *("any", "orphans", "merge", "update", "settle", "link", "free", "delete", "count", "read", "rows", "ids"),
    ),
}
"""Verbs of each dialect."""
AFTER_PARAMS = ("after", "after_second", "after_third")
"""Parameters of keyset pagination, one for each part of a key."""

_LOG_BLOCKS = {
    "present": "present_log",
    "merge": "merge_log",
    "delete": "delete_log",
    "count": "count_log",
    "differ": "differ_log",
    "show": "show_log",
    "keys": "keys_log",
    "ids": "ids_log",
}
_COMPOSITE_BLOCKS = {"rows": "rows_composite"}
_WITHOUT_COMMON_BLOCK = ("settle", "link", "free")
"""Verbs that only tables with a block of their own have."""
_SLOT = re.compile(r"/\*(\w+)(?: (\w+))?\*/")
_Slot: TypeAlias = "Callable[[Table, str], str]"


class CopySql:
    """Statements of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect: Dialect = dialect

    def __getitem__(self, name: str) -> str:
        """Return a statement that concerns no single table."""
        return _shared(self._dialect, name)

    def of(self, verb: str, table: str) -> str:
        """Return the statement of a verb for a table. Raises KeyError where the table has none."""
        if (statement := self.find(verb, table)) is None:
            raise KeyError(f"{table} has no statement {verb}")
        return statement

    def find(self, verb: str, table: str) -> str | None:
        """Return the statement of a verb for a table; None where the table has none."""
        return _statement(self._dialect, verb, BY_NAME[table])


def block_of(dialect: Dialect, verb: str, table: Table) -> str | None:
    """Return the name of the block for a verb and a table; None where the table has no such statement."""
    if verb not in VERBS[dialect]:
        raise KeyError(f"{dialect} has no statements {verb}")
    blocks = load(dialect, "copy")
    candidates = (
        table.blocks.get(verb),
        _LOG_BLOCKS.get(verb) if table.log else None,
        _COMPOSITE_BLOCKS.get(verb) if len(table.key) > 1 and not table.log else None,
        None if verb in _WITHOUT_COMMON_BLOCK else verb,
    )
    applies = {
        "straight": not table.staged_only,
        "orphans": table.owned,
        "belong": table.versioned_parent is not None,
        "logged": table.log,
        "update": table.updatable,
    }
    if not applies.get(verb, True):
        return None
    return next((block for block in candidates if block is not None and block in blocks), None)


@cache
def _statement(dialect: Dialect, verb: str, table: Table) -> str | None:
    block = block_of(dialect, verb, table)
    return None if block is None else _filled(dialect, load(dialect, "copy")[block], table)


def _filled(dialect: Dialect, text: str, table: Table) -> str:
    slots = _SLOTS[dialect]

    def fill(match: re.Match[str]) -> str:
        slot, alias = match[1], match[2]
        if slot == "lines":
            return _filled(dialect, load(dialect, "copy")[table.blocks["lines"]], table)
        return slots[slot](table, f"{alias}." if alias else "")

    return _SLOT.sub(fill, text)


@cache
def _shared(dialect: Dialect, name: str) -> str:
    names = [table.stored_as for table in TABLES]
    loaded = [table.stored_as for table in TABLES if not table.staged_only]
    lists = {
        "copied_tables": ", ".join(f"'{name}'" for name in names),
        "copied_classes": ", ".join(f"'{name}'::regclass" for name in loaded),
    }
    return _SLOT.sub(lambda match: lists[match[1]], load(dialect, "copy")[name])


# Slots of both dialects


def _list(columns: Iterable[Column], alias: str = "") -> str:
    return ", ".join(f"{alias}{column.name}" for column in columns)


def _row(expressions: Iterable[str]) -> str:
    """Return one expression, or a row of several."""
    parts = list(expressions)
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def _line_columns(table: Table) -> list[Column]:
    """Return the columns in which equal lines of a log are equal."""
    return [column for column in table.key_columns if not column.derived]


def _null_schedule(table: Table, alias: str) -> str:
    return ", ".join(["NULL"] * len(SCHEDULING.columns))


_COMMON: Mapping[str, _Slot] = {
    "name": lambda table, alias: table.name,
    "table": lambda table, alias: table.stored_as,
    "columns": lambda table, alias: _list(table.columns, alias),
    "stored": lambda table, alias: _list(table.stored, alias),
    "key": lambda table, alias: _list(table.key_columns, alias),
    "key_row": lambda table, alias: _row(f"{alias}{name}" for name in table.key),
    "first_key": lambda table, alias: f"{alias}{table.key[0]}",
    "line": lambda table, alias: _list(_line_columns(table), alias),
    "owner": lambda table, alias: f"{alias}{table.parents[0].column}",
    "time": lambda table, alias: f"{alias}{table.time}",
    "orphan_reason": lambda table, alias: table.orphan_reason,
    "schedule": lambda table, alias: _list(SCHEDULING.columns, alias),
    "null_schedule": _null_schedule,
}


# PostgreSQL


def _written(table: Table, alias: str) -> str:
    return ", ".join(_written_value(table, column, alias) for column in table.stored)


def _written_value(table: Table, column: Column, alias: str) -> str:
    if column.unique:
        return load("postgres", "copy")["unique_value"].format(table=table.stored_as, column=column.name)
    return column.codec.cast.format(f"{alias}{column.name}")


def _assignments(table: Table, alias: str) -> str:
    return ", ".join(
        f"{column.name} = {_written_value(table, column, alias)}"
        for column in table.stored
        if column.name not in table.key
    )


def _same_key(table: Table, alias: str) -> str:
    return " AND ".join(f"t.{name} = {alias}{name}" for name in table.key)


def _same_line(table: Table, alias: str) -> str:
    return " AND ".join(
        f"t.{column.name} {'IS NOT DISTINCT FROM' if column.nullable_key else '='} {alias}{column.name}"
        for column in _line_columns(table)
    )


def _parent_joins(table: Table, alias: str) -> str:
    joins = ""
    for number, parent in enumerate(table.parents, start=1):
        joins += f" JOIN {BY_NAME[parent.table].stored_as} p{number} ON p{number}.id = {alias}{parent.column}"
        if parent.version:
            version = BY_NAME[parent.table].version
            joins += f" AND p{number}.{version} IS NOT DISTINCT FROM {alias}{parent.version}"
    return joins


def _parent_missing(table: Table, alias: str) -> str:
    return " OR ".join(
        f"NOT EXISTS (SELECT 1 FROM {BY_NAME[parent.table].stored_as} p WHERE p.id = {alias}{parent.column})"
        for parent in table.parents
    )


def _key_bytes(table: Table, column: Column, key: str) -> str:
    """Return the expression of a part of a key."""
    start = 1
    for each in table.key_columns:
        if each is column:
            break
        start += each.codec.key_bytes or 0
    if not column.codec.key_bytes:
        return f"substring({key} from {start})" if start > 1 else key
    return f"substring({key}{f' from {start}' if start > 1 else ''} for {column.codec.key_bytes})"


def _parsed_key(table: Table, key: str) -> list[str]:
    return [column.codec.parse.format(_key_bytes(table, column, key)) for column in table.key_columns]


def _key_of_row(table: Table, alias: str) -> str:
    parsed = _parsed_key(table, f"{alias}key")
    return " AND ".join(f"t.{name} = {value}" for name, value in zip(table.key, parsed, strict=True))


def _key_sent(table: Table, alias: str) -> str:
    parts = []
    for column in table.key_columns:
        sent = column.codec.key_sent.format(f"{alias}{column.name}")
        if column.nullable_key:
            sent = f"coalesce({sent}, decode(repeat('00', {column.codec.key_bytes}), 'hex'))"
        parts.append(sent)
    return " || ".join(parts)


def _page_row(table: Table, alias: str) -> str:
    return _row(
        f"%({param})s" if column.codec is TEXT else f"nullif(%({param})s, '')::{column.codec.type}"
        for param, column in zip(AFTER_PARAMS, table.key_columns, strict=False)
    )


def _differing(table: Table, alias: str) -> str:
    conditions = ""
    for column in table.sent:
        if column.codec is JSON:
            conditions += f" OR t.{column.name} <> {JSON.parse.format(f'{alias}{column.name}')}"
        else:
            value = f"convert_from({alias}{column.name}, 'UTF8')"
            conditions += f" OR t.{column.name} NOT IN ({value}, {value} || '-' || left(t.id::text, 8))"
    return conditions


def _sends(columns: Iterable[Column], alias: str) -> str:
    return ", ".join(column.codec.sent.format(f"{alias}{column.name}") for column in columns)


_POSTGRES: Mapping[str, _Slot] = {
    **_COMMON,
    "read_stored": lambda table, alias: ", ".join(
        column.codec.read.format(f"{alias}{column.name}") for column in table.stored
    ),
    "typed": lambda table, alias: ", ".join(f"{column.name} {column.codec.type}" for column in table.columns),
    "written": _written,
    "assignments": _assignments,
    "same_key": _same_key,
    "same_line": _same_line,
    "parent_joins": _parent_joins,
    "version_joins": lambda table, alias: _parent_joins(table, alias) if table.versioned_parent else "",
    "parent_missing": _parent_missing,
    "sent_params": lambda table, alias: "".join(f", %({column.name})b::bytea[]" for column in table.sent),
    "sent_names": lambda table, alias: "".join(f", {column.name}" for column in table.sent),
    "sent_differ": _differing,
    "digested": lambda table, alias: _sends(table.digested, alias),
    "shown": lambda table, alias: _sends(table.compared, alias),
    "key_of_row": _key_of_row,
    "key_sent": _key_sent,
    "after_row": lambda table, alias: _row(_parsed_key(table, "%(after)s::bytea")),
    "page_row": _page_row,
}


# SQLite


def _value(table: Table, column: Column) -> str:
    if column.unique:
        return load("sqlite", "copy")["unique_value"].format(table=table.stored_as, column=column.name)
    return f":{column.name}"


def _same_line_params(table: Table, alias: str) -> str:
    return " AND ".join(
        f"t.{column.name} {'IS' if column.nullable_key else '='} :{column.name}" for column in _line_columns(table)
    )


def _keyless(table: Table, alias: str) -> str:
    kinds = " OR ".join(f"typeof({name}) <> 'text'" for name in table.key)
    return kinds if len(table.key) > 1 else f"{kinds} OR {table.key[0]} = ''"


_SQLITE: Mapping[str, _Slot] = {
    **_COMMON,
    "values": lambda table, alias: ", ".join(_value(table, column) for column in table.stored),
    "excluded": lambda table, alias: ", ".join(
        f"{column.name} = excluded.{column.name}" for column in table.stored if column.name not in table.key
    ),
    "assignments": lambda table, alias: ", ".join(
        f"{column.name} = {_value(table, column)}" for column in table.stored if column.name not in table.key
    ),
    "same_key": lambda table, alias: " AND ".join(f"{name} = :{name}" for name in table.key),
    "same_line": _same_line_params,
    "parent_missing": lambda table, alias: _parent_missing(table, ":"),
    "keyless": _keyless,
    "keyed": lambda table, alias: " AND ".join(f"typeof({name}) = 'text'" for name in table.key),
    "page_row": lambda table, alias: _row(
        f"CAST(:{param} AS TEXT)" for param, _ in zip(AFTER_PARAMS, table.key, strict=False)
    ),
    "same_element": lambda table, alias: " AND ".join(
        f"t.{name} = json_extract(k.value, '$[{position}]')" for position, name in enumerate(table.key)
    ),
}

_SLOTS: Mapping[str, Mapping[str, _Slot]] = {"postgres": _POSTGRES, "sqlite": _SQLITE}
