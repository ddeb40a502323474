"""A console in its Review place, on a store of a few memories."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from textual.pilot import Pilot

from tests.support.clock import Clock
from tests.support.console import PATIENCE_SECONDS, SETTLING_PAUSES
from tests.support.corpus import embedders
from tests.support.pictures import screen_lines
from vestige_tui.config.settings import Config
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.review.place import ReviewPlace

NOW = datetime(2026, 11, 20, 12, 2, tzinfo=UTC)


KEYS = "Signing keys rotate every 90 days; the old public key stays in the JWKS for one more period"


BACKUPS = "Backups are restored on the first Monday of each month, by hand, from cold storage"


NEW = "Deploys on Fridays need a second person who stays until the graphs are flat"


def schedule_due(days_late: float, *, stability: float = 20.0, lapses: int = 0) -> Scheduling:
    """Return a schedule that fell due so many days ago."""
    due = NOW - timedelta(days=days_late)
    return Scheduling(stability, 5.0, 1.0, due - timedelta(days=stability), due, 3, lapses)


def draft(
    number: int,
    content: str,
    scheduling: Scheduling | None = None,
    tags: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
) -> Draft:
    return Draft(
        content,
        id=f"{number:08d}-0000-4000-8000-000000000000",
        node_type="decision",
        created_at=NOW - timedelta(days=200 - number),
        updated_at=NOW - timedelta(days=200 - number),
        scheduling=scheduling,
        tags=tags,
        domains=domains,
    )


THREE = (
    draft(1, KEYS, schedule_due(9), tags=("security",), domains=("auth",)),
    draft(2, BACKUPS, schedule_due(3), tags=("operations",)),
    draft(3, NEW),
)


class Desk:
    """A console in its Review place, and a second handle on the same store, as another console would have it."""

    def __init__(self, pilot: Pilot[None], app: VestigeApp, other: Store, clock: Clock) -> None:
        self.pilot, self.app, self.other, self.clock = pilot, app, other, clock

    @property
    def text(self) -> str:
        return "\n".join(screen_lines(self.app))

    async def until(self, holds: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            # A pause asks every widget of the screen, so it comes once, after the answer.
            await asyncio.sleep(0.01)
            place = self.app.screen
            if isinstance(place, ReviewPlace) and not place._grading and holds(self.text):
                # What stands beside it is told of the same change by a message of its own.
                for _ in range(SETTLING_PAUSES):
                    await self.pilot.pause(0)
                return self.text
        raise AssertionError(f"never came to be seen:\n{self.text}")

    async def sees(self, *parts: str) -> str:
        return await self.until(lambda text: all(part in text for part in parts))

    async def press(self, *keys: str, sees: str) -> str:
        await self.pilot.press(*keys)
        return await self.sees(sees)

    async def state(self, number: int) -> Scheduling | None:
        return await self.other.reviews.scheduling(draft(number, "").id or "")

    async def ratings(self, number: int) -> list[int]:
        return [review.rating for review in await self.other.reviews.log(draft(number, "").id or "")]


@asynccontextmanager
async def open_desk(
    folder: Path, *drafts: Draft, graded: int = 0, size: tuple[int, int] = (120, 40), read_only: bool = False
) -> AsyncIterator[Desk]:
    """A console on a store of these memories, the first ``graded`` of them graded before it is opened."""
    path, clock = folder / "vestige.db", Clock(NOW)
    async with open_store(str(path), create=True, embedders=embedders(), clock=clock) as other:
        for each in drafts:
            await other.insert(each)
        for each in drafts[:graded]:
            await other.reviews.record(each.id or "", Rating.EASY)
        app = VestigeApp(Config(), str(path), embedders=embedders(), clock=clock, read_only=read_only)
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.press("f4")
            at = Desk(pilot, app, other, clock)
            await at.until(lambda text: "opening" not in text and "Opening" not in text)
            yield at
