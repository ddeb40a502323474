"""Journal entry of a change of very many memories: one entry, and its snapshots in parts of bounded size.

A part is a row of the journal with the verb PART. The entry names its parts in the snapshot of its first memory, and
holds of the other memories only the ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vestige_tui.core.journal import FURTHER
from vestige_tui.core.memories import JournalEntry
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.store.context import StoreContext

PART = "part"
"""Verb of a part. It is no change of its own: lists of changes leave it out."""
PART_ROWS = 2_000
"""Memories of a part. PostgreSQL takes at most 256 MB of JSON, and a snapshot of a deleted one can have 20 kB."""


class JournalParts:
    """Writer of the entry of one change: ``add`` snapshots batch by batch, then ``close``."""

    def __init__(self, context: StoreContext, transaction: Transaction, verb: str) -> None:
        self._context = context
        self._transaction = transaction
        self._verb = verb
        self._before: list[dict[str, Any]] = []
        self._after: list[dict[str, Any]] = []
        self._ids: list[str] = []
        self._first: tuple[dict[str, Any], dict[str, Any] | None] | None = None
        self._parts: list[int] = []

    async def add(self, before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> None:
        """Add the snapshots of some memories."""
        if self._first is None and before:
            self._first = before[0], after[0] if after else None
        self._before += before
        self._after += after
        self._ids += (str(snapshot["id"]) for snapshot in before if "id" in snapshot)
        if len(self._before) > PART_ROWS:
            await self._write_part()

    async def _write_part(self) -> None:
        self._parts.append(await self._context.journal(self._transaction, PART, self._before, self._after))
        self._before, self._after = [], []

    async def close(self, head: tuple[dict[str, Any], dict[str, Any]] | None = None) -> int | None:
        """Write the entry; return its number, None if nothing has changed.

        ``head`` are snapshots before and after of rows that are no memories; they come first and stay out of the parts.
        """
        if head is not None:
            self._first = head
        if self._first is None:
            return None
        if not self._parts:
            before, after = ([head[0]], [head[1]]) if head is not None else ([], [])
            return await self._context.journal(
                self._transaction, self._verb, before + self._before, after + self._after
            )
        await self._write_part()
        old, new = self._first
        rest = [{"id": memory_id} for memory_id in self._ids[old.get("id") is not None :]]
        before = [{**old, "parts": self._parts}, *rest]
        return await self._context.journal(self._transaction, self._verb, before, [new, *rest] if new else [])


async def whole(reader: Backend | Transaction, entry: JournalEntry) -> JournalEntry:
    """Return an entry with the snapshots of its parts."""
    if entry.after and FURTHER in entry.after[0]:
        return await _whole_import(reader, entry)
    parts = entry.before[0].get("parts") if entry.before else None
    if not parts:
        return entry
    # A first snapshot without an id is in the entry alone.
    has_head = "id" not in entry.before[0]
    before: list[Any] = entry.before[:1] if has_head else []
    after: list[Any] = entry.after[:1] if has_head else []
    for part in parts:
        [row] = await reader.fetch("get_journal", {"id": part})
        snapshots = rows.journal_entry(row)
        before += snapshots.before
        after += snapshots.after
    return dataclasses.replace(entry, before=before, after=after)


async def _whole_import(reader: Backend | Transaction, entry: JournalEntry) -> JournalEntry:
    """Return the entry of a long import, which holds its first memories itself, with those of its parts."""
    first, *rest = entry.after
    after = [{name: value for name, value in first.items() if name != FURTHER}, *rest]
    for part in first[FURTHER]:
        [row] = await reader.fetch("get_journal", {"id": part})
        after += rows.journal_entry(row).after
    return dataclasses.replace(entry, after=after)
