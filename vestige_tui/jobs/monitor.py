"""The jobs of several stores at once: those of the open store and of every store that the index names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from vestige_tui.core.errors import VestigeError
from vestige_tui.jobs.known_stores import watched, with_passwords, without_password
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job, JobFinding
    from vestige_tui.store.store import Store

INDEX_SECONDS = 2.0
RETRY_SECONDS = 10.0
IDLE, LONGEST_PAUSE = 9, 0.5
"""A look that takes long, because there is much to list, is followed by a pause of so many times as long."""
PATIENCE_SECONDS = 0.5
"""How long the others wait for a store that does not answer; its answer is taken when it comes."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class _Watched:
    """One store of the index, opened read-only when first asked; one that cannot be reached is tried again later."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store: Store | None = None
        self._opening: asyncio.Task[Store] | None = None
        self._asking: asyncio.Task[tuple[Job, ...]] | None = None
        self._next_try = 0.0

    async def jobs(self) -> tuple[Job, ...] | None:
        """Its jobs; None while it cannot be reached, or does not answer."""
        store = self._opened()
        if store is None:
            return None
        if self._asking is None:
            self._asking = asyncio.create_task(Ledger(store).jobs())
        await asyncio.wait({self._asking}, timeout=PATIENCE_SECONDS)
        if not self._asking.done():
            return None
        asked, self._asking = self._asking, None
        try:
            return asked.result()
        except VestigeError:
            return None

    def _opened(self) -> Store | None:
        if self._opening is not None and self._opening.done():
            opening, self._opening = self._opening, None
            if opening.cancelled() or opening.exception() is not None:
                self._next_try = time.monotonic() + RETRY_SECONDS
            else:
                self._store = opening.result()
        if self._store is None and self._opening is None and time.monotonic() >= self._next_try:
            self._opening = asyncio.create_task(_open(self.url))
        return self._store

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._opening is not None:
            self._opening.cancel()
            with suppress(VestigeError, asyncio.CancelledError):
                self._store = await self._opening
        if self._store is not None:
            await self._store.close()


async def findings(store: Store | None, job: Job, limit: int = 100, urls: Sequence[str] = ()) -> tuple[JobFinding, ...]:
    """What became of single rows of a job, the first of them, wherever its row lies.

    ``urls`` are stores known here with their passwords.
    """
    async with _holding(store, job, read_only=True, urls=urls) as holder:
        return (await Ledger(holder).findings(job.id, limit)).items


async def cancel(store: Store | None, job: Job, urls: Sequence[str] = ()) -> Literal["asked", "ended"]:
    """Stop work, wherever its row lies: one of our workers at its next checkpoint, anything else at once.

    ``urls`` are stores known here with their passwords. Raises Conflict where it has ended.
    """
    async with _holding(store, job, read_only=False, urls=urls) as holder:
        return await Ledger(holder).cancel(job.id)


async def mark_failed(store: Store | None, job: Job, reason: str = "", urls: Sequence[str] = ()) -> None:
    """End work in flight as failed, wherever its row lies. Raises Conflict where it has ended."""
    async with _holding(store, job, read_only=False, urls=urls) as holder:
        await Ledger(holder).mark_failed(job.id, reason)


async def retry(store: Store | None, job: Job, urls: Sequence[str] = ()) -> str:
    """Begin work again, wherever its row lies, and give the id of the new one.

    A job of ours goes on from its checkpoint, in a worker of its own; a delegation is queued for whom it was given to.
    Raises Conflict where it is at work, or completed with nothing left to do.
    """
    if job.plan is not None:
        from vestige_tui.jobs.start import resume

        return (await resume(job, urls)).job_id
    async with _holding(store, job, read_only=False, urls=urls) as holder:
        return await Ledger(holder).retry(job.id)


@asynccontextmanager
async def _holding(store: Store | None, job: Job, *, read_only: bool, urls: Sequence[str] = ()) -> AsyncIterator[Store]:
    """The store that a job's row lies in: the open one where it is that, and may be written where need be."""
    if store is not None and store.location == job.store and (read_only or not store.read_only):
        yield store
        return
    where = without_password(job.store)
    async with open_store(with_passwords(urls).get(where, where), read_only=read_only, max_connections=1) as opened:
        yield opened


async def _open(url: str) -> Store:
    store = open_store(url, read_only=True, max_connections=1)
    await store.open()
    return store


async def watch(
    store: Store | None, interval: float = 0.5, urls: Sequence[str] = (), known: Sequence[str] = ()
) -> AsyncGenerator[tuple[Job, ...], None]:
    """All jobs, in flight first and then the newest, now and whenever something about them has changed.

    ``urls`` are stores known here with their passwords; they stand for the same stores of the index, which has none.
    So do those that are ``known``, which are not looked at for themselves.
    Close the iterator (``aclose``) to close what it opened. A store that cannot be reached is left out until it can.
    """
    others: dict[str, _Watched] = {}
    last: tuple[Job, ...] | None = None
    seen: dict[str, tuple[Job, ...]] = {}
    next_index = 0.0
    try:
        while True:
            began = time.monotonic()
            if began >= next_index:
                next_index = time.monotonic() + INDEX_SECONDS
                # More of them may be known than when this began.
                reached = with_passwords((*urls, *known))
                here = None if store is None else without_password(store.location)
                wanted = [url for url in dict.fromkeys((*map(without_password, urls), *watched())) if url != here]
                gone = [url for url, other in others.items() if url not in wanted or other.url != reached.get(url, url)]
                for url in gone:
                    await others.pop(url).close()
                    seen.pop(url, None)
                for url in wanted:
                    others.setdefault(url, _Watched(reached.get(url, url)))
            if store is not None:
                with suppress(VestigeError):
                    seen[""] = await Ledger(store).jobs()
            answers = await asyncio.gather(*(other.jobs() for other in others.values()))
            # What was last seen of a store stays on view while it cannot be reached.
            seen |= {url: found for url, found in zip(others, answers, strict=True) if found is not None}
            took = time.monotonic() - began
            merged = _merged(seen.values())
            if merged != last:
                last = merged
                yield merged
            await asyncio.sleep(max(interval, min(IDLE * took, LONGEST_PAUSE)))
    finally:
        await asyncio.gather(*(other.close() for other in others.values()), return_exceptions=True)


def _merged(groups: Iterable[tuple[Job, ...]]) -> tuple[Job, ...]:
    jobs: dict[str, Job] = {}
    for group in groups:
        jobs.update({job.id: job for job in group})
    newest = sorted(jobs.values(), key=lambda job: job.created_at or _NEVER, reverse=True)
    return tuple(sorted(newest, key=lambda job: not job.in_flight))
