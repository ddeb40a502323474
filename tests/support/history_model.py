"""Plain-Python model of memories and decisions over time, and random histories for it and for stores."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tests.support.clock import Clock
from vestige_tui.core.errors import Conflict
from vestige_tui.core.links import SupersessionEvent
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.store.store import Store

FIRST = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LAST_STEP = 12
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
MEMORY_COUNT = 6
NOWHERE = "00000000-0000-4000-8000-00000000dead"


def at(step: int) -> datetime:
    """Moment of a step, with microseconds, so that a comparison of texts is exact."""
    return FIRST + timedelta(hours=step, microseconds=step * 77_777)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a history: its kind, the time, the memory, and the other memory of a replacement."""

    kind: str
    time: int
    memory: int
    other: int = 0


_PLACES, _TIMES = st.integers(0, MEMORY_COUNT - 1), st.integers(0, LAST_STEP)
STEPS = st.builds(
    Step,
    st.sampled_from(["supersede", "supersede", "unsupersede", "late", "late", "late_end", "lost_winner", "delete"]),
    _TIMES,
    _PLACES,
    _PLACES,
)
HISTORIES = st.tuples(st.lists(_TIMES, min_size=MEMORY_COUNT, max_size=MEMORY_COUNT), st.lists(STEPS, max_size=14))
"""Times of creation of the memories, and what happens to them."""


@dataclass(slots=True)
class HistoryModel:
    """Memories with their creation, the log of decisions in its order, and deletions with their times."""

    created: dict[str, datetime] = field(default_factory=dict)
    log: list[tuple[str, str | None, datetime]] = field(default_factory=list)
    deleted: dict[str, datetime] = field(default_factory=dict)

    def winner(self, memory: str, moment: datetime) -> str | None:
        """Winner of the last decision up to a moment; of equal times the later row counts."""
        decisions = [
            (time, number, winner)
            for number, (loser, winner, time) in enumerate(self.log)
            if loser == memory and time <= moment
        ]
        return max(decisions, key=lambda each: each[:2])[2] if decisions else None

    def shown(self, moment: datetime) -> set[str]:
        return {
            memory
            for memory, created in self.created.items()
            if created <= moment and self.winner(memory, moment) is None
        }

    def closes_cycle(self, loser: str, winner: str) -> bool:
        current: str | None = winner
        visited: set[str] = set()
        while current is not None and current not in visited:
            if current == loser:
                return True
            visited.add(current)
            current = self.winner(current, FUTURE) if current in self.created else None
        return False

    def decide(self, loser: str, winner: str | None, moment: datetime) -> None:
        """A decision of a user: dated no earlier than the others on this memory."""
        times = [time for other, _, time in self.log if other == loser]
        self.log.append((loser, winner, max([moment, *times])))

    def restore(self, loser: str, winner: str | None, moment: datetime) -> None:
        """A decision with its own date, as an import brings it: once for each memory and time."""
        if not any(other == loser and time == moment for other, _, time in self.log):
            self.log.append((loser, winner, moment))

    def delete(self, memory: str, moment: datetime) -> None:
        losers = [each for each in self.created if self.winner(each, FUTURE) == memory]
        del self.created[memory]
        self.deleted[memory] = moment
        self.log = [each for each in self.log if each[0] != memory]
        # The trigger of the database dates this by its own clock, long after every step.
        self.log += [(loser, None, FUTURE) for loser in losers if loser != memory]


async def write_memories(store: Store, clock: Clock, ids: list[str], times: list[int], tag: str) -> None:
    for memory_id, time in zip(ids, times, strict=True):
        clock.moment = at(time)
        await store.insert(Draft(f"Memory {memory_id}.", id=memory_id, tags=(tag,), created_at=at(time)), embed=False)


async def take_step(store: Store, clock: Clock, model: HistoryModel, step: Step, ids: list[str]) -> None:
    """Take one step in a store and in the model; assert that both refuse the same."""
    memory, other, moment = ids[step.memory], ids[step.other], at(step.time)
    clock.moment = moment
    if memory not in model.created:
        return
    if step.kind == "delete":
        await store.delete([memory])
        model.delete(memory, moment)
    elif step.kind == "unsupersede":
        change = await store.links.unsupersede(memory)
        assert bool(change.changed) == (model.winner(memory, FUTURE) is not None)
        if change.changed:
            model.decide(memory, None, moment)
    elif step.kind == "late_end":
        await store.links.restore_events([SupersessionEvent(0, memory, None, "unsupersede", moment)])
        model.restore(memory, None, moment)
    elif step.kind == "lost_winner":
        await store.links.restore_events([SupersessionEvent(0, memory, NOWHERE, "supersede", moment)])
        model.restore(memory, NOWHERE, moment)
    elif other in model.created and other != memory:
        await _replace(store, model, step.kind, memory, other, moment)


async def _replace(store: Store, model: HistoryModel, kind: str, memory: str, other: str, moment: datetime) -> None:
    is_known = any(loser == memory and time == moment for loser, _, time in model.log)
    nothing = model.winner(memory, FUTURE) == other if kind == "supersede" else is_known
    refused = not nothing and model.closes_cycle(memory, other)
    try:
        if kind == "supersede":
            await store.links.supersede(memory, other)
        else:
            await store.links.restore_events([SupersessionEvent(0, memory, other, "supersede", moment)])
    except Conflict:
        assert refused
        return
    assert not refused
    if kind == "late":
        model.restore(memory, other, moment)
    elif not nothing:
        model.decide(memory, other, moment)


async def shown(store: Store, moment: datetime, tag: str) -> set[str]:
    memories = await store.history.recall_as_of(moment, Filter(tags=(tag,)))
    assert [memory.created_at for memory in memories] == sorted(
        (memory.created_at for memory in memories if memory.created_at), reverse=True
    )
    return {memory.id for memory in memories}


def new_ids() -> list[str]:
    return [str(uuid.uuid4()) for _ in range(MEMORY_COUNT)]
