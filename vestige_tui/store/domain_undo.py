"""Undo and redo of a change of domains: rows and memories become exactly as before, or nothing changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import Conflict
from vestige_tui.core.text import quoted
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.domain_rows import current_model, delete_rows, lock_rows, put_row, row_value, same_row
from vestige_tui.store.journal_snapshots import memory_fields
from vestige_tui.store.locked_memories import changed_since, gone, lock_memories

if TYPE_CHECKING:
    from vestige_tui.core.memories import Memory
    from vestige_tui.store.backends.protocol import Transaction

BATCH_ROWS = 500
Snapshots = Sequence[Mapping[str, Any]]


async def restore_domains(transaction: Transaction, goal: Snapshots, current: Snapshots, now: datetime) -> list[str]:
    """Restore the rows and memories of ``goal`` where ``current`` still holds; return the ids of the memories.

    Raises Conflict if one of them has changed since.
    """
    await _restore_rows(transaction, goal[0], current[0], now)
    memories = [snapshot for snapshot in goal if "id" in snapshot]
    expected = {str(snapshot["id"]): snapshot for snapshot in current if "id" in snapshot}
    for start in range(0, len(memories), BATCH_ROWS):
        await _restore_names(transaction, memories[start : start + BATCH_ROWS], expected)
    return [str(snapshot["id"]) for snapshot in memories]


async def _restore_rows(
    transaction: Transaction, goal: Mapping[str, Any], current: Mapping[str, Any], now: datetime
) -> None:
    existing = await lock_rows(transaction, current["rows"])
    model = await current_model(transaction)
    for name, snapshot in current["rows"].items():
        if not same_row(existing.get(name), snapshot, same_model=model == current["model"]):
            raise Conflict(f"The domain {quoted(name)} has changed since; nothing was changed.")
    await delete_rows(transaction, [name for name in existing if goal["rows"].get(name) is None])
    for name, snapshot in goal["rows"].items():
        if snapshot is not None:
            await put_row(transaction, row_value(name, snapshot, now, same_model=model == goal["model"]))


async def _restore_names(transaction: Transaction, goal: Snapshots, expected: Mapping[str, Mapping[str, Any]]) -> None:
    memories = await lock_memories(transaction, [str(snapshot["id"]) for snapshot in goal])
    updates = []
    for snapshot in goal:
        memory_id, fields = str(snapshot["id"]), snapshot["memory"]
        if memory_id not in memories:
            raise gone(memory_id)
        if not _holds(memories[memory_id], expected[memory_id]["memory"]):
            raise changed_since(memory_id)
        updates.append(name_params(memory_id, fields["domains"], fields.get("domain_scores")))
    await transaction.execute_many("update_domains", updates)


def _holds(memory: Memory, fields: Mapping[str, Any]) -> bool:
    current = memory_fields(memory)
    return all(current[name] == value for name, value in fields.items())


def name_params(memory_id: str, names: Sequence[str], scores: Mapping[str, float] | None) -> dict[str, Any]:
    """Return the parameters of ``update_domains``; it keeps the scores for None."""
    return {"id": memory_id, "domains": list(names), "domain_scores": None if scores is None else Json(dict(scores))}
