"""Redo: reverses an undo, within a transaction. Refused if the memories have changed since the undo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.domains import DOMAIN_VERBS
from vestige_tui.core.errors import Conflict
from vestige_tui.core.journal import REPAIR
from vestige_tui.core.text import grouped
from vestige_tui.store.domain_undo import restore_domains
from vestige_tui.store.journal_snapshots import review_params, schedule_params, schedule_value, schedule_version
from vestige_tui.store.locked_memories import changed_since, gone
from vestige_tui.store.row_snapshots import restore_rows
from vestige_tui.store.successors import Pointed, point
from vestige_tui.store.undo import (
    MAX_KEPT_MEMORIES,
    OF_THE_STORE,
    Reversal,
    Snapshot,
    Snapshots,
    by_id,
    current_digest,
    drop_outdated_vectors,
    lock_memory,
    restore_edge,
    restore_fields,
    restore_marks,
    restore_memories,
    restore_weights,
    restore_winner,
)

if TYPE_CHECKING:
    from vestige_tui.core.memories import JournalEntry
    from vestige_tui.store.backends.protocol import Transaction


async def redo_entry(transaction: Transaction, change: JournalEntry, undo: JournalEntry, now: datetime) -> Reversal:
    """Make an undone change again; ``undo`` is the entry that reversed it.

    Raises Conflict if that would overwrite a later change, or if the undo has not kept enough.
    """
    if change.verb in DOMAIN_VERBS:
        return Reversal(await restore_domains(transaction, change.after, change.before, now))
    repeat = _REPEATS.get(change.verb)
    if repeat is None:
        raise Conflict(f"A change of the kind '{change.verb}' cannot be redone.")
    kept = by_id(undo.before)
    goal: dict[str, Snapshot] = {
        memory_id: {**snapshot, **kept.get(memory_id, {})} for memory_id, snapshot in by_id(change.after).items()
    }
    goal, texts = await drop_outdated_vectors(transaction, goal or kept, undo.at)
    await repeat(transaction, goal, by_id(change.before), now)
    return Reversal([memory_id for memory_id in goal if memory_id != OF_THE_STORE], texts)


async def _insert_again(transaction: Transaction, goal: Snapshots, start: Snapshots, now: datetime) -> None:
    if any("memory" not in snapshot for snapshot in goal.values()):
        if len(goal) > MAX_KEPT_MEMORIES:
            raise Conflict(
                f"The undo of an import of {grouped(len(goal))} memories does not keep them; import the file again."
            )
        raise _too_old()
    await restore_memories(transaction, goal, start, now)


async def _edit_again(transaction: Transaction, goal: Snapshots, start: Snapshots, now: datetime) -> None:
    for memory_id, snapshot in goal.items():
        before, after = start[memory_id]["memory"], snapshot["memory"]
        if "embedding" not in snapshot and after.get("content") != before.get("content"):
            raise _too_old()
    await restore_fields(transaction, goal, start, now)


async def _delete_again(transaction: Transaction, goal: Snapshots, start: Snapshots, now: datetime) -> None:
    for memory_id, snapshot in goal.items():
        if "digest" not in snapshot:
            raise _too_old()
        if await current_digest(transaction, memory_id) != snapshot["digest"]:
            raise changed_since(memory_id)
    pointed = {memory_id: start[memory_id].get("pointed", {}) for memory_id in goal}
    if any(pointed.values()):
        await transaction.fetch("lock_supersession")
        await point(transaction, await _still_replaced(transaction, pointed), now)
    await transaction.execute("delete_memories", {"ids": list(goal)})


async def _still_replaced(transaction: Transaction, pointed: Pointed) -> Pointed:
    """Return the pointed memories that the memories to delete replace. Raises Conflict if a successor is gone."""
    kept: dict[str, dict[str, str]] = {}
    for winner, losers in pointed.items():
        for loser, successor in losers.items():
            ids = {str(row["id"]) for row in await transaction.fetch("list_existing", {"ids": [loser, successor]})}
            if loser not in ids or (await lock_memory(transaction, loser)).superseded_by != winner:
                continue
            if successor not in ids:
                raise gone(successor)
            kept.setdefault(winner, {})[loser] = successor
    return kept


async def _grade_again(transaction: Transaction, goal: Snapshots, start: Snapshots, now: datetime) -> None:
    for memory_id, snapshot in goal.items():
        await _repeat_grade(transaction, memory_id, snapshot, start[memory_id], now)


async def _repeat_grade(
    transaction: Transaction, memory_id: str, goal: Snapshot, start: Snapshot, now: datetime
) -> None:
    memory = await lock_memory(transaction, memory_id)
    if schedule_version(memory.scheduling) != schedule_version(start["scheduling"]):
        raise Conflict(f"Memory {memory_id[:8]} has been graded since; nothing was changed.")
    new = schedule_value(goal["scheduling"])
    if new is None or "undo_review" not in goal:
        raise _too_old()
    await transaction.execute("put_scheduling", schedule_params(memory_id, new))
    schedules = start["scheduling"], goal["scheduling"]
    params = review_params(memory_id, now, goal["rating"], *schedules, goal["undo_review"])
    await transaction.fetch("insert_review", params)


def _too_old() -> Conflict:
    return Conflict("This change was undone by an older version of vestige-tui, which did not save enough to redo it.")


_Repeat = Callable[["Transaction", Snapshots, Snapshots, datetime], Awaitable[Snapshots | None]]
"""Makes a change to ``goal`` again from ``start``, the state that its undo restored."""
_REPEATS: Mapping[str, _Repeat] = {
    "add": _insert_again,
    "import": _insert_again,
    "edit": _edit_again,
    "tag": restore_fields,
    "delete": _delete_again,
    "supersede": restore_winner,
    "unsupersede": restore_winner,
    "link": restore_edge,
    "unlink": restore_edge,
    "review": _grade_again,
    "suspend": restore_marks,
    "bury": restore_marks,
    "resume": restore_marks,
    "pin": restore_marks,
    "unpin": restore_marks,
    "clear_marks": restore_marks,
    "optimize": restore_weights,
    REPAIR: restore_rows,
}
REDOABLE_VERBS = frozenset(_REPEATS) | DOMAIN_VERBS
"""Verbs of the undone changes that can be redone."""
