"""Migrations that are killed, and stores whose schema is not this program's."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing

import numpy as np
import psycopg

from tests.faults.lab import Lab, create_store, refusal
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, lost_and_doubled, texts
from tests.support.attempts import change
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store

KILLABLE = (sys.executable, "-m", "tests.support.killable_migration")


def _migrate(url: str, die_at: int = 0) -> int:
    """Create the tables of a store and die at a call, or return the number of calls."""
    done = subprocess.run([*KILLABLE, url, str(die_at)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (-9 if die_at else 0), done.stderr[-300:]
    return 0 if die_at else int(done.stdout)


def _objects(url: str) -> Counter[bytes]:
    """Return the columns, indexes, triggers and applied steps of a store."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
            rows += connection.execute("SELECT version, name, sha256 FROM vestige_migrations").fetchall()
    else:
        with psycopg.connect(url) as server:
            rows = server.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'public'"
                " UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
                " UNION ALL SELECT tgname, tgrelid::regclass::text, '' FROM pg_trigger WHERE NOT tgisinternal"
                " UNION ALL SELECT version::text, name, sha256 FROM vestige_migrations"
            ).fetchall()
    return Counter(repr(row).encode() for row in rows)


def _killed_migrations(lab: Lab, whole: str, urls: list[str]) -> list[Attempt]:
    """Kill the migrations of stores, each at another call, and apply the rest by the command."""
    calls, attempts = _migrate(whole), []
    expected = _objects(whole)
    for number, url in enumerate(urls):
        _migrate(url, 1 + number * (calls - 1) // len(urls))
        result = lab.run("--store", url, "schema", "up")
        assert result.status == 0, result.err
        attempts.append(Attempt(result.out.strip().splitlines()[-1], *lost_and_doubled(expected, _objects(url))))
    return attempts


def _foreign_schema(lab: Lab, url: str) -> list[Attempt]:
    """Refuse a schema that was edited, that lacks a step, or that is newer than the program."""
    create_store(url)
    assert lab.run("--store", url, "import", "-", stdin=b'{"content": "kept under any schema"}\n').status == 0
    attempts = []
    columns = "version, name, sha256, applied_at, duration_ms"
    for statement, undo in (
        (
            "UPDATE vestige_migrations SET sha256 = 'x' || sha256 WHERE version = 3",
            "UPDATE vestige_migrations SET sha256 = substr(sha256, 2) WHERE version = 3",
        ),
        (
            f"INSERT INTO vestige_migrations ({columns}) SELECT 99, 'later', sha256, applied_at, duration_ms"
            " FROM vestige_migrations WHERE version = 1",
            "DELETE FROM vestige_migrations WHERE version = 99",
        ),
        (
            "UPDATE vestige_migrations SET version = 98 WHERE version = 3",
            "UPDATE vestige_migrations SET version = 3 WHERE version = 98",
        ),
    ):
        change(url, statement)
        for command in (("add", "under another schema"), ("schema", "up")):
            attempts.append(Attempt(refusal(lab.run("--store", url, *command))))
        change(url, undo)
    assert lab.run("--store", url, "list").status == 0
    attempts.append(Attempt(attempts[0].message, *against_acknowledged(["kept under any schema"], texts(url))))
    return attempts


def _invalid_index(lab: Lab, url: str) -> list[Attempt]:
    """Name a vector index that is not valid; the memories are found by their words meanwhile."""

    async def with_vectors() -> None:
        async with open_store(url, create=True) as store:
            await store.models.register(ModelSignature("test-model", 8))
            await store.insert(Draft("found all the same"), embedding=np.ones(8, dtype=np.float32))

    async def problems() -> list[str]:
        async with open_store(url) as store:
            return [problem.problem for problem in (await store.health()).problems]

    asyncio.run(with_vectors())
    index = "SELECT indexrelid FROM pg_index WHERE indexrelid = 'idx_node_embeddings_hnsw'::regclass"
    change(url, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = ({index})")
    assert "found all the same" in lab.run("--store", url, "search", "found", "--mode", "text").out
    [message] = asyncio.run(problems())
    change(url, "REINDEX INDEX idx_node_embeddings_hnsw")
    assert asyncio.run(problems()) == []
    return [Attempt(message)]


@fault(11, "migration that is half applied, edited, or newer")
def half_applied_schema(lab: Lab) -> FaultResult:
    count = lab.tries(6)
    with ExitStack() as stack:
        whole, foreign, *servers = (stack.enter_context(lab.database()) for _ in range(count + 2))
        files = [f"sqlite:{lab.path(f'killed-{number}.db')}" for number in range(count)]
        return summarize(
            [
                *_foreign_schema(lab, f"sqlite:{lab.path('foreign.db')}"),
                *_foreign_schema(lab, foreign),
                *_killed_migrations(lab, f"sqlite:{lab.path('whole.db')}", files),
                *_killed_migrations(lab, whole, servers),
                *_invalid_index(lab, whole),
            ]
        )
