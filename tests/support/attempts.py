"""Attempts of a copy in this process, to be stopped, broken off or watched."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any

import psycopg

from vestige_tui.core.jobs import JobFinding
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.jobs.worker import claim
from vestige_tui.store.open import open_store
from vestige_tui.transfer import copy


@asynccontextmanager
async def claimed_copy(source: str, target: str, **options: Any) -> AsyncIterator[JobContext]:
    """Start a copy, or its next attempt, claim it for this process, and open the store of its target."""
    specs: list[Mapping[str, str]] = []
    await start(JobRequest("copy", source, target, {"verify": False, **options}), spawn=specs.append)
    async with open_store(target) as store:
        context = await claim(store, specs.pop())
        assert context is not None
        yield context


async def attempt(source: str, target: str, **options: Any) -> tuple[JobContext, str]:
    """Run one attempt of a copy in this process; return its context and its summary."""
    async with claimed_copy(source, target, **options) as running:
        return running, await run_to_end(running)


async def run_to_end(running: JobContext) -> str:
    """Run a copy, record its end in the ledger, and return its summary."""
    try:
        result = await copy.run(running)
    except BaseException as error:
        await running.ledger.transition(running.job_id, "failed", error=str(error))
        raise
    await running.ledger.transition(running.job_id, "completed", result=result)
    return result


async def findings_of(target: str, running: JobContext) -> list[JobFinding]:
    async with open_store(target) as store:
        return list((await Ledger(store).findings(running.job_id, limit=1_000)).items)


def change(target: str, sql: str) -> None:
    """Change a target by its driver alone."""
    if target.startswith("postgres"):
        with psycopg.connect(target) as server:
            server.execute(sql.encode())
    else:
        with closing(sqlite3.connect(target.removeprefix("sqlite:"))) as connection, connection:
            connection.execute(sql)
