"""What is said when no card is left: what the sitting came to, or why there is nothing to ask."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vestige_tui.core.memories import Filter
from vestige_tui.core.reviews import QueueCounts, Rating
from vestige_tui.core.scheduling import forecast, true_retention
from vestige_tui.core.text import ago, duration, grouped
from vestige_tui.tui.review.session import days_held, expected_recall, spans
from vestige_tui.tui.review.session_summary import Summary

if TYPE_CHECKING:
    from datetime import datetime

    from vestige_tui.store.store import Store
    from vestige_tui.tui.review.session import ReviewSession

FORECAST_DAYS = 30


async def summary_of(store: Store, sitting: ReviewSession, chosen: Filter) -> Summary:
    """The summary of a sitting, with the forecast of what the filter leaves."""
    times = await store.due_times(FORECAST_DAYS, chosen)
    graded = sitting.graded
    known = [review for review in graded if review.prior.reps > 0]
    cards = len(graded) + sitting.repeated
    taken = f" in {duration(sitting.seconds)}, {duration(sitting.seconds / cards)} a card" if cards else ""
    return Summary(
        title=f"{grouped(len(graded))} graded{taken}" if graded else "This sitting is over; nothing was graded",
        grades=Counter(Rating(review.rating) for review in graded),
        asked=len(known),
        remembered=sum(review.rating != Rating.AGAIN for review in known),
        retention=true_retention(graded),
        expected=expected_recall(known, store.policy.weights),
        holds=days_held(graded),
        repeated=sitting.repeated,
        elsewhere=sitting.elsewhere,
        returning=spans(graded, store.now()),
        forecast=forecast(times, store.now(), FORECAST_DAYS),
    )


async def why_nothing(store: Store, counts: QueueCounts, chosen: Filter) -> str:
    """Why nothing is asked, when the next memory is due, and how many new ones wait: a line each."""
    said = ["Nothing is due." if chosen == Filter() else "Nothing that passes this filter is due."]
    upcoming = await _next_due(store, chosen)
    if upcoming is not None:
        week = grouped(counts.week) if counts.week else "none"
        said.append(f"The next one is due {ago(upcoming, store.now())}; {week} within a week.")
    if counts.new:
        share = store.policy.new_per_day
        asked = f"; today's {grouped(share)} {'was' if share == 1 else 'were'} asked" if share else ""
        said.append(f"{grouped(counts.new)} new {'one waits' if counts.new == 1 else 'ones wait'}{asked}.")
    return "\n".join(said)


async def _next_due(store: Store, chosen: Filter) -> datetime | None:
    if times := await store.due_times(FORECAST_DAYS, chosen):
        return min(times)
    page = await store.page(chosen, sort="due", limit=1, head=1)
    state = page.items[0].scheduling if page.items else None
    return state.next_review if state else None
