"""Ids of a store's memories, for tests that act on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.core.memories import Filter
    from vestige_tui.store.store import Store

PAGE_ROWS = 1_000


async def list_ids(store: Store, filter: Filter | None = None, *, limit: int = 100_000) -> tuple[str, ...]:
    """Return the ids that pass a filter, newest first."""
    ids: list[str] = []
    after: str | None = None
    while len(ids) < limit:
        page = await store.page(filter, limit=min(PAGE_ROWS, limit - len(ids)), after=after, head=0)
        ids += [memory.id for memory in page.items]
        after = page.next
        if after is None:
            break
    return tuple(ids)
