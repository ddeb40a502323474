"""Statistics of the reviews of a store, and the load of the coming days under another desired retention."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.memories import Filter
from vestige_tui.core.rescheduling import due_at
from vestige_tui.core.review_statistics import review_statistics
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vestige_tui.core.review_statistics import GradeInForce, ReviewStatistics
    from vestige_tui.store.context import StoreContext


class ReviewStatisticsService:
    """Reviews by day, true retention, and what-if forecasts."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._backend = context.backend

    async def grades(self, since: datetime, filter: Filter | None = None) -> tuple[GradeInForce, ...]:
        """Return the grades in force since a time, oldest first, those of replaced memories too."""
        filters, params = self._context.filters(replace(filter or Filter(), superseded=True))
        records = await self._backend.fetch("list_grades", {**params, "since": since}, {"filters": filters})
        return await asyncio.to_thread(lambda: tuple(map(rows.grade, records)))

    async def of_days(self, day_count: int, filter: Filter | None = None) -> ReviewStatistics:
        """Return the statistics of the last local days, today included."""
        now, days = self._context.now(), self._context.policy.days
        grades = await self.grades(days.bound(now, 1 - day_count), filter)
        statistics = await asyncio.to_thread(review_statistics, grades, now, day_count, days)
        # A phase 1 file has a log of its own, adopted or not.
        return replace(statistics, has_log=self._backend.logs_reviews or bool(grades))

    async def due_times(self, retention: float, filter: Filter | None = None) -> tuple[datetime, ...]:
        """Return when each reviewed memory would be due under another desired retention."""
        present = self._context.policy
        planned = replace(present, desired_retention=retention)
        filters, params = self._context.filters(filter or Filter())
        records = await self._backend.fetch(
            "list_schedules", {**params, "now": self._context.now()}, {"filters": filters}
        )

        def times() -> Sequence[datetime]:
            states = (rows.scheduling(row) for row in records)
            dates = (due_at(state, planned, present) for state in states if state is not None)
            return [date for date in dates if date is not None]

        return tuple(await asyncio.to_thread(times))
