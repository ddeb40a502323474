"""Memories at a past moment: the winner and the schedule of then in place of today's."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.scheduling import from_json
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.core.links import SupersessionEvent
    from vestige_tui.core.memories import Memory
    from vestige_tui.core.reviews import Scheduling
    from vestige_tui.store.backends.protocol import Backend


async def decisions_at(backend: Backend, ids: Sequence[str], moment: datetime) -> dict[str, SupersessionEvent]:
    """Return the last decision on each of the memories up to a moment, by id; only of those with one."""
    records = await backend.fetch("list_decisions_at", {"ids": list(ids), "as_of": moment}) if ids else []
    return {event.loser_id: event for event in map(rows.event, records)}


async def as_they_were(backend: Backend, memories: Sequence[Memory], moment: datetime | None) -> tuple[Memory, ...]:
    """Return memories with the winner and the schedule that they had at a moment; as they are if that is None.

    Texts, tags and marks stay today's. A memory that was reviewed since has the schedule from before its first review
    after the moment, or one without a last review and a due date if the log does not have that review.
    """
    if moment is None or not memories:
        return tuple(memories)
    ids = [memory.id for memory in memories]
    reviewed = [memory.id for memory in memories if _is_later(memory.scheduling, moment)]
    decisions, schedules = await asyncio.gather(
        decisions_at(backend, ids, moment), _schedules_at(backend, reviewed, moment)
    )

    def then(memory: Memory) -> Memory:
        decision, state = decisions.get(memory.id), memory.scheduling
        if _is_later(state, moment):
            unknown = dataclasses.replace(state, last_review=None, next_review=None) if state else None
            state = schedules.get(memory.id, unknown)
        winner = decision.winner_id if decision is not None else None
        return dataclasses.replace(memory, superseded_by=winner, scheduling=state)

    return tuple(map(then, memories))


def _is_later(state: Scheduling | None, moment: datetime) -> bool:
    """Check whether a schedule is from a review after the moment."""
    return state is not None and state.last_review is not None and state.last_review > moment


async def _schedules_at(backend: Backend, ids: Sequence[str], moment: datetime) -> Mapping[str, Scheduling | None]:
    records = await backend.fetch("list_schedules_at", {"ids": list(ids), "as_of": moment}) if ids else []
    states = {str(row["memory_id"]): from_json(rows.as_map(row["prior_state"])) for row in records}
    return {memory_id: state if state.reps else None for memory_id, state in states.items()}
