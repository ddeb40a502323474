"""Copies that are killed, started twice, and made from a source that is written."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
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
from tests.support.polling import until
from vestige_tui.core.times import format_time
from vestige_tui.jobs import sweeper
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, resume, start
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


def _kill(owner: str) -> None:
    with suppress(ProcessLookupError):
        os.kill(int(owner.split("@")[0]), signal.SIGKILL)


async def _kill_workers(request: JobRequest, kills: int, chance: random.Random) -> int:
    """Start a copy and kill its worker again and again, each time some steps later; return the number of kills."""
    killed = 0
    job_id = (await start(request)).job_id
    async with open_store(request.target) as store:
        ledger = Ledger(store)
        while killed < kills:
            wanted = await ledger.step(job_id) + chance.randint(1, 4)

            async def stepped(job_id: str = job_id, wanted: int = wanted) -> bool:
                return not (await ledger.job(job_id)).in_flight or await ledger.step(job_id) >= wanted

            await until(stepped)
            job = await ledger.job(job_id)
            assert job.in_flight, f"the copy was done after {killed} kills"
            _kill(job.owner)
            killed += 1
            job_id = (await resume(job)).job_id

        async def over() -> bool:
            return not (await ledger.job(job_id)).in_flight

        await until(over)
    return killed


@fault(1, "copy killed in the middle of a batch")
def killed_copy(lab: Lab) -> FaultResult:
    path, attempts = lab.path("source.db"), []
    asyncio.run(fill(path, 900, dimension=16))
    expected = row_digests(f"sqlite:{path}")
    kills = lab.tries(20)
    with lab.database() as server, _no_lease():
        for target, share in ((server, kills - kills // 2), (f"sqlite:{lab.path('target.db')}", kills // 2)):
            request = JobRequest("copy", f"sqlite:{path}", target, {"batch": 10, "verify": False})
            killed = asyncio.run(_kill_workers(request, share, random.Random(share))) if share else 0
            lost, doubled = lost_and_doubled(expected, row_digests(target)) if killed else (0, 0)
            message = copied(lab, path, target)
            attempts += [Attempt(message)] * (killed - 1) + [Attempt(message, lost, doubled)] * (killed > 0)
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
    with lab.database() as server:
        for target in (server, f"sqlite:{lab.path('target.db')}"):
            job_id = asyncio.run(_start_and_kill(JobRequest("copy", f"sqlite:{path}", target, {"batch": 2})))
            attempts.append(Attempt(refusal(lab.run("--store", target, "jobs", "retry", job_id))))
            dead_since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="microseconds")
            change(target, f"UPDATE delegations SET last_heartbeat = '{dead_since}', created_at = '{dead_since}'")
            message = copied(lab, path, target, "--batch-size", "2")
            attempts.append(Attempt(message, *lost_and_doubled(expected, row_digests(target))))
            jobs = answer(lab.run("--store", target, "jobs", "list", "--json"))["items"]
            ends = sorted((str(job["status"]), str(job["error"])) for job in jobs)
            assert ends == [("completed", "None"), ("failed", "lease lost")], str(ends)
    return summarize(attempts)


async def _start_and_kill(request: JobRequest) -> str:
    """Start a copy and kill its worker after the first batches; return the job's id."""
    job_id = (await start(request)).job_id
    async with open_store(request.target) as store:
        ledger = Ledger(store)

        async def begun() -> bool:
            return await ledger.step(job_id) >= 3

        await until(begun)
        _kill((await ledger.job(job_id)).owner)
    return job_id
