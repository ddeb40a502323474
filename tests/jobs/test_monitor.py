"""The jobs of several stores at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.passwords import demand_password, with_password
from tests.support.vestige_files import make_v18
from vestige_tui.core.errors import NotFound, Unavailable
from vestige_tui.core.jobs import Job, JobFinding
from vestige_tui.jobs import monitor
from vestige_tui.jobs.known_stores import remember
from vestige_tui.jobs.ledger import CALLER, Ledger
from vestige_tui.jobs.monitor import cancel, findings, mark_failed, retry, watch
from vestige_tui.jobs.start import StartedJob
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

AGENT = uuid.UUID("11111111-1111-4111-8111-111111111111")


async def begin(store: Store, source: str) -> str:
    run = await Ledger(store).start(kind="copy", source=source, target="t", model="m", task="copy", owner="1@here")
    return run.id


async def test_jobs_of_the_open_store_and_of_the_index(tmp_path: Path, postgres_database: str) -> None:
    async with (
        open_store(f"sqlite:{tmp_path / 'open.db'}", create=True) as here,
        open_store(postgres_database, create=True) as there,
    ):
        remember("postgresql://me@127.0.0.1:1/nowhere", "lost", "copy")
        remember(f"sqlite:{tmp_path / 'open.db'}", "same", "copy")
        remember(postgres_database, "theirs", "copy")
        mine = await begin(here, "a")
        async with asyncio.timeout(20), aclosing(watch(here, 0.05)) as watching:
            first = await anext(watching)
            assert [job.id for job in first] == [mine]
            theirs = await begin(there, "b")
            while len(jobs := await anext(watching)) < 2:
                pass
            assert [job.id for job in jobs] == [theirs, mine]
            assert [job.store for job in jobs] == [there.location, here.location]
            await Ledger(there).transition(theirs, "failed", error="no luck")
            jobs = await anext(watching)
            assert [(job.id, job.error) for job in jobs] == [(mine, None), (theirs, "no luck")]


async def test_a_store_of_several_names_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, link = (tmp_path / name for name in ("here.db", "there.db", "link.db"))
    opened: list[str] = []

    def open_one(url: str, **options: Any) -> Store:
        opened.append(url)
        return open_store(url, **options)

    async with open_store(str(here), create=True) as store, open_store(str(there), create=True) as other:
        link.symlink_to(there)
        (tmp_path / "here-link.db").symlink_to(here)
        for url in (f"sqlite:{here}", f"sqlite:{tmp_path}/here-link.db", f"sqlite:{there}", f"sqlite:{link}"):
            remember(url, "theirs", "copy")
        mine, theirs = await begin(store, "a"), await begin(other, "b")
        monkeypatch.setattr(monitor, "open_store", open_one)
        async with asyncio.timeout(20), aclosing(watch(store, 0.05, [str(there)])) as watching:
            while len(jobs := await anext(watching)) < 2:
                pass
        assert {job.id: job.store for job in jobs} == {mine: store.location, theirs: other.location}
        assert opened == [str(there)]


@pytest.mark.slow
async def test_a_store_that_does_not_answer_holds_up_no_other(
    tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, jobs = asyncio.Event(), Ledger.jobs

    async def answer(self: Ledger, *arguments: Any) -> tuple[Job, ...]:
        if self._store.location == there.location:
            asked.set()
            await asyncio.Event().wait()
        return await jobs(self, *arguments)

    monkeypatch.setattr(Ledger, "jobs", answer)
    async with (
        open_store(f"sqlite:{tmp_path / 'open.db'}", create=True) as here,
        open_store(postgres_database, create=True) as there,
    ):
        remember(postgres_database, "theirs", "copy")
        await begin(there, "b")
        async with asyncio.timeout(20), aclosing(watch(here, 0.05)) as watching:
            assert await anext(watching) == ()
            listening = asyncio.ensure_future(anext(watching))
            await asked.wait()
            mine = await begin(here, "a")
            assert [job.id for job in await listening] == [mine]


@pytest.mark.slow
async def test_the_open_store_holds_up_no_other_while_it_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Ledger.jobs

    async def answer(self: Ledger, *arguments: Any) -> tuple[Job, ...]:
        if self._store.location == here.location:
            await asyncio.Event().wait()
        return await jobs(self, *arguments)

    monkeypatch.setattr(Ledger, "jobs", answer)
    there = f"sqlite:{tmp_path / 'there.db'}"
    async with (
        open_store(f"sqlite:{tmp_path / 'open.db'}", create=True) as here,
        open_store(there, create=True) as other,
    ):
        remember(there, "theirs", "copy")
        theirs = await begin(other, "b")
        async with asyncio.timeout(20), aclosing(watch(here, 0.05)) as watching:
            while not (seen := await anext(watching)):
                pass
            assert [job.id for job in seen] == [theirs]


async def test_a_job_of_another_store_can_be_stopped_and_asked(tmp_path: Path, postgres_database: str) -> None:
    written = JobFinding("memories", "failed", "id-1", "It has no id.")
    async with open_store(f"sqlite:{tmp_path / 'open.db'}", create=True) as here:
        async with open_store(postgres_database, create=True) as there:
            job = await Ledger(there).job(await begin(there, "b"))
            async with there.backend.write() as transaction:
                await Ledger(there).add_findings(transaction, job.id, [written])
        for store in (here, None):
            assert await findings(store, job) == (written,)
        assert await cancel(here, job) == "asked"
        mine = await Ledger(here).job(await begin(here, "a"))
        assert await cancel(here, mine) == "asked"
        assert (await Ledger(here).job(mine.id)).cancel_requested
    async with open_store(postgres_database) as there:
        assert (await Ledger(there).job(job.id)).cancel_requested


async def test_a_job_behind_a_password_is_watched_and_asked_by_whoever_knows_it(
    tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = JobFinding("memories", "failed", "id-1", "It has no id.")
    known = with_password(postgres_database)
    async with open_store(known, create=True) as there:
        job = await Ledger(there).job(await begin(there, "b"))
        async with there.backend.write() as transaction:
            await Ledger(there).add_findings(transaction, job.id, [written])
    remember(known, job.id, "copy")
    demand_password(monkeypatch)
    with pytest.raises(Unavailable):
        await findings(None, job)
    async with open_store(f"sqlite:{tmp_path / 'open.db'}", create=True) as here:
        for store in (here, None):
            assert await findings(store, job, urls=[known, postgres_database]) == (written,)
            async with asyncio.timeout(20), aclosing(watch(store, 0.05, known=[known])) as watching:
                while not (jobs := await anext(watching)):
                    pass
                assert [each.id for each in jobs] == [job.id]


async def test_a_store_that_is_only_known_is_not_looked_at(tmp_path: Path) -> None:
    async with open_store(f"sqlite:{tmp_path / 'known.db'}", create=True) as known:
        await begin(known, "a")
    async with open_store(f"sqlite:{tmp_path / 'looked.db'}", create=True) as looked:
        mine = await begin(looked, "a")
    urls = [f"sqlite:{tmp_path / name}.db" for name in ("known", "looked")]
    async with asyncio.timeout(20), aclosing(watch(None, 0.05, urls[1:], urls[:1])) as watching:
        while not (jobs := await anext(watching)):
            pass
    assert [job.id for job in jobs] == [mine]


async def test_work_in_another_store_can_be_ended_and_begun_again(tmp_path: Path, postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as there:
        ledger = Ledger(there)
        jobs = [
            await ledger.job(await ledger.insert(caller=CALLER, callee=AGENT, task=str(number))) for number in range(3)
        ]
        ours = await ledger.job(await begin(there, "b"))
    async with open_store(f"sqlite:{tmp_path / 'open.db'}", create=True) as here:
        for store in (here, None):
            with pytest.raises(NotFound):
                await mark_failed(store, replace(jobs[0], id="nothing-like-it"), urls=[postgres_database])
        assert await cancel(here, jobs[0], [postgres_database]) == "ended"
        assert await cancel(here, ours) == "asked"
        await mark_failed(None, jobs[1], "the agent is gone")
        again = await retry(here, jobs[2])
        mine = await Ledger(here).job(await Ledger(here).insert(caller=CALLER, callee=AGENT, task="mine"))
        assert (await Ledger(here).job(await retry(here, mine))).retry_count == 1
    async with open_store(postgres_database) as there:
        ledger = Ledger(there)
        ended = [await ledger.job(job.id) for job in jobs]
        assert [job.error for job in ended] == ["cancelled", "the agent is gone", f"retried as {again}"]
        assert (await ledger.job(again)).task == "2"
        assert (await ledger.job(ours.id)).cancel_requested


async def test_a_job_of_ours_is_resumed_with_the_passwords_known_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed: list[tuple[Job, Sequence[str]]] = []

    async def resume(job: Job, known: Sequence[str] = ()) -> StartedJob:
        resumed.append((job, known))
        return StartedJob("the-next-one", False)

    monkeypatch.setattr("vestige_tui.jobs.start.resume", resume)
    async with open_store(f"sqlite:{tmp_path / 'open.db'}", create=True) as here:
        job = await Ledger(here).job(await begin(here, "a"))
        assert await retry(here, job, ["postgresql://me:secret@h/d"]) == "the-next-one"
    assert resumed == [(job, ["postgresql://me:secret@h/d"])]


async def test_a_vestige_file_and_no_store_have_no_jobs(tmp_path: Path) -> None:
    async with open_store(str(make_v18(tmp_path / "vestige.db", 3))) as store:
        for looked_at in (store, None):
            async with aclosing(watch(looked_at, 0.05)) as watching:
                assert await anext(watching) == ()


@pytest.mark.slow
async def test_an_embedded_server_stays_up_as_long_as_it_is_watched(tmp_path: Path) -> None:
    url = f"pgembed:{tmp_path / 'pg'}"
    async with open_store(url, create=True) as store:
        job_id = await begin(store, "a")
    remember(url, job_id, "copy")
    assert not list((tmp_path / "pg").glob("lease.*"))
    async with asyncio.timeout(20), aclosing(watch(None, 0.05)) as watching:
        while not (jobs := await anext(watching)):
            pass
        assert [job.id for job in jobs] == [job_id]
        assert len(list((tmp_path / "pg").glob("lease.*"))) == 1
    assert not list((tmp_path / "pg").glob("lease.*"))


def test_watching_imports_no_terminal_and_no_driver() -> None:
    code = "import sys, vestige_tui.jobs.monitor; print(sorted({n.split('.')[0] for n in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {name for name in ("textual", "rich", "psycopg", "aiosqlite") if f"'{name}'" in found}
