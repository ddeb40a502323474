"""Reviews of a store: due memories, grading, marks, and the review log."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from vestige_tui.core.errors import Conflict, NotFound
from vestige_tui.core.marks import MarkVerb, marks_after
from vestige_tui.core.memories import Change, Filter, Memory
from vestige_tui.core.reviews import MarkedMemory, Marks, QueueCounts, Rating, Review, Scheduling
from vestige_tui.core.scheduling import review as fsrs_review
from vestige_tui.core.scheduling import same_schedule
from vestige_tui.core.times import format_time
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.journal_snapshots import (
    marks_fields,
    marks_params,
    review_params,
    schedule_fields,
    schedule_params,
)
from vestige_tui.store.past_queue import PastQueue
from vestige_tui.store.schema import rows
from vestige_tui.store.weights import use_weights

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Row
    from vestige_tui.store.context import StoreContext
    from vestige_tui.store.journal import JournalService
    from vestige_tui.store.memories import MemoryService

PARSE_CHUNK_ROWS = 10_000
MAX_PAST_DUE = 1_000_000
"""Most memories whose due dates at a past moment are read."""
_ALWAYS_JOURNALED = ("suspend", "bury", "resume")
"""Verbs that are journaled even if the marks were so already: a session of reviews undoes its own steps."""


class ReviewService:
    """Spaced repetition of a store's memories by FSRS."""

    def __init__(self, context: StoreContext, memories: MemoryService, journal: JournalService) -> None:
        self._context = context
        self._backend = context.backend
        self._memories = memories
        self._journal = journal
        self._days = context.policy.days
        self._past = PastQueue(context)

    def _is_past(self, filter: Filter | None) -> bool:
        """Check whether the queue of a past moment is wanted, by the store or by a filter."""
        return self._context.as_of(filter or Filter()) is not None

    async def scheduling(self, memory_id: str) -> Scheduling | None:
        """Return the FSRS state of a memory; None if it was never scheduled. Raises NotFound."""
        return (await self._memories.get(memory_id)).scheduling

    async def put_scheduling(self, memory_id: str, state: Scheduling) -> None:
        """Write a schedule unchanged, for programs with their own scheduler; reviews go through record_review."""
        self._context.refuse_read_only()
        async with self._backend.write() as transaction:
            await self._context.lock_memory(transaction, memory_id)
            await transaction.execute("put_scheduling", schedule_params(memory_id, state))

    async def due(
        self, before: datetime | None = None, limit: int = 100, filter: Filter | None = None
    ) -> tuple[Memory, ...]:
        """Return the memories due before a time (default: the end of the local day), longest overdue first.

        Excludes suspended, buried and new memories.
        """
        now = self._context.now()
        bound = before or self._days.bound(now, 1)
        if self._is_past(filter):
            return await self._past.due(bound, limit, filter or Filter())
        filters, params = self._context.filters(filter or Filter())
        # Vestige writes times in several formats: query with a margin of one day, then compare as times.
        query_bound = bound + timedelta(days=1) if self._backend.foreign else bound
        due_memories: list[Memory] = []
        slots: dict[str, list[str]] = {"filters": filters}
        params |= {"before": query_bound, "now": now, "limit": limit}
        while len(due_memories) < limit:
            batch = await self._backend.fetch("list_due", params, slots)
            memories = [rows.memory(row) for row in batch]
            due_memories += [memory for memory in memories if _is_due(memory, bound)]
            if len(batch) < limit:
                break
            slots["after"] = ["after_due"]
            params |= {"after_key": batch[-1]["sort_key"], "after_id": str(batch[-1]["id"])}
        return tuple(due_memories[:limit])

    async def new(self, limit: int = 10, filter: Filter | None = None) -> tuple[Memory, ...]:
        """Return memories that were never reviewed, oldest first."""
        if self._is_past(filter):
            return await self._past.new(limit, filter or Filter())
        filters, params = self._context.filters(filter or Filter())
        records = await self._backend.fetch(
            "list_new", {**params, "now": self._context.now(), "limit": limit}, {"filters": filters}
        )
        return tuple(rows.memory(row) for row in records)

    async def queue_counts(self, filter: Filter | None = None) -> QueueCounts:
        """Count the memories to review, by local days."""
        now = self._context.now()
        bounds = [self._days.bound(now, offset) for offset in (0, 1, 7)]
        if self._is_past(filter):
            return await self._past.counts(bounds, filter or Filter())
        filters, params = self._context.filters(filter or Filter())
        params["now"] = now
        slots = {"filters": filters}
        if self._backend.foreign:
            # Vestige writes times in several formats: SQL counts up to a day before the first bound, Python the rest.
            certain = bounds[0] - timedelta(days=1)
            span = {**params, "earliest": certain, "before": bounds[-1] + timedelta(days=1)}
            times = await _parse_due_times(await self._backend.fetch("list_due_times", span, slots))
            extras = [sum(moment < bound for moment in times) for bound in bounds]
            query_bounds = [certain, certain, certain]
        else:
            extras, query_bounds = [0, 0, 0], bounds
        until = dict(zip(("overdue", "tonight", "week"), query_bounds, strict=True))
        [row] = await self._backend.fetch("count_queue", {**params, **until, "midnight": bounds[0]}, slots)
        overdue, by_tonight, by_week = (int(row[name]) + extra for name, extra in zip(until, extras, strict=True))
        new, first = int(row["new"]), int(row["first"])
        offered = max(0, min(new, self._context.policy.new_per_day - first))
        return QueueCounts(overdue, by_tonight - overdue, by_week - by_tonight, new, offered)

    async def due_times(self, days: int = 30, filter: Filter | None = None) -> tuple[datetime, ...]:
        """Return the due times within so many days, today and overdue ones included, for a forecast."""
        now = self._context.now()
        if self._is_past(filter):
            memories = await self._past.due(self._days.bound(now, days + 1), MAX_PAST_DUE, filter or Filter())
            return tuple(due for memory in memories if memory.scheduling and (due := memory.scheduling.next_review))
        filters, params = self._context.filters(filter or Filter())
        epoch = datetime.fromtimestamp(0, UTC)
        span = {**params, "now": now, "earliest": epoch, "before": self._days.bound(now, days + 1)}
        return tuple(await _parse_due_times(await self._backend.fetch("list_due_times", span, {"filters": filters})))

    async def record(
        self, memory_id: str, rating: Rating, *, expected: Scheduling | Literal["any"] | None = "any"
    ) -> Change:
        """Grade a memory. Optimistic locking: raises Conflict if its schedule is no longer ``expected``."""
        self._context.refuse_read_only()
        now = self._context.now()
        async with self._backend.write() as transaction:
            memory = await self._context.lock_memory(transaction, memory_id)
            prior = memory.scheduling
            if expected != "any" and not same_schedule(prior, expected):
                raise Conflict(f"Memory {memory_id[:8]} was graded elsewhere meanwhile; nothing was saved.")
            weights_hash = await use_weights(self._context, transaction)
            new = fsrs_review(prior, rating, now, self._context.policy)
            await transaction.execute("put_scheduling", schedule_params(memory_id, new))
            schedules = schedule_fields(prior), schedule_fields(new)
            params = review_params(memory_id, now, int(rating), *schedules, weights_hash=weights_hash)
            [row] = await transaction.fetch("insert_review", params)
            entry = await self._context.journal(
                transaction,
                "review",
                [{"id": memory_id, "scheduling": schedule_fields(prior)}],
                [
                    {
                        "id": memory_id,
                        "scheduling": schedule_fields(new),
                        "review": int(row["id"]),
                        "rating": int(rating),
                    }
                ],
            )
        return Change((memory_id,), entry, new)

    async def undo(self, memory_id: str | None = None) -> Change:
        """Undo the last review not yet undone: of one memory by anyone, or of all by this user.

        Raises NotFound or Conflict.
        """
        self._context.refuse_read_only()
        change = await self._journal.undo(await self._review_to_undo(memory_id))
        return dataclasses.replace(change, scheduling=await self.scheduling(change.changed[0]))

    async def _review_to_undo(self, memory_id: str | None) -> int:
        if memory_id is None:
            entry = await self._journal.last_review()
            if entry is None:
                raise NotFound("There is no review to undo.")
            return entry.id
        records = await self._backend.fetch("last_review", {"id": memory_id})
        if not records:
            raise NotFound("There is no review to undo.")
        entries = await self._backend.fetch("find_review_entry", {"review": int(records[0]["id"])})
        if not entries:
            raise Conflict("Another program wrote this review, so it cannot be undone here.")
        return int(entries[0]["id"])

    async def log(self, memory_id: str) -> tuple[Review, ...]:
        """Return the review log of a memory, oldest first."""
        return self._reviews(await self._backend.fetch("list_reviews", {"id": memory_id}))

    def _reviews(self, records: Sequence[Row]) -> tuple[Review, ...]:
        """Return the reviews of these rows, without those after the moment of the store."""
        moment, reviews = self._context.moment, map(rows.review, records)
        return tuple(review for review in reviews if moment is None or review.at <= moment)

    async def since(self, since: datetime) -> tuple[Review, ...]:
        """Return all reviews since a time, oldest first."""
        return self._reviews(await self._backend.fetch("list_reviews_since", {"since": since}))

    async def of(self, memory_ids: Sequence[str]) -> tuple[Review, ...]:
        """Return the review logs of memories as one, oldest first."""
        return self._reviews(await self._backend.fetch("list_reviews_of", {"ids": list(memory_ids)}))

    async def marks(self, memory_id: str) -> Marks:
        """Return the marks of a memory."""
        return rows.marks(await self._backend.fetch("get_marks", {"id": memory_id}))

    async def marked(self, memory_ids: Sequence[str] | None = None) -> tuple[MarkedMemory, ...]:
        """Return the memories that have marks, all or those among ``memory_ids``, by id; burials of the past, too."""
        if memory_ids is None:
            records = await self._backend.fetch("list_marks")
        else:
            records = await self._backend.fetch("list_marks_of", {"ids": list(memory_ids)})
        every = [MarkedMemory(str(row["memory_id"]), rows.marks([row])) for row in records]
        return tuple(sorted((each for each in every if each.marks != Marks()), key=lambda each: each.memory_id))

    async def restore_marks(self, marked: Sequence[MarkedMemory]) -> tuple[int, int]:
        """Mark the memories that have no marks; return (inserted, present). Raises NotFound if one is missing."""
        self._context.refuse_read_only()
        params = [marks_params(each.memory_id, each.marks) for each in marked]
        async with self._backend.write() as transaction:
            inserted_count = await transaction.execute_many("insert_marks_if_absent", params)
        return inserted_count, len(marked) - inserted_count

    async def suspend(self, memory_id: str) -> Change:
        """Exclude a memory from reviews until it is resumed."""
        return await self._mark("suspend", [memory_id])

    async def bury(self, memory_id: str, until: datetime | None = None) -> Change:
        """Exclude a memory from reviews until a time, by default the start of the next local day."""
        return await self._mark("bury", [memory_id], until or self._days.bound(self._context.now(), 1))

    async def resume(self, memory_id: str) -> Change:
        """Include a suspended or buried memory in reviews again."""
        return await self._mark("resume", [memory_id])

    async def pin(self, memory_ids: Sequence[str]) -> Change:
        """Pin memories, all or none, so that a delete of several leaves them out. Pinned ones stay as they are."""
        return await self._mark("pin", memory_ids)

    async def unpin(self, memory_ids: Sequence[str]) -> Change:
        """Unpin memories, all or none."""
        return await self._mark("unpin", memory_ids)

    async def clear_marks(self, memory_ids: Sequence[str]) -> Change:
        """Take all marks off memories, all or none: suspended, buried, leech (until further lapses) and pinned."""
        return await self._mark("clear_marks", memory_ids)

    async def _mark(self, verb: MarkVerb, memory_ids: Sequence[str], until: datetime | None = None) -> Change:
        self._context.refuse_read_only()
        changed: list[tuple[Memory, Marks]] = []
        async with self._backend.write() as transaction:
            for memory_id in dict.fromkeys(memory_ids):
                memory = await self._context.lock_memory(transaction, memory_id)
                marks = marks_after(verb, memory, until)
                if marks != memory.marks or verb in _ALWAYS_JOURNALED:
                    changed.append((memory, marks))
            if not changed:
                return Change(())
            await transaction.execute_many("put_marks", [marks_params(memory.id, marks) for memory, marks in changed])
            entry = await self._context.journal(
                transaction,
                verb,
                [{"id": memory.id, "marks": marks_fields(memory.marks)} for memory, _ in changed],
                [{"id": memory.id, "marks": marks_fields(marks)} for memory, marks in changed],
            )
        return Change(tuple(memory.id for memory, _ in changed), entry)

    async def restore(self, reviews: Sequence[Review]) -> tuple[int, int]:
        """Append missing reviews unchanged, without touching schedules; return (inserted, present)."""
        self._context.refuse_read_only()
        if not reviews:
            return 0, 0
        keys = [(review.memory_id, format_time(review.at), int(review.rating)) for review in reviews]
        undone_ids = {review.undoes for review in reviews if review.undoes}
        numbered_keys = {key for key, review in zip(keys, reviews, strict=True) if review.id in undone_ids}
        inserted_count = 0
        new_ids: dict[int, int] = {}
        queue: list[dict[str, Any]] = []
        async with self._backend.write() as transaction:
            records = await transaction.fetch("find_reviews", {"asked": Json(keys)})
            ids_by_key: dict[tuple[str, str, int], int | None] = {
                keys[int(row["n"])]: int(row["id"]) for row in records
            }
            for key, review in zip(keys, reviews, strict=True):
                if key not in ids_by_key:
                    params = review_params(
                        review.memory_id,
                        review.at,
                        review.rating,
                        schedule_fields(review.prior),
                        schedule_fields(review.new),
                        new_ids.get(review.undoes) if review.undoes else None,
                        review.weights_hash,
                    )
                    inserted_count += 1
                    ids_by_key[key] = None
                    queue.append(params)
                    if key in numbered_keys:
                        # A later review undoes this one and needs its id; the log keeps its order.
                        await transaction.execute_many("append_review", queue[:-1])
                        ids_by_key[key] = int((await transaction.fetch("insert_review", params))[0]["id"])
                        queue.clear()
                if (new_id := ids_by_key[key]) is not None:
                    new_ids[review.id] = new_id
            await transaction.execute_many("append_review", queue)
        return inserted_count, len(reviews) - inserted_count


async def _parse_due_times(records: Sequence[Row]) -> list[datetime]:
    """Return the due times in these rows, yielding to the event loop after each chunk."""
    moments: list[datetime] = []
    for start in range(0, len(records), PARSE_CHUNK_ROWS):
        chunk = records[start : start + PARSE_CHUNK_ROWS]
        moments += [moment for row in chunk if (moment := rows.as_time(row["next_review"])) is not None]
        await asyncio.sleep(0)
    return moments


def _is_due(memory: Memory, bound: datetime) -> bool:
    state = memory.scheduling
    return state is not None and state.next_review is not None and state.next_review < bound
