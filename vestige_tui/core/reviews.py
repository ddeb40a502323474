"""Reviews of memories (FSRS): grades, schedules and the queue."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Rating(IntEnum):
    """Grade of a review (FSRS)."""

    AGAIN = 1
    HARD = 2
    GOOD = 3
    EASY = 4


@dataclass(frozen=True, slots=True)
class Scheduling:
    """FSRS state of one memory. ``stability`` in days, ``difficulty`` 1..10; ``reps`` 0 means new, never due.

    ``retrievability`` is the stored value, of the last review; ``scheduling.retrievability`` computes the present one.
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
    """Marks of the console on a memory: suspended or buried until a moment, and pinned.

    ``cleared_lapses`` is the number of lapses at which the mark of a leech was cleared; only later ones count.
    """

    suspended: bool = False
    buried_until: datetime | None = None
    pinned: bool = False
    cleared_lapses: int = 0


NO_MARKS = Marks()


def left_out_sentence(pinned: int) -> str:
    """Return the sentence on the pinned memories that a delete of several leaves out."""
    return f"{pinned:,} pinned {'memory is' if pinned == 1 else 'memories are'} left out."


@dataclass(frozen=True, slots=True)
class MarkedMemory:
    """Marks with the memory that has them."""

    memory_id: str
    marks: Marks


@dataclass(frozen=True, slots=True)
class Review:
    """Row of the append-only review log.

    ``undoes`` names the row that this one undoes: a grade, or the undo of one, which a redo undoes.
    """

    id: int
    memory_id: str
    at: datetime
    rating: int
    prior: Scheduling
    new: Scheduling
    undoes: int | None = None
    weights_hash: str | None = None
    """Hash of the weights that computed the new schedule; None where it is not known."""


def undone_reviews(log: Iterable[Review]) -> frozenset[int]:
    """Return the ids of the rows of a review log that an undo has reversed, unless a redo has reversed the undo."""
    undos = {review.id: review.undoes for review in log if review.undoes is not None}
    redone = undos.keys() & set(undos.values())
    return frozenset(undoes for number, undoes in undos.items() if number not in redone)


def is_redo(review: Review, log: Collection[Review]) -> bool:
    """Check whether a row of a review log reverses an undo."""
    return review.undoes is not None and any(each.id == review.undoes and each.undoes is not None for each in log)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Sizes of the review queue.

    ``overdue`` is due before today, ``today`` today, ``week`` in the six days after, ``new`` never reviewed,
    ``new_today`` the new ones still offered today.
    """

    overdue: int
    today: int
    week: int
    new: int
    new_today: int

    @property
    def due(self) -> int:
        """Number of memories due now: overdue and today. New memories are offered, never due."""
        return self.overdue + self.today

    @property
    def offered(self) -> int:
        """Number of cards of a session now: due, and today's share of the new ones."""
        return self.due + self.new_today
