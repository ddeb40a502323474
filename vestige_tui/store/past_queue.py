"""The review queue at a past moment: what was due and what was new then, by the schedules of then and today's marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.memories import Filter, Memory, MemoryState
from vestige_tui.core.reviews import QueueCounts
from vestige_tui.store.moments import as_they_were
from vestige_tui.store.pages import ALL_CHARS
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.context import StoreContext

_DUE_ORDER = {"order": ["order_due_at"], "sort_key": ["sort_key_due_at"]}
_OLDEST_ORDER = {"order": ["order_oldest"], "sort_key": ["sort_key_created"]}


class PastQueue:
    """The review queue as of the moment of a context, or of a filter."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context

    async def due(self, bound: datetime, limit: int, filter: Filter) -> tuple[Memory, ...]:
        """Return the memories that were due before a time, longest overdue first."""
        fragments, params = self._filters(filter, "due")
        return await self._read([*fragments, "only_due_at"], params | {"due_before": bound, "limit": limit}, _DUE_ORDER)

    async def new(self, limit: int, filter: Filter) -> tuple[Memory, ...]:
        """Return the memories that were not reviewed yet, oldest first."""
        fragments, params = self._filters(filter, "new", "suspended", "buried")
        return await self._read(fragments, params | {"limit": limit}, _OLDEST_ORDER)

    async def counts(self, bounds: Sequence[datetime], filter: Filter) -> QueueCounts:
        """Count the queue by the ends of yesterday, of the day and of the week; no new memory is offered then."""
        fragments, params = self._filters(filter, "due")
        overdue, by_tonight, by_week = [
            await self._count(fragments, params | {"due_before": bound}) for bound in bounds
        ]
        new = await self._count(*self._filters(filter, "new", "suspended", "buried"))
        return QueueCounts(overdue, by_tonight - overdue, by_week - by_tonight, new, 0)

    def _filters(self, filter: Filter, state: MemoryState, *without: MemoryState) -> tuple[list[str], dict[str, Any]]:
        chosen = replace(filter, states=(*filter.states, state), no_states=(*filter.no_states, *without))
        return self._context.filters(chosen)

    async def _count(self, fragments: list[str], params: dict[str, Any]) -> int:
        [row] = await self._context.backend.fetch("count_memories", params, {"filters": fragments})
        return int(row["n"])

    async def _read(
        self, fragments: list[str], params: dict[str, Any], order: dict[str, list[str]]
    ) -> tuple[Memory, ...]:
        whole = params | {"head": ALL_CHARS, "offset": 0}
        records = await self._context.backend.fetch("page_memories_at", whole, {"filters": fragments, **order})
        return await as_they_were(self._context.backend, [rows.memory(row) for row in records], params["as_of"])
