"""A job as its worker runs it: steps that are each one transaction with their checkpoint, and survive an outage."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from vestige_tui.core.errors import Busy, Cancelled, Unavailable
from vestige_tui.core.jobs import JobProgress, TableProgress
from vestige_tui.core.text import redact
from vestige_tui.jobs.ledger import CANCELLED, Ledger

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.store import Store

T = TypeVar("T")
log = logging.getLogger("vestige_tui.jobs")

SAMPLE_SECONDS = 0.5
SAMPLES = 30
RATE_SAMPLES = 10
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
PATIENCE_SECONDS = 600.0
"""How long a job waits for a database that does not answer."""


class Meter:
    """How far a job is, and how fast; ``resume`` goes on from what an earlier attempt had done."""

    def __init__(self, progress: JobProgress | None = None) -> None:
        self.phase = "counting"
        self.tables: dict[str, TableProgress] = dict(progress.tables) if progress else {}
        self.zero_vectors = progress.zero_vectors if progress else 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=RATE_SAMPLES)
        self._rates: deque[float] = deque(progress.rates if progress else (), maxlen=SAMPLES)

    def expect(self, name: str, total: int) -> None:
        """Say how many rows a table has to read; what was counted of it before stays."""
        self.tables[name] = replace(self.tables.get(name, TableProgress()), total=total)

    def add(self, name: str, **more: int) -> None:
        """Count more of a table; where it grew while it was read, there is more to read than was expected."""
        before = self.tables[name]
        now = replace(before, **{count: getattr(before, count) + value for count, value in more.items()})
        self.tables[name] = replace(now, total=max(now.total, now.read)) if now.total is not None else now

    def forget_comparison(self) -> None:
        """Count nothing as different: a comparison begins anew."""
        for name, table in self.tables.items():
            self.tables[name] = replace(table, differ=0, only_source=0, only_target=0)

    def keep(self) -> tuple[dict[str, TableProgress], int]:
        """What ``put_back`` takes: the counts before a step that may be taken back."""
        return dict(self.tables), self.zero_vectors

    def put_back(self, kept: tuple[dict[str, TableProgress], int]) -> None:
        self.tables, self.zero_vectors = dict(kept[0]), kept[1]

    def snapshot(self) -> JobProgress:
        """The present state; also takes a sample of the speed, at most every half second."""
        now, read = time.monotonic(), sum(table.read for table in self.tables.values())
        if not self._marks:
            self._marks.append((now, read))
        elif now - self._marks[-1][0] >= SAMPLE_SECONDS:
            before, had = self._marks[-1]
            self._rates.append(round((read - had) / (now - before), 1))
            self._marks.append((now, read))
        began, had = self._marks[0]
        rate = round((read - had) / (now - began), 1) if now > began else None
        left = sum(max(0, (table.total or 0) - table.read) for table in self.tables.values())
        return JobProgress(
            phase=self.phase,
            tables=dict(self.tables),
            rate=rate,
            eta=round(left / rate, 1) if left and rate else None,
            rates=tuple(self._rates),
            zero_vectors=self.zero_vectors,
        )


@dataclass(slots=True)
class JobContext:
    """One attempt. ``store`` holds its row; ``source`` and ``target`` are URLs, which may hold passwords."""

    store: Store
    job_id: str
    kind: str
    source: str = field(repr=False)
    target: str = field(repr=False)
    options: Mapping[str, Any]
    moment: datetime
    """When the plan was tried for the first time: the same in each attempt."""
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """From where to go on: what the last step of this attempt, or of the one before, left; empty at the beginning."""
    meter: Meter = field(default_factory=Meter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the job should end at its next checkpoint."""

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store)

    def check(self) -> None:
        """Raises Cancelled where a person asked the job to stop."""
        if self.stop.is_set():
            raise Cancelled(CANCELLED)

    async def phase(self, words: str) -> None:
        """Say what the job is at now."""
        self.meter.phase = words
        await self.step(_nothing)

    async def step(self, work: Callable[[Transaction], Awaitable[T]], checkpoint: Mapping[str, Any] | None = None) -> T:
        """Do a piece of work in one transaction with its checkpoint; where the database goes away, wait and go on.

        ``work`` may count with ``meter``: what is rolled back is not counted. It may run more than once, and what it
        did may have arrived although the answer was lost, which the number of the step in the checkpoint then tells;
        its result is then that of the run that was lost. Raises Cancelled where somebody ended the job in the ledger.
        """
        self.check()
        number = int(self.checkpoint.get("step", 0)) + 1
        upcoming = {**self.checkpoint, **(checkpoint or {}), "step": number}
        kept = self.meter.keep()
        result: list[T] = []

        async def once() -> None:
            result.clear()
            self.meter.put_back(kept)
            async with self.store.backend.write() as transaction:
                result.append(await work(transaction))
                if not await self.ledger.note(transaction, self.job_id, self.meter.snapshot(), upcoming):
                    # Somebody has ended this job in the ledger: what is in this transaction is taken back, too.
                    raise Cancelled(CANCELLED)

        async def arrived() -> bool:
            counted = self.meter.keep()
            if result and await self.ledger.step(self.job_id) == number:
                self.meter.put_back(counted)
                return True
            return False

        try:
            await self.with_retries(once, arrived)
        except BaseException:
            self.meter.put_back(kept)
            raise
        self.checkpoint = upcoming
        return result[0]

    async def complete(self, work: Callable[[Transaction], Awaitable[None]], result: str) -> None:
        """Do the last piece of work, in the transaction that ends the job as completed, with its result in words.

        Raises Cancelled where somebody ended the job in the ledger.
        """

        async def once() -> None:
            async with self.store.backend.write() as transaction:
                await work(transaction)
                if not await self.ledger.note(transaction, self.job_id, self.meter.snapshot(), self.checkpoint):
                    raise Cancelled(CANCELLED)
                await self.ledger.settle(transaction, self.job_id, "completed", result=result)

        async def arrived() -> bool:
            return (await self.ledger.job(self.job_id)).status == "completed"

        await self.with_retries(once, arrived)

    async def with_retries(
        self, work: Callable[[], Awaitable[T]], arrived: Callable[[], Awaitable[bool]] | None = None
    ) -> T | None:
        """Do ``work``, again and again while the database does not answer, for as long as patience lasts.

        ``arrived`` is asked before it is done again: None is then the result. Raises what the last try raised.
        """
        wait, since = FIRST_WAIT, 0.0
        while True:
            try:
                if since and arrived is not None and await arrived():
                    return None
                return await work()
            except (Unavailable, Busy) as error:
                now = time.monotonic()
                since = since or now
                if now - since > PATIENCE_SECONDS:
                    raise
                log.warning("waiting for the database: %s", redact(error.message))
            try:
                await asyncio.wait_for(self.stop.wait(), wait)
            except TimeoutError:
                wait = min(2 * wait, LONGEST_WAIT)
            self.check()


async def _nothing(transaction: Transaction) -> None:
    """A step that only says how far the job is."""
