"""A re-embedding beside the encoder alone, and beside plain UPDATEs of vectors that are ready."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psycopg

from benchmarks import copying, encoder
from benchmarks.corpus import texts
from benchmarks.table import Figure
from vestige_tui.embedding import DEFAULT_MODEL, EmbedderSource, TestEmbedder
from vestige_tui.jobs import reembed as jobs
from vestige_tui.jobs.launch import Work
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.reembedding import Report
from vestige_tui.jobs.running import Running
from vestige_tui.model import Draft
from vestige_tui.store import open_store

if TYPE_CHECKING:
    from benchmarks.servers import Server

TEXTS = 300
BATCH = 128
SWAP_MS = 10.0
_CHEAP = "test-embedder-384"


async def reembed(url: str, model: str) -> Report:
    """Re-embed a store as a worker does it."""
    checked = await jobs.check(Work("reembed", url, url, {"model": model}))
    async with open_store(url, max_connections=4) as store:
        ledger = Ledger(store)
        run = await ledger.start(
            kind="reembed",
            source=checked.source,
            target=checked.target,
            model=checked.model,
            task=checked.task,
            owner=copying.OWNER,
            options=checked.options,
        )
        await ledger.take(run.id, copying.OWNER)
        running = Running(
            store, run.id, "reembed", source=url, target=url, options=checked.options, moment=run.first_started
        )
        await jobs.run(running)
        report = await jobs.report(store, run.id)
        await ledger.transition(run.id, "completed")
    assert report is not None
    return report


def plain_updates(url: str) -> float:
    """Seconds to give every memory another vector of the same width by UPDATE, 128 in a statement, without an index."""
    with psycopg.connect(url) as connection:
        connection.execute("DROP INDEX IF EXISTS idx_node_embeddings_hnsw")
        ids = [str(row[0]) for row in connection.execute("SELECT node_id FROM node_embeddings ORDER BY node_id")]
        made = np.random.default_rng(1).standard_normal((len(ids), 384)).astype(np.float32)
        spelled = ["[" + ",".join(map(str, each)) + "]" for each in made]
        connection.commit()
        began = time.perf_counter()
        for start in range(0, len(ids), BATCH):
            part = slice(start, start + BATCH)
            connection.execute(
                "UPDATE node_embeddings e SET embedding = v.embedding"
                " FROM unnest(%s::uuid[], %s::vector[]) AS v (id, embedding) WHERE e.node_id = v.id",
                [ids[part], spelled[part]],
            )
            connection.commit()
        return time.perf_counter() - began


async def measure(folder: Path, source: str, size: int, server: Server) -> list[Figure]:
    """With the real model into a small file; with one that costs next to nothing into a database of ``size``."""
    url = f"sqlite:{folder / 'reembedded.db'}"
    async with open_store(url, create=True, embedders=EmbedderSource(embedder=TestEmbedder(64))) as store:
        await store.insert_many([Draft(text) for text in texts(TEXTS)])
    real = await reembed(url, DEFAULT_MODEL)
    alone = encoder.bare(TEXTS)
    database, other = server.database(), server.database()
    await copying.copy(source, database)
    await copying.copy(source, other)
    cheap = await reembed(database, _CHEAP)
    updates = plain_updates(other)
    written = cheap.duration_secs - cheap.index_rebuild_secs
    found = [
        Figure(
            "re-embed",
            f"{TEXTS} texts, real model, its load included",
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
            cheap.rows_updated / written,
            size / updates,
            f"UPDATE of vectors that are ready, {BATCH} in a statement",
        ),
    ]
    if cheap.swap_ms is not None:
        beside = f"{SWAP_MS:.0f} ms, the longest it should take"
        found.append(Figure("re-embed", "swap", "ms", cheap.swap_ms, SWAP_MS, beside, goal="<= 1"))
    return found
