"""Many at once: writers, searchers and updaters on one store, two stores on one memory, and stores that are busy."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import sql

from tests.support.memory_ids import list_ids
from tests.support.pgbouncer import past_pooler
from tests.support.polling import until
from tests.support.postgres_variant import as_superuser
from vestige_tui.core.errors import Busy, Conflict
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

WRITERS, EACH = 16, 100
WIDTH = 32
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n",
    "postgres": "SELECT pg_sleep(3600) AS n",
}


@asynccontextmanager
async def opened(url: str, *, create: bool = False) -> AsyncIterator[Store]:
    source = EmbedderSource(embedder=TestEmbedder(WIDTH))
    async with open_store(url, create=create, embedders=source, max_connections=4) as store:
        yield store
    source.close()


@dataclass(slots=True)
class Tally:
    """What those beside the writers have come to do."""

    searches: int = 0
    updates: int = 0
    conflicts: int = 0


async def _search(store: Store, vectors: np.ndarray, over: asyncio.Event, tally: Tally) -> None:
    while not over.is_set():
        vector = vectors[tally.searches % len(vectors)]
        answer = await store.search(SearchQuery("harbour signal", embedding=vector))
        assert len({hit.memory.id for hit in answer}) == len(list(answer))
        tally.searches += 1


async def _update(store: Store, memory_id: str, over: asyncio.Event, tally: Tally) -> None:
    while not over.is_set():
        seen = await store.get(memory_id)
        turn = int(seen.metadata.get("turn", 0))
        try:
            await store.update(memory_id, Patch(metadata={"turn": turn + 1}), expected=seen.updated_at, embed=False)
            tally.updates += 1
        except Conflict:
            tally.conflicts += 1
        await asyncio.sleep(0)


@pytest.mark.slow
async def test_writers_searchers_and_updaters_at_once(store_url: str) -> None:
    vectors = np.random.default_rng(4).standard_normal((WRITERS * EACH, WIDTH)).astype(np.float32)
    over, tally = asyncio.Event(), Tally()
    async with opened(store_url, create=True) as store, opened(store_url) as other:
        shared = (await store.insert(Draft("harbour signal, changed by two"))).changed[0]

        async def write(writer: int) -> None:
            for turn in range(EACH):
                at = writer * EACH + turn
                # Half of them through the other store, as another process has it.
                await (store, other)[writer % 2].insert(Draft(f"harbour {writer} signal {turn}"), embedding=vectors[at])

        beside = [
            *(asyncio.create_task(_search(each, vectors, over, tally)) for each in (store, store, other, other)),
            *(asyncio.create_task(_update(each, shared, over, tally)) for each in (store, other)),
        ]
        try:
            await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        finally:
            over.set()
        await asyncio.gather(*beside)

        said = Counter(memory.content for memory in await store.memories.get_many(await list_ids(store)))
        assert {f"harbour {w} signal {t}" for w in range(WRITERS) for t in range(EACH)} <= said.keys()
        assert set(said.values()) == {1}
        stats = await other.maintenance.stats()
        assert stats.total_memories == stats.memories_with_embeddings == WRITERS * EACH + 1
        # No update is lost: each that was not told of a conflict counted one on.
        assert (await store.get(shared)).metadata["turn"] == tally.updates > 0
        assert tally.searches > 0


async def test_two_stores_grade_one_memory_once(store_url: str) -> None:
    async with opened(store_url, create=True) as one, opened(store_url) as two:
        memory_id = (await one.insert(Draft("graded by two"))).changed[0]
        for turn in range(5):
            seen = (await one.get(memory_id)).scheduling
            ends = await asyncio.gather(
                one.reviews.record(memory_id, Rating.GOOD, expected=seen),
                two.reviews.record(memory_id, Rating.AGAIN, expected=seen),
                return_exceptions=True,
            )
            assert [type(end) for end in ends].count(Conflict) == 1, ends
            reviews = await two.reviews.log(memory_id)
            assert len(reviews) == turn + 1
            won = Rating.AGAIN if isinstance(ends[0], Conflict) else Rating.GOOD
            assert reviews[-1].rating == won


async def test_two_stores_edit_one_memory_once(store_url: str) -> None:
    async with opened(store_url, create=True) as one, opened(store_url) as two:
        memory_id = (await one.insert(Draft("as it was"))).changed[0]
        seen = (await one.get(memory_id)).updated_at
        ends = await asyncio.gather(
            one.update(memory_id, Patch(content="by one"), expected=seen),
            two.update(memory_id, Patch(content="by two"), expected=seen),
            return_exceptions=True,
        )
        assert [type(end) for end in ends].count(Conflict) == 1, ends
        content = (await one.get(memory_id)).content
        assert content == ("by two" if isinstance(ends[0], Conflict) else "by one")
        assert [entry.verb for entry in await two.journal.entries()] == ["edit", "add"]


@pytest.mark.slow
async def test_a_file_that_another_process_holds_is_busy_and_reads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestige_tui.store.backends.sqlite_connection.BUSY_MS", 500)
    path = tmp_path / "store.db"
    async with opened(f"sqlite:{path}", create=True) as store:
        memory_id = (await store.insert(Draft("held by another"))).changed[0]
        entries = await store.journal.entries()
        held = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        held += "c.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\nsys.stdin.readline()\n"
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", held, str(path)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert other.stdin is not None
        assert other.stdout is not None
        assert await other.stdout.readline() == b"held\n"
        ends = await asyncio.gather(
            store.insert(Draft("while it was held")),
            store.update(memory_id, Patch(content="while it was held")),
            store.reviews.record(memory_id, Rating.GOOD),
            store.maintenance.vacuum(),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [Busy] * 4
        assert all("nothing was changed" in str(end) for end in ends)
        assert (await store.get(memory_id)).content == "held by another"
        assert [hit.memory.id for hit in await store.search(SearchQuery("another", mode="text"))] == [memory_id]
        assert await store.journal.entries() == entries
        waiting = asyncio.create_task(store.insert(Draft("once it was let go")))
        await asyncio.sleep(0.1)
        await other.communicate(b"\n")
        await waiting
        await store.update(memory_id, Patch(content="let go"))
        assert await store.memories.count() == 2


async def test_who_leaves_while_the_file_is_held_need_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than any test may take.
    monkeypatch.setattr("vestige_tui.store.backends.sqlite_connection.BUSY_MS", 3_600_000)
    path = tmp_path / "store.db"
    async with opened(f"sqlite:{path}", create=True) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = [asyncio.create_task(store.insert(Draft(f"never written {i}"), embed=False)) for i in range(3)]
            await asyncio.sleep(0.1)
            for task in waiting:
                task.cancel()
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(end) for end in ends] == [asyncio.CancelledError] * 3
            other.execute("ROLLBACK")
        await store.insert(Draft("written"), embed=False)
        assert await store.memories.count() == 1


async def test_a_write_beside_one_that_is_refused_is_done_once(tmp_path: Path) -> None:
    async with opened(f"sqlite:{tmp_path / 'store.db'}", create=True) as store:
        twice = Draft("the database is locked", id="the-same")
        ends = await asyncio.gather(
            *(store.insert(twice, embed=False) for _ in range(3)),
            *(store.insert(Draft(f"beside {i}"), embed=False) for i in range(5)),
            return_exceptions=True,
        )
        assert [type(end) for end in ends].count(Conflict) == 2
        assert await store.memories.count() == len(await store.journal.entries()) == 6


@pytest.mark.slow
async def test_a_pool_in_use_is_busy_and_serves_again(postgres_database: str) -> None:
    backend = PostgresBackend(postgres_database, max_connections=2, acquire_timeout=1.3)
    await backend.open()
    async with backend.transaction(), backend.transaction():
        with pytest.raises(Busy, match=r"All connections to .* are in use"):
            await backend.fetch("probe")
        # Being told of changes needs none of them.
        assert await backend.wait_for_change(0.1)
        waiting = asyncio.create_task(backend.fetch("probe"))
        await asyncio.sleep(0.1)
    assert await waiting
    assert backend.pool_state().startswith("0 of 2")
    await backend.close()


async def test_many_cancelled_questions_leave_no_connection_behind(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(store_url, create=True) as store:
        backend = store.backend
        composing = f"vestige_tui.store.backends.{backend.dialect}.compose"
        for _ in range(3):
            monkeypatch.setattr(composing, lambda dialect, name, slots=None: ENDLESS[dialect])
            tasks = [asyncio.create_task(backend.fetch("endless")) for _ in range(8)]
            await asyncio.sleep(0.2)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            monkeypatch.undo()
            await asyncio.gather(*(backend.fetch("probe") for _ in range(8)))

        async def is_idle() -> bool:
            return backend.pool_state().startswith("0 of")

        await until(is_idle)


@pytest.mark.slow
async def test_a_transaction_is_told_of_once(postgres_database: str) -> None:
    vectors = list(np.random.default_rng(5).standard_normal((1_000, WIDTH)).astype(np.float32))
    async with opened(postgres_database, create=True) as store:
        backend = store.backend
        assert isinstance(backend, PostgresBackend)
        await store.insert(Draft("The first registers the model."))
        async with told(postgres_database) as heard:
            await store.memories.insert_many([Draft(f"memory {i}") for i in range(1_000)], embeddings=vectors)
            assert await heard(1) == 1
            async with (
                backend.transaction() as transaction,
                transaction.connection.cursor() as cursor,
                cursor.copy("COPY knowledge_nodes (content) FROM STDIN") as copy,
            ):
                for i in range(10_000):
                    await copy.write_row((f"copied {i}",))
            assert await heard(1) == 1
            with pytest.raises(Conflict):
                await store.insert(Draft("taken back", id=(await list_ids(store, limit=1))[0]), embed=False)
            assert await heard(0) == 0


@asynccontextmanager
async def told(url: str) -> AsyncIterator[Callable[[int], Awaitable[int]]]:
    """A listener of its own; gives what waits for so many notifications, and counts those since it was last asked."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as listener:
        [channel, key] = await (
            await listener.execute(
                "SELECT 'vestige_' || key, key FROM hashtextextended('vestige ' || current_schema(), 0) AS key"
            )
        ).fetchone() or ("", 0)
        await listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        await listener.execute("SELECT pg_advisory_lock_shared(%s)", [key])

        async def heard(least: int) -> int:
            first = [each async for each in listener.notifies(timeout=20, stop_after=least)] if least else []
            return len(first) + len([each async for each in listener.notifies(timeout=0.2)])

        yield heard


@pytest.mark.slow
async def test_stores_of_one_database_do_not_wake_each_other(bare_postgres_database: str) -> None:
    with psycopg.connect(as_superuser(bare_postgres_database), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("CREATE SCHEMA aside")
        connection.execute("GRANT ALL ON SCHEMA aside TO PUBLIC")
    mark = "&" if "?" in bare_postgres_database else "?"
    # Behind a pooler there are no notifications.
    here = past_pooler(bare_postgres_database)
    aside = f"{here}{mark}options=-csearch_path%3Daside,public"
    async with opened(here, create=True) as one, opened(aside, create=True) as two:
        for store in (one, two):
            assert await store.wait_for_change(0.0)
            while await store.wait_for_change(0.3):
                pass
        await two.insert(Draft("aside"), embed=False)
        assert not await one.wait_for_change(0.3)
        assert await two.wait_for_change(5.0)
        await one.insert(Draft("here"), embed=False)
        assert not await two.wait_for_change(0.3)
        assert await one.wait_for_change(5.0)


@pytest.mark.slow
async def test_what_was_begun_before_anybody_listened_is_told_of(postgres_database: str) -> None:
    url = past_pooler(postgres_database)
    async with opened(url, create=True) as writing, opened(url) as store:
        backend = writing.backend
        assert isinstance(backend, PostgresBackend)
        async with backend.transaction() as transaction:
            await transaction.connection.execute("INSERT INTO knowledge_nodes (content) VALUES ('begun before')")
            assert await store.wait_for_change(0.0)
            assert not await store.wait_for_change(0.3)
        assert await store.wait_for_change(5.0)


@pytest.mark.slow
async def test_where_nothing_can_be_heard_the_server_is_asked(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As behind a pooler, which gives its clients other process numbers than the server's.
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda _: 1))
    async with opened(postgres_database, create=True) as store:
        await store.wait_for_change(0.0)
        assert store.backend._changes.polls  # type: ignore[attr-defined]  # otherwise this tests something else
        while await store.wait_for_change(1.5):
            pass
        waiting = asyncio.create_task(store.wait_for_change(10.0))
        await store.insert(Draft("asked for"), embed=False)
        assert await waiting


async def test_watching_a_file_costs_next_to_nothing(tmp_path: Path) -> None:
    async with opened(f"sqlite:{tmp_path / 'store.db'}", create=True) as store:
        while await store.wait_for_change(0.0):
            pass
        before = time.process_time()
        assert not await store.wait_for_change(1.0)
        assert time.process_time() - before < 0.1
