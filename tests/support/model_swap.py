"""Swap of a store's vectors for those of a second model, as a re-embedding does it in the end."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from vestige_tui.core.errors import EmbedderUnavailable
from vestige_tui.embedding import loaders
from vestige_tui.embedding.models import Embedder, TestEmbedder
from vestige_tui.reembed import run
from vestige_tui.store.schema.named_sql import Dialect, compose

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector


NAMED = ("name", "dimension", "hash")
SWAPS: Mapping[Dialect, Sequence[str]] = {
    "sqlite": run._SWAP_OF_A_FILE,
    "postgres": ("wait_briefly", "lock_tables", "swap_tables"),
}


class OtherEmbedder(TestEmbedder):
    """Embedder of the same widths in another space: equal neighbours, other vectors."""

    __test__ = False

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.name = f"other-embedder-{dimension}"

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        return super().embed([re.sub(r"(\w+)", r"other\1", text) for text in texts], query=query)


class BetweenEmbedder(TestEmbedder):
    """Embedder that calls back after encoding, before it returns the vectors."""

    __test__ = False

    def __init__(self, inner: Embedder) -> None:
        super().__init__(inner.dimension)
        self.name, self.inner = inner.name, inner
        self.then: list[Callable[[], None]] = []

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        made = self.inner.embed(texts, query=query)
        if self.then:
            self.then.pop(0)()
        return made


def offer_models(monkeypatch: pytest.MonkeyPatch, *models: Embedder) -> list[str]:
    """Let these models alone be loaded; return the list of loaded names, which grows with each load."""
    loaded: list[str] = []
    known = {model.name: model for model in models}

    def load(name: str | None = None, **options: object) -> Embedder:
        if name not in known:
            raise EmbedderUnavailable(f"The embedding model {name} is not on this machine.")
        loaded.append(name)
        return known[name]

    monkeypatch.setattr(loaders, "load_embedder", load)
    return loaded


def prepare_spare_vectors(url: str, model: Embedder) -> None:
    """Fill the shadow table with the vectors of another model, for every memory."""
    noted = (
        1,
        model.name,
        model.dimension,
        model.hash,
        datetime.now(UTC).isoformat(timespec="microseconds"),
        "building",
    )
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"), timeout=30)) as file, file:
            file.execute("DELETE FROM spare_embeddings")
            file.execute("DELETE FROM spare_model")
            file.execute(
                "INSERT INTO spare_model (id, name, dimension, hash, created_at, role) VALUES (?, ?, ?, ?, ?, ?)", noted
            )
            known = file.execute("SELECT id, content FROM knowledge_nodes").fetchall()
            vectors = model.embed([content for _, content in known])
            file.executemany(
                "INSERT INTO spare_embeddings (node_id, embedding) VALUES (?, ?)",
                [(node, vector.tobytes()) for (node, _), vector in zip(known, vectors, strict=True)],
            )
        return
    sort = "vector" if model.dimension <= 2_000 else "halfvec"
    column = sql.SQL(f"{sort}({model.dimension})")
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("DROP INDEX IF EXISTS idx_spare_embeddings_hnsw")
        server.execute("TRUNCATE spare_embeddings, spare_model")
        server.execute(sql.SQL("ALTER TABLE spare_embeddings ALTER COLUMN embedding TYPE {}").format(column))
        server.execute(
            "INSERT INTO spare_model (id, name, dimension, hash, created_at, role) VALUES (%s, %s, %s, %s, %s, %s)",
            noted,
        )
        rows = server.execute("SELECT id, content FROM knowledge_nodes").fetchall()
        for (node, content), vector in zip(rows, model.embed([content for _, content in rows]), strict=True):
            server.execute(
                sql.SQL(
                    "INSERT INTO spare_embeddings (node_id, embedding) SELECT m.id, %s::{} FROM knowledge_nodes m "
                    "WHERE m.id = %s AND m.content = %s FOR KEY SHARE"
                ).format(column),
                (str(vector.tolist()), node, content),
            )
        statement = (
            f"CREATE INDEX idx_spare_embeddings_hnsw ON spare_embeddings USING hnsw (embedding {sort}_cosine_ops)"
        )
        server.execute(statement.encode())


def swap_models(url: str, model: Embedder) -> None:
    """Swap in the model of the shadow table, by the statements of the job."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    dialect: Dialect = "sqlite" if url.startswith("sqlite:") else "postgres"

    def swapped(ask: Callable[[str, Mapping[str, object]], Sequence[Mapping[str, Any]]]) -> None:
        [before], [spare] = ask("get_model", {}), ask("get_spare", {})
        assert spare["name"] == model.name
        ask("set_model", spare)
        ask("set_spare_model", before)
        values = {f"{end}_{name}": row[name] for end, row in (("from", before), ("to", spare)) for name in NAMED}
        noted = {"kind": "reembed", "memories": 0, "seconds": 0.0, "changed_at": now, "job": None}
        ask("insert_model_change", {**values, **noted})
        for name in SWAPS[dialect]:
            ask(name, {})

    if dialect == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:"), timeout=30, isolation_level=None)) as file:
            file.row_factory = sqlite3.Row
            file.execute("BEGIN IMMEDIATE")
            swapped(lambda name, values: file.execute(compose("sqlite", name), dict(values)).fetchall())
            file.execute("COMMIT")
        return
    while True:
        # As the job does: who is in the middle of an edit is let through.
        with suppress(psycopg.errors.LockNotAvailable), psycopg.connect(url, row_factory=dict_row) as server:
            swapped(partial(_asked, server))
            return


def _asked(
    server: psycopg.Connection[dict[str, Any]], name: str, values: Mapping[str, object]
) -> Sequence[Mapping[str, Any]]:
    cursor = server.execute(compose("postgres", name).encode(), dict(values))
    return cursor.fetchall() if cursor.description else []


def stored_vectors(url: str) -> list[tuple[str, Vector]]:
    """Return the text and the vector of each memory that has one."""
    statement = "SELECT m.content, e.embedding FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id"
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as file:
            return [(content, np.frombuffer(blob, "<f4")) for content, blob in file.execute(statement)]
    with psycopg.connect(url) as server:
        rows = server.execute(statement.replace("e.embedding", "e.embedding::text").encode()).fetchall()
    return [(content, np.array(text.strip("[]").split(","), dtype=np.float32)) for content, text in rows]
