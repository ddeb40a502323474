"""A vector index that is not of this program: named, used, kept, and never doubled."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from tests.support.attempts import attempt
from tests.support.command_line import fill_sample, run_process
from tests.support.full_store import fill
from tests.support.jobs import run_here
from tests.support.postgres_variant import as_superuser
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import Embedder, TestEmbedder, signature
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

OLD, NEW = TestEmbedder(768), TestEmbedder(1_024)
IVFFLAT: LiteralString = (
    "CREATE INDEX chosen ON node_embeddings USING ivfflat (embedding vector_cosine_ops) WITH (lists = 2)"
)
FOREIGN_METHOD: LiteralString = """
CREATE ACCESS METHOD vchordrq TYPE INDEX HANDLER hnswhandler;
CREATE OPERATOR CLASS vector_cosine_ops FOR TYPE vector USING vchordrq AS
    OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_negative_inner_product(vector, vector), FUNCTION 2 vector_norm(vector);
CREATE INDEX chosen ON node_embeddings USING vchordrq (embedding vector_cosine_ops)
"""


def run_sql(url: str, statement: LiteralString) -> None:
    with psycopg.connect(as_superuser(url), autocommit=True) as connection:
        connection.execute(statement)


def vector_indexes(url: str, table: str = "node_embeddings") -> dict[str, str]:
    """Return the method of each index of the vectors, by its name."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT c.relname, a.amname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = %s::regclass AND NOT i.indisprimary",
            [table],
        ).fetchall()
    return {str(name): str(method) for name, method in rows}


async def fill_vectors(url: str, embedder: Embedder, count: int = 40) -> None:
    texts = [f"number {n} of the vectors" for n in range(count)]
    async with open_store(url, create=True, embedders=EmbedderSource(embedder=embedder)) as store:
        await store.models.register(signature(embedder))
        await store.memories.insert_many([Draft(text) for text in texts], embeddings=embedder.embed(texts))


async def problems(store: Store) -> str:
    return "\n".join(each.problem for each in (await store.health()).problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "method", "label"),
    [(IVFFLAT, "ivfflat", "chosen (ivfflat)"), (FOREIGN_METHOD, "vchordrq", "chosen (vchordrq)")],
)
async def test_another_index_is_named_and_used(
    postgres_database: str, statement: LiteralString, method: str, label: str
) -> None:
    await fill_vectors(postgres_database, OLD)
    run_sql(postgres_database, "DROP INDEX idx_node_embeddings_hnsw")
    run_sql(postgres_database, statement)
    async with open_store(postgres_database, embedders=EmbedderSource(embedder=OLD)) as store:
        assert "index is missing" not in await problems(store)
        explanation = await store.explain(SearchQuery("number 7 of the vectors", mode="vector"))
        assert any(f"index {label}, scanned" in step.how for step in explanation.steps), explanation.steps
        assert len((await store.search(SearchQuery("number 7 of the vectors", mode="vector", limit=10))).hits) == 10
        await store.insert(Draft("One more."))
    assert vector_indexes(postgres_database) == {"chosen": method}
    informed = run_process("--store", postgres_database, "schema", "info")
    assert f"The vectors have the index {label}, which this program did not create and does not change." in informed.out
    stats = run_process("--store", postgres_database, "stats")
    assert f"{label}, created by others: never changed" in stats.out


async def test_an_index_for_another_distance_does_not_serve(postgres_database: str) -> None:
    await fill_vectors(postgres_database, OLD, 3)
    run_sql(postgres_database, "DROP INDEX idx_node_embeddings_hnsw")
    run_sql(postgres_database, "CREATE INDEX far ON node_embeddings USING hnsw (embedding vector_l2_ops)")
    async with open_store(postgres_database) as store:
        assert "The vector index is missing" in await problems(store)


async def test_old_versions_of_pgvector_are_warned_of_by_their_index(postgres_database: str) -> None:
    await fill_vectors(postgres_database, OLD, 3)
    async with open_store(postgres_database) as store:
        run_sql(postgres_database, "UPDATE pg_extension SET extversion = '0.8.3' WHERE extname = 'vector'")
        assert "pgvector 0.8.3 can corrupt its index" in await problems(store)
        run_sql(postgres_database, "UPDATE pg_extension SET extversion = '0.8.6' WHERE extname = 'vector'")
        assert await problems(store) == ""
        run_sql(postgres_database, "DROP INDEX idx_node_embeddings_hnsw")
        run_sql(postgres_database, IVFFLAT)
        assert "pgvector 0.8.6 can overflow its memory in an IVFFlat index." in await problems(store)
        run_sql(postgres_database, "DROP INDEX chosen")
        run_sql(postgres_database, FOREIGN_METHOD)
        run_sql(postgres_database, "UPDATE pg_extension SET extversion = '0.8.1' WHERE extname = 'vector'")
        assert await problems(store) == ""


async def test_the_staged_index_is_not_built_beside_another(postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as store:
        run_sql(postgres_database, "ALTER TABLE node_embeddings ALTER COLUMN embedding TYPE vector(768)")
        run_sql(postgres_database, IVFFLAT)
        await store.models.register(ModelSignature(OLD.name, 768))
        assert all(step.state == "applied" for step in await store.maintenance.schema_status())
    assert vector_indexes(postgres_database) == {"chosen": "ivfflat"}


@pytest.mark.slow
async def test_a_new_model_gets_an_index_of_the_same_method(postgres_database: str) -> None:
    url = postgres_database
    await fill_vectors(url, OLD)
    run_sql(url, "DROP INDEX idx_node_embeddings_hnsw")
    run_sql(url, IVFFLAT)
    for options in (
        {"model": NEW.name},
        {"rollback": True},
        {"model": NEW.name, "drop_old": True},
        {"model": OLD.name, "in_place": True, "drop_hnsw_first": True},
    ):
        job = await run_here(JobRequest("reembed", url, url, options))
        assert (job.status, job.error) == ("completed", None)
        assert list(vector_indexes(url).values()) == ["ivfflat"], options


@pytest.mark.slow
async def test_a_copy_builds_a_dropped_index_again_as_it_was(postgres_database: str, tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    await fill(path, 60)
    await attempt(f"sqlite:{path}", postgres_database)
    run_sql(postgres_database, "DROP INDEX idx_node_embeddings_hnsw")
    run_sql(postgres_database, "TRUNCATE knowledge_nodes CASCADE")
    run_sql(postgres_database, IVFFLAT)
    await attempt(f"sqlite:{path}", postgres_database, verify=True)
    assert vector_indexes(postgres_database) == {"chosen": "ivfflat"}
    with psycopg.connect(postgres_database) as connection:
        [definition] = connection.execute("SELECT pg_get_indexdef('chosen'::regclass)").fetchone() or [""]
    assert "lists='2'" in definition


async def test_a_sample_has_its_own_index(postgres_database: str) -> None:
    await fill_sample(postgres_database, OLD)
    assert vector_indexes(postgres_database) == {"idx_node_embeddings_hnsw": "hnsw"}
