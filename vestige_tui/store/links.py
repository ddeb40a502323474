"""Links of a store: edges between memories, and the decisions that one memory replaces another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.errors import NotFound, Usage
from vestige_tui.core.links import Edge, Lineage, Neighbor, SupersessionEvent
from vestige_tui.core.memories import Change, Memory
from vestige_tui.core.storable import check_labels, clean
from vestige_tui.core.text import quoted
from vestige_tui.core.times import format_time
from vestige_tui.store.backends.protocol import Json, Transaction
from vestige_tui.store.edge_writes import edge_key, insert_missing_edges, put_edge
from vestige_tui.store.journal_snapshots import edge_fields, event_fields
from vestige_tui.store.schema import rows
from vestige_tui.store.undo import append_event, refuse_cycle

if TYPE_CHECKING:
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.memories import MemoryService

MAX_NEIGHBOR_COUNT = 256
MAX_LINEAGE_MEMORIES = 64


class LinkService:
    """Edges and supersession."""

    def __init__(self, context: StoreContext, memories: MemoryService) -> None:
        self._context = context
        self._backend = context.backend
        self._memories = memories

    async def add(self, edge: Edge) -> Change:
        """Link two memories, or change the weight of their link.

        Raises Conflict if the store keeps one link between two memories, and these have another one.
        """
        self._context.refuse_read_only()
        if edge.source_id == edge.target_id:
            raise Usage("A memory cannot be linked to itself.")
        if not 0 <= edge.weight <= 1:
            raise Usage("The weight of a link must be between 0 and 1.")
        check_labels("link type", [edge.edge_type])
        link = dataclasses.replace(
            edge, edge_type=clean(edge.edge_type), created_at=edge.created_at or self._context.now()
        )
        async with self._backend.write() as transaction:
            for end in (edge.source_id, edge.target_id):
                await self._context.lock_memory(transaction, end)
            old = await transaction.fetch("get_edge", edge_key(link))
            await put_edge(transaction, edge_fields(link), link.created_at)
            entry = await self._context.journal(
                transaction,
                "link",
                [{"id": edge.source_id, "edge": edge_fields(rows.edge(old[0]))}] if old else [],
                [{"id": edge.source_id, "edge": edge_fields(link)}],
            )
        return Change((edge.source_id, edge.target_id), entry)

    async def remove(self, source_id: str, target_id: str, edge_type: str = "related") -> Change:
        """Remove a link. Raises NotFound if the memories have none of that type."""
        self._context.refuse_read_only()
        key = edge_key(Edge(source_id, target_id, clean(edge_type)))
        if not (self._backend.is_id(source_id) and self._backend.is_id(target_id)):
            raise NotFound("These memories are not linked.")
        async with self._backend.write() as transaction:
            old = await transaction.fetch("get_edge", key)
            if not old:
                raise NotFound(f"These memories are not linked as {quoted(edge_type)}.")
            await transaction.execute("delete_edge", key)
            entry = await self._context.journal(
                transaction, "unlink", [{"id": source_id, "edge": edge_fields(rows.edge(old[0]))}], []
            )
        return Change((source_id, target_id), entry)

    async def edges(self, memory_id: str, edge_type: str | None = None) -> tuple[Edge, ...]:
        """Return the links of a memory, in both directions."""
        records = (
            await self._backend.fetch("list_edges", {"ids": [memory_id]}) if self._backend.is_id(memory_id) else []
        )
        edges = [edge for edge in map(rows.edge, records) if self._existed(edge)]
        return tuple(edge for edge in edges if edge_type is None or edge.edge_type == clean(edge_type))

    def _existed(self, edge: Edge) -> bool:
        """Check whether a link existed at the moment of the store."""
        moment = self._context.moment
        return moment is None or edge.created_at is None or edge.created_at <= moment

    async def neighbors(self, memory_id: str, depth: int = 1) -> tuple[Neighbor, ...]:
        """Return memories at most ``depth`` links away, by the best product of weights over all paths, best first.

        Links count in both directions. Returns at most 256 memories.
        """
        best: dict[str, tuple[float, int]] = {memory_id: (1.0, 0)}
        frontier = {memory_id}
        for step in range(1, max(1, min(depth, 6)) + 1):
            records = await self._backend.fetch("list_edges", {"ids": sorted(frontier)})
            edges = [edge for edge in map(rows.edge, records) if self._existed(edge)]
            reached: dict[str, tuple[float, int]] = {}
            for edge in edges:
                for start, end in ((edge.source_id, edge.target_id), (edge.target_id, edge.source_id)):
                    if start in frontier:
                        weight = best[start][0] * edge.weight
                        if weight > max(best.get(end, (0.0, 0))[0], reached.get(end, (0.0, 0))[0]):
                            reached[end] = (weight, step)
            frontier = set(reached)
            best |= reached
            if not frontier:
                break
        del best[memory_id]
        nearest = sorted(best, key=lambda neighbor_id: (-best[neighbor_id][0], best[neighbor_id][1], neighbor_id))[
            :MAX_NEIGHBOR_COUNT
        ]
        return tuple(Neighbor(memory, *best[memory.id]) for memory in await self._memories.get_many(nearest))

    async def supersede(self, loser_id: str, winner_id: str) -> Change:
        """Replace the loser by the winner. Raises Conflict if that would close a cycle."""
        self._context.refuse_read_only()
        if loser_id == winner_id:
            raise Usage("A memory cannot replace itself.")
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            loser = await self._context.lock_memory(transaction, loser_id)
            await self._context.lock_memory(transaction, winner_id)
            if loser.superseded_by == winner_id:
                return Change(())
            await refuse_cycle(transaction, loser_id, winner_id)
            entry = await self._append_decision(transaction, loser, winner_id)
        return Change((loser_id,), entry)

    async def unsupersede(self, memory_id: str) -> Change:
        """Make a replaced memory active again."""
        self._context.refuse_read_only()
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            loser = await self._context.lock_memory(transaction, memory_id)
            if loser.superseded_by is None:
                return Change(())
            entry = await self._append_decision(transaction, loser, None)
        return Change((memory_id,), entry)

    async def _append_decision(self, transaction: Transaction, loser: Memory, winner_id: str | None) -> int:
        verb = "supersede" if winner_id else "unsupersede"
        await append_event(transaction, loser.id, winner_id, verb, self._context.now())
        return await self._context.journal(
            transaction,
            verb,
            [{"id": loser.id, "superseded_by": loser.superseded_by}],
            [{"id": loser.id, "superseded_by": winner_id}],
        )

    async def history(self, memory_id: str) -> tuple[SupersessionEvent, ...]:
        """Return all supersession events in which a memory lost or won, oldest first."""
        records = await self._backend.fetch("list_events", {"id": memory_id}) if self._backend.is_id(memory_id) else []
        return tuple(event for event in map(rows.event, records) if self._was_decided(event))

    def _was_decided(self, event: SupersessionEvent) -> bool:
        """Check whether a decision had been made at the moment of the store."""
        moment = self._context.moment
        return moment is None or event.decided_at <= moment

    async def _losers(self, winner_ids: Sequence[str]) -> list[Memory]:
        """Return the memories that the given ones replace, at the moment of the store, oldest first."""
        moment = self._context.moment
        if moment is None:
            return [rows.memory(row) for row in await self._backend.fetch("list_losers", {"ids": list(winner_ids)})]
        records = await self._backend.fetch("list_losers_at", {"ids": list(winner_ids), "as_of": moment})
        losers = await self._memories.get_many([rows.event(row).loser_id for row in records])
        return sorted(losers, key=lambda memory: (memory.created_at or moment, memory.id))

    async def decisions(self, memory_ids: Sequence[str]) -> tuple[SupersessionEvent, ...]:
        """Return all supersession events in which these memories lost, oldest first."""
        ids = [each for each in memory_ids if self._backend.is_id(each)]
        events = map(rows.event, await self._backend.fetch("list_lost_events", {"ids": ids}))
        return tuple(event for event in events if self._was_decided(event))

    async def edges_from(self, memory_ids: Sequence[str]) -> tuple[Edge, ...]:
        """Return the links that lead from these memories."""
        ids = [each for each in memory_ids if self._backend.is_id(each)]
        edges = [rows.edge(row) for row in await self._backend.fetch("list_edges", {"ids": ids})]
        sources = set(ids)
        leading = [edge for edge in edges if edge.source_id in sources and self._existed(edge)]
        # Types are sorted otherwise in the collation of a server.
        return tuple(sorted(leading, key=lambda edge: (edge.source_id, edge.target_id, edge.edge_type)))

    async def lineage(self, memory_id: str) -> Lineage:
        """Return the supersession tree of a memory: the active memory at the root, the replaced ones below."""
        head, visited = await self._memories.get(memory_id), {memory_id}
        while head.superseded_by and head.superseded_by not in visited and len(visited) < MAX_LINEAGE_MEMORIES:
            winners = await self._memories.get_many([head.superseded_by])
            if not winners:
                break
            head = winners[0]
            visited.add(head.id)
        members: dict[str, Memory] = {head.id: head}
        frontier = [head.id]
        while frontier and len(members) < MAX_LINEAGE_MEMORIES:
            fresh = {memory.id: memory for memory in await self._losers(frontier) if memory.id not in members}
            members |= fresh
            frontier = list(fresh)

        def tree(memory: Memory) -> Lineage:
            children = [child for child in members.values() if child.superseded_by == memory.id and child.id != head.id]
            return Lineage(memory, tuple(tree(child) for child in children))

        return tree(head)

    async def restore(self, edges: Sequence[Edge]) -> tuple[int, int]:
        """Insert missing links; return (inserted, present).

        Raises NotFound if a memory of a link is missing, Conflict if the store has no room beside another link.
        """
        self._context.refuse_read_only()
        now = self._context.now()
        async with self._backend.write() as transaction:
            inserted_count = await insert_missing_edges(transaction, edges, now)
        return inserted_count, len(edges) - inserted_count

    async def restore_events(self, events: Sequence[SupersessionEvent]) -> tuple[int, int]:
        """Append missing supersession events with their own dates; return (inserted, present).

        Raises Conflict if they leave a cycle. In between there may be one: dates need not follow the order in which
        the decisions were recorded. A winner may have been deleted since.
        """
        self._context.refuse_read_only()
        inserted_count = 0
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_supersession")
            keys = [(each.loser_id, format_time(each.decided_at), each.winner_id, each.kind) for each in events]
            existing = {keys[int(row["n"])] for row in await transaction.fetch("find_events", {"asked": Json(keys)})}
            losers: dict[str, None] = {}
            for key, event in zip(keys, events, strict=True):
                if key not in existing:
                    existing.add(key)
                    await transaction.fetch("insert_event", {**event_fields(event), "decided_at": event.decided_at})
                    losers[event.loser_id] = None
                    inserted_count += 1
            await _refuse_cycles(transaction, losers)
        return inserted_count, len(events) - inserted_count


async def _refuse_cycles(transaction: Transaction, losers: Iterable[str]) -> None:
    for loser in losers:
        records = await transaction.fetch("get_winner", {"id": loser})
        if records and (winner := records[0]["superseded_by"]):
            await refuse_cycle(transaction, loser, winner)
