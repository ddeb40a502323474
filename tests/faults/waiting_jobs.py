"""Jobs that wait for room, a lock or their database, workers without a ledger, and locks of stopped processes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg

from tests.faults.copies import copied
from tests.faults.lab import PROGRAM_SECONDS, Lab, create_store, job_of, kill_server, leased
from tests.faults.registry import Attempt, FaultResult, fault, is_met, summarize
from tests.faults.rows import lost_and_doubled, row_digests
from tests.faults.server import new_role, with_role
from tests.faults.sqlite_files import server_data, small_database, small_disk
from tests.support.attempts import change
from tests.support.full_store import MODEL, fill
from tests.support.jobs import begun_job, wait_for_job, waiting_worker
from tests.support.stopped import stopped_file_lock, writer_of
from vestige_tui.config.directories import state_dir
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.store.open import open_store

ROWS = 600
DIMENSION = 16
ALL_RIGHTS = (
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}",
)


def _followed(lab: Lab, source: Path, target: str) -> subprocess.Popen[bytes]:
    """Start a copy that goes on until it is ended, and a command that waits for it."""
    arguments = ("--source", f"sqlite:{source}", "--target", target, "--batch-size", "5", "--follow")
    return lab.start("migrate", "copy", *arguments)


def _detached(lab: Lab, source: Path, target: str) -> str:
    """Start a copy of many small batches without waiting for it; return the id of its job."""
    arguments = ("--source", f"sqlite:{source}", "--target", target, "--batch-size", "5", "--json", "--detach")
    return str(job_of(lab.run("migrate", "copy", *arguments))["id"])


def _reason(job_id: str, words: str) -> str:
    """Wait until the worker of a job says that it waits, in these words; return its sentence."""
    worker = asyncio.run(waiting_worker(job_id, words))
    assert worker.wait is not None
    return worker.wait.reason


def _completed(source: Path, target: str, job_id: str, reason: str) -> list[Attempt]:
    """Wait for the end of a job that has waited; compare all rows."""
    job = asyncio.run(wait_for_job(target, job_id))
    assert (job.status, job.attempt) == ("completed", 1), job.error
    counts = lost_and_doubled(row_digests(f"sqlite:{source}"), row_digests(target))
    return [Attempt(reason), Attempt(str(job.result), *counts)]


def _wait_for_file_lock(lab: Lab, source: Path) -> list[Attempt]:
    """Lock the target before the worker begins: a copy of a file is done before a command could lock it."""
    path, specs = lab.path("locked.db"), list[Mapping[str, str]]()
    target = lab.new_store(path.name)
    request = JobRequest("copy", f"sqlite:{source}", target)
    job_id = asyncio.run(start(request, spawn=specs.append)).job_id
    with writer_of(path) as pid:
        command = [sys.executable, "-m", "vestige_tui.jobs.worker"]
        quiet = subprocess.DEVNULL
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(specs[0]).encode())
        worker.stdin.close()
        reason = _reason(job_id, f"locked by process {pid} (")
    attempts = _completed(source, target, job_id, reason)
    assert worker.wait(PROGRAM_SECONDS) == 0
    return attempts


def _wait_for_session(lab: Lab, source: Path) -> list[Attempt]:
    with lab.database() as target:
        create_store(target)
        with psycopg.connect(target, application_name="night report") as other:
            other.execute("LOCK TABLE knowledge_nodes IN SHARE MODE")
            job_id = _detached(lab, source, target)
            reason = _reason(job_id, f"session {other.info.backend_pid} (night report, user ")
            listed = lab.run("--store", target, "jobs", "show", job_id)
            assert "night report" in listed.out, f"the reason is not shown: {listed.out}"
        return _completed(source, target, job_id, reason)


def _wait_for_database(lab: Lab, source: Path) -> list[Attempt]:
    directory = lab.path("server")
    with leased(directory) as target:
        create_store(target)
        with closing(psycopg.connect(target)) as other:
            # Otherwise the copy could be done before the server is killed.
            other.execute("LOCK TABLE knowledge_nodes IN SHARE MODE")
            job_id = _detached(lab, source, target)
            kill_server(directory, signal.SIGQUIT)
        reason = _reason(job_id, "cannot be reached")
        with leased(directory) as again:
            assert again == target
            return _completed(source, target, job_id, reason)


def _wait_for_room(lab: Lab, source: Path) -> list[Attempt]:
    """Copy into a server whose disk is full until it is made larger."""
    with small_disk(lab.path("tablespace"), 24) as folder, small_database(lab, folder) as target:
        create_store(target)
        (folder / "ballast").write_bytes(b"x" * (shutil.disk_usage(folder).free - 500_000))
        job_id = _detached(lab, source, target)
        reason = _reason(job_id, "full")
        os.unlink(folder / "ballast")
        return _completed(source, target, job_id, reason)


@fault(47, "job that waits for a lock, room or its database")
def waiting_jobs(lab: Lab) -> FaultResult:
    source, untried = lab.path("source.db"), ""
    asyncio.run(fill(source, ROWS, dimension=DIMENSION))
    attempts = [*_wait_for_session(lab, source), *_wait_for_file_lock(lab, source), *_wait_for_database(lab, source)]
    if not is_met("root"):
        untried = "the full disk of a server needs root"
    elif not server_data(lab).exists():
        untried = "the disk of a server that is not of this runner"
    else:
        attempts += _wait_for_room(lab, source)
    return summarize(attempts, untried=untried)


def _lose_file(lab: Lab, source: Path) -> Attempt:
    """Replace the target under a copy: its ledger is gone with it, and the worker ends."""
    path, backup = lab.path("live.db"), lab.path("backup.db")
    create_store(f"sqlite:{backup}")
    lab.new_store(path.name)
    process = _followed(lab, source, f"sqlite:{path}")
    asyncio.run(begun_job(f"sqlite:{path}"))
    before = backup.read_bytes()
    shutil.copy(backup, moved := lab.path("moved.db"))
    moved.rename(path)
    _, err = process.communicate(timeout=PROGRAM_SECONDS)
    assert process.returncode in (1, 3), f"ended with {process.returncode}: {err!r}"
    assert path.read_bytes() == before, "the worker wrote into the file that lies there now"
    return Attempt(err.decode().splitlines()[-1])


async def _create_with_model(url: str) -> None:
    """Create a store that has the model of the source: only the owner of a table may set the width of its vectors."""
    async with open_store(url, create=True) as store:
        await store.models.register(ModelSignature(MODEL.name, DIMENSION, MODEL.hash))


def _forbid_ledger(lab: Lab, source: Path) -> list[Attempt]:
    """Take the right to write the ledger from a worker: it ends, and a later attempt brings the rest."""
    with lab.database() as url:
        asyncio.run(_create_with_model(url))
        with new_role(url, *ALL_RIGHTS) as role:
            target = with_role(url, role)
            process = _followed(lab, source, target)
            asyncio.run(begun_job(url))
            change(url, f'REVOKE INSERT, UPDATE ON delegations, job_runs FROM "{role}"')
            _, err = process.communicate(timeout=PROGRAM_SECONDS)
            assert process.returncode in (1, 3), f"ended with {process.returncode}: {err!r}"
            change(url, f'GRANT INSERT, UPDATE ON delegations, job_runs TO "{role}"')
            # What the ledger shows of the dead worker counts as a sign of life for half a minute.
            change(url, "UPDATE delegations SET last_heartbeat = now() - interval '1 minute', created_at = now()")
            result = copied(lab, source, target)
        counts = lost_and_doubled(row_digests(f"sqlite:{source}"), row_digests(url))
        return [Attempt(" ".join(err.decode().splitlines()[-1:])), Attempt(result, *counts)]


@fault(48, "worker that cannot write its own ledger")
def unwritable_ledger(lab: Lab) -> FaultResult:
    source = lab.path("source.db")
    asyncio.run(fill(source, ROWS, dimension=DIMENSION))
    return summarize([_lose_file(lab, source), *_forbid_ledger(lab, source)])


@fault(49, "lock file of the jobs held by a stopped process")
def stopped_lock_holder(lab: Lab) -> FaultResult:
    source, target = lab.path("source.db"), lab.new_store("target.db")
    asyncio.run(fill(source, 40, dimension=DIMENSION))
    lock = state_dir() / "jobs.lock"
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with stopped_file_lock(lock) as pid:
        assert lab.run("jobs", "list", "--store", target).status == 0
        arguments = ("--source", f"sqlite:{source}", "--target", target)
        result = lab.run("migrate", "copy", *arguments)
        assert f"process {pid} (" in result.err, f"the process is not named: {result.err}"
        message = next(line for line in result.err.splitlines() if f"process {pid} (" in line)
    copied(lab, source, target)
    counts = lost_and_doubled(row_digests(f"sqlite:{source}"), row_digests(target))
    return summarize([Attempt(message), Attempt(message, *counts)])
