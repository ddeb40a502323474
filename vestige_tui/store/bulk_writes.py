"""Writes of a bulk change: which memories it changes, and the rows and snapshots of one batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.bulk import Deletion, DomainEdit, DomainMove, FieldEdit, MarkEdit, Operation, Replacement, TagEdit
from vestige_tui.core.domains import moved_names, moved_scores
from vestige_tui.core.errors import Usage
from vestige_tui.core.marks import marks_after
from vestige_tui.core.memories import Memory, Patch
from vestige_tui.core.reviews import Marks
from vestige_tui.core.storable import check_labels, clean
from vestige_tui.store.domain_undo import name_params
from vestige_tui.store.journal_snapshots import (
    EDITABLE,
    marks_fields,
    marks_params,
    memory_fields,
    time_text,
    update_params,
)
from vestige_tui.store.memory_writes import patched, snapshots
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Transaction
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.successors import Pointed

Snapshots: TypeAlias = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""Journal snapshots of a batch, before and after."""
MOVES_UPDATED_AT = ("node_type", "tags", "metadata", "codebase")
"""Fields whose change is a new version of the memory."""


class BulkWrites:
    """Writes of one operation. Raises Usage for values that no memory can have."""

    def __init__(
        self,
        context: StoreContext,
        operation: Operation,
        *,
        keeps_pinned: bool = False,
        pointed: Pointed | None = None,
    ) -> None:
        """``keeps_pinned``: a deletion leaves out pinned memories, as that of several does.

        ``pointed`` are the memories that a deletion points at other ones, for its snapshots.
        """
        self._pointed: Pointed = pointed or {}
        self._operation = operation
        self._keeps_pinned = keeps_pinned
        self._now = context.now()
        self._until: datetime | None = None
        self._add: tuple[str, ...] = ()
        self._remove: frozenset[str] = frozenset()
        if isinstance(operation, TagEdit):
            self._add = tuple(filter(None, dict.fromkeys(clean(tag).strip() for tag in operation.add)))
            self._remove = frozenset(clean(tag) for tag in operation.remove)
            check_labels("tag", self._add)
        elif isinstance(operation, DomainEdit):
            self._add = tuple(filter(None, dict.fromkeys(clean(name).strip() for name in operation.add)))
            self._remove = frozenset(clean(name) for name in operation.remove)
            check_labels("domain", self._add)
        elif isinstance(operation, MarkEdit) and operation.verb == "bury":
            self._until = operation.until or context.policy.days.bound(self._now, 1)
        elif isinstance(operation, FieldEdit) and operation.patch.content is not None:
            raise Usage("The text of several memories cannot be edited at once.")

    def why_left_out(self, memory: Memory) -> str:
        """Return why the operation leaves a memory as it is, as a clause; empty if it changes it."""
        match self._operation:
            case Replacement(winner_id=winner_id):
                return "it is already replaced by that memory" if memory.superseded_by == winner_id else ""
            case MarkEdit():
                return "it is already so" if self._is_same(memory) else ""
            case Deletion():
                return "it is pinned" if self._keeps_pinned and memory.marks.pinned else ""
            case DomainMove():
                return ""
            case TagEdit() | FieldEdit() | DomainEdit():
                return "" if _changed_fields(memory, self._edited(memory)) else "it is already so"

    async def write(self, transaction: Transaction, memories: Sequence[Memory]) -> Snapshots:
        """Write one batch; return its snapshots. A deletion only reads them: links lead into other batches."""
        match self._operation:
            case Deletion():
                return self._with_pointed(await snapshots(transaction, memories)), []
            case Replacement(winner_id=winner_id):
                return await self._supersede(transaction, memories, winner_id)
            case MarkEdit():
                return await self._mark(transaction, memories)
            case DomainMove() as move:
                return await _move(transaction, memories, move)
        return await self._edit(transaction, memories)

    def _with_pointed(self, deleted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return snapshots of deleted memories with those that they replaced and the deletion points elsewhere."""
        return [
            {**each, "pointed": dict(losers)} if (losers := self._pointed.get(str(each["id"]))) else each
            for each in deleted
        ]

    def _edited(self, memory: Memory) -> Memory:
        if isinstance(self._operation, FieldEdit):
            return patched(memory, self._operation.patch)
        if isinstance(self._operation, DomainEdit):
            names = dict.fromkeys([*memory.domains, *self._add])
            return patched(memory, Patch(domains=tuple(name for name in names if name not in self._remove)))
        tags = dict.fromkeys([*memory.tags, *self._add])
        return patched(memory, Patch(tags=tuple(tag for tag in tags if tag not in self._remove)))

    async def _edit(self, transaction: Transaction, memories: Sequence[Memory]) -> Snapshots:
        before: list[dict[str, Any]] = []
        after: list[dict[str, Any]] = []
        updates: list[dict[str, Any]] = []
        for memory in memories:
            edited = self._edited(memory)
            names = _changed_fields(memory, edited)
            if not names:
                continue
            moves = any(name in MOVES_UPDATED_AT for name in names)
            updated_at = self._now if moves else memory.updated_at
            old, new = memory_fields(memory), memory_fields(edited) | {"updated_at": time_text(updated_at)}
            # Only the changed fields: the snapshots of many memories with their texts would fill the memory.
            before.append({"id": memory.id, "memory": {name: old[name] for name in (*names, "updated_at")}})
            after.append({"id": memory.id, "memory": {name: new[name] for name in (*names, "updated_at")}})
            updates.append(update_params(memory.id, new))
        await transaction.execute_many("update_memory", updates)
        return before, after

    async def _supersede(self, transaction: Transaction, memories: Sequence[Memory], winner_id: str) -> Snapshots:
        losers = [memory for memory in memories if memory.superseded_by != winner_id]
        last: dict[str, datetime] = {}
        for row in await transaction.fetch("list_lost_events", {"ids": [memory.id for memory in losers]}):
            event = rows.event(row)
            last[event.loser_id] = max(event.decided_at, last.get(event.loser_id, event.decided_at))
        decisions = [
            {
                "loser_id": memory.id,
                "winner_id": winner_id,
                "kind": "supersede",
                # No earlier than the other decisions on a memory, so that it sorts last.
                "decided_at": max(self._now, last.get(memory.id, self._now)),
            }
            for memory in losers
        ]
        await transaction.execute_many("append_event", decisions)
        return (
            [{"id": memory.id, "superseded_by": memory.superseded_by} for memory in losers],
            [{"id": memory.id, "superseded_by": winner_id} for memory in losers],
        )

    async def _mark(self, transaction: Transaction, memories: Sequence[Memory]) -> Snapshots:
        changed = [(memory, self._new_marks(memory)) for memory in memories if not self._is_same(memory)]
        await transaction.execute_many("put_marks", [marks_params(memory.id, marks) for memory, marks in changed])
        return (
            [{"id": memory.id, "marks": marks_fields(memory.marks)} for memory, _ in changed],
            [{"id": memory.id, "marks": marks_fields(marks)} for memory, marks in changed],
        )

    def _new_marks(self, memory: Memory) -> Marks:
        assert isinstance(self._operation, MarkEdit)
        return marks_after(self._operation.verb, memory, self._until)

    def _is_same(self, memory: Memory) -> bool:
        """Check whether the memory has the new marks already; a burial that is over counts as none."""
        until = memory.marks.buried_until
        current = memory.marks if until is None or until > self._now else replace(memory.marks, buried_until=None)
        return current == self._new_marks(memory)


def _changed_fields(memory: Memory, edited: Memory) -> Sequence[str]:
    if memory == edited:
        return ()
    old, new = memory_fields(memory), memory_fields(edited)
    return [name for name in EDITABLE if old[name] != new[name]]


async def _move(transaction: Transaction, memories: Sequence[Memory], move: DomainMove) -> Snapshots:
    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    for memory in memories:
        names = moved_names(memory.domains, move.names, move.into)
        scores: dict[str, float] | None = None
        old: dict[str, Any]
        new: dict[str, Any]
        old, new = {"domains": list(memory.domains)}, {"domains": list(names)}
        if any(name in memory.domain_scores for name in move.names):
            scores = moved_scores(memory.domain_scores, move.names, move.into)
            old, new = old | {"domain_scores": dict(memory.domain_scores)}, new | {"domain_scores": scores}
        before.append({"id": memory.id, "memory": old})
        after.append({"id": memory.id, "memory": new})
        updates.append(name_params(memory.id, names, scores))
    await transaction.execute_many("update_domains", updates)
    return before, after
