"""A copy that is taken up again, or whose ends change while it runs."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.attempts import attempt, change, findings_of
from tests.support.equal_stores import TABLES, TIMES, assert_equal_stores
from tests.support.full_store import fill
from tests.support.job_steps import Step, hook_steps
from tests.support.jobs import wait_for_job
from tests.support.postgres import named_database
from tests.support.vestige_files import make_v18
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ModelMismatch, Refused, Unavailable, Usage
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.embedding.models import DEFAULT_DIMENSION, DEFAULT_MODEL
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, check, start
from vestige_tui.store.backends.protocol import Transaction
from vestige_tui.store.open import open_store
from vestige_tui.transfer import copy_rows
from vestige_tui.transfer.postgres_target import PostgresTarget
from vestige_tui.transfer.protocols import Batch
from vestige_tui.transfer.row_keys import read_key, write_key
from vestige_tui.transfer.sqlite_source import SqliteSource
from vestige_tui.transfer.table_spec import Table


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What happens once all rows have been read, and before later changes are looked for."""
    happenings: list[Callable[[], Any]] = []

    async def happen(step: Step) -> None:
        if step.ends_the_rows:
            for happening in happenings:
                await happening()

    hook_steps(monkeypatch, after=happen)
    return happenings


@pytest.mark.slow
async def test_what_changes_meanwhile_is_brought_and_what_the_target_has_stays(
    tmp_path: Path, target: str, meanwhile: list[Callable[[], Any]]
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 60)
    source = f"sqlite:{path}"
    with closing(sqlite3.connect(path)) as connection:
        ids = [str(row[0]) for row in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
    edited, gone, gone_edited, both, only_target, removed, linked = ids[20:27]
    at = "2026-02-01T00:00:00.000000+00:00"
    new = "00000000-0000-4000-8000-0000000000aa"
    own = "00000000-0000-4000-8000-0000000000bb"

    async def in_the_target() -> None:
        async with open_store(target) as store:
            await store.update(only_target, Patch(content="edited in the target"), embed=False)
            await store.update(both, Patch(content="edited in the target, too"), embed=False)
            await store.update(gone_edited, Patch(content="edited before it was deleted there"), embed=False)
            await store.delete([removed])
            await store.insert(Draft("the target's own", id=own), embed=False)
            await store.links.add(Edge(own, linked, "cites", 0.7))

    async def in_the_source() -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            for each in (edited, both):
                connection.execute("UPDATE knowledge_nodes SET content = 'edited since' WHERE id = ?", (each,))
            connection.execute("UPDATE node_embeddings SET embedding = zeroblob(256) WHERE node_id = ?", (edited,))
            connection.execute("UPDATE edges SET weight = 0.25 WHERE source_id = ?", (ids[1],))
            connection.execute("UPDATE scheduling SET reps = 9, last_review = ? WHERE memory_id = ?", (at, ids[2]))
            for each in (gone, gone_edited, linked):
                connection.execute("DELETE FROM knowledge_nodes WHERE id = ?", (each,))
            connection.execute(
                "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'new', ?, ?)",
                (new, at, at),
            )
            connection.execute(
                "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (?, ?, 'cites', 1, ?)",
                (new, ids[0], at),
            )

    meanwhile += [in_the_target, in_the_source]
    running, result = await attempt(source, target, batch=25)
    tables = running.meter.tables
    async with open_store(target) as store:
        contents = {memory.id: memory.content for memory in await store.memories.get_many([*ids, new, own])}
        assert contents[edited] == "edited since"
        assert contents[new] == "new"
        assert contents[own] == "the target's own"
        assert contents[only_target] == "edited in the target"
        assert contents[both] == "edited in the target, too"
        assert contents[gone_edited] == "edited before it was deleted there"
        assert linked in contents
        assert gone not in contents
        assert removed not in contents
        assert {edge.weight for edge in await store.links.edges(ids[1]) if edge.source_id == ids[1]} == {0.25}
        assert [edge.source_id for edge in await store.links.edges(ids[0]) if edge.edge_type == "cites"] == [new]
        assert [edge.edge_type for edge in await store.links.edges(linked) if edge.source_id == own] == ["cites"]
        [reviewed] = await store.memories.get_many([ids[2]])
        assert reviewed.scheduling is not None
        assert reviewed.scheduling.reps == 9
    assert (tables["memories"].updated, tables["memories"].deleted, tables["memories"].inserted) == (1, 1, 61)
    assert (tables["scheduling"].updated, tables["edges"].updated, tables["vectors"].updated) == (1, 1, 1)
    assert "updated" in result
    for name, table in tables.items():
        assert table.read == table.inserted + table.present + table.failed == table.total, name
    told = {(each.subject, each.outcome, each.source_key): each.reason for each in await findings_of(target, running)}
    assert "in the target (content" in told["memories", "differs", only_target]
    assert "on both sides" in told["memories", "differs", both]
    assert "but kept in the target, because it was edited there" in told["memories", "only_target", gone_edited]
    assert "but kept in the target, because it was linked there" in told["memories", "only_target", linked]
    assert "deleted in the target" in told["memories", "only_source", removed]
    assert ("memories", "deleted", gone) in told
    assert ("memories", "updated", edited) in told


@pytest.mark.slow
async def test_what_came_after_its_memory_was_asked_for_has_not_failed(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 30)
    new = [f"00000000-0000-4000-8000-0000000000{number:02x}" for number in range(5)]
    at = "2026-02-01T00:00:00.000000+00:00"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO scheduling (memory_id) VALUES ('nobody')")
    read = SqliteSource.read
    written: list[str] = []

    def reading(self: SqliteSource, table: Table, *rest: Any) -> Batch:
        # All memories have been read by now, and somebody goes on writing.
        if table.name == "vectors" and not written:
            written.extend(new)
            with closing(sqlite3.connect(path)) as connection, connection:
                for each in new:
                    connection.execute(
                        "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'new', ?, ?)",
                        (each, at, at),
                    )
                    connection.execute(
                        "INSERT INTO node_embeddings (node_id, embedding)"
                        " SELECT ?, embedding FROM node_embeddings ORDER BY seq LIMIT 1",
                        (each,),
                    )
                    connection.execute("INSERT INTO scheduling (memory_id) VALUES (?)", (each,))
        return read(self, table, *rest)

    monkeypatch.setattr(SqliteSource, "read", reading)
    running, result = await attempt(f"sqlite:{path}", target, batch=10, verify=True)
    assert written
    tables = running.meter.tables
    assert (tables["memories"].inserted, tables["vectors"].inserted) == (35, 35)
    assert {name: table.failed for name, table in tables.items() if table.failed} == {"scheduling": 1}
    for name, table in tables.items():
        assert table.read == table.inserted + table.present + table.failed == table.total, name
    failed = [each for each in await findings_of(target, running) if each.outcome == "failed"]
    assert [(each.subject, each.source_key) for each in failed] == [("scheduling", "nobody")]
    assert "equal" in result


def test_a_key_survives_the_checkpoint_whatever_its_bytes() -> None:
    key = ("plain", b"\xff\xfe half".decode("utf-8", "surrogateescape"), "\x00 \u2603")
    assert read_key(write_key(key)) == key
    assert read_key(write_key((-(2**63),))) == (-(2**63),)


@pytest.mark.slow
async def test_a_store_that_goes_there_and_back_is_the_same(tmp_path: Path, postgres_database: str) -> None:
    first, back, again = tmp_path / "first.db", tmp_path / "back.db", tmp_path / "again.db"
    await fill(first, 120)
    for source, target in (
        (f"sqlite:{first}", postgres_database),
        (postgres_database, f"sqlite:{back}"),
        (f"sqlite:{back}", str(again)),
    ):
        running, result = await attempt(source, target, batch=30, verify=True)
        assert result.endswith("every row is equal")
        tables = running.meter.tables
        assert (tables["memories"].inserted, tables["vectors"].inserted, tables["edges"].inserted) == (120, 120, 119)
        assert [finding for finding in await findings_of(target, running) if finding.outcome != "left_behind"] == []
    for sql in (*TABLES.values(), *TIMES.values(), "SELECT node_id, embedding FROM node_embeddings ORDER BY node_id"):
        found = []
        for path in (first, back, again):
            with closing(sqlite3.connect(path)) as connection:
                found.append(sorted(connection.execute(sql).fetchall(), key=repr))
        assert found[0] == found[1] == found[2], sql


@pytest.mark.slow
async def test_one_server_is_copied_to_another(tmp_path: Path, postgres_server: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 50)
    with named_database(postgres_server, "copy_one") as one, named_database(postgres_server, "copy_two") as two:
        await attempt(f"sqlite:{path}", one)
        _, result = await attempt(one, two, verify=True)
        assert "every row is equal" in result
        assert_equal_stores(path, two)
        with pytest.raises(Usage, match="to itself"):
            await check(JobRequest("copy", one, one.replace("vestige@", "vestige:unneeded@")))


async def test_a_store_cannot_be_copied_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    await fill(path, 12)
    (tmp_path / "alias.db").symlink_to(path)
    for spelling in (str(path), f"sqlite:{tmp_path / 'alias.db'}"):
        with pytest.raises(Usage, match="to itself"):
            await check(JobRequest("copy", f"sqlite:{path}", spelling))


def indexes(target: str) -> dict[str, str]:
    with psycopg.connect(target) as connection:
        cursor = connection.execute("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()")
        return {str(name): str(definition) for name, definition in cursor.fetchall()}


@pytest.mark.slow
@pytest.mark.parametrize("rebuilt", [True, False], ids=["by the copy that failed", "by the next"])
async def test_indexes_are_built_again_whatever_becomes_of_the_copy(
    tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch, rebuilt: bool
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 200)
    source = f"sqlite:{path}"
    async with open_store(postgres_database, create=True):
        whole = indexes(postgres_database)
    missing: list[int] = []

    async def interrupt(step: Step) -> None:
        if step.writes_rows("reviews"):
            missing.append(len(whole) - len(indexes(postgres_database)))
            raise Refused("Something else is wrong.")

    async def fail(self: PostgresTarget, transaction: Transaction, statement: str) -> None:
        raise Unavailable("The server is shutting down.")

    with monkeypatch.context() as patch:
        hook_steps(patch, before=interrupt)
        if not rebuilt:
            # The indexes that this attempt has recorded are built by the next.
            patch.setattr(PostgresTarget, "build_index", fail)
        with pytest.raises(Refused):
            await attempt(source, postgres_database, batch=20)
    assert missing[0] > 10
    assert len(whole) - len(indexes(postgres_database)) == (0 if rebuilt else missing[0])
    running, result = await attempt(source, postgres_database, batch=20, verify=True)
    assert "every row is equal" in result
    built = indexes(postgres_database)
    assert {name: built[name] for name in whole} == whole
    assert set(built) - set(whole) == {"idx_node_embeddings_hnsw"}
    assert (running.meter.tables["memories"].inserted, running.meter.tables["memories"].present) == (200, 0)
    assert_equal_stores(path, postgres_database)


@pytest.mark.slow
async def test_a_target_of_another_model_gets_vectors_of_its_own(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    async with open_store(target, create=True) as store:
        own = await store.models.register(ModelSignature(DEFAULT_MODEL, DEFAULT_DIMENSION))
    with pytest.raises(ModelMismatch, match="--reembed"):
        await check(JobRequest("copy", f"sqlite:{path}", target))
    running, result = await attempt(f"sqlite:{path}", target, reembed=True, verify=True)
    tables = running.meter.tables
    assert tables["vectors"].left_behind == 20
    assert (tables["embedding"].read, tables["embedding"].inserted, tables["embedding"].failed) == (20, 20, 0)
    assert "every row is equal" in result
    async with open_store(target) as store:
        assert await store.models.registered() == own
        assert (await store.models.census()).by_width == {own.dimension: 20}


@pytest.mark.slow
async def test_a_source_is_followed_until_somebody_asks_to_stop(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    launched = await start(JobRequest("copy", f"sqlite:{path}", target, {"follow": True}))
    at = "2026-02-01T00:00:00.000000+00:00"
    new = "00000000-0000-4000-8000-0000000000aa"
    async with open_store(target) as store:
        ledger = Ledger(store)
        async with asyncio.timeout(30):
            while (await ledger.job(launched.job_id)).progress.phase != "following":
                await store.backend.wait_for_change(0.1)
                assert (await ledger.job(launched.job_id)).in_flight
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'new', ?, ?)",
                (new, at, at),
            )
        async with asyncio.timeout(30):
            while not await store.memories.get_many([new]):
                await store.backend.wait_for_change(0.5)
        assert await ledger.request_cancel(launched.job_id)
    job = await wait_for_job(target, launched.job_id)
    assert (job.status, job.error, job.progress.phase) == ("completed", None, "done")
    assert job.progress.tables["memories"].inserted == 21
    assert job.result is not None
    assert job.result.startswith("102 rows inserted")


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
async def test_a_hostile_file_is_taken_up_without_counting_twice(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    path = make_v18(tmp_path / "vestige.db", 24, hostile=True)

    async def interrupt(step: Step) -> None:
        if step.writes_rows("edges"):
            raise Refused("Something else is wrong.")

    with named_database(postgres_server, "copy_whole") as one, named_database(postgres_server, "copy_taken_up") as two:
        for whole, taken_up in ((one, two), (str(tmp_path / "whole.db"), str(tmp_path / "taken_up.db"))):
            first, _ = await attempt(str(path), whole, batch=7, verify=True)
            with monkeypatch.context() as patch:
                hook_steps(patch, before=interrupt)
                with pytest.raises(Refused):
                    await attempt(str(path), taken_up, batch=7, verify=True)
            if lost:
                # As a copy that was begun before the target kept what a copy knows.
                change(taken_up, "DELETE FROM sync_state")
            second, result = await attempt(str(path), taken_up, batch=7, verify=True)
            assert result.endswith("every row that could be copied is equal")
            assert second.meter.tables == first.meter.tables
            assert second.meter.zero_vectors == first.meter.zero_vectors == 1
            findings = await findings_of(taken_up, second)
            assert sorted(findings, key=repr) == sorted(await findings_of(whole, first), key=repr)
            async with open_store(taken_up) as store:
                assert (
                    await store.backend.fetch("list_sync_state", {"chain": first.job_id, "after": 0, "limit": 1}) == []
                )


class _Killed(BaseException):
    """What ends a worker without a word."""


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", ["added", "deleted", "forgotten"])
@pytest.mark.parametrize("table", ["memories", "vectors", "edges"])
async def test_a_batch_that_was_lost_beside_its_checkpoint_is_written_again(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch, table: str, meanwhile: str
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 60)
    with (
        named_database(postgres_server, "lost_source") as source,
        named_database(postgres_server, "lost_target") as target,
    ):
        first, _ = await attempt(f"sqlite:{path}", source)
        lost: list[Mapping[str, Any]] = []

        async def kill(step: Step) -> None:
            if step.writes_rows(table) and "beside" in step.checkpoint:
                lost.append(step.checkpoint["beside"])
                # The second transaction is not committed yet; it is rolled back, as a server does for a dead worker.
                raise _Killed

        with monkeypatch.context() as patch:
            hook_steps(patch, after=kill)
            patch.setattr(copy_rows, "MAX_BATCH_ROWS", 10)
            with pytest.raises(_Killed):
                await attempt(source, target, batch=10)
        assert len(lost) == 1
        with psycopg.connect(source) as server:
            ids = [str(each) for (each,) in server.execute("SELECT id FROM knowledge_nodes ORDER BY id").fetchall()]
            # Between two rows of the batch that was lost.
            low, high = ids[12:14]
            if meanwhile == "added":
                new = str(uuid.UUID(int=uuid.UUID(low).int + 1))
                into = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at)"
                server.execute(f"{into} VALUES (%s, 'new', now(), now())".encode(), [new])
                vector = "INSERT INTO node_embeddings SELECT %s, embedding FROM node_embeddings WHERE node_id = %s"
                server.execute(vector, [new, low])
            elif meanwhile == "deleted":
                server.execute("DELETE FROM knowledge_nodes WHERE id = %s", [high])
        if meanwhile == "forgotten":
            # As a copy that was begun before the target kept what a copy knows.
            change(target, "DELETE FROM sync_state")
        running, result = await attempt(source, target, batch=10, verify=True)
        assert result.endswith("every row is equal")
        for name, counted in running.meter.tables.items():
            assert counted.read == counted.inserted + counted.present + counted.failed, name
            assert (counted.present, counted.failed) == (int(name == "users"), 0), name
            if meanwhile == "forgotten":
                assert counted.read == counted.total == first.meter.tables[name].total, name
