"""What only shows in the database itself: cancelled queries end, busy stores say so, the index is used."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from pathlib import Path
from typing import cast

import numpy as np
import psycopg
import pytest

from tests.support.file_limits import limit_file_bytes
from vestige_tui.core.errors import Busy, ForeignStore, OutOfResources, Unavailable, Usage, VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.backends.postgres_errors import translate
from vestige_tui.store.backends.sqlite import SqliteBackend
from vestige_tui.store.backends.sqlite_writer import SqliteTransaction
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema.named_sql import compose

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n"


async def test_a_cancelled_sqlite_query_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SqliteBackend(tmp_path / "store.db", create=True)
    await backend.open()
    monkeypatch.setattr("vestige_tui.store.backends.sqlite.compose", lambda dialect, name, slots=None: ENDLESS)
    tasks = [asyncio.create_task(backend.fetch("anything")) for _ in range(3)]
    await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    monkeypatch.undo()
    # No reader is left to a query that would never end.
    await asyncio.gather(*(backend.fetch("probe") for _ in range(8)))
    await backend.close()


async def test_a_cancelled_postgres_query_ends_on_the_server(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = PostgresBackend(postgres_database)
    await backend.open()
    monkeypatch.setattr(
        "vestige_tui.store.backends.postgres.compose", lambda dialect, name, slots=None: "SELECT pg_sleep(60) AS n"
    )
    task = asyncio.create_task(backend.fetch("anything"))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    with psycopg.connect(postgres_database, autocommit=True) as watcher:
        for _ in range(50):
            row = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
            ).fetchone()
            if row == (0,):
                break
            await asyncio.sleep(0.05)
        assert row == (0,)
    await backend.close()


async def test_a_task_that_is_cancelled_as_it_gets_a_connection_ends(postgres_database: str) -> None:
    """Steps of the event loop between the two; at one of them the pool of psycopg loses the cancellation on 3.11."""
    backend = PostgresBackend(postgres_database, max_connections=1)
    await backend.open()

    async def ask_for_ever() -> None:
        while True:
            await backend.fetch("probe")
            await asyncio.sleep(3600)

    for steps in range(40):
        async with backend._pool.connection():
            task = asyncio.create_task(ask_for_ever())
            while not backend._pool.connections().waiting:  # noqa: ASYNC110 - the pool has no event for it
                await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=30)
        assert done, f"a cancellation after {steps} steps was lost"
    await backend.close()


async def test_a_locked_file_is_busy_and_still_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vestige_tui.store.backends.sqlite_connection.BUSY_MS", 200)
    path = tmp_path / "store.db"
    async with open_store(str(path), create=True, embedders=EmbedderSource(embedder=TestEmbedder(8))) as store:
        await store.insert(Draft("Before the lock."))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy):
            await store.insert(Draft("While locked."))
        assert await store.memories.count() == 1
        other.execute("ROLLBACK")
        other.close()
        await store.insert(Draft("After the lock."))
        assert await store.memories.count() == 2


async def test_a_write_cancelled_at_any_moment_is_whole_or_nothing(tmp_path: Path) -> None:
    source = EmbedderSource(embedder=TestEmbedder(8))
    async with open_store(str(tmp_path / "store.db"), create=True, embedders=source) as store:
        await store.insert(Draft("The first registers the model."))
        for step in range(60):
            task = asyncio.create_task(store.insert(Draft(f"Cancelled {step}.")))
            await asyncio.sleep(step * 0.0001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.insert(Draft("The last."))
        stats, entries = await store.maintenance.stats(), await store.journal.entries(limit=100)
        assert stats.total_memories == stats.memories_with_embeddings == len(entries)


@pytest.mark.parametrize("pages", [3, 5, 7, 11])
async def test_a_write_ahead_log_that_cannot_grow_leaves_room_for_a_small_write(tmp_path: Path, pages: int) -> None:
    async with open_store(str(tmp_path / "store.db"), create=True) as store:

        async def write(sql: str) -> None:
            async with store.backend.write() as transaction:
                await cast("SqliteTransaction", transaction).run("test", lambda connection: connection.execute(sql))

        async def fill_the_log() -> None:
            for _ in range(400):
                await write(f"UPDATE big SET content = randomblob({4_000 * pages})")

        await write("CREATE TABLE big AS SELECT x'' AS content")
        with limit_file_bytes(900_000):
            for _ in range(3):
                with pytest.raises(VestigeError, match="disk"):
                    await fill_the_log()
                await write("UPDATE big SET content = randomblob(3000)")


async def test_what_another_process_writes_is_found_by_meaning(tmp_path: Path) -> None:
    path, source = str(tmp_path / "store.db"), EmbedderSource(embedder=TestEmbedder(32))
    async with open_store(path, create=True, embedders=source) as one, open_store(path, embedders=source) as two:
        first = await one.insert(Draft("alpha beta"))
        assert (await two.search(SearchQuery("alpha beta", mode="vector")))[0].memory.id == first.changed[0]
        second = await one.insert(Draft("gamma delta"))
        assert (await two.search(SearchQuery("gamma delta", mode="vector")))[0].memory.id == second.changed[0]
        await one.delete(list(second.changed))
        assert [hit.memory.id for hit in await two.search(SearchQuery("gamma delta", mode="vector"))] == list(
            first.changed
        )


async def test_files_and_folders_that_we_make_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.db"
    async with open_store(str(path), create=True):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but long enough to be read as one" * 40, b"SQLite format 3\0" + b"\xff" * 4_000],
)
async def test_files_that_are_none_are_refused_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.db"
    path.write_bytes(content)
    with pytest.raises((ForeignStore, Unavailable)) as caught:
        async with open_store(str(path), create=True):
            pass
    assert "odd.db" in caught.value.message
    assert path.read_bytes() == content


async def test_urls(tmp_path: Path) -> None:
    assert open_backend(f"sqlite:{tmp_path}/x.db").location() == f"sqlite:{tmp_path}/x.db"
    with pytest.raises(Usage):
        open_backend("mysql://host/db")
    with pytest.raises(Usage):
        open_backend("sqlite:")
    with pytest.raises(Usage):
        open_backend("pgembed:")


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:s3cret PW@nowhere.invalid/db", "postgresql://me:s3cretPW@127.0.0.1:1/db", "postgresql://me@127.0.0.1:1/db?password=s3cretPW"],
)  # fmt: skip
async def test_passwords_are_in_no_error(url: str) -> None:
    with pytest.raises(VestigeError) as caught:
        async with open_store(url, acquire_timeout=2):
            pass
    chain: BaseException | None = caught.value
    assert "s3cret" not in caught.value.message
    while chain is not None:
        if not chain.__suppress_context__:
            assert "s3cret" not in str(chain.__cause__)
        chain = chain.__cause__


@pytest.mark.slow
async def test_a_full_pool_is_busy(postgres_database: str) -> None:
    backend = PostgresBackend(postgres_database, max_connections=1, acquire_timeout=1.5)
    await backend.open()
    async with backend.transaction():
        with pytest.raises(Busy):
            await backend.fetch("probe")
    assert await backend.fetch("probe")
    await backend.close()


async def test_reads_survive_lost_connections(postgres_database: str) -> None:
    backend = PostgresBackend(postgres_database)
    await backend.open()
    await asyncio.gather(*(backend.fetch("probe") for _ in range(4)))
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    for _ in range(4):
        assert await backend.fetch("probe")
    await backend.close()


@pytest.mark.slow
async def test_search_by_meaning_uses_the_index(postgres_database: str) -> None:
    rng = np.random.default_rng(1)
    source = EmbedderSource(embedder=TestEmbedder(16))
    async with open_store(postgres_database, create=True, embedders=source) as store:
        await store.insert(Draft("The first registers the model."))
        vectors = rng.standard_normal((6_000, 16)).astype(np.float32)
        for start in range(0, len(vectors), 1_000):
            part = vectors[start : start + 1_000]
            await store.memories.insert_many(
                [Draft(f"Memory {start + i}.") for i in range(len(part))], embeddings=list(part)
            )
        with psycopg.connect(postgres_database, autocommit=True) as connection:
            connection.execute("ANALYZE")
            connection.execute(b"SET hnsw.iterative_scan = relaxed_order; SET hnsw.ef_search = 100")
            sql = compose(
                "postgres",
                "search_memories",
                {
                    "vector_branch": ["branch_vector_index"],
                    "text_branch": ["branch_text"],
                    "text_score": ["score_text"],
                    "vector_score": ["score_vector"],
                    "chosen": ["chosen_best"],
                    "filters": ["filter_active"],
                },
            ).replace("{vector}", "vector")
            params = {
                "embedding": "[" + ",".join(map(str, vectors[7])) + "]",
                "depth": 30,
                "counted": 30,
                "limit": 10,
                "queries": ["memori"],
                "weights": [1.0],
                "rare": "memori",
                "text_weight": 0.5,
                "vector_weight": 0.5,
                "floor": 0.75,
            }
            plan = "\n".join(str(row[0]) for row in connection.execute(f"EXPLAIN {sql}".encode(), params))
        assert "idx_node_embeddings_hnsw" in plan
        answer = await store.search(SearchQuery(embedding=vectors[7], mode="vector", limit=10))
        exact = np.argsort(-(vectors @ vectors[7]) / np.linalg.norm(vectors, axis=1))[:10]
        assert answer[0].memory.content == f"Memory {exact[0]}."
        found = {hit.memory.content for hit in answer}
        assert len(found & {f"Memory {index}." for index in exact}) >= 9


@pytest.mark.parametrize("error", [psycopg.errors.DiskFull, psycopg.errors.OutOfMemory])
def test_a_server_without_memory_is_told_from_one_that_is_away(error: type[psycopg.Error]) -> None:
    # A container may have too little shared memory for parallel workers: the index is then built without them.
    assert isinstance(translate(error("could not resize shared memory segment"), "it"), OutOfResources)
    assert not isinstance(translate(psycopg.OperationalError("the connection is lost"), "it"), OutOfResources)


@pytest.mark.parametrize("prefix", ["connection failed: ", "connection is bad: ", ""])
def test_a_server_that_cannot_be_reached_is_said_once(prefix: str) -> None:
    cause = 'connection to server at "db", port 1 failed: Connection refused'
    error = psycopg.OperationalError(f"{prefix}{cause}\n\tIs the server running?")
    assert str(translate(error, "it")) == f"it cannot be reached: {cause}."
