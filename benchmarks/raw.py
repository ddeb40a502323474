"""Raw alternatives: driver, hand-written SQL and numpy on the same store, without the service."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

from benchmarks import textbook
from vestige_tui.store.search.query_syntax import parse

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.core.memories import Draft
    from vestige_tui.core.search import Mode

DEPTH, LIMIT = 30, 10
RRF_K = 60

_SESSION_OPTIONS = "-c timezone=UTC -c jit=off -c plan_cache_mode=force_custom_plan -c hnsw.ef_search=100"


class Raw(Protocol):
    """Queries of either driver; ids come best first."""

    def text(self, question: str) -> list[str]:
        """Return the ids of the best texts with any of the words."""
        ...

    def all_words(self, question: str) -> list[str]:
        """Return the ids of the best texts with all of the words."""
        ...

    def ranked(self, question: str) -> list[str]:
        """Return the ids of the best texts with any of the words, each scored as by the service."""
        ...

    def vector(self, vector: Vector) -> list[str]: ...

    def rows(self, ids: Sequence[str]) -> list[Any]:
        """Return whole memories."""
        ...

    def page(self, after: tuple[str, str] | None = None) -> list[Any]:
        """Return the fifty newest memories, or the fifty after a created_at and an id."""
        ...

    def mark_at(self, position: int) -> tuple[str, str]:
        """Return the created_at and id at a position of that list."""
        ...

    def count(self) -> int: ...

    def due(self, bounds: Sequence[datetime]) -> Any:
        """Return the numbers of memories due before each of three moments, and of new ones."""
        ...

    def recall(self, moment: datetime) -> list[Any]:
        """Return the ids of the fifty memories of the lowest recall, by one pass over the schedules."""
        ...

    def facets(self) -> list[Any]:
        """Return the tags in use with their counts."""
        ...

    def insert(self, drafts: Sequence[Draft], vectors: Sequence[Vector]) -> None:
        """Write memories in one transaction."""
        ...

    def update(self, memory_id: str, tags: Sequence[str]) -> None: ...

    def review(self, memory_id: str, due: datetime) -> None:
        """Write a schedule and a row of the review log in one transaction."""
        ...


def hybrid(raw: Raw, question: str, vector: Vector) -> list[Any]:
    """Fuse both branches by reciprocal rank and read the memories."""
    return raw.rows(fused(raw.text(question), raw.vector(vector))[:LIMIT])


def fused(*branches: Sequence[str]) -> list[str]:
    """Return the Reciprocal Rank Fusion of ids that come best first."""
    scores: dict[str, float] = {}
    for ids in branches:
        for rank, memory_id in enumerate(ids, 1):
            scores[memory_id] = scores.get(memory_id, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores, key=lambda memory_id: (-scores[memory_id], memory_id))


class RawSqlite:
    """sqlite3 and FTS5, with the vectors in one numpy matrix."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self.load()

    def load(self) -> None:
        """Read all vectors."""
        rows = self._connection.execute("SELECT node_id, embedding FROM node_embeddings ORDER BY seq").fetchall()
        self._ids = [memory_id for memory_id, _ in rows]
        joined = b"".join(blob for _, blob in rows)
        self._matrix = np.frombuffer(joined, dtype="<f4").reshape(len(rows), -1)

    def close(self) -> None:
        self._connection.close()

    def text(self, question: str) -> list[str]:
        return self._match(question, " OR ")

    def ranked(self, question: str) -> list[str]:
        return self.text(question)

    def all_words(self, question: str) -> list[str]:
        return self._match(question, " ")

    def _match(self, question: str, between: str) -> list[str]:
        words = between.join(f'"{word}"' for word in parse(question).ranked)
        if not words:
            return []
        rows = self._connection.execute(
            "SELECT m.id FROM knowledge_fts f JOIN knowledge_nodes m ON m.seq = f.rowid "
            "WHERE knowledge_fts MATCH ? ORDER BY rank LIMIT ?",
            (words, DEPTH),
        )
        return [row[0] for row in rows]

    def vector(self, vector: Vector) -> list[str]:
        scores = self._matrix @ vector
        top = np.argpartition(-scores, DEPTH)[:DEPTH] if len(scores) > DEPTH else np.arange(len(scores))
        return [self._ids[place] for place in top[np.argsort(-scores[top])]]

    def rows(self, ids: Sequence[str]) -> list[Any]:
        places = ", ".join("?" * len(ids))
        return self._connection.execute(
            "SELECT m.*, s.* FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id "
            f"WHERE m.id IN ({places})",
            list(ids),
        ).fetchall()

    def page(self, after: tuple[str, str] | None = None) -> list[Any]:
        behind = "AND (m.created_at, m.id) < (?, ?)" if after else ""
        return self._connection.execute(
            "SELECT m.*, s.* FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id "
            f"WHERE m.superseded_by IS NULL {behind} ORDER BY m.created_at DESC, m.id DESC LIMIT 50",
            after or (),
        ).fetchall()

    def mark_at(self, position: int) -> tuple[str, str]:
        created, memory_id = self._connection.execute(
            "SELECT created_at, id FROM knowledge_nodes ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?", (position,)
        ).fetchone()
        return created, memory_id

    def count(self) -> int:
        [count] = self._connection.execute(
            "SELECT count(*) FROM knowledge_nodes WHERE superseded_by IS NULL"
        ).fetchone()
        return int(count)

    def due(self, bounds: Sequence[datetime]) -> Any:
        moments = [bound.astimezone(UTC).isoformat(timespec="microseconds") for bound in bounds]
        return self._connection.execute(
            "SELECT sum(s.next_review < ?), sum(s.next_review < ?), sum(s.next_review < ?), sum(s.memory_id IS NULL) "
            "FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.superseded_by IS NULL",
            moments,
        ).fetchone()

    def recall(self, moment: datetime) -> list[Any]:
        return self._connection.execute(
            "SELECT m.id FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id WHERE m.superseded_by IS NULL "
            "AND s.reps > 0 ORDER BY (julianday(s.last_review) - julianday(?)) / max(s.stability, 0.001) LIMIT 50",
            (moment.isoformat(),),
        ).fetchall()

    def facets(self) -> list[Any]:
        return self._connection.execute(
            "SELECT j.value, count(*) AS n FROM knowledge_nodes m, json_each(m.tags) j "
            "WHERE m.superseded_by IS NULL GROUP BY j.value ORDER BY n DESC, j.value LIMIT 200"
        ).fetchall()

    def insert(self, drafts: Sequence[Draft], vectors: Sequence[Vector]) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        ids = [str(uuid.uuid4()) for _ in drafts]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT INTO knowledge_nodes (id, content, node_type, tags, domains, codebase, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(key, each.content, each.node_type, json.dumps(each.tags), json.dumps(each.domains)),
                    *(each.codebase, now, now),
                )
                for key, each in zip(ids, drafts, strict=True)
            ],
        )
        self._connection.executemany(
            "INSERT INTO node_embeddings (node_id, embedding) VALUES (?, ?)",
            [(key, vector.tobytes()) for key, vector in zip(ids, vectors, strict=True)],
        )
        self._connection.execute("COMMIT")

    def update(self, memory_id: str, tags: Sequence[str]) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        self._connection.execute(
            "UPDATE knowledge_nodes SET tags = ?, updated_at = ? WHERE id = ?", (json.dumps(list(tags)), now, memory_id)
        )

    def review(self, memory_id: str, due: datetime) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(
            "INSERT INTO scheduling (memory_id, stability, difficulty, last_review, next_review, reps) "
            "VALUES (?, 3, 5, ?, ?, 1) ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, "
            "last_review = excluded.last_review, next_review = excluded.next_review, reps = reps + 1",
            (memory_id, now, due.astimezone(UTC).isoformat(timespec="microseconds")),
        )
        self._connection.execute(
            "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state) "
            "VALUES (?, ?, 3, '{}', '{}')",
            (memory_id, now),
        )
        self._connection.execute("COMMIT")


class RawPostgres:
    """psycopg without pool or event loop, on the server's own indexes."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, options=_SESSION_OPTIONS)
        register_vector(self._connection)

    def close(self) -> None:
        self._connection.close()

    def text(self, question: str) -> list[str]:
        return self._ids(
            "SELECT id::text FROM knowledge_nodes m, to_tsquery('vestige', %s) q "
            "WHERE m.search_vec @@ q ORDER BY ts_rank(m.search_vec, q, 1) DESC, m.id LIMIT %s",
            (" | ".join(f"'{_without_punctuation(word)}'" for word in parse(question).ranked), DEPTH),
        )

    def ranked(self, question: str) -> list[str]:
        return self._ids(
            "WITH whole AS (SELECT count(*) AS n FROM knowledge_nodes), "
            "words AS MATERIALIZED (SELECT q, ln(1 + (n - df + 0.5) / (df + 0.5)) AS idf FROM whole, ("
            "SELECT q, (SELECT count(*) FROM knowledge_nodes m WHERE m.search_vec @@ q) AS df "
            "FROM unnest(%s::text[]) w, phraseto_tsquery('vestige', w) q) x) "
            "SELECT m.id::text FROM knowledge_nodes m CROSS JOIN words w WHERE m.search_vec @@ w.q "
            "GROUP BY m.id ORDER BY sum(w.idf * ts_rank(m.search_vec, w.q, 1)) DESC, m.id LIMIT %s",
            ([_without_punctuation(word) for word in parse(question).ranked], DEPTH),
        )

    def all_words(self, question: str) -> list[str]:
        return self._ids(
            "SELECT id::text FROM knowledge_nodes m, websearch_to_tsquery('vestige', %s) q "
            "WHERE m.search_vec @@ q ORDER BY ts_rank_cd(m.search_vec, q) DESC, m.id LIMIT %s",
            (" ".join(_without_punctuation(word) for word in parse(question).ranked), DEPTH),
        )

    def vector(self, vector: Vector) -> list[str]:
        return self._ids(
            "SELECT node_id::text FROM node_embeddings ORDER BY embedding <=> %s::vector LIMIT %s", (vector, DEPTH)
        )

    def _ids(self, sql: str, values: tuple[Any, ...]) -> list[str]:
        return [row[0] for row in self._connection.execute(sql.encode(), values)]

    def rows(self, ids: Sequence[str]) -> list[Any]:
        return self._connection.execute(
            "SELECT m.*, s.* FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id "
            "WHERE m.id = ANY (%s::uuid[])",
            (list(ids),),
        ).fetchall()

    def page(self, after: tuple[str, str] | None = None) -> list[Any]:
        behind = "AND (m.created_at, m.id) < (%s, %s)" if after else ""
        return self._connection.execute(
            "SELECT m.*, s.* FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id "
            f"WHERE m.superseded_by IS NULL {behind} ORDER BY m.created_at DESC, m.id DESC LIMIT 50".encode(),
            after or (),
        ).fetchall()

    def mark_at(self, position: int) -> tuple[str, str]:
        [row] = self._connection.execute(
            "SELECT created_at, id FROM knowledge_nodes ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET %s",
            (position,),
        ).fetchall()
        return row[0], row[1]

    def count(self) -> int:
        [[count]] = self._connection.execute(
            "SELECT count(*) FROM knowledge_nodes WHERE superseded_by IS NULL"
        ).fetchall()
        return int(count)

    def due(self, bounds: Sequence[datetime]) -> Any:
        return self._connection.execute(
            "SELECT count(*) FILTER (WHERE s.next_review < %s), count(*) FILTER (WHERE s.next_review < %s), "
            "count(*) FILTER (WHERE s.next_review < %s), count(*) FILTER (WHERE s.memory_id IS NULL) "
            "FROM knowledge_nodes m LEFT JOIN scheduling s ON s.memory_id = m.id WHERE m.superseded_by IS NULL",
            list(bounds),
        ).fetchone()

    def recall(self, moment: datetime) -> list[Any]:
        return self._connection.execute(
            "SELECT m.id FROM scheduling s JOIN knowledge_nodes m ON m.id = s.memory_id WHERE m.superseded_by IS NULL "
            "AND s.reps > 0 ORDER BY extract(epoch FROM s.last_review - %s) / greatest(s.stability, 0.001) LIMIT 50",
            (moment,),
        ).fetchall()

    def facets(self) -> list[Any]:
        return self._connection.execute(
            "SELECT j.value, count(*) AS n FROM knowledge_nodes m, unnest(m.tags) j (value) "
            "WHERE m.superseded_by IS NULL GROUP BY j.value ORDER BY n DESC, j.value LIMIT 200"
        ).fetchall()

    def insert(self, drafts: Sequence[Draft], vectors: Sequence[Vector]) -> None:
        ids = [str(uuid.uuid4()) for _ in drafts]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO knowledge_nodes (id, content, node_type, tags, domains, codebase) "
                "VALUES (%s, %s, %s, %s, %s, %s)",
                [
                    (key, each.content, each.node_type, list(each.tags), list(each.domains), each.codebase)
                    for key, each in zip(ids, drafts, strict=True)
                ],
            )
            cursor.executemany(
                "INSERT INTO node_embeddings (node_id, embedding) VALUES (%s, %s)",
                list(zip(ids, vectors, strict=True)),
            )

    def update(self, memory_id: str, tags: Sequence[str]) -> None:
        self._connection.execute(
            "UPDATE knowledge_nodes SET tags = %s, updated_at = now() WHERE id = %s", (list(tags), memory_id)
        )

    def review(self, memory_id: str, due: datetime) -> None:
        with self._connection.transaction():
            self._connection.execute(
                "INSERT INTO scheduling AS s (memory_id, stability, difficulty, last_review, next_review, reps) "
                "VALUES (%s, 3, 5, now(), %s, 1) ON CONFLICT (memory_id) DO UPDATE SET stability = excluded.stability, "
                "last_review = excluded.last_review, next_review = excluded.next_review, reps = s.reps + 1",
                (memory_id, due),
            )
            self._connection.execute(
                "INSERT INTO review_events (memory_id, rating, prior_state, new_state) VALUES (%s, 3, '{}', '{}')",
                (memory_id,),
            )

    def textbook(self, mode: Mode, question: str, vector: Vector) -> list[Any]:
        """Run the textbook statement of a whole search."""
        values = {
            "vector": vector, "text": question, "limit": LIMIT,
            "tags": None, "domains": None, "node_types": None, "codebase": None, "owner": None, "since": None,
        }  # fmt: skip
        return self._connection.execute(textbook.statement(mode).encode(), values).fetchall()


def _without_punctuation(word: str) -> str:
    return "".join(char if char.isalnum() else " " for char in word)
