"""Everything that a card shows of one memory, asked of the store at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vestige_tui.tui.widgets.memory_card import MemoryDetail

if TYPE_CHECKING:
    from vestige_tui.core.search import Hit
    from vestige_tui.store.store import Store


async def detail_of(store: Store, memory_id: str, hit: Hit | None = None) -> MemoryDetail:
    """The detail of a memory, with the ``hit`` that a search made of it. Raises NotFound where it has gone."""
    memory, edges, neighbors, reviews, family = await asyncio.gather(
        store.get(memory_id),
        store.get_edges(memory_id),
        store.get_neighbors(memory_id),
        store.reviews(memory_id),
        store.lineage(memory_id),
    )
    return MemoryDetail(memory, edges, neighbors, reviews, lineage=family, hit=hit)
