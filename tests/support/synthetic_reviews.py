"""A review log as a memory with known weights of FSRS would give it, from a seed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from vestige_tui.core.memories import Draft
from vestige_tui.core.review_statistics import GradeInForce
from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import DEFAULT_WEIGHTS, Policy, retrievability, review
from vestige_tui.store.store import Store

QUICK_LEARNER = (*DEFAULT_WEIGHTS[:2], 30.0, 60.0, *DEFAULT_WEIGHTS[4:8], 3.0, *DEFAULT_WEIGHTS[9:20], 0.3)
"""Weights of a memory that keeps what it knows far longer than the default ones say, on another curve."""
START = datetime(2025, 1, 1, 9, tzinfo=UTC)


def review_log(memory_ids: Sequence[str], weights: Sequence[float] = QUICK_LEARNER, seed: int = 1) -> list[Review]:
    """Return the reviews of some memories, oldest first: graded by ``weights``, scheduled by the default ones."""
    chance = random.Random(seed)
    log: list[Review] = []
    for memory_id in memory_ids:
        at = START + timedelta(days=chance.randrange(60), minutes=chance.randrange(600))
        scheduled: Scheduling | None = None
        remembered: Scheduling | None = None
        for _ in range(chance.randint(3, 8)):
            rating = _rating(chance, remembered, at, weights)
            new = review(scheduled, rating, at)
            log.append(Review(0, memory_id, at, int(rating), scheduled or Scheduling(), new))
            remembered = review(remembered, rating, at, Policy(weights=tuple(weights)))
            scheduled = new
            at += timedelta(days=max(1, round(new.stability * chance.uniform(0.8, 3.0))))
    return sorted(log, key=lambda each: each.at)


def _rating(chance: random.Random, state: Scheduling | None, at: datetime, weights: Sequence[float]) -> Rating:
    if state is None:
        return chance.choice([Rating.AGAIN, Rating.GOOD, Rating.GOOD, Rating.EASY])
    if chance.random() > (retrievability(state, at, weights) or 0.0):
        return Rating.AGAIN
    return chance.choice([Rating.HARD, Rating.GOOD, Rating.GOOD, Rating.GOOD, Rating.EASY])


def grades(log: Sequence[Review]) -> list[GradeInForce]:
    """Return a log as the grades that statistics read."""
    return [GradeInForce(each.memory_id, each.at, Rating(each.rating), each.prior.reps == 0) for each in log]


async def fill(store: Store, memories: int, seed: int = 1) -> list[str]:
    """Write memories with a synthetic log and the schedule of their last review; return their ids."""
    ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {number}")) for number in range(memories)]
    log = review_log(ids, seed=seed)
    last = {each.memory_id: each.new for each in log}
    first = {each.memory_id: each.at for each in reversed(log)}
    drafts = [
        Draft(
            f"Fact {number} of {seed}",
            id=memory_id,
            tags=(f"tag{number % 3}",),
            node_type="fact" if number % 2 else "decision",
            created_at=first[memory_id],
            updated_at=first[memory_id],
            scheduling=last[memory_id],
        )
        for number, memory_id in enumerate(ids)
    ]
    await store.memories.insert_many(drafts, embed=False)
    await store.reviews.restore(log)
    return ids
