"""Workers begin in the next turn of the event loop, on a Python that runs tasks at once as on any other."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App
from textual.worker import Worker, WorkerCancelled

from vestige_tui.tui.workers import work


class Desk(App[None]):
    """Notes what its workers do, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.kept: Worker[None] | None = None

    @work(group="one")
    async def look_at_itself(self) -> None:
        self.seen.append("kept" if self.kept is not None else "unknown")

    @work(group="other", exclusive=True)
    async def take_turns(self, name: str) -> None:
        self.seen.append(f"{name} begins")
        try:
            await asyncio.Event().wait()
        finally:
            self.seen.append(f"{name} cleans up")

    @work(group="other", exclusive=True)
    async def come_to_an_end(self, name: str) -> str:
        self.seen.append(name)
        return name


async def test_it_knows_what_the_line_that_starts_it_sets() -> None:
    app = Desk()
    async with app.run_test():
        app.kept = app.look_at_itself()
        await app.kept.wait()
        assert app.seen == ["kept"]


async def test_what_it_replaces_cleans_up_first() -> None:
    app = Desk()
    async with app.run_test() as pilot:
        app.take_turns("first")
        await pilot.pause()
        assert app.seen == ["first begins"]
        assert await app.come_to_an_end("second").wait() == "second"
        assert app.seen == ["first begins", "first cleans up", "second"]


async def test_one_that_is_replaced_at_once_does_nothing() -> None:
    app = Desk()
    async with app.run_test():
        replaced = app.take_turns("first")
        assert await app.come_to_an_end("second").wait() == "second"
        with pytest.raises(WorkerCancelled):
            await replaced.wait()
        assert app.seen == ["second"]


async def test_it_has_the_name_and_the_group_that_it_is_given() -> None:
    app = Desk()
    async with app.run_test():
        worker = app.come_to_an_end("only")
        assert (worker.name, worker.group) == ("come_to_an_end", "other")
        await worker.wait()
