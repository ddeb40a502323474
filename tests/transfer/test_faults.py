"""What may happen to a job from outside: its server dies, another job fills the same store, the disk is full."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.file_limits import limit_file_bytes
from tests.support.full_store import MODEL, fill
from tests.support.jobs import read_job, wait_for_job, watched
from tests.support.polling import until
from tests.support.postgres import wait_for_blocked_session
from vestige_tui.core.memories import Filter
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, resume, start
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.store.open import open_store
from vestige_tui.transfer.postgres_target import PostgresTarget


async def read_so_far(target: str, job_id: str, rows: int) -> None:
    """Wait until a job has read so many rows."""
    async with watched(target, 0.05) as watching:
        async for jobs in watching:
            for job in jobs:
                if job.id == job_id and sum(table.read for table in job.progress.tables.values()) >= rows:
                    return


def kill_server(directory: Path, how: signal.Signals) -> None:
    os.kill(int((directory / "data" / "postmaster.pid").read_text().splitlines()[0]), how)


def ids_in(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes")}


async def ids_of(target: str) -> set[str]:
    found: set[str] = set()
    async with open_store(target) as store:
        after = None
        while True:
            page = await store.page(Filter(superseded=True), limit=500, after=after)
            found |= {memory.id for memory in page.items}
            if (after := page.next) is None:
                return found


@pytest.mark.slow
async def test_a_server_that_dies_under_a_copy_is_waited_for(tmp_path: Path) -> None:
    source, directory = tmp_path / "source.db", tmp_path / "server"
    await fill(source, 3_000)
    target = f"pgembed:{directory}"
    launched = await start(JobRequest("copy", f"sqlite:{source}", target, {"batch": 100}))
    for rows, how in ((500, signal.SIGKILL), (4_000, signal.SIGQUIT)):
        await read_so_far(target, launched.job_id, rows)
        kill_server(directory, how)
    job = await wait_for_job(target, launched.job_id)
    assert (job.status, job.error) == ("completed", None)
    assert job.attempt == 1
    memories = job.progress.tables["memories"]
    assert (memories.read, memories.inserted, memories.present, memories.failed) == (3_000, 3_000, 0, 0)
    for name, table in job.progress.tables.items():
        assert table.read == table.inserted + table.present + table.failed, name
    assert await ids_of(target) == ids_in(source)


async def test_two_copies_drop_the_indexes_one_after_the_other(postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as one, open_store(postgres_database) as other:

        async def drop() -> tuple[str, ...]:
            async with other.backend.write() as transaction:
                return await PostgresTarget(other).drop_indexes(transaction)

        async with one.backend.write() as transaction:
            dropped = await PostgresTarget(one).drop_indexes(transaction)
            dropping = asyncio.create_task(drop())
            await wait_for_blocked_session(postgres_database)
        assert len(dropped) > 5
        assert await dropping == ()


@pytest.mark.slow
async def test_two_copies_fill_one_store(tmp_path: Path, postgres_database: str) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    await fill(one, 400)
    await fill(other, 400)
    with closing(sqlite3.connect(other)) as connection, connection:
        # Half of its memories are those of the first one, the others are its own.
        for (each,) in connection.execute("SELECT id FROM knowledge_nodes ORDER BY id LIMIT 200").fetchall():
            connection.execute("UPDATE knowledge_nodes SET id = ? WHERE id = ?", [str(uuid.uuid4()), each])
    works = [JobRequest("copy", f"sqlite:{path}", postgres_database, {"batch": 20}) for path in (one, other)]
    launched = await asyncio.gather(*map(start, works))
    jobs = await asyncio.gather(*(wait_for_job(postgres_database, each.job_id) for each in launched))
    assert [(job.status, job.error) for job in jobs] == [("completed", None)] * 2
    assert sum(job.progress.tables["memories"].inserted for job in jobs) == 600
    assert await ids_of(postgres_database) == ids_in(one) | ids_in(other)


@pytest.mark.slow
async def test_a_copy_whose_disk_is_full_can_go_on(tmp_path: Path) -> None:
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    await fill(source, 2_000)
    async with open_store(f"sqlite:{target}", create=True) as store:
        await store.models.register(MODEL)
    work = JobRequest("copy", f"sqlite:{source}", f"sqlite:{target}", {"batch": 50})
    with limit_file_bytes(1_000_000):
        launched = await start(work)

    async def waits() -> bool:
        return (await read_job(f"sqlite:{target}", launched.job_id)).wait is not None

    await until(waits)
    async with open_store(f"sqlite:{target}") as store:
        await Ledger(store).cancel(launched.job_id)
    job = await wait_for_job(f"sqlite:{target}", launched.job_id)
    assert (job.status, job.error) == ("failed", CANCELLED)
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with open_store(f"sqlite:{target}") as store:
        there = await store.memories.count(Filter(superseded=True))
        assert there == job.progress.tables["memories"].inserted < 2_000
        again = await resume(await Ledger(store).job(launched.job_id))
    job = await wait_for_job(f"sqlite:{target}", again.job_id)
    assert (job.status, job.error, job.attempt) == ("completed", None, 2)
    assert job.progress.tables["memories"].inserted == 2_000
    assert ids_in(target) == ids_in(source)


@pytest.mark.slow
async def test_ten_thousand_memories_arrive_and_a_second_run_brings_nothing(
    tmp_path: Path, postgres_database: str
) -> None:
    source = tmp_path / "source.db"
    await fill(source, 10_000, dimension=16, words=12)
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute(
            "DELETE FROM scheduling WHERE memory_id NOT IN (SELECT id FROM knowledge_nodes ORDER BY id LIMIT 4000)"
        )
        connection.execute("DELETE FROM edges")
        connection.execute(
            "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)"
            " SELECT a.id, b.id, 'related', 0.5, a.created_at FROM knowledge_nodes a"
            " JOIN knowledge_nodes b ON b.seq = a.seq + 1 ORDER BY a.seq LIMIT 2000"
        )
    work = JobRequest("copy", f"sqlite:{source}", postgres_database)
    job = await wait_for_job(postgres_database, (await start(work)).job_id)
    assert (job.status, job.error) == ("completed", None)
    counts = {name: table.inserted for name, table in job.progress.tables.items()}
    assert (counts["memories"], counts["scheduling"], counts["edges"]) == (10_000, 4_000, 2_000)
    assert (job.result or "").endswith("every row is equal")
    again = await wait_for_job(postgres_database, (await start(work)).job_id)
    assert again.status == "completed"
    assert sum(table.inserted for table in again.progress.tables.values()) == 0
    assert again.progress.tables["memories"].present == 10_000


@pytest.mark.slow
async def test_rows_that_become_one_do_not_wait_for_each_other(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 60, dimension=8)
    with closing(sqlite3.connect(source)) as connection, connection:
        # Two batches are written at once, and of these links, whose types are cut, only one can be there.
        [(here, there)] = connection.execute("SELECT min(id), max(id) FROM knowledge_nodes").fetchall()
        connection.execute("DELETE FROM edges")
        connection.executemany(
            "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)"
            " VALUES (?, ?, ?, 0.5, '2026-01-01')",
            [(here, there, "x" * 255 + str(number)) for number in range(400)],
        )
    work = JobRequest("copy", f"sqlite:{source}", postgres_database, {"batch": 5, "verify": False})
    job = await wait_for_job(postgres_database, (await start(work)).job_id)
    assert (job.status, job.error) == ("completed", None)
    edges = job.progress.tables["edges"]
    assert (edges.read, edges.inserted, edges.present) == (400, 1, 399)
