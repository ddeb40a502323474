"""Jobs of a store: read from its ledger, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from vestige_tui.core.errors import Unavailable
from vestige_tui.core.jobs import Job
from vestige_tui.jobs import worker
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.monitor import watch
from vestige_tui.jobs.start import JobRequest, start
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
