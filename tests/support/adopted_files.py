"""Adopted files of the lines of Vestige that differ, opened by a store, and their rows as the server reads them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.vestige_files import make_line, make_v14
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.adoption import adopt
from vestige_tui.store.store import Store

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LINES = ("4", "14 (phase 1)", "18", "28", "35")


def make_adopted(path: Path, line: str) -> Path:
    """Write a file of a line, with 12 memories, and adopt it."""
    if line == "14 (phase 1)":
        make_v14(path, 12)
    else:
        make_line(path, int(line), 12)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        adopt(connection, path.with_name("backup.db"), NOW.isoformat())
    return path


@asynccontextmanager
async def opened(path: Path, embedder: TestEmbedder | None = None) -> AsyncIterator[Store]:
    embedders = EmbedderSource(embedder=embedder)
    try:
        async with open_store(f"sqlite:{path}", embedders=embedders, clock=lambda: NOW) as store:
            yield store
    finally:
        embedders.close()


def row(path: Path, memory: str, table: str = "knowledge_nodes", key: str = "id") -> dict[str, Any]:
    """A row as the server reads it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(f"SELECT * FROM {table} WHERE {key} = ?", (memory,)).fetchone()
        return dict(found) if found is not None else {}
