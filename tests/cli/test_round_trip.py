"""Export, import and export again, on one database and from each to the other: the lines are equal byte for byte."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.command_line import sample_id
from tests.support.portable_lines import (
    PLAIN_LINES,
    REPAIRED_LINES,
    chance_lines,
    export_lines,
    import_lines,
    nested,
)
from tests.support.second_store import second_store
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating
from vestige_tui.core.storable import new_id
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


@pytest.fixture(params=["sqlite", "postgres"])
async def other(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """A second empty store, on either database."""
    async with second_store(request, tmp_path, clock) as store:
        yield store


async def assert_same_lines(store: Store, other: Store) -> list[dict[str, Any]]:
    """Check that an import of the store's export gives the same export, with nothing repaired."""
    lines = await export_lines(store)
    tally = await import_lines(other, lines)
    assert (tally.errors, tally.repairs) == ([], [])
    assert (tally.read, tally.inserted, tally.present) == (len(lines), len(lines), 0)
    assert await export_lines(other) == lines
    again = await import_lines(other, lines)
    assert (again.present, again.inserted, again.failed, again.undo) == (len(lines), 0, 0, None)
    return [json.loads(line) for line in lines]


def only_uuids(lines: dict[str, str]) -> list[str]:
    return [line for line in lines.values() if '"id": "mem' not in line and '"id": 7' not in line]


async def test_hostile_values(store: Store, other: Store) -> None:
    first = await import_lines(store, [*only_uuids(PLAIN_LINES), *only_uuids(REPAIRED_LINES)])
    assert first.errors == []
    assert first.repaired == len(only_uuids(REPAIRED_LINES))
    await assert_same_lines(store, other)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_values_by_chance(store: Store, other: Store, seed: int) -> None:
    first = await import_lines(store, chance_lines(seed, 60))
    assert first.errors == []
    assert first.inserted == 60
    await assert_same_lines(store, other)


async def test_all_kinds(store: Store, other: Store, clock: Clock) -> None:
    drafts = [Draft(f"text {n}", sample_id(n), metadata={"n": n}) for n in range(6)]
    await store.memories.insert_many(drafts)
    for position in range(3):
        await store.reviews.record(sample_id(position), Rating.GOOD)
        clock.advance(minutes=1)
    await store.reviews.undo(sample_id(2))
    await store.links.add(Edge(sample_id(0), sample_id(1), "e\0" + "x" * 200, 0.25))
    for loser, winner in ((0, 1), (1, 2)):
        await store.links.supersede(sample_id(loser), sample_id(winner))
        clock.advance(minutes=1)
    # Who won first loses later: in another order than that of time this would be a circle.
    await store.links.unsupersede(sample_id(1))
    clock.advance(minutes=1)
    await store.links.unsupersede(sample_id(0))
    clock.advance(minutes=1)
    await store.links.supersede(sample_id(1), sample_id(0))
    await store.reviews.suspend(sample_id(3))
    await store.reviews.bury(sample_id(4))
    await store.reviews.suspend(sample_id(5))
    await store.reviews.resume(sample_id(5))
    lines = await assert_same_lines(store, other)
    marks = [line for line in lines if line["kind"] == "mark"]
    assert [(mark["memory_id"], mark["suspended"], mark["buried_until"] is None) for mark in marks] == sorted(
        [(sample_id(3), True, True), (sample_id(4), False, False)]
    )
    for position in range(6):
        assert await other.reviews.marks(sample_id(position)) == await store.reviews.marks(sample_id(position))
    assert (await other.reviews.queue_counts()) == (await store.reviews.queue_counts())


async def test_ids_that_are_no_uuids(store: Store, other: Store) -> None:
    lines = [
        '{"content": "one", "id": "mem-1"}',
        '{"content": "two", "id": "mem 2 \\u202e"}',
        f'{{"content": "three", "id": "{sample_id(3)}"}}',
        '{"kind": "edge", "source_id": "mem-1", "target_id": "mem 2 \\u202e"}',
        '{"kind": "mark", "memory_id": "mem-1", "suspended": true}',
        f'{{"kind": "supersession", "loser_id": "mem-1", "winner_id": "{sample_id(3)}", "decided_at": "2026-01-01"}}',
    ]
    tally = await import_lines(store, lines)
    assert (tally.inserted, tally.failed) == (6, 0)
    keeps = store.memories.is_id("mem-1")
    assert tally.repaired == (0 if keeps else 2)
    memory = next(memory for memory in (await store.page()).items if memory.content == "two")
    assert memory.id == ("mem 2 \u202e" if keeps else str(uuid.UUID(bytes=new_id("mem 2 \u202e"))))
    assert memory.metadata == ({} if keeps else {"imported": {"id": "mem 2 \u202e"}})
    exported = await export_lines(store)
    onward = await import_lines(other, exported)
    assert (onward.inserted, onward.failed) == (6, 0)
    if not keeps or other.memories.is_id("mem-1"):
        assert await export_lines(other) == exported
    back = await export_lines(other)
    assert (await import_lines(other, back)).present == 6


@pytest.mark.slow
async def test_a_file_that_other_programs_wrote(store: Store, other: Store, tmp_path: Path) -> None:
    path = tmp_path / "hostile.db"
    async with open_store(f"sqlite:{path}", create=True):
        pass
    invalid = b"caf\xe9 \xff"
    rows = [
        (sample_id(1), invalid, "fact", '["a"]', '{"a": NaN, "b": 1e400}'),
        (sample_id(2), "x", "t" * 9_000, json.dumps(["t" * 9_000] * 1_001), nested(450)),
        ("no uuid", "x\0y", "", "[1, null]", '{"a": "\\u0000", "b": "\\ud800"}'),
        (sample_id(4).upper(), "x", "fact", "no json", '{"k": "\\\\u0000"}'),
        (sample_id(5), "x", "fact", "[]", "{}"),
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO knowledge_nodes (id, content, node_type, tags, metadata, created_at, updated_at)"
            " VALUES (?, CAST(? AS TEXT), ?, ?, ?, '2026-01-01', '2026-01-02')",
            rows,
        )
        connection.execute(
            "INSERT INTO scheduling (memory_id, stability, reps, lapses) VALUES (?, 9e999, 9223372036854775807, -4)",
            (sample_id(5),),
        )
        connection.execute(
            "INSERT INTO review_marks (memory_id, suspended, buried_until) VALUES (?, 1, 'soon')", (sample_id(5),)
        )
        connection.execute("UPDATE knowledge_nodes SET domain_scores = '{\"a\": NaN}' WHERE id = ?", (sample_id(5),))
    async with open_store(f"sqlite:{path}", read_only=True) as source:
        lines = await export_lines(source)
    tally = await import_lines(store, lines)
    assert (tally.inserted, tally.errors) == (6, [])
    assert tally.repaired >= 3
    stored = await export_lines(store)
    onward = await import_lines(other, stored)
    assert (onward.inserted, onward.failed) == (6, 0)
    if store.memories.is_id("no uuid") == other.memories.is_id("no uuid"):
        assert await export_lines(other) == stored
