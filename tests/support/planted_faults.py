"""Faults planted in the rows of a store, as other programs and damaged restores leave them: one of each kind."""

from __future__ import annotations

import os
import random
import sqlite3
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.postgres_variant import as_superuser
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft
from vestige_tui.store.store import Store

WIDTH = 64
"""Dimensions of the vectors of a store under test."""
NOBODY = "dddddddd-0000-4000-8000-000000000000"
"""Id of a memory, a user and a delegation that no store has."""
_UNCOMPARED = ("journal", "console_images", "sqlite_sequence", "sqlite_stat1", "term_stats", "schema_version")


@dataclass(frozen=True, slots=True)
class Planted:
    """A planted fault: the statements that plant it, and the number of faults that the doctor finds then."""

    statements: tuple[tuple[str, tuple[object, ...]], ...]
    count: int = 1
    fixable: int | None = None
    """Number of those that a fix changes; None for all of them."""


def plant(url: str, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
    """Run statements as a program that checks neither foreign keys nor triggers' rights."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
            for statement, values in statements:
                connection.execute(statement, values)
        return
    with psycopg.connect(as_superuser(url)) as server:
        server.execute("SET session_replication_role = replica")
        for statement, values in statements:
            server.execute(statement.replace("?", "%s").encode(), values)


async def fill(store: Store, chance: random.Random) -> list[str]:
    """Add memories with vectors, tags, reviews, links and replacements; return the ids of those that are active."""
    texts = ("Café naïve ﬁnal", "Schlüssel wechseln", "deploy at night 🚀", "日本語のメモ", "plain text")
    ids: list[str] = []
    for number in range(9):
        words = " ".join(chance.sample(("alpha", "beta", "gamma", "delta", "epsilon"), 3))
        text = f"{chance.choice(texts)} {words} {number}"
        draft = Draft(text, tags=tuple(chance.sample(("ops", "Ängste", "x-y"), 2)), metadata={"n": number})
        ids += (await store.insert(draft)).changed
    for memory_id in ids[:6]:
        await store.reviews.record(memory_id, 3)  # type: ignore[arg-type]  # a rating by its number
    await store.links.add(Edge(ids[0], ids[1], "related", 0.5))
    await store.links.supersede(ids[8], ids[0])
    return ids[:8]


def whole_rows(url: str) -> dict[str, list[str]]:
    """Return every row of every table but the journal, with every column but the words of the text index."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            tables = [
                str(name)
                for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                if name not in _UNCOMPARED and "fts" not in name
            ]
            return {name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"'))) for name in tables}
    with psycopg.connect(url) as server:
        names = server.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        ).fetchall()
        return {
            str(name): sorted(
                str(text)
                for (text,) in server.execute(
                    sql.SQL("SELECT (to_jsonb(t) - 'search_vec')::text FROM {} t").format(sql.Identifier(name))
                )
            )
            for (name,) in names
            if name not in _UNCOMPARED
        }


# One function for each kind


def _vector(store: Store, numbers: Sequence[float]) -> object:
    return struct.pack(f"<{len(numbers)}f", *numbers) if store.kind != "postgres" else str(list(numbers))


def _put_vector(store: Store, memory_id: str, value: object) -> Planted:
    return Planted((("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", (value, memory_id)),))


def vector_width(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    width = chance.choice([WIDTH - 1, WIDTH + 1, WIDTH * 2, 0])
    return _put_vector(store, chance.choice(ids), struct.pack(f"<{width}f", *[0.5] * width))


def vector_infinite(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    numbers = [0.1] * WIDTH
    numbers[chance.randrange(WIDTH)] = chance.choice([float("nan"), float("inf"), float("-inf")])
    return _put_vector(store, chance.choice(ids), _vector(store, numbers))


def vector_zero(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    return _put_vector(store, chance.choice(ids), _vector(store, [0.0] * WIDTH))


def vector_orphan(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    values = (NOBODY, _vector(store, [0.25] * WIDTH))
    return Planted((("INSERT INTO node_embeddings (node_id, embedding) VALUES (?, ?)", values),))


def time_of_memory(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    column, bad = chance.choice(["created_at", "updated_at"]), _bad_time(store, chance)
    return Planted(((f"UPDATE knowledge_nodes SET {column} = ? WHERE id = ?", (bad, chance.choice(ids))),))


def time_of_schedule(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    column, bad = chance.choice(["next_review", "last_review"]), _bad_time(store, chance)
    return Planted(((f"UPDATE scheduling SET {column} = ? WHERE memory_id = ?", (bad, chance.choice(ids[:6]))),))


def time_of_review(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    values = (_bad_time(store, chance), chance.choice(ids[:6]))
    return Planted((("UPDATE review_events SET timestamp = ? WHERE memory_id = ?", values),))


def time_of_unknown_review(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    values = (_bad_time(store, chance), "{}", chance.choice(ids[:6]))
    statement = "UPDATE review_events SET timestamp = ?, new_state = ? WHERE memory_id = ?"
    return Planted(((statement, values),), fixable=0)


def time_of_link(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    return Planted((("UPDATE edges SET created_at = ?", (_bad_time(store, chance),)),))


def _bad_time(store: Store, chance: random.Random) -> str:
    if store.kind == "postgres":
        return chance.choice(["infinity", "-infinity"])
    return chance.choice(["soon", "", "2026-13-01T00:00:00+00:00", "2026-02-30"])


def json(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    maps = ["metadata", "domain_scores"]
    column = chance.choice(maps if store.kind == "postgres" else [*maps, "tags", "domains"])
    broken = "7" if store.kind == "postgres" else chance.choice(["{broken", "[1, ", "7", '"x"'])
    return Planted(((f"UPDATE knowledge_nodes SET {column} = ? WHERE id = ?", (broken, chance.choice(ids))),))


def schedule(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    pairs = [
        ("stability", -4.0),
        ("stability", 1e9),
        ("difficulty", 11.0),
        ("difficulty", 0.5),
        ("retrievability", 1.5),
    ]
    column, value = chance.choice([*pairs, ("lapses", -1), ("stability", float("inf"))])
    return Planted(((f"UPDATE scheduling SET {column} = ? WHERE memory_id = ?", (value, chance.choice(ids[:6]))),))


def winner_missing(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    return Planted(tuple(_replaced(chance.choice(ids[1:]), NOBODY)))


def winner_circle(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    circle = chance.sample(ids[1:], chance.randint(2, 4))
    pairs = zip(circle, [*circle[1:], circle[0]], strict=True)
    return Planted(tuple(statement for loser, winner in pairs for statement in _replaced(loser, winner)))


def winner_cache(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    loser, winner = chance.sample(ids, 2)
    return Planted((("UPDATE knowledge_nodes SET superseded_by = ? WHERE id = ?", (winner, loser)),))


def _replaced(loser: str, winner: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    event = "INSERT INTO supersession_events (loser_id, winner_id, kind) VALUES (?, ?, 'supersede')"
    yield event, (loser, winner)
    yield "UPDATE knowledge_nodes SET superseded_by = ? WHERE id = ?", (winner, loser)


def duplicate_id(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    twin = chance.choice(ids)
    spelled = chance.choice([twin.upper(), twin.replace("-", ""), "{" + twin + "}"])
    statement = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, 'twin', ?, ?)"
    at = "2026-05-01T12:00:00.000000+00:00"
    return Planted(((statement, (spelled, at, at)),), count=2, fixable=0)


def text_index(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    memory_id = chance.choice(ids)
    if store.kind == "postgres":
        words = "vestige_words(content text, node_type text, tags text[]) RETURNS tsvector LANGUAGE sql IMMUTABLE"
        return Planted(
            (
                (f"CREATE OR REPLACE FUNCTION {words} AS 'SELECT ''lost''::tsvector'", ()),
                ("UPDATE knowledge_nodes SET content = content WHERE id = ?", (memory_id,)),
                (_function(store.location), ()),
            )
        )
    statement = (
        "INSERT INTO knowledge_fts_folded (command, seq, content, node_type, tags)"
        " SELECT 'delete', seq, content, node_type, tags FROM knowledge_nodes WHERE id = ?"
    )
    return Planted(((statement, (memory_id,)),))


def _function(url: str) -> str:
    """Return the statement that creates the function of the words as it is now."""
    with psycopg.connect(url) as server:
        query = "SELECT pg_get_functiondef('vestige_words(text, text, text[])'::regprocedure)"
        [definition] = server.execute(query).fetchone() or [""]
        return str(definition).replace("%", "%%")


def file_mode(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    path = Path(store.location.removeprefix("sqlite:"))
    for folder in path.parents:
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    path.chmod(0o644)
    return Planted(())


def orphan(store: Store, ids: Sequence[str], chance: random.Random) -> Planted:
    at, memory_id = "2026-05-01T12:00:00.000000+00:00", chance.choice(ids)
    edge = "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (?, ?, 'related', 0.5, ?)"
    review = (
        "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state) VALUES (?, ?, 3, '{}', '{}')"
    )
    choices: list[tuple[str, tuple[object, ...]]] = [
        (edge, (memory_id, NOBODY, at)),
        (edge, (NOBODY, memory_id, at)),
        (edge, (NOBODY, str(uuid.UUID(int=1, version=4)), at)),
        ("INSERT INTO scheduling (memory_id) VALUES (?)", (NOBODY,)),
        ("INSERT INTO review_marks (memory_id) VALUES (?)", (NOBODY,)),
        (review, (NOBODY, at)),
        ("UPDATE review_events SET undoes = 999999 WHERE memory_id = ?", (ids[0],)),
        (f"INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at) VALUES (?, ?, 'supersede', '{at}')",
         (NOBODY, memory_id)),
        ("UPDATE knowledge_nodes SET owner_user_id = ? WHERE id = ?", (NOBODY, memory_id)),
        ("INSERT INTO group_memberships (user_id, group_id, joined_at) VALUES (?, ?, ?)", (NOBODY, NOBODY, at)),
        ("INSERT INTO job_findings (delegation_id, subject, outcome, source_key, reason)"
         " VALUES ('x', 'x', 'failed', 'x', 'x')", ()),
    ]  # fmt: skip
    return Planted((chance.choice(choices),))


PLANTS: Mapping[str, Callable[[Store, Sequence[str], random.Random], Planted]] = {
    "vector_width": vector_width,
    "vector_infinite": vector_infinite,
    "vector_zero": vector_zero,
    "vector_orphan": vector_orphan,
    "time/memory": time_of_memory,
    "time/schedule": time_of_schedule,
    "time/review": time_of_review,
    "time/unknown review": time_of_unknown_review,
    "time/link": time_of_link,
    "json": json,
    "schedule": schedule,
    "winner_missing": winner_missing,
    "winner_circle": winner_circle,
    "winner_cache": winner_cache,
    "orphan": orphan,
    "duplicate_id": duplicate_id,
    "text_index": text_index,
    "file_mode": file_mode,
}
"""Function that plants each kind of fault, by the kind, after a slash by the place of the fault."""
ONLY_IN_FILES = frozenset({"vector_width", "vector_infinite", "duplicate_id", "file_mode"})
"""Kinds that no store on a server can have."""
