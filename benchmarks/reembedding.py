"""Re-embedding beside the encoder alone, and beside plain UPDATEs with ready vectors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import psycopg
from psycopg import sql

from benchmarks import copying, encoder
from benchmarks.corpus import texts
from benchmarks.table import Figure
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import DEFAULT_MODEL, TestEmbedder
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.start import JobRequest
from vestige_tui.reembed import plan as jobs
from vestige_tui.reembed.checkpoint import ReembedResult
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from benchmarks.servers import Server
    from vestige_tui.jobs.checkpoints import Checkpoint

TEXT_COUNT = 300
BATCH_ROWS = 128
SWAP_MS = 10.0
_CHEAP_MODEL = "test-embedder-384"


async def reembed(url: str, model: str) -> ReembedResult:
    """Re-embed a store as a worker does."""
    async with copying.claimed(JobRequest("reembed", url, url, {"model": model})) as context:
        await jobs.run(context)
        report = await jobs.report(context.store, context.job_id)
        await context.ledger.transition(context.job_id, "completed")
    assert report is not None
    return report


@contextmanager
def timed_writes() -> Iterator[list[float]]:
    """Record the seconds of each write of a re-embedding: vectors with their checkpoint."""
    durations: list[float] = []
    step = JobContext.step

    async def timed(self: JobContext, work: Any, checkpoint: Checkpoint | None = None) -> Any:
        before, began = self.checkpoint.get("after"), time.perf_counter()
        try:
            return await step(self, work, checkpoint)
        finally:
            # The other steps write no vectors, and leave the key of the last one.
            if checkpoint is not None and checkpoint.to_json().get("after") != before:
                durations.append(time.perf_counter() - began)

    with patch.object(JobContext, "step", timed):
        yield durations


def updates(url: str, table: str, key: str) -> float:
    """Return the seconds to replace every vector by UPDATE, 128 rows in a statement."""
    update = sql.SQL(
        "UPDATE {table} e SET embedding = v.embedding"
        " FROM unnest(%s::uuid[], %s::vector[]) AS v (id, embedding) WHERE e.{key} = v.id"
    ).format(table=sql.Identifier(table), key=sql.Identifier(key))
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            sql.SQL("SELECT {0} FROM {1} ORDER BY {0}").format(*map(sql.Identifier, (key, table)))
        )
        ids = [str(row[0]) for row in rows]
        vectors = np.random.default_rng(1).standard_normal((len(ids), 384)).astype(np.float32)
        literals = ["[" + ",".join(map(str, each)) + "]" for each in vectors]
        connection.commit()
        began = time.perf_counter()
        for start in range(0, len(ids), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            connection.execute(update, [ids[part], literals[part]])
            connection.commit()
        return time.perf_counter() - began


def widen(url: str) -> None:
    """Create the usual wide table: vectors beside the texts, with all of its indexes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE wide (LIKE knowledge_nodes INCLUDING ALL)")
        connection.execute("ALTER TABLE wide ADD COLUMN embedding vector(384)")
        [(columns,)] = connection.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
            " WHERE attrelid = 'knowledge_nodes'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
        ).fetchall()
        connection.execute(
            f"INSERT INTO wide ({columns}, embedding) SELECT {columns}, e.embedding"
            " FROM knowledge_nodes m JOIN node_embeddings e ON e.node_id = m.id".encode()
        )
        connection.execute("VACUUM ANALYZE wide")


async def measure(folder: Path, source: str, size: int, server: Server) -> list[Figure]:
    """Measure the real model into a small file, and a nearly free one into a database of ``size``."""
    url = f"sqlite:{folder / 'reembedded.db'}"
    async with open_store(url, create=True, embedders=EmbedderSource(embedder=TestEmbedder(64))) as store:
        await store.memories.insert_many([Draft(text) for text in texts(TEXT_COUNT)])
    real = await reembed(url, DEFAULT_MODEL)
    alone = encoder.bare(TEXT_COUNT)
    database, other = server.database(), server.database()
    await copying.copy(source, database)
    await copying.copy(source, other)
    with timed_writes() as writes:
        cheap = await reembed(database, _CHEAP_MODEL)
    with psycopg.connect(other) as connection:
        connection.execute("DROP INDEX IF EXISTS idx_node_embeddings_hnsw")
    narrow = updates(other, "node_embeddings", "node_id")
    widen(other)
    wide = updates(other, "wide", "id")
    write_seconds = cheap.duration_secs - cheap.index_rebuild_secs
    figures = [
        Figure(
            "re-embed",
            f"{TEXT_COUNT} texts, real model, its load included",
            "texts/s",
            real.rows_updated / real.duration_secs,
            alone,
            "the encoder alone",
            goal=">= .95",
        ),
        Figure(
            "re-embed",
            f"{size:,} memories, encoder of the tests",
            "memories/s",
            cheap.rows_updated / write_seconds,
            size / narrow,
            f"UPDATE of ready vectors, {BATCH_ROWS} in a statement",
        ),
        Figure(
            "re-embed",
            f"{size:,} memories, writes alone, with their checkpoints",
            "memories/s",
            cheap.rows_updated / sum(writes),
            size / wide,
            "the same UPDATE beside the texts",
            goal=">= 20",
        ),
    ]
    if cheap.swap_ms is not None:
        beside = f"{SWAP_MS:.0f} ms, the longest it should take"
        figures.append(Figure("re-embed", "swap", "ms", cheap.swap_ms, SWAP_MS, beside, goal="<= 1"))
    return figures
