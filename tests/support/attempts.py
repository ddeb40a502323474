"""Attempts of a copy in this process, so that a test can stop, kill or watch them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import psycopg

from vestige_tui.core.jobs import JobFinding
from vestige_tui.jobs.context import JobContext, Meter
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, check
from vestige_tui.store.open import open_store
from vestige_tui.transfer import copy


@asynccontextmanager
async def taken_up(source: str, target: str, **options: Any) -> AsyncIterator[JobContext]:
    """A copy that this process has begun, or goes on with, in the open store of its target."""
    checked = await check(JobRequest("copy", source, target, {"verify": False, **options}))
    async with open_store(target, create=True) as store:
        ledger = Ledger(store)
        run = await ledger.start(
            kind="copy",
            source=checked.source,
            target=checked.target,
            model=checked.model,
            task=checked.task,
            owner="test",
            options=checked.options,
        )
        taken = await ledger.take(run.id, "test")
        assert taken is not None
        yield JobContext(
            store,
            run.id,
            "copy",
            source=source,
            target=target,
            options=taken.options,
            moment=taken.first_started,
            checkpoint=dict(taken.checkpoint),
            meter=Meter(taken.progress),
        )


async def attempt(source: str, target: str, **options: Any) -> tuple[JobContext, str]:
    """One attempt of a copy in this process."""
    async with taken_up(source, target, **options) as running:
        ledger = running.ledger
        try:
            result = await copy.run(running)
        except BaseException as error:
            await ledger.transition(running.job_id, "failed", error=str(error))
            raise
        await ledger.transition(running.job_id, "completed", result=result)
        return running, result


async def findings_of(target: str, running: JobContext) -> list[JobFinding]:
    async with open_store(target) as store:
        return list((await Ledger(store).findings(running.job_id, limit=1_000)).items)


def change(target: str, sql: str) -> None:
    """Change a target behind its back."""
    if target.startswith("postgres"):
        with psycopg.connect(target) as server:
            server.execute(sql.encode())
    else:
        with closing(sqlite3.connect(target.removeprefix("sqlite:"))) as connection, connection:
            connection.execute(sql)
