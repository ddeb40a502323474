"""Copy to PostgreSQL beside raw COPY: the same rows, schema and vector index, one connection."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from benchmarks.table import Figure
from vestige_tui.core.errors import Conflict
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.jobs.worker import CONNECTIONS, claim
from vestige_tui.store.open import open_store
from vestige_tui.transfer import copy as jobs

if TYPE_CHECKING:
    from benchmarks.servers import Server

ROUND_COUNT = 3

_COLUMNS = {
    "knowledge_nodes": (
        "id content node_type tags metadata domains domain_scores codebase owner_user_id visibility "
        "shared_with_groups created_at updated_at superseded_by"
    ),
    "node_embeddings": "node_id embedding",
    "scheduling": "memory_id stability difficulty retrievability last_review next_review reps lapses",
}


@dataclass(frozen=True, slots=True)
class CopySeconds:
    """Seconds until the rows with their indexes, then the vector index, then the comparison were done."""

    rows: float
    whole: float
    compared: float = 0.0


@asynccontextmanager
async def claimed(request: JobRequest) -> AsyncIterator[JobContext]:
    """Start a job and claim it for this process, in the open store of its target."""
    specs: list[Mapping[str, str]] = []
    await start(request, spawn=specs.append)
    async with open_store(request.target, max_connections=CONNECTIONS) as store:
        context = await claim(store, specs.pop())
        assert context is not None
        yield context


async def copy(source: str, target: str, *, verify: bool = False) -> CopySeconds:
    """Copy a store into an empty database, as a worker does."""
    async with claimed(JobRequest("copy", source, target, {"verify": verify})) as job:
        context = _TimedContext(**{each.name: getattr(job, each.name) for each in fields(job)})
        began = time.perf_counter()
        await jobs.run(context)
        whole = time.perf_counter()
        if lost := sum(table.failed for table in context.meter.tables.values()):
            raise Conflict(f"{lost} rows were not copied.")
        await context.ledger.transition(context.job_id, "completed")
    return CopySeconds(context.rows_done - began, (context.indexed or whole) - began, whole - began)


@dataclass(slots=True)
class _TimedContext(JobContext):
    """Job context that records the end of rows and indexes, and of the vector index."""

    rows_done: float = 0.0
    indexed: float = 0.0

    async def phase(self, words: str) -> None:
        if words == "building the vector index":
            self.rows_done = time.perf_counter()
        if words == "comparing":
            self.indexed = time.perf_counter()
        await JobContext.phase(self, words)


async def raw_copy(source_url: str, target: str) -> CopySeconds:
    """Copy the rows of a filled database by COPY BINARY into an empty one, then build the vector index."""
    async with open_store(source_url) as store:
        model = await store.models.registered()
    assert model is not None
    async with open_store(target, create=True) as store:
        await store.models.register(model, finalize=False)
        with psycopg.connect(source_url) as source, psycopg.connect(target) as sink:
            data = {name: _read(source, name) for name in _COLUMNS}
            # COPY would fail: the new database already has one of the owners.
            owners = source.execute("SELECT id, handle FROM users").fetchall()
            sink.cursor().executemany("INSERT INTO users (id, handle) VALUES (%s, %s) ON CONFLICT DO NOTHING", owners)
            began = time.perf_counter()
            for name, parts in data.items():
                with sink.cursor().copy(_statement("COPY {} ({}) FROM STDIN (FORMAT binary)", name)) as into:
                    for part in parts:
                        into.write(part)
            sink.commit()
            rows = time.perf_counter()
        await store.maintenance.finalize_schema()
        return CopySeconds(rows - began, time.perf_counter() - began)


def _read(connection: psycopg.Connection[tuple[object, ...]], table: str) -> list[bytes]:
    with connection.cursor().copy(_statement("COPY (SELECT {1} FROM {0}) TO STDOUT (FORMAT binary)", table)) as out:
        return [bytes(part) for part in out]


def _statement(text: str, table: str) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in _COLUMNS[table].split())
    return sql.SQL(text).format(sql.Identifier(table), columns)


async def measure(source: str, size: int, server: Server) -> list[Figure]:
    """Run several rounds of both in turn, each into a new database."""
    ours: list[CopySeconds] = []
    raw: list[CopySeconds] = []
    for _ in range(ROUND_COUNT):
        database = server.database()
        ours.append(await copy(source, database, verify=True))
        raw.append(await raw_copy(database, server.database()))
    beside = "COPY BINARY of bytes ready in memory"

    def rate(seconds: list[float]) -> float:
        return size / statistics.median(seconds)

    return [
        Figure(
            "copy",
            f"{size:,} memories, rows",
            "memories/s",
            rate([each.rows for each in ours]),
            rate([each.rows for each in raw]),
            beside,
            goal=">= 1",
        ),
        Figure(
            "copy",
            f"{size:,} memories, with vector index",
            "memories/s",
            rate([each.whole for each in ours]),
            rate([each.whole for each in raw]),
            f"{beside}, then the index",
        ),
        Figure(
            "copy",
            f"{size:,} memories, every row compared",
            "share of the copy",
            statistics.median((each.compared - each.whole) / each.whole for each in ours),
            1.0,
            "the copy with its indexes",
            goal="<= 0.25",
        ),
    ]
