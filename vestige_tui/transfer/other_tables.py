"""Tables of a store that a copy does not know: journal, jobs, kept vectors, and tables of later migrations.

A backup of a server and its restore carry them as they are. Their columns are asked of the server, whose types decide
how a value is read there as text, and stored in a SQLite file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from vestige_tui.store.schema.named_sql import load
from vestige_tui.transfer.table_spec import TABLES

FileRow: TypeAlias = tuple[Any, ...]
"""Row as a SQLite file stores it."""
SPARE_VECTORS = "spare_embeddings"
"""Vectors of a second model, whose column has the width of that."""
CHUNK_ROWS = 500
"""Rows that are read at once from a server."""
FIRST_PLACE = "(0,0)"
"""Place before the first row of a table in its pages."""
RENUMBERING: Mapping[str, tuple[str, str]] = {
    "reviews": ("renumber_reviews", "settle_reviews"),
    "supersession": ("renumber_supersession", "settle_supersession"),
}
"""Statements that give the lines of a log other numbers, one after the other."""
_DIGEST_BYTES = 16


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def backup_sql(dialect: Any, block: str, **parts: str) -> str:
    """Return a statement of a backup with names and lists in its places."""
    statement = load(dialect, "backup")[block]
    for part, text in parts.items():
        statement = statement.replace(f"{{{part}}}", text)
    return statement


def columns_sql() -> str:
    """Return the query for the columns of the tables of a server that are no tables of a copy."""
    copied = ", ".join(f"'{table.stored_as}'" for table in TABLES)
    return backup_sql("postgres", "list_columns", copied=copied, ours=load("postgres")["store_tables"])


@dataclass(frozen=True, slots=True)
class _Form:
    """How a value of a type is read from the server and given to it, as SQL, and its form in a file."""

    read: str = "{0}::text"
    given: str = "%({0})s::text"
    to_file: Callable[[str], object] = str
    from_file: Callable[[Any], object] = str


def _to_time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")


def _to_vector(text: str) -> bytes:
    import numpy as np

    return np.array(json.loads(text), dtype="<f4").tobytes()


def _from_vector(blob: bytes) -> str:
    import numpy as np

    return json.dumps(np.frombuffer(blob, dtype="<f4").astype(float).tolist())


def _number(type: str, to_file: Callable[[str], object] = int) -> _Form:
    return _Form(given=f"%({{0}})s::{type}", to_file=to_file, from_file=lambda value: value)


_ARRAY = _Form(
    read="to_json({0})::text",
    given="CASE WHEN %({0})s::text IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(%({0})s::jsonb)) END",
)
_FORMS: Mapping[str, _Form] = {
    "timestamptz": _Form("to_json({0} AT TIME ZONE 'UTC') #>> '{{}}' || '+00:00'", "%({0})s::timestamptz", _to_time),
    "bool": _Form("({0}::int)::text", "%({0})s::text::boolean", int),
    "int2": _number("smallint"),
    "int4": _number("integer"),
    "int8": _number("bigint"),
    "float8": _number("double precision", float),
    "jsonb": _Form(given="%({0})s::jsonb"),
    "uuid": _Form(given="%({0})s::uuid"),
    "_text": _ARRAY,
    "vector": _Form(given="%({0})s::vector", to_file=_to_vector, from_file=_from_vector),
    "halfvec": _Form(given="%({0})s::halfvec", to_file=_to_vector, from_file=_from_vector),
    "bytea": _Form("encode({0}, 'hex')", "%({0})s::bytea", bytes.fromhex, lambda value: value),
}
_TEXT = _Form()


@dataclass(frozen=True, slots=True)
class OtherTable:
    """Table with the columns that both a server and a file have, with their types, and those of its primary key."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    parents: frozenset[str] = field(default_factory=frozenset)
    ours: bool = True
    """False for a table of another program in the same schema."""

    @property
    def is_content(self) -> bool:
        """Check whether a user can lose its rows: the state of an unfinished copy is made again."""
        return self.name != "sync_state"

    @property
    def quoted(self) -> str:
        return quoted(self.name)

    @property
    def column_list(self) -> str:
        return ", ".join(map(quoted, self.columns))

    def within(self, columns: Iterable[str]) -> OtherTable:
        """Return the table with those of its columns alone that a file has."""
        present = set(columns)
        kept = {name: type for name, type in self.columns.items() if name in present}
        return replace(self, columns=kept)

    def read_columns(self) -> str:
        """Return the columns as the server gives their values: as text."""
        return ", ".join(
            f"{_form(type).read.format('t.' + quoted(name))} AS {quoted(name)}" for name, type in self.columns.items()
        )

    def given_values(self) -> str:
        """Return the parameters of a row as the server takes them; named by the places of their columns."""
        return ", ".join(_form(type).given.format(f"v{place}") for place, type in enumerate(self.columns.values()))

    def file_row(self, row: Mapping[str, Any]) -> FileRow:
        """Return a row of the server as a file stores it."""
        return tuple(
            None if row[name] is None else _form(type).to_file(row[name]) for name, type in self.columns.items()
        )

    def params(self, row: Sequence[Any]) -> dict[str, object]:
        """Return a row of a file as parameters of the server."""
        return {
            f"v{place}": None if value is None else _form(type).from_file(value)
            for place, (type, value) in enumerate(zip(self.columns.values(), row, strict=True))
        }

    def key_of(self, row: Sequence[Any]) -> tuple[str, ...]:
        places = {name: place for place, name in enumerate(self.columns)}
        return tuple(str(row[places[name]]) for name in self.key if name in places)

    def digest(self, row: Sequence[Any]) -> int:
        """Return a number that two rows share only if they are equal; JSON is compared by its values."""
        values = [
            _plain_json(value) if type == "jsonb" and value is not None else value
            for type, value in zip(self.columns.values(), row, strict=True)
        ]
        return int.from_bytes(hashlib.sha256(repr(values).encode()).digest()[:_DIGEST_BYTES], "big")


def _plain_json(text: str) -> str:
    # PostgreSQL sorts the keys, and writes large floats as whole numbers.
    return json.dumps(json.loads(text, parse_int=float), sort_keys=True)


def _form(type: str) -> _Form:
    return _FORMS.get(type, _TEXT)


def other_tables(columns: Iterable[Mapping[str, Any]], references: Iterable[Mapping[str, Any]]) -> list[OtherTable]:
    """Return the tables that the server has beside those of a copy, parents before the tables that refer to them."""
    types: dict[str, dict[str, str]] = {}
    ours: dict[str, bool] = {}
    keys: dict[str, dict[int, str]] = {}
    for row in columns:
        types.setdefault(row["name"], {})[row["column"]] = row["type"]
        ours[row["name"]] = bool(row["ours"])
        if row["place"]:
            keys.setdefault(row["name"], {})[int(row["place"])] = row["column"]
    parents: dict[str, set[str]] = {}
    for row in references:
        parents.setdefault(row["name"], set()).add(row["parent"])
    ordered: list[OtherTable] = []
    while waiting := [name for name in types if name not in {table.name for table in ordered}]:
        ready = [name for name in waiting if not parents.get(name, set()) & set(waiting)] or waiting
        for name in ready:
            key = tuple(column for _, column in sorted(keys.get(name, {}).items()))
            ordered.append(OtherTable(name, types[name], key, frozenset(parents.get(name, ())), ours[name]))
    return ordered
