"""Context of a running job: steps that commit work and checkpoint together, retried through an outage."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from vestige_tui.core.errors import Busy, Cancelled, Unavailable, VestigeError
from vestige_tui.core.jobs import JobProgress, JobWait, StepProgress, TableProgress
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.text import redact
from vestige_tui.jobs.checkpoints import step_number
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.stages import Stage, Stages
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.store.server_progress import watched

if TYPE_CHECKING:
    from vestige_tui.jobs.checkpoints import Checkpoint
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.store import Store

T = TypeVar("T")
log = logging.getLogger(__name__)

ROWS, INDEXES, VECTOR_INDEX, ENCODING, COMPARING = "rows", "indexes", "vector index", "encoding", "comparing"
"""Names of stages; the fraction of ROWS follows from the counts of the tables."""
SAMPLE_SECONDS = 0.5
RATE_HISTORY_LENGTH = 30
RATE_WINDOW_LENGTH = 10
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 0.2, 10.0
PATIENCE_SECONDS = 600.0
"""Limit of the retries of one step while the database does not answer."""


class Meter:
    """Progress of a job and its rate; starts with the counts of an earlier attempt."""

    def __init__(self, progress: JobProgress | None = None) -> None:
        self.phase = "counting"
        self.tables: dict[str, TableProgress] = dict(progress.tables) if progress else {}
        self.zero_vectors = progress.zero_vectors if progress else 0
        self.stages: Stages | None = None
        """Stages of the job, once they are planned."""
        self._compared = 0
        self._floor = progress.share or 0.0 if progress else 0.0
        self._samples: deque[tuple[float, int]] = deque(maxlen=RATE_WINDOW_LENGTH)
        self._rates: deque[float] = deque(progress.rates if progress else (), maxlen=RATE_HISTORY_LENGTH)

    def expect(self, name: str, total: int) -> None:
        """Set the number of rows that a table has to read; its other counts stay."""
        self.tables[name] = replace(self.tables.get(name, TableProgress()), total=total)

    def add(self, name: str, **counts: int) -> None:
        """Add to the counts of a table; its total grows if more rows were read than expected."""
        before = self.tables[name]
        after = replace(before, **{count: getattr(before, count) + value for count, value in counts.items()})
        self.tables[name] = replace(after, total=max(after.total, after.read)) if after.total is not None else after

    def plan(self, stages: Sequence[Stage]) -> None:
        """Set the stages of the job; the share that an earlier attempt or plan has reached is kept."""
        self.stages = Stages(stages, floor=max(self._floor, self.stages.share if self.stages else 0.0))

    def begin(self, stage: str) -> None:
        """Go on to a stage of the plan."""
        if self.stages is not None:
            self.stages.begin(stage)

    def reach(self, stage: str, fraction: float) -> None:
        """Set the fraction of a stage that is done, 0..1."""
        if self.stages is not None:
            self.stages.reach(stage, fraction)

    def note_compared(self, rows: int) -> None:
        """Count compared rows in the stage COMPARING."""
        self._compared += rows
        total = sum(table.total or 0 for table in self.tables.values())
        self.reach(COMPARING, self._compared / total if total else 1.0)

    def forget_comparison(self) -> None:
        """Reset the counts of differences, for a comparison that starts over."""
        for name, table in self.tables.items():
            self.tables[name] = replace(table, differ=0, only_source=0, only_target=0)

    def save_counts(self) -> tuple[dict[str, TableProgress], int]:
        """Return the counts before a step, for ``restore_counts`` after a rollback."""
        return dict(self.tables), self.zero_vectors

    def restore_counts(self, counts: tuple[dict[str, TableProgress], int]) -> None:
        self.tables, self.zero_vectors = dict(counts[0]), counts[1]

    def snapshot(self) -> JobProgress:
        """Return the progress now; samples the rate, at most every half second."""
        now, read = time.monotonic(), sum(table.read for table in self.tables.values())
        if not self._samples:
            self._samples.append((now, read))
        elif now - self._samples[-1][0] >= SAMPLE_SECONDS:
            previous, read_before = self._samples[-1]
            self._rates.append(round((read - read_before) / (now - previous), 1))
            self._samples.append((now, read))
        start, read_before = self._samples[0]
        rate = round((read - read_before) / (now - start), 1) if now > start else None
        remaining = sum(max(0, (table.total or 0) - table.read) for table in self.tables.values())
        eta = remaining / rate if remaining and rate else None
        if self.stages is not None:
            if self.stages.name == ROWS:
                total = sum(table.total or 0 for table in self.tables.values())
                self.stages.reach(ROWS, 1 - remaining / total if total else 1.0)
            eta = self.stages.seconds_left(eta if self.stages.name == ROWS else None)
        return JobProgress(
            phase=self.phase,
            tables=dict(self.tables),
            rate=rate,
            eta=round(eta, 1) if eta is not None else None,
            rates=tuple(self._rates),
            zero_vectors=self.zero_vectors,
            share=round(self.stages.share, 4) if self.stages is not None else None,
        )

    def live(self, stage: str, step: StepProgress, *, begun: float = 0.0, part: float = 1.0) -> JobProgress:
        """Return the progress while a stage is a statement of the server: the ``part`` of it from ``begun`` on."""
        self.begin(stage)
        if step.fraction is not None:
            self.reach(stage, begun + part * step.fraction)
        left = step.eta if part == 1.0 else None
        eta = self.stages.seconds_left(left) if self.stages is not None else step.eta
        share = round(self.stages.share, 4) if self.stages is not None else None
        return JobProgress(phase=self.phase, share=share, step=step, eta=None if eta is None else round(eta, 1))


class Backoff:
    """Pauses between retries, each twice as long as the one before, for at most PATIENCE_SECONDS in all."""

    def __init__(self) -> None:
        self._first_failure: float | None = None
        self._pause = FIRST_WAIT_SECONDS

    @property
    def has_failed(self) -> bool:
        return self._first_failure is not None

    def after(self, error: VestigeError) -> float:
        """Return the pause after an error in seconds. Raises the error once patience is over."""
        now = time.monotonic()
        if self._first_failure is None:
            self._first_failure = now
        if now - self._first_failure > PATIENCE_SECONDS:
            raise error
        pause, self._pause = self._pause, min(2 * self._pause, MAX_WAIT_SECONDS)
        log_suppressed(log, "reach the database; retrying", error)
        log.debug("Retry in %.1f s: %s", pause, error)
        return pause


@dataclass(slots=True)
class JobContext:
    """State of one attempt. ``store`` holds its row; ``source`` and ``target`` are URLs, which may hold passwords."""

    store: Store
    job_id: str
    kind: str
    source: str = field(repr=False)
    target: str = field(repr=False)
    options: Mapping[str, Any]
    moment: datetime
    """Start of the plan's first attempt: the same in each attempt."""
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """Stored form after the last step of this attempt, or of the one before; empty at the beginning. Each kind of job
    reads it with its own typed class."""
    meter: Meter = field(default_factory=Meter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to end the job at its next checkpoint."""
    _waits: dict[object, JobWait] = field(default_factory=dict, repr=False)

    @property
    def wait(self) -> JobWait | None:
        """Return the longest of the waits of this attempt that last now; None without one."""
        return next(iter(self._waits.values()), None)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store)

    def check(self) -> None:
        """Raise Cancelled if the user asked the job to stop."""
        if self.stop.is_set():
            raise Cancelled(CANCELLED)

    async def phase(self, label: str) -> None:
        """Set the phase shown as progress, and store it."""
        self.meter.phase = label
        await self.save()

    async def save(self, checkpoint: Checkpoint | None = None) -> None:
        """Store progress and checkpoint, without other work."""
        await self.step(_nothing, checkpoint)

    def amend(self, checkpoint: Checkpoint) -> None:
        """Change the checkpoint in memory; the next step stores it."""
        self.checkpoint = {**checkpoint.to_json(), "step": step_number(self.checkpoint)}

    async def step(self, work: Callable[[Transaction], Awaitable[T]], checkpoint: Checkpoint | None = None) -> T:
        """Run ``work`` and store its checkpoint in one transaction; retry with backoff through an outage.

        Without a ``checkpoint`` the last one stays, with another step number.
        ``work`` may count with ``meter``: a rollback restores the counts. It may run more than once. A commit may
        succeed although its answer is lost: the step number in the stored checkpoint then tells, so that the step
        counts once (idempotent), with the result of the lost run. Raises Cancelled if another process ended the job in
        the ledger.
        """
        self.check()
        number = step_number(self.checkpoint) + 1
        fields = self.checkpoint if checkpoint is None else checkpoint.to_json()
        next_checkpoint = {**fields, "step": number}
        counts = self.meter.save_counts()
        results: list[T] = []

        async def once() -> None:
            results.clear()
            self.meter.restore_counts(counts)
            async with self.store.backend.write() as transaction:
                results.append(await work(transaction))
                if not await self.ledger.note(transaction, self.job_id, self.meter.snapshot(), next_checkpoint):
                    # Another process ended this job in the ledger: roll this transaction back, too.
                    raise Cancelled(CANCELLED)

        async def is_committed() -> bool:
            counts_after = self.meter.save_counts()
            if results and await self.ledger.step(self.job_id) == number:
                self.meter.restore_counts(counts_after)
                return True
            return False

        try:
            await self._retry(once, is_committed)
        except BaseException:
            self.meter.restore_counts(counts)
            raise
        self.checkpoint = next_checkpoint
        return results[0]

    async def complete(self, work: Callable[[Transaction], Awaitable[None]], result: str) -> None:
        """Run the last ``work`` in the transaction that completes the job, with its result in words.

        Raises Cancelled if another process ended the job in the ledger.
        """

        async def once() -> None:
            async with self.store.backend.write() as transaction:
                await work(transaction)
                if not await self.ledger.note(transaction, self.job_id, self.meter.snapshot(), self.checkpoint):
                    raise Cancelled(CANCELLED)
                await self.ledger.settle(transaction, self.job_id, "completed", result=result)

        async def is_committed() -> bool:
            return (await self.ledger.job(self.job_id)).status == "completed"

        await self._retry(once, is_committed)

    @asynccontextmanager
    async def watching(
        self, stage: str, *, expected: int = 0, begun: float = 0.0, part: float = 1.0
    ) -> AsyncIterator[None]:
        """Store the progress of the index build that the block waits for, once a second.

        ``expected`` tuples are in its table; the build is the ``part`` of the stage from ``begun`` on.
        """

        async def show(step: StepProgress) -> None:
            await self.ledger.note_live(self.job_id, self.meter.live(stage, step, begun=begun, part=part))

        async with watched(self.store.backend, "index", show, expected=expected):
            yield

    async def with_retries(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work``; retry with exponential backoff for at most PATIENCE_SECONDS while the database does not answer.

        Raises the error of the last retry.
        """
        results: list[T] = []

        async def once() -> None:
            results.append(await work())

        await self._retry(once, _never)
        return results[-1]

    async def persist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` as ``with_retries`` does, also after the job was asked to stop: it records the end."""
        await self._retry(work, _never, heeds_stop=False)

    async def _retry(
        self, work: Callable[[], Awaitable[None]], is_done: Callable[[], Awaitable[bool]], *, heeds_stop: bool = True
    ) -> None:
        """Retry as ``with_retries`` says; ``is_done`` tells before each retry that a lost commit has succeeded."""
        pauses = Backoff()
        token = object()
        try:
            while True:
                try:
                    if pauses.has_failed and await is_done():
                        return
                    await work()
                    return
                except (Unavailable, Busy) as error:
                    pause = pauses.after(error)
                    since = self._waits[token].since if token in self._waits else datetime.now(UTC)
                    self._waits[token] = JobWait(redact(error.message), since)
                if not heeds_stop:
                    await asyncio.sleep(pause)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self.stop.wait()
                self.check()
        finally:
            self._waits.pop(token, None)


async def _never() -> bool:
    return False


async def _nothing(transaction: Transaction) -> None:
    """Empty step: it only stores progress and checkpoint."""
