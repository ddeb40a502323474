"""Lines of an export: users, groups, domains and memories, then the lines that refer to them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vestige_tui.core.bulk import Target
from vestige_tui.core.links import SupersessionEvent
from vestige_tui.core.memories import Filter, Memory
from vestige_tui.core.reviews import Review
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.account_lines import AccountLines

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

PAGE_ROWS = 200
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


async def exported_lines(store: Store, target: Target, *, memories_only: bool = False) -> AsyncIterator[dict[str, Any]]:
    """Yield each line of an export as the dict that is written as JSON; its ``kind`` names its contents."""
    accounts = None if memories_only else await AccountLines.of(store)
    if accounts and target.filter == Filter(superseded=True):
        for line in accounts.all():
            yield line
    ids: dict[str, None] = {}  # ordered, so that two exports of a store are equal
    async for memory in _memories(store, target):
        ids[memory.id] = None
        for line in accounts.named_by(memory) if accounts else ():
            yield line
        yield json_shapes.memory_line(memory)
    if accounts is None:
        return
    for line in accounts.memberships():
        yield line
    async for line in _references(store, target, ids):
        yield line


async def _references(store: Store, target: Target, ids: Mapping[str, None]) -> AsyncIterator[dict[str, Any]]:
    """Yield the lines that refer to memories: links, reviews, decisions and marks among ``ids``."""
    for page in _pages(list(ids)):
        for edge in await store.links.edges_from(page):
            if edge.target_id in ids:
                yield json_shapes.edge_line(edge)
    # The memories that a person has named have a small part of a log that may be long.
    named = list(ids) if target.filter is None else None
    log = await (store.reviews.since(_BEGINNING) if named is None else store.reviews.of(named))
    for review in _numbered([review for review in log if review.memory_id in ids]):
        yield json_shapes.review_line(review)
    for number, event in enumerate(await _decisions(store, ids), start=1):
        yield json_shapes.supersession_line(dataclasses.replace(event, id=number))
    for marked in await store.reviews.marked(named):
        if marked.memory_id in ids:
            yield json_shapes.mark_line(marked)


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), PAGE_ROWS):
        yield ids[first : first + PAGE_ROWS]


async def _memories(store: Store, target: Target) -> AsyncIterator[Memory]:
    """Yield the memories of a target, page by page; those of ``ids`` in their order, without the ones that are gone."""
    if target.filter is None:
        for ids in _pages(target.ids):
            for memory in await store.memories.get_many(ids):
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


async def _decisions(store: Store, ids: Mapping[str, None]) -> list[SupersessionEvent]:
    """Return the decisions about these memories, oldest first. A winner is one of them, or deleted since."""
    events = [event for page in _pages(list(ids)) for event in await store.links.decisions(page)]
    outside = list({event.winner_id: None for event in events if event.winner_id and event.winner_id not in ids})
    elsewhere = {memory.id for page in _pages(outside) for memory in await store.memories.get_many(page)}
    kept = [event for event in events if event.winner_id not in elsewhere]
    return sorted(kept, key=lambda event: (event.decided_at, event.id))
