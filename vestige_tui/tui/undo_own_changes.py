"""Undo and redo of the changes that one console has made, newest first; never of another's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Conflict, NotFound

if TYPE_CHECKING:
    from vestige_tui.core.memories import Change, JournalEntry
    from vestige_tui.store.store import Store


class OwnChanges:
    """Changes of this console in one store. A change that can never be undone is skipped the next time."""

    def __init__(self) -> None:
        self._refused: set[int] = set()
        # Two quick presses of a key undo two changes, and never one change twice.
        self._lock = asyncio.Lock()

    async def undo(self, store: Store) -> Change | None:
        """Undo the newest change; None if none is left. Raises Conflict if it was changed elsewhere since."""
        async with self._lock:
            entry = await store.journal.last_change("origin")
            while entry is not None and entry.id in self._refused:
                entry = await store.journal.last_change("origin", before_id=entry.id)
            return await self._reverse(entry, store.journal.undo)

    async def redo(self, store: Store) -> Change | None:
        """Reverse the newest undo, unless a later change cleared it; None without one. Raises Conflict as ``undo``."""
        async with self._lock:
            return await self._reverse(await store.journal.last_undo("origin"), store.journal.redo)

    async def _reverse(self, entry: JournalEntry | None, reverse: Callable[[int], Awaitable[Change]]) -> Change | None:
        if entry is None:
            return None
        try:
            return await reverse(entry.id)
        except (Conflict, NotFound):
            self._refused.add(entry.id)
            raise
