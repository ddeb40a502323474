"""History of a store: the memories at a past moment, the decisions before and after it, and differences of moments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.errors import NotFound, Usage
from vestige_tui.core.filter_match import narrows, passes
from vestige_tui.core.history import DecidedMemory, DeletedMemory, Difference, DifferenceCounts
from vestige_tui.core.memories import Filter, Memory
from vestige_tui.core.text import quoted
from vestige_tui.store.backends.protocol import fitting
from vestige_tui.store.journal_parts import whole
from vestige_tui.store.journal_snapshots import memory_value
from vestige_tui.store.moments import as_they_were, decisions_at
from vestige_tui.store.pages import ALL_CHARS
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.links import SupersessionEvent
    from vestige_tui.store.context import StoreContext

RECALL_LIMIT = 50
DELETIONS_BATCH = 2_000
"""Deleted memories that are read at once to be filtered."""
DIFFERENCE_LIMIT = 200
"""Memories of each group of a difference."""

_CREATED_BETWEEN = ("filter_created_since", "filter_active_at")
_REPLACED_BETWEEN = ("filter_created_before", "filter_active_before", "filter_replaced_at")
_ACTIVE_AGAIN = ("filter_created_before", "filter_replaced_before", "filter_active_at")


class HistoryService:
    """The store at past moments. Which memories there were follows from the log of decisions; texts are today's."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._backend = context.backend

    async def recall_as_of(
        self, moment: datetime, filter: Filter | None = None, *, limit: int = RECALL_LIMIT
    ) -> tuple[Memory, ...]:
        """Return the memories that were created by a moment and not replaced then, newest first.

        Deleted memories are not among them; a moment in the future gives the memories of now.
        """
        return await self._page(filter or Filter(), (), moment, moment, fitting(limit), None)

    async def decision_before(self, moment: datetime) -> SupersessionEvent | None:
        """Return the last decision before a moment."""
        return await self._decision("find_decision_before", moment)

    async def decision_after(self, moment: datetime) -> SupersessionEvent | None:
        """Return the first decision after a moment."""
        return await self._decision("find_decision_after", moment)

    async def _decision(self, query: str, moment: datetime) -> SupersessionEvent | None:
        records = await self._backend.fetch(query, {"as_of": moment})
        return rows.event(records[0]) if records else None

    async def edited_since(self, memories: Sequence[Memory], moment: datetime) -> Mapping[str, datetime]:
        """Return when the texts of memories were last edited after a moment, by id, of those that were another then."""
        ids = [memory.id for memory in memories if memory.updated_at is None or memory.updated_at > moment]
        records = await self._backend.fetch("list_edits_since", {"ids": ids, "as_of": moment}) if ids else []
        times = {str(row["id"]): rows.as_time(row["at"]) for row in records}
        return {memory_id: at for memory_id, at in times.items() if at is not None}

    async def difference(
        self,
        start: datetime,
        end: datetime,
        filter: Filter | None = None,
        *,
        limit: int = DIFFERENCE_LIMIT,
        head: int | None = None,
    ) -> Difference:
        """Return the difference between two moments; ``head`` truncates each content to so many characters.

        Of deleted memories the filter compares labels, owner, sharing and creation, which the journal has; a state or
        a recall they do not have. Raises Usage if the start is after the end.
        """
        fitting(limit)
        if start > end:
            raise Usage("The first moment is after the second; exchange the two.")
        chosen = filter or Filter()
        appeared, superseded, again, (deleted, deleted_count), counts = await asyncio.gather(
            self._page(chosen, _CREATED_BETWEEN, start, end, limit, head),
            self._page(chosen, _REPLACED_BETWEEN, start, end, limit, head),
            self._page(chosen, _ACTIVE_AGAIN, start, end, limit, head),
            self._deleted(chosen, start, end, limit, head),
            self._counts(chosen, start, end),
        )
        ids = [memory.id for memory in (*superseded, *again)]
        decisions = await decisions_at(self._backend, ids, end)

        def decided(memories: Sequence[Memory]) -> tuple[DecidedMemory, ...]:
            return tuple(DecidedMemory(memory, decisions.get(memory.id)) for memory in memories)

        return Difference(
            start, end, appeared, decided(superseded), decided(again), deleted, replace(counts, deleted=deleted_count)
        )

    async def _counts(self, filter: Filter, start: datetime, end: datetime) -> DifferenceCounts:
        appeared, superseded, again = await asyncio.gather(
            self._count(filter, _CREATED_BETWEEN, start, end),
            self._count(filter, _REPLACED_BETWEEN, start, end),
            self._count(filter, _ACTIVE_AGAIN, start, end),
        )
        return DifferenceCounts(appeared, superseded, again)

    def _conditions(
        self, filter: Filter, group: Sequence[str], start: datetime, end: datetime
    ) -> tuple[list[str], dict[str, Any]]:
        """Return the fragments of a filter at the end, and of a group of a difference, with their parameters."""
        fragments, params = self._context.filters(filter.at(end, superseded=bool(group)))
        return [*fragments, *group], params | {"earlier": start}

    async def _count(self, filter: Filter, group: Sequence[str], start: datetime, end: datetime) -> int:
        fragments, params = self._conditions(filter, group, start, end)
        [row] = await self._backend.fetch("count_memories", params, {"filters": fragments})
        return int(row["n"])

    async def _page(
        self, filter: Filter, group: Sequence[str], start: datetime, end: datetime, limit: int, head: int | None
    ) -> tuple[Memory, ...]:
        fragments, params = self._conditions(filter, group, start, end)
        params |= {"head": ALL_CHARS if head is None else head, "limit": limit}
        slots = {"filters": fragments, "order": ["order_created"], "sort_key": ["sort_key_created"]}
        records = await self._backend.fetch("page_memories", params, slots)
        return await as_they_were(self._backend, [rows.memory(row) for row in records], end)

    async def _deleted(
        self, filter: Filter, start: datetime, end: datetime, limit: int, head: int | None
    ) -> tuple[tuple[DeletedMemory, ...], int]:
        """Return the first of the deleted memories that pass a filter, and the number of all of them."""
        span = {"earlier": start, "as_of": end}
        params = {**span, "head": ALL_CHARS if head is None else head, "limit": limit, "offset": 0}
        if not narrows(filter):
            records = await self._backend.fetch("list_deletions", params)
            [row] = await self._backend.fetch("count_deletions", span)
            return tuple(map(rows.deleted_memory, records)), int(row["n"])
        shown: list[DeletedMemory] = []
        count = offset = 0
        while True:
            batch = params | {"limit": DELETIONS_BATCH, "offset": offset}
            records = await self._backend.fetch("list_deletions", batch)
            passing = [row for row in records if passes(filter, rows.deleted_labels(row))]
            shown += map(rows.deleted_memory, passing[: limit - len(shown)])
            count, offset = count + len(passing), offset + DELETIONS_BATCH
            if len(records) < DELETIONS_BATCH:
                return tuple(shown), count

    async def deleted_memory(self, entry: int, memory_id: str) -> Memory:
        """Return a memory as the journal keeps it since its deletion. Raises NotFound."""
        records = await self._backend.fetch("get_journal", {"id": entry})
        if records:
            snapshots = (await whole(self._backend, rows.journal_entry(records[0]))).before
            for snapshot in snapshots:
                if str(snapshot.get("id")) == memory_id and "content" in snapshot.get("memory", {}):
                    return memory_value(snapshot)
        raise NotFound(f"Change {entry} did not delete a memory with the id {quoted(memory_id)}.")
