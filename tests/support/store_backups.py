"""A store with rows in every table that a backup brings along, and the rows of all tables to compare."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.store_exercise import EMBEDDER, copied, fill, opened
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.memories import Draft, Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.store.store import Store

DERIVED = {"term_stats", "vestige_migrations"}
"""Tables that follow from others, or belong to the schema."""


async def fill_every_table(url: str, folder: Path) -> None:
    """Fill a store by ordinary use: a copy, changes and undo, reviews, marks, decisions, kept vectors."""
    source = f"sqlite:{folder / 'source of the copy.db'}"
    await fill(source)
    await copied(source, url)
    async with opened(url) as store:
        ids = [memory.id for memory in (await store.page(Filter())).items]
        await store.update(ids[0], Patch(tags=("keys", "ops"), metadata={"deep": {"n": [1, 2.5, None]}}))
        first = await store.reviews.record(ids[1], Rating.GOOD)
        await store.reviews.record(ids[0], Rating.HARD)
        assert first.undo is not None
        await store.journal.undo(first.undo)
        await store.reviews.record(ids[2], Rating.EASY)
        await store.links.supersede(ids[0], ids[2])
        await store.reviews.suspend(ids[1])
        await _delete_a_reviewed_memory(store)
        await _keep_vectors(store)
    _fill_spare_table(url)


async def _delete_a_reviewed_memory(store: Store) -> None:
    """Leave a gap in the numbers of the reviews, which the journal names."""
    added = await store.insert(Draft("A note that is deleted soon."))
    memory_id = added.changed[0]
    await store.reviews.record(memory_id, Rating.AGAIN)
    await store.delete([memory_id])


async def _keep_vectors(store: Store) -> None:
    """Note a second model, as a re-embedding does."""
    model = ModelSignature("another-model", EMBEDDER.dimension, "def")
    params = {"name": model.name, "dimension": model.dimension, "hash": model.hash, "created_at": store.now()}
    templates = {"document_template": model.templates.document, "query_template": model.templates.query}
    async with store.backend.write() as transaction:
        await transaction.execute("put_spare_model", {**params, **templates})


def _fill_spare_table(url: str) -> None:
    """Write the vectors of the second model."""
    statement = "INSERT INTO spare_embeddings (node_id, embedding) SELECT node_id, embedding FROM node_embeddings"
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
            connection.execute(statement)
        return
    with psycopg.connect(url) as postgres:
        postgres.execute(f"ALTER TABLE spare_embeddings ALTER COLUMN embedding TYPE vector({EMBEDDER.dimension})")
        postgres.execute(statement)


def rows_of_all_tables(url: str) -> dict[str, list[str]]:
    """Return every row of every table as text, in an order of its own."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            names = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
            return {
                name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))
                for (name,) in names.fetchall()
                if name not in DERIVED and name != "sqlite_schema"
            }
    with psycopg.connect(url) as postgres:
        tables = postgres.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )
        return {
            name: sorted(
                str(row)
                for row in postgres.execute(
                    sql.SQL("SELECT (to_jsonb(t) - 'search_vec')::text FROM {} t").format(sql.Identifier(name))
                )
            )
            for (name,) in tables.fetchall()
            if name not in DERIVED
        }
