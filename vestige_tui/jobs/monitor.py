"""Jobs of several stores at once: the open store and every store of the index."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import log_suppressed
from vestige_tui.jobs.known_stores import watched, with_password, without_password
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.store_identity import distinct_stores, same_store
from vestige_tui.jobs.worker_sign import with_living_worker
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job, JobFinding
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

INDEX_SECONDS = 2.0
RETRY_SECONDS = 10.0
IDLE_FACTOR, MAX_PAUSE_SECONDS = 9, 0.5
"""A slow poll is followed by a pause of IDLE_FACTOR times its duration, at most MAX_PAUSE_SECONDS."""
PATIENCE_SECONDS = 0.5
"""Limit of the wait for a store that does not answer; its late answer is used by a later poll."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class _WatchedStore:
    """One store of the index, opened read-only on first use; an unreachable one is retried later.

    Or the store of the caller, ``opened``, which stays open.
    """

    def __init__(self, url: str, opened: Store | None = None) -> None:
        self.url = url
        self._store = opened
        self._is_ours = opened is None
        self._opening: asyncio.Task[Store] | None = None
        self._query: asyncio.Task[tuple[Job, ...]] | None = None
        self._next_try = 0.0

    async def jobs(self) -> tuple[Job, ...] | None:
        """Return its jobs; None while it cannot be reached or does not answer."""
        store = self._opened()
        if store is None:
            return None
        if self._query is None:
            self._query = asyncio.create_task(Ledger(store).jobs())
        await asyncio.wait({self._query}, timeout=PATIENCE_SECONDS)
        if not self._query.done():
            return None
        query, self._query = self._query, None
        try:
            return query.result()
        except VestigeError as error:
            log_suppressed(log, "read the jobs of a known store", error)
            return None

    def _opened(self) -> Store | None:
        if self._opening is not None and self._opening.done():
            opening, self._opening = self._opening, None
            if opening.cancelled() or opening.exception() is not None:
                self._next_try = time.monotonic() + RETRY_SECONDS
                if not opening.cancelled() and (error := opening.exception()) is not None:
                    log_suppressed(log, "open a known store", error)
            else:
                self._store = opening.result()
        if self._store is None and self._opening is None and time.monotonic() >= self._next_try:
            self._opening = asyncio.create_task(_open(self.url))
        return self._store

    async def close(self) -> None:
        if self._query is not None:
            self._query.cancel()
            await asyncio.gather(self._query, return_exceptions=True)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
            self._store = self._opened()
        if self._store is not None and self._is_ours:
            await self._store.close()


async def findings(store: Store | None, job: Job, limit: int = 100, urls: Sequence[str] = ()) -> tuple[JobFinding, ...]:
    """Return the first findings of a job, from the store that holds its row.

    ``urls`` are known store URLs with their passwords.
    """
    async with _store_of(store, job, read_only=True, urls=urls) as holder:
        return (await Ledger(holder).findings(job.id, limit)).items


async def cancel(store: Store | None, job: Job, urls: Sequence[str] = ()) -> Literal["asked", "ended"]:
    """Stop work in the store that holds its row: a worker of ours at its next checkpoint, anything else at once.

    ``urls`` are known store URLs with their passwords. Raises Conflict if it has ended.
    """
    async with _store_of(store, job, read_only=False, urls=urls) as holder:
        return await Ledger(holder).cancel(job.id)


async def mark_failed(store: Store | None, job: Job, reason: str = "", urls: Sequence[str] = ()) -> None:
    """End work in flight as failed, in the store that holds its row. Raises Conflict if it has ended."""
    async with _store_of(store, job, read_only=False, urls=urls) as holder:
        await Ledger(holder).mark_failed(job.id, reason)


async def retry(store: Store | None, job: Job, urls: Sequence[str] = ()) -> str:
    """Start work again, in the store that holds its row, and return the new id.

    A job of ours continues from its checkpoint, in a worker of its own; a delegation is queued for the same callee.
    Raises Conflict if it is at work, or completed with nothing left to do.
    """
    if job.plan is not None:
        from vestige_tui.jobs.start import resume

        return (await resume(job, urls)).job_id
    async with _store_of(store, job, read_only=False, urls=urls) as holder:
        return await Ledger(holder).retry(job.id)


@asynccontextmanager
async def _store_of(
    store: Store | None, job: Job, *, read_only: bool, urls: Sequence[str] = ()
) -> AsyncIterator[Store]:
    """Yield the store that holds a job's row: the open one if it is that, and writable where needed."""
    if store is not None and same_store(store.location, job.store) and (read_only or not store.read_only):
        yield store
        return
    url = with_password(without_password(job.store), urls)
    async with open_store(url, read_only=read_only, max_connections=1) as opened:
        yield opened


async def _open(url: str) -> Store:
    store = open_store(url, read_only=True, max_connections=1)
    await store.open()
    return store


async def watch(
    store: Store | None, interval: float = 0.5, urls: Sequence[str] = (), known: Sequence[str] = ()
) -> AsyncGenerator[tuple[Job, ...], None]:
    """Yield all jobs, in flight first and then the newest, now and after each change.

    ``urls`` are known store URLs with their passwords; they replace the same stores of the index, which has none. So do
    those in ``known``, which are not polled themselves. Close the iterator (``aclose``) to close the stores it opened.
    A store that cannot be reached is left out until it can.
    """
    own = _WatchedStore(store.location, store) if store is not None else None
    others: dict[str, _WatchedStore] = {}
    last: tuple[Job, ...] | None = None
    jobs_by_url: dict[str, tuple[Job, ...]] = {}
    next_index = 0.0
    try:
        while True:
            start = time.monotonic()
            if start >= next_index:
                next_index = time.monotonic() + INDEX_SECONDS
                # Both may have grown since the last look.
                own_urls = () if store is None else (store.location,)
                listed_urls = distinct_stores((*map(without_password, urls), *watched()), leave_out=own_urls)
                polled = {url: with_password(url, (*urls, *known)) for url in listed_urls}
                stale = [url for url, other in others.items() if polled.get(url) != other.url]
                for url in stale:
                    await others.pop(url).close()
                    jobs_by_url.pop(url, None)
                for url, connection_url in polled.items():
                    others.setdefault(url, _WatchedStore(connection_url))
            if own is not None and (jobs := await own.jobs()) is not None:
                jobs_by_url[""] = jobs
            answers = await asyncio.gather(*(other.jobs() for other in others.values()))
            # Keep the last jobs of a store on view while it cannot be reached.
            jobs_by_url |= {url: jobs for url, jobs in zip(others, answers, strict=True) if jobs is not None}
            seconds = time.monotonic() - start
            merged = _merged(jobs_by_url.values())
            if merged != last:
                last = merged
                yield merged
            await asyncio.sleep(max(interval, min(IDLE_FACTOR * seconds, MAX_PAUSE_SECONDS)))
    finally:
        stores = [*others.values(), *([own] if own is not None else [])]
        await asyncio.gather(*(each.close() for each in stores), return_exceptions=True)


def _merged(groups: Iterable[tuple[Job, ...]]) -> tuple[Job, ...]:
    jobs: dict[str, Job] = {}
    for group in groups:
        # Jobs of a store that is away are kept; the waits of their workers are read here.
        jobs.update({job.id: with_living_worker(job) for job in group})
    newest = sorted(jobs.values(), key=lambda job: job.created_at or _NEVER, reverse=True)
    return tuple(sorted(newest, key=lambda job: not job.in_flight))
