"""What a repair brings, what it leaves, and what it refuses."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.attempts import attempt, claimed_copy
from tests.support.comparison import compare, differences
from tests.support.full_store import fill
from tests.support.jobs import read_job, wait_for_job
from tests.support.kill_points import KILLED_STATUS, Workers, kill_points
from tests.support.postgres import named_database
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Conflict, ReadOnly, Refused
from vestige_tui.core.jobs import Job, JobFinding
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, check, start
from vestige_tui.store.open import open_store

AT = "2026-02-01T00:00:00.000000+00:00"
OWN = "00000000-0000-4000-8000-0000000000bb"


@pytest.fixture
async def source(tmp_path: Path) -> str:
    await fill(tmp_path / "source.db", 20)
    return f"sqlite:{tmp_path / 'source.db'}"


def ids_of(source: str) -> list[str]:
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection:
        return [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]


def spoil(target: str, statements: Sequence[str]) -> None:
    """Change a target behind its back; each statement changes something."""
    if target.startswith("sqlite:"):
        with closing(sqlite3.connect(target.removeprefix("sqlite:"))) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            for sql in statements:
                assert connection.execute(sql).rowcount > 0, sql
    else:
        with psycopg.connect(target) as server:
            for sql in statements:
                assert server.execute(sql.encode()).rowcount > 0, sql


def spoilt(ids: Sequence[str]) -> list[str]:
    """Statements after which rows of every table are missing, different, or in the target alone."""
    first_review = "(SELECT min(id) FROM review_events)"
    return [
        "UPDATE users SET display_name = 'another' WHERE handle = 'ann'",
        "UPDATE groups SET metadata = '{\"n\": 7}'",
        "DELETE FROM group_memberships",
        "UPDATE domains SET label = 'another'",
        f"UPDATE knowledge_nodes SET content = 'another' WHERE id IN ('{ids[1]}', '{ids[2]}')",
        f"DELETE FROM knowledge_nodes WHERE id IN ('{ids[5]}', '{ids[6]}')",
        f"DELETE FROM node_embeddings WHERE node_id = '{ids[7]}'",
        "UPDATE node_embeddings SET embedding = (SELECT o.embedding FROM node_embeddings o"
        f" WHERE o.node_id = '{ids[9]}') WHERE node_id = '{ids[8]}'",
        f"UPDATE scheduling SET stability = 4, reps = 7 WHERE memory_id = '{ids[10]}'",
        f"DELETE FROM scheduling WHERE memory_id = '{ids[11]}'",
        f"UPDATE edges SET weight = 0.25 WHERE source_id = '{ids[12]}'",
        f"DELETE FROM edges WHERE source_id = '{ids[13]}'",
        f"UPDATE review_events SET new_state = '{{\"stability\": 2.5}}' WHERE id = {first_review}",
        "UPDATE review_events SET undoes = NULL WHERE undoes IS NOT NULL",
        f"DELETE FROM review_events WHERE memory_id = '{ids[14]}'",
        f"DELETE FROM supersession_events WHERE loser_id = '{ids[10]}'",
        "DELETE FROM review_marks",
        "UPDATE review_weights SET applied_at = NULL",
        f"INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES ('{OWN}', 'own', '{AT}', '{AT}')",
        f"INSERT INTO scheduling (memory_id, stability, difficulty, reps, lapses) VALUES ('{OWN}', 1, 5, 1, 0)",
        "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)"
        f" VALUES ('{OWN}', '{ids[0]}', 'x', 1, '{AT}')",
        "INSERT INTO domains (id, label, created_at) VALUES ('own', 'Own', '2026-01-01T00:00:00.000000+00:00')",
    ]


async def repaired(source: str, target: str, **options: bool) -> tuple[Job, list[JobFinding]]:
    launched = await start(JobRequest("repair", source, target, options))
    job = await wait_for_job(target, launched.job_id)
    assert (job.status, job.error) == ("completed", None)
    async with open_store(target) as store:
        return job, list((await Ledger(store).findings(job.id, limit=1_000)).items)


@pytest.mark.slow
async def test_what_differs_is_brought_and_what_the_target_alone_has_stays(source: str, target: str) -> None:
    await attempt(source, target)
    ids = ids_of(source)
    spoil(target, spoilt(ids))
    assert set(differences(await compare(source, target))) >= {
        "memories",
        "vectors",
        "scheduling",
        "edges",
        "reviews",
        "marks",
        "weights",
    }
    job, told = await repaired(source, target)
    assert differences(job) == {
        "memories": (0, 0, 1),
        "scheduling": (0, 0, 1),
        "edges": (0, 0, 1),
        "domains": (0, 0, 1),
    }
    assert differences(await compare(source, target)) == differences(job)
    assert job.result is not None
    assert job.result.endswith("4 only in the target")
    assert "deleted" not in job.result
    for name, table in job.progress.tables.items():
        assert table.read == table.inserted + table.present + table.failed == table.total, name
    updated = {(each.subject, each.source_key) for each in told if each.outcome == "updated"}
    assert {("memories", ids[1]), ("memories", ids[2]), ("scheduling", ids[10]), ("domains", "auth")} <= updated
    async with open_store(target) as store:
        assert [each.content for each in await store.memories.get_many([OWN])] == ["own"]
        # What follows from the log of decisions follows it again.
        [loser] = await store.memories.get_many([ids[10]])
        assert loser.superseded_by == ids[11]


@pytest.mark.slow
async def test_what_the_target_alone_has_is_deleted_where_that_is_asked(source: str, target: str) -> None:
    await attempt(source, target)
    ids = ids_of(source)
    spoil(target, spoilt(ids))
    job, told = await repaired(source, target, delete=True)
    assert differences(job) == differences(await compare(source, target)) == {}
    assert job.progress.tables["memories"].deleted == job.progress.tables["domains"].deleted == 1
    assert ("memories", OWN) in {(each.subject, each.source_key) for each in told if each.outcome == "deleted"}
    again, told = await repaired(source, target, delete=True)
    assert (again.result, told) == ("nothing changed, every row is equal", [])


@pytest.mark.slow
async def test_a_store_of_another_model_keeps_its_vectors(source: str, target: str) -> None:
    async with open_store(target, create=True) as store:
        await store.models.register(ModelSignature("another", 3, "abc"))
    ids = ids_of(source)
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection, connection:
        connection.execute("DELETE FROM embedding_model")
        connection.execute("DELETE FROM node_embeddings")
    await attempt(source, target)
    vector = "zeroblob(12)" if target.startswith("sqlite:") else "'[1,2,3]'"
    spoil(target, [f"INSERT INTO node_embeddings (node_id, embedding) SELECT id, {vector} FROM knowledge_nodes"])
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection, connection:
        connection.execute(
            "INSERT INTO embedding_model (id, name, dimension, hash, created_at) VALUES (1, 'test-model', 8, 'a', ?)",
            (AT,),
        )
    spoil(target, [f"UPDATE knowledge_nodes SET content = 'another' WHERE id = '{ids[1]}'"])
    # Only what was made of another text is.
    spoil(target, [f"UPDATE knowledge_nodes SET visibility = 'public' WHERE id = '{ids[2]}'"])
    job, _ = await repaired(source, target)
    async with open_store(target) as store:
        assert (await store.models.census()).by_width == {3: len(ids) - 1}
    # Its own vector was of another text: the model of the target makes it anew.
    assert job.progress.tables["memories"].updated == 2


async def test_a_repair_is_refused_while_the_same_store_is_copied(source: str, target: str) -> None:
    await attempt(source, target)
    async with claimed_copy(source, target, follow=True):
        with pytest.raises(Conflict, match="A copy of the same store is running"):
            await check(JobRequest("repair", source, target))


async def test_a_repair_is_refused_whatever_the_store_is_called(source: str, target: str, tmp_path: Path) -> None:
    await attempt(source, target)
    (tmp_path / "link.db").symlink_to(source.removeprefix("sqlite:"))
    async with claimed_copy(source, target, follow=True):
        with pytest.raises(Conflict, match="A copy of the same store is running"):
            await check(JobRequest("repair", f"sqlite:{tmp_path / 'link.db'}", target))


async def test_a_copy_is_refused_while_its_target_is_repaired(source: str, target: str) -> None:
    await attempt(source, target)
    async with open_store(target) as store:
        ledger = Ledger(store)
        repair = await check(JobRequest("repair", source, target))
        await ledger.start(
            kind="repair", source=repair.source, target=repair.target, model="", task="", owner="me", fresh=True
        )
        with pytest.raises(Refused, match=r"A repair of .* is running"):
            await check(JobRequest("copy", source, target))


@pytest.mark.slow
async def test_a_row_that_an_earlier_copy_could_not_bring_is_tried_again(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [refused] = ids_of(source)[3:4]
    vector = f"UPDATE node_embeddings SET embedding = x'00' WHERE node_id = '{refused}'"
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection, connection:
        [good] = connection.execute(f"SELECT embedding FROM node_embeddings WHERE node_id = '{refused}'").fetchone()
        connection.execute(vector)
    running, _ = await attempt(source, target)
    assert running.meter.tables["vectors"].failed == 1
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection, connection:
        connection.execute("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", (good, refused))
    strict = await start(JobRequest("verify", source, target, {"strict": True}))
    assert differences(await wait_for_job(target, strict.job_id)) == {"vectors": (0, 1, 0)}
    job, _ = await repaired(source, target)
    assert (job.progress.tables["vectors"].inserted, differences(job)) == (1, {})


@pytest.mark.slow
async def test_rows_of_one_key_hide_nothing_that_the_target_alone_has(source: str, target: str) -> None:
    first, second, third = ids_of(source)[:3]
    edge = "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES ('{}', '{}', '{}', 1, '" + AT
    with closing(sqlite3.connect(source.removeprefix("sqlite:"))) as connection, connection:
        for end in ("a", "b"):
            connection.execute(edge.format(first, second, "x" * 255 + end) + "')")
    await attempt(source, target)
    spoil(target, [edge.format(first, third, "own") + "')"])
    assert differences(await compare(source, target)) == {"edges": (0, 0, 1)}
    job, told = await repaired(source, target, delete=True)
    assert differences(job) == {}
    assert [each.outcome for each in told if each.subject == "edges"].count("deleted") == 1


async def test_a_repair_needs_a_target_that_can_be_written(source: str, postgres_database: str) -> None:
    await attempt(source, postgres_database)
    join = "&" if "?" in postgres_database else "?"
    only_read = f"{postgres_database}{join}options=-cdefault_transaction_read_only%3Don"
    with pytest.raises(ReadOnly):
        await check(JobRequest("repair", source, only_read))


@pytest.mark.deaths
async def test_a_repair_survives_every_death(tmp_path: Path, source: str, workers: Workers) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    await attempt(source, f"sqlite:{whole / 'target.db'}")
    spoil(f"sqlite:{whole / 'target.db'}", spoilt(ids_of(source)))

    async def run(folder: Path, die_at: int) -> int:
        target = f"sqlite:{folder / 'target.db'}"
        calls = 0
        while True:
            job_id = await workers.start(JobRequest("repair", source, target, {"delete": True}))
            status, made = workers.run(die_at)
            calls, die_at = calls + made, 0
            if status != KILLED_STATUS:
                job = await read_job(target, job_id)
                assert (status, job.status, job.error) == (0, "completed", None)
                assert differences(job) == differences(await compare(source, target)) == {}
                return calls

    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(whole, undisturbed)
    for die_at in kill_points(await run(undisturbed, 0)):
        folder = tmp_path / "killed"
        shutil.copytree(whole, folder)
        await run(folder, die_at)
        shutil.rmtree(folder)


@pytest.mark.deaths
async def test_a_repair_of_a_server_survives_deaths(source: str, workers: Workers, postgres_server: str) -> None:
    with named_database(postgres_server, "repair_made") as made:
        await attempt(source, made)
        spoil(made, spoilt(ids_of(source)))

        async def run(die_at: int) -> int:
            with named_database(postgres_server, "repair_killed", "repair_made") as target:
                request = JobRequest("repair", source, target, {"delete": True})
                job_id = await workers.start(request)
                status, calls = workers.run(die_at)
                if status != 0:
                    job_id = await workers.start(request)
                    assert workers.run()[0] == 0
                assert differences(await read_job(target, job_id)) == {}
                assert differences(await compare(source, target)) == {}
                return calls

        for die_at in kill_points(await run(0)):
            await run(die_at)
