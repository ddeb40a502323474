"""A console under test runs its tasks in the order in which the program runs them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from tests.support.console import open_console
from tests.support.task_factory import EAGER, run_test_of_textual

AT_ONCE, LATER = ["task", "next line"], ["next line", "task"]


class Order(App[None]):
    """Notes whether a task that it creates runs before or after the next line."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    async def on_mount(self) -> None:
        task = asyncio.create_task(self._note("task"))
        self.seen.append("next line")
        await task

    async def _note(self, what: str) -> None:
        self.seen.append(what)


async def under_test(opening: AbstractAsyncContextManager[Pilot[Any]]) -> list[str]:
    async with opening as pilot:
        assert isinstance(pilot.app, Order)
        return pilot.app.seen


async def leave(pilot: Pilot[object]) -> None:
    pilot.app.exit()


def test_the_program_runs_a_task_at_once_where_python_can() -> None:
    app = Order()
    app.run(headless=True, auto_pilot=leave)
    assert app.seen == (LATER if EAGER is None else AT_ONCE)


async def test_a_console_under_test_does_the_same() -> None:
    assert await under_test(Order().run_test()) == (LATER if EAGER is None else AT_ONCE)


async def test_by_itself_textual_opens_it_otherwise() -> None:
    """What the test above would see without our factory."""
    assert await under_test(run_test_of_textual(Order())) == LATER


async def test_the_sample_console_has_the_factory(corpus: Path) -> None:
    async with open_console(corpus):
        assert asyncio.get_running_loop().get_task_factory() is EAGER
