"""Rows that a job leaves in a store, without the columns that differ from run to run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from vestige_tui.core.jobs import Job, JobFinding
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store

IGNORED_TABLES = {
    "delegations",
    "job_runs",
    "job_findings",
    "sync_state",
    "vestige_migrations",
    "term_stats",
    "sqlite_sequence",
    "sqlite_stat1",
}


VOLATILE_COLUMNS = {"seq", "undoes", "changed_at", "seconds", "delegation_id", "search_vec"}
"""Columns that differ from run to run, in any table."""


TABLES_WITH_OWN_TIMES = {"embedding_model", "spare_model", "users"}
"""Tables with rows that the store makes itself, at its own time."""


NUMBERED_TABLES = {"review_events", "supersession_events", "model_changes"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows of every table, counts and findings that a job has left."""

    rows: dict[str, list[str]]
    counts: dict[str, Any]
    findings: list[JobFinding]


async def read_outcome(target: str, job: Job) -> Outcome:
    """Read everything that the job has left in its target."""
    counts = {name: replace(table, total=None) for name, table in job.progress.tables.items()}
    async with open_store(target, read_only=True) as store:
        findings = (await Ledger(store).findings(job.id, limit=1_000)).items
    return Outcome(read_rows(target), counts, sorted(findings, key=repr))


def ignored_columns(table: str) -> list[str]:
    own = ["created_at"] * (table in TABLES_WITH_OWN_TIMES) + ["id"] * (table in NUMBERED_TABLES)
    return [*VOLATILE_COLUMNS, *own]


def sqlite_rows(target: str) -> dict[str, list[str]]:
    with closing(sqlite3.connect(target.removeprefix("sqlite:"))) as connection:
        connection.row_factory = sqlite3.Row
        tables = [str(row["name"]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert [tuple(row) for row in connection.execute("PRAGMA integrity_check")] == [("ok",)]
        contents: dict[str, list[str]] = {}
        for name in tables:
            if name not in IGNORED_TABLES and "fts" not in name:
                rows = [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
                contents[name] = sorted(
                    repr([value for key, value in row.items() if key not in ignored_columns(name)]) for row in rows
                )
        return contents


def postgres_rows(target: str) -> dict[str, list[str]]:
    with psycopg.connect(target) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " WHERE i.indisvalid AND c.relnamespace = quote_ident(current_schema())::regnamespace"
        ).fetchall()
        contents: dict[str, list[str]] = {"indexes": sorted(str(name) for (name,) in indexes)}
        for (name,) in tables:
            if name not in IGNORED_TABLES:
                query = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t").format(sql.Identifier(name))
                contents[name] = sorted(str(text) for (text,) in connection.execute(query, [ignored_columns(name)]))
        return contents


def read_rows(url: str) -> dict[str, list[str]]:
    """Read every row of a store on either database."""
    return sqlite_rows(url) if url.startswith("sqlite:") else postgres_rows(url)
