"""Deletions of a followed copy: rows of the target whose rows in the source are gone.

Only a row that this copy has inserted is deleted; a memory that was edited or used in the target stays, with its rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING

from vestige_tui.core.jobs import JobFinding
from vestige_tui.core.storable import new_id
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.schema.rows import edge as read_edge
from vestige_tui.transfer.codecs import BOOLEAN
from vestige_tui.transfer.convert import TransferRow
from vestige_tui.transfer.kept_ids import spellings
from vestige_tui.transfer.row_keys import NIL_UUID, key_parts, name_of
from vestige_tui.transfer.sync_state import DELETED, REPORTED, SYNCED, RowState, hashed, stamp_of
from vestige_tui.transfer.table_spec import MARKS, MEMORIES

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.core.links import Edge
    from vestige_tui.jobs.context import JobContext
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.protocols import Target, TargetReader
    from vestige_tui.transfer.sync_state import SyncIndex, SyncState
    from vestige_tui.transfer.table_spec import Table

KEYS_PAGE_ROWS = 4_000
_UNSET_FLAG = pgbinary_encode.boolean(False)


class DeletionFollower:
    """Deletes rows of the target that a pass over the source has not met, unless the target has its own use of them."""

    def __init__(
        self,
        context: JobContext,
        target: Target,
        target_reader: TargetReader,
        sync_state: SyncState,
        tables: Sequence[Table],
        kept_ids: KeptIds | None,
    ) -> None:
        self._context = context
        self._target = target
        self._target_reader = target_reader
        self._sync_state = sync_state
        self._tables = tables
        self._kept_ids = kept_ids
        self._last_absent: dict[str, set[int]] = {}
        """Keys that the last pass did not find: a row that is being rewritten may be missed once."""

    async def once(self, seen_keys: Mapping[str, array[int]], unknown_keys: Set[str], *, source_unchanged: bool) -> int:
        """Delete the rows that are absent from the keys that a pass has seen; return their number.

        No row is deleted of the tables in ``unknown_keys``. If the source has changed during the pass, a row has to be
        absent from the pass before as well.
        """
        deletions: dict[str, set[int]] = {}
        for table in self._tables:
            absent = set[int]()
            if table.name not in unknown_keys:
                absent = (await self._sync_state.index_of(table.name)).owned_except(seen_keys[table.name])
            deletions[table.name] = absent if source_unchanged else absent & self._last_absent.get(table.name, set())
            self._last_absent[table.name] = absent
        if not any(deletions.values()):
            return 0
        kept_memories = await self._find_kept_memories(deletions)
        kept_states: dict[str, list[RowState]] = {}
        deleted_rows = 0
        for table in reversed(self._tables):
            deleted, kept_states[table.name] = await self._delete_absent(table, deletions[table.name], kept_memories)
            deleted_rows += deleted
        await self._report_kept(kept_memories, kept_states)
        return deleted_rows

    async def _find_kept_memories(self, deletions: Mapping[str, set[int]]) -> dict[bytes, str]:
        """Return the memories to keep, with the reason: edited, linked or otherwise used in the target."""
        store, index = self._context.store, await self._sync_state.index_of("memories")
        kept_memories: dict[bytes, str] = {}
        keys = await self._keys("memories", deletions["memories"])
        decided = await self._find_decided(deletions["supersession"]) if keys else set[bytes]()
        reviewed = await self._find_reviewed(deletions["reviews"]) if keys else set[bytes]()
        for start in range(0, len(keys), KEYS_PAGE_ROWS):
            page = keys[start : start + KEYS_PAGE_ROWS]
            ids = {spelling: key for key in page for spelling in spellings(key, self._kept_ids)}
            memories = await self._context.with_retries(partial(store.memories.get_many, list(ids)))
            linked = await self._find_linked(list(ids), deletions["edges"])
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
                    kept_memories[key] = "replaced or active again"
                elif key in marked_here:
                    kept_memories[key] = "suspended, buried or resumed"
        return kept_memories

    async def _find_linked(self, ids: Sequence[str], deletions: set[int]) -> set[bytes]:
        """Return both ends of links of these memories that are not deleted with them."""
        query = partial(self._context.store.backend.fetch, "list_edges", {"ids": ids})
        edges = map(read_edge, await self._context.with_retries(query))
        remaining = [edge for edge in edges if hashed(_edge_key(edge)) not in deletions]
        return {new_id(end) for edge in remaining for end in (edge.source_id, edge.target_id)}

    async def _find_reviewed(self, deletions: set[int]) -> set[bytes]:
        """Return the memories that have reviews which are not deleted with them."""
        reviewed: set[bytes] = set()
        after: bytes | None = None
        # From the beginning to the end: a file is not read in the order of the UUIDs.
        while page := await self._context.with_retries(
            partial(self._target_reader.keys, "reviews", after, KEYS_PAGE_ROWS)
        ):
            reviewed |= {key[:16] for key in page if hashed(key) not in deletions}
            after = page[-1]
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
                name_of("memories", key, self._kept_ids),
                f"It was deleted in the source, but kept in the target, because it was {reason} there after the copy.",
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
            JobFinding(table.name, "deleted", name_of(table.name, key, self._kept_ids), "It was deleted in the source.")
            for key in keys
        ]

        async def delete(transaction: Transaction) -> int:
            in_use = await delete_unused(self._target, transaction, table, keys)
            self._context.meter.add(table.name, deleted=len(keys) - len(in_use))
            await self._add_findings(
                transaction, [each for key, each in zip(keys, findings, strict=True) if key not in in_use]
            )
            await self._add_findings(transaction, [still_used(table, key, self._kept_ids) for key in in_use])
            states = [RowState(hashed(key), 0, 0, 0 if key in in_use else DELETED) for key in keys]
            await self._sync_state.add(transaction, table.name, states)
            return len(keys) - len(in_use)

        return await self._context.step(delete)

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


def still_used(table: Table, key: bytes, kept_ids: KeptIds | None) -> JobFinding:
    """Return the finding about a row that is deleted in the source and still referenced in the target."""
    reason = "It was deleted in the source, but kept: other rows in the target need it."
    return JobFinding(table.name, "only_target", name_of(table.name, key, kept_ids), reason)


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
    return new_id(edge.source_id) + new_id(edge.target_id) + edge.edge_type.encode()


def _unset_mark(memory: bytes) -> TransferRow:
    """Return a mark that is neither suspended nor buried."""
    values = [_UNSET_FLAG if column.codec is BOOLEAN else None for column in MARKS.columns]
    values[MARKS.key_positions[0]] = memory
    return TransferRow("", tuple(values))


def _microseconds(moment: datetime | None) -> int:
    return int.from_bytes(pgbinary_encode.moment(moment), "big", signed=True) if moment else 0
