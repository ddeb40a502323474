"""Copies that are killed, started twice, and made from a source that is written."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from tests.faults.lab import PROGRAM_SECONDS, Lab, answer, create_store, job_of, refusal, wait_while
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import lost_and_doubled, row_digests
from tests.support.attempts import change
from tests.support.full_store import fill
from tests.support.kill_points import KILLED_STATUS, Workers, killable_workers
from tests.support.polling import until
from vestige_tui.core.times import format_time
from vestige_tui.jobs import sweeper
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store


def copied(lab: Lab, source: Path, target: str, *options: str) -> str:
    """Copy a file to the end by the command; return its result."""
    job = job_of(lab.run("migrate", "copy", "--source", f"sqlite:{source}", "--target", target, "--json", *options))
    assert job["status"] == "completed", job["error"]
    return str(job["result"])


@contextmanager
def _no_lease() -> Iterator[None]:
    """Let the next attempt begin at once: the lease of a dead worker is a fault of its own."""
    with patch.object(sweeper, "LEASE", timedelta(seconds=-1)):
        yield


async def _kill_workers(request: JobRequest, workers: Workers, kills: int, chance: random.Random) -> None:
    """Start a copy and kill its worker at one of its calls again and again; then let one end."""
    for _ in range(kills):
        await workers.start(request)
        status, calls = workers.run(chance.randint(15, 60))
        assert status == KILLED_STATUS, f"the worker ended with {status} after {calls} calls"
    await workers.start(request)
    assert workers.run()[0] == 0


@fault(1, "copy killed in the middle of a batch")
def killed_copy(lab: Lab) -> FaultResult:
    path, attempts = lab.path("source.db"), []
    asyncio.run(fill(path, 400, dimension=16))
    expected = row_digests(f"sqlite:{path}")
    kills = lab.tries(10)
    with lab.database() as server, _no_lease(), killable_workers() as workers:
        for target in (server, f"sqlite:{lab.path('target.db')}"):
            request = JobRequest("copy", f"sqlite:{path}", target, {"batch": 2, "verify": False})
            asyncio.run(_kill_workers(request, workers, kills, random.Random(target)))
            # Before the next copy, which would bring what is missing.
            counts = lost_and_doubled(expected, row_digests(target))
            message = copied(lab, path, target)
            attempts += [Attempt(message)] * (kills - 1) + [Attempt(message, *counts)]
    return summarize(attempts)


@fault(5, "two copies into one store at a time")
def two_copies(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    source, other = lab.path("one.db"), lab.path("other.db")
    asyncio.run(fill(source, 300, dimension=16))
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(other)) as new:
        old.backup(new)
    expected = row_digests(f"sqlite:{source}")
    for number in range(lab.tries(1)):
        with lab.database() as server:
            for target in (server, f"sqlite:{lab.path(f'target-{number}.db')}"):
                # The same copy twice is one job, another source is a job of its own.
                processes = [
                    lab.start("migrate", "copy", "--source", f"sqlite:{each}", "--target", target, "--batch-size", "20")
                    for each in (source, source, other)
                ]
                ends = [process.communicate(timeout=PROGRAM_SECONDS) for process in processes]
                assert [process.returncode for process in processes] == [0, 0, 0], [err[-300:] for _, err in ends]
                first_lines = [err.decode().splitlines()[0] for _, err in ends]
                attempts += [Attempt(line) for line in sorted(first_lines, key=_begins_a_job)]
                # Before the next copy, which would bring what is missing.
                counts = lost_and_doubled(expected, row_digests(target))
                attempts.append(Attempt(copied(lab, source, target), *counts))
    return summarize(attempts)


def _begins_a_job(line: str) -> bool:
    return "started" in line


def _write(path: Path, changes: int, chance: random.Random) -> None:
    """Insert, edit and delete memories with their vectors, as a server does beside the copy."""
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        ids = [str(each) for (each,) in connection.execute("SELECT id FROM knowledge_nodes")]
        for number in range(changes):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                _change(connection, ids, number, chance)
            # A pause lets the copy read between two changes.
            time.sleep(0.005)


def _change(connection: sqlite3.Connection, ids: list[str], number: int, chance: random.Random) -> None:
    at, picked = format_time(datetime.now(UTC)), chance.choice(ids)
    if number % 3 == 0:
        memory = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        ids.append(memory)
        connection.execute(
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, ?, ?, ?)",
            (memory, f"written meanwhile {number}", at, at),
        )
        vector = np.array([chance.random() for _ in range(16)], dtype="<f4").tobytes()
        connection.execute("INSERT INTO node_embeddings (node_id, embedding) VALUES (?, ?)", (memory, vector))
    elif number % 3 == 1:
        connection.execute("UPDATE knowledge_nodes SET content = ? WHERE id = ?", (f"edited {number}", picked))
    else:
        ids.remove(picked)
        connection.execute("DELETE FROM knowledge_nodes WHERE id = ?", (picked,))


@fault(8, "source written during a copy")
def source_written_meanwhile(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    changes = lab.tries(300)
    with lab.database() as server:
        for name, target in (("one.db", server), ("other.db", f"sqlite:{lab.path('target.db')}")):
            path = lab.path(name)
            asyncio.run(fill(path, 600, dimension=16))
            arguments = ("--source", f"sqlite:{path}", "--target", target, "--batch-size", "20", "--follow", "--json")
            create_store(target)
            process = lab.start("migrate", "copy", *arguments)
            asyncio.run(_wait_for_phase(target, "copying"))
            _write(path, changes, random.Random(name))
            expected = row_digests(f"sqlite:{path}")
            asyncio.run(_wait_for_phase(target, "following"))
            wait_while(partial(_differs, target, expected), 60)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=PROGRAM_SECONDS)
            job = json.loads(out)["job"]
            assert job["status"] == "completed", job["error"]
            attempts += [Attempt(str(job["result"]))] * (changes - 1)
            attempts.append(Attempt(str(job["result"]), *lost_and_doubled(expected, row_digests(target))))
    return summarize(attempts)


def _differs(url: str, expected: Counter[bytes]) -> bool:
    return row_digests(url) != expected


async def _wait_for_phase(target: str, phase: str) -> None:
    """Wait until the phase of the store's own job begins with this word."""
    async with open_store(target, read_only=True) as store:
        ledger = Ledger(store)

        async def reached() -> bool:
            jobs = await ledger.jobs()
            assert all(job.in_flight for job in jobs), f"ended before {phase}"
            return any(job.progress.phase.startswith(phase) for job in jobs)

        await until(reached)


@fault(25, "lease of a worker that died with its machine")
def dead_lease(lab: Lab) -> FaultResult:
    path, attempts = lab.path("source.db"), []
    asyncio.run(fill(path, 600, dimension=16))
    expected = row_digests(f"sqlite:{path}")
    with lab.database() as server, killable_workers() as workers:
        for target in (server, f"sqlite:{lab.path('target.db')}"):
            request = JobRequest("copy", f"sqlite:{path}", target, {"batch": 2})
            job_id = asyncio.run(_start_and_kill(request, workers))
            attempts.append(Attempt(refusal(lab.run("--store", target, "jobs", "retry", job_id))))
            dead_since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="microseconds")
            change(target, f"UPDATE delegations SET last_heartbeat = '{dead_since}', created_at = '{dead_since}'")
            message = copied(lab, path, target, "--batch-size", "2")
            attempts.append(Attempt(message, *lost_and_doubled(expected, row_digests(target))))
            job = answer(lab.run("--store", target, "jobs", "show", job_id, "--json"))["job"]
            assert (job["status"], job["error"]) == ("failed", "lease lost"), str(job["error"])
    return summarize(attempts)


async def _start_and_kill(request: JobRequest, workers: Workers) -> str:
    """Start a copy and kill its worker after the first batches; return the job's id."""
    job_id = await workers.start(request)
    assert workers.run(60)[0] == KILLED_STATUS
    return job_id
