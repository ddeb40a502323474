"""Lines of an export: memories, then the links, reviews, replacements and marks among them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.bulk import Target
from vestige_tui.core.links import SupersessionEvent
from vestige_tui.core.memories import Memory
from vestige_tui.core.reviews import Review
from vestige_tui.presenters import json_shapes

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

PAGE_ROWS = 200
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


async def exported_lines(store: Store, target: Target, *, memories_only: bool = False) -> AsyncIterator[dict[str, Any]]:
    """Yield each line of an export as the dict that is written as JSON; its ``kind`` tells what it holds."""
    ids: dict[str, None] = {}  # ordered, so that two exports of a store are equal
    async for memory in _memories(store, target):
        ids[memory.id] = None
        yield json_shapes.memory_line(memory)
    if memories_only:
        return
    for memory_id in ids:
        for edge in await store.links.edges(memory_id):
            if edge.source_id == memory_id and edge.target_id in ids:
                yield json_shapes.edge_line(edge)
    # What a person has named is a small part of a log that may be long.
    named = list(ids) if target.filter is None else None
    log = await (store.reviews.since(_BEGINNING) if named is None else store.reviews.of(named))
    for line in _numbered([review for review in log if review.memory_id in ids]):
        yield json_shapes.review_line(line)
    for number, event in enumerate(await _decisions(store, ids), start=1):
        yield json_shapes.supersession_line(dataclasses.replace(event, id=number))
    for marked in await store.reviews.marked(named):
        if marked.memory_id in ids:
            yield json_shapes.mark_line(marked)


async def _memories(store: Store, target: Target) -> AsyncIterator[Memory]:
    """Yield the memories of a target, page by page; those of ``ids`` in their order, without the ones that are gone."""
    if target.filter is None:
        for first in range(0, len(target.ids), PAGE_ROWS):
            for memory in await store.memories.get_many(target.ids[first : first + PAGE_ROWS]):
                yield memory
        return
    after: str | None = None
    while True:
        page = await store.page(target.filter, limit=PAGE_ROWS, after=after)
        for memory in page.items:
            yield memory
        after = page.next
        if after is None:
            return


def _numbered(reviews: Sequence[Review]) -> Iterator[Review]:
    """Number reviews from 1, so that equal logs of two stores give equal lines; an undo names the new number."""
    numbers = {review.id: number for number, review in enumerate(reviews, start=1)}
    for review in reviews:
        undoes = None if review.undoes is None else numbers.get(review.undoes)
        yield dataclasses.replace(review, id=numbers[review.id], undoes=undoes)


async def _decisions(store: Store, ids: Collection[str]) -> list[SupersessionEvent]:
    """Return the decisions among these memories, oldest first: in another order some would seem to close a circle."""
    events = [
        event
        for memory_id in ids
        for event in await store.links.history(memory_id)
        if event.loser_id == memory_id and (event.winner_id is None or event.winner_id in ids)
    ]
    return sorted(events, key=lambda event: (event.decided_at, event.id))
