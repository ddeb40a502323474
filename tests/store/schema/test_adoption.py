"""Adoption of Vestige files: what is added, what stays as it was, and what undoing it leaves."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.vestige_files import LATEST, make_line, make_v14
from vestige_tui.core.errors import Refused
from vestige_tui.store.schema.additions import COLUMNS, TABLES
from vestige_tui.store.schema.adoption import (
    adopt,
    plan_adoption,
    plan_withdrawal,
    withdraw,
)
from vestige_tui.store.schema.named_sql import load, sql_folder
from vestige_tui.store.schema.vestige_files import survey

OF_MEMORIES = tuple(column for column, table in COLUMNS.items() if table == "knowledge_nodes")
NOW = "2026-11-30T12:00:00.000000+00:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vestige.db"


def tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Columns by table."""
    names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    return {
        name: [column for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()]
        for (name,) in connection.execute(names).fetchall()
    }


def content(connection: sqlite3.Connection, of: dict[str, list[str]]) -> dict[str, list[tuple[Any, ...]]]:
    """All values of these columns, as bytes, so that invalid text is compared as well."""
    return {
        table: connection.execute(
            f"SELECT {', '.join(f'typeof({c}), CAST({c} AS BLOB)' for c in map(quoted, columns))} FROM {quoted(table)}"
        ).fetchall()
        for table, columns in of.items()
        if not table.startswith(("knowledge_fts", "sqlite_", "schema_version"))
    }


def quoted(name: str) -> str:
    return f'"{name}"'


def schema(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    return set(
        connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    )


@pytest.mark.parametrize("version", [*range(4, LATEST + 1)])
def test_adopting_a_line_changes_no_row_of_its_server_and_undoing_it_leaves_the_file_as_it_was(
    version: int, path: Path
) -> None:
    make_line(path, version, 12, hostile=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        theirs = tables(connection)
        before, schema_before = content(connection, theirs), schema(connection)
        done = adopt(connection, path.with_name("backup.db"), NOW)
        assert done.plan.columns == OF_MEMORIES
        assert done.plan.tables == TABLES
        assert done.plan.versions is None
        assert content(connection, theirs) == before
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (version,)
        assert (survey(connection).kind, survey(connection).line) == ("vestige", f"Vestige V{version}")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with closing(sqlite3.connect(done.backup)) as backup:
            assert content(backup, theirs) == before
            assert schema(backup) == schema_before
        withdraw(connection)
        assert content(connection, theirs) == before
        assert (
            tables(connection) == {**theirs, **({"sqlite_sequence": ["name", "seq"]})} or tables(connection) == theirs
        )
        assert {row[:2] for row in schema(connection)} == {row[:2] for row in schema_before}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_only_a_phase_1_file_gets_the_version_of_phase_2(path: Path) -> None:
    make_v14(path, 12, hostile=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        theirs, objects = tables(connection), {row[:2] for row in schema(connection)}
        before = content(connection, theirs)
        assert adopt(connection, path.with_name("backup.db"), NOW).plan.versions == (14, 15)
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(15,)]
        assert survey(connection).line == "Vestige V15 (phase 1)"
        assert "undoes" in tables(connection)["review_events"]
        withdraw(connection)
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(14,)]
        assert (tables(connection), content(connection, theirs)) == (theirs, before)
        assert {row[:2] for row in schema(connection)} == objects


def test_existing_memories_get_the_defaults(path: Path) -> None:
    make_line(path, 18, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        adopt(connection, path.with_name("backup.db"), NOW)
        rows = connection.execute("SELECT owner_user_id, visibility, shared_with_groups, codebase FROM knowledge_nodes")
        assert set(rows.fetchall()) == {("00000000-0000-0000-0000-000000000001", "private", "[]", None)}
        assert connection.execute("SELECT handle FROM users").fetchall() == [("local",)]


def test_no_table_of_ours_depends_on_one_of_the_server(path: Path) -> None:
    make_line(path, LATEST, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        adopt(connection, path.with_name("backup.db"), NOW)
        for table in TABLES:
            referenced = connection.execute('SELECT "table" FROM pragma_foreign_key_list(?)', (table,)).fetchall()
            assert {name for (name,) in referenced} <= set(TABLES), table


ONLY_ADOPTED = {"console_extra", "console_images", "console_adoption"}


def described(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    """Columns of a table with type, default and place in its key, its checks, keys and indexes, in one spelling."""
    columns = connection.execute('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?)', (table,))
    keys = connection.execute('SELECT "table", "from", "to", on_delete FROM pragma_foreign_key_list(?)', (table,))
    [definition] = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    indexes = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (table,))
    unique = connection.execute("SELECT origin, \"unique\" FROM pragma_index_list(?) WHERE origin <> 'c'", (table,))
    return {
        "columns": set(columns.fetchall()),
        "keys": {key for key in keys if key[0] in TABLES},
        "checks": set(
            re.findall(r"CHECK ?(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))", " ".join(definition[0].split()))
        ),
        "counts": "AUTOINCREMENT" in definition[0],
        "unique": sorted(unique.fetchall()),
        "indexes": {" ".join(sql.replace("IF NOT EXISTS ", "").split()) for (sql,) in indexes if sql is not None},
    }


def test_the_tables_are_those_of_the_migrations(path: Path) -> None:
    make_line(path, LATEST, 1)
    with closing(sqlite3.connect(":memory:")) as ours, closing(sqlite3.connect(path, isolation_level=None)) as added:
        for step in sorted((sql_folder() / "sqlite" / "migrations").glob("*.up.sql")):
            ours.executescript(step.read_text(encoding="utf-8"))
        ours.execute(load("sqlite")["create_bookkeeping"])
        adopt(added, path.with_name("backup.db"), NOW)
        for table in sorted(set(TABLES) - ONLY_ADOPTED):
            assert described(added, table) == described(ours, table), table


def test_winners_and_pins_of_the_server_are_taken_over(path: Path) -> None:
    make_line(path, 18, [{"id": name, "content": name} for name in ("old", "new", "lost", "pinned")])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        until = "2026-03-01T00:00:00+00:00"
        connection.execute(
            "UPDATE knowledge_nodes SET superseded_by = 'new', valid_until = ? WHERE id = 'old'", (until,)
        )
        connection.execute("UPDATE knowledge_nodes SET superseded_by = 'nowhere' WHERE id = 'lost'")
        connection.execute("UPDATE knowledge_nodes SET protected = 1 WHERE id = 'pinned'")
        adopt(connection, path.with_name("backup.db"), NOW)
        events = connection.execute("SELECT loser_id, winner_id, kind, decided_at FROM supersession_events").fetchall()
        assert events == [("old", "new", "imported", until)]
        assert connection.execute("SELECT memory_id, pinned FROM review_marks").fetchall() == [("pinned", 1)]


def test_what_is_there_already_is_left_and_what_a_rebuilt_table_lost_is_added_again(path: Path) -> None:
    make_line(path, 18, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        adopt(connection, path.with_name("backup.db"), NOW)
        assert plan_adoption(connection).is_done
        connection.execute("DROP INDEX idx_nodes_codebase")
        connection.execute("ALTER TABLE knowledge_nodes DROP COLUMN codebase")
        again = adopt(connection, path.with_name("another backup.db"), NOW)
        assert (again.plan.columns, again.plan.tables) == (("codebase",), ())
        assert plan_withdrawal(connection).columns == OF_MEMORIES
        assert connection.execute("SELECT count(*) FROM console_adoption").fetchone() == (1,)


def test_undoing_says_how_much_the_console_has_written(path: Path) -> None:
    make_line(path, 18, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        adopt(connection, path.with_name("backup.db"), NOW)
        assert plan_withdrawal(connection).written == {}
        connection.execute("INSERT INTO console_extra VALUES ('a', '{}')")
        connection.execute("INSERT INTO journal (actor, verb, before, after) VALUES ('mira', 'tag', '{}', '{}')")
        connection.execute("UPDATE knowledge_nodes SET codebase = 'api' WHERE rowid = 1")
        assert plan_withdrawal(connection).written == {"journal_entries": 1, "extras": 1, "labelled": 1}


@pytest.mark.parametrize("case", ["another table", "our own store", "a backup is there", "a full disk"])
def test_a_refused_adoption_adds_nothing(case: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_line(path, 18, 3)
    backup = path.with_name("backup.db")
    expected: type[Exception] = Refused
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if case == "another table":
            connection.execute("CREATE TABLE journal (line TEXT)")
        elif case == "our own store":
            connection.execute("ALTER TABLE knowledge_nodes RENAME TO other_nodes")
        elif case == "a backup is there":
            backup.write_text("precious")
            expected = Refused
        else:
            connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0] + 2}")
            expected = sqlite3.OperationalError
        before = schema(connection)
        with pytest.raises(expected):
            adopt(connection, backup, NOW)
        assert schema(connection) == before
        assert not connection.in_transaction
    assert not backup.exists() or case in ("a backup is there", "a full disk")
    assert case != "a backup is there" or backup.read_text() == "precious"


def test_a_file_that_is_not_adopted_has_nothing_to_undo(path: Path) -> None:
    make_line(path, 18, 3)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        pytest.raises(Refused, match="not adopted"),
    ):
        withdraw(connection)


def test_of_two_at_once_one_is_told_that_the_other_has_adopted_the_file(path: Path) -> None:
    make_line(path, LATEST, 3)

    class Interrupted(sqlite3.Connection):
        """Connection that another one overtakes between its backup and its transaction."""

        has_been_overtaken = False

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql.startswith("BEGIN IMMEDIATE") and not self.has_been_overtaken:
                self.has_been_overtaken = True
                with closing(sqlite3.connect(path, isolation_level=None)) as other:
                    adopt(other, path.with_name("first.db"), NOW)
            return super().execute(sql, *arguments)

    with closing(sqlite3.connect(path, isolation_level=None, factory=Interrupted)) as late:
        with pytest.raises(Refused, match="Another process has adopted the file meanwhile"):
            adopt(late, path.with_name("second.db"), NOW)
        assert late.has_been_overtaken
        assert plan_adoption(late).is_done
