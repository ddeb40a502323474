"""Files that a Vestige server made: what kind a SQLite file is, and the views that give it our tables' names.

The pieces are in ``sql/sqlite/vestige/views.sql``, which also explains their notation.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, cast

from vestige_tui.core.errors import ForeignStore
from vestige_tui.store.schema.named_sql import sql_folder

Kind: TypeAlias = Literal["empty", "ours", "vestige", "foreign"]

_HEADING = re.compile(r"^-- (kind|line|question|homes|value|view|column)\b ?(.*?)(?: ?\bwhen (.+?))? --$")
_LINE = re.compile(r"(\d+)\.\.(\d+) ?(.*)")
_MAGIC = b"SQLite format 3\0"
# A function takes at most 127 arguments.
_PAIRS = 50


@dataclass(frozen=True, slots=True)
class Survey:
    """What a SQLite file is. ``empty`` has no tables; ``vestige`` includes adopted files.

    ``line`` names the version by tables and columns, as in "Vestige V18"; ``script`` is the SQL that each connection
    runs once after opening, empty for all kinds but ``vestige``; ``notes`` are sentences for a person.
    """

    kind: Kind
    line: str
    script: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    sort: str
    subject: str
    needs: tuple[str, ...]
    sql: str


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    required: bool
    """Declared NOT NULL, or part of the primary key."""
    default: str | None


_Tables: TypeAlias = Mapping[str, Mapping[str, _Column]]


def survey(connection: sqlite3.Connection) -> Survey:
    """Look at the main file of a connection; writes nothing.

    Raises ForeignStore where SQLite cannot read the file at all, and the driver's own errors where it cannot just now.
    """
    try:
        return _File(connection).survey()
    except sqlite3.DatabaseError as error:
        _explain(connection, error)


class _File:
    """The tables of one file, and which pieces fit them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.tables = _tables(connection)

    def survey(self) -> Survey:
        if not self.tables:
            return Survey("empty", "", "", ())
        for piece in self._fitting("kind"):
            if piece.subject == "ours":
                return Survey("ours", "", "", ())
            line, notes = self._line()
            return Survey(cast(Kind, piece.subject), line, self._script(), notes)
        return Survey("foreign", "", "", ())

    def _line(self) -> tuple[str, tuple[str, ...]]:
        piece = next(self._fitting("line"))
        match = _LINE.fullmatch(piece.subject)
        assert match is not None, piece.subject
        lowest, highest, text = int(match[1]), int(match[2]), match[3]
        recorded = self._ask("recorded")
        version = recorded if isinstance(recorded, int) and lowest <= recorded <= highest else lowest
        line = f"Vestige V{version} {text}".rstrip()
        if version == recorded:
            return line, ()
        said = f"version {recorded}" if isinstance(recorded, int) else "no version"
        return line, (f"The file says {said} of itself; its tables are those of {line}.",)

    def _fitting(self, sort: str, subject: str | None = None) -> Iterator[_Piece]:
        for piece in _pieces():
            if (
                piece.sort == sort
                and (subject is None or piece.subject.split(" ")[0] == subject)
                and all(self._met(need) for need in piece.needs)
            ):
                yield piece

    def _met(self, need: str) -> bool:
        if need.startswith("no "):
            return not self._met(need[3:])
        if need.startswith("?"):
            return bool(self._ask(need[1:]))
        table, _, column = need.partition(".")
        return table in self.tables and (not column or column in self.tables[table])

    def _ask(self, question: str) -> object:
        for piece in self._fitting("question", question):
            row = _rows(self._connection, piece.sql)
            return row[0][0] if row else None
        return None

    def _script(self) -> str:
        views = ((table, self._view(table, columns)) for table, columns in _own_tables().items())
        return "\n".join(f"CREATE TEMP VIEW {_name(table)} AS\n{sql};" for table, sql in views if sql)

    def _view(self, table: str, columns: Mapping[str, _Column]) -> str:
        """The SELECT that stands for one of our tables; nothing where the file has the whole table itself."""
        whole = columns.keys() <= self.tables.get(table, {}).keys()
        for piece in self._fitting("view", table):
            _, *words = piece.subject.split(" ")
            if whole and "instead" not in words:
                continue
            if "of" not in words:
                return piece.sql
            if sql := self._select(table, columns, words[words.index("of") + 1], piece.sql):
                return sql
        if whole:
            return ""
        empty = ", ".join(f"NULL AS {_name(column)}" for column in columns)
        return self._select(table, columns, table, "") or f"SELECT {empty} WHERE false"

    def _select(self, table: str, columns: Mapping[str, _Column], source: str, where: str) -> str:
        """Our columns out of one of the file's tables; nothing where one that must have a value is not to be had."""
        if source not in self.tables:
            return ""
        shown = []
        for name, column in columns.items():
            expression = self._expression(table, column, source)
            if expression is None:
                return ""
            shown.append(f"    {expression} AS {_name(name)}")
        select = "SELECT\n" + ",\n".join(shown) + f"\nFROM main.{_name(source)} n"
        return f"{select}\nWHERE {where}" if where else select

    def _expression(self, table: str, column: _Column, source: str) -> str | None:
        for piece in self._fitting("column", f"{table}.{column.name}"):
            return piece.sql.replace("{others}", self._others(source))
        theirs = self.tables[source].get(column.name)
        if theirs is None:
            return column.default or (None if column.required else "NULL")
        plain = f"n.{_name(column.name)}"
        # Only where it may be NULL: a bare column keeps its index in use.
        if theirs.required or not column.required or column.default is None:
            return plain
        return f"coalesce({plain}, {column.default})"

    def _others(self, source: str) -> str:
        homes = {home for piece in self._fitting("homes") for home in piece.sql.split()}
        value = next(self._fitting("value")).sql
        pairs = [
            f"{_text(column)}, " + value.replace("{value}", f"n.{_name(column)}")
            for column in self.tables[source]
            if column not in homes
        ]
        gathered = "'{}'"
        # A merge patch takes no NULL along.
        for start in range(0, len(pairs), _PAIRS):
            listed = ",\n".join(pairs[start : start + _PAIRS])
            gathered = f"json_patch({gathered}, json_object(\n{listed}))"
        return gathered if pairs else "json('{}')"


@cache
def _pieces() -> Sequence[_Piece]:
    """What views.sql says, in its order."""
    found: list[_Piece] = []
    for line in (sql_folder() / "sqlite" / "vestige" / "views.sql").read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            needs = tuple(need.strip() for need in (heading[3] or "").split(",") if need.strip())
            found.append(_Piece(heading[1], heading[2].strip(), needs, ""))
        elif found and line.strip() and not line.startswith("--"):
            last = found[-1]
            found[-1] = _Piece(last.sort, last.subject, last.needs, f"{last.sql}\n{line}".strip())
    return tuple(found)


@cache
def _own_tables() -> _Tables:
    """Our tables, as our own migrations make them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for path in sorted((sql_folder() / "sqlite" / "migrations").glob("*.up.sql")):
            connection.executescript(path.read_text(encoding="utf-8"))
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> _Tables:
    """The plain tables of a file with their columns; a text index counts as a table without columns."""
    tables: dict[str, dict[str, _Column]] = {}
    names = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    for table, sort in _rows(connection, f"{names} AND type IN ('table', 'virtual') ORDER BY name"):
        tables[table] = {}
        if sort == "table":
            columns = "SELECT name, \"notnull\" OR pk, dflt_value FROM pragma_table_xinfo(?, 'main') ORDER BY cid"
            for name, required, default in _rows(connection, columns, table):
                tables[table][name.lower()] = _Column(name.lower(), bool(required), default)
    return tables


def _rows(connection: sqlite3.Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        return cursor.execute(sql, values).fetchall()


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _explain(connection: sqlite3.Connection, error: sqlite3.DatabaseError) -> NoReturn:
    """Tell a file that is no database from one that is damaged; everything else is the caller's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise error
    path = Path(str(connection.execute("PRAGMA database_list").fetchone()[2]))
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    if head == _MAGIC[: len(head)]:
        raise ForeignStore(f"{path} is truncated or corrupt: SQLite could not read it. Nothing was changed.") from error
    raise ForeignStore(f"{path} is encrypted or not a SQLite file.") from error
