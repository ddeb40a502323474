"""Settings of a role or a database: ours where something depends on them, and timeouts that long work outlives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.jobs import run_here
from vestige_tui.core.errors import Conflict, VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder, signature
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.backends.postgres_settings import FIXED
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema.named_sql import compose

pytestmark = pytest.mark.own_variant

EMBEDDER = TestEmbedder(16)
TEXTS = tuple(f"number {number} of the harbour" for number in range(60))
ODD = {
    "bytea_output": "escape",
    "array_nulls": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "exit_on_error": "on",
    "gin_fuzzy_search_limit": "5",
    "row_security": "off",
    "check_function_bodies": "off",
    "xmloption": "document",
    "quote_all_identifiers": "on",
    "default_text_search_config": "german",
    "transform_null_equals": "on",
    "enable_indexscan": "off",
    "hnsw.max_scan_tuples": "1",
    "lock_timeout": "1ms",
    "client_min_messages": "debug5",
    "restrict_nonsystem_relation_kind": "view",
}
TIMEOUTS = (
    "statement_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)
HURRIED = dict.fromkeys(TIMEOUTS, "10min")


def alter(url: str, settings: Mapping[str, str]) -> None:
    """Let sessions of the database begin with these settings, as far as the server knows them."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT name FROM pg_settings").fetchall()
        known = {str(name) for (name,) in rows}
        database = sql.Identifier(connection.info.dbname)
        for name, value in settings.items():
            if name in known or "." in name:
                connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, sql.SQL(name), value))


async def fill(url: str) -> None:
    embedders = EmbedderSource(embedder=EMBEDDER)
    async with open_store(url, create=True, embedders=embedders) as store:
        await store.models.register(signature(EMBEDDER))
        await store.memories.insert_many([Draft(text) for text in TEXTS], embeddings=EMBEDDER.embed(TEXTS))
    embedders.close()


async def jobs(source: str, url: str, back: str) -> None:
    """Copy into the database and out of it, compare, and re-embed with an index that is built beside the writers."""
    for one, other in ((source, url), (source, url), (url, back)):
        job = await run_here(JobRequest("copy", one, other, {}))
        assert (job.status, job.error) == ("completed", None)
        assert "every row is equal" in (job.result or "")
    for options in ({"model": "test-embedder-24", "concurrent_index": True}, {"rollback": True}):
        job = await run_here(JobRequest("reembed", url, url, options))
        assert (job.status, job.error) == ("completed", None)


@pytest.mark.slow
async def test_odd_settings_change_nothing(postgres_database: str, tmp_path: Path) -> None:
    alter(postgres_database, ODD)
    source = f"sqlite:{tmp_path / 'source.db'}"
    await fill(source)
    await jobs(source, postgres_database, f"sqlite:{tmp_path / 'back.db'}")
    embedders = EmbedderSource(embedder=EMBEDDER)
    async with open_store(postgres_database, embedders=embedders) as store:
        answer = await store.search(SearchQuery("harbour", mode="text", limit=100))
        assert len(answer.hits) == len(TEXTS)
        answer = await store.search(SearchQuery("number 7 harbour", limit=20))
        assert (answer.mode, len(answer.hits)) == ("hybrid", 20)
        # A refused row ends no session.
        memory = answer.hits[0].memory
        with pytest.raises(Conflict):
            await store.insert(Draft("Again.", memory.id), embed=False)
        assert (await store.get(memory.id)).content == memory.content
        assert isinstance(store.backend, PostgresBackend)
        for setting in FIXED:
            [row] = await store.backend.ask("show", f"SELECT current_setting('{setting.name}') AS value")
            assert row["value"].startswith(setting.value), setting.name
        await store.maintenance.vacuum()
    embedders.close()


GUARD = """
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE limited text := (SELECT string_agg(name, ', ') FROM pg_settings
    WHERE name LIKE '%_timeout' AND name <> 'lock_timeout'
    AND category LIKE 'Client Connection Defaults%' AND setting <> '0');
BEGIN IF limited IS NOT NULL THEN RAISE EXCEPTION 'limited by %', limited; END IF; RETURN NULL; END $$;
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON knowledge_nodes FOR EACH STATEMENT EXECUTE FUNCTION guard();
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON scheduling FOR EACH STATEMENT EXECUTE FUNCTION guard();
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON node_embeddings FOR EACH STATEMENT EXECUTE FUNCTION guard();
CREATE TRIGGER guard AFTER INSERT OR UPDATE ON spare_embeddings FOR EACH STATEMENT EXECUTE FUNCTION guard();
"""
"""Triggers that refuse a session which a timeout could end."""


@pytest.mark.slow
async def test_jobs_write_without_any_timeout_of_the_server(postgres_database: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_database) as connection:
        connection.execute(GUARD.encode())
    alter(postgres_database, HURRIED)
    with pytest.raises(VestigeError, match="limited by"):
        await fill(postgres_database)
    source = f"sqlite:{tmp_path / 'source.db'}"
    await fill(source)
    await jobs(source, postgres_database, f"sqlite:{tmp_path / 'back.db'}")


async def limits(backend: PostgresBackend) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in TIMEOUTS)
    rows = await backend.ask("show", f"SELECT name, setting FROM pg_settings WHERE name IN ({names})")
    return {row["name"]: row["setting"] for row in rows}


async def test_maintenance_has_no_timeout_and_leaves_them_as_they_were(postgres_database: str) -> None:
    alter(postgres_database, HURRIED)
    backend = open_backend(postgres_database, max_connections=1)
    assert isinstance(backend, PostgresBackend)
    await backend.open()
    before = await limits(backend)
    assert set(before.values()) == {"600000"}
    await backend.ask("make", "CREATE TABLE seen AS SELECT name, setting FROM pg_settings WHERE false")
    names = ", ".join(f"'{name}'" for name in TIMEOUTS)
    statement = f"INSERT INTO seen SELECT name, setting FROM pg_settings WHERE name IN ({names})"
    backend._statements[compose("postgres", "analyze")] = statement.encode()
    await backend.maintain("analyze")
    seen = {row["name"]: row["setting"] for row in await backend.ask("read", "SELECT * FROM seen")}
    assert seen == dict.fromkeys(before, "0")
    assert await limits(backend) == before
    await backend.close()


async def test_a_migration_has_no_timeout(postgres_database: str) -> None:
    alter(postgres_database, HURRIED)
    backend = open_backend(postgres_database)
    assert isinstance(backend, PostgresBackend)
    await backend.open()
    names = ", ".join(f"'{name}'" for name in TIMEOUTS)
    async with backend.write() as transaction:
        await transaction.script(f"CREATE TABLE seen AS SELECT name, setting FROM pg_settings WHERE name IN ({names})")
    assert {row["setting"] for row in await backend.ask("read", "SELECT * FROM seen")} == {"0"}
    await backend.close()


async def test_a_session_of_a_worker_has_no_timeouts(postgres_database: str) -> None:
    alter(postgres_database, HURRIED)
    backend = open_backend(postgres_database, long_work=True)
    assert isinstance(backend, PostgresBackend)
    await backend.open()
    assert set((await limits(backend)).values()) == {"0"}
    await backend.close()
