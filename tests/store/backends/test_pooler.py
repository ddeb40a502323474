"""Stores behind a real PgBouncer with its default settings, and behind relays that resemble another pooler."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from tests.support.equal_stores import assert_equal_stores
from tests.support.full_store import fill
from tests.support.jobs import run_here
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.polling import until
from tests.support.postgres import new_database, run_in_thread, wait_for_blocked_session
from tests.support.postgres_variant import as_superuser
from tests.support.relay import relay
from vestige_tui.core.errors import Busy, Conflict, ReadOnly, Refused, VestigeError
from vestige_tui.core.health import PostgresServer
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder, signature
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.start import JobRequest
from vestige_tui.presenters import json_shapes, store_report
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.backends.postgres_connection import ServerConnection
from vestige_tui.store.backends.postgres_pooler import fetch, transaction, trip
from vestige_tui.store.backends.postgres_request import split_options
from vestige_tui.store.backends.protocol import Backend
from vestige_tui.store.direct_lines import set_direct_line
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

MEMORIES = 400
WORDS = ("key", "rotate", "harbour", "queue", "lease", "token", "batch", "cache")


@dataclass(frozen=True, slots=True)
class Line:
    """A database through a pooler, and past it."""

    pooled: str
    direct: str


@pytest.fixture(scope="module", params=["transaction", "session"])
def pooler(request: pytest.FixtureRequest, postgres_server: str) -> Iterator[PgBouncer]:
    """PgBouncer in either pool mode, with one session of the server for each database and a few more in need."""
    with pgbouncer(postgres_server, request.param) as running:
        yield running


@pytest.fixture
def line(pooler: PgBouncer, postgres_server: str, postgres_template: str) -> Iterator[Line]:
    """An empty store of the test's own."""
    with new_database(postgres_server, template=postgres_template, direct=True) as url:
        yield Line(pooler.url(url), url)


@pytest.fixture(scope="module")
def filled(pooler: PgBouncer, postgres_server: str, postgres_template: str) -> Iterator[Line]:
    """A store of some hundred memories with vectors, which is only read."""
    with new_database(postgres_server, template=postgres_template, direct=True) as url:
        run_in_thread(_write_memories(url))
        yield Line(pooler.url(url), url)


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Store]:
    embedders = EmbedderSource(embedder=TestEmbedder(64))
    async with open_store(url, embedders=embedders, **options) as store:
        yield store
    embedders.close()


async def _write_memories(url: str) -> None:
    embedder = TestEmbedder(64)
    texts = [f"{WORDS[n % 8]} {WORDS[n // 8 % 8]} number {n}" for n in range(MEMORIES)]
    drafts = [Draft(text, tags=("rare",) if n % 40 == 0 else ()) for n, text in enumerate(texts)]
    async with opened(url) as store:
        await store.models.register(signature(embedder))
        await store.memories.insert_many(drafts, embeddings=embedder.embed(texts))
        await store.maintenance.finalize_schema()


async def settings_in_force(store: Store) -> dict[str, Any]:
    backend = store.backend
    assert isinstance(backend, PostgresBackend)
    names = ("hnsw.iterative_scan", "hnsw.ef_search", "lock_timeout", "jit", "IntervalStyle", "search_path")
    columns = ", ".join(f"current_setting('{name}') AS \"{name}\"" for name in names)
    [row] = await backend.ask("probe", f"SELECT {columns}")
    return dict(row)


# Recognition


async def test_a_pooler_is_noticed_and_named_once(line: Line) -> None:
    async with opened(line.pooled) as store:
        assert store.backend.pooled
        report = await store.maintenance.report()
    assert isinstance(report.server, PostgresServer)
    assert ("pooler", "between console and server") in store_report.server(report.server, datetime.now(UTC))
    assert json_shapes.report(report)["server"]["pooler"] is True
    assert "behind a pooler" in store_report.pooler_note(store)
    async with opened(line.direct) as store:
        assert not store.backend.pooled
        assert store_report.pooler_note(store) == ""
        assert json_shapes.report(await store.maintenance.report())["server"]["pooler"] is False


async def test_a_pooler_that_ignores_options_is_noticed_by_its_processes(
    postgres_server: str, migrated_direct: str
) -> None:
    with pgbouncer(postgres_server, "transaction", ignore_startup_parameters="options") as running:
        async with opened(running.url(migrated_direct)) as store:
            assert store.backend.pooled
            assert (await settings_in_force(store))["hnsw.iterative_scan"] == "relaxed_order"


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_relay_that_keeps_the_process_is_noticed_by_a_lost_setting(migrated_direct: str, refuses: bool) -> None:
    with relay(migrated_direct, refuses=refuses) as url:
        async with opened(url) as store:
            assert store.backend.pooled
            assert (await settings_in_force(store))["lock_timeout"] == "15s"


async def test_a_startup_parameter_of_the_environment_is_not_sent(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGGEQO", "off")
    monkeypatch.setenv("PGDATESTYLE", "German")
    async with opened(line.pooled) as store:
        await store.insert(Draft("Dates come back as they are."))
        assert (await store.page()).items[0].created_at is not None


async def test_a_pooler_without_transactions_is_refused(postgres_server: str, migrated_direct: str) -> None:
    with pgbouncer(postgres_server, "statement") as running, pytest.raises(Refused, match="pool_mode"):
        async with opened(running.url(migrated_direct)):
            pass


async def test_a_missing_database_is_told_as_on_a_direct_line(pooler: PgBouncer, postgres_server: str) -> None:
    with pytest.raises(VestigeError, match="no_such_database"):
        async with opened(pooler.url(postgres_server.replace("/vestige?", "/no_such_database?"))):
            pass


def test_options_are_settings_and_a_rest() -> None:
    settings, rest = split_options(r"-c jit=off -csearch_path=a\ b,c --statement-timeout=5s endpoint=ep-1 -c JIT=on")
    assert settings == {"search_path": "a b,c", "statement_timeout": "5s", "jit": "on"}
    assert rest == "endpoint=ep-1"


# Settings


async def test_each_read_and_write_has_the_settings(line: Line) -> None:
    async with opened(line.pooled) as store:
        expected = {
            "hnsw.iterative_scan": "relaxed_order",
            "hnsw.ef_search": "200",
            "lock_timeout": "15s",
            "jit": "off",
        }
        assert expected.items() <= (await settings_in_force(store)).items()
        backend = store.backend
        assert isinstance(backend, PostgresBackend)
        async with backend.transaction() as transaction:
            cursor = await transaction.connection.execute("SELECT current_setting('lock_timeout') AS value")
            assert await cursor.fetchone() == {"value": "15s"}


async def test_a_schema_in_the_options_is_the_schema_of_the_store(line: Line) -> None:
    with psycopg.connect(as_superuser(line.direct), autocommit=True) as owner:
        owner.execute("CREATE SCHEMA agents")
        owner.execute("GRANT ALL ON SCHEMA agents TO PUBLIC")
    options = "&options=-csearch_path%3Dagents%2Cpublic"
    async with opened(line.pooled + options, create=True) as store:
        await store.insert(Draft("Written into a schema of its own."))
        await store.maintenance.vacuum()
    with psycopg.connect(line.direct) as owner:
        assert owner.execute("SELECT count(*) FROM agents.knowledge_nodes").fetchone() == (1,)
        assert owner.execute("SELECT count(*) FROM knowledge_nodes").fetchone() == (0,)
        asked = "SELECT schemaname FROM pg_stat_user_tables WHERE relname = 'journal' AND last_vacuum IS NOT NULL"
        assert owner.execute(asked).fetchall() == [("agents",)]


async def test_a_store_that_is_opened_read_only_writes_nothing(line: Line) -> None:
    async with opened(line.pooled, read_only=True) as store:
        backend = store.backend
        assert isinstance(backend, PostgresBackend)
        with pytest.raises(ReadOnly):
            await store.insert(Draft("Not written."))
        with pytest.raises(ReadOnly, match="accepts only reads"):
            await backend.ask("probe", "DELETE FROM knowledge_nodes RETURNING 1")


@pytest.mark.slow
async def test_a_held_lock_is_told_with_its_holder(line: Line) -> None:
    async with opened(f"{line.pooled}&options=-clock_timeout%3D2500ms") as store:
        id_ = (await store.insert(Draft("Held."))).changed[0]
        with psycopg.connect(line.direct, application_name="night report") as other:
            other.execute("SELECT 1 FROM knowledge_nodes FOR UPDATE")
            with pytest.raises(Busy, match="night report"):
                await store.delete([id_])


async def test_nothing_is_left_to_the_next_client(postgres_server: str, migrated_direct: str) -> None:
    """With a single session of the server, each of its clients sees what the one before left there."""
    left = (
        "SELECT current_setting('jit'), current_setting('lock_timeout'), current_setting('search_path'),"
        " current_setting('statement_timeout'), current_setting('IntervalStyle'),"
        " (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
    )
    with pgbouncer(postgres_server, "transaction", default_pool_size="1") as running:
        url = running.url(migrated_direct)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as client:
            before = client.execute(left).fetchone()
            async with opened(url) as store:
                for number in range(8):
                    await store.insert(Draft(f"Harbour queue {number}."))
                    assert len(await store.search(SearchQuery(text="harbour queue"))) == number + 1
                await store.maintenance.report()
                await store.wait_for_change(0.0)
            assert client.execute(left).fetchone() == before


async def test_nothing_is_sent_after_the_end_of_a_transaction(pooler: PgBouncer, line: Line, tmp_path: Path) -> None:
    """A pooler would lend a session for it, and never be told that it is free again."""
    sent = tmp_path / "sent"
    async with await ServerConnection.connect(line.pooled, row_factory=dict_row, autocommit=True) as connection:
        with sent.open("wb") as file:
            connection.pgconn.trace(file.fileno())
            await fetch(connection, b"SELECT 1 AS one", {})
            async with transaction(connection):
                await connection.execute("SELECT 1")
            async with trip(connection):
                await connection.execute("SELECT 1")
            with pytest.raises(psycopg.errors.DivisionByZero):
                await fetch(connection, b"SELECT 1 / %(nought)s::int", {"nought": 0})
            with pytest.raises(psycopg.errors.DivisionByZero):
                async with trip(connection):
                    await connection.execute("SELECT 1 / %s::int", [0])
            connection.pgconn.untrace()
        assert await fetch(connection, b"SELECT 1 AS one", {}) == [{"one": 1}]
    names = re.findall(r"\tF\t\d+\t(\w+)", sent.read_text())
    assert names.count("Sync") + names.count("Query") >= 5
    assert "Flush" not in names


# Work


@pytest.mark.slow
async def test_four_clients_search_at_once(filled: Line) -> None:
    async def client(number: int) -> list[int]:
        async with opened(filled.pooled) as store:
            queries = [f"{WORDS[(number + n) % 8]} {WORDS[n % 5]}" for n in range(40)]
            return [len(await store.search(SearchQuery(text=text))) for text in queries]

    counts = await asyncio.gather(*map(client, range(4)))
    assert sum(map(len, counts)) == 160
    assert all(count > 0 for each in counts for count in each)


async def test_a_filtered_search_finds_all_that_passes(filled: Line) -> None:
    query = SearchQuery(text="harbour lease", tags=("rare",), limit=50)
    async with opened(filled.direct) as store:
        expected = [(hit.memory.id, round(hit.score, 6)) for hit in await store.search(query)]
    async with opened(filled.pooled) as store:
        hits = [(hit.memory.id, round(hit.score, 6)) for hit in await store.search(query)]
    assert len(hits) == MEMORIES // 40
    assert hits == expected


async def test_a_cancelled_search_leaves_the_session_usable(line: Line) -> None:
    async with opened(line.pooled) as store:
        backend = store.backend
        assert isinstance(backend, PostgresBackend)
        task = asyncio.create_task(backend.ask("probe", "SELECT pg_sleep(600)"))

        async def sleeps() -> bool:
            with psycopg.connect(line.direct) as watcher:
                asked = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
                return watcher.execute(asked).fetchone() is not None

        await until(sleeps)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.insert(Draft("Written afterwards."))
        assert not await sleeps()


@pytest.mark.slow
async def test_a_change_by_another_program_is_noticed(line: Line) -> None:
    async with opened(line.pooled) as watching, opened(line.direct) as writing:
        while await watching.wait_for_change(1.5):
            pass
        waiting = asyncio.create_task(watching.wait_for_change(60.0))
        await writing.insert(Draft("Seen from behind the pooler."))
        assert await waiting


async def test_a_failed_write_changes_nothing_and_the_next_one_works(line: Line) -> None:
    async with opened(line.pooled) as store:
        one = (await store.insert(Draft("One."))).changed[0]
        two = (await store.insert(Draft("Two."))).changed[0]
        backend = store.backend
        with pytest.raises(Conflict):
            await _write_in_vain(backend)
        with pytest.raises(Conflict):
            await store.insert(Draft("One again.", id=one))
        await store.links.add(Edge(one, two))
        assert (await store.get(one)).content == "One."


async def _write_in_vain(backend: Backend) -> None:
    async with backend.write() as transaction:
        await transaction.script("DELETE FROM knowledge_nodes")
        await transaction.script("INSERT INTO knowledge_nodes (id) VALUES (NULL)")


@pytest.mark.slow
async def test_a_copy_ends_equal(line: Line, tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    await fill(source, 5_000)
    job = await run_here(JobRequest("copy", f"sqlite:{source}", line.pooled, {"batch": 500}))
    assert (job.status, job.error) == ("completed", None)
    assert_equal_stores(source, line.direct)
    with psycopg.connect(line.direct) as owner:
        # Temporary tables of any session would be left to the next client.
        assert owner.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'").fetchone() == (0,)
    back = tmp_path / "back.db"
    job = await run_here(JobRequest("copy", line.pooled, f"sqlite:{back}", {"batch": 500}))
    assert (job.status, job.error) == ("completed", None)
    assert_equal_stores(back, line.direct)


# What needs a session of its own


async def test_a_vacuum_works_through_the_pooler(line: Line) -> None:
    async with opened(line.pooled) as store:
        await store.maintenance.vacuum()
    with psycopg.connect(line.direct) as owner:
        asked = "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'knowledge_nodes' AND last_vacuum IS NOT NULL"
        assert owner.execute(asked).fetchone() == (1,)


async def test_a_vacuum_takes_the_direct_line(line: Line) -> None:
    set_direct_line(line.pooled, line.direct)
    async with opened(line.pooled) as store:
        with psycopg.connect(line.direct) as other:
            other.execute("LOCK TABLE journal IN SHARE UPDATE EXCLUSIVE MODE")
            vacuuming = asyncio.create_task(store.maintenance.vacuum())
            await wait_for_blocked_session(line.direct)
            with psycopg.connect(line.direct) as watcher:
                [row] = watcher.execute(
                    "SELECT current_setting('lock_timeout'), a.client_addr FROM pg_stat_activity a"
                    " WHERE a.query LIKE 'VACUUM%' AND a.application_name = 'vestige-tui'"
                ).fetchall()
            assert row is not None
            other.rollback()
            await vacuuming


async def test_a_direct_line_to_another_store_is_refused(line: Line, migrated_direct: str) -> None:
    set_direct_line(line.pooled, migrated_direct)
    async with opened(line.pooled) as store:
        with pytest.raises(Refused, match="does not lead to the store"):
            await store.maintenance.vacuum()


async def test_a_direct_line_to_a_pooler_is_refused(line: Line) -> None:
    set_direct_line(line.pooled, line.pooled)
    async with opened(line.pooled) as store:
        with pytest.raises(Refused, match="also leads to a pooler"):
            await store.maintenance.vacuum()


@pytest.mark.slow
@pytest.mark.parametrize("names_direct_line", [False, True])
async def test_a_vector_index_is_built_either_way(
    line: Line, names_direct_line: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _write_memories(line.direct)
    if names_direct_line:
        set_direct_line(line.pooled, line.direct)
    phases: list[str] = []
    phase = JobContext.phase

    async def note(context: JobContext, name: str) -> None:
        phases.append(name)
        await phase(context, name)

    monkeypatch.setattr(JobContext, "phase", note)
    job = await run_here(JobRequest("reembed", line.pooled, line.pooled, {"model": "test-embedder-32"}))
    assert (job.status, job.error) == ("completed", None)
    assert any("in one transaction" in each for each in phases) is not names_direct_line
    with psycopg.connect(line.direct) as owner:
        asked = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_node_embeddings_hnsw'::regclass"
        assert owner.execute(asked).fetchone() == (True,)


@pytest.fixture
def migrated_direct(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of an empty store, never through a pooler."""
    with new_database(postgres_server, template=postgres_template, direct=True) as url:
        yield url


async def test_the_dates_of_a_role_with_another_style_are_read(line: Line) -> None:
    with psycopg.connect(as_superuser(line.direct), autocommit=True) as owner:
        owner.execute(sql.SQL("ALTER DATABASE {} SET DateStyle TO 'German'").format(sql.Identifier(owner.info.dbname)))
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    async with opened(line.pooled) as store:
        id_ = (await store.insert(Draft("Written on the 29.11.2026."))).changed[0]
        written = (await store.get(id_)).created_at
        assert written is not None
        assert [hit.memory.created_at for hit in await store.search(SearchQuery(text="written"))] == [written]
