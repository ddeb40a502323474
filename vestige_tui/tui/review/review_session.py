"""Session of reviews: the cards ahead, the practice cards, and the grades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
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


class ActKind(Enum):
    """Kind of a step in a session."""

    GRADED = "graded"
    PRACTISED = "practised"
    SET_ASIDE = "set aside"
    REQUEUED = "requeued"


@dataclass(frozen=True, slots=True)
class SessionAct:
    """Step of a session. ``card`` is the memory's card before it, ``entry`` the journal entry of its write."""

    kind: ActKind
    memory_id: str
    card: SessionCard
    seconds: float = 0.0
    review: Review | None = None
    rating: Rating | None = None
    elsewhere: bool = False
    entry: int | None = None


class ReviewSession:
    """State of a session; the order is fixed at its start, and no change of the store moves a card.

    The state follows from the memories and the acts alone, so that an act is undone by replaying the others.
    """

    def __init__(self, memory_ids: Sequence[str], started: datetime) -> None:
        self.started = started
        self._memory_ids = tuple(dict.fromkeys(memory_ids))
        self._acts: list[SessionAct] = []
        self._replay()

    def _replay(self) -> None:
        self.graded: list[Review] = []
        self.repeated = 0
        """Number of practice cards shown."""
        self.elsewhere = 0
        """Number of cards left out because they were graded, replaced or deleted elsewhere."""
        self._ahead = list(self._memory_ids)
        self._practice: list[tuple[str, int]] = []
        self._handled: set[str] = set()
        self._seconds: list[float] = []
        self._card = self._next()
        for act in self._acts:
            self._apply(act)

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
    def queued(self) -> tuple[str, ...]:
        """Memories of the cards after the one shown, without practice cards."""
        shown = self._card.memory_id if self._card is not None else None
        return tuple(each for each in self._ahead if each != shown)

    @property
    def practice_left(self) -> int:
        return len(self._practice)

    def seconds_left(self) -> float:
        """Return the estimate for the rest, by the median of the cards, so that one long pause is no trend."""
        pace = median(self._seconds) if len(self._seconds) >= PACE_CARD_COUNT else CARD_SECONDS
        return pace * (len(self._ahead) + len(self._practice))

    @property
    def seconds(self) -> float:
        """Seconds spent on the cards; long pauses are capped."""
        return sum(self._seconds)

    def grade(
        self,
        memory_id: str,
        rating: Rating,
        prior: Scheduling | None,
        new: Scheduling,
        seconds: float,
        *,
        entry: int | None = None,
    ) -> None:
        """Record a grade; a forgotten card is queued as practice."""
        at = new.last_review or self.started
        review = Review(len(self.graded) + 1, memory_id, at, int(rating), prior or Scheduling(), new)
        card = SessionCard(memory_id, requeued=True)
        self._act(SessionAct(ActKind.GRADED, memory_id, card, seconds, review, rating, entry=entry))

    def practise(self, memory_id: str, rating: Rating, seconds: float) -> None:
        """Record the answer to a practice card; forgotten again, it is queued once more."""
        card = SessionCard(memory_id, practice=True)
        self._act(SessionAct(ActKind.PRACTISED, memory_id, card, seconds, rating=rating))

    def set_aside(self, memory_id: str, *, elsewhere: bool = False, entry: int | None = None) -> None:
        """Leave a memory out of the rest of the session; ``elsewhere`` if it was changed there."""
        is_practice = memory_id not in self._ahead and any(each == memory_id for each, _ in self._practice)
        card = SessionCard(memory_id, practice=is_practice, requeued=not is_practice)
        self._act(SessionAct(ActKind.SET_ASIDE, memory_id, card, elsewhere=elsewhere, entry=entry))

    def name_entry(self, memory_ids: Sequence[str], entry: int) -> None:
        """Note the journal entry of a write that was seen in the store before it was reported."""
        for index, act in enumerate(self._acts):
            if (
                act.kind is ActKind.SET_ASIDE
                and act.memory_id in memory_ids
                and act.entry is None
                and not act.elsewhere
            ):
                self._acts[index] = replace(act, entry=entry)

    def undo(self, entry: int) -> bool:
        """Undo the act of a journal entry: its card is next, as it stood. False if no act has this entry."""
        index = next((index for index, act in enumerate(self._acts) if act.entry == entry), None)
        if index is None:
            return False
        card = self._acts[index].card
        self._drop(index)
        self._card = card
        return True

    def requeue(self, memory_id: str) -> None:
        """Ask a memory next, after its last grade was undone, of this session or of another one."""
        indexes = [index for index, act in enumerate(self._acts) if act.memory_id == memory_id]
        grades = [index for index in indexes if self._acts[index].kind is ActKind.GRADED]
        if indexes:
            self._drop((grades or indexes)[-1])
        self._act(SessionAct(ActKind.REQUEUED, memory_id, SessionCard(memory_id)))

    def _drop(self, index: int) -> None:
        """Forget an act, and the later acts on the same memory."""
        memory_id = self._acts[index].memory_id
        self._acts[index:] = [act for act in self._acts[index:] if act.memory_id != memory_id]
        self._replay()

    def _act(self, act: SessionAct) -> None:
        self._acts.append(act)
        self._apply(act)

    def _apply(self, act: SessionAct) -> None:
        if act.kind is ActKind.REQUEUED:
            self._practice = [each for each in self._practice if each[0] != act.memory_id]
            self._handled.discard(act.memory_id)
            self._ahead = [act.memory_id, *(each for each in self._ahead if each != act.memory_id)]
            self._card = SessionCard(act.memory_id, requeued=True)
            return
        if act.elsewhere and self._card is not None and self._card.memory_id != act.memory_id:
            # Another card leaves the queue: the one shown stays, and practice cards wait as long as before.
            self.elsewhere += 1
            self._ahead = [each for each in self._ahead if each != act.memory_id]
            self._handled.add(act.memory_id)
            return
        if act.review is not None:
            self.graded.append(act.review)
        self.repeated += act.kind is ActKind.PRACTISED
        self.elsewhere += act.elsewhere
        if act.rating is not None:
            self._add_seconds(act.seconds)
        self._remove(act.memory_id)
        if act.rating is Rating.AGAIN:
            self._practice.append((act.memory_id, PRACTICE_AFTER))
        self._card = self._next()

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
