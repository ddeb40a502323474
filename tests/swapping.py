"""A second model's vectors put in the place of the first's, as a re-embedding does it in the end; from outside."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import psycopg
import pytest
from psycopg import sql

from vestige_tui import embedding
from vestige_tui.embedding import Embedder, TestEmbedder
from vestige_tui.errors import EmbedderUnavailable

if TYPE_CHECKING:
    from vestige_tui.model import Vector


_NOTED = (
    "INSERT INTO model_changes (kind, from_name, from_dimension, from_hash, to_name, to_dimension, to_hash, memories, "
    "seconds, changed_at) SELECT 'reembed', name, dimension, hash, %s, %s, %s, 0, 0, %s FROM embedding_model"
)


class OtherEmbedder(TestEmbedder):
    """The same widths in another space: what is near here is near there, by other figures."""

    __test__ = False

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.name = f"other-embedder-{dimension}"

    def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
        return super().embed([re.sub(r"(\w+)", r"other\1", text) for text in texts], query=query)


class BetweenEmbedder(TestEmbedder):
    """Does something once it has encoded, before anybody gets to see the vectors."""

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


def offer(monkeypatch: pytest.MonkeyPatch, *models: Embedder) -> list[str]:
    """These models, and no others, can be loaded; gives the names of those that are, as they are."""
    loaded: list[str] = []
    known = {model.name: model for model in models}

    def load(name: str | None = None, **options: object) -> Embedder:
        if name not in known:
            raise EmbedderUnavailable(f"The embedding model {name} is not on this machine.")
        loaded.append(name)
        return known[name]

    monkeypatch.setattr(embedding, "load_embedder", load)
    return loaded


def prepare(url: str, model: Embedder) -> None:
    """Lay the vectors of another model beside the store's, for every memory."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"), timeout=30)) as file, file:
            file.execute("DELETE FROM spare_embeddings")
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
        server.execute("TRUNCATE spare_embeddings")
        server.execute(sql.SQL("ALTER TABLE spare_embeddings ALTER COLUMN embedding TYPE {}").format(column))
        found = server.execute("SELECT id, content FROM knowledge_nodes").fetchall()
        for (node, content), vector in zip(found, model.embed([content for _, content in found]), strict=True):
            server.execute(
                sql.SQL(
                    "INSERT INTO spare_embeddings (node_id, embedding) SELECT m.id, %s::{} FROM knowledge_nodes m "
                    "WHERE m.id = %s AND m.content = %s FOR KEY SHARE"
                ).format(column),
                (str(vector.tolist()), node, content),
            )
        made = f"CREATE INDEX idx_spare_embeddings_hnsw ON spare_embeddings USING hnsw (embedding {sort}_cosine_ops)"
        server.execute(made.encode())


def swap(url: str, model: Embedder) -> None:
    """Give the store to the model whose vectors lie beside its own, in one transaction."""
    row = (model.name, model.dimension, model.hash)
    now = datetime.now(UTC)
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"), timeout=30, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            [[trigger]] = file.execute("SELECT sql FROM sqlite_master WHERE name = 'trg_knowledge_nodes_spare'")
            file.execute("DROP TRIGGER trg_knowledge_nodes_spare")
            for renamed in ("node_embeddings TO laid_aside", "spare_embeddings TO node_embeddings"):
                file.execute(f"ALTER TABLE {renamed.replace(' TO ', ' RENAME TO ')}")
            file.execute("ALTER TABLE laid_aside RENAME TO spare_embeddings")
            file.execute(trigger)
            file.execute(_NOTED.replace("%s", "?"), (*row, now.isoformat(timespec="microseconds")))
            file.execute("UPDATE embedding_model SET name = ?, dimension = ?, hash = ?", row)
            file.execute("COMMIT")
        return
    with psycopg.connect(url) as server:
        server.execute("LOCK TABLE node_embeddings, spare_embeddings IN ACCESS EXCLUSIVE MODE")
        server.execute("ALTER TABLE node_embeddings RENAME TO laid_aside")
        server.execute("ALTER TABLE spare_embeddings RENAME TO node_embeddings")
        server.execute("ALTER TABLE laid_aside RENAME TO spare_embeddings")
        server.execute("ALTER INDEX idx_node_embeddings_hnsw RENAME TO idx_laid_aside")
        server.execute("ALTER INDEX idx_spare_embeddings_hnsw RENAME TO idx_node_embeddings_hnsw")
        server.execute("ALTER INDEX idx_laid_aside RENAME TO idx_spare_embeddings_hnsw")
        server.execute(_NOTED.encode(), (*row, now))
        server.execute("UPDATE embedding_model SET name = %s, dimension = %s, hash = %s", row)


def stored(url: str) -> list[tuple[str, Vector]]:
    """The text of each memory that has a vector, with that vector."""
    asked = "SELECT m.content, e.embedding FROM node_embeddings e JOIN knowledge_nodes m ON m.id = e.node_id"
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as file:
            return [(content, np.frombuffer(blob, "<f4")) for content, blob in file.execute(asked)]
    with psycopg.connect(url) as server:
        found = server.execute(asked.replace("e.embedding", "e.embedding::text").encode()).fetchall()
    return [(content, np.array(text.strip("[]").split(","), dtype=np.float32)) for content, text in found]
