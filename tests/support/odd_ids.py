"""Ids of any text in a SQLite store, wherever a table names a memory, a user or a group."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

UUID = "4b7f22f0-3c5e-4a3c-9d6a-1f0b6b2b9a10"

KEPT_IDS = (
    "mem-1",
    " ",
    "  leading",
    "naïve ✓ 漢字 👩\u200d🚀",
    "e\u0301",
    "x" * 255,
    "y" * 2_000,
    "a'b\"c;-- %_",
    "\u202etekcarb\n\t",
    "null",
    "007",
    '["json"]',
    UUID.replace("-", "_"),
    UUID + "0",
)
"""Ids that are no UUIDs, and that a store of texts takes as they are."""
_COLUMNS = (
    ("knowledge_nodes", "id"),
    ("knowledge_nodes", "superseded_by"),
    ("knowledge_nodes", "owner_user_id"),
    ("node_embeddings", "node_id"),
    ("scheduling", "memory_id"),
    ("edges", "source_id"),
    ("edges", "target_id"),
    ("review_events", "memory_id"),
    ("supersession_events", "loser_id"),
    ("supersession_events", "winner_id"),
    ("review_marks", "memory_id"),
    ("users", "id"),
    ("groups", "id"),
    ("group_memberships", "user_id"),
    ("group_memberships", "group_id"),
)


def respell(path: Path, ids: Mapping[str, str | bytes | int]) -> None:
    """Give rows of a store other ids, everywhere."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.create_function("respelled", 1, lambda each: ids.get(each, each), deterministic=True)
        connection.create_function(
            "all_respelled", 1, lambda each: json.dumps([ids.get(one, one) for one in json.loads(each)])
        )
        for table, column in _COLUMNS:
            connection.execute(f"UPDATE {table} SET {column} = respelled({column}) WHERE {column} IS NOT NULL")
        connection.execute("UPDATE knowledge_nodes SET shared_with_groups = all_respelled(shared_with_groups)")


def list_column(path: Path, sql: str) -> list[object]:
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute(sql)]


def ids_of(path: Path, table: str = "knowledge_nodes") -> list[object]:
    return list_column(path, f"SELECT id FROM {table} ORDER BY rowid")
