"""Jobs that wait, for room, for a lock or for their database: the reason is shown, and they go on by themselves."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.support.file_limits import limit_file_bytes
from tests.support.full_store import fill
from tests.support.jobs import read_job, wait_for_job
from tests.support.line import line_to
from tests.support.own_server import cluster, server
from tests.support.polling import until
from tests.support.stopped import stopped, writer_of
from vestige_tui.core.jobs import Job, JobWait
from vestige_tui.jobs import sweeper, worker
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.ledger_rows import Run
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.jobs.worker import TAKEN, WAITING
from vestige_tui.jobs.worker_sign import FILE_BYTES, WorkerSign, living_worker, living_workers, with_living_worker
from vestige_tui.presenters.job_outcome import status_sentence
from vestige_tui.presenters.jobs import state_label, wait_in_words
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

__all__ = ["cluster", "server"]

LATER = timedelta(hours=1)


async def wait_for(target: str, job_id: str, holds: Callable[[Job], bool]) -> Job:
    """Return a job of a store once it is so."""
    jobs: list[Job] = []

    async def is_so() -> bool:
        jobs[:] = [await read_job(target, job_id)]
        assert jobs[0].in_flight, jobs[0].error
        return holds(jobs[0])

    await until(is_so)
    return jobs[0]


@pytest.mark.slow
async def test_a_copy_into_a_full_disk_waits_and_says_so(tmp_path: Path) -> None:
    source, target = tmp_path / "source.db", f"sqlite:{tmp_path / 'target.db'}"
    await fill(source, 400)
    async with open_store(target, create=True):
        pass
    with limit_file_bytes((tmp_path / "target.db").stat().st_size + 100_000):
        job_id = (await start(JobRequest("copy", f"sqlite:{source}", target))).job_id
    job = await wait_for(target, job_id, lambda job: job.wait is not None)
    now = datetime.now(UTC) + LATER
    assert job.worker_pid is not None
    assert job.silence(now) is None
    assert state_label(job, now).word == "waiting"
    sentence = status_sentence(job, now)
    assert sentence is not None
    assert "cannot grow" in sentence.text or "is full" in sentence.text
    resource.prlimit(job.worker_pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ended = await wait_for_job(target, job_id)
    assert (ended.status, ended.wait) == ("completed", None)

    async def is_gone() -> bool:
        return living_worker(job_id) is None

    await until(is_gone)


@pytest.mark.slow
async def test_a_copy_whose_target_is_locked_names_the_process(tmp_path: Path) -> None:
    source, path = tmp_path / "source.db", tmp_path / "target.db"
    await fill(source, 50)
    specs: list[Mapping[str, str]] = []
    job_id = (await start(JobRequest("copy", f"sqlite:{source}", f"sqlite:{path}"), spawn=specs.append)).job_id
    with writer_of(path) as pid:
        task = asyncio.create_task(worker.run(specs.pop()))

        async def is_told() -> bool:
            seen = living_worker(job_id)
            return seen is not None and seen.wait is not None and f"locked by process {pid} (" in seen.wait.reason

        await until(is_told)
    await task
    assert (await read_job(f"sqlite:{path}", job_id)).status == "completed"


@pytest.mark.slow
async def test_a_copy_that_waits_for_a_lock_names_the_session(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 50)
    url = f"{postgres_database}&options=-clock_timeout%3D1500"
    async with open_store(url, create=True):
        pass
    with psycopg.connect(postgres_database, application_name="night report") as other:
        other.execute("LOCK TABLE knowledge_nodes IN SHARE MODE")
        job_id = (await start(JobRequest("copy", f"sqlite:{source}", url))).job_id
        session = f"session {other.info.backend_pid} (night report, user "
        job = await wait_for(url, job_id, lambda job: job.wait is not None and session in job.wait.reason)
        assert wait_in_words(job, datetime.now(UTC)).startswith("Waiting since ")
        # A console on another machine reads it in the ledger.
        async with open_store(url, read_only=True) as store:

            async def is_stored() -> bool:
                rows = await store.backend.fetch("get_job", {"id": job_id})
                return session in str(rows[0]["progress"])

            await until(is_stored)
    assert (await wait_for_job(url, job_id)).status == "completed"


@pytest.mark.slow
async def test_a_worker_whose_database_is_away_at_its_start_waits_for_it(tmp_path: Path, server: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 20)
    words: list[str] = []
    specs: list[Mapping[str, str]] = []
    async with line_to(server) as (line, url):
        job_id = (await start(JobRequest("copy", f"sqlite:{source}", url), spawn=specs.append)).job_id
        line.fails = "login"
        task = asyncio.create_task(worker.run(specs.pop(), on_word=words.append))

        async def waits() -> bool:
            seen = living_worker(job_id)
            return seen is not None and seen.wait is not None and "cannot be reached" in seen.wait.reason

        await until(waits)
        assert set(words) == {WAITING}
        line.fails = ""
        await task
        assert words[-1] == TAKEN
    assert (await read_job(server, job_id)).status == "completed"


# The sign of a worker


async def queued_run(store: Store) -> Run:
    return await Ledger(store).start(kind="copy", source="a", target="b", model="", task="", owner="1@here")


async def test_a_run_whose_worker_lives_is_not_taken_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "LEASE", timedelta(seconds=-1))
    run = await queued_run(store)
    with WorkerSign(run.id):
        assert await queued_run(store) == replace(run, already_running=True)
    assert (await queued_run(store)).attempt == run.attempt + 1


async def test_what_a_worker_waits_for_is_in_the_ledger_until_its_next_step(store: Store) -> None:
    ledger = Ledger(store)
    run = await queued_run(store)
    assert await ledger.take(run.id, "2@here") is not None
    # The answer of the first commit may have been lost.
    assert await ledger.take(run.id, "2@here") is not None
    assert await ledger.take(run.id, "3@here") is None
    wait = JobWait("The disk of x is full.", datetime(2026, 1, 2, tzinfo=UTC))
    await ledger.note_wait(run.id, wait)
    assert (await ledger.job(run.id)).wait == wait
    await ledger.note_wait(run.id, None)
    assert (await ledger.job(run.id)).wait is None
    await ledger.note_wait(run.id, wait)
    await ledger.transition(run.id, "failed", error="ended")
    again = await queued_run(store)
    assert (await ledger.job(again.id)).wait is None


def test_the_sign_of_a_worker_is_written_in_place(state: Path) -> None:
    path = state / "jobs" / "a-job.sign"
    with WorkerSign("a-job") as sign:
        assert path.stat().st_size == FILE_BYTES
        with limit_file_bytes(FILE_BYTES):
            sign.write(JobWait("\U0001f600" * 10_000, datetime.now(UTC)))
        assert path.stat().st_size >= FILE_BYTES
        seen = living_worker("a-job")
        assert seen is not None
        assert seen.wait is not None
        assert seen.wait.reason.startswith("\U0001f600")
        assert list(living_workers()) == ["a-job"]
    assert not path.exists()


@pytest.mark.parametrize(
    "broken", ["", "[]", "{", '{"pid": 1}', '{"pid": "x", "started": ""}', '{"pid": 0, "started": ""}']
)
def test_a_broken_sign_is_of_no_worker(state: Path, broken: str) -> None:
    path = state / "jobs" / "a-job.sign"
    path.parent.mkdir(parents=True)
    path.write_text(broken)
    assert living_worker("a-job") is None


_SIGN = """
import sys
from vestige_tui.jobs.worker_sign import WorkerSign
with WorkerSign("a-job"):
    print("signed", flush=True)
    sys.stdin.read()
"""


def test_a_worker_that_is_stopped_or_killed_gives_no_sign_of_life(state: Path) -> None:
    now = datetime.now(UTC)
    job = Job("a-job", "copy", "in_progress", "sqlite:x", last_heartbeat=now - LATER)
    assert job.silence(now) is not None
    with subprocess.Popen([sys.executable, "-c", _SIGN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"signed\n"
        living = with_living_worker(job)
        assert (living.worker_pid, living.silence(now)) == (process.pid, None)
        with stopped(process.pid):
            assert with_living_worker(living).silence(now) is not None
        process.kill()
        process.wait()
    assert (state / "jobs" / "a-job.sign").exists()
    assert with_living_worker(living).silence(now) is not None
