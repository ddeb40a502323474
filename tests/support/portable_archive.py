"""Portable archives as a Vestige server writes them, from the tables of a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

TABLES = (
    *("knowledge_nodes", "node_embeddings", "fsrs_cards", "memory_states", "memory_connections", "memory_access_log"),
    *("state_transitions", "intentions", "insights", "sessions", "fsrs_config", "consolidation_history"),
    *("dream_history", "retention_snapshots", "sync_tombstones", "deletion_tombstones"),
    *("composition_events", "composition_members", "composition_outcomes"),
)
"""Tables of an archive; a file has those of its version."""


def archive_of(path: Path) -> dict[str, Any]:
    """Return the archive of a file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        [version] = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        tables = [_table(connection, name) for name in TABLES if name in present]
    return {
        "archiveFormat": "vestige.portable.v1",
        "vestigeVersion": "2.2.0",
        "schemaVersion": version,
        "exportedAt": "2026-11-01T12:00:00+00:00",
        "mode": "exact",
        "tables": tables,
    }


def table_of(name: str, columns: Iterable[str], *rows: Iterable[Any]) -> dict[str, Any]:
    """Return a table of an archive with these rows."""
    return {"name": name, "columns": list(columns), "rows": [[cell(value) for value in row] for row in rows]}


def cell(value: Any) -> dict[str, Any]:
    """Return a value with its type."""
    if isinstance(value, bytes):
        return {"type": "blob", "value": value.hex()}
    kind = {type(None): "null", int: "integer", float: "real", str: "text"}[type(value)]
    return {"type": kind, "value": value} if value is not None else {"type": kind}


def _table(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    cursor = connection.execute(f"SELECT * FROM {name}")
    return table_of(name, [column[0] for column in cursor.description], *cursor.fetchall())


def compact(archive: dict[str, Any]) -> bytes:
    """Return the archive as one line."""
    return json.dumps(archive, separators=(",", ":"), allow_nan=False).encode()
