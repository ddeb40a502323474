"""Every statement of a copy or comparison is prepared by its database, and reads continue by an index."""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.schema.named_sql import load
from vestige_tui.transfer.copy_sql import VERBS, CopySql, block_of
from vestige_tui.transfer.table_spec import TABLES

if TYPE_CHECKING:
    from vestige_tui.store.schema.named_sql import Dialect

SHARED: dict[Dialect, tuple[str, ...]] = {
    "sqlite": (
        *("read_odd_ids", "find_seq", "list_left_behind", "count_rows", "rebuild_winners", "limit_analysis"),
        *("analyze_target", "find_id", "find_winner", "list_odd_ids"),
    ),
    "postgres": (
        *("list_left_behind", "count_rows", "keep_plans", "take_time", "hold_indexes", "hold_logs", "list_indexes"),
        *("more_memory", "rebuild_winners", "analyze_target"),
    ),
}
"""Statements that concern no single table."""
PARTS: dict[Dialect, set[str]] = {
    "sqlite": {"unique_value", "review_columns", "supersession_columns", "odd_id"},
    "postgres": {"unique_value", "review_lines", "supersession_lines"},
}
"""Blocks that only others include."""


def statements(dialect: Dialect) -> Iterator[tuple[str, str, str]]:
    sql = CopySql(dialect)
    for table in TABLES:
        for verb in VERBS[dialect]:
            if (statement := sql.find(verb, table.name)) is not None:
                yield verb, table.name, statement
    for name in SHARED[dialect]:
        yield name, "", sql[name].replace("{table}", "knowledge_nodes")


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_every_block_serves_a_statement_and_every_named_block_exists(dialect: Dialect) -> None:
    used = {block_of(dialect, verb, table) for table in TABLES for verb in VERBS[dialect]}
    assert set(load(dialect, "copy")) == (used - {None}) | set(SHARED[dialect]) | PARTS[dialect]
    everything = {*load("sqlite", "copy"), *load("postgres", "copy")}
    for table in TABLES:
        assert set(table.blocks.values()) <= everything, table.name
        assert set(table.blocks) <= {*VERBS["sqlite"], *VERBS["postgres"], "lines"}, table.name


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_no_slot_is_left_open(dialect: Dialect) -> None:
    for verb, table, statement in statements(dialect):
        assert "/*" not in statement, (verb, table)


def test_sqlite_prepares_every_statement() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in migrations("sqlite"):
            connection.executescript(migration.up)
        for verb, table, statement in statements("sqlite"):
            parameters = dict.fromkeys(re.findall(r":([a-z]\w*)", statement), "[]")
            connection.execute(f"EXPLAIN {statement}", parameters)
            if verb == "read":
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
                assert not [step for step in plan if "TEMP B-TREE" in step[3] or step[3].startswith("SCAN v")], table


def test_postgres_prepares_every_statement(bare_postgres_database: str) -> None:
    with psycopg.connect(bare_postgres_database) as connection:
        for migration in migrations("postgres"):
            if not migration.staged:
                connection.execute(migration.up.encode())
        sql = CopySql("postgres")
        for table in TABLES:
            connection.execute(sql.of("stage", table.name).encode())
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_sort = off")
        for number, (verb, table_name, statement) in enumerate(statements("postgres")):
            if not statement.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
                continue  # COPY and utility statements cannot be prepared.
            places = list(dict.fromkeys(re.findall(r"%\((\w+)\)[sb]", statement)))
            numbered = statement.replace("{vector}", "vector")
            for position, place in enumerate(places, start=1):
                numbered = re.sub(rf"%\({place}\)[sb]", f"${position}", numbered)
            connection.execute(f"PREPARE statement_{number} AS {numbered}".encode())
            if verb == "read":
                assert_read_by_index(connection, table_name, statement)


def assert_read_by_index(connection: psycopg.Connection[Any], table: str, statement: str) -> None:
    """A read continues behind its key by an index, and never sorts."""
    logs = {each.name for each in TABLES if each.log}
    after: object = 7 if table in logs else ("%" if table == "domains" else str(uuid.uuid4()))
    values = {"after": after, "after_second": str(uuid.uuid4()), "after_third": "x", "limit": 10}
    explained = psycopg.ClientCursor(connection).execute(f"EXPLAIN {statement}".encode(), values).fetchall()
    plan = "\n".join(row[0] for row in explained)
    assert "Index Cond" in plan, table
    assert "Sort" not in plan, table
