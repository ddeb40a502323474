"""Ids, times and texts that a database refuses or changes, very large memories, and rows without their memory."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tests.faults.damaged_rows import copy_damaged
from tests.faults.lab import Lab, answer
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import texts
from tests.support.full_store import fill

ONE = "a1b2c3d4-0000-4000-8000-00000000000f"
SPELLINGS = (
    ONE,
    ONE.replace("c3d4", "c3d5").upper(),
    ONE.replace("c3d4", "c3d6").replace("-", ""),
    f"{{{ONE.replace('c3d4', 'c3d7')}}}",
    f"urn:uuid:{ONE.replace('c3d4', 'c3d8')}",
    "mem-1",
    "",
    f"{ONE}0",
    "zzzzzzzz-0000-4000-8000-000000000000",
    "鍵",
)
TIMES = (
    "2026-06-01 12:00:00",
    "2026-06-01T12:00:00.123456789Z",
    "2026-06-01T12:00:60Z",
    "2026-13-01T12:00:00Z",
    "+10000-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "1780000000",
    1_780_000_000,
    1_780_000_000_000_000_000,
    1.78e9,
    "yesterday",
    "",
    b"\xff\xfe",
)


def _insert(path: Path, rows: Sequence[tuple[object, object, object, object]]) -> None:
    """Insert memories into a SQLite file as they are: id, text, metadata, time."""
    statement = "INSERT INTO knowledge_nodes (id, content, metadata, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(statement, [(*row, row[-1]) for row in rows])


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


AT = "2026-06-01T12:00:00.000000+00:00"


def _copy_into_both(lab: Lab, source: Path, *, failed: int) -> list[Attempt]:
    attempts: list[Attempt] = []
    with lab.database() as server:
        for target in (server, f"sqlite:{lab.path('target.db')}"):
            attempts += copy_damaged(lab, source, target, failed=failed)
            lost, doubled = _missing_texts(source, target)
            attempts.append(Attempt(attempts[-1].message, lost, doubled))
    return attempts


def _missing_texts(source: Path, target: str) -> tuple[int, int]:
    """Count the marked texts of the source that the target lacks, and those that it has more than once."""
    with closing(sqlite3.connect(source)) as connection:
        connection.text_factory = bytes
        marks = [row[0][:9] for row in connection.execute("SELECT content FROM knowledge_nodes")]
    wanted = Counter(mark.decode() for mark in marks if mark.startswith(b"row "))
    stored = Counter(text[:9] for text in texts(target).elements())
    return sum((wanted - stored).values()), sum(
        count - wanted[mark] for mark, count in stored.items() if mark in wanted
    )


@fault(14, "id that is no UUID, or another spelling of one")
def odd_ids(lab: Lab) -> FaultResult:
    source = lab.new_store("source.db")
    path = lab.path("source.db")
    rows = [(each, f"row {number:05d} of an odd id", "{}", AT) for number, each in enumerate(SPELLINGS)]
    # Another spelling of the first one: both cannot be copied.
    _insert(path, [*rows, (ONE.upper(), "the same id once more", "{}", AT)])
    assert source
    return summarize(_copy_into_both(lab, path, failed=1))


@fault(15, "time in any form, or none")
def odd_times(lab: Lab) -> FaultResult:
    lab.new_store("source.db")
    path = lab.path("source.db")
    _insert(path, [(_id(n), f"row {n:05d} of an odd time", "{}", each) for n, each in enumerate(TIMES)])
    return summarize(_copy_into_both(lab, path, failed=0))


@fault(16, "text that a database cannot store")
def odd_texts(lab: Lab) -> FaultResult:
    lab.new_store("source.db")
    path = lab.path("source.db")
    metadata = ('{"a": "\\u0000"}', '{"a": NaN}', '{"a": 1e400}', '{"a": "\\ud800"}', "no json", "[]", '{"a":' * 1_500)
    rows: list[tuple[object, object, object, object]] = [
        (_id(number), f"row {number:05d} of odd metadata", each, AT) for number, each in enumerate(metadata)
    ]
    bodies = ("nul \0 in it", "a \x1b[31m sequence", "emoji \U0001f680", "\ufffe \uffff", "line \u2028 end")
    rows += [(_id(100 + n), f"row {100 + n:05d} {each}", "{}", AT) for n, each in enumerate(bodies)]
    _insert(path, rows)
    with closing(sqlite3.connect(path)) as connection, connection:
        statement = (
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, CAST(? AS TEXT), ?, ?)"
        )
        for number, tail in ((200, b"caf\xe9"), (201, b"\xed\xa0\x80 half"), (202, b"\xf8\x88\x80\x80")):
            connection.execute(statement, (_id(number), f"row {number:05d} ".encode() + tail, AT, AT))
    return summarize(_copy_into_both(lab, path, failed=0))


@fault(17, "memory of ten megabytes")
def large_memory(lab: Lab) -> FaultResult:
    chance, attempts = random.Random(17), []
    words = (f"{chance.getrandbits(40):x}" for _ in range(1_000_000))
    text = ("row 00000 " + " ".join(words))[:10_000_000]
    line = json.dumps({"content": text}).encode()
    with lab.database() as server:
        for url in (server, f"sqlite:{lab.path('store.db')}"):
            assert lab.run("--store", url, "schema", "up").status == 0
            result = lab.run("--store", url, "import", "-", stdin=line)
            assert result.status == 0, result.err
            stored = texts(url)
            listed = lab.run("--store", url, "list")
            assert len(listed.out) < 2_000, "the list shows the whole text"
            hits = answer(lab.run("--store", url, "search", "row 00000", "--mode", "text", "--json"))["hits"]
            assert len(hits) == 1, "the memory is not found by its first words"
            message = result.out.strip().splitlines()[0]
            attempts.append(Attempt(message, int(stored[text] < 1), int(stored.total() > 1)))
    asyncio.run(fill(lab.path("source.db"), 10, dimension=16))
    _insert(lab.path("source.db"), [(_id(1), text, "{}", AT)])
    return summarize([*attempts, *_copy_into_both(lab, lab.path("source.db"), failed=0)])


def _break_rows(path: Path) -> int:
    """Give rows the id of no memory, and memories a circle of replacements; return how many rows cannot be copied."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        ids = [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes ORDER BY seq")]
        connection.execute("INSERT INTO scheduling (memory_id) VALUES ('nobody')")
        connection.execute("INSERT INTO node_embeddings (node_id, embedding) VALUES ('nobody', zeroblob(64))")
        edge = "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at) VALUES (?, ?, 'x', 1, ?)"
        connection.executemany(edge, [(ids[0], "nobody", AT), ("nobody", ids[1], AT)])
        review = (
            "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state)"
            " VALUES ('nobody', ?, 3, '{}', '{}')"
        )
        connection.execute(review, (AT,))
        # A circle of links and of replacements is no fault: both are copied as they are.
        connection.executemany(edge, [(ids[5], ids[6], AT), (ids[6], ids[7], AT), (ids[7], ids[5], AT)])
        decision = (
            "INSERT INTO supersession_events (loser_id, winner_id, kind, decided_at) VALUES (?, ?, 'supersede', ?)"
        )
        connection.executemany(decision, [(ids[11], ids[12], AT), (ids[12], ids[11], AT)])
    return 5


@fault(30, "rows without their memory, twice, or in a circle")
def broken_rows(lab: Lab) -> FaultResult:
    path = lab.path("source.db")
    asyncio.run(fill(path, 30, dimension=16))
    return summarize(_copy_into_both(lab, path, failed=_break_rows(path)))
