"""A followed copy of a source that is written all the while, whose workers are killed again and again.

``VESTIGE_KILLS`` says how often.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.support.comparison import compare, differences
from tests.support.full_store import fill
from tests.support.jobs import wait_for_job
from vestige_tui.core.times import format_time
from vestige_tui.jobs import sweeper
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, resume, start
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

KILLS = int(os.environ.get("VESTIGE_KILLS", "3"))
PATIENCE_SECONDS = 120
WRITES = 40
"""A writer pauses for a hundredth of a second after so many, so that looks between its writes come to an end, too."""


@contextmanager
def writing(path: Path, chance: random.Random) -> Iterator[None]:
    """Somebody writes, edits and deletes memories, their vectors, links and schedules until the block ends."""
    stop = threading.Event()
    writer = threading.Thread(target=_write, args=(path, chance, stop))
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def _write(path: Path, chance: random.Random, stop: threading.Event) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        ids = [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes")]
        written = 0
        while not stop.wait(0.01 if written % WRITES == 0 else 0.0005):
            written += 1
            connection.execute("BEGIN IMMEDIATE")
            _change(connection, ids, chance)
            connection.execute("COMMIT")


def _change(connection: sqlite3.Connection, ids: list[str], chance: random.Random) -> None:
    at = format_time(datetime.now(UTC))
    picked, other = chance.choice(ids), chance.choice(ids)
    match chance.choice(("new", "new", "edit", "edit", "review", "weight", "delete")):
        case "new":
            memory = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            ids.append(memory)
            connection.execute(
                "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, ?, ?, ?)",
                (memory, f"new {len(ids)}", at, at),
            )
            connection.execute("INSERT INTO node_embeddings (node_id, embedding) VALUES (?, zeroblob(64))", (memory,))
            connection.execute(
                "INSERT OR IGNORE INTO edges (source_id, target_id, edge_type, weight, created_at)"
                " VALUES (?, ?, 'x', 1, ?)",
                (memory, picked, at),
            )
        case "edit":
            # As servers do: a text with its vector.
            message = f"edited {chance.random()}"
            connection.execute("UPDATE knowledge_nodes SET content = ? WHERE id = ?", (message, picked))
            vector = np.array([chance.random() for _ in range(16)], dtype="<f4").tobytes()
            connection.execute("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", (vector, picked))
        case "review":
            connection.execute(
                "UPDATE scheduling SET reps = reps + 1, last_review = ? WHERE memory_id = ?", (at, picked)
            )
            connection.execute(
                "INSERT INTO review_events (memory_id, timestamp, rating, prior_state, new_state)"
                " SELECT id, ?, 3, '{}', '{}' FROM knowledge_nodes WHERE id = ?",
                (at, picked),
            )
        case "weight":
            connection.execute("UPDATE edges SET weight = ? WHERE source_id = ?", (chance.random(), picked))
        case _ if len(ids) > 20:
            ids.remove(picked)
            connection.execute("DELETE FROM knowledge_nodes WHERE id = ?", (picked,))
            if other != picked:
                connection.execute("DELETE FROM review_events WHERE memory_id = ?", (other,))


async def until(seen: Callable[[], Awaitable[bool]], store: Store) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await seen():
            await store.backend.wait_for_change(0.05)


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * KILLS)
async def test_a_followed_copy_that_is_killed_again_and_again_ends_equal(
    tmp_path: Path, backend: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next attempt need not wait until the lease of a killed worker is over.
    monkeypatch.setattr(sweeper, "LEASE", timedelta(seconds=-1))
    path, chance = tmp_path / "source.db", random.Random(backend)
    await fill(path, 120, dimension=16)
    source = f"sqlite:{path}"
    launched = await start(JobRequest("copy", source, target, {"follow": True, "batch": 20}))
    async with open_store(target) as store:
        jobs = Ledger(store)
        with writing(path, random.Random(f"writer of {backend}")):
            for _ in range(KILLS):
                wanted = await jobs.step(launched.job_id) + chance.randint(1, 60)

                async def stepped(job_id: str = launched.job_id, wanted: int = wanted) -> bool:
                    job = await jobs.job(job_id)
                    assert job.in_flight, job.error
                    return await jobs.step(job_id) >= wanted

                await until(stepped, store)
                job = await jobs.job(launched.job_id)
                with suppress(ProcessLookupError):
                    os.kill(int(job.owner.split("@")[0]), signal.SIGKILL)
                launched = await resume(job)

        # Nobody writes any more: what is left is brought by looks that find everything as it is.
        async def alike() -> bool:
            job = await jobs.job(launched.job_id)
            assert job.in_flight, job.error
            return job.progress.phase == "following" and differences(await compare(source, target)) == {}

        await until(alike, store)
        assert await jobs.request_cancel(launched.job_id)
    job = await wait_for_job(target, launched.job_id)
    assert (job.status, job.attempt) == ("completed", KILLS + 1)
    for name, table in job.progress.tables.items():
        assert table.read == table.inserted + table.present + table.failed, name
    assert differences(await compare(source, target)) == {}
