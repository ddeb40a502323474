"""Files as Vestige servers leave them on users' disks, for tests: any schema version, plain rows or hostile ones.

The schema is in ``vestige_lines.sql``. Rows are a function of their position alone, so two runs build equal rows.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

NOMIC = "nomic-embed-text-v1.5"
MINILM = "all-MiniLM-L6-v2"
NOW = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
LATEST = 40
PROFILE = "nomic-v1.5-retrieval-v1-256"

_BLOCK = re.compile(r"^-- (\d+)( phase 1)? --\n", re.MULTILINE)
_TYPES = ("fact", "concept", "procedure", "event", "decision", "note", "code", "insight")
_SUBJECTS = ("The nightly backup", "Key rotation", "The staging database", "Our deploy script", "The search index")
_VERBS = ("runs after", "was moved behind", "depends on", "must never touch", "is documented beside")
_OBJECTS = ("the retention job", "the load balancer", "the audit log", "the release train", "a read replica")
_TAGS = ("ops", "security", "database", "deploy", "search", "postgres")


def memory_id(position: int) -> str:
    """The id of the realistic row at a position, counted from 0."""
    return str(uuid.UUID(int=random.Random(position).getrandbits(128), version=4))


def chrono(moment: datetime, digits: int = 9) -> str:
    """A time as the server's own library writes it: a fraction of 0, 3, 6 or 9 digits and ``+00:00``."""
    fraction = f".{moment.microsecond:06d}789"[: digits + 1] if digits else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}+00:00"


def spaced(moment: datetime) -> str:
    """A time as SQLite's ``datetime('now')`` writes it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def vector(position: int, width: int = 256) -> bytes:
    """A unit vector as stored: packed little-endian float32."""
    values = np.random.default_rng(position).standard_normal(width)
    return (values / np.linalg.norm(values)).astype("<f4").tobytes()


def realistic(position: int) -> dict[str, Any]:
    """One row of knowledge_nodes: mixed time forms, a third of them never reviewed."""
    chance = random.Random(position)
    made = NOW - timedelta(hours=7 * position + 1, microseconds=position * 1237 % 1_000_000)
    reps = 0 if position % 3 == 0 else chance.randint(1, 6)
    days = chance.randint(1, 60) if reps else 0
    reviewed = NOW - timedelta(days=chance.randint(0, 50), microseconds=position * 1000)
    words = (chance.choice(_SUBJECTS), chance.choice(_VERBS), chance.choice(_OBJECTS))
    return {
        "id": memory_id(position),
        "content": f"{' '.join(words)}; entry {position}.",
        "node_type": chance.choice(_TYPES),
        "created_at": spaced(made) if position % 7 == 3 else chrono(made, (9, 6, 3, 0)[position % 4]),
        "updated_at": chrono(made + timedelta(minutes=5)),
        "last_accessed": chrono(NOW),
        "stability": round(chance.uniform(0.2, 80.0), 4) if reps else 1.0,
        "difficulty": round(chance.uniform(1.0, 10.0), 4) if reps else 0.3,
        "reps": reps,
        "lapses": chance.randint(0, 1) if reps else 0,
        "learning_state": "review" if reps else "new",
        "retention_strength": round(chance.uniform(0.4, 1.0), 4),
        "next_review": chrono(reviewed + timedelta(days=days)) if reps else None,
        "scheduled_days": days,
        "source": "cli" if position % 2 else None,
        "tags": json.dumps(chance.sample(_TAGS, position % 3)),
    }


def make_v14(
    path: Path, memories: int | Sequence[Mapping[str, Any]] = 24, *, hostile: bool = False, width: int = 256
) -> Path:
    """A file of the phase-1 line: version 14 with a model, domains and a review log, without merge plans."""
    return make_line(path, 14, memories, phase_1=True, hostile=hostile, width=width)


def make_v18(
    path: Path, memories: int | Sequence[Mapping[str, Any]] = 24, *, hostile: bool = False, width: int = 256
) -> Path:
    """A file of version 18, as release 2.2.0 leaves it."""
    return make_line(path, 18, memories, hostile=hostile, width=width)


def make_line(
    path: Path,
    version: int,
    memories: int | Sequence[Mapping[str, Any]] = 24,
    *,
    phase_1: bool = False,
    hostile: bool = False,
    width: int = 256,
) -> Path:
    """A file of any version from 4 on. ``memories`` is how many realistic rows, or the rows themselves.

    A row may have a key ``embedding`` (bytes, or None for no vector); without it the row gets a vector of ``width``.
    Columns that the version lacks are left out.
    """
    with closing(sqlite3.connect(path)) as connection:
        if version >= 7:
            connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = OFF")
        for statements in _schema(version, phase_1):
            connection.executescript(statements)
        connection.execute("UPDATE schema_version SET version = ?", (version,))
        crafted = not isinstance(memories, int)
        rows = [realistic(position) for position in range(memories)] if isinstance(memories, int) else list(memories)
        _insert_memories(connection, rows, width)
        if not crafted:
            _insert_relations(connection, [row["id"] for row in rows])
        if "embedding_model" in _tables(connection):
            signature = (1, NOMIC if width == 256 else MINILM, width, "b3" * 32, chrono(NOW - timedelta(days=400)))
            connection.execute("INSERT INTO embedding_model VALUES (?, ?, ?, ?, ?)", signature)
        if version >= 28:
            _activate_profile(connection, width)
        if hostile:
            _insert_hostile(connection)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Insert a row, leaving out the columns that the table lacks."""
    known = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    kept = {name: value for name, value in row.items() if name in known}
    marks = ", ".join("?" * len(kept))
    connection.execute(f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({marks})", tuple(kept.values()))


def _schema(version: int, phase_1: bool) -> Iterable[str]:
    parts = _BLOCK.split(Path(__file__).with_name("vestige_lines.sql").read_text(encoding="utf-8"))
    blocks = {
        (int(number), bool(phase)): sql for number, phase, sql in zip(*(parts[k::3] for k in (1, 2, 3)), strict=True)
    }
    for number in range(1, version + 1):
        yield blocks.get((number, phase_1), blocks.get((number, False), ""))


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _insert_memories(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]], width: int) -> None:
    defaults = {
        "content": "A memory.",
        "created_at": chrono(NOW),
        "updated_at": chrono(NOW),
        "last_accessed": chrono(NOW),
    }
    for position, row in enumerate(rows):
        blob = row.get("embedding", vector(position, width))
        model = NOMIC if width == 256 else MINILM
        insert(
            connection,
            "knowledge_nodes",
            {**defaults, "has_embedding": int(blob is not None), "embedding_model": model, **row},
        )
        if blob is not None:
            _insert_vector(connection, str(row["id"]), blob, width, model)


def _insert_vector(connection: sqlite3.Connection, node: str, blob: bytes, width: int, model: str) -> None:
    row = {"node_id": node, "embedding": blob, "dimensions": width, "model": model, "created_at": chrono(NOW)}
    insert(connection, "node_embeddings", row)


def _insert_relations(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Links along the rows; where the version has them, supersessions, domains and reviews."""
    at = chrono(NOW)
    for position, (source, target) in enumerate(pairwise(ids)):
        kind = ("semantic", "temporal", "causal")[position % 3]
        row = {"source_id": source, "target_id": target, "strength": 0.25 + position % 4 * 0.25, "link_type": kind}
        insert(connection, "memory_connections", {**row, "created_at": at, "last_activated": at})
    tables = _tables(connection)
    if "merge_plans" in tables:
        for loser, winner in zip(ids[8::10], ids[9::10], strict=False):
            stamped = "UPDATE knowledge_nodes SET superseded_by = ?, valid_until = ? WHERE id = ?"
            connection.execute(stamped, (winner, chrono(NOW - timedelta(days=1)), loser))
    if "domains" in tables:
        for domain in ("operations", "research"):
            row = {"id": domain, "label": domain.title(), "centroid": vector(0), "top_terms": '["backup"]'}
            insert(connection, "domains", {**row, "memory_count": 2, "created_at": at})
        tagged = "UPDATE knowledge_nodes SET domains = ?, domain_scores = ? WHERE id = ?"
        placed = ('["operations"]', '{"operations": 0.8}')
        connection.executemany(tagged, [(*placed, node) for node in ids[::4]])
    if "review_events" in tables:
        for node in ids[1::3]:
            row = {"memory_id": node, "timestamp": chrono(NOW - timedelta(days=70)), "rating": 3}
            insert(connection, "review_events", {**row, "prior_state": '{"reps": 0}', "new_state": '{"reps": 1}'})


def _activate_profile(connection: sqlite3.Connection, width: int) -> None:
    """The profile in use has its own vectors; the first table keeps the legacy ones."""
    profile = {
        "profile_id": PROFILE,
        "model_id": "nomic-ai/nomic-embed-text-v1.5",
        "immutable_model_revision": "e5cf08aa",
        "runtime_backend": "fastembed",
        "embedding_dimension": width,
        "normalization_method": "l2",
        "document_encoding_template": '{"kind":"prefix","prefix":"search_document: "}',
        "query_encoding_template": '{"kind":"prefix","prefix":"search_query: "}',
        "maximum_token_limit": 8192,
        "chunking_strategy": "none",
        "status": "active",
    }
    insert(connection, "embedding_profiles", profile)
    state = {"singleton": 1, "active_profile_id": PROFILE, "activated_at": spaced(NOW), "updated_at": spaced(NOW)}
    insert(connection, "embedding_profile_state", state)
    for position, (node,) in enumerate(connection.execute("SELECT id FROM knowledge_nodes ORDER BY rowid").fetchall()):
        row = {
            "profile_id": PROFILE,
            "node_id": node,
            "embedding": vector(10_000 + position, width),
            "dimensions": width,
        }
        insert(connection, "embedding_profile_vectors", {**row, "model": NOMIC, "created_at": chrono(NOW)})


HOSTILE_TEXTS: Mapping[str, bytes] = {
    "escape": b"\x1b[2J\x1b]0;owned\x07 cleared",
    "clipboard": b"\x1b]52;c;cm0gLXJmIH4=\x07 copied",
    "c1": "\x9b31m red \x9d0;t\x9c".encode(),
    "bidi": "\u202egnp.exe \u2066a\u2069 \u200b".encode(),
    "nul": b"before\0after",
    "invalid utf-8": b"caf\xe9 \xff\xfe",
    "lone surrogate": b"half \xed\xa0\x80 pair",
    "markup": b'[/bogus and [link="x] and [bold',
    "action": b"[@click=app.quit]x[/]",
    "long": b"needle " + b"lorem ipsum " * 87_400,
    "empty": b"",
}
"""Contents of hostile rows, by the name that their ids end with."""

HOSTILE_ROWS: Mapping[str, Mapping[str, Any]] = {
    "tags broken": {"tags": '["a", '},
    "tags object": {"tags": '{"a": 1}'},
    "tags number": {"tags": "7"},
    "tags null": {"tags": None},
    "tags nested": {"tags": '["ok", null, 3, ["x"]]'},
    "domains broken": {"domains": "{oops", "domain_scores": "[1"},
    "month 13": {"created_at": "2026-13-01T00:00:00+00:00", "next_review": "2026-13-09T00:00:00+00:00", "reps": 2},
    "year 10000": {
        "updated_at": "+10000-01-01T00:00:00+00:00",
        "next_review": "+10000-01-01T00:00:00+00:00",
        "reps": 1,
    },
    "no time": {"created_at": "yesterday", "updated_at": "", "next_review": "soon", "reps": 1},
    "spaced due": {"next_review": "2026-10-01 08:00:00", "reps": 3, "scheduled_days": 4},
    "nan": {"stability": float("nan"), "difficulty": float("nan"), "retention_strength": float("nan")},
    "text figures": {"stability": "NaN", "difficulty": "hard", "reps": "many", "lapses": "few"},
    "out of range": {"stability": -4.0, "difficulty": 0.3, "reps": -1, "lapses": 9_000_000_000},
    "infinite": {"stability": float("inf"), "utility_score": float("-inf"), "activation": float("inf"), "reps": 1},
    "blob column": {"source": b"\x00\xff\x1b"},
    "scheduled text": {"reps": 2, "next_review": "2026-10-01T08:00:00+00:00", "scheduled_days": "x' days"},
    "dangling": {"superseded_by": "no-such-memory", "valid_until": "2026-01-01T00:00:00+00:00"},
    "own winner": {"superseded_by": "hostile-own winner"},
}
"""Columns of hostile rows, by the name that their ids end with."""

HOSTILE_VECTORS: Mapping[str, bytes] = {
    "odd length": b"\0" * 1023,
    "wrong width": vector(1, 768),
    "non-finite": np.full(256, np.nan, dtype="<f4").tobytes(),
    "zero": b"\0" * 1024,
    "no bytes": b"",
}
"""Vectors of hostile rows, by the name that their ids end with."""


def _insert_hostile(connection: sqlite3.Connection) -> None:
    at = chrono(NOW)
    times = {"created_at": at, "updated_at": at, "last_accessed": at}
    for name, content in HOSTILE_TEXTS.items():
        # Only a cast lets bytes that are no UTF-8 be stored as text.
        text = "INSERT INTO knowledge_nodes (id, content, source, created_at, updated_at, last_accessed) "
        values = "VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?)"
        connection.execute(text + values, (f"hostile-{name}", content, content[:200], at, at, at))
    for name, columns in HOSTILE_ROWS.items():
        insert(connection, "knowledge_nodes", {"id": f"hostile-{name}", "content": name, **times, **columns})
    for name, blob in HOSTILE_VECTORS.items():
        insert(connection, "knowledge_nodes", {"id": f"hostile-{name}", "content": name, **times, "has_embedding": 1})
        _insert_vector(connection, f"hostile-{name}", blob, 256, NOMIC)
    insert(connection, "knowledge_nodes", {"id": "mem-123", "content": "An id that is no UUID.", **times})
    _insert_vector(connection, "missing-memory", vector(2), 256, NOMIC)
    for source, target in (("mem-123", "mem-123"), ("mem-123", "missing"), ("missing", "mem-123")):
        row = {"source_id": source, "target_id": target, "strength": float("inf"), "link_type": "\x1b[31mred"}
        insert(connection, "memory_connections", {**row, "created_at": at, "last_activated": at})
