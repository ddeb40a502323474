"""One use of a store that touches every part of a database: search, change, undo, report, vacuum, jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.jobs import run_here
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import Embedder, TestEmbedder, signature
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

TEXTS = ("Rotate the signing keys.", "The harbour queue is full.", "A batch of tokens expires.")
EMBEDDER = TestEmbedder(16)


@asynccontextmanager
async def opened(url: str, embedder: Embedder = EMBEDDER, *, create: bool = False) -> AsyncIterator[Store]:
    """Open a store with a model."""
    embedders = EmbedderSource(embedder=embedder)
    try:
        async with open_store(url, create=create, embedders=embedders) as store:
            yield store
    finally:
        embedders.close()


async def fill(url: str, embedder: Embedder = EMBEDDER) -> None:
    """Create a store with some memories and their vectors."""
    async with opened(url, embedder, create=True) as store:
        await store.models.register(signature(embedder))
        await store.memories.insert_many([Draft(text) for text in TEXTS], embeddings=embedder.embed(TEXTS))


async def use(store: Store) -> None:
    """Write, find, change, undo, report, and vacuum."""
    answer = await store.search(SearchQuery("rotate signing keys", limit=3))
    assert (answer.mode, answer.warnings) == ("hybrid", ())
    assert (answer.hits[0].memory.content, answer.hits[0].vector_rank) == (TEXTS[0], 1)
    assert await store.wait_for_change(0.1)
    change = await store.update(answer.hits[0].memory.id, Patch(content="Rotate them every month."))
    assert not change.warnings
    assert await store.wait_for_change(10)
    assert change.undo is not None
    await store.journal.undo(change.undo)
    report = await store.maintenance.report()
    assert report.health.state == "healthy", report.health
    assert "knowledge_nodes" in {size.name for size in report.sizes or ()}
    await store.maintenance.vacuum()


async def copied(source: str, target: str) -> None:
    """Copy a store, and compare every row."""
    job = await run_here(JobRequest("copy", source, target, {}))
    assert (job.status, job.error) == ("completed", None)
    assert "every row is equal" in (job.result or "")
