"""Sweeper: ends work in the ledger of an open store that no worker will end any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.text import duration, grouped
from vestige_tui.jobs.ledger import STUCK_AFTER, Ledger, SweepResult
from vestige_tui.store.schema.rows import as_time

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

SWEEP_SECONDS = 300.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


async def sweep(store: Store, *, since: datetime | None = None, threshold: timedelta = STUCK_AFTER) -> SweepResult:
    """Sweep a store's ledger once; grace counts from the server's start, or from ``since`` if that is later."""
    [server] = await store.backend.fetch("describe_server")
    # A server that was down recorded no heartbeats.
    server_start = as_time(server.get("started_at")) or _LONG_AGO
    return await Ledger(store).sweep(now=store.now(), since=max(server_start, since or _LONG_AGO), threshold=threshold)


async def sweeping(
    store: Store, interval: float = SWEEP_SECONDS, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncGenerator[SweepResult, None]:
    """Sweep now and every ``interval`` seconds; yield each result that changed something.

    A store that is open read-only is left alone; one that cannot be reached is swept next time.
    """
    since = last = store.now()
    while not store.read_only:
        now = store.now()
        if now - last > timedelta(seconds=2 * interval):
            # The machine slept, and its workers with it.
            since = now
        last = now
        result = SweepResult()
        with suppress(VestigeError):
            result = await sweep(store, since=since)
        if result.deadline_failures or result.stuck_marked:
            yield result
        await pause(interval)


def sweep_summary(result: SweepResult, threshold: timedelta = STUCK_AFTER) -> str:
    """Return a sweep's result in a sentence or two."""
    sentences = []
    if count := result.deadline_failures:
        sentences.append(f"{_jobs(count)} over {'its' if count == 1 else 'their'} deadline and failed.")
    if count := result.stuck_marked:
        silence = duration(threshold.total_seconds())
        sentences.append(f"{_jobs(count)} stuck: no sign of life for more than {silence}.")
    if count := result.errors:
        sentences.append(f"{grouped(count)} could not be settled.")
    return " ".join(sentences) or "Nothing was over its deadline, and nothing is newly stuck."


def _jobs(count: int) -> str:
    return "1 job is" if count == 1 else f"{grouped(count)} jobs are"
