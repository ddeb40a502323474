"""Jobs that wait for room, a lock or their database, workers without a ledger, and locks of stopped processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from tests.faults.copies import copied
from tests.faults.lab import PROGRAM_SECONDS, Lab, create_store, job_of, kill_server, leased
from tests.faults.registry import Attempt, FaultResult, fault, is_met, summarize
from tests.faults.rows import lost_and_doubled, row_digests
from tests.faults.server import new_role, with_role
from tests.faults.sqlite_files import server_data, small_database, small_disk
from tests.support.attempts import change
from tests.support.full_store import fill
from tests.support.jobs import begun_job, wait_for_job, waiting_worker
from tests.support.stopped import stopped_file_lock, writer_of
from vestige_tui.config.directories import state_dir

ROWS = 600
ALL_RIGHTS = (
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}",
)


def _started(lab: Lab, source: Path, target: str) -> subprocess.Popen[bytes]:
    """Start a copy of many small batches, whose command waits for it."""
    return lab.start("migrate", "copy", "--source", f"sqlite:{source}", "--target", target, "--batch-size", "5")


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
    path = lab.path("locked.db")
    target = lab.new_store(path.name)
    job_id = _detached(lab, source, target)
    with writer_of(path) as pid:
        reason = _reason(job_id, f"locked by process {pid} (")
    return _completed(source, target, job_id, reason)


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


@fault(47, "job that waits for a lock, for room or for its database")
def waiting_jobs(lab: Lab) -> FaultResult:
    source, untried = lab.path("source.db"), ""
    asyncio.run(fill(source, ROWS, dimension=16))
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
    process = _started(lab, source, f"sqlite:{path}")
    asyncio.run(begun_job(f"sqlite:{path}"))
    before = backup.read_bytes()
    shutil.copy(backup, moved := lab.path("moved.db"))
    moved.rename(path)
    _, err = process.communicate(timeout=PROGRAM_SECONDS)
    assert process.returncode == 1, f"ended with {process.returncode}: {err!r}"
    assert path.read_bytes() == before, "the worker wrote into the file that lies there now"
    return Attempt(err.decode().splitlines()[-1])


def _forbid_ledger(lab: Lab, source: Path) -> list[Attempt]:
    """Take the right to write the ledger from a worker: it ends, and a later attempt brings the rest."""
    with lab.database() as url:
        create_store(url)
        with new_role(url, *ALL_RIGHTS) as role:
            target = with_role(url, role)
            process = _started(lab, source, target)
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
    asyncio.run(fill(source, ROWS, dimension=16))
    return summarize([_lose_file(lab, source), *_forbid_ledger(lab, source)])


@fault(49, "lock file of the jobs held by a stopped process")
def stopped_lock_holder(lab: Lab) -> FaultResult:
    source, target = lab.path("source.db"), lab.new_store("target.db")
    asyncio.run(fill(source, 40, dimension=16))
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
