"""Changes of many memories in one transaction, after a preview: in batches, with one journal entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vestige_tui.core.bulk import BulkPreview, Deletion, LeftOut, Operation, Replacement, Target
from vestige_tui.core.errors import Conflict
from vestige_tui.core.memories import Change, Memory
from vestige_tui.core.text import grouped, short_id
from vestige_tui.store.bulk_writes import BulkWrites
from vestige_tui.store.journal_parts import JournalParts
from vestige_tui.store.locked_memories import lock_memories
from vestige_tui.store.schema import rows
from vestige_tui.store.successors import Pointed, lock_pointed, point, successors_of

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.memories import MemoryService

BATCH_ROWS = 500
"""Memories of one statement. Only so many are held at once with their texts."""
SHOWN_RESURRECTED = 3
NAMED_CHANGED = 3
"""Changed memories that a refusal names."""


@dataclass(slots=True)
class _Tally:
    """Memories that a preview has read so far, by type and by reason to leave them out."""

    ids: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    first: Memory | None = None

    def add(self, memory: Memory, reason: str) -> None:
        if reason:
            self.left_out.setdefault(reason, []).append(memory.id)
            return
        self.first = self.first or memory
        self.ids.append(memory.id)
        self.versions.append(_version(memory))
        self.types[memory.node_type] += 1


@dataclass(slots=True)
class _Losses:
    """Links and reviews that a deletion deletes besides the memories, and the memories that it makes active again."""

    edges: int = 0
    reviews: int = 0
    resurrected: list[Memory] = field(default_factory=list)
    resurrected_count: int = 0
    beside: dict[str, Memory] = field(default_factory=dict)
    beside_count: int = 0
    followed: list[Memory] = field(default_factory=list)
    followed_count: int = 0

    def add_losers(self, losers: Sequence[Memory], heads: Mapping[str, str], keep_replaced: bool) -> None:
        """Add memories whose winners are deleted; ``heads`` are the successors of these winners."""
        for loser in losers:
            has_successor = (loser.superseded_by or "") in heads
            if has_successor and keep_replaced:
                self.followed_count += 1
                self.followed += [loser] if len(self.followed) < SHOWN_RESURRECTED else []
                continue
            self.beside_count += has_successor
            self.resurrected_count += 1
            self.resurrected += [loser] if len(self.resurrected) < SHOWN_RESURRECTED else []


class BulkService:
    """One change of many memories: ``preview`` it, then ``apply`` the preview."""

    def __init__(self, context: StoreContext, memories: MemoryService) -> None:
        self._context = context
        self._backend = context.backend
        self._memories = memories

    async def preview(self, target: Target, operation: Operation) -> BulkPreview:
        """Return the memories that the operation would change, and those that it leaves out.

        Raises Usage for a value that no memory can have, NotFound if the memory that replaces others is gone.
        """
        several = target.filter is not None or len(set(target.ids)) > 1
        writes = BulkWrites(self._context, operation, keeps_pinned=several)
        winner = await self._memories.get(operation.winner_id) if isinstance(operation, Replacement) else None
        chain = await self._chain(winner) if winner else {}
        tally, missing = _Tally(), 0
        async for asked, memories in self._batches(target):
            missing += asked - len(memories)
            for memory in memories:
                tally.add(memory, chain.get(memory.id, "") or writes.why_left_out(memory))
        losses = await self._losses(tally.ids, operation) if isinstance(operation, Deletion) else _Losses()
        return BulkPreview(
            operation,
            tuple(tally.ids),
            tuple(tally.versions),
            dict(tally.types.most_common()),
            tuple(LeftOut(reason, tuple(ids)) for reason, ids in tally.left_out.items()),
            missing,
            losses.edges,
            losses.reviews,
            tuple(losses.resurrected),
            losses.resurrected_count,
            losses.beside,
            losses.beside_count,
            tuple(losses.followed),
            losses.followed_count,
            tally.first,
            winner,
        )

    async def apply(self, preview: BulkPreview) -> Change:
        """Write the change of a preview, all or none. Raises Conflict if one of its memories has changed since."""
        self._context.refuse_read_only()
        if not preview.ids:
            return Change(())
        async with self._backend.write() as transaction:
            journal = JournalParts(self._context, transaction, preview.operation.verb)
            await self._lock_winner(transaction, preview)
            pointed = await self._lock_pointed(transaction, preview)
            await self.write(transaction, preview, journal, pointed)
            entry = await journal.close()
            if isinstance(preview.operation, Deletion):
                await point(transaction, pointed, self._context.now())
                for ids in _slices(sorted(preview.ids)):
                    await transaction.execute("delete_memories", {"ids": list(ids)})
        return Change(preview.ids, entry)

    async def _lock_pointed(self, transaction: Transaction, preview: BulkPreview) -> Pointed:
        """Lock what a deletion points at other memories, if it does. Raises Conflict for others than were shown."""
        if not isinstance(preview.operation, Deletion) or not preview.operation.keep_replaced:
            return {}
        pointed = await lock_pointed(transaction, sorted(preview.ids), BATCH_ROWS)
        if sum(map(len, pointed.values())) != preview.followed_count:
            raise Conflict("What these memories replace has changed meanwhile; nothing was deleted. Try again.")
        return pointed

    async def write(
        self, transaction: Transaction, preview: BulkPreview, journal: JournalParts, pointed: Pointed | None = None
    ) -> None:
        """Write the memories of a preview and their snapshots. Raises Conflict if one of them has changed since."""
        writes = BulkWrites(self._context, preview.operation, pointed=pointed)
        versions = dict(zip(preview.ids, preview.versions, strict=True))
        changed_elsewhere: list[str] = []
        # In the order of the ids, so that two changes never wait for each other.
        for ids in _slices(sorted(versions)):
            memories = await lock_memories(transaction, ids)
            changed_elsewhere += [
                memory_id
                for memory_id in ids
                if memory_id not in memories or _version(memories[memory_id]) != versions[memory_id]
            ]
            if not changed_elsewhere:
                await journal.add(*await writes.write(transaction, list(memories.values())))
        if changed_elsewhere:
            raise _changed(changed_elsewhere, len(versions))

    async def _batches(self, target: Target) -> AsyncIterator[tuple[int, Sequence[Memory]]]:
        """Yield the memories of a target batch by batch, each with the number of ids that were asked for."""
        if target.filter is None:
            for ids in _slices(list(dict.fromkeys(target.ids))):
                yield len(ids), await self._memories.get_many(ids)
            return
        after: str | None = None
        while True:
            page = await self._memories.page(target.filter, limit=BATCH_ROWS, after=after)
            yield len(page.items), page.items
            after = page.next
            if after is None:
                return

    async def _chain(self, winner: Memory) -> dict[str, str]:
        """Return the winner and the memories that replace it by id, with the reason for which they stay."""
        reasons = {winner.id: "it is the memory that replaces the others"}
        current = winner.superseded_by
        while current is not None and current not in reasons:
            reasons[current] = "it replaces the new memory itself"
            records = await self._backend.fetch("get_winner", {"id": current})
            current = records[0]["superseded_by"] if records else None
        return reasons

    async def _losses(self, ids: Sequence[str], deletion: Deletion) -> _Losses:
        losses, chosen = _Losses(), set(ids)
        for batch in _slices(ids):
            params, within = {"ids": list(batch)}, set(batch)
            for row in await self._backend.fetch("list_edges", params):
                # A link between two batches is counted with its source.
                losses.edges += str(row["source_id"]) in within or str(row["source_id"]) not in chosen
            [reviews] = await self._backend.fetch("count_reviews_of", params)
            losses.reviews += int(reviews["n"])
            losers = [rows.memory(row) for row in await self._backend.fetch("list_losers", params)]
            restored = [loser for loser in losers if loser.id not in chosen]
            winners = [loser.superseded_by for loser in restored if loser.superseded_by]
            heads = await successors_of(self._backend, winners, chosen)
            losses.add_losers(restored, heads, deletion.keep_replaced)
            shown = {each.id: heads.get(each.superseded_by or "") for each in (*losses.resurrected, *losses.followed)}
            by_id = {each.id: each for each in await self._memories.get_many([head for head in shown.values() if head])}
            losses.beside |= {loser: by_id[head] for loser, head in shown.items() if head in by_id}
        return losses

    async def _lock_winner(self, transaction: Transaction, preview: BulkPreview) -> None:
        """Lock the memory that replaces the others. Raises NotFound, or Conflict if it was replaced by one of them."""
        if not isinstance(preview.operation, Replacement):
            return
        await transaction.fetch("lock_supersession")
        winner = await self._context.lock_memory(transaction, preview.operation.winner_id)
        losers, visited, current = set(preview.ids), {winner.id}, winner.superseded_by
        while current is not None and current not in visited:
            if current in losers:
                raise Conflict(f"Memory {winner.id[:8]} was itself replaced meanwhile; nothing was changed.")
            visited.add(current)
            records = await transaction.fetch("get_winner", {"id": current})
            current = records[0]["superseded_by"] if records else None


def _slices(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + BATCH_ROWS] for start in range(0, len(ids), BATCH_ROWS))


def _version(memory: Memory) -> int:
    """Return a hash of the fields that a bulk change reads, valid in this process."""
    fields = (memory.node_type, memory.tags, memory.domains, memory.codebase, memory.superseded_by)
    shared = (memory.owner_user_id, memory.visibility, memory.shared_with_groups)
    return hash((memory.updated_at, memory.marks, *fields, *shared))


def _changed(ids: Sequence[str], total: int) -> Conflict:
    names = ", ".join(short_id(memory_id) for memory_id in ids[:NAMED_CHANGED]) + (
        ", …" if len(ids) > NAMED_CHANGED else ""
    )
    if len(ids) == 1:
        subject = f"Memory {names}" if total == 1 else f"1 of the {grouped(total)} memories, {names},"
        return Conflict(f"{subject} was changed elsewhere meanwhile; nothing was saved. Look at it and try again.")
    return Conflict(
        f"{grouped(len(ids))} of the {grouped(total)} memories were changed elsewhere meanwhile ({names}); nothing was "
        "saved. Look at them and try again."
    )
