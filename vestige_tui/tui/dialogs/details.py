"""Reading the details of one memory that a card shows, in concurrent queries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vestige_tui.core.memories import LOCAL_USER
from vestige_tui.core.search import NO_TERMS
from vestige_tui.tui.widgets.memory_detail import MemoryDetail

if TYPE_CHECKING:
    from vestige_tui.core.search import Hit, MatchTerms
    from vestige_tui.store.store import Store


async def detail_of(store: Store, memory_id: str, hit: Hit | None = None, terms: MatchTerms = NO_TERMS) -> MemoryDetail:
    """Return the details of a memory, with the ``hit`` and ``terms`` of the search that found it. Raises NotFound."""
    memory, edges, neighbors, reviews, lineage = await asyncio.gather(
        store.get(memory_id),
        store.links.edges(memory_id),
        store.links.neighbors(memory_id),
        store.reviews.log(memory_id),
        store.links.lineage(memory_id),
    )
    # Most memories belong to the local user alone, and need no name.
    ids = [id for id in (memory.owner_user_id, *memory.shared_with_groups) if id != LOCAL_USER]
    names = await store.memories.owner_names(ids) if ids else {}
    edited = await store.history.edited_since([memory], store.moment) if store.moment is not None else {}
    return MemoryDetail(
        memory,
        edges,
        neighbors,
        reviews,
        lineage=lineage,
        hit=hit,
        terms=terms,
        edited_at=edited.get(memory.id),
        is_past=store.moment is not None,
        names=names,
    )
