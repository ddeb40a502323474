"""Copy the rows of all tables in batches, with prefetch; each batch is one transaction with its checkpoint."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Busy, Unavailable
from vestige_tui.core.jobs import JobFinding
from vestige_tui.core.log import log_suppressed
from vestige_tui.transfer.copy_checkpoint import CopyCheckpoint, UnconfirmedBatch
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.second_transaction import SecondTransaction
from vestige_tui.transfer.sync_state import failed_row_state, row_state_of, written_states
from vestige_tui.transfer.table_spec import USERS

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext, Meter
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.convert import TransferContext, TransferRow
    from vestige_tui.transfer.protocols import Batch, Key, Source, Target, WriteOutcome
    from vestige_tui.transfer.sync_state import RowState, SyncState
    from vestige_tui.transfer.table_spec import Table

log = logging.getLogger(__name__)

BATCH_ROWS = 500
MAX_BATCH_ROWS = 4_000
MAX_BATCH_BYTES = 8_000_000
QUICK_SECONDS, SLOW_SECONDS = 0.3, 0.8
"""Write time of a batch below which the next one is larger, and above which it is smaller."""
LOG_ROWS = 1_000


class RowCopier:
    """Copies the rows from the position of the checkpoint to the end.

    ``ask_source`` runs a query on the source in a thread. ``parallel``: two batches of a large table that was empty are
    written at once.
    """

    def __init__(
        self,
        context: JobContext,
        source: Source,
        target: Target,
        sync_state: SyncState,
        tables: Sequence[Table],
        transfer_context: TransferContext,
        ask_source: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]],
        *,
        parallel: bool,
    ) -> None:
        self._context = context
        self._meter = context.meter
        self._source = source
        self._target = target
        self._sync_state = sync_state
        self._tables = tables
        self._transfer_context = transfer_context
        self._ask_source = ask_source
        self._parallel = parallel
        self._batch_rows = max(1, min(int(context.options.get("batch", BATCH_ROWS)), MAX_BATCH_ROWS))
        """Batch size, doubled while writes are quick and halved while they are slow."""

    @property
    def _checkpoint(self) -> CopyCheckpoint:
        return CopyCheckpoint.from_json(self._context.checkpoint)

    async def run(self) -> None:
        """Read all users as possible owners, then copy table by table."""
        await self._ask_source(self._read_users)
        await self._copy_tables()

    def _read_users(self) -> None:
        """Read all users as possible owners, also those that an earlier attempt has copied."""
        after = self._source.start(USERS.name)
        while (batch := self._read(USERS, after, MAX_BATCH_ROWS)).read:
            after = batch.after

    async def _copy_tables(self) -> None:
        """Copy table by table from the checkpoint, with prefetch of the next batches."""
        checkpoint, names = self._checkpoint, [table.name for table in self._tables]
        table_index, after = checkpoint.resume_at(names, self._source.start(names[0]))
        last_begun = -1
        if checkpoint.position is not None:
            last_begun = table_index
            await self._rewrite_unconfirmed(self._tables[table_index])
        first_read = self._ask_source(partial(self._read_ahead, table_index, after))
        read_task: asyncio.Task[_BatchesAhead | None] = asyncio.create_task(first_read)
        try:
            while ahead := await asyncio.shield(read_task):
                # Prefetch: the next batches are read and converted while the database writes these.
                read_next = partial(self._read_ahead, ahead.table_index, ahead.batches[-1].batch.after)
                read_task = asyncio.create_task(self._ask_source(read_next))
                await self._begin_tables(last_begun + 1, ahead.table_index)
                last_begun = ahead.table_index
                await self._write_batches(self._tables[last_begun], ahead.batches)
            await self._begin_tables(last_begun + 1, len(self._tables) - 1)
        finally:
            # The thread cannot be stopped; closing the source interrupts its read.
            read_task.cancel()
            await asyncio.wait({read_task})
            if not read_task.cancelled():
                read_task.exception()

    async def _write_batches(self, table: Table, batches: Sequence[_PreparedBatch]) -> None:
        began, before = time.monotonic(), self._meter.tables[table.name]
        self._meter.phase = f"copying {table.name}"
        if len(batches) == 2 and _share_no_row(*batches):
            await self._write_in_parallel(table, *batches)
        else:
            for prepared in batches:
                await self._write(table, prepared, self._was_empty(table))
        elapsed, after = time.monotonic() - began, self._meter.tables[table.name]
        if before.read // LOG_ROWS != after.read // LOG_ROWS:
            log.info("%s: %s of %s rows read, %s inserted", table.name, after.read, after.total, after.inserted)
        if elapsed < QUICK_SECONDS and batches[0].batch.read == self._batch_rows:
            self._batch_rows = min(self._batch_rows * 2, MAX_BATCH_ROWS)
        elif elapsed > SLOW_SECONDS:
            self._batch_rows = max(self._batch_rows // 2, 1)

    def _was_empty(self, table: Table) -> bool:
        """Check whether the table was empty when the copy began."""
        return table.name in self._checkpoint.empty_tables

    def _read(self, table: Table, after: Key, limit: int) -> Batch:
        return self._source.read(table, after, limit, MAX_BATCH_BYTES, self._transfer_context)

    def _read_ahead(self, table_index: int, after: Key) -> _BatchesAhead | None:
        """Read the next one or two batches, of this table or a later one; None after the last."""
        for index in range(table_index, len(self._tables)):
            table = self._tables[index]
            if index > table_index:
                after = self._source.start(table.name)
            batch_count = 2 if self._parallel and table.parallel and self._was_empty(table) else 1
            batches: list[_PreparedBatch] = []
            while len(batches) < batch_count and (batch := self._read(table, after, self._batch_rows)).read:
                batches.append(_PreparedBatch(batch, [row_state_of(table.name, row) for row in batch.rows]))
                after = batch.after
            if batches:
                return _BatchesAhead(index, batches)
        return None

    async def _begin_tables(self, first: int, last: int) -> None:
        """Begin a range of tables: count their rows without a key as failed."""
        for table in self._tables[first : last + 1]:
            keyless = (await self._ask_source(partial(self._source.count, table.name))).keyless
            if keyless:
                await self._count_keyless(table, keyless)

    async def _count_keyless(self, table: Table, keyless: int) -> None:
        finding = JobFinding(table.name, "failed", "NULL", f"{keyless:,} rows have no id.")

        async def count(transaction: Transaction) -> None:
            self._meter.add(table.name, read=keyless, failed=keyless)
            await self._add_findings(transaction, [finding])

        await self._context.step(count, self._checkpoint.written(table.name, self._source.start(table.name)))

    async def _write(self, table: Table, prepared: _PreparedBatch, fresh: bool) -> None:
        async def write(transaction: Transaction) -> None:
            outcome = await self._target.write(transaction, table, prepared.batch.rows, fresh=fresh)
            await self._count(transaction, table, prepared, outcome)

        await self._context.step(write, self._checkpoint.written(table.name, prepared.batch.after))

    async def _write_in_parallel(self, table: Table, first: _PreparedBatch, second: _PreparedBatch) -> None:
        """Write two batches at once, the second in a transaction that commits after the checkpoint that counts it.

        After a failure between the two commits the second batch is unconfirmed; it is written again, uncounted.
        """
        second_transaction = SecondTransaction(self._context.store.backend)

        async def write(transaction: Transaction) -> None:
            other = await second_transaction.begin()
            outcomes = await asyncio.gather(
                self._target.write(transaction, table, first.batch.rows, fresh=True),
                self._target.write(other, table, second.batch.rows, fresh=True),
                return_exceptions=True,
            )
            for prepared, outcome in zip((first, second), outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                await self._count(transaction, table, prepared, outcome)

        unconfirmed = UnconfirmedBatch(first.batch.after, second.batch.read)
        try:
            await self._context.step(write, self._checkpoint.written(table.name, second.batch.after, unconfirmed))
        except BaseException:
            await second_transaction.roll_back()
            raise
        try:
            await second_transaction.commit()
        except (Unavailable, Busy) as error:
            log_suppressed(log, "commit the second batch; writing it again", error)
            await self._rewrite_unconfirmed(table)
        else:
            self._context.amend(self._checkpoint.confirmed())

    async def _count(
        self, transaction: Transaction, table: Table, prepared: _PreparedBatch, outcome: WriteOutcome
    ) -> None:
        failed = prepared.batch.failed
        self._meter.add(table.name, read=len(failed), failed=len(failed))
        findings = [*failed, *count_written(self._meter, table, prepared.batch.rows, outcome)]
        await self._sync_state.add(
            transaction, table.name, [*written_states(prepared.states, outcome), *map(failed_row_state, failed)]
        )
        await self._add_findings(transaction, findings)

    async def _rewrite_unconfirmed(self, table: Table) -> None:
        """Write the unconfirmed batch again, which the last checkpoint has counted.

        Its rows are found by their recorded keys, because the source may have changed since.
        """
        unconfirmed = self._checkpoint.unconfirmed
        if unconfirmed is None:
            return
        after = unconfirmed.after
        rows: list[TransferRow] = []
        missing_keys: set[int] = set()
        if self._sync_state.blind:
            # Without sync state, the same number of rows behind the key is the best guess.
            batch = await self._ask_source(partial(self._read, table, after, unconfirmed.rows))
            rows += batch.rows
        else:
            missing_keys = await self._sync_state.last_keys()
        while (
            missing_keys and (batch := await self._ask_source(partial(self._read, table, after, MAX_BATCH_ROWS))).read
        ):
            after = batch.after
            for row in batch.rows:
                if (key := row_state_of(table.name, row).key) in missing_keys:
                    missing_keys.remove(key)
                    rows.append(row)

        async def write(transaction: Transaction) -> None:
            await self._target.write(transaction, table, rows, fresh=False)

        await self._context.step(write, self._checkpoint.confirmed())

    async def _add_findings(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._context.ledger.add_findings(transaction, self._context.job_id, findings)


def count_written(meter: Meter, table: Table, rows: Sequence[TransferRow], outcome: WriteOutcome) -> list[JobFinding]:
    """Count the outcome of a write; return the findings about single rows."""
    findings: list[JobFinding] = []
    repaired = 0
    for position, row in enumerate(rows):
        if position in outcome.refused:
            findings.append(JobFinding(table.name, "failed", row.key, sentence(outcome.refused[position])))
            continue
        if row.notes and position not in outcome.present:
            repaired += 1
            findings.append(JobFinding(table.name, "repaired", row.key, sentence("; ".join(row.notes))))
        if row.zero:
            meter.zero_vectors += 1
            findings.append(
                JobFinding(table.name, "zero_vector", row.key, "Its vector is all zeros; vector search cannot find it.")
            )
    meter.add(
        table.name,
        read=len(rows),
        inserted=outcome.inserted,
        present=len(rows) - outcome.inserted - len(outcome.refused),
        repaired=repaired,
        failed=len(outcome.refused),
    )
    return findings


@dataclass(frozen=True, slots=True)
class _PreparedBatch:
    """Batch that was read, with the row states for the sync state."""

    batch: Batch
    states: Sequence[RowState]


def _share_no_row(first: _PreparedBatch, second: _PreparedBatch) -> bool:
    """Check that two batches share no row, or else their transactions would deadlock."""
    return {state.key for state in first.states}.isdisjoint(state.key for state in second.states)


@dataclass(frozen=True, slots=True)
class _BatchesAhead:
    """Batches to write at once, one or two, of the table with this index."""

    table_index: int
    batches: Sequence[_PreparedBatch]
