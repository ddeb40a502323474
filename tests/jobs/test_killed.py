"""A worker killed at any call of a database: the next attempt ends with what an undisturbed run would have left."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest
from psycopg import sql

from tests.jobs.filled import fill
from tests.postgres import on_database
from vestige_tui.jobs import launch, ledger
from vestige_tui.jobs.launch import Work
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.model import Job, JobFinding
from vestige_tui.store import open_store

KILLED = -9
DEATHS = 24
BOOKKEEPING = {
    "delegations",
    "job_runs",
    "job_findings",
    "sync_state",
    "vestige_migrations",
    "term_stats",
    "sqlite_sequence",
    "sqlite_stat1",
}
ELSEWHERE_DIFFERENT = {"seq", "undoes", "changed_at", "seconds", "delegation_id", "search_vec"}
"""Columns that no two runs have alike, in any table."""
OWN_TIMES = {"embedding_model", "spare_model", "users"}
"""Tables whose rows are made by the store itself, at its own time."""
NUMBERED = {"review_events", "supersession_events", "model_changes"}


@dataclass
class Workers:
    """Workers that are begun by ``start`` but run only when told to, and die when told to."""

    begun: list[dict[str, Any]]
    asked: IO[str]
    answers: IO[str]

    def run(self, die_at: int = 0) -> tuple[int, int]:
        """Run the worker that was begun last; gives its exit status and how many calls it began."""
        self.asked.write(json.dumps({"spec": self.begun[-1], "die_at": die_at}) + "\n")
        self.asked.flush()
        answer = json.loads(self.answers.readline())
        return answer["status"], answer["calls"]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    begun: list[dict[str, Any]] = []
    monkeypatch.setattr(launch, "_spawn", begun.append)
    # Nobody waits half a minute to see that a worker is gone.
    monkeypatch.setattr(ledger, "LEASE", timedelta(seconds=-1))
    command = [sys.executable, "-m", "tests.jobs.dying"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdin is not None
        assert serving.stdout is not None
        yield Workers(begun, serving.stdin, serving.stdout)
        serving.stdin.close()


@dataclass(frozen=True)
class Left:
    """What a job left: the rows of every table, its counts, and what it found."""

    rows: dict[str, list[str]]
    counts: dict[str, Any]
    findings: list[JobFinding]


async def left(target: str, job: Job) -> Left:
    counts = {name: replace(table, total=None) for name, table in job.progress.tables.items()}
    async with open_store(target, read_only=True) as store:
        found = (await Ledger(store).findings(job.id, limit=1_000)).items
    rows = sqlite_rows(target) if target.startswith("sqlite:") else postgres_rows(target)
    return Left(rows, counts, sorted(found, key=repr))


def left_out(table: str) -> list[str]:
    own = ["created_at"] * (table in OWN_TIMES) + ["id"] * (table in NUMBERED)
    return [*ELSEWHERE_DIFFERENT, *own]


def sqlite_rows(target: str) -> dict[str, list[str]]:
    with closing(sqlite3.connect(target.removeprefix("sqlite:"))) as connection:
        connection.row_factory = sqlite3.Row
        tables = [str(row["name"]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert [tuple(row) for row in connection.execute("PRAGMA integrity_check")] == [("ok",)]
        found: dict[str, list[str]] = {}
        for name in tables:
            if name not in BOOKKEEPING and "fts" not in name:
                rows = [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
                found[name] = sorted(
                    repr([value for key, value in row.items() if key not in left_out(name)]) for row in rows
                )
        return found


def postgres_rows(target: str) -> dict[str, list[str]]:
    with psycopg.connect(target) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " WHERE i.indisvalid AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
        found: dict[str, list[str]] = {"indexes": sorted(str(name) for (name,) in indexes)}
        for (name,) in tables:
            if name not in BOOKKEEPING:
                query = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t").format(sql.Identifier(name))
                found[name] = sorted(str(text) for (text,) in connection.execute(query, [left_out(name)]))
        return found


async def begin(work: Work) -> str:
    launched = await launch.start(work)
    assert not launched.already_running
    return launched.job_id


async def ended(target: str, job_id: str) -> Job:
    async with open_store(target, read_only=True) as store:
        return await Ledger(store).job(job_id)


async def undisturbed(work: Work, workers: Workers) -> tuple[Left, int]:
    """What the job leaves when nothing comes between, and how many calls it takes."""
    job_id = await begin(work)
    status, calls = workers.run()
    job = await ended(work.target, job_id)
    assert (status, job.status, job.error) == (0, "completed", None)
    return await left(work.target, job), calls


async def killed(work: Work, workers: Workers, die_at: int) -> Left:
    """What the job leaves when its worker is killed at a call, and another takes it up."""
    job_id = await begin(work)
    status, calls = workers.run(die_at)
    # A sign of life more or less is a call more or less: the last of them may not be reached.
    assert status == KILLED or (status == 0 and calls < die_at)
    job = await ended(work.target, job_id)
    if job.status != "completed":
        job_id = await begin(work)
        assert workers.run()[0] == 0
        job = await ended(work.target, job_id)
        assert job.attempt == 2
    assert (job.status, job.error) == ("completed", None)
    return await left(work.target, job)


def assert_alike(again: Left, whole: Left, die_at: int) -> None:
    assert again.counts == whole.counts, f"killed at call {die_at}"
    assert again.findings == whole.findings, f"killed at call {die_at}"
    for name in whole.rows:
        assert again.rows[name] == whole.rows[name], f"{name}, killed at call {die_at}"
    assert again.rows.keys() == whole.rows.keys()


def deaths(calls: int) -> range:
    """The calls at which a worker is killed: some of them, evenly spread, or every one where there is time for that."""
    return range(1, calls + 1, 1 if os.environ.get("VESTIGE_EVERY_DEATH") else max(1, calls // DEATHS))


async def filled(path: Path) -> str:
    """A small source with a row that is mended, one that cannot be copied, and one without its memory."""
    await fill(path, 12, dimension=8)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE knowledge_nodes SET tags = 'not json' WHERE content LIKE '3 %'")
        connection.execute("UPDATE node_embeddings SET embedding = x'0000' WHERE seq = 2")
        connection.execute("INSERT INTO scheduling (memory_id) VALUES ('nobody')")
    return f"sqlite:{path}"


@contextmanager
def database(server: str, name: str, template: str = "template0") -> Iterator[str]:
    """A database of this name, as the template has it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield on_database(server, name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


async def test_a_copy_to_postgres_survives_every_death(tmp_path: Path, postgres_server: str, workers: Workers) -> None:
    source = await filled(tmp_path / "source.db")
    options = {"batch": 5}
    with database(postgres_server, "made") as made:
        async with open_store(made, create=True):
            pass
        with database(postgres_server, "whole", "made") as target:
            whole, calls = await undisturbed(Work("copy", source, target, options), workers)
        assert whole.findings
        for die_at in deaths(calls):
            with database(postgres_server, "killed", "made") as target:
                again = await killed(Work("copy", source, target, options), workers, die_at)
                assert_alike(again, whole, die_at)


async def test_a_copy_to_a_file_survives_every_death(tmp_path: Path, workers: Workers) -> None:
    source = await filled(tmp_path / "source.db")
    options = {"batch": 5}
    whole, calls = await undisturbed(Work("copy", source, f"sqlite:{tmp_path / 'whole.db'}", options), workers)
    for die_at in deaths(calls):
        folder = tmp_path / "killed"
        folder.mkdir()
        again = await killed(Work("copy", source, f"sqlite:{folder / 'killed.db'}", options), workers, die_at)
        assert_alike(again, whole, die_at)
        shutil.rmtree(folder)
