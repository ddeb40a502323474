"""Catch-up passes: find additions and edits by comparing the whole source again, and apply them.

Changes made in the target are kept: a row is updated only where it is as this copy left it. ``catchup_decisions``
decides about each row, ``catchup_deletions`` about those that are gone.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vestige_tui.core.jobs import JobFinding
from vestige_tui.transfer.catchup_decisions import RowAction, RowFacts, TargetRow, decide, decide_update, record_of
from vestige_tui.transfer.catchup_deletions import DeletionFollower
from vestige_tui.transfer.copy_rows import count_written
from vestige_tui.transfer.kept_ids import spellings
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.sync_state import (
    EQUAL,
    OWNED,
    REFUSED,
    REPORTED,
    RowState,
    failed_key,
    failed_row_state,
    hashed,
    row_state_of,
    stamp_of,
    unwritten_state,
    updated_states,
    written_states,
)
from vestige_tui.transfer.table_spec import MEMORIES, TABLES

if TYPE_CHECKING:
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.convert import TransferContext, TransferRow
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.protocols import Batch, Key, RowComparison, Source, Target, TargetReader
    from vestige_tui.transfer.sync_state import SyncIndex, SyncState
    from vestige_tui.transfer.table_spec import Table

BATCH_ROWS = 1_000
MAX_BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class _SourceRow:
    """Row of the source with its present state and its last recorded one; ``failed``: it was reported as failed."""

    transfer_row: TransferRow
    state: RowState
    known_state: RowState | None
    failed: bool

    @property
    def owned_flag(self) -> int:
        """OWNED where this copy has inserted the row, else 0."""
        return self.known_state.flags & OWNED if self.known_state is not None else 0

    def with_flags(self, flags: int) -> RowState:
        return self.state._replace(flags=flags)


class ChangeFollower:
    """Runs passes over a source and its target.

    ``ask_source`` runs a query on the source in a thread.
    """

    def __init__(
        self,
        context: JobContext,
        source: Source,
        target: Target,
        target_reader: TargetReader,
        sync_state: SyncState,
        ask_source: Callable[[Callable[[], Any]], Awaitable[Any]],
        *,
        vectors: bool,
        kept_ids: KeptIds | None,
    ) -> None:
        self._context = context
        self._source = source
        self._target = target
        self._target_reader = target_reader
        self._sync_state = sync_state
        self._ask_source = ask_source
        self._tables = [table for table in TABLES if vectors or not table.embedded]
        self._vectors = vectors
        self._unknown_keys: set[str] = set()
        """Tables in which this pass met rows with unknown keys: no row of theirs is deleted."""
        self._kept_ids = kept_ids
        self._deletions = DeletionFollower(context, target, target_reader, sync_state, self._tables, kept_ids)

    async def once(self, transfer_context: TransferContext) -> int:
        """Run one pass over all tables; return the number of changed rows in the target."""
        token = await self._ask_source(self._source.token)
        seen_keys = {table.name: array("Q") for table in self._tables}
        self._unknown_keys.clear()
        changed = 0
        for table in self._tables:
            index = await self._sync_state.index_of(table.name)
            after = self._source.start(table.name)
            while (batch := await self._read(table, after, transfer_context)).read:
                after = batch.after
                changed += await self._sync_batch(table, batch, index, seen_keys[table.name])
        source_unchanged = token == await self._ask_source(self._source.token)
        changed += await self._deletions.once(seen_keys, self._unknown_keys, source_unchanged=source_unchanged)
        if changed:
            await self._context.step(self._target.settle)
        return changed

    async def _read(self, table: Table, after: Key, transfer_context: TransferContext) -> Batch:
        self._context.check()
        batch: Batch = await self._ask_source(
            partial(self._source.read, table, after, BATCH_ROWS, MAX_BATCH_BYTES, transfer_context)
        )
        return batch

    # Rows in the source

    async def _sync_batch(self, table: Table, batch: Batch, index: SyncIndex, seen_keys: array[int]) -> int:
        before = len(seen_keys)
        rows = self._read_states(table, batch, index, seen_keys)
        await self._report_failed(table, batch, index)
        await self._withdraw_failures(table, [row for row in rows if row.known_state is not None and row.failed])
        comparison = await self._context.with_retries(partial(self._target_reader.compare, table, batch.rows))
        repeated = _repeated_positions(seen_keys, before, rows) if comparison.differ else frozenset[int]()
        rows_by_action: dict[RowAction, list[_SourceRow]] = {action: [] for action in RowAction}
        reports: list[tuple[_SourceRow, JobFinding]] = []
        for position, row in enumerate(rows):
            action = decide(self._facts(table, row, _target_row(comparison, repeated, position)))
            rows_by_action[action].append(row)
            if action is RowAction.REPORT_DELETED:
                reason = "It was deleted in the target after it was copied, and is not copied again."
                reports.append((row, JobFinding(table.name, "only_source", row.transfer_row.key, reason)))
            elif action is RowAction.REPORT_EDITED:
                columns = ", ".join(comparison.differ[position])
                reason = f"It was edited in the target ({columns}); the version of the target is kept."
                reports.append((row, JobFinding(table.name, "differs", row.transfer_row.key, reason)))
        changed = await self._insert(table, rows_by_action[RowAction.INSERT])
        changed += await self._retry_refused(table, rows_by_action[RowAction.RETRY])
        changed += await self._update_rows(table, rows_by_action[RowAction.UPDATE], reports)
        await self._count_present(table, rows_by_action[RowAction.COUNT_PRESENT])
        await self._report(table, reports)
        equal_rows = rows_by_action[RowAction.RECORD_EQUAL]
        await self._record_states(table, [row.with_flags(row.owned_flag | EQUAL) for row in equal_rows])
        return changed

    def _read_states(self, table: Table, batch: Batch, index: SyncIndex, seen_keys: array[int]) -> Sequence[_SourceRow]:
        """Return the rows of a batch with their states; add the keys of all of its rows to the seen ones."""
        rows: list[_SourceRow] = []
        for transfer_row in batch.rows:
            state = row_state_of(table.name, transfer_row)
            seen_keys.append(state.key)
            rows.append(_SourceRow(transfer_row, state, index.get(state.key), _has_failed(transfer_row, index)))
        for key in batch.unread:
            # A row that cannot be converted any more still exists.
            if key is None:
                self._unknown_keys.add(table.name)
            else:
                seen_keys.append(hashed(key))
        return rows

    def _facts(self, table: Table, row: _SourceRow, target_row: TargetRow) -> RowFacts:
        return RowFacts(
            target=target_row,
            record=record_of(row.known_state, failed=row.failed),
            edited=row.known_state is None or row.known_state.content_hash != row.state.content_hash,
            owned_table=table.owned,
            blind=self._sync_state.blind,
        )

    async def _record_states(self, table: Table, states: Sequence[RowState]) -> None:
        """Record the states of rows that need no write."""
        if states:
            await self._context.step(partial(self._sync_state.add, table=table.name, states=states))

    async def _insert(self, table: Table, rows: Sequence[_SourceRow]) -> int:
        if not rows:
            return 0
        transfer_rows = [row.transfer_row for row in rows]

        async def write(transaction: Transaction) -> WriteOutcome:
            outcome = await self._target.write(transaction, table, transfer_rows, fresh=False)
            counted_rows, counted_outcome = transfer_rows, outcome
            if self._sync_state.blind:
                # Refused rows may have been counted by an earlier attempt.
                counted_rows = [row for position, row in enumerate(transfer_rows) if position not in outcome.refused]
                counted_outcome = WriteOutcome(outcome.inserted, frozenset())
            self._expect(table, len(counted_rows))
            await self._add_findings(
                transaction, count_written(self._context.meter, table, counted_rows, counted_outcome)
            )
            await self._sync_state.add(transaction, table.name, written_states([row.state for row in rows], outcome))
            return outcome

        return (await self._context.step(write)).inserted

    async def _retry_refused(self, table: Table, rows: Sequence[_SourceRow]) -> int:
        """Retry rows that were refused before; an accepted one no longer counts as failed."""
        if not rows:
            return 0
        transfer_rows = [row.transfer_row for row in rows]

        async def write(transaction: Transaction) -> WriteOutcome:
            outcome = await self._target.write(transaction, table, transfer_rows, fresh=False)
            accepted = [row for position, row in enumerate(transfer_rows) if position not in outcome.refused]
            if accepted:
                withdrawn = [JobFinding(table.name, "failed", row.key, "") for row in accepted]
                await self._context.ledger.withdraw_findings(transaction, self._context.job_id, withdrawn)
                self._context.meter.add(table.name, read=-len(accepted), failed=-len(accepted))
                await self._add_findings(
                    transaction,
                    count_written(self._context.meter, table, accepted, WriteOutcome(outcome.inserted, frozenset())),
                )
            states = written_states([row.state for row in rows], outcome)
            # Recording an unchanged refusal at each pass would make the sync state grow.
            changed_states = [
                state
                for state, row in zip(states, rows, strict=True)
                if not state.flags & REFUSED
                or row.known_state is None
                or row.known_state.content_hash != state.content_hash
            ]
            cleared = [
                RowState(failed_key(row.transfer_row.key), 0, 0, 0)
                for position, row in enumerate(rows)
                if position not in outcome.refused
            ]
            await self._sync_state.add(transaction, table.name, [*changed_states, *cleared])
            return outcome

        return (await self._context.step(write)).inserted

    async def _update_rows(
        self, table: Table, rows: Sequence[_SourceRow], reports: list[tuple[_SourceRow, JobFinding]]
    ) -> int:
        if not rows:
            return 0
        # Compared again: new rows were inserted meanwhile, and the target may have been edited in that time.
        comparison = await self._context.with_retries(
            partial(self._target_reader.compare, table, [row.transfer_row for row in rows])
        )
        own_rows: list[_SourceRow] = []
        known_states: list[RowState] = []
        for position, row in enumerate(rows):
            assert row.known_state is not None
            target_values = comparison.target_values.get(position)
            target_stamp = stamp_of(table.name, target_values) if target_values is not None else None
            action = decide_update(target_stamp, row.known_state.stamp)
            if action is RowAction.UPDATE:
                own_rows.append(row)
                known_states.append(row.known_state)
            elif action is RowAction.REPORT_EDITED_TWICE:
                reason = "It was edited on both sides after it was copied; the version of the target is kept."
                reports.append((row, JobFinding(table.name, "differs", row.transfer_row.key, reason)))
        if not own_rows:
            return 0
        transfer_rows = [row.transfer_row for row in own_rows]

        async def update(transaction: Transaction) -> WriteOutcome:
            outcome = await self._target.update(transaction, table, transfer_rows)
            if table is MEMORIES and not self._vectors:
                # The vector was encoded here from the old text.
                memory_ids = [
                    {"id": spelling}
                    for position, row in enumerate(transfer_rows)
                    if position not in outcome.refused
                    for spelling in spellings(row.values[0] or b"", self._kept_ids)
                ]
                await transaction.execute_many("delete_embedding", memory_ids)
            self._context.meter.add(table.name, updated=outcome.inserted)
            findings = [
                JobFinding(table.name, "failed", row.key, sentence(outcome.refused[position]))
                if position in outcome.refused
                else JobFinding(table.name, "updated", row.key, "It was edited in the source while it was copied.")
                for position, row in enumerate(transfer_rows)
                if position not in outcome.present
            ]
            await self._add_findings(transaction, findings)
            # A vector newer than its memory comes in a later pass: until then its old state stays recorded.
            states = updated_states([row.state for row in own_rows], known_states, outcome)
            await self._sync_state.add(transaction, table.name, states)
            return outcome

        return (await self._context.step(update)).inserted

    async def _count_present(self, table: Table, rows: Sequence[_SourceRow]) -> None:
        """Count rows that are new in the source and already present in the target."""
        if not rows:
            return

        async def count(transaction: Transaction) -> None:
            self._expect(table, len(rows))
            self._context.meter.add(table.name, read=len(rows), present=len(rows))
            await self._sync_state.add(transaction, table.name, [row.with_flags(0) for row in rows])

        await self._context.step(count)

    async def _report_failed(self, table: Table, batch: Batch, index: SyncIndex) -> None:
        """Count and report rows that cannot be copied any more, each once."""
        states, findings = [], []
        for finding in batch.failed:
            state = failed_row_state(finding)
            known_state = index.get(state.key)
            if known_state is None or not known_state.flags & REFUSED:
                states.append(state)
                findings.append(finding)
        if self._sync_state.blind:
            # An earlier attempt may have reported and counted them.
            await self._record_states(table, states)
            return
        if not findings:
            return

        async def count(transaction: Transaction) -> None:
            self._expect(table, len(findings))
            self._context.meter.add(table.name, read=len(findings), failed=len(findings))
            await self._add_findings(transaction, findings)
            await self._sync_state.add(transaction, table.name, states)

        await self._context.step(count)

    async def _withdraw_failures(self, table: Table, rows: Sequence[_SourceRow]) -> None:
        """Withdraw the failures of copied rows that were unreadable for a while and are valid again."""
        if not rows:
            return

        async def withdraw(transaction: Transaction) -> None:
            cleared = [JobFinding(table.name, "failed", row.transfer_row.key, "") for row in rows]
            await self._context.ledger.withdraw_findings(transaction, self._context.job_id, cleared)
            self._context.meter.add(table.name, read=-len(rows), failed=-len(rows))
            states = [RowState(failed_key(row.transfer_row.key), 0, 0, 0) for row in rows]
            await self._sync_state.add(transaction, table.name, states)

        await self._context.step(withdraw)

    async def _report(self, table: Table, reports: Sequence[tuple[_SourceRow, JobFinding]]) -> None:
        if not reports:
            return

        async def report(transaction: Transaction) -> None:
            if table.embedded:
                # After a change of the model all vectors would look edited.
                await self._target.hold_model(transaction)
            await self._add_findings(transaction, [finding for _, finding in reports])
            states = [unwritten_state(row.state, row.known_state or row.state, REPORTED) for row, _ in reports]
            await self._sync_state.add(transaction, table.name, states)

        await self._context.step(report)

    def _expect(self, table: Table, count: int) -> None:
        total = self._context.meter.tables[table.name].total
        if total is not None:
            self._context.meter.add(table.name, total=count)

    async def _add_findings(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._context.ledger.add_findings(transaction, self._context.job_id, findings)


def _has_failed(row: TransferRow, index: SyncIndex) -> bool:
    """Check whether a row has been reported as failed."""
    failed = index.get(failed_key(row.key)) if index.has_refusals else None
    return failed is not None and bool(failed.flags & REFUSED)


def _target_row(comparison: RowComparison, repeated: frozenset[int], position: int) -> TargetRow:
    if position in comparison.missing:
        return TargetRow.MISSING
    if position not in comparison.differ:
        return TargetRow.EQUAL
    return TargetRow.TAKEN if position in repeated else TargetRow.DIFFERENT


def _repeated_positions(seen_keys: array[int], before: int, rows: Sequence[_SourceRow]) -> frozenset[int]:
    """Return the positions of rows with a repeated key: among the first ``before`` keys seen, or in these rows."""
    import numpy as np

    keys = np.array([row.state.key for row in rows], dtype=np.uint64)
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, return_index=True)[1]] = False
    repeated |= np.isin(keys, np.frombuffer(seen_keys, dtype=np.uint64, count=before))
    return frozenset(np.flatnonzero(repeated).tolist())
