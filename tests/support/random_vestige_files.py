"""Files of Vestige servers by chance: ids, times and values of every shape, tokenizers, missing and unknown tables."""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.portable_lines import hostile_text
from tests.support.vestige_files import chrono, insert, make_line, make_v14, spaced, vector

LINES = ("4", "14 (phase 1)", "18", "28", "35", "40")
TOKENIZERS = ("porter ascii", "porter unicode61 remove_diacritics 2", "unicode61", "trigram")
OPTIONAL_TABLES = ("fsrs_cards", "memory_states", "insights", "intentions", "sessions", "merge_plans", "fsrs_config")
"""Tables of a server without which its files are still known."""
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def make_random(path: Path, line: str, seed: int, memories: int = 24) -> list[str]:
    """Write a file of a line; return the ids of memories that a console may change: their values are of no odd type."""
    chance = random.Random(f"{line} {seed}")
    rows = [_memory(chance, position) for position in range(memories)]
    (make_v14 if line == "14 (phase 1)" else lambda *args: make_line(args[0], int(line), args[1]))(path, rows)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        ids = [str(row["id"]) for row in rows]
        _connect(connection, chance, ids)
        _hostile_rows(connection, chance)
        _unknown_tables(connection, chance)
        for table in OPTIONAL_TABLES:
            if chance.random() < 0.3:
                connection.execute(f"DROP TABLE IF EXISTS {table}")
        _tokenizer(connection, chance)
        if line != "14 (phase 1)" and chance.random() < 0.5:
            connection.execute("UPDATE schema_version SET version = ?", (chance.choice([1, 3, 19, 27, 77]),))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ids


def _memory(chance: random.Random, position: int) -> dict[str, Any]:
    reps = chance.choice([0, 0, 1, 2, 7])
    due = _moment(chance)
    row = {
        "id": _id(chance, position),
        "content": f"{position} {_stored_text(chance)}",
        "node_type": chance.choice(["fact", "note", "décision", _stored_text(chance) or "fact"]),
        "created_at": _time(chance),
        "updated_at": _time(chance),
        "last_accessed": _time(chance),
        "stability": chance.uniform(0.1, 300.0),
        "difficulty": chance.uniform(1.0, 10.0),
        "reps": reps,
        "lapses": chance.randrange(reps + 1),
        "learning_state": "review" if reps else "new",
        "storage_strength": chance.uniform(0.0, 12.0),
        "next_review": chrono(due, chance.choice((0, 3, 6, 9))) if reps else None,
        "scheduled_days": chance.randrange(0, 90) if reps else 0,
        "source": chance.choice([None, _stored_text(chance)]),
        "tags": json.dumps([_stored_text(chance) for _ in range(chance.randrange(4))]),
        "utility_score": chance.uniform(-1.0, 1.0),
        "valid_from": chance.choice([None, _time(chance)]),
        "domains": json.dumps([_stored_text(chance)]),
        "domain_scores": json.dumps({_stored_text(chance): chance.random()}),
    }
    return {**row, "embedding": chance.choice([None, vector(position), vector(position)])}


def _id(chance: random.Random, position: int) -> str:
    some = uuid.UUID(int=chance.getrandbits(128), version=4)
    return chance.choice(
        [str(some), str(some), str(some).upper(), some.hex, f"{{{some}}}", f"mem-{position}", f"{position} é'\"%_;--"]
    )


def _stored_text(chance: random.Random) -> str:
    return hostile_text(chance).encode("utf-8", "replace").decode().replace("\0", "")


def _moment(chance: random.Random) -> datetime:
    return _BEGINNING + timedelta(days=chance.randrange(700), microseconds=chance.randrange(10**6))


def _time(chance: random.Random) -> str:
    moment = _moment(chance)
    forms = [chrono(moment, digits) for digits in (0, 3, 6, 9)]
    return chance.choice([*forms, *forms, spaced(moment), f"{moment:%Y-%m-%dT%H:%M:%SZ}"])


def _connect(connection: sqlite3.Connection, chance: random.Random, ids: list[str]) -> None:
    for source in ids[::2]:
        target = chance.choice([each for each in ids if each != source])
        row = {"source_id": source, "target_id": target, "strength": chance.random(), "link_type": hostile_text(chance)}
        clean = {**row, "link_type": _stored_text(chance), "created_at": _time(chance), "last_activated": _time(chance)}
        insert(connection, "memory_connections", clean)


def _hostile_rows(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Rows of which some column has a value that no server writes."""
    odd: Mapping[str, list[Any]] = {
        "content": [b"\xff\x00 bytes", 7, "", "\x1b[2J", "x" * 70_000],
        "created_at": ["yesterday", "", 20260101, "2026-13-01T00:00:00+00:00", "+10000-01-01T00:00:00+00:00"],
        "updated_at": ["soon", b"\x01"],
        "tags": ["no json", "{}", None, 3, "[null, 1]"],
        "reps": ["many", -1, 9e18, None, 2.5],
        "stability": ["NaN", float("inf"), -3.0, None],
        "next_review": ["soon", "2026-10-01 08:00:00", 5],
        "scheduled_days": ["x", 10**12, -1],
        "superseded_by": ["nobody", "odd-0"],
        "valid_until": ["never"],
        "domains": ["{", None],
        "node_type": ["", "\x1b[31m"],
    }
    known = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('knowledge_nodes')")}
    for position in range(12):
        name = chance.choice([each for each in odd if each in known])
        row = {
            "content": f"odd {position}",
            **dict.fromkeys(("created_at", "updated_at", "last_accessed"), _time(chance)),
        }
        try:
            insert(connection, "knowledge_nodes", {"id": f"odd-{position}", **row, name: chance.choice(odd[name])})
        except sqlite3.IntegrityError:
            continue  # this line forbids it


def _unknown_tables(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Tables of a server that is newer than this program."""
    for number in range(chance.randrange(3)):
        connection.execute(f'CREATE TABLE "later {number} é" (id TEXT PRIMARY KEY, "a b" BLOB, c REAL) STRICT')
        connection.execute(
            f'INSERT INTO "later {number} é" VALUES (?, ?, ?)', (_stored_text(chance), b"\0", chance.random())
        )


def _tokenizer(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Build the text index anew with another tokenizer, as a migration of the server does."""
    options = f"tokenize='{chance.choice(TOKENIZERS)}'"
    connection.execute("DROP TABLE knowledge_fts")
    table = "fts5(id, content, tags, content='knowledge_nodes', content_rowid='rowid'"
    connection.execute(f"CREATE VIRTUAL TABLE knowledge_fts USING {table}, {options})".replace(")'", ")'"))
    connection.execute("INSERT INTO knowledge_fts (knowledge_fts) VALUES ('rebuild')")
