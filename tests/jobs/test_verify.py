"""A comparison of two stores: equal after a copy, and whatever differs is found and named."""

from __future__ import annotations

import sqlite3
from contextlib import aclosing, closing
from pathlib import Path

import psycopg
import pytest

from tests.jobs.filled import fill
from tests.vestige_files import make_v18
from vestige_tui.jobs.launch import Work, start
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.watch import watch
from vestige_tui.model import Job, JobFinding
from vestige_tui.store import open_store

ROWS = 60


async def ended(target: str, job_id: str) -> Job:
    async with open_store(target) as store, aclosing(watch(store, 0.05)) as watching:
        async for jobs in watching:
            for job in jobs:
                if job.id == job_id and not job.in_flight:
                    return job
    raise AssertionError("the watch ended before the job")


async def done(work: Work) -> tuple[Job, list[JobFinding]]:
    """A job that came to its end, and what it found."""
    job = await ended(work.target, (await start(work)).job_id)
    assert (job.status, job.error) == ("completed", None)
    async with open_store(work.target, read_only=True) as store:
        return job, list((await Ledger(store).findings(job.id, limit=1_000)).items)


def sums(job: Job) -> dict[str, tuple[int, int, int]]:
    """What differs, is in the source only, and in the target only, of the tables where anything is."""
    found = {name: (each.differ, each.only_source, each.only_target) for name, each in job.progress.tables.items()}
    return {name: counts for name, counts in found.items() if any(counts)}


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_database")
        return url
    return f"sqlite:{tmp_path / 'target.db'}"


@pytest.fixture
async def pair(tmp_path: Path, target: str) -> tuple[str, str]:
    """A store with everything in it, and a copy of it."""
    await fill(tmp_path / "source.db", ROWS, dimension=8)
    source = f"sqlite:{tmp_path / 'source.db'}"
    await done(Work("copy", source, target, {"verify": False}))
    return source, target


def change(url: str, sql: str) -> None:
    """Change a store behind everybody's back."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            assert connection.execute(sql).rowcount == 1, sql
    else:
        with psycopg.connect(url) as server:
            assert server.execute(sql.encode()).rowcount == 1, sql


async def test_a_copy_is_equal(pair: tuple[str, str]) -> None:
    source, target = pair
    job, found = await done(Work("verify", source, target))
    assert not sums(job)
    assert not found
    assert job.result == "every row is equal"
    assert job.progress.tables["memories"].read == ROWS
    for name, table in job.progress.tables.items():
        assert table.read == table.total, name


FIRST = "(SELECT min({id}) FROM {table} WHERE {id} > '00000000-0000-0000-0000-000000000002')"
CHANGES = [
    ("users", "users", "id", "display_name", "'Somebody else'"),
    ("users", "users", "id", "metadata", """'{"a": 2}'"""),
    ("groups", "groups", "id", "handle", "'others'"),
    ("memberships", "group_memberships", "user_id", "role", "CASE role WHEN 'admin' THEN 'member' ELSE 'admin' END"),
    ("domains", "domains", "id", "label", "'Another'"),
    ("domains", "domains", "id", "memory_count", "77"),
    ("memories", "knowledge_nodes", "id", "content", "content || '!'"),
    ("memories", "knowledge_nodes", "id", "node_type", "'event'"),
    ("memories", "knowledge_nodes", "id", "metadata", """'{"n": 2}'"""),
    ("memories", "knowledge_nodes", "id", "domain_scores", """'{"auth": 0.25}'"""),
    ("memories", "knowledge_nodes", "id", "codebase", "NULL"),
    ("memories", "knowledge_nodes", "id", "visibility", "'public'"),
    ("memories", "knowledge_nodes", "id", "created_at", "'2020-01-01T00:00:00.000001+00:00'"),
    ("memories", "knowledge_nodes", "id", "updated_at", "'2020-01-01T00:00:00.000001+00:00'"),
    ("scheduling", "scheduling", "memory_id", "stability", "3.2500001"),
    ("scheduling", "scheduling", "memory_id", "difficulty", "5.25"),
    ("scheduling", "scheduling", "memory_id", "retrievability", "0.8"),
    ("scheduling", "scheduling", "memory_id", "last_review", "NULL"),
    ("scheduling", "scheduling", "memory_id", "next_review", "'2031-01-01T00:00:00.000000+00:00'"),
    ("scheduling", "scheduling", "memory_id", "reps", "reps + 1"),
    ("scheduling", "scheduling", "memory_id", "lapses", "lapses + 1"),
    ("edges", "edges", "source_id", "weight", "0.125"),
    ("edges", "edges", "source_id", "created_at", "'2020-01-01T00:00:00.000001+00:00'"),
    ("reviews", "review_events", "memory_id", "prior_state", """'{"stability": 9}'"""),
    ("reviews", "review_events", "memory_id", "new_state", """'{"stability": 9}'"""),
]


async def test_every_change_is_found_and_named(pair: tuple[str, str]) -> None:
    source, target = pair
    by_table: dict[str, set[str]] = {}
    for table, name, key, column, value in CHANGES:
        first = "id" if name == "domains" else FIRST.format(id=key, table=name)
        if target.startswith("postgres"):
            first = f"(SELECT {key} FROM {name} ORDER BY {key} DESC LIMIT 1)" if name != "domains" else "id"
        place = "ctid" if target.startswith("postgres") else "rowid"
        one = f"(SELECT {place} FROM {name} WHERE {key} = {first} LIMIT 1)"
        change(target, f"UPDATE {name} SET {column} = {value} WHERE {place} = {one}")
        by_table.setdefault(table, set()).add(column.replace("_", " "))
    job, found = await done(Work("verify", source, target))
    named: dict[str, set[str]] = {}
    for finding in found:
        assert finding.outcome == "differs", finding
        words = finding.reason.rstrip(".").removesuffix(" differs").removesuffix(" differ").lower()
        named.setdefault(finding.subject, set()).update(words.replace(" and ", ", ").split(", "))
    assert named == by_table
    assert set(sums(job)) == set(by_table)


async def test_one_sided_rows_are_found(pair: tuple[str, str]) -> None:
    source, target = pair
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection:
        ids = [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes ORDER BY id")]
    change(source, f"DELETE FROM node_embeddings WHERE node_id = '{ids[0]}'")
    change(target, f"DELETE FROM scheduling WHERE memory_id = '{ids[1]}'")
    change(source, f"DELETE FROM knowledge_nodes WHERE id = '{ids[-1]}'")
    job, found = await done(Work("verify", source, target))
    found_of = {(each.subject, each.outcome, each.source_key) for each in found}
    assert ("vectors", "only_target", ids[0]) in found_of
    assert ("scheduling", "only_source", ids[1]) in found_of
    assert ("memories", "only_target", ids[-1]) in found_of
    assert sums(job)["memories"] == (0, 0, 1)
    assert sums(job)["vectors"] == (0, 0, 2)
    assert sums(job)["scheduling"] == (0, 1, 1)


async def test_rows_that_no_copy_can_bring_are_no_differences(tmp_path: Path, target: str) -> None:
    source = f"sqlite:{make_v18(tmp_path / 'vestige.db', 12, hostile=True)}"
    copied, _ = await done(Work("copy", source, target, {"verify": False}))
    job, found = await done(Work("verify", source, target))
    assert not found
    assert not sums(job)
    failed = {name: table.failed for name, table in copied.progress.tables.items() if table.failed}
    assert failed
    assert {name: table.failed for name, table in job.progress.tables.items() if table.failed} == failed
