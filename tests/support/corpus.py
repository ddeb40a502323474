"""The sample corpus as a real store, with a clock that stands still."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

from vestige_tui import sample_store
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

NOW = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)
MEMORIES = 374
REPLACED = 19
ACTIVE = MEMORIES - REPLACED
PINNED = 1


def embedders() -> EmbedderSource:
    """Return a deterministic embedder source, which needs no download."""
    return EmbedderSource(embedder=TestEmbedder(64))


def clock() -> datetime:
    """Return the moment at which every picture is taken."""
    return NOW


async def fill_corpus(path: Path) -> None:
    """Write the whole corpus, dated back from ``NOW``, into a new store."""
    source = embedders()
    async with open_store(f"sqlite:{path}", create=True, embedders=source, clock=clock) as store:
        await sample_store.fill(store, NOW)
    source.close()
    with closing(sqlite3.connect(path)) as connection:
        # One file, so that a copy of it is whole.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@asynccontextmanager
async def second_handle(path: Path) -> AsyncIterator[Store]:
    """A second handle on the same file, as another console has it."""
    source = embedders()
    async with open_store(f"sqlite:{path}", embedders=source, clock=clock) as store:
        yield store
    source.close()
