"""Weights of FSRS of a store: those in force, their fit to the review log, and rescheduling by them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vestige_tui.core.memories import Change
from vestige_tui.core.rescheduling import rescheduled
from vestige_tui.core.reviews import Scheduling
from vestige_tui.core.scheduling import same_schedule
from vestige_tui.core.times import format_time
from vestige_tui.core.weight_fit import FitStep, require_library
from vestige_tui.core.weights import Weights
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.fit_process import fit_in_a_process
from vestige_tui.store.journal_parts import JournalParts
from vestige_tui.store.journal_snapshots import schedule_fields, schedule_params
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.memories import Memory
    from vestige_tui.core.reviews import Review
    from vestige_tui.core.scheduling import Policy
    from vestige_tui.core.weight_fit import WeightFit
    from vestige_tui.core.weights import StoredWeights
    from vestige_tui.store.backends.protocol import Backend, Transaction
    from vestige_tui.store.context import StoreContext

OPTIMIZE = "optimize"
"""Verb of the journal for weights that were applied."""
BATCH_ROWS = 500
"""Memories that are rescheduled by one statement."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ReschedulePreview:
    """Counts of a rescheduling: memories with a review log, and those whose due date moves."""

    reviewed: int = 0
    earlier: int = 0
    later: int = 0
    due_before: int = 0
    """Memories of ``reviewed`` that are due by the end of the local day now."""
    due_after: int = 0
    """The same after rescheduling."""

    @property
    def moved(self) -> int:
        """Number of memories whose due date moves."""
        return self.earlier + self.later


@dataclass(slots=True)
class _RescheduleTally:
    """Counts of a preview so far."""

    bound: datetime
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, old: Scheduling, new: Scheduling) -> None:
        before, after = old.next_review or _EPOCH, new.next_review or _EPOCH
        for name, counts in (
            ("reviewed", True),
            ("earlier", after < before),
            ("later", after > before),
            ("due_before", before < self.bound),
            ("due_after", after < self.bound),
        ):
            self.counts[name] = self.counts.get(name, 0) + counts


class WeightService:
    """Weights in force, ``fit`` of new ones, and ``apply``, which undo reverses."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._backend = context.backend

    @property
    def current(self) -> Weights:
        """Weights in force when they were last read."""
        return self._context.policies.applied or Weights(self._context.policies.configured.weights)

    @property
    def applied(self) -> bool:
        """Return whether the weights in force were applied to this store; else they are those of the settings."""
        return self._context.policies.applied is not None

    async def refresh(self) -> bool:
        """Read the weights in force, which another process may have applied; return whether they are others."""
        before = self._context.policy
        await refresh_weights(self._context, self._backend)
        return self._context.policy != before

    async def get(self, weights_hash: str) -> StoredWeights | None:
        """Return the weights with a hash, as a review names them; None if the store has not kept them."""
        records = await self._backend.fetch("get_weights", {"hash": weights_hash})
        return rows.weights(records[0]) if records else None

    async def fit(self, report: Callable[[FitStep], None] = lambda _: None) -> WeightFit:
        """Fit weights to the review log of this store in a process of its own, which a cancelled fit ends.

        ``report`` is called before each step. Raises FitUnavailable or TooFewReviews.
        """
        require_library()
        report(FitStep.READ)
        await self.refresh()
        records = await self._backend.fetch("list_grades", {"since": _EPOCH})
        grades = await asyncio.to_thread(lambda: [rows.grade(record) for record in records])
        return await fit_in_a_process(grades, self.current.values, report)

    async def preview(self, weights: Weights, report: Callable[[FitStep], None] = lambda _: None) -> ReschedulePreview:
        """Count the due dates that rescheduling by these weights would move."""
        report(FitStep.REPLAY)
        policy = self._with(weights)
        tally = _RescheduleTally(self._context.policy.days.bound(self._context.now(), 1))
        async for ids in self._batches(self._backend):
            memories = [rows.memory(row) for row in await self._backend.fetch("get_memories", {"ids": list(ids)})]
            for state, new in (await self._replay(self._backend, memories, policy)).values():
                tally.add(state, new)
        return ReschedulePreview(**tally.counts)

    async def apply(self, weights: Weights, *, reschedule: bool = False) -> Change:
        """Put weights in force, and reschedule the memories by them if asked, all or none; one undo reverses both."""
        self._context.refuse_read_only()
        policy = self._with(weights)
        changed: list[str] = []
        async with self._backend.write() as transaction:
            await transaction.fetch("lock_weights")
            journal = JournalParts(self._context, transaction, OPTIMIZE)
            [old], [new] = await self._put_in_force(transaction, weights)
            if reschedule:
                async for ids in self._batches(transaction):
                    changed += await self._move(transaction, journal, ids, policy)
            entry = await journal.close((old, new))
        self._context.policies.apply(weights)
        return Change(tuple(changed), entry)

    def _with(self, weights: Weights) -> Policy:
        """Return the settings of scheduling with other weights. Raises ValueError for weights that FSRS-6 refuses."""
        if not weights.usable:
            raise ValueError("these are not weights of FSRS-6")
        return replace(self._context.policies.configured, weights=weights.values)

    async def _put_in_force(
        self, transaction: Transaction, weights: Weights
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Write that weights are applied now; return the snapshots before and after."""
        now = self._context.now()
        before = await _applied(transaction)
        await keep_weights(transaction, weights, now)
        [row] = await transaction.fetch("get_weights", {"hash": weights.hash})
        own = rows.weights(row)
        # Later than the weights until now, even where a clock ran ahead.
        applied_at = max(now, before.applied_at + _TICK) if before is not None and before.applied_at else now
        await transaction.execute("set_weights_applied", {"hash": weights.hash, "applied_at": applied_at})
        return (
            [{"weights": weights_fields(weights.hash, own.applied_at, before.hash if before else None)}],
            [{"weights": weights_fields(weights.hash, applied_at, weights.hash)}],
        )

    async def _move(
        self, transaction: Transaction, journal: JournalParts, ids: Sequence[str], policy: Policy
    ) -> list[str]:
        """Reschedule some memories; return the ids of those that changed."""
        params = {"ids": list(ids)}
        await transaction.fetch("lock_memories", params)
        memories = [rows.memory(row) for row in await transaction.fetch("get_memories", params)]
        pairs = await self._replay(transaction, memories, policy)
        moved = {memory_id: pair for memory_id, pair in pairs.items() if not same_schedule(*pair)}
        await transaction.execute_many(
            "put_scheduling", [schedule_params(memory_id, new) for memory_id, (_, new) in moved.items()]
        )
        await journal.add(
            [{"id": memory_id, "scheduling": schedule_fields(old)} for memory_id, (old, _) in moved.items()],
            [{"id": memory_id, "scheduling": schedule_fields(new)} for memory_id, (_, new) in moved.items()],
        )
        return list(moved)

    async def _batches(self, reader: Backend | Transaction) -> AsyncIterator[Sequence[str]]:
        """Yield the ids of the memories that have a schedule and reviews, in their order."""
        params: dict[str, Any] = {"limit": BATCH_ROWS}
        slots: dict[str, list[str]] = {}
        while True:
            ids = [str(row["id"]) for row in await reader.fetch("list_reviewed", params, slots)]
            if ids:
                yield ids
            if len(ids) < BATCH_ROWS:
                return
            params["after_id"] = ids[-1]
            slots = {"after": ["after_reviewed"]}

    async def _replay(
        self, reader: Backend | Transaction, memories: Sequence[Memory], policy: Policy
    ) -> dict[str, tuple[Scheduling, Scheduling]]:
        """Return the schedule of each memory, and that by another policy."""
        states = {memory.id: memory.scheduling for memory in memories if memory.scheduling is not None}
        logs: dict[str, list[Review]] = {}
        for row in await reader.fetch("list_reviews_of", {"ids": list(states)}):
            review = rows.review(row)
            logs.setdefault(review.memory_id, []).append(review)
        return await asyncio.to_thread(
            lambda: {
                memory_id: (state, rescheduled(state, logs.get(memory_id, ()), policy))
                for memory_id, state in states.items()
            }
        )


async def refresh_weights(context: StoreContext, reader: Backend | Transaction) -> None:
    """Read the weights that were applied last, which another process may have done."""
    stored = await _applied(reader)
    context.policies.apply(stored.weights if stored is not None else None)


async def use_weights(context: StoreContext, transaction: Transaction) -> str:
    """Read the weights in force and keep them for the review that names them; return their hash."""
    await refresh_weights(context, transaction)
    weights = Weights(context.policy.weights)
    await keep_weights(transaction, weights, context.now())
    return weights.hash


async def keep_weights(transaction: Transaction, weights: Weights, now: datetime) -> None:
    await transaction.execute(
        "insert_weights_if_absent",
        {
            "hash": weights.hash,
            "algorithm": weights.algorithm,
            "weights": Json(list(weights.values)),
            "created_at": now,
        },
    )


def weights_fields(weights_hash: str, applied_at: datetime | None, in_force: str | None) -> dict[str, Any]:
    """Return a snapshot of weights: when they were applied, and the hash of those in force; None for the settings."""
    return {
        "hash": weights_hash,
        "applied_at": None if applied_at is None else format_time(applied_at),
        "in_force": in_force,
    }


async def _applied(reader: Backend | Transaction) -> StoredWeights | None:
    records = await reader.fetch("get_applied_weights")
    return rows.weights(records[0]) if records else None
