"""Stores in schemas of any name, with pgvector in any schema, however the search path is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.jobs import run_here
from tests.support.pgbouncer import past_pooler
from tests.support.postgres_schemas import ODD_SCHEMA, in_schema, search_path, tables_of, with_settings
from tests.support.store_exercise import EMBEDDER, TEXTS, copied, fill, opened, use
from vestige_tui.core.errors import Refused, SchemaPending
from vestige_tui.embedding.models import Embedder, TestEmbedder
from vestige_tui.jobs.start import JobRequest
from vestige_tui.jobs.store_identity import same_store
from vestige_tui.store.backends.postgres_request import split_options
from vestige_tui.store.backends.postgres_settings import Setting, as_options
from vestige_tui.store.open import open_store
from vestige_tui.store.schema import migrations

pytestmark = pytest.mark.own_variant

SMALL, WIDE = EMBEDDER, TestEmbedder(2_400)
"""Models whose vectors are stored as vector and as halfvec."""
SCHEMAS = ("My Schema", "select", "a.b", 'quo"ted', "100%s", "back\\slash", "123", "-", "pgvector, public", ODD_SCHEMA)


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_a_store_lies_in_a_schema_of_any_name(bare_postgres_database: str, schema: str) -> None:
    url = in_schema(bare_postgres_database, schema)
    await fill(url)
    assert {"knowledge_nodes", "vestige_migrations"} <= tables_of(bare_postgres_database, schema)
    assert not tables_of(bare_postgres_database, "public")
    async with opened(url) as store:
        await use(store)
        await migrations.down(store.backend, yes=True)
    assert tables_of(bare_postgres_database, schema) == {"vestige_migrations"}


@pytest.mark.parametrize("embedder", [SMALL, WIDE], ids=["vector", "halfvec"])
@pytest.mark.parametrize("vector_schema", ["extensions", ODD_SCHEMA])
async def test_pgvector_lies_in_any_schema(bare_postgres_database: str, vector_schema: str, embedder: Embedder) -> None:
    url = in_schema(bare_postgres_database, "My Schema", vector_schema=vector_schema)
    await fill(url, embedder)
    async with opened(url, embedder) as store:
        await use(store)
        [index] = await store.backend.fetch("find_index")
        assert index["valid"]


@pytest.mark.slow
async def test_jobs_work_in_any_schema(bare_postgres_database: str, tmp_path: Path) -> None:
    url = in_schema(bare_postgres_database, ODD_SCHEMA, vector_schema="extensions")
    source = f"sqlite:{tmp_path / 'source.db'}"
    await fill(source)
    for one, other in ((source, url), (url, f"sqlite:{tmp_path / 'back.db'}")):
        # A second copy meets rows that are there.
        for _ in range(2):
            await copied(one, other)
    for options in ({"model": WIDE.name}, {"rollback": True}, {"model": "test-embedder-24", "concurrent_index": True}):
        job = await run_here(JobRequest("reembed", url, url, options))
        assert (job.status, job.error) == ("completed", None)
    job = await run_here(JobRequest("verify", source, url, {"ignore_vectors": True}))
    assert job.status == "completed"


# The search path


Setup = Callable[[str, Setting, pytest.MonkeyPatch, Path], str]


def of_the_url(url: str, path: Setting, environment: pytest.MonkeyPatch, folder: Path) -> str:
    return with_settings(url, path)


def of_the_environment(url: str, path: Setting, environment: pytest.MonkeyPatch, folder: Path) -> str:
    environment.setenv("PGOPTIONS", as_options([Setting("work_mem", "5MB"), path]))
    return url


def of_a_service(url: str, path: Setting, environment: pytest.MonkeyPatch, folder: Path) -> str:
    (folder / "services").write_text(f"[odd]\noptions={as_options([path])}\n")
    environment.setenv("PGSERVICEFILE", str(folder / "services"))
    # The service is preferred to this.
    environment.setenv("PGOPTIONS", as_options([search_path("public")]))
    return f"{url}&service=odd"


def _altered(url: str, path: Setting, statement: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        altered = sql.SQL(statement).format(database=database)
        connection.execute(altered + sql.SQL(" SET search_path = ") + sql.SQL(path.value))
    return url


def of_the_role(url: str, path: Setting, environment: pytest.MonkeyPatch, folder: Path) -> str:
    return _altered(url, path, "ALTER ROLE CURRENT_USER IN DATABASE {database}")


def of_the_database(url: str, path: Setting, environment: pytest.MonkeyPatch, folder: Path) -> str:
    return _altered(url, path, "ALTER DATABASE {database}")


@pytest.mark.parametrize(
    "given",
    [of_the_url, of_the_environment, of_a_service, of_the_role, of_the_database],
    ids=lambda given: str(given.__name__),
)
async def test_the_search_path_is_the_one_that_was_given(
    bare_postgres_database: str, given: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_schema(bare_postgres_database, ODD_SCHEMA, vector_schema="extensions")
    url = given(bare_postgres_database, search_path(ODD_SCHEMA, "public"), monkeypatch, tmp_path)
    await fill(url)
    assert "knowledge_nodes" in tables_of(bare_postgres_database, ODD_SCHEMA)
    job = await run_here(JobRequest("copy", url, f"sqlite:{tmp_path / 'copy.db'}", {}))
    assert (job.status, job.error) == ("completed", None)
    async with open_store(f"sqlite:{tmp_path / 'copy.db'}") as copied:
        assert await copied.memories.count() == len(TEXTS)


async def test_options_of_the_environment_tell_stores_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    url, explicit = "postgresql://me@db1/memories", "postgresql://me@db1/memories?options=-csearch_path%3Dother"
    assert not same_store(url, explicit)
    monkeypatch.setenv("PGOPTIONS", "-csearch_path=other")
    assert same_store(url, explicit)


@pytest.mark.slow
async def test_the_embedded_server_knows_no_options_of_the_environment(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere")
    url = f"pgembed:{tmp_path_factory.mktemp('embedded') / 'server'}"
    await fill(url)
    job = await run_here(JobRequest("copy", url, f"sqlite:{tmp_path / 'copy.db'}", {}))
    assert (job.status, job.error) == ("completed", None)


async def test_a_second_store_of_the_search_path_stays_as_it_is(bare_postgres_database: str) -> None:
    """An index that one store lacks is not dropped from the other one."""
    await fill(bare_postgres_database)
    path = search_path("second", "public")
    in_schema(bare_postgres_database, "second")
    # Behind a pooler no index is dropped without blocking writers.
    url = with_settings(past_pooler(bare_postgres_database), path)
    async with open_store(url, create=True) as store:
        assert await store.memories.count() == 0
        async with store.backend.write() as transaction:
            await transaction.execute("drop_index")
        await store.backend.maintain("drop_index_concurrently")
    async with open_store(bare_postgres_database) as store:
        [index] = await store.backend.fetch("find_index")
        assert index["valid"]


async def test_a_search_path_without_a_schema_is_refused(bare_postgres_database: str) -> None:
    url = with_settings(bare_postgres_database, search_path("nowhere", "No Where"))
    with pytest.raises(Refused, match=r'none of the schemas in its search_path \("nowhere", "No Where"\); create one'):
        await fill(url)


async def test_a_schema_without_a_store_is_named(bare_postgres_database: str) -> None:
    await fill(bare_postgres_database)
    url = in_schema(bare_postgres_database, "Empty")
    with pytest.raises(SchemaPending, match="contains no memory store yet"):
        async with open_store(url):
            pass


def test_options_are_read_as_the_server_reads_them() -> None:
    settings = (search_path(ODD_SCHEMA, "public"), Setting("work_mem", "5MB"), Setting("DateStyle", "German, DMY"))
    read, _ = split_options(as_options(settings))
    assert read == {setting.name.lower(): setting.value for setting in settings}
    assert split_options("-cjit=off --work-mem=1MB -d 3") == ({"jit": "off", "work_mem": "1MB"}, "-d 3")
