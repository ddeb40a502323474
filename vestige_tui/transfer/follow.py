"""Catch-up passes: find additions, edits and deletions by comparing the whole source again, and apply them.

Changes made in the target are kept: a row is updated only where it is as this copy left it, and deleted only where this
copy has inserted it.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from vestige_tui.core.jobs import JobFinding
from vestige_tui.store.backends import pgbinary_decode, pgbinary_encode
from vestige_tui.store.schema.rows import edge as read_edge
from vestige_tui.transfer.codecs import BOOLEAN
from vestige_tui.transfer.convert import TransferRow
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.row_keys import NIL_UUID, key_parts, name_of
from vestige_tui.transfer.sanitize import sentence
from vestige_tui.transfer.sync_state import (
    DELETED,
    EDIT_REFUSED,
    EQUAL,
    OWNED,
    REFUSED,
    REPORTED,
    RowState,
    hashed,
    row_state_of,
    stamp_of,
)
from vestige_tui.transfer.table_spec import MARKS, MEMORIES, REVIEWS, TABLES

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.core.links import Edge
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.convert import TransferContext
    from vestige_tui.transfer.protocols import Batch, Key, Source, Target, TargetReader
    from vestige_tui.transfer.sync_state import SyncIndex, SyncState
    from vestige_tui.transfer.table_spec import Table

BATCH_ROWS = 1_000
MAX_BATCH_BYTES = 8_000_000
KEYS_PAGE_ROWS = 4_000
SYNCED = OWNED | EQUAL
"""Flags of a row that this copy has inserted or found equal."""
_UNSET_FLAG = pgbinary_encode.boolean(False)


@dataclass(slots=True)
class _SourceRow:
    """Row of the source with its present state and its last recorded one."""

    position: int
    transfer_row: TransferRow
    state: RowState
    known_state: RowState | None

    def with_flags(self, flags: int) -> RowState:
        return self.state._replace(flags=flags)


class ChangeFollower:
    """Runs passes over a source and its target.

    ``ask_source`` runs a query on the source in a thread; ``count_rows`` counts written rows and returns the findings.
    """

    def __init__(
        self,
        context: JobContext,
        source: Source,
        target: Target,
        target_reader: TargetReader,
        sync_state: SyncState,
        ask_source: Callable[[Callable[[], Any]], Awaitable[Any]],
        count_rows: Callable[[Table, Sequence[TransferRow], WriteOutcome], list[JobFinding]],
        *,
        vectors: bool,
    ) -> None:
        self._context = context
        self._source = source
        self._target = target
        self._target_reader = target_reader
        self._sync_state = sync_state
        self._ask_source = ask_source
        self._count_rows = count_rows
        self._tables = [table for table in TABLES if vectors or not table.embedded]
        self._vectors = vectors
        self._unknown_keys: set[str] = set()
        """Tables in which this pass met rows with unknown keys: no row of theirs is deleted."""
        self._last_absent: dict[str, set[int]] = {}
        """Keys that the last pass did not find: a row that is being rewritten may be missed once."""

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
        deletions: dict[str, set[int]] = {}
        for table in self._tables:
            absent = set[int]()
            if table.name not in self._unknown_keys:
                absent = (await self._sync_state.index_of(table.name)).owned_except(seen_keys[table.name])
            deletions[table.name] = absent if source_unchanged else absent & self._last_absent.get(table.name, set())
            self._last_absent[table.name] = absent
        if any(deletions.values()):
            kept_memories = await self._find_kept_memories(deletions)
            kept_states: dict[str, list[RowState]] = {}
            for table in reversed(self._tables):
                deleted, kept_states[table.name] = await self._delete_absent(
                    table, deletions[table.name], kept_memories
                )
                changed += deleted
            await self._report_kept(kept_memories, kept_states)
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
        rows: list[_SourceRow] = []
        before = len(seen_keys)
        for position, transfer_row in enumerate(batch.rows):
            state = row_state_of(table.name, transfer_row)
            seen_keys.append(state.key)
            rows.append(_SourceRow(position, transfer_row, state, index.get(state.key)))
        for key in batch.unread:
            # A row that cannot be converted any more still exists.
            if key is None:
                self._unknown_keys.add(table.name)
            else:
                seen_keys.append(hashed(key))
        await self._report_failed(table, batch, index)
        await self._withdraw_failures(
            table, [row for row in rows if row.known_state is not None and _has_failed(row, index)]
        )
        comparison = await self._context.with_retries(partial(self._target_reader.compare, table, batch.rows))
        repeated = _repeated_positions(seen_keys, before, rows) if comparison.differ else frozenset[int]()
        new_rows: list[_SourceRow] = []
        retries: list[_SourceRow] = []
        edits: list[_SourceRow] = []
        present_rows: list[_SourceRow] = []
        states: list[RowState] = []
        reports: list[tuple[_SourceRow, JobFinding]] = []
        for position, row in enumerate(rows):
            # An unknown row is not owned by this copy.
            flags = row.known_state.flags if row.known_state is not None else DELETED
            unchanged = row.known_state is not None and row.known_state.content_hash == row.state.content_hash
            if position in comparison.missing:
                if flags & SYNCED and not flags & DELETED:
                    # Rows that belonged to it were deleted with it.
                    if not flags & REPORTED and not table.owned:
                        reason = "It was deleted in the target after it was copied, and is not brought again."
                        reports.append((row, JobFinding(table.name, "only_source", row.transfer_row.key, reason)))
                elif flags & REFUSED or (row.known_state is None and _has_failed(row, index)):
                    # Its owner may have arrived meanwhile, or its values may be valid now.
                    if table.owned or not unchanged:
                        retries.append(row)
                else:
                    new_rows.append(row)
            elif flags & DELETED and not self._sync_state.blind:
                failed = row.known_state is None and _has_failed(row, index)
                (retries if failed else present_rows).append(row)
            elif position in comparison.differ:
                if flags & REPORTED or position in repeated:
                    # A finding has said that it stays; or it is the second row with its key, and the first one counts.
                    continue
                if flags & SYNCED and not unchanged:
                    edits.append(row)
                elif flags & SYNCED and not flags & EDIT_REFUSED:
                    reason = (
                        f"It was edited in the target ({', '.join(comparison.differ[position])}), "
                        "and stays as it is there."
                    )
                    reports.append((row, JobFinding(table.name, "differs", row.transfer_row.key, reason)))
            elif not unchanged or not flags & SYNCED or flags & (REPORTED | EDIT_REFUSED):
                states.append(row.with_flags(flags & OWNED | EQUAL))
        changed = await self._insert(table, new_rows)
        changed += await self._retry_refused(table, retries)
        changed += await self._update_rows(table, edits, reports)
        await self._count_present(table, present_rows)
        await self._report(table, reports)
        await self._record_states(table, states)
        return changed

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
            await self._add_findings(transaction, self._count_rows(table, counted_rows, counted_outcome))
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
                    transaction, self._count_rows(table, accepted, WriteOutcome(outcome.inserted, frozenset()))
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
                RowState(_failed_key(row.transfer_row.key), 0, 0, 0)
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
        for position, row in enumerate(rows):
            assert row.known_state is not None
            target_values = comparison.target_values.get(position)
            if target_values is None:
                # Deleted or made equal: the next pass tells which.
                continue
            if stamp_of(table.name, target_values) == row.known_state.stamp:
                own_rows.append(row)
            else:
                reason = "It was edited on both sides since it was copied, and stays as it is in the target."
                reports.append((row, JobFinding(table.name, "differs", row.transfer_row.key, reason)))
        if not own_rows:
            return 0
        transfer_rows = [row.transfer_row for row in own_rows]

        async def update(transaction: Transaction) -> WriteOutcome:
            outcome = await self._target.update(transaction, table, transfer_rows)
            if table is MEMORIES and not self._vectors:
                # The vector was encoded here from the old text.
                memory_ids = [{"id": pgbinary_decode.uuid(row.values[0] or b"")} for row in transfer_rows]
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
            states = [
                row.with_flags(_owned_flag(row) | (EDIT_REFUSED if position in outcome.refused else EQUAL))
                for position, row in enumerate(own_rows)
                # A vector newer than its memory comes in a later pass: until then its old state stays recorded.
                if position not in outcome.present
            ]
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
            states = [RowState(_failed_key(row.transfer_row.key), 0, 0, 0) for row in rows]
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
            states = [
                row.with_flags((row.known_state.flags if row.known_state else 0) | REPORTED) for row, _ in reports
            ]
            await self._sync_state.add(transaction, table.name, states)

        await self._context.step(report)

    # Rows that are no longer in the source

    async def _find_kept_memories(self, deletions: Mapping[str, set[int]]) -> dict[bytes, str]:
        """Return the memories to keep, with the reason: edited, linked or otherwise used in the target."""
        store, index = self._context.store, await self._sync_state.index_of("memories")
        kept_memories: dict[bytes, str] = {}
        keys = await self._keys("memories", deletions["memories"])
        decided = await self._find_decided(deletions["supersession"]) if keys else set[bytes]()
        for start in range(0, len(keys), KEYS_PAGE_ROWS):
            page = keys[start : start + KEYS_PAGE_ROWS]
            ids = {pgbinary_decode.uuid(key): key for key in page}
            memories = await self._context.with_retries(partial(store.memories.get_many, list(ids)))
            linked = await self._find_linked(list(ids), deletions["edges"])
            reviewed = await self._find_reviewed(page, deletions["reviews"])
            marked_here = await self._find_marked(page)
            for memory in memories:
                key = ids[memory.id]
                state = index.get(hashed(key))
                if state is None or state.stamp != _microseconds(memory.updated_at):
                    kept_memories[key] = "edited"
                elif key in linked:
                    kept_memories[key] = "linked"
                elif key in reviewed:
                    kept_memories[key] = "reviewed"
                elif key in decided:
                    kept_memories[key] = "named in a decision"
                elif key in marked_here:
                    kept_memories[key] = "suspended, buried or resumed"
        return kept_memories

    async def _find_linked(self, ids: Sequence[str], deletions: set[int]) -> set[bytes]:
        """Return both ends of links of these memories that are not deleted with them."""
        query = partial(self._context.store.backend.fetch, "list_edges", {"ids": ids})
        edges = map(read_edge, await self._context.with_retries(query))
        remaining = [edge for edge in edges if hashed(_edge_key(edge)) not in deletions]
        return {UUID(end).bytes for edge in remaining for end in (edge.source_id, edge.target_id)}

    async def _find_reviewed(self, memories: Sequence[bytes], deletions: set[int]) -> set[bytes]:
        """Return the memories that have reviews which are not deleted with them."""
        keys, last = set(memories), max(memories)
        before = int.from_bytes(min(memories), "big") - 1
        after = _first_key(REVIEWS, before.to_bytes(16, "big")) if before >= 0 else None
        reviewed: set[bytes] = set()
        while page := await self._context.with_retries(
            partial(self._target_reader.keys, "reviews", after, KEYS_PAGE_ROWS)
        ):
            reviewed |= {key[:16] for key in page if key[:16] in keys and hashed(key) not in deletions}
            after = page[-1]
            if after[:16] >= last:
                break
        return reviewed

    async def _find_decided(self, deletions: set[int]) -> set[bytes]:
        """Return the memories that a decision made in the target names as loser or winner."""
        index = await self._sync_state.index_of("supersession")
        decided: set[bytes] = set()
        after: bytes | None = None
        while page := await self._context.with_retries(
            partial(self._target_reader.keys, "supersession", after, KEYS_PAGE_ROWS)
        ):
            for key in page:
                loser, winner, line_hash = key[:16], key[16:32], hashed(key)
                state = index.get(line_hash)
                copied = line_hash in deletions or (state is not None and bool(state.flags & SYNCED))
                if winner != NIL_UUID and not copied:
                    decided |= {loser, winner}
            after = page[-1]
        return decided

    async def _find_marked(self, memories: Sequence[bytes]) -> set[bytes]:
        """Return the memories with a mark that was set or changed in the target."""
        index, table = await self._sync_state.index_of("marks"), MARKS
        # Compared with an unset mark, so that every mark that is set comes back.
        transfer_rows = [_unset_mark(key) for key in memories]
        comparison = await self._context.with_retries(partial(self._target_reader.compare, table, transfer_rows))
        marked: set[bytes] = set()
        for position, key in enumerate(memories):
            if position in comparison.missing:
                continue
            state = index.get(hashed(key))
            values = comparison.target_values.get(position, transfer_rows[position].values)
            copied_stamp = (
                state.stamp if state and state.flags & SYNCED else stamp_of("marks", transfer_rows[position].values)
            )
            if stamp_of("marks", values) != copied_stamp:
                marked.add(key)
        return marked

    async def _keys(self, table: str, hashes: set[int]) -> list[bytes]:
        """Return the keys of rows in the target by their hashes."""
        keys: list[bytes] = []
        after: bytes | None = None
        while hashes:
            page = await self._context.with_retries(partial(self._target_reader.keys, table, after, KEYS_PAGE_ROWS))
            if not page:
                break
            keys += [key for key in page if hashed(key) in hashes]
            after = page[-1]
        return keys

    async def _delete_absent(
        self, table: Table, deletions: set[int], kept_memories: Mapping[bytes, str]
    ) -> tuple[int, list[RowState]]:
        """Delete rows that are no longer in the source; return their number, and the states of the others."""
        if not deletions:
            return 0, []
        keys = await self._keys(table.name, deletions)
        index = await self._sync_state.index_of(table.name)
        deletable = [
            key
            for key in keys
            if not _belongs_to(table, key, kept_memories) and (table is MEMORIES or not _is_reported(index, key))
        ]
        deleted = 0
        # In parts, from the end, so that the ordinals of equal log lines stay valid.
        for end in range(len(deletable), 0, -KEYS_PAGE_ROWS):
            deleted += await self._delete(table, deletable[max(0, end - KEYS_PAGE_ROWS) : end])
        kept_keys = {hashed(key) for key in keys} - {hashed(key) for key in deletable}
        remaining = deletions - {hashed(key) for key in deletable}
        return deleted, [RowState(key, 0, 0, 0 if key in kept_keys else DELETED) for key in remaining]

    async def _report_kept(
        self, kept_memories: Mapping[bytes, str], kept_states: Mapping[str, Sequence[RowState]]
    ) -> None:
        """Report the memories that stay and record their rows as the target's own.

        One transaction, because the rows of a memory decide whether it stays.
        """
        if not any(kept_states.values()):
            return
        findings = [
            JobFinding(
                "memories",
                "only_target",
                name_of("memories", key),
                f"It was deleted in the source, but {reason} in the target since it came, and stays.",
            )
            for key, reason in kept_memories.items()
        ]

        async def report(transaction: Transaction) -> None:
            for start in range(0, len(findings), KEYS_PAGE_ROWS):
                await self._add_findings(transaction, findings[start : start + KEYS_PAGE_ROWS])
            for table, states in kept_states.items():
                await self._sync_state.add(transaction, table, states)

        await self._context.step(report)

    async def _delete(self, table: Table, keys: Sequence[bytes]) -> int:
        findings = [
            JobFinding(table.name, "deleted", name_of(table.name, key), "It was deleted in the source.") for key in keys
        ]

        async def delete(transaction: Transaction) -> int:
            in_use = await delete_unused(self._target, transaction, table, keys)
            self._context.meter.add(table.name, deleted=len(keys) - len(in_use))
            await self._add_findings(
                transaction, [each for key, each in zip(keys, findings, strict=True) if key not in in_use]
            )
            await self._add_findings(transaction, [still_used(table, key) for key in in_use])
            states = [RowState(hashed(key), 0, 0, 0 if key in in_use else DELETED) for key in keys]
            await self._sync_state.add(transaction, table.name, states)
            return len(keys) - len(in_use)

        return await self._context.step(delete)

    def _expect(self, table: Table, count: int) -> None:
        total = self._context.meter.tables[table.name].total
        if total is not None:
            self._context.meter.add(table.name, total=count)

    async def _add_findings(self, transaction: Transaction, findings: Sequence[JobFinding]) -> None:
        await self._context.ledger.add_findings(transaction, self._context.job_id, findings)


async def delete_unused(
    target: Target, transaction: Transaction, table: Table, keys: Sequence[bytes]
) -> Sequence[bytes]:
    """Delete rows by their keys; return the keys of those that stay, because other rows belong to them."""
    if table.name not in ("users", "groups", "domains"):
        await target.delete(transaction, table, keys)
        return ()
    # These tables are small, and each row may be refused by itself.
    return [key for key in keys if not await target.delete(transaction, table, [key])]


def still_used(table: Table, key: bytes) -> JobFinding:
    """Return the finding about a row that is deleted in the source and still referenced in the target."""
    reason = "It was deleted in the source, but something in the target belongs to it, and it stays."
    return JobFinding(table.name, "only_target", name_of(table.name, key), reason)


def written_states(states: Sequence[RowState], outcome: WriteOutcome) -> list[RowState]:
    """Return the states of written rows: refused, inserted, or merely present."""
    left_out = outcome.present | outcome.refused.keys()
    inserted = {state.key for position, state in enumerate(states) if position not in left_out}
    if len(inserted) != outcome.inserted:
        # Another process inserted some of them at the same time, so that ownership is unknown.
        inserted = set()
    return [
        state._replace(flags=OWNED if state.key in inserted else REFUSED if position in outcome.refused else 0)
        for position, state in enumerate(states)
    ]


def failed_row_state(finding: JobFinding) -> RowState:
    """Return the state of a row that cannot be copied, so that it is reported once."""
    return RowState(_failed_key(finding.source_key), 0, 0, REFUSED)


def _failed_key(key: str) -> int:
    return hashed(b"failed " + key.encode())


def _has_failed(row: _SourceRow, index: SyncIndex) -> bool:
    """Check whether a row has been reported as failed."""
    failed = index.get(_failed_key(row.transfer_row.key)) if index.has_refusals else None
    return failed is not None and bool(failed.flags & REFUSED)


def _owned_flag(row: _SourceRow) -> int:
    """Return OWNED where this copy has inserted the row, else 0."""
    return row.known_state.flags & OWNED if row.known_state is not None else 0


def _repeated_positions(seen_keys: array[int], before: int, rows: Sequence[_SourceRow]) -> frozenset[int]:
    """Return the positions of rows with a repeated key: among the first ``before`` keys seen, or in these rows."""
    import numpy as np

    keys = np.array([row.state.key for row in rows], dtype=np.uint64)
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, return_index=True)[1]] = False
    repeated |= np.isin(keys, np.frombuffer(seen_keys, dtype=np.uint64, count=before))
    return frozenset(np.flatnonzero(repeated).tolist())


def _is_reported(index: SyncIndex, key: bytes) -> bool:
    """Check whether a row has been reported to stay as it is in the target."""
    state = index.get(hashed(key))
    return state is not None and bool(state.flags & REPORTED)


def _belongs_to(table: Table, key: bytes, memories: Mapping[bytes, str]) -> bool:
    """Check whether a row is one of these memories, or belongs to one."""
    if table is MEMORIES:
        return key in memories
    parts = key_parts(table.name, key)
    owners = [parts[table.position(parent.column)] for parent in table.parents if parent.table == MEMORIES.name]
    return any(owner in memories for owner in owners)


def _edge_key(edge: Edge) -> bytes:
    return UUID(edge.source_id).bytes + UUID(edge.target_id).bytes + edge.edge_type.encode()


def _first_key(table: Table, memory: bytes) -> bytes:
    """Return a key that sorts before those of all lines of a memory."""
    return memory + bytes(sum(size for _, size in table.key_parts[1:]))


def _unset_mark(memory: bytes) -> TransferRow:
    """Return a mark that is neither suspended nor buried."""
    values = [_UNSET_FLAG if column.codec is BOOLEAN else None for column in MARKS.columns]
    values[MARKS.key_positions[0]] = memory
    return TransferRow("", tuple(values))


def _microseconds(moment: datetime | None) -> int:
    return int.from_bytes(pgbinary_encode.moment(moment), "big", signed=True) if moment else 0
