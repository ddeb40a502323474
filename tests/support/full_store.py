"""A SQLite store of ours with everything in it that a copy brings along."""

from __future__ import annotations

import random
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.times import format_time
from vestige_tui.store.open import open_store

MODEL = ModelSignature("test-model", 64, "abc")
START = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)
_WORDS = (
    "key",
    "rotate",
    "signing",
    "deploy",
    "harbour",
    "cache",
    "queue",
    "index",
    "retry",
    "lease",
    "token",
    "batch",
)


async def fill(path: Path, count: int, *, dimension: int = 64, words: int = 40) -> None:
    """Write ``count`` memories, each with a vector and a schedule, and links, reviews and decisions between them."""
    async with open_store(f"sqlite:{path}", create=True) as store:
        await store.models.register(ModelSignature(MODEL.name, dimension, MODEL.hash))
    chance, vectors = random.Random(7), np.random.default_rng(7)
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(count)]
    times = [format_time(START + timedelta(minutes=place)) for place in range(count)]
    state = '{"stability": 1.5, "difficulty": 5.0, "reps": 1}'
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executemany(
            "INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, domains, domain_scores, codebase,"
            " created_at, updated_at)"
            """ VALUES (?, ?, 'fact', '["a", "b"]', '{"n": 1}', '["auth"]', '{"auth": 0.5}', 'api', ?, ?)""",
            [(ids[i], f"{i} " + " ".join(chance.choices(_WORDS, k=words)), times[i], times[i]) for i in range(count)],
        )
        connection.executemany(
            "INSERT INTO node_embeddings (node_id, embedding) VALUES (?, ?)",
            [(each, vectors.standard_normal(dimension).astype("<f4").tobytes()) for each in ids],
        )
        connection.executemany(
            "INSERT INTO scheduling (memory_id, stability, difficulty, retrievability, last_review, next_review, reps,"
            " lapses) VALUES (?, 3.25, 5.5, 0.9, ?, ?, 2, 0)",
            [(ids[i], times[i], times[-i - 1]) for i in range(count)],
        )
        connection.executemany(
            "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (?, ?, 'related', 0.5, ?)",
            [(ids[i], ids[i + 1], times[i]) for i in range(count - 1)],
        )
        connection.executemany(
            "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, weights_hash)"
            " VALUES (?, ?, 3, '{}', ?, 'a1b2')",
            [(ids[i], times[i], state) for i in range(0, count, 2)],
        )
        # Two alike, and one that takes the second back.
        for undoes in (None, None, count // 2 + count % 2 + 2):
            connection.execute(
                "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state, undoes)"
                " VALUES (?, ?, 4, '{}', '{}', ?)",
                (ids[1], times[5], undoes),
            )
        connection.executemany(
            "INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at) VALUES (?, ?, ?, ?)",
            [(ids[i], ids[i + 1], "supersede", times[i]) for i in range(0, count - 1, 10)]
            + [(ids[0], None, "unsupersede", times[3])],
        )
        connection.execute("INSERT INTO review_marks (memory_id, suspended) VALUES (?, 1)", (ids[2],))
        connection.execute(
            "INSERT INTO review_weights (hash, algorithm, weights, created_at, applied_at)"
            " VALUES ('a1b2', 'fsrs-6', '[0.25, 1.5]', ?, ?)",
            (times[0], times[1]),
        )
        connection.execute(
            "INSERT INTO domains (id, label, centroid, top_terms, memory_count, created_at)"
            """ VALUES ('auth', 'Auth', ?, '["key"]', ?, ?)""",
            (vectors.standard_normal(dimension).astype("<f4").tobytes(), count, times[0]),
        )
        person, team = str(uuid.UUID(int=5, version=4)), str(uuid.UUID(int=6, version=4))
        connection.execute("INSERT INTO users (id, handle, created_at) VALUES (?, 'ann', ?)", (person, times[0]))
        connection.execute("INSERT INTO groups (id, handle, created_at) VALUES (?, 'team', ?)", (team, times[0]))
        connection.execute(
            "INSERT INTO group_memberships (user_id, group_id, role, joined_at) VALUES (?, ?, 'admin', ?)",
            (person, team, times[0]),
        )
        connection.execute(
            "UPDATE knowledge_nodes SET owner_user_id = ?, visibility = 'group', shared_with_groups = ? WHERE id = ?",
            (person, f'["{team}"]', ids[4]),
        )
