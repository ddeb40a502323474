"""Memories that an undo or a redo locks, and its refusal where one of them has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core.errors import Conflict
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.core.memories import Memory
    from vestige_tui.store.backends.protocol import Transaction


async def lock_memories(transaction: Transaction, ids: Sequence[str]) -> dict[str, Memory]:
    """Lock memories until the transaction ends, and return those that exist by id."""
    params = {"ids": list(ids)}
    await transaction.fetch("lock_memories", params)
    return {str(row["id"]): rows.memory(row) for row in await transaction.fetch("get_memories", params)}


def gone(memory_id: str) -> Conflict:
    return Conflict(f"Memory {memory_id[:8]} no longer exists; nothing was changed.")


def changed_since(memory_id: str) -> Conflict:
    return Conflict(f"Memory {memory_id[:8]} has changed since; nothing was changed.")
