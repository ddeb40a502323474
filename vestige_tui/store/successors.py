"""Memories that replace deleted ones in turn: a deletion can point the memories that those replaced at them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from vestige_tui.store.schema import rows
from vestige_tui.store.undo import append_event, refuse_cycle

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.store.backends.protocol import Backend, Transaction

Pointed = Mapping[str, Mapping[str, str]]
"""By the id of a deleted memory: the memories that it replaced, each with the memory that replaces it from then on."""


async def successors_of(
    reader: Backend | Transaction, winners: Iterable[str], deleted: Collection[str]
) -> dict[str, str]:
    """Return by each deleted winner the first memory that is kept in the chain of those that replace it, if any."""
    heads: dict[str, str] = {}
    for winner in dict.fromkeys(winners):
        current: str | None = winner
        visited: set[str] = set()
        while current is not None and current in deleted and current not in visited:
            visited.add(current)
            records = await reader.fetch("get_winner", {"id": current})
            stored = records[0]["superseded_by"] if records else None
            current = None if stored is None else str(stored)
        if current is not None and current not in visited:
            heads[winner] = current
    return heads


async def lock_pointed(transaction: Transaction, deleted: Sequence[str], batch_rows: int) -> Pointed:
    """Lock deleted memories and those that they replace; return where the kept ones of these are to be pointed."""
    await transaction.fetch("lock_supersession")
    pairs: list[tuple[str, str]] = []
    gone = set(deleted)
    for start in range(0, len(deleted), batch_rows):
        records = await transaction.fetch("list_losers", {"ids": list(deleted[start : start + batch_rows])})
        losers = [rows.memory(row) for row in records]
        pairs += [(each.id, each.superseded_by) for each in losers if each.superseded_by and each.id not in gone]
    heads = await successors_of(transaction, [winner for _, winner in pairs], gone)
    pointed: dict[str, dict[str, str]] = {}
    for loser, winner in pairs:
        if winner in heads and heads[winner] != loser:
            pointed.setdefault(winner, {})[loser] = heads[winner]
    ids = sorted({*gone, *(loser for losers in pointed.values() for loser in losers)} if pointed else ())
    # In the order of the ids, so that two changes never wait for each other.
    for start in range(0, len(ids), batch_rows):
        await transaction.fetch("lock_memories", {"ids": ids[start : start + batch_rows]})
    return pointed


async def point(transaction: Transaction, pointed: Pointed, now: datetime) -> None:
    """Decide that the successors of deleted memories replace what those replaced. Raises Conflict for a cycle."""
    for losers in pointed.values():
        for loser, successor in losers.items():
            await refuse_cycle(transaction, loser, successor)
            await append_event(transaction, loser, successor, "supersede", now)
