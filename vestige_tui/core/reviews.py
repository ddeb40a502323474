"""Reviews of memories (FSRS): grades, the state that they lead to, and what is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Rating(IntEnum):
    """How well a memory was recalled (FSRS)."""

    AGAIN = 1
    HARD = 2
    GOOD = 3
    EASY = 4


@dataclass(frozen=True, slots=True)
class Scheduling:
    """FSRS state of one memory. ``stability`` in days, ``difficulty`` 1..10; ``reps`` 0 means new, never due.

    ``retrievability`` is the stored value, that of the last review; ``scheduling.retrievability`` gives the value now.
    """

    stability: float = 0.0
    difficulty: float = 0.0
    retrievability: float = 1.0
    last_review: datetime | None = None
    next_review: datetime | None = None
    reps: int = 0
    lapses: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """What the console itself notes about a memory's reviews: suspended, or buried until a moment."""

    suspended: bool = False
    buried_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """One row of the append-only review log. ``undoes`` names the row that this one takes back."""

    id: int
    memory_id: str
    at: datetime
    rating: int
    prior: Scheduling
    new: Scheduling
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many memories wait: due before today, due today, due in the six days after, never reviewed (and how many
    of those are still offered today)."""

    overdue: int
    today: int
    week: int
    new: int
    new_today: int

    @property
    def due(self) -> int:
        """What is due now: overdue and today. New memories are offered, never due."""
        return self.overdue + self.today

    @property
    def offered(self) -> int:
        """What a sitting would show now: what is due, and today's share of the new ones."""
        return self.due + self.new_today
