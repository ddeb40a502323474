"""Searches and lists from a replica: its own writes are always seen, and the primary answers where it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.pgbouncer import pgbouncer
from tests.support.polling import until
from tests.support.replicas import ReplicatedPair, copy_server, new_standby, start, stop
from vestige_tui.core.errors import Conflict
from vestige_tui.core.health import PostgresServer
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.backends import postgres_replica
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


@pytest.fixture(autouse=True)
def looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_replica, "RETRY_SECONDS", 0.2)
    # A busy machine is no replica that is away.
    monkeypatch.setattr(postgres_replica, "OPEN_SECONDS", 60.0)
    monkeypatch.setattr(postgres_replica, "ANSWER_SECONDS", 60.0)


async def texts(store: Store) -> set[str]:
    return {memory.content for memory in (await store.page(limit=200)).items}


async def replica_of(store: Store) -> str:
    """Return what the report says of the replica."""
    server = (await store.maintenance.report()).server
    assert isinstance(server, PostgresServer)
    return server.replica


async def problem_of(store: Store) -> str:
    return " ".join(check.problem for check in (await store.health()).problems if "replica" in check.problem)


async def is_used(store: Store) -> bool:
    await store.page()
    return (await replica_of(store)).startswith("answers searches and lists, at ")


@asynccontextmanager
async def replay_paused(pair: ReplicatedPair) -> AsyncIterator[None]:
    await pair.replayed()
    async with await psycopg.AsyncConnection.connect(pair.standby_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_wal_replay_pause()")

        async def is_paused() -> bool:
            cursor = await connection.execute("SELECT pg_get_wal_replay_pause_state() = 'paused'")
            return (await cursor.fetchone()) == (True,)

        try:
            await until(is_paused)
            yield
        finally:
            await connection.execute("SELECT pg_wal_replay_resume()")


@pytest.mark.slow
async def test_lists_come_from_the_replica_and_own_writes_from_the_primary(replicated_pair: ReplicatedPair) -> None:
    pair = replicated_pair
    async with (
        open_store(pair.primary_url, read_url=pair.standby_url) as store,
        open_store(pair.primary_url) as other,
    ):
        [first] = (await store.insert(Draft("Seen by both zebras."), embed=False)).changed
        await pair.replayed()
        await until(lambda: is_used(store))
        async with replay_paused(pair):
            [unheard] = (await other.insert(Draft("A zebra that only the primary knows."), embed=False)).changed
            seen = await texts(store)
            assert "Seen by both zebras." in seen
            assert "A zebra that only the primary knows." not in seen, "the replica answered"
            hits = (await store.search(SearchQuery("zebra", mode="literal"))).hits
            assert [hit.memory.id for hit in hits] == [first]
            assert (await store.get(unheard)).content == "A zebra that only the primary knows."

            # A row of the list that another process has changed meanwhile is no lost update.
            [listed] = [memory for memory in (await store.page(limit=200)).items if memory.id == first]
            await other.update(first, Patch(content="Changed beside both zebras."), embed=False)
            with pytest.raises(Conflict):
                await store.update(first, Patch(content="Lost."), expected=listed.updated_at, embed=False)

            await store.insert(Draft("A zebra of its own."), embed=False)
            own = await texts(store)
            assert {"A zebra of its own.", "Changed beside both zebras."} <= own
            assert len((await store.search(SearchQuery("zebra", mode="literal"))).hits) == 3
            assert "behind, so the primary answers" in await replica_of(store)
            assert await problem_of(store) == ""
        await until(lambda: is_used(store))
        assert "A zebra of its own." in await texts(store)


async def test_a_replica_behind_a_pooler_answers(replicated_pair: ReplicatedPair) -> None:
    pair = replicated_pair
    async with open_store(pair.primary_url) as store:
        await store.insert(Draft("A gnu behind a pooler."), embed=False)
    with pgbouncer(pair.standby_url, "transaction") as pooler:
        async with open_store(pair.primary_url, read_url=pooler.url(pair.standby_url)) as store:
            await pair.replayed()
            await until(lambda: is_used(store))
            for _ in range(10):
                hits = (await store.search(SearchQuery("gnu", mode="literal"))).hits
                assert [hit.memory.content for hit in hits] == ["A gnu behind a pooler."]
            assert await is_used(store)


async def test_a_change_that_is_heard_of_is_seen(replicated_pair: ReplicatedPair) -> None:
    """A console lists again once it hears of a change, which the replica may not have replayed."""
    pair = replicated_pair
    async with (
        open_store(pair.primary_url, read_url=pair.standby_url) as store,
        open_store(pair.primary_url) as other,
    ):
        await store.wait_for_change(0)
        await until(lambda: is_used(store))
        async with replay_paused(pair):
            await other.insert(Draft("Heard of."), embed=False)

            async def is_heard() -> bool:
                return await store.wait_for_change(5)

            await until(is_heard)
            assert "Heard of." in await texts(store)


@pytest.mark.slow
async def test_the_primary_answers_while_the_replica_is_away(replicated_pair: ReplicatedPair, tmp_path: Path) -> None:
    copy_server(replicated_pair.primary_url, tmp_path / "passing")
    lease = start(tmp_path / "passing")
    running = True
    try:
        async with open_store(replicated_pair.primary_url, read_url=lease.url) as store:
            await until(lambda: is_used(store))
            stop(lease)
            running = False
            await store.insert(Draft("Written while the replica is away."), embed=False)
            assert "Written while the replica is away." in await texts(store)
            assert (await replica_of(store)).startswith("not in use, at ")
            problem = await problem_of(store)
            assert problem.endswith("cannot be reached or does not answer; the primary answers searches and lists.")
            lease, running = start(tmp_path / "passing"), True
            await until(lambda: is_used(store))
            assert await problem_of(store) == ""
            assert "Written while the replica is away." in await texts(store)
    finally:
        if running:
            stop(lease)


@pytest.mark.slow
async def test_another_store_is_never_read(
    replicated_pair: ReplicatedPair, postgres_database: str, tmp_path: Path
) -> None:
    with new_standby(replicated_pair.primary_url, tmp_path / "promoted") as promoted:
        async with open_store(replicated_pair.primary_url, read_url=promoted) as store:
            await until(lambda: is_used(store))
            async with await psycopg.AsyncConnection.connect(promoted, autocommit=True) as connection:
                await connection.execute("SELECT pg_promote()")
                await connection.execute("TRUNCATE knowledge_nodes CASCADE")

            async def is_refused() -> bool:
                await texts(store)
                return "does not replicate this store's server" in await problem_of(store)

            await until(is_refused)
    for url in (postgres_database, replicated_pair.primary_url):
        async with open_store(replicated_pair.primary_url, read_url=url) as store:
            await store.insert(Draft("Here alone."), embed=False)
            assert "Here alone." in await texts(store)
            assert "does not replicate this store's server" in await problem_of(store)


async def test_another_schema_is_not_read(replicated_pair: ReplicatedPair) -> None:
    change = (
        "INSERT INTO vestige_migrations SELECT 9999, 'later', sha256, applied_at, 0 FROM vestige_migrations LIMIT 1"
    )
    async with open_store(replicated_pair.primary_url, read_url=replicated_pair.standby_url) as store:
        await until(lambda: is_used(store))
        async with replay_paused(replicated_pair):
            async with await psycopg.AsyncConnection.connect(replicated_pair.primary_url) as connection:
                await connection.execute(change)
            await store.backend.reopen()

            async def is_refused() -> bool:
                return "has another version of the schema" in await problem_of(store)

            await until(is_refused)
            async with await psycopg.AsyncConnection.connect(replicated_pair.primary_url) as connection:
                await connection.execute("DELETE FROM vestige_migrations WHERE version = 9999")
        await until(lambda: is_used(store))


async def test_a_replica_that_cannot_be_reached_costs_no_error(replicated_pair: ReplicatedPair, tmp_path: Path) -> None:
    nowhere = f"postgresql://someone:hunter2@/memories?host={tmp_path}&port=1"
    async with open_store(replicated_pair.primary_url, read_url=nowhere) as store:
        await texts(store)
        for text in (await replica_of(store), await problem_of(store)):
            assert text
            assert "hunter2" not in text
