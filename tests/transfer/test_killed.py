"""A worker killed at any call of a database: the next attempt ends with what an undisturbed run would have left."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest
from psycopg import sql

from tests.support.filled import fill
from tests.support.postgres import database
from vestige_tui.core.jobs import Job, JobFinding
from vestige_tui.jobs import start, sweeper
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store

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

    def run(self, die_at: int = 0, edits: Sequence[tuple[str, str]] = ()) -> tuple[int, int]:
        """Run the worker that was begun last; gives its exit status and how many calls it began.

        The ``edits``, each a store and a statement, are made behind its back once it has read all rows; where there are
        some, only the calls after them count.
        """
        self.asked.write(json.dumps({"spec": self.begun[-1], "die_at": die_at, "edits": edits}) + "\n")
        self.asked.flush()
        answer = json.loads(self.answers.readline())
        return answer["status"], answer["calls"]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    begun: list[dict[str, Any]] = []
    monkeypatch.setattr(start, "_spawn", begun.append)
    # Nobody waits half a minute to see that a worker is gone.
    monkeypatch.setattr(sweeper, "LEASE", timedelta(seconds=-1))
    command = [sys.executable, "-m", "tests.support.dying"]
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


async def begin(work: JobRequest) -> str:
    launched = await start.start(work)
    assert not launched.already_running
    return launched.job_id


async def ended(target: str, job_id: str) -> Job:
    async with open_store(target, read_only=True) as store:
        return await Ledger(store).job(job_id)


async def undisturbed(work: JobRequest, workers: Workers, edits: Sequence[tuple[str, str]] = ()) -> tuple[Left, int]:
    """What the job leaves when nothing comes between, and how many calls it takes."""
    job_id = await begin(work)
    status, calls = workers.run(0, edits)
    job = await ended(work.target, job_id)
    assert (status, job.status, job.error) == (0, "completed", None)
    return await left(work.target, job), calls


async def killed(work: JobRequest, workers: Workers, die_at: int, edits: Sequence[tuple[str, str]] = ()) -> Left:
    """What the job leaves when its worker is killed at a call, and another takes it up."""
    job_id = await begin(work)
    status, calls = workers.run(die_at, edits)
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
    step = 1 if os.environ.get("VESTIGE_EVERY_DEATH") else max(1, calls // DEATHS)
    return range(1, calls + 1, step)


async def filled(path: Path) -> str:
    """A small source with a row that is mended, one that cannot be copied, and one without its memory."""
    await fill(path, 12, dimension=8)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE knowledge_nodes SET tags = 'not json' WHERE content LIKE '3 %'")
        connection.execute("UPDATE node_embeddings SET embedding = x'0000' WHERE seq = 2")
        connection.execute("INSERT INTO scheduling (memory_id) VALUES ('nobody')")
    return f"sqlite:{path}"


async def test_a_copy_to_postgres_survives_every_death(tmp_path: Path, postgres_server: str, workers: Workers) -> None:
    source = await filled(tmp_path / "source.db")
    options = {"batch": 5}
    with database(postgres_server, "made") as made:
        async with open_store(made, create=True):
            pass
        with database(postgres_server, "whole", "made") as target:
            whole, calls = await undisturbed(JobRequest("copy", source, target, options), workers)
        assert whole.findings
        for die_at in deaths(calls):
            with database(postgres_server, "killed", "made") as target:
                again = await killed(JobRequest("copy", source, target, options), workers, die_at)
                assert_alike(again, whole, die_at)


async def test_a_copy_to_a_file_survives_every_death(tmp_path: Path, workers: Workers) -> None:
    source = await filled(tmp_path / "source.db")
    options = {"batch": 5}
    whole, calls = await undisturbed(JobRequest("copy", source, f"sqlite:{tmp_path / 'whole.db'}", options), workers)
    for die_at in deaths(calls):
        folder = tmp_path / "killed"
        folder.mkdir()
        again = await killed(JobRequest("copy", source, f"sqlite:{folder / 'killed.db'}", options), workers, die_at)
        assert_alike(again, whole, die_at)
        shutil.rmtree(folder)


# What changes meanwhile

AT = "2026-02-01T00:00:00.000000+00:00"
NEW = "00000000-0000-4000-8000-0000000000aa"
OWN = "00000000-0000-4000-8000-0000000000bb"


def between(source: str, target: str) -> list[tuple[str, str]]:
    """What somebody changes on both sides: rows that are to follow, and rows that are to stay."""
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection:
        ids = [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
    memory = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at)"
    edge = "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)"
    edited = "UPDATE knowledge_nodes SET content = '{}' WHERE id IN ({})"
    in_source = [
        edited.format("edited since", f"'{ids[1]}', '{ids[2]}', '{ids[5]}'"),
        f"UPDATE node_embeddings SET embedding = zeroblob(32) WHERE node_id = '{ids[1]}'",
        f"UPDATE edges SET weight = 0.25 WHERE source_id = '{ids[2]}'",
        f"UPDATE scheduling SET reps = 9, last_review = '{AT}' WHERE memory_id = '{ids[6]}'",
        f"UPDATE review_marks SET buried_until = '{AT}'",
        f"DELETE FROM review_events WHERE memory_id = '{ids[1]}'",
        *(f"DELETE FROM knowledge_nodes WHERE id = '{ids[place]}'" for place in (7, 8, 9, 10)),
        f"{memory} VALUES ('{NEW}', 'new', '{AT}', '{AT}')",
        f"INSERT INTO node_embeddings (node_id, embedding) VALUES ('{NEW}', zeroblob(32))",
        f"{edge} VALUES ('{NEW}', '{ids[0]}', 'cites', 1, '{AT}')",
    ]
    in_target = [
        edited.format("edited in the target", f"'{ids[4]}', '{ids[5]}', '{ids[8]}'"),
        f"DELETE FROM knowledge_nodes WHERE id = '{ids[11]}'",
        f"{memory} VALUES ('{OWN}', 'the target''s own', '{AT}', '{AT}')",
        f"{edge} VALUES ('{OWN}', '{ids[9]}', 'cites', 0.7, '{AT}')",
    ]
    return [*((source, sql) for sql in in_source), *((target, sql) for sql in in_target)]


def told_apart(left: Left) -> Left:
    """Without the times that a trigger has set in the target, and the sides of a difference that name them."""
    findings = [replace(each, reason=re.sub(r": .*|\(.*\)", "", each.reason)) for each in left.findings]
    rows = {
        name: [re.sub(r"20[2-9]\d-\d\d-\d\d[T ][^'\",]*", "", row) for row in rows] for name, rows in left.rows.items()
    }
    return replace(left, findings=sorted(findings, key=repr), rows={name: sorted(each) for name, each in rows.items()})


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
async def test_later_changes_survive_every_death(
    tmp_path: Path, workers: Workers, dialect: str, request: pytest.FixtureRequest
) -> None:
    original = await filled(tmp_path / "original.db")
    options = {"batch": 5}

    @contextmanager
    def pair(name: str) -> Iterator[tuple[JobRequest, list[tuple[str, str]]]]:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(original.removeprefix("sqlite:"), folder / "source.db")
        source = f"sqlite:{folder / 'source.db'}"
        if dialect == "sqlite":
            target = f"sqlite:{folder / 'target.db'}"
            yield JobRequest("copy", source, target, options), between(source, target)
        else:
            server = str(request.getfixturevalue("postgres_server"))
            with database(server, name, "made") as target:
                yield JobRequest("copy", source, target, options), between(source, target)
        shutil.rmtree(folder)

    async def every_death() -> None:
        with pair("whole") as (work, edits):
            whole, calls = await undisturbed(work, workers, edits)
        assert whole.counts["memories"].updated == 2
        assert whole.counts["memories"].deleted == 2
        for die_at in deaths(calls):
            with pair("killed") as (work, edits):
                again = await killed(work, workers, die_at, edits)
                assert_alike(told_apart(again), told_apart(whole), die_at)

    if dialect == "sqlite":
        await every_death()
    else:
        with database(str(request.getfixturevalue("postgres_server")), "made") as made:
            async with open_store(made, create=True):
                pass
            await every_death()
