"""Digest of the state of a store: every row of it but those of logs, which only grow."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

import psycopg
from psycopg import sql

STATE: dict[str, str] = {
    "knowledge_nodes": "id",
    "node_embeddings": "node_id",
    "embedding_model": "name",
    "scheduling": "memory_id",
    "review_marks": "memory_id",
    "review_weights": "hash",
    "edges": "source_id, target_id, edge_type",
    "domains": "id",
    "users": "id",
    "groups": "id",
}
"""Tables of the state, and the order of their rows."""
LOGS = ("review_events", "supersession_events")
"""Tables that are only appended to; undo and redo leave rows there."""
COUNTERS = {"seq", "search_vec"}
"""Columns that count the writes of a row, or follow from others."""


def digest(url: str) -> str:
    """Return the SHA-256 of every row of the state."""
    return hashlib.sha256(repr({name: read(url, name, order) for name, order in STATE.items()}).encode()).hexdigest()


def logs(url: str) -> dict[str, list[str]]:
    """Return the rows of each log, oldest first."""
    return {name: read(url, name, "id") for name in LOGS}


def read(url: str, table: str, order: str) -> list[str]:
    """Return the rows of a table as text, in an order."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]
            return [repr({name: value for name, value in row.items() if name not in COUNTERS}) for row in rows]
    with psycopg.connect(url) as postgres:
        query = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t ORDER BY {}").format(
            sql.Identifier(table), sql.SQL(order)
        )
        return [str(text) for (text,) in postgres.execute(query, [list(COUNTERS)])]
