"""Sample store: the notes of an imaginary team, reviewed, linked and superseded over a year."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vestige_tui.core.links import Edge, SupersessionEvent
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import review as grade

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

BATCH_ROWS = 32
NAMESPACE = uuid.UUID("5b0c5f0e-2f53-5d0a-9a55-0c6f4c1d7be2")
"""Namespace of the memory ids; fixed, so that every demo store holds the same memories."""


def notes() -> Iterator[dict[str, Any]]:
    """Yield the packaged notes, one JSON object each."""
    with (files("vestige_tui") / "data" / "demo.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def memory_id(key: str) -> str:
    """Return the memory id of a note."""
    return str(uuid.uuid5(NAMESPACE, key))


async def fill(store: Store, now: datetime, progress: Callable[[int, int], None] | None = None) -> None:
    """Write all notes with vectors, schedules, reviews, links and supersessions, dated back from ``now``.

    Idempotent for the same ``now``; ``progress`` is called with (done, total) after each batch.
    """
    note_list = list(notes())
    drafts: list[Draft] = []
    reviews: list[Review] = []
    edges: list[Edge] = []
    events: list[SupersessionEvent] = []
    for note in note_list:
        created = _ago(now, note["days_ago"])
        state = None
        for entry in sorted(note["reviews"], key=lambda each: -each["days_ago"]):
            at = _ago(now, entry["days_ago"])
            after = grade(state, Rating(entry["rating"]), at, store.policy)
            reviews.append(Review(0, memory_id(note["key"]), at, entry["rating"], state or Scheduling(), after))
            state = after
        drafts.append(_draft(note, created, state))
        edges += (
            Edge(memory_id(note["key"]), memory_id(each["to"]), each["type"], each["weight"], created)
            for each in note["edges"]
        )
        if note["superseded_by"]:
            decided_at = _ago(now, note["superseded_days_ago"])
            winner = memory_id(note["superseded_by"])
            events.append(SupersessionEvent(0, memory_id(note["key"]), winner, "supersede", decided_at))
    for start in range(0, len(drafts), BATCH_ROWS):
        await store.memories.insert_many(drafts[start : start + BATCH_ROWS])
        if progress:
            progress(min(start + BATCH_ROWS, len(drafts)), len(drafts))
    await store.links.restore(edges)
    reviews.sort(key=lambda review: review.at)
    await store.reviews.restore([replace(review, id=number) for number, review in enumerate(reviews, start=1)])
    await store.links.restore_events(sorted(events, key=lambda event: event.decided_at))


def _ago(now: datetime, days: float) -> datetime:
    return now - timedelta(days=days)


def _draft(note: dict[str, Any], created: datetime, state: Scheduling | None) -> Draft:
    return Draft(
        content=note["content"],
        id=memory_id(note["key"]),
        node_type=note["node_type"],
        tags=tuple(note["tags"]),
        domains=tuple(note["domains"]),
        codebase=note["codebase"],
        metadata={"source": note["source"]} if note["source"] else {},
        created_at=created,
        scheduling=state,
    )
