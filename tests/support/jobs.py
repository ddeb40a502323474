"""Jobs of a store: read from its ledger, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from tests.support.polling import until
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.jobs import Job
from vestige_tui.jobs import worker
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.monitor import watch
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.jobs.worker_sign import LivingWorker, living_worker
from vestige_tui.store.open import open_store

PATIENCE_SECONDS = 90


@asynccontextmanager
async def watched(target: str, interval: float) -> AsyncIterator[AsyncIterator[tuple[Job, ...]]]:
    """Watch the jobs of a store, which may be away just when it is opened."""
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as opened:
        while True:
            try:
                store = await opened.enter_async_context(open_store(target))
                break
            except Unavailable:
                await asyncio.sleep(0.2)
        yield await opened.enter_async_context(aclosing(watch(store, interval)))


async def wait_for_job(target: str, job_id: str) -> Job:
    """Return the job once it has ended."""
    async with watched(target, 0.1) as watching:
        async for jobs in watching:
            for job in jobs:
                if job.id == job_id and not job.in_flight:
                    return job
    raise AssertionError("the watch ended before the job")


async def read_job(target: str, job_id: str) -> Job:
    """Return the job as it is stored."""
    async with open_store(target, read_only=True) as store:
        return await Ledger(store).job(job_id)


async def run_here(request: JobRequest) -> Job:
    """Run a job to its end in this process, and return it as it is stored then."""
    specs: list[Mapping[str, str]] = []
    started = await start(request, spawn=specs.append)
    await worker.run(specs.pop())
    return await read_job(request.target, started.job_id)


async def waiting_worker(job_id: str, reason: str = "") -> LivingWorker:
    """Return the worker of a job of this machine once it waits, for a reason with these words."""
    seen: list[LivingWorker] = []

    async def waits() -> bool:
        worker = living_worker(job_id)
        seen[:] = [worker] if worker is not None and worker.wait is not None and reason in worker.wait.reason else []
        return bool(seen)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await until(waits)
    return seen[0]


async def begun_job(target: str) -> str:
    """Wait until the job of a store has written some batches; return its id."""
    async with open_store(target, read_only=True) as store:
        ledger = Ledger(store)

        async def begun() -> bool:
            jobs = await ledger.jobs()
            return bool(jobs) and (not jobs[0].in_flight or await ledger.step(jobs[0].id) >= 3)

        await until(begun)
        return (await ledger.jobs())[0].id
