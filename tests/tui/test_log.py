"""The console's lines in the log: the states of its store, and its end by an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.corpus import clock, embedders
from vestige_tui.config.log import configure_log, log_path
from vestige_tui.config.settings import Config
from vestige_tui.core.errors import Unreachable, VestigeError
from vestige_tui.core.health import Stats
from vestige_tui.store.maintenance import MaintenanceService
from vestige_tui.store.store import Store
from vestige_tui.tui import store_session
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.store_session import StoreSession
from vestige_tui.tui.store_session_events import OutageEnded, SessionEvent


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    configure_log()


class Watched:
    """A session that runs, and a wait for what it comes to."""

    def __init__(self, url: str) -> None:
        self.events: list[SessionEvent] = []
        self._changed = asyncio.Event()
        self.session = StoreSession(
            Config(), url, emit=self._note, may_create=self._refuse, embedders=embedders(), clock=clock
        )
        self._task = asyncio.create_task(self.session.run())

    def _note(self, event: SessionEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def _refuse(self, error: VestigeError) -> bool:
        return False

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def end(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.session.embedders.close()


def states() -> list[str]:
    """Return the messages of the session, in order."""
    head = " vestige_tui.tui.store_session: "
    return [line.partition(head)[2] for line in log_path().read_text().splitlines() if head in line]


async def test_each_state_of_the_store_is_a_line(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_session, "RETRY_SECONDS", 0.01)
    watched = Watched(f"sqlite:{corpus}")
    await watched.until(lambda: watched.session.facts.memories is not None)
    answer = MaintenanceService.stats
    failures = 0

    async def fail_twice(service: MaintenanceService) -> Stats:
        nonlocal failures
        failures += 1
        if failures <= 2:
            raise Unreachable("postgresql://me:s3cret@db/x cannot be reached.")
        return await answer(service)

    monkeypatch.setattr(MaintenanceService, "stats", fail_twice)
    watched.session.note_change()
    await watched.until(lambda: any(isinstance(event, OutageEnded) for event in watched.events))
    await watched.end()
    opened, reconnecting, silent, live, closed = states()
    assert opened == f"Store is open: sqlite sqlite:{corpus}"
    assert reconnecting == "Store is reconnecting"
    assert silent.startswith("Store does not answer: Unreachable (unavailable) in _refresh_frame, vestige_tui/tui/")
    assert silent.endswith(": postgresql://me:***@db/x cannot be reached.")
    assert (live, closed) == ("Store is live again", "Store is closed")


async def test_a_refused_store_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_session, "OPEN_AGAIN_SECONDS", 0.01)
    attempts = 0

    class Silent(StoreSession):
        async def _open_store(self, create: bool) -> Store:
            nonlocal attempts
            attempts += 1
            raise Unreachable("db cannot be reached.")

    monkeypatch.setattr("tests.tui.test_log.StoreSession", Silent)
    watched = Watched(f"sqlite:{tmp_path / 'no.db'}")
    await watched.until(lambda: attempts > 3)
    await watched.end()
    [refused] = states()
    assert refused.startswith("Store was refused: Unreachable (unavailable) in _open_or_create, vestige_tui/tui/")


async def test_an_exception_that_ends_the_console_is_logged(corpus: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a memory quoted")

    app = VestigeApp(Config(), f"sqlite:{corpus}", embedders=embedders(), clock=clock)

    async def run() -> None:
        async with app.run_test() as pilot:
            app.call_later(fail)
            await pilot.pause()

    with pytest.raises(ZeroDivisionError):
        await run()
    text = log_path().read_text()
    assert "CRITICAL" in text
    # The innermost place in this package; the test's own function is outside it.
    assert (
        "vestige_tui.tui.app: Uncaught exception in the console\n  ZeroDivisionError in on_event, vestige_tui/" in text
    )
    assert "a memory quoted" not in text
