"""Store session without an app: its states, its events, and the end of its activities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.corpus import clock, embedders, second_handle
from tests.support.old_schema import take_back
from vestige_tui.config.settings import Config
from vestige_tui.core.errors import StoreMissing, Unavailable, VestigeError
from vestige_tui.core.health import Stats
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import QueueCounts
from vestige_tui.store.maintenance import MaintenanceService
from vestige_tui.store.models import ModelService
from vestige_tui.store.open import open_store
from vestige_tui.store.reviews import ReviewService
from vestige_tui.tui import store_session
from vestige_tui.tui.store_session import Activity, StoreSession
from vestige_tui.tui.store_session_events import (
    Failed,
    OutageBegan,
    OutageEnded,
    Reported,
    SessionEvent,
    SessionState,
    StoreChanged,
)

TRANSITIONS = {
    SessionState.OPENING: {SessionState.LIVE, SessionState.REFUSED, SessionState.CLOSED},
    SessionState.REFUSED: {SessionState.LIVE, SessionState.CLOSED},
    SessionState.LIVE: {SessionState.RECONNECTING, SessionState.CLOSED},
    SessionState.RECONNECTING: {SessionState.LIVE, SessionState.CLOSED},
    SessionState.CLOSED: set(),
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch no jobs but those of the test's own stores."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Watched:
    """A session with all that it has emitted, and the states that it went through."""

    def __init__(self, url: str, *, may_create: bool = False, read_only: bool = False) -> None:
        self.events: list[SessionEvent] = []
        self.states: list[SessionState] = []
        self.questions: list[VestigeError] = []
        self._may_create = may_create
        self._changed = asyncio.Event()
        self.session = StoreSession(
            Config(),
            url,
            emit=self._note,
            may_create=self._answer,
            read_only=read_only,
            embedders=embedders(),
            clock=clock,
        )

    def _note(self, event: SessionEvent) -> None:
        self.events.append(event)
        if not self.states or self.states[-1] is not self.session.state:
            self.states.append(self.session.state)
        self._changed.set()

    async def _answer(self, error: VestigeError) -> bool:
        self.questions.append(error)
        return self._may_create

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for events until a condition holds."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def until_state(self, state: SessionState) -> None:
        await self.until(lambda: self.session.state is state)

    def count(self, kind: type[SessionEvent]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


@asynccontextmanager
async def running(url: str, *, may_create: bool = False, read_only: bool = False) -> AsyncIterator[Watched]:
    """Yield a session that runs; end it, and check the order of its states."""
    watched = Watched(url, may_create=may_create, read_only=read_only)
    task = asyncio.create_task(watched.session.run())
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        watched.session.embedders.close()
    assert watched.session.state is SessionState.CLOSED
    states = [*watched.states, SessionState.CLOSED]
    for before, after in pairwise(states):
        assert after in TRANSITIONS[before], states


async def test_a_store_is_opened_and_its_facts_follow(corpus: Path) -> None:
    async with running(f"sqlite:{corpus}") as watched:
        session = watched.session
        await watched.until(lambda: session.facts.memories is not None)
        assert watched.states[-1] is SessionState.LIVE
        assert session.store is not None
        assert session.facts.backend == "SQLite"
        assert watched.questions == []
        before = session.facts.memories
        assert before is not None
        async with second_handle(corpus) as other:
            await other.insert(Draft("one more"))
        await watched.until(lambda: session.facts.memories == before + 1)
        await watched.until(lambda: watched.count(StoreChanged) >= 2)


async def test_a_missing_store_is_made_after_a_question(tmp_path: Path) -> None:
    async with running(f"sqlite:{tmp_path / 'new.db'}", may_create=True) as watched:
        await watched.until_state(SessionState.LIVE)
        assert [type(error) for error in watched.questions] == [StoreMissing]


async def test_a_refusal_lasts_until_an_attempt_succeeds(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    async with running(f"sqlite:{path}") as watched:
        await watched.until_state(SessionState.REFUSED)
        assert isinstance(watched.session.refusal, StoreMissing)
        watched.session.open_again()
        await watched.until(lambda: watched.count(Reported) == 1)
        assert watched.session.state is SessionState.REFUSED
        await asyncio.to_thread(corpus.rename, path)
        watched.session.open_again()
        await watched.until_state(SessionState.LIVE)
        assert watched.session.refusal is None


async def test_a_read_only_session_asks_for_no_new_store(tmp_path: Path) -> None:
    async with running(f"sqlite:{tmp_path / 'none.db'}", may_create=True, read_only=True) as watched:
        await watched.until_state(SessionState.REFUSED)
        assert watched.questions == []


async def test_a_schema_that_is_behind_is_read_and_told(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'old.db'}"
    async with open_store(url, create=True):
        pass
    await take_back(url, "sync_state")
    async with running(url, read_only=True) as watched:
        await watched.until(lambda: watched.session.state is SessionState.LIVE)
        await watched.until(lambda: any(isinstance(event, Reported) for event in watched.events))
        [report] = [event for event in watched.events if isinstance(event, Reported)]
        assert "(next: 0007_sync_state) and is open read-only" in report.text


async def test_an_outage_begins_and_ends_once(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, failures, tries = ReviewService.queue_counts, [Unavailable(f"away {turn}") for turn in range(3)], 0
    monkeypatch.setattr(store_session, "RETRY_SECONDS", 0.0)

    async def failing(service: ReviewService) -> QueueCounts:
        nonlocal tries
        tries += 1
        if tries <= len(failures):
            raise failures[tries - 1]
        return await counts(service)

    async with running(f"sqlite:{corpus}") as watched:
        session = watched.session
        await watched.until(lambda: session.facts.memories is not None)
        changes = watched.count(StoreChanged)
        monkeypatch.setattr(ReviewService, "queue_counts", failing)
        session.note_change()
        await watched.until(lambda: watched.count(OutageEnded) == 1)
        assert session.state is SessionState.LIVE
        assert tries > len(failures)
        outage = [event for event in watched.events if isinstance(event, OutageBegan | OutageEnded)]
        assert [event.error for event in outage] == [failures[0]] * 2
        assert SessionState.RECONNECTING in watched.states
        await watched.until(lambda: watched.count(StoreChanged) > changes)


async def test_an_error_of_another_kind_is_told_without_a_reconnection(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats, error = MaintenanceService.stats, VestigeError("The figures are wrong.")

    async def failing(service: MaintenanceService) -> Stats:
        raise error

    async with running(f"sqlite:{corpus}") as watched:
        await watched.until(lambda: watched.session.facts.memories is not None)
        monkeypatch.setattr(MaintenanceService, "stats", failing)
        watched.session.note_change()
        await watched.until(lambda: OutageBegan(error) in watched.events)
        monkeypatch.setattr(MaintenanceService, "stats", stats)
        await watched.until(lambda: OutageEnded(error) in watched.events)
    assert SessionState.RECONNECTING not in watched.states


async def test_a_failed_activity_is_told_and_the_others_go_on(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("a bug")

    async def broken(service: ModelService) -> None:
        raise error

    monkeypatch.setattr(ModelService, "registered", broken)
    async with running(f"sqlite:{corpus}") as watched:
        await watched.until(lambda: Failed(error) in watched.events)
        await watched.until(lambda: watched.session.facts.memories is not None)
        assert watched.session.banner is None


async def test_a_cancelled_activity_ends_without_a_report(corpus: Path) -> None:
    async with running(f"sqlite:{corpus}") as watched:
        await watched.until(lambda: watched.session.facts.memories is not None)
        for activity in Activity:
            watched.session.cancel(activity)
        loading = watched.session.prepare_model()
        assert loading is not None
        watched.session.cancel(Activity.PREPARE_MODEL)
        await asyncio.wait([loading])
        assert loading.cancelled()
        assert watched.count(Failed) == 0


def test_a_typed_password_is_kept_and_not_shown() -> None:
    async def never(error: VestigeError) -> bool:
        raise AssertionError(error)

    config = replace(Config(), postgres_url="postgresql://ada:pw1@db1/vestige")
    url = "postgresql://ada:pw2@db2/vestige"
    session = StoreSession(config, url, emit=lambda event: None, may_create=never, embedders=embedders())
    session.remember_url("postgresql://ada:pw3@db3/vestige")
    session.remember_url("sqlite:/no/password.db")
    assert session.urls == ("postgresql://ada:pw3@db3/vestige", url, config.postgres_url)
    assert "pw2" not in session.shown_url
    session.embedders.close()
