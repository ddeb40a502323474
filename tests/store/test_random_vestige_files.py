"""Files of every line of Vestige, by chance: adopted with nothing lost, and changed beside their server."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.portable_lines import export_lines
from tests.support.random_vestige_files import LINES, make_random
from vestige_tui.core.memories import Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.times import parse_stored
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.adoption import adopt

NOW = datetime(2027, 12, 30, 12, tzinfo=UTC)
FRESH_SEED = random.SystemRandom().randrange(2**32)
CHANGES = 40
VERSIONS = {"4": 4, "14 (phase 1)": 15, "18": 18, "28": 28, "35": 35, "40": 40}


@pytest.fixture(params=LINES)
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=range(3))
def seed(request: pytest.FixtureRequest) -> int:
    chosen = FRESH_SEED + int(request.param)
    print(f"random Vestige file: seed {chosen}")
    return chosen


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every column of every row of every table, with the type of each value; without SQLite's and FTS5's own tables."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        tables = (
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        found: dict[str, list[tuple[Any, ...]]] = {}
        for (name,) in connection.execute(tables).fetchall():
            table = name.decode()
            columns = [row[1].decode() for row in connection.execute(f'PRAGMA table_info("{table}")')]
            values = ", ".join(f'typeof("{column}"), "{column}"' for column in columns)
            found[table] = sorted(connection.execute(f'SELECT {values} FROM "{table}"').fetchall(), key=repr)
        return found


def adopt_file(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        adopt(connection, path.with_name("backup.db"), NOW.isoformat())


def columns_of(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]


@pytest.mark.slow
@pytest.mark.sampled("line")
async def test_adoption_loses_nothing(tmp_path: Path, line: str, seed: int) -> None:
    path = tmp_path / "vestige.db"
    make_random(path, line, seed)
    before, columns = contents(path), columns_of(path, "knowledge_nodes")
    async with open_store(f"sqlite:{path}", read_only=True) as store:
        lines = await export_lines(store)
    adopt_file(path)
    after = contents(path)
    width = 2 * len(columns)
    added = after.pop("knowledge_nodes")
    assert sorted((row[:width] for row in added), key=repr) == before.pop("knowledge_nodes"), seed
    for table, rows in before.items():
        if table == "schema_version":
            continue
        kept = after[table]
        if table == "review_events":
            kept = sorted((row[: len(rows[0])] for row in kept), key=repr) if rows else kept
        assert kept == rows, (seed, table)
    recorded = before["schema_version"][0][1], after["schema_version"][0][1]
    assert recorded[1] == (15 if line == "14 (phase 1)" else recorded[0]), seed
    async with open_store(f"sqlite:{path}") as store:
        assert await export_lines(store) == lines, seed


@pytest.mark.parametrize("line", LINES)
def test_the_schema_version_stays_but_on_the_line_of_phase_1(tmp_path: Path, line: str) -> None:
    path = tmp_path / "vestige.db"
    make_random(path, line, 0)
    version = VERSIONS[line]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE schema_version SET version = ?", (14 if version == 15 else version,))
        connection.commit()
    adopt_file(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (version,)


@contextmanager
def server_at_work(path: Path, ids: list[str]) -> Iterator[list[str]]:
    """A second writer that touches, replaces and adds rows as a server does; yields the errors that it met."""
    ended, faults = threading.Event(), list[str]()

    def serve() -> None:
        with closing(sqlite3.connect(path, timeout=20)) as server:
            server.execute("PRAGMA foreign_keys = ON")
            number = 0
            while not ended.is_set():
                number += 1
                try:
                    seen = "UPDATE knowledge_nodes SET last_accessed = ?, retrieval_strength = 0.5 WHERE id = ?"
                    server.execute(seen, (f"2027-01-01T12:00:00.{number % 10**6:06d}+00:00", ids[number % len(ids)]))
                    if number % 10 == 1:
                        new = (f"server-{number}", "A heron.", *["2027-01-01T12:00:00+00:00"] * 3)
                        made = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at, last_accessed)"
                        server.execute(f"{made} VALUES (?, ?, ?, ?, ?)", new)
                    server.commit()
                except sqlite3.Error as error:
                    faults.append(repr(error))
                    return
                ended.wait(0.002)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield faults
    finally:
        ended.set()
        server.join()


def as_the_server_reads(path: Path, memory: str) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM knowledge_nodes WHERE id = ?", (memory,)).fetchone())


@pytest.mark.slow
@pytest.mark.sampled("line")
async def test_forty_changes_of_each_kind_beside_a_server(tmp_path: Path, line: str, seed: int) -> None:
    path = tmp_path / "vestige.db"
    ids = make_random(path, line, seed)
    adopt_file(path)
    chance = random.Random(seed)
    clock = NOW
    with server_at_work(path, ids) as faults:
        async with open_store(f"sqlite:{path}", clock=lambda: clock) as store:
            memories = [
                memory for memory in (await store.page(Filter(superseded=True), limit=50)).items if memory.id in ids
            ]
            for number in range(CHANGES):
                clock += timedelta(hours=1)
                memory = chance.choice(memories).id
                before = as_the_server_reads(path, memory)
                change = await store.reviews.record(memory, Rating(chance.choice([1, 2, 3, 4])))
                after = as_the_server_reads(path, memory)
                assert change.scheduling is not None
                assert after["reps"] == before["reps"] + 1, seed
                assert parse_stored(after["next_review"]) == change.scheduling.next_review, seed
                await store.update(memory, Patch(content=f"edit {number} kestrel", tags=(f"t{number}",)))
                edited = as_the_server_reads(path, memory)
                assert (edited["content"], json.loads(edited["tags"])) == (f"edit {number} kestrel", [f"t{number}"])
                await store.journal.undo()
                await store.journal.undo()
                undone = as_the_server_reads(path, memory)
                assert json.loads(undone["tags"]) == json.loads(before["tags"]), seed
                for name in ("content", "reps", "lapses", "stability", "difficulty", "learning_state"):
                    assert undone[name] == before[name], (seed, name)
                for name in ("created_at", "next_review"):
                    assert parse_stored(undone[name]) == parse_stored(before[name]), (seed, name)
    assert faults == [], seed
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = "SELECT count(*) FROM knowledge_fts WHERE knowledge_fts MATCH 'kestrel'"
        assert connection.execute(found).fetchone() == (0,), seed
