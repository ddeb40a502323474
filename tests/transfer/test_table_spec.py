"""The table of the tables agrees with both schemas, and a column is added to a copied table by it alone."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.schema.migrations import migrations
from vestige_tui.transfer.codecs import (
    BOOLEAN,
    DOUBLE,
    EMBEDDING,
    INTEGER,
    JSON,
    MOMENT,
    SMALLINT,
    TEXT,
    TEXTS,
    UUID,
    UUIDS,
    VECTOR,
    Codec,
)
from vestige_tui.transfer.sync_state import stamp_of
from vestige_tui.transfer.table_spec import BY_NAME, MEMORIES, TABLES, Table

NOT_COPIED = {
    "knowledge_nodes": {"seq", "superseded_by", "search_vec"},
    "node_embeddings": {"seq", "created_at"},
    "review_events": {"id", "undoes"},
    "supersession_events": {"id"},
}
"""Columns that the databases fill in themselves, or that the log of the table implies."""
SQLITE_TYPES: dict[Codec, str] = {
    **dict.fromkeys((UUID, TEXT, MOMENT, TEXTS, UUIDS, JSON), "TEXT"),
    **dict.fromkeys((INTEGER, SMALLINT, BOOLEAN), "INTEGER"),
    **dict.fromkeys((VECTOR, EMBEDDING), "BLOB"),
    DOUBLE: "REAL",
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_columns_are_those_of_both_schemas(table: Table, postgres_database: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in migrations("sqlite"):
            connection.executescript(migration.up)
        rows = connection.execute(f"SELECT name, type FROM pragma_table_xinfo('{table.stored_as}') WHERE hidden = 0")
        file_types = dict(rows.fetchall())
    with psycopg.connect(postgres_database) as server:
        attributes = server.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [table.stored_as],
        ).fetchall()
        server_types = {name: {"timestamp with time zone": "timestamptz"}.get(kind, kind) for name, kind in attributes}
    omitted = NOT_COPIED.get(table.stored_as, set())
    names = {column.name for column in table.stored}
    assert set(file_types) - omitted == names
    assert set(server_types) - omitted == names
    for column in table.stored:
        assert server_types[column.name] == column.codec.type, column.name
        assert file_types[column.name].upper() == SQLITE_TYPES[column.codec], column.name


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_primary_key_is_that_of_both_schemas(table: Table, postgres_database: str) -> None:
    if table.log:
        assert "alike" in table.key
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in migrations("sqlite"):
            connection.executescript(migration.up)
        unique = {
            tuple(name for (name,) in connection.execute(f"SELECT name FROM pragma_index_info('{index}')"))
            for (index,) in connection.execute(
                f"SELECT name FROM pragma_index_list('{table.stored_as}') WHERE \"unique\""
            ).fetchall()
        }
    assert table.key in unique
    with psycopg.connect(postgres_database) as server:
        [(key,)] = server.execute(
            "SELECT array_agg(a.attname::text ORDER BY k.ord) FROM pg_index i"
            " CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY k(number, ord)"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number"
            " WHERE i.indrelid = %s::regclass AND i.indisprimary",
            [table.stored_as],
        ).fetchall()
    assert tuple(key) == table.key


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_parents_are_those_whose_rows_take_along_others(table: Table, postgres_database: str) -> None:
    names = {each.stored_as: each.name for each in TABLES if each is not table}
    parents = {(parent.column, parent.table) for parent in table.parents}
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in migrations("sqlite"):
            connection.executescript(migration.up)
        rows = connection.execute(
            f"""SELECT "from", "table" FROM pragma_foreign_key_list('{table.stored_as}') WHERE on_delete = 'CASCADE'"""
        )
        assert {(column, names[owner]) for column, owner in rows if owner in names} == parents
    with psycopg.connect(postgres_database) as server:
        found = server.execute(
            "SELECT a.attname, c.confrelid::regclass::text FROM pg_constraint c"
            " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " WHERE c.contype = 'f' AND c.confdeltype = 'c' AND c.conrelid = %s::regclass",
            [table.stored_as],
        ).fetchall()
        assert {(column, names[owner]) for column, owner in found if owner in names} == parents


def test_the_version_of_a_memory_is_the_time_of_its_last_edit() -> None:
    edited = pgbinary_encode.moment(datetime(2026, 2, 1, tzinfo=UTC))
    values: list[bytes | None] = [bytes(16), *[None] * (len(MEMORIES.columns) - 1)]
    values[MEMORIES.position("updated_at")] = edited
    values[MEMORIES.position("created_at")] = bytes(8)
    assert stamp_of("memories", values) == int.from_bytes(edited, "big", signed=True) != 0
    assert {table.name for table in TABLES if table.version} == {"memories"}


def test_a_row_has_its_stored_columns_first_and_its_parents_tables_before_its_own() -> None:
    names = [table.name for table in TABLES]
    for table in TABLES:
        assert table.columns[: len(table.stored)] == table.stored
        assert set(table.key) <= {column.name for column in table.columns}
        assert [column.codec.key_bytes for column in table.key_columns].count(0) <= 1
        assert all(column.codec.key_bytes for column in table.key_columns[:-1]), (
            "only the last part may be of any length"
        )
        for parent in table.parents:
            assert names.index(parent.table) < names.index(table.name)
            assert parent.column in {column.name for column in table.columns}
            if parent.version:
                assert BY_NAME[parent.table].version
                assert table.columns[-1].name == parent.version


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(table.name, marks=[] if table.name in ("memories", "reviews") else [pytest.mark.thorough])
        for table in TABLES
    ],
)
def test_a_column_is_added_by_a_migration_the_spec_and_a_converter(
    tmp_path: Path, postgres_database: str, name: str
) -> None:
    program = [sys.executable, "-m", "tests.support.added_column", name, str(tmp_path), postgres_database]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-4_000:]
    result = json.loads(ran.stdout.splitlines()[-1])
    there = result["there"]
    assert there["in the source"] > 0
    assert set(there.values()) == {there["in the source"]}
    assert result["differ"] == [["Note", "differs"]]
