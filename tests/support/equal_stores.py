"""A SQLite store and its copy in PostgreSQL, row by row."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

from vestige_tui.core.times import parse_stored

# What both databases give in the same words; the logs have other numbers on the other side.
TABLES = {
    "users": "SELECT id, handle, display_name FROM users WHERE handle <> 'local' ORDER BY id",
    "groups": "SELECT id, handle, display_name FROM groups ORDER BY id",
    "memberships": "SELECT user_id, group_id, role FROM group_memberships",
    "domains": "SELECT id, label, memory_count FROM domains",
    "memories": "SELECT id, content, node_type, codebase, owner_user_id, visibility, superseded_by"
    " FROM knowledge_nodes ORDER BY id",
    "scheduling": "SELECT memory_id, stability, difficulty, retrievability, reps, lapses"
    " FROM scheduling ORDER BY memory_id",
    "edges": "SELECT source_id, target_id, edge_type, weight FROM edges ORDER BY source_id, target_id, edge_type",
    "reviews": "SELECT memory_id, rating, weights_hash FROM review_events ORDER BY id",
    "supersession": "SELECT loser_id, winner_id, kind FROM supersession_events ORDER BY id",
    "marks": "SELECT memory_id, suspended FROM review_marks",
    "weights": "SELECT hash, algorithm FROM review_weights",
}


TIMES = {
    "memories": "SELECT id, created_at, updated_at FROM knowledge_nodes ORDER BY id",
    "scheduling": "SELECT memory_id, last_review, next_review FROM scheduling ORDER BY memory_id",
    "edges": "SELECT source_id, created_at FROM edges ORDER BY source_id, target_id",
    "reviews": "SELECT memory_id, timestamp FROM review_events ORDER BY id",
    "supersession": "SELECT loser_id, decided_at FROM supersession_events ORDER BY id",
}


def rows(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    rows: Sequence[Any] = connection.execute(sql).fetchall()
    return [tuple(str(value) if isinstance(value, uuid.UUID) else value for value in row) for row in rows]


def assert_equal_stores(source: Path, target: str) -> None:
    with closing(sqlite3.connect(source)) as ours, psycopg.connect(target) as theirs:
        register_vector(theirs)
        for name, sql in TABLES.items():
            assert rows(ours, sql) == rows(theirs, sql), name
        for name, sql in TIMES.items():
            read = [
                tuple(parse_stored(value) if index else value for index, value in enumerate(row))
                for row in rows(ours, sql)
            ]
            assert read == rows(theirs, sql), name
        vectors = "SELECT node_id, embedding FROM node_embeddings ORDER BY node_id"
        there = [(node, np.asarray(value.to_numpy(), "<f4").tobytes()) for node, value in rows(theirs, vectors)]
        assert there == rows(ours, vectors)
        centroid = theirs.execute("SELECT centroid FROM domains").fetchone()
        assert centroid is not None
        assert [(np.asarray(centroid[0].to_numpy(), "<f4").tobytes(),)] == rows(ours, "SELECT centroid FROM domains")
