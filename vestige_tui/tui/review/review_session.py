"""Session of reviews: the cards ahead, the practice cards, and the grades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.times import LocalDays

PRACTICE_AFTER = 5
"""Number of other cards after which a forgotten memory is shown as practice, if there are as many."""

CARD_SECONDS = 12.0
"""Estimate for a card until the session has a pace of its own."""

PACE_CARD_COUNT = 3
MIN_CARD_SECONDS, MAX_CARD_SECONDS = 1.0, 120.0


@dataclass(frozen=True, slots=True)
class SessionCard:
    """Card of a session; a practice card writes nothing."""

    memory_id: str
    practice: bool = False
    requeued: bool = False
    """Asked because its grade was undone, due or not."""


class ReviewSession:
    """State of a session; the order is fixed at its start, and no change of the store moves a card."""

    def __init__(self, memory_ids: Sequence[str], started: datetime) -> None:
        self.started = started
        self.graded: list[Review] = []
        self.repeated = 0
        """Number of practice cards shown."""
        self.elsewhere = 0
        """Number of cards left out because they were graded, replaced or deleted elsewhere."""
        self._ahead = list(dict.fromkeys(memory_ids))
        self._practice: list[tuple[str, int]] = []
        self._handled: set[str] = set()
        self._seconds: list[float] = []
        self._card = self._next()

    @property
    def card(self) -> SessionCard | None:
        """Card to show, None at the end."""
        return self._card

    @property
    def total(self) -> int:
        return len(self._handled) + len(self._ahead)

    @property
    def handled(self) -> int:
        """Number of cards of ``total`` that were graded or left out."""
        return len(self._handled)

    @property
    def acted(self) -> bool:
        """True once a card was graded, practised or left out by this session itself."""
        return bool(self.graded) or self.repeated > 0 or self.handled > self.elsewhere

    @property
    def practice_left(self) -> int:
        return len(self._practice)

    def has_seen(self, memory_id: str) -> bool:
        """Check whether a memory was graded or left out in this session."""
        return memory_id in self._handled

    def seconds_left(self) -> float:
        """Return the estimate for the rest, by the median of the cards, so that one long pause is no trend."""
        pace = median(self._seconds) if len(self._seconds) >= PACE_CARD_COUNT else CARD_SECONDS
        return pace * (len(self._ahead) + len(self._practice))

    @property
    def seconds(self) -> float:
        """Seconds spent on the cards; long pauses are capped."""
        return sum(self._seconds)

    def grade(self, memory_id: str, rating: Rating, prior: Scheduling | None, new: Scheduling, seconds: float) -> None:
        """Record a grade; a forgotten card is queued as practice."""
        at = new.last_review or self.started
        number = len(self.graded) + 1
        self.graded.append(Review(number, memory_id, at, int(rating), prior or Scheduling(), new))
        self._add_seconds(seconds)
        self._remove(memory_id)
        if rating == Rating.AGAIN:
            self._practice.append((memory_id, PRACTICE_AFTER))
        self._card = self._next()

    def practise(self, memory_id: str, rating: Rating, seconds: float) -> None:
        """Record the answer to a practice card; forgotten again, it is queued once more."""
        self.repeated += 1
        self._add_seconds(seconds)
        self._remove(memory_id)
        if rating == Rating.AGAIN:
            self._practice.append((memory_id, PRACTICE_AFTER))
        self._card = self._next()

    def set_aside(self, memory_id: str, *, elsewhere: bool = False) -> None:
        """Leave a memory out of the rest of the session; ``elsewhere`` if it was changed there."""
        self.elsewhere += elsewhere
        self._remove(memory_id)
        self._card = self._next()

    def requeue(self, memory_id: str) -> None:
        """Ask a memory next, after its grade or another change was undone."""
        for index in range(len(self.graded) - 1, -1, -1):
            if self.graded[index].memory_id == memory_id:
                del self.graded[index]
                break
        self._practice = [each for each in self._practice if each[0] != memory_id]
        self._handled.discard(memory_id)
        self._ahead = [memory_id, *(each for each in self._ahead if each != memory_id)]
        self._card = SessionCard(memory_id, requeued=True)

    def _add_seconds(self, seconds: float) -> None:
        self._seconds.append(max(MIN_CARD_SECONDS, min(MAX_CARD_SECONDS, seconds)))

    def _remove(self, memory_id: str) -> None:
        if memory_id in self._ahead:
            self._ahead.remove(memory_id)
            self._handled.add(memory_id)
        self._practice = [(other, wait - 1) for other, wait in self._practice if other != memory_id]

    def _next(self) -> SessionCard | None:
        ripe = next((memory_id for memory_id, wait in self._practice if wait <= 0), None)
        if ripe is not None:
            return SessionCard(ripe, practice=True)
        if self._ahead:
            return SessionCard(self._ahead[0])
        return SessionCard(self._practice[0][0], practice=True) if self._practice else None


def expected_recall(graded: Sequence[Review], weights: Sequence[float]) -> float:
    """Return the number of reviewed memories that the forgetting curve expected to be remembered."""
    recalls = (retrievability(review.prior, review.at, weights) for review in graded)
    return sum(recall for recall in recalls if recall is not None)


def days_held(graded: Sequence[Review]) -> float | None:
    """Return the median interval, in days, of the memories not forgotten; None without any."""
    latest = {review.memory_id: review for review in graded}.values()
    days = [
        (review.new.next_review - review.at) / timedelta(days=1)
        for review in latest
        if review.rating != Rating.AGAIN and review.new.next_review is not None
    ]
    return median(days) if days else None


def spans(graded: Sequence[Review], now: datetime, local_days: LocalDays) -> tuple[tuple[str, int], ...]:
    """Return the numbers of memories due tomorrow, within a week, within a month, and later, by local days."""
    latest = {review.memory_id: review.new.next_review for review in graded}
    today = local_days.of(now)
    days = [(local_days.of(due) - today).days for due in latest.values() if due is not None]
    return (
        ("tomorrow", sum(day <= 1 for day in days)),
        ("within a week", sum(1 < day <= 7 for day in days)),
        ("within a month", sum(7 < day <= 30 for day in days)),
        ("later", sum(day > 30 for day in days)),
    )
