"""The doctor on files of Vestige servers: clean files of every line, faults that are told, and fixes where adopted."""

from __future__ import annotations

import random
import secrets
import sqlite3
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.planted_faults import plant, whole_rows
from tests.support.vestige_files import make_line, make_v14, make_v18
from vestige_tui.core.errors import ReadOnly
from vestige_tui.core.memories import Filter, Patch
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.adoption import adopt
from vestige_tui.store.store import Store

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LINES = ("4", "14 (phase 1)", "18", "28", "40")
NOBODY = "no-such-memory"

Plant: TypeAlias = Callable[[random.Random, list[str], str], list[tuple[str, tuple[object, ...]]]]


def make(path: Path, line: str) -> Path:
    return make_v14(path, 12) if line == "14 (phase 1)" else make_line(path, int(line), 12)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    embedders = EmbedderSource()
    try:
        async with open_store(f"sqlite:{path}", embedders=embedders, clock=lambda: NOW) as store:
            yield store
    finally:
        embedders.close()


DIFFERENT_LINES = (4, 14, 15, 18, 28, 35, 40)
"""Lines whose tables differ the most."""


@pytest.fixture(params=LINES)
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def adopted(line: str, tmp_path: Path) -> Path:
    """An adopted file of each line that differs."""
    path = make(tmp_path / "memory.db", line)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        adopt(connection, path.with_name("backup.db"), NOW.isoformat())
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, marks=[] if version in DIFFERENT_LINES else [pytest.mark.thorough])
        for version in (*range(4, 36), 40)
    ],
)
async def test_a_clean_file_of_any_line_has_no_fault(tmp_path: Path, version: int) -> None:
    async with opened(make_line(tmp_path / "memory.db", version, 24)) as store:
        examination = await store.doctor.examine()
    assert (examination.findings, examination.unfinished) == ((), ())
    assert "fsrs_cards" in {each.name for each in examination.other_tables} or version > 10


async def test_an_adopted_file_has_no_fault(adopted: Path) -> None:
    async with opened(adopted) as store:
        examination = await store.doctor.examine()
    assert (examination.findings, examination.unfinished) == ((), ())


async def test_the_faults_of_a_file_that_is_not_adopted_are_told_and_not_fixed(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "memory.db", 5, hostile=True)
    before = whole_rows(f"sqlite:{path}")
    async with opened(path) as store:
        examination = await store.doctor.examine()
        with pytest.raises(ReadOnly):
            await store.doctor.preview(examination.fixable)
    counts = {finding.kind: finding.count for finding in examination.findings}
    assert counts == {
        "vector_width": 3, "vector_infinite": 1, "vector_zero": 1, "vector_orphan": 1, "time": 6, "json": 4,
        "schedule": 2, "winner_missing": 1, "winner_cache": 1, "orphan": 2,
    }  # fmt: skip
    assert whole_rows(f"sqlite:{path}") == before


# Faults in the tables of a server


def _vectors(line: str) -> str:
    return "embedding_profile_vectors" if int(line.split()[0]) >= 28 else "node_embeddings"


def zero(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    return [(f"UPDATE {_vectors(line)} SET embedding = ? WHERE node_id = ?", (bytes(1024), chance.choice(ids)))]


def width(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    wide = struct.pack("<768f", *[0.1] * 768)
    return [(f"UPDATE {_vectors(line)} SET embedding = ? WHERE node_id = ?", (wide, chance.choice(ids)))]


def flag_set(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    memory_id = chance.choice(ids)
    tables = dict.fromkeys([_vectors(line), "node_embeddings"])
    return [(f"DELETE FROM {table} WHERE node_id = ?", (memory_id,)) for table in tables]


def flag_unset(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    return [("UPDATE knowledge_nodes SET has_embedding = 0 WHERE id = ?", (chance.choice(ids),))]


def orphan_vector(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    table = _vectors(line)
    copied = f"CREATE TEMP TABLE copied AS SELECT * FROM {table} WHERE node_id = ?"
    renamed = "UPDATE temp.copied SET node_id = ?"
    return [(copied, (ids[0],)), (renamed, (NOBODY,)), (f"INSERT INTO {table} SELECT * FROM temp.copied", ())]


def due(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    bad = chance.choice(["soon", "2026-13-01T00:00:00+00:00"])
    return [
        ("UPDATE knowledge_nodes SET next_review = ?, reps = 2, difficulty = 5 WHERE id = ?", (bad, chance.choice(ids)))
    ]


def created(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    column = chance.choice(["created_at", "updated_at"])
    return [(f"UPDATE knowledge_nodes SET {column} = 'soon' WHERE id = ?", (chance.choice(ids),))]


def tags(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    return [("UPDATE knowledge_nodes SET tags = '[broken' WHERE id = ?", (chance.choice(ids),))]


def schedule(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    column, value = chance.choice(
        [("stability", -4.0), ("difficulty", 12.0), ("retention_strength", 1.5), ("lapses", -1)]
    )
    return [(f"UPDATE knowledge_nodes SET {column} = ? WHERE id = ?", (value, chance.choice(ids)))]


def missing_winner(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    memory_id, event = (
        chance.choice(ids),
        "INSERT INTO supersession_events (loser_id, winner_id, kind) VALUES (?, ?, 'imported')",
    )
    statements: list[tuple[str, tuple[object, ...]]] = [(event, (memory_id, NOBODY))]
    if int(line.split()[0]) >= 18:
        stamped = "UPDATE knowledge_nodes SET superseded_by = ?, valid_until = '2026-05-01T12:00:00+00:00' WHERE id = ?"
        statements.append((stamped, (NOBODY, memory_id)))
    return statements


def left_mark(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    return [("INSERT INTO review_marks (memory_id, suspended) VALUES (?, 1)", (NOBODY,))]


def left_extra(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    return [('INSERT INTO console_extra (node_id, json) VALUES (?, \'{"metadata": {"a": 1}}\')', (NOBODY,))]


def link(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    return [("UPDATE memory_connections SET target_id = ? WHERE source_id = ?", (NOBODY, ids[0]))]


def words(chance: random.Random, ids: list[str], line: str) -> list[tuple[str, tuple[object, ...]]]:
    columns = "rowid, id, content, tags"
    removal = f"INSERT INTO knowledge_fts (knowledge_fts, {columns}) SELECT 'delete', {columns} FROM knowledge_nodes"
    return [(f"{removal} WHERE id = ?", (ids[0],))]


PLANTS: dict[str, tuple[str, Plant]] = {
    "zero": ("vector_zero", zero),
    "width": ("vector_width", width),
    "flag set": ("flag_set", flag_set),
    "flag unset": ("flag_unset", flag_unset),
    "orphan vector": ("vector_orphan", orphan_vector),
    "due": ("time", due),
    "created": ("time", created),
    "tags": ("json", tags),
    "schedule": ("schedule", schedule),
    "missing winner": ("winner_missing", missing_winner),
    "left mark": ("orphan", left_mark),
    "left extra": ("orphan", left_extra),
    "link": ("orphan", link),
    "words": ("text_index", words),
}
"""Kind of each planted fault, and the function that plants it."""


@pytest.mark.slow
@pytest.mark.sampled("name")
@pytest.mark.parametrize("name", PLANTS)
async def test_a_fault_of_an_adopted_file_is_fixed_in_its_columns_and_undone(
    adopted: Path, line: str, name: str
) -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    kind, statements = PLANTS[name]
    url = f"sqlite:{adopted}"
    with closing(sqlite3.connect(adopted)) as connection:
        ids = [str(row[0]) for row in connection.execute("SELECT id FROM knowledge_nodes ORDER BY rowid LIMIT 6")]
    plant(url, statements(random.Random(seed), ids, line))
    start = whole_rows(url)
    async with opened(adopted) as store:
        examination = await store.doctor.examine()
        assert [(each.kind, each.count) for each in examination.findings] == [(kind, 1)]
        fixed = await store.doctor.fix(await store.doctor.preview([kind]))
        assert (await store.doctor.examine()).findings == ()
        if kind == "text_index":
            assert whole_rows(url) == start
            return
        end = whole_rows(url)
        assert end != start
        await store.journal.undo(fixed.undo)
        assert whole_rows(url) == start
        await store.journal.redo()
        assert whole_rows(url) == end


async def test_what_an_undo_of_a_deletion_reads_is_no_fault(adopted: Path) -> None:
    async with opened(adopted) as store:
        [memory, *_] = (await store.page(Filter())).items
        await store.update(memory.id, Patch(metadata={"kept": 1}))
        deletion = await store.delete([memory.id])
        assert (await store.doctor.examine()).findings == ()
        await store.journal.undo(deletion.undo)
        assert (await store.get(memory.id)).metadata["kept"] == 1


async def test_a_row_that_no_rule_of_its_table_allows_to_fix_is_told(adopted: Path) -> None:
    """A foreign key without an action, of a column that may not be empty."""
    plant(
        f"sqlite:{adopted}",
        [
            ("CREATE TABLE notes_of_server (id INTEGER PRIMARY KEY,"
             " node TEXT NOT NULL REFERENCES knowledge_nodes (id))", ()),
            ("INSERT INTO notes_of_server VALUES (7, ?)", (NOBODY,)),
        ],
    )  # fmt: skip
    async with opened(adopted) as store:
        [finding] = (await store.doctor.examine()).findings
        assert (finding.kind, finding.count, finding.fixable) == ("orphan", 1, 0)
        assert finding.examples == ("notes_of_server 7",)
        assert (await store.doctor.preview(["orphan"])).is_empty


async def test_children_of_a_deleted_orphan_are_deleted_with_it_and_come_back(adopted: Path) -> None:
    url = f"sqlite:{adopted}"
    plant(
        url,
        [
            ("CREATE TABLE parts_of_server (id INTEGER PRIMARY KEY,"
             " node TEXT REFERENCES knowledge_nodes (id) ON DELETE CASCADE)", ()),
            ("CREATE TABLE details_of_server (id INTEGER PRIMARY KEY,"
             " part INTEGER REFERENCES parts_of_server (id) ON DELETE CASCADE)", ()),
            ("INSERT INTO parts_of_server VALUES (1, ?)", (NOBODY,)),
            ("INSERT INTO details_of_server VALUES (5, 1)", ()),
        ],
    )  # fmt: skip
    start = whole_rows(url)
    async with opened(adopted) as store:
        fixed = await store.doctor.fix(await store.doctor.preview(["orphan"]))
        assert fixed.rows == 2
        assert (whole_rows(url)["parts_of_server"], whole_rows(url)["details_of_server"]) == ([], [])
        await store.journal.undo(fixed.undo)
        assert whole_rows(url) == start
