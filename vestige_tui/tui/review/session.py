"""One sitting of reviews: what is still to come, what comes back as practice, and what was graded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from vestige_tui.core.reviews import Rating, Review, Scheduling
from vestige_tui.core.scheduling import retrievability

PRACTICE_AFTER = 5
"""After how many other cards a forgotten memory comes back, if there are as many."""

CARD_SECONDS = 12.0
"""How long a card takes before this sitting has shown its own pace."""

PACE_CARDS = 3
SHORTEST, LONGEST = 1.0, 120.0


@dataclass(frozen=True, slots=True)
class SessionCard:
    """The card whose turn it is; a practice turn writes nothing."""

    memory_id: str
    practice: bool = False
    brought_back: bool = False
    """Asked because its grade was taken back, due or not."""


class ReviewSession:
    """The order is fixed when the sitting begins: nothing that happens in the store moves a card."""

    def __init__(self, memory_ids: Sequence[str], started: datetime) -> None:
        self.started = started
        self.graded: list[Review] = []
        self.repeated = 0
        """How many practice cards were shown."""
        self.elsewhere = 0
        """How many were left out because somebody else graded, replaced or deleted them meanwhile."""
        self._ahead = list(dict.fromkeys(memory_ids))
        self._practice: list[tuple[str, int]] = []
        self._handled: set[str] = set()
        self._seconds: list[float] = []
        self._turn = self._next()

    @property
    def turn(self) -> SessionCard | None:
        """The card to show, None at the end."""
        return self._turn

    @property
    def total(self) -> int:
        return len(self._handled) + len(self._ahead)

    @property
    def handled(self) -> int:
        """How many of ``total`` were graded or left aside."""
        return len(self._handled)

    @property
    def acted(self) -> bool:
        """Whether anything was done here, rather than by others alone."""
        return bool(self.graded) or self.repeated > 0 or self.handled > self.elsewhere

    @property
    def practice_left(self) -> int:
        return len(self._practice)

    def has_seen(self, memory_id: str) -> bool:
        """Whether a memory was graded or left aside in this sitting."""
        return memory_id in self._handled

    def seconds_left(self) -> float:
        """How long the rest takes at the pace so far: the median of the cards, so that one long thought is no trend."""
        pace = median(self._seconds) if len(self._seconds) >= PACE_CARDS else CARD_SECONDS
        return pace * (len(self._ahead) + len(self._practice))

    @property
    def seconds(self) -> float:
        """How long the cards took, pauses left out."""
        return sum(self._seconds)

    def grade(self, memory_id: str, rating: Rating, prior: Scheduling | None, new: Scheduling, seconds: float) -> None:
        """The card was graded; a forgotten one comes back as practice."""
        at = new.last_review or self.started
        number = len(self.graded) + 1
        self.graded.append(Review(number, memory_id, at, int(rating), prior or Scheduling(), new))
        self._took(seconds)
        self._leave(memory_id)
        if rating == Rating.AGAIN:
            self._practice.append((memory_id, PRACTICE_AFTER))
        self._turn = self._next()

    def practise(self, memory_id: str, rating: Rating, seconds: float) -> None:
        """A practice card was answered; forgotten again, it comes back once more."""
        self.repeated += 1
        self._took(seconds)
        self._leave(memory_id)
        if rating == Rating.AGAIN:
            self._practice.append((memory_id, PRACTICE_AFTER))
        self._turn = self._next()

    def set_aside(self, memory_id: str, *, elsewhere: bool = False) -> None:
        """This memory is not asked any more in this sitting."""
        self.elsewhere += elsewhere
        self._leave(memory_id)
        self._turn = self._next()

    def bring_back(self, memory_id: str) -> None:
        """A grade or another change was taken back: this memory is asked next."""
        for index in range(len(self.graded) - 1, -1, -1):
            if self.graded[index].memory_id == memory_id:
                del self.graded[index]
                break
        self._practice = [each for each in self._practice if each[0] != memory_id]
        self._handled.discard(memory_id)
        self._ahead = [memory_id, *(each for each in self._ahead if each != memory_id)]
        self._turn = SessionCard(memory_id, brought_back=True)

    def _took(self, seconds: float) -> None:
        self._seconds.append(max(SHORTEST, min(LONGEST, seconds)))

    def _leave(self, memory_id: str) -> None:
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
    """How many of the memories that had been reviewed before the forgetting curve expected to be remembered."""
    known = (retrievability(review.prior, review.at, weights) for review in graded)
    return sum(recall for recall in known if recall is not None)


def days_held(graded: Sequence[Review]) -> float | None:
    """The median interval, in days, of what was not forgotten."""
    latest = {review.memory_id: review for review in graded}.values()
    days = [
        (review.new.next_review - review.at) / timedelta(days=1)
        for review in latest
        if review.rating != Rating.AGAIN and review.new.next_review is not None
    ]
    return median(days) if days else None


def spans(graded: Sequence[Review], now: datetime) -> tuple[tuple[str, int], ...]:
    """How many come back tomorrow, within a week, within a month, and later, by local days."""
    latest = {review.memory_id: review.new.next_review for review in graded}
    today = now.astimezone().date()
    days = [(due.astimezone().date() - today).days for due in latest.values() if due is not None]
    return (
        ("tomorrow", sum(day <= 1 for day in days)),
        ("within a week", sum(1 < day <= 7 for day in days)),
        ("within a month", sum(7 < day <= 30 for day in days)),
        ("later", sum(day > 30 for day in days)),
    )
