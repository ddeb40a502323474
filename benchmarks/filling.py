"""Filling of large stores: SQLite in batches; PostgreSQL is a copy of that file by the product itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.corpus import DIMENSION, OWNERS, corpus
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from datetime import datetime

    from benchmarks.corpus import Corpus
    from vestige_tui.core.memories import Draft

MODEL = ModelSignature("benchmark/clusters", DIMENSION)
BATCH_ROWS = 10_000


async def fill_store(path: Path, size: int) -> str:
    """Create a SQLite store of that many memories with vectors; return its URL."""
    url = f"sqlite:{path}"
    async with open_store(url, create=True) as store:
        await store.models.register(MODEL)
    await asyncio.to_thread(_write, path, corpus(size))
    return url


def _write(path: Path, corpus: Corpus) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    # The file is temporary: durability is not needed.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    connection.executemany(
        "INSERT OR IGNORE INTO users (id, handle, created_at) VALUES (?, ?, '2026-01-01T00:00:00.000000+00:00')",
        [(owner, f"person-{owner[-1]}") for owner in OWNERS],
    )
    for start in range(0, corpus.size, BATCH_ROWS):
        drafts = corpus.drafts[start : start + BATCH_ROWS]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO knowledge_nodes (id, content, node_type, tags, domains, codebase, owner_user_id, created_at, "
            "updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            map(_memory, drafts),
        )
        connection.executemany(
            "INSERT INTO node_embeddings (node_id, embedding) VALUES (?, ?)",
            [
                (draft.id, row.tobytes())
                for draft, row in zip(drafts, corpus.matrix[start : start + BATCH_ROWS], strict=True)
            ],
        )
        connection.executemany(
            "INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            _schedules(drafts),
        )
        connection.execute("COMMIT")
    connection.close()


def _memory(draft: Draft) -> tuple[str | None, ...]:
    created = _time(draft.created_at)
    lists = json.dumps(draft.tags), json.dumps(draft.domains)
    return (draft.id, draft.content, draft.node_type, *lists, draft.codebase, draft.owner_user_id, created, created)


def _schedules(drafts: tuple[Draft, ...]) -> Iterator[tuple[str | float | None, ...]]:
    for draft in drafts:
        if (state := draft.scheduling) is not None:
            figures = state.stability, state.difficulty, state.retrievability
            yield (draft.id, *figures, _time(state.last_review), _time(state.next_review), state.reps)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")
