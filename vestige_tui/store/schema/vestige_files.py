"""Vestige files: the kind of a SQLite file, the views that give a Vestige file our table names, and writes to it.

The pieces are in ``view_templates.sql`` and ``write_templates.sql`` of ``sql/sqlite/vestige/``; the first also explains
their notation.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, cast

from vestige_tui.core.errors import ForeignStore
from vestige_tui.core.times import parse_stored
from vestige_tui.store.schema.named_sql import Script, load, sql_folder
from vestige_tui.store.schema.sqlite_scripts import statements

Kind: TypeAlias = Literal["empty", "ours", "vestige", "foreign"]

_SORTS = "kind|line|question|homes|value|view|column|write|rewritten"
_HEADING = re.compile(rf"^-- ({_SORTS})\b ?(.*?)(?: ?\bwhen (.+?))? --$")
_LINE = re.compile(r"(\d+)\.\.(\d+) ?(.*)")
_MAGIC = b"SQLite format 3\0"
# A SQLite function takes at most 127 arguments.
_MAX_JSON_PAIRS = 50
_SERVER_FILE = "vestige.db"
_LATER_FOLDER = "log"
"""Folder of a Vestige 4 server, which it makes beside the file of its predecessor."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Kind of a SQLite file. ``empty`` has no tables; ``vestige`` includes adopted files.

    ``line`` names the version by tables and columns, as in "Vestige V18"; ``script`` is the SQL that each connection
    runs once after opening, empty for all kinds but ``vestige``; ``notes`` are sentences for the user, ``successor`` is
    one on a server that now writes elsewhere. ``writes`` are the queries that differ in an adopted file.
    """

    kind: Kind
    line: str
    script: str
    notes: tuple[str, ...]
    successor: str = ""
    adopted: bool = False
    incomplete: bool = False
    """It was adopted, and its server has removed columns or tables of the adoption since; then ``adopted`` is False."""
    writes: Mapping[str, Script] = field(default_factory=dict)


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
    """Detect the kind of a connection's main file, without writing.

    Raises ForeignStore if SQLite can never read the file, and the driver's errors for temporary failures.
    """
    try:
        return _File(connection).survey()
    except sqlite3.DatabaseError as error:
        _raise_foreign(connection, error)


class _File:
    """Tables of one file, and the pieces of view_templates.sql that match them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.tables = _tables(connection)

    def survey(self) -> Survey:
        if not self.tables:
            return Survey("empty", "", "", ())
        for piece in self._matching("kind"):
            if piece.subject == "ours":
                return Survey("ours", "", "", ())
            line, notes = self._line()
            incomplete = "console_adoption" in self.tables and self._lacks_additions()
            adopted = "console_adoption" in self.tables and not incomplete
            writes = self._writes() if adopted else {}
            kind, successor = cast(Kind, piece.subject), self._successor()
            return Survey(kind, line, self._script(), notes, successor, adopted, incomplete, writes)
        return Survey("foreign", "", "", ())

    def _lacks_additions(self) -> bool:
        """Check whether a column or table of adoption is missing."""
        from vestige_tui.store.schema.additions import COLUMNS, TABLES

        return not set(TABLES) <= self.tables.keys() or any(
            column not in self.tables[table] for column, table in COLUMNS.items()
        )

    def _line(self) -> tuple[str, tuple[str, ...]]:
        piece = next(self._matching("line"))
        match = _LINE.fullmatch(piece.subject)
        assert match is not None, piece.subject
        lowest, highest, text = int(match[1]), int(match[2]), match[3]
        recorded = self._answer("recorded")
        version = recorded if isinstance(recorded, int) and lowest <= recorded <= highest else lowest
        line = f"Vestige V{version} {text}".rstrip()
        if version == recorded:
            return line, ()
        recorded_text = f"version {recorded}" if isinstance(recorded, int) else "no version"
        return line, (f"The file claims {recorded_text}, but its tables are those of {line}.",)

    def _successor(self) -> str:
        """Return where the newer server of this folder writes, in a sentence; empty if this file is still the store."""
        [(name,)] = _rows(self._connection, "SELECT file FROM pragma_database_list WHERE name = 'main'")
        path = Path(name)
        folder = path.parent / _LATER_FOLDER
        if path.name != _SERVER_FILE or not folder.is_dir():
            return ""
        last_change = self._answer("last_change")
        changed = parse_stored(last_change if isinstance(last_change, str) else None)
        ends = f"ends on {changed:%Y-%m-%d}" if changed is not None else "is no longer written"
        return f"{path.name} {ends}: its server is now Vestige 4 and writes to {folder}."

    def _matching(self, sort: str, subject: str | None = None) -> Iterator[_Piece]:
        for piece in _pieces():
            if (
                piece.sort == sort
                and (subject is None or piece.subject.split(" ")[0] == subject)
                and all(self._is_met(need) for need in piece.needs)
            ):
                yield piece

    def _is_met(self, need: str) -> bool:
        if need.startswith("no "):
            return not self._is_met(need[3:])
        if need.startswith("?"):
            return bool(self._answer(need[1:]))
        table, _, column = need.partition(".")
        return table in self.tables and (not column or column in self.tables[table])

    def _answer(self, question: str) -> object:
        for piece in self._matching("question", question):
            row = _rows(self._connection, piece.sql)
            return row[0][0] if row else None
        return None

    def _script(self) -> str:
        views = ((table, self._view(table, columns)) for table, columns in _own_tables().items())
        return "\n".join(f"CREATE TEMP VIEW {_name(table)} AS\n{sql};" for table, sql in views if sql)

    def _view(self, table: str, columns: Mapping[str, _Column]) -> str:
        """Return the SELECT for one of our tables; empty if the file itself has the whole table."""
        whole = columns.keys() <= self.tables.get(table, {}).keys()
        for piece in self._matching("view", table):
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
        """Select our columns from one of the file's tables; empty if the file cannot supply a required column."""
        if source not in self.tables:
            return ""
        select_list = []
        for name, column in columns.items():
            expression = self._expression(table, column, source)
            if expression is None:
                return ""
            select_list.append(f"    {expression} AS {_name(name)}")
        select = "SELECT\n" + ",\n".join(select_list) + f"\nFROM main.{_name(source)} n"
        return f"{select}\nWHERE {where}" if where else select

    def _expression(self, table: str, column: _Column, source: str) -> str | None:
        for piece in self._matching("column", f"{table}.{column.name}"):
            return piece.sql.replace("{others}", self._others(source))
        source_column = self.tables[source].get(column.name)
        if source_column is None:
            return column.default or (None if column.required else "NULL")
        reference = f"n.{_name(column.name)}"
        # Only if it may be NULL: coalesce() keeps an index from being used.
        if source_column.required or not column.required or column.default is None:
            return reference
        return f"coalesce({reference}, {column.default})"

    def _writes(self) -> dict[str, Script]:
        """Return the statements of each query that is written otherwise in this file."""
        names, values = self._restored_columns()
        registered = load("sqlite")["still_registered"]
        parts: dict[str, tuple[list[str], list[str]]] = {}
        for piece in self._matching("write"):
            query, *before = piece.subject.split(" ")
            sql = piece.sql.replace("{other_columns}", names).replace("{other_values}", values)
            parts.setdefault(query, ([], []))[not before].extend(
                statement.rstrip(";") for statement in statements(sql.replace("{still_registered}", registered))
            )
        return {query: Script(tuple(first), main, tuple(rest)) for query, (first, [main, *rest]) in parts.items()}

    def _restored_columns(self) -> tuple[str, str]:
        """Return the columns that only the server uses, each after a comma, and their values in stored metadata."""
        homes = {home for piece in self._matching("homes") for home in piece.sql.split()}
        piece = next(self._matching("rewritten"))
        own = homes | set(piece.sql.split())
        columns = {name: column for name, column in self.tables[piece.subject].items() if name not in own}
        names = "".join(f", {_name(name)}" for name in columns)
        values = "".join(
            f", coalesce(json_extract(:metadata, {_text(f'$.vestige.{_name(name)}')}), {column.default or 'NULL'})"
            for name, column in columns.items()
        )
        return names, values

    def _others(self, source: str) -> str:
        homes = {home for piece in self._matching("homes") for home in piece.sql.split()}
        value = next(self._matching("value")).sql
        pairs = [
            f"{_text(column)}, " + value.replace("{value}", f"n.{_name(column)}")
            for column in self.tables[source]
            if column not in homes
        ]
        merged = "'{}'"
        # json_patch drops keys with NULL.
        for start in range(0, len(pairs), _MAX_JSON_PAIRS):
            arguments = ",\n".join(pairs[start : start + _MAX_JSON_PAIRS])
            merged = f"json_patch({merged}, json_object(\n{arguments}))"
        return merged if pairs else "json('{}')"


@cache
def _pieces() -> Sequence[_Piece]:
    """Parse the templates into pieces, in file order."""
    pieces: list[_Piece] = []
    for name in ("view_templates.sql", "write_templates.sql"):
        for line in (sql_folder() / "sqlite" / "vestige" / name).read_text(encoding="utf-8").splitlines():
            if heading := _HEADING.match(line):
                needs = tuple(need.strip() for need in (heading[3] or "").split(",") if need.strip())
                pieces.append(_Piece(heading[1], heading[2].strip(), needs, ""))
            elif pieces and line.strip() and not line.startswith("--"):
                last = pieces[-1]
                pieces[-1] = _Piece(last.sort, last.subject, last.needs, f"{last.sql}\n{line}".strip())
    return tuple(pieces)


@cache
def _own_tables() -> _Tables:
    """Return the tables that our migrations create."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for path in sorted((sql_folder() / "sqlite" / "migrations").glob("*.up.sql")):
            connection.executescript(path.read_text(encoding="utf-8"))
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> _Tables:
    """Return the tables of a file with their columns; a virtual table (text index) has no columns here."""
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


def _raise_foreign(connection: sqlite3.Connection, error: sqlite3.DatabaseError) -> NoReturn:
    """Raise ForeignStore for a damaged file or one that is no database; re-raise any other error."""

    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise error
    path = Path(str(connection.execute("PRAGMA database_list").fetchone()[2]))
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    if head == _MAGIC[: len(head)]:
        raise ForeignStore(f"{path} is truncated or corrupt: SQLite could not read it. Nothing was changed.") from error
    raise ForeignStore(f"{path} is encrypted or not a SQLite file.") from error
