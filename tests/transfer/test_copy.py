"""A copy from SQLite to PostgreSQL, by a real worker process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import sqlite3
import stat
import sys
import uuid
from contextlib import aclosing, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.equal_stores import assert_equal_stores, rows
from tests.support.full_store import MODEL, fill
from tests.support.jobs import wait_for_job
from tests.support.vestige_files import HOSTILE_VECTORS, make_v14, make_v18
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ForeignStore, ModelMismatch, Unavailable, Usage
from vestige_tui.core.jobs import Job, JobFinding, TableProgress
from vestige_tui.jobs.known_stores import index_path, watched, without_password
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.monitor import watch
from vestige_tui.jobs.start import JobRequest, dry_run, start
from vestige_tui.store.open import open_store

PASSWORD = "s3cret-PW"
"""What the statements are called that only a transaction of a copy runs; its COPYs cannot be prepared."""


async def copied(source: Path, target: str, batch: int = 500) -> Job:
    """A copy that came to its end."""
    launched = await start(JobRequest("copy", f"sqlite:{source}", target, {"batch": batch}))
    job = await wait_for_job(target, launched.job_id)
    assert (job.status, job.error) == ("completed", None)
    assert job.progress.phase == "done"
    for name, table in job.progress.tables.items():
        assert table.read == table.inserted + table.present + table.failed, name
        assert table.total is None or table.read == table.total, name
    return job


async def findings_of(target: str, job: Job) -> list[JobFinding]:
    async with open_store(target) as store:
        return list((await Ledger(store).findings(job.id, limit=10_000)).items)


def made_there(target: str) -> list[str]:
    with psycopg.connect(target) as connection:
        cursor = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace"
        )
        return [name for (name,) in cursor.fetchall()]


def with_password(url: str) -> str:
    """The same server, asked with a password that it does not need."""
    return re.sub(r"^postgresql://([\w%]+)(:[^@]*)?@", rf"postgresql://\1:{PASSWORD}@", url)


def assert_detached(job: Job) -> None:
    """The worker of a job runs in a session of its own, and its arguments hold no password."""
    process = Path("/proc") / job.owner.split("@")[0]
    assert job.status == "in_progress"
    assert b"vestige_tui.jobs.worker" in (process / "cmdline").read_bytes()
    assert PASSWORD.encode() not in (process / "cmdline").read_bytes()
    assert (process / "stat").read_text().rpartition(")")[2].split()[3] == process.name


def private_files(state: Path) -> dict[str, str]:
    """What lies in the state directory, all of it closed to others."""
    found = [path for path in state.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in found)
    return {path.name: path.read_text() for path in found}


@pytest.mark.slow
async def test_everything_comes_along_and_a_second_run_brings_nothing(
    tmp_path: Path, postgres_database: str, state: Path
) -> None:
    source = tmp_path / "source.db"
    await fill(source, 5_000)
    target = with_password(postgres_database)
    assert PASSWORD in target
    launched = await start(JobRequest("copy", f"sqlite:{source}", target))
    assert not launched.already_running

    async def seen() -> list[Job]:
        views: list[Job] = []
        async with open_store(postgres_database, read_only=True) as store, aclosing(watch(store, 0.1)) as watching:
            async for jobs in watching:
                views.append(next(job for job in jobs if job.id == launched.job_id))
                if not views[-1].in_flight:
                    break
        return views

    async with open_store(postgres_database) as store:
        assert_detached(await Ledger(store).job(launched.job_id))
    async with asyncio.timeout(60):
        watchers = await asyncio.gather(seen(), seen())
    for views in watchers:
        read = [sum(table.read for table in view.progress.tables.values()) for view in views]
        assert read == sorted(read)
        assert len(set(read)) > 2
        assert views[-1].status == "completed"
        assert views[-1].progress.rates
        assert list(views[-1].progress.tables)[4:6] == ["memories", "vectors"]
    assert watchers[0][-1].progress == watchers[1][-1].progress
    assert_equal_stores(source, postgres_database)
    async with open_store(postgres_database) as store:
        assert await store.models.registered() == (await _model(source))
        assert all(info.state == "applied" for info in await store.maintenance.schema_status())

    second = await copied(source, target)
    assert second.attempt == 2
    assert [table.inserted for table in second.progress.tables.values()] == [0] * len(second.progress.tables)
    assert_equal_stores(source, postgres_database)
    with psycopg.connect(postgres_database) as connection:
        stored = str(connection.execute("SELECT d::text, r::text FROM delegations d, job_runs r").fetchall())
    kept = private_files(state)
    assert sorted(name.rpartition(".")[2] for name in kept) == ["json", "lock", "log", "log", "log"]
    assert PASSWORD not in stored + "".join(kept.values())
    assert re.search(r"memories: \d+ of 5000 rows read", "".join(kept.values()))
    assert watched() == (without_password(target),)


async def _model(source: Path) -> ModelSignature | None:
    async with open_store(f"sqlite:{source}") as store:
        return await store.models.registered()


@pytest.mark.slow
async def test_a_line_that_takes_another_back_points_at_it(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 20)
    for _ in range(2):
        await copied(source, postgres_database, batch=3)
        sql = (
            "SELECT v.memory_id, v.undoes IS NULL, u.memory_id, u.rating,"
            " (SELECT count(*) FROM review_events b WHERE b.memory_id = u.memory_id AND b.id < u.id)"
            " FROM review_events v LEFT JOIN review_events u ON u.id = v.undoes ORDER BY v.id"
        )
        with closing(sqlite3.connect(source)) as ours, psycopg.connect(postgres_database) as theirs:
            expected = rows(ours, sql)
            assert sum(not row[1] for row in expected) == 1
            assert rows(theirs, sql) == [(row[0], bool(row[1]), *row[2:]) for row in expected]


@pytest.mark.slow
async def test_what_the_target_has_stays_as_it_is(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 40)
    await copied(source, postgres_database)
    with psycopg.connect(postgres_database) as connection:
        first, second = [row[0] for row in rows(connection, "SELECT id FROM knowledge_nodes ORDER BY id LIMIT 2")]
        connection.execute("UPDATE knowledge_nodes SET content = 'edited here' WHERE id = %s", (first,))
        connection.execute("DELETE FROM node_embeddings WHERE node_id = %s", (first,))
        connection.execute("DELETE FROM node_embeddings WHERE node_id = %s", (second,))
    job = await copied(source, postgres_database)
    assert (job.progress.tables["memories"].inserted, job.progress.tables["memories"].present) == (0, 40)
    vectors = job.progress.tables["vectors"]
    assert (vectors.inserted, vectors.present, vectors.failed) == (1, 38, 1)
    failed, differs = await findings_of(postgres_database, job)
    # A vector of the old text would be worse than none.
    assert (failed.source_key, failed.reason) == (first, "Its memory was edited in the target.")
    assert (differs.outcome, differs.source_key) == ("differs", first)
    assert differs.reason.startswith("Content and updated at differ")
    assert job.result is not None
    assert "1 differ" in job.result
    with psycopg.connect(postgres_database) as connection:
        assert rows(connection, "SELECT count(*) FROM knowledge_nodes WHERE content = 'edited here'") == [(1,)]


@pytest.mark.slow
async def test_a_user_of_the_same_name_is_another_user(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 10)
    async with open_store(postgres_database, create=True):
        pass
    with psycopg.connect(postgres_database) as connection:
        connection.execute("INSERT INTO users (handle) VALUES ('ann')")
    job = await copied(source, postgres_database)
    assert job.progress.tables["users"].inserted == 1
    with psycopg.connect(postgres_database) as connection:
        names = [row[0] for row in rows(connection, "SELECT handle FROM users ORDER BY handle")]
    assert names == ["ann", "ann-00000000", "local"]


@pytest.mark.slow
async def test_starting_twice_is_one_job(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 2_000)
    plan = JobRequest("copy", f"sqlite:{source}", postgres_database)
    async with open_store(postgres_database, create=True):
        pass
    first, second = await asyncio.gather(start(plan), start(plan))
    assert first.job_id == second.job_id
    assert {first.already_running, second.already_running} == {False, True}
    job = await wait_for_job(postgres_database, first.job_id)
    assert job.status == "completed"
    async with open_store(postgres_database) as store:
        assert len(await Ledger(store).jobs()) == 1


@pytest.mark.slow
async def test_a_cancelled_copy_ends_soon_and_can_be_taken_up(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 6_000, words=100)
    launched = await start(JobRequest("copy", f"sqlite:{source}", postgres_database, {"batch": 50}))
    async with open_store(postgres_database) as store:
        assert await Ledger(store).request_cancel(launched.job_id)
    job = await wait_for_job(postgres_database, launched.job_id)
    assert (job.status, job.error) == ("failed", "cancelled")
    assert job.finished_at is not None
    # On a busy machine the worker may be told before it reads its first row.
    read = job.progress.tables.get("memories", TableProgress())
    assert read.read < 6_000
    assert read.read == read.inserted
    with psycopg.connect(postgres_database) as connection:
        # The last checkpoint and its rows are one.
        assert rows(connection, "SELECT count(*) FROM knowledge_nodes") == [(read.inserted,)]
    again = await copied(source, postgres_database)
    assert again.attempt == 2
    # It goes on behind the last row, and counts on from there.
    memories = again.progress.tables["memories"]
    assert (memories.inserted, memories.present) == (6_000, 0)
    assert_equal_stores(source, postgres_database)


async def test_a_dry_run_makes_nothing(tmp_path: Path, postgres_database: str, state: Path) -> None:
    source = make_v18(tmp_path / "vestige.db", 24)
    before = made_there(postgres_database)
    tables = await dry_run(JobRequest("copy", str(source), postgres_database))
    assert tables["memories"].total == 24
    assert tables["edges"].total == 23
    assert any(table.left_behind for table in tables.values())
    assert made_there(postgres_database) == before
    assert private_files(state) == {}
    nowhere = tmp_path / "nowhere"
    assert (await dry_run(JobRequest("copy", str(source), f"pgembed:{nowhere}")))["memories"].total == 24
    assert private_files(nowhere) == {}


async def test_another_model_is_refused_before_anything_is_made(
    tmp_path: Path, postgres_database: str, state: Path
) -> None:
    source = tmp_path / "source.db"
    await fill(source, 10)
    async with open_store(postgres_database, create=True) as store:
        await store.models.register(ModelSignature("another-model", MODEL.dimension))
    plan = JobRequest("copy", f"sqlite:{source}", postgres_database)
    for refused in (start(plan), dry_run(plan)):
        with pytest.raises(ModelMismatch, match="test-model"):
            await refused
    async with open_store(postgres_database) as store:
        assert await Ledger(store).jobs() == ()
        assert await store.memories.count() == 0
    assert private_files(state) == {}


async def test_what_cannot_be_copied_is_refused_in_front(tmp_path: Path, bare_postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 10)
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE things (id)")
        connection.commit()
    with psycopg.connect(bare_postgres_database) as connection:
        connection.execute("CREATE TABLE knowledge_nodes (id int)")
    before = made_there(bare_postgres_database)
    for plan, error in (
        (JobRequest("copy", str(tmp_path / "missing.db"), bare_postgres_database), Unavailable),
        (JobRequest("copy", str(foreign), bare_postgres_database), ForeignStore),
        (JobRequest("copy", bare_postgres_database, str(source)), ForeignStore),
        (JobRequest("copy", str(source), str(source)), Usage),
        (JobRequest("copy", str(source), str(make_v18(tmp_path / "vestige.db", 3))), ForeignStore),
        (JobRequest("copy", str(source), "/proc/nowhere/new.db"), Unavailable),
        (JobRequest("copy", str(source), bare_postgres_database), ForeignStore),
        (JobRequest("copy", str(source), f"postgresql://me:{PASSWORD}@127.0.0.1:1/d"), Unavailable),
    ):
        with pytest.raises(error) as raised:
            await start(plan)
        assert PASSWORD not in str(raised.value) + repr(plan)
    assert made_there(bare_postgres_database) == before
    assert private_files(index_path().parent) == {}


@pytest.mark.slow
async def test_a_hostile_vestige_file_arrives_with_every_bad_row_named(tmp_path: Path, postgres_database: str) -> None:
    source = make_v18(tmp_path / "vestige.db", 24, hostile=True)
    with closing(sqlite3.connect(source)) as connection:
        one = "ABCDEF00-0000-4000-8000-00000000000A"
        times = "'2026-01-01T00:00:00+00:00'"
        for spelling in (one, one.lower(), one.replace("-", "")):
            connection.execute(
                f"INSERT INTO knowledge_nodes (id, content, created_at, updated_at, last_accessed)"
                f" VALUES (?, ?, {times}, {times}, {times})",
                (spelling, f"spelt {spelling}"),
            )
        many = "[" + ", ".join(f'"t{n}"' for n in range(1_200)) + "]"
        connection.execute("UPDATE knowledge_nodes SET tags = ?, node_type = ? WHERE id = ?", (many, "x" * 300, one))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    job = await copied(source, postgres_database)
    assert hashlib.sha256(source.read_bytes()).hexdigest() == before
    tables = job.progress.tables
    assert job.progress.zero_vectors == 1
    assert (tables["memories"].read, tables["memories"].failed) == (62, 2)
    assert (tables["vectors"].failed, tables["edges"].failed, tables["scheduling"].failed) == (5, 2, 2)
    named: dict[tuple[str, str], dict[str, str]] = {}
    for finding in await findings_of(postgres_database, job):
        named.setdefault((finding.subject, finding.outcome), {})[finding.source_key] = finding.reason
    assert set(named["memories", "failed"]) == {one.lower(), one.replace("-", "")}
    assert f"the same UUID as {one}" in named["memories", "failed"][one.lower()]
    assert set(named["vectors", "failed"]) == {
        *(f"hostile-{name}" for name in HOSTILE_VECTORS if name != "zero"),
        "missing-memory",
    }
    assert set(named["vectors", "zero_vector"]) == {"hostile-zero"}
    assert len(named["edges", "failed"]) == 2
    assert "NUL" in named["memories", "repaired"]["hostile-nul"]
    assert "UTF-8" in named["memories", "repaired"]["hostile-invalid utf-8"]
    assert "9999" in named["memories", "repaired"]["hostile-year 10000"]
    assert "1,000 were kept" in named["memories", "repaired"][one]
    assert "to 255 characters" in named["memories", "repaired"][one]
    assert named["fsrs_config", "left_behind"]
    assert len(named["memories", "repaired"]) == tables["memories"].repaired
    async with open_store(postgres_database) as store:
        there = await store.get(str(uuid.uuid5(uuid.NAMESPACE_URL, "vestige:hostile-nul")))
        assert there.content == "before\u2400after"
        assert there.metadata["vestige"]["original"]["id"] == "hostile-nul"
        assert there.metadata["vestige"]["original"]["content"] == {"base64": "YmVmb3JlAGFmdGVy"}
        kept = await store.get(one.lower())
        assert (kept.content, len(kept.tags), kept.node_type) == (f"spelt {one}", 1_000, "x" * 255)
        partly = await store.get(str(uuid.uuid5(uuid.NAMESPACE_URL, "vestige:hostile-non-finite")))
        assert not partly.has_embedding
        clamped = await store.get(str(uuid.uuid5(uuid.NAMESPACE_URL, "vestige:hostile-out of range")))
        assert clamped.metadata["vestige"]["original"]["scheduling"]["stability"] == -4.0
        linked = str(uuid.uuid5(uuid.NAMESPACE_URL, "vestige:mem-123"))
        assert [edge.weight for edge in await store.links.edges(linked)] == [1.0]
    again = await copied(source, postgres_database)
    assert sum(table.inserted for table in again.progress.tables.values()) == 0
    assert sum(table.repaired for table in again.progress.tables.values()) == 0
    assert again.progress.tables["vectors"].failed == 5


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_v14, make_v18])
async def test_a_vestige_file_arrives_as_the_console_shows_it(
    tmp_path: Path, postgres_database: str, make: Any
) -> None:
    source = make(tmp_path / "vestige.db", 60)
    await copied(source, postgres_database, batch=7)
    async with open_store(str(source)) as ours, open_store(postgres_database) as theirs:
        ids = [memory.id for memory in (await theirs.page(limit=100)).items]
        assert len(ids) > 50
        shown = {memory.id: memory for memory in await ours.memories.get_many(ids)}
        for memory in await theirs.memories.get_many(ids):
            assert memory == shown[memory.id]
        stats, other = await ours.maintenance.stats(), await theirs.maintenance.stats()
        assert (stats.total_memories, stats.memories_with_embeddings, stats.total_edges, stats.superseded) == (
            other.total_memories,
            other.memories_with_embeddings,
            other.total_edges,
            other.superseded,
        )
        assert await ours.models.registered() == await theirs.models.registered()


@pytest.mark.slow
async def test_a_row_that_the_server_refuses_costs_only_itself(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 300)
    async with open_store(postgres_database, create=True):
        pass
    with psycopg.connect(postgres_database) as connection:
        connection.execute("ALTER TABLE knowledge_nodes ADD CHECK (content NOT LIKE '7 %' AND content NOT LIKE '8 %')")
    job = await copied(source, postgres_database)
    memories = job.progress.tables["memories"]
    assert (memories.read, memories.inserted, memories.failed) == (300, 298, 2)
    refused = [each for each in await findings_of(postgres_database, job) if each.subject == "memories"]
    assert [each.reason.startswith("PostgreSQL refused it") for each in refused] == [True, True]
    assert job.progress.tables["vectors"].failed == 2


@pytest.mark.slow
async def test_a_worker_that_waits_for_a_lock_lives_and_can_be_cancelled(
    tmp_path: Path, postgres_database: str
) -> None:
    source = tmp_path / "source.db"
    await fill(source, 10)
    async with open_store(postgres_database, create=True) as store:
        with psycopg.connect(postgres_database) as holder:
            holder.execute("LOCK TABLE knowledge_nodes IN EXCLUSIVE MODE")
            launched = await start(JobRequest("copy", f"sqlite:{source}", postgres_database))
            beats: set[datetime | None] = set()
            async with asyncio.timeout(20):
                while len(beats) < 3:
                    beats.add((await Ledger(store).job(launched.job_id)).last_heartbeat)
                    await asyncio.sleep(0.2)
            await Ledger(store).request_cancel(launched.job_id)
            job = await wait_for_job(postgres_database, launched.job_id)
    assert (job.status, job.error, job.progress.tables["memories"].read) == ("failed", "cancelled", 0)


@pytest.mark.slow
async def test_a_killed_worker_is_followed_by_another(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 3_000)
    plan = JobRequest("copy", f"sqlite:{source}", postgres_database, {"batch": 50})
    first = await start(plan)
    async with open_store(postgres_database) as store:
        owner = (await Ledger(store).job(first.job_id)).owner
        os.kill(int(owner.split("@")[0]), signal.SIGKILL)
        assert (await start(plan)).already_running
    with psycopg.connect(postgres_database) as connection:
        connection.execute("UPDATE delegations SET last_heartbeat = last_heartbeat - interval '31 seconds'")
    job = await copied(source, postgres_database)
    assert job.attempt == 2
    assert_equal_stores(source, postgres_database)
    lost = await wait_for_job(postgres_database, first.job_id)
    assert (lost.status, lost.error) == ("failed", "lease lost")


async def test_a_worker_that_cannot_begin_is_told_at_once(
    tmp_path: Path, postgres_database: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.db"
    await fill(source, 10)
    monkeypatch.setattr(
        "vestige_tui.jobs.start.WORKER_COMMAND", (sys.executable, "-c", "raise SystemExit('no worker')")
    )
    with pytest.raises(Unavailable, match="did not start"):
        await start(JobRequest("copy", f"sqlite:{source}", postgres_database))
    async with open_store(postgres_database) as store:
        [job] = await Ledger(store).jobs()
    assert job.status == "failed"
    assert "no worker" in private_files(state)[f"{job.id}.log"]


@pytest.mark.slow
async def test_a_damaged_file_of_our_own_arrives_with_every_bad_row_named(
    tmp_path: Path, postgres_database: str
) -> None:
    source = tmp_path / "source.db"
    await fill(source, 30)
    at = "2026-01-01T00:00:00.000000+00:00"
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        ids = [str(row[0]) for row in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
        for place, (column, value) in enumerate(
            {
                "metadata": "[" * 5_000 + "]" * 5_000,
                "domain_scores": '{"auth": NaN}',
                "owner_user_id": "nobody",
                "visibility": "secret",
                "shared_with_groups": '["team-1"]',
                "content": b"bytes \xff",
                "codebase": "c" * 300,
            }.items()
        ):
            connection.execute(f"UPDATE knowledge_nodes SET {column} = ? WHERE id = ?", (value, ids[place]))
        deep = '{"vestige": "taken", "n": ' + '{"a":' * 900 + "1" + "}" * 901
        connection.execute("UPDATE knowledge_nodes SET metadata = ?, tags = '{}' WHERE id = ?", (deep, ids[10]))
        deeper = '{"a":' * 993 + "1" + "}" * 993
        connection.execute("UPDATE knowledge_nodes SET metadata = ?, tags = '{}' WHERE id = ?", (deeper, ids[11]))
        connection.execute("INSERT INTO scheduling (memory_id, reps) VALUES ('gone', 1)")
        connection.execute("UPDATE scheduling SET difficulty = 0.3, reps = 4000000000 WHERE memory_id = ?", (ids[8],))
        connection.execute("INSERT INTO edges VALUES (?, 'gone', 'related', 1.0, ?)", (ids[0], at))
        connection.execute("INSERT INTO edges VALUES (?, ?, 'self', -1.0, 'never')", (ids[0], ids[0]))
        review = "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes)"
        connection.execute(f"{review} VALUES ('gone', ?, 3, '{{}}', '{{}}', NULL)", (at,))
        connection.execute(f"{review} VALUES (?, 'never', 9, 'x', '[]', 999)", (ids[0],))
        event = "INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at)"
        connection.execute(f"{event} VALUES (?, NULL, 'supersede', ?)", (ids[1], at))
        connection.execute(f"{event} VALUES (?, ?, 'supersede', ?)", (ids[1], ids[1], at))
        connection.execute(f"{event} VALUES (?, 'deleted-long-ago', 'supersede', ?)", (ids[1], at))
        connection.execute("INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES ('gone', 1, 'never')")
        connection.execute("INSERT INTO group_memberships VALUES ('gone', 'gone', 'owner', ?)", (at,))
        connection.execute("INSERT INTO domains VALUES ('odd', 'Odd', x'00', 'x', -1, '', '[]')")
    for attempt in (1, 2):
        job = await copied(source, postgres_database, batch=11)
        tables = job.progress.tables
        failed = {name: table.failed for name, table in tables.items() if table.failed}
        assert failed == {"memberships": 1, "scheduling": 1, "edges": 1, "reviews": 1, "supersession": 2, "marks": 1}
        repaired = {name: table.repaired for name, table in tables.items() if table.repaired}
        assert repaired == (
            {"domains": 1, "memories": 9, "scheduling": 1, "edges": 1, "reviews": 1} if attempt == 1 else {}
        )
        assert attempt == 1 or not any(table.inserted for table in tables.values())
    async with open_store(postgres_database) as store:
        memories = await store.memories.get_many(ids)
        assert [memory.metadata["vestige"]["original"] for memory in memories[2:4]] == [
            {"owner_user_id": "nobody"},
            {"visibility": "secret"},
        ]
        assert memories[8].metadata["vestige"]["original"]["scheduling"] == {"difficulty": 0.3, "reps": 4_000_000_000}
        assert memories[10].metadata["vestige"]["vestige"] == "taken"
        assert memories[10].metadata["vestige"]["original"] == {"tags": "{}"}
        assert deeper in json.dumps(memories[11].metadata, separators=(",", ":")).replace("\\", "")
        assert memories[5].content == "bytes \ufffd"
        assert memories[1].superseded_by == str(uuid.uuid5(uuid.NAMESPACE_URL, "vestige:deleted-long-ago"))
