"""Figures of a finished session, and the reason for an empty one; ``session_summary.py`` draws them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vestige_tui.core.memories import Filter
from vestige_tui.core.reviews import QueueCounts, Rating
from vestige_tui.core.scheduling import forecast, true_retention
from vestige_tui.core.text import ago, duration, grouped
from vestige_tui.tui.review.review_session import days_held, expected_recall, spans
from vestige_tui.tui.review.session_summary import Summary

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.store.store import Store
    from vestige_tui.tui.review.review_session import ReviewSession

FORECAST_DAYS = 30


async def summary_of(store: Store, session: ReviewSession, chosen: Filter) -> Summary:
    """Return the summary of a session, with the forecast of the memories that pass the filter."""
    times = await store.reviews.due_times(FORECAST_DAYS, chosen)
    graded = session.graded
    reviewed = [review for review in graded if review.prior.reps > 0]
    cards = len(graded) + session.repeated
    pace = f" in {duration(session.seconds)}, {duration(session.seconds / cards)} per card" if cards else ""
    return Summary(
        title=f"{grouped(len(graded))} graded{pace}" if graded else "Session over; nothing was graded",
        grades=Counter(Rating(review.rating) for review in graded),
        asked=len(reviewed),
        remembered=sum(review.rating != Rating.AGAIN for review in reviewed),
        retention=true_retention(graded),
        expected=expected_recall(reviewed, store.policy.weights),
        holds=days_held(graded),
        repeated=session.repeated,
        elsewhere=session.elsewhere,
        returning=spans(graded, store.now(), store.policy.days),
        forecast=forecast(times, store.now(), FORECAST_DAYS, store.policy.days),
    )


async def why_nothing(store: Store, counts: QueueCounts, chosen: Filter) -> str:
    """Return the reason for an empty session, the next due date and the number of new memories, a line each."""
    lines = ["Nothing is due." if chosen == Filter() else "Nothing that passes this filter is due."]
    upcoming = await _next_due(store, chosen)
    if upcoming is not None:
        week = grouped(counts.week) if counts.week else "none"
        lines.append(f"The next one is due {ago(upcoming, store.now())}; {week} within a week.")
    if counts.new:
        share = store.policy.new_per_day
        note = f"; today's limit of {grouped(share)} is reached" if share else ""
        lines.append(f"{grouped(counts.new)} new {'memory waits' if counts.new == 1 else 'memories wait'}{note}.")
    return "\n".join(lines)


async def _next_due(store: Store, chosen: Filter) -> datetime | None:
    if times := await store.reviews.due_times(FORECAST_DAYS, chosen):
        return min(times)
    page = await store.page(chosen, sort="due", limit=1, head=1)
    state = page.items[0].scheduling if page.items else None
    return state.next_review if state and state.reps else None
