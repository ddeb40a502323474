"""A console whose store changes under it, goes away, and comes back."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psycopg
import psycopg_pool
import pytest

from tests.support.console import Console, console_at, console_on_new, store_at
from tests.support.corpus import embedders
from tests.support.line import line_to
from tests.support.memory_ids import list_ids
from tests.support.own_server import cluster, kill, server
from tests.support.polling import until
from vestige_tui.config.settings import Config
from vestige_tui.core.errors import Unavailable, Unsure, Usage
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.store import Store
from vestige_tui.tui import store_session
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.browse.place import BrowsePlace
from vestige_tui.tui.store_session_events import SessionState

__all__ = ["cluster", "server"]

DRIVER_SECONDS = 1.0
"""The driver alone would wait 5 s for a cancelled question, and 5 s for its pool to close."""


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the driver may wait for a server to cancel a query, and for a pool to close."""
    seconds: list[float] = []
    cancel, close = psycopg.AsyncConnection.cancel_safe, psycopg_pool.AsyncConnectionPool.close

    async def cancelling(self: Any, *, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - the driver's signature
        seconds.append(timeout)
        await cancel(self, timeout=timeout)

    async def closing(self: Any, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - the driver's signature
        seconds.append(timeout)
        await close(self, timeout)

    monkeypatch.setattr(psycopg.AsyncConnection, "cancel_safe", cancelling)
    monkeypatch.setattr(psycopg_pool.AsyncConnectionPool, "close", closing)
    return seconds


async def wait_for_listener(url: str) -> None:
    """Wait until a session holds the lock of listeners: from then on commits notify it."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def listen() -> bool:
            cursor = await connection.execute(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"
            )
            return await cursor.fetchone() is not None

        await until(listen)


@pytest.mark.slow
async def test_what_another_process_writes_is_seen(store_url: str) -> None:
    async with store_at(store_url) as other:
        await other.insert(Draft("there from the start"))
        async with console_at(store_url) as shown:
            await shown.until("there from the start")
            for turn in range(7):
                await other.insert(Draft(f"change number {turn}"))
                await shown.until(f"change number {turn}")


@pytest.mark.slow
async def test_two_consoles_show_the_same(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'v.db'}"
    async with store_at(url) as other:
        await other.insert(Draft("there from the start"))
    async with console_at(url) as one, console_at(url) as two:
        await one.store.insert(Draft("by the first console"))
        await two.until("by the first console")
        await two.store.delete(await list_ids(two.store, limit=1))
        await one.until("by the first console", gone=True)


@pytest.mark.slow
async def test_a_flood_of_changes_is_looked_at_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_session, "CALM_SECONDS", 1.0)
    url = f"sqlite:{tmp_path / 'v.db'}"
    async with store_at(url) as other, console_at(url) as shown:
        looks = 0

        def count(_: None) -> None:
            nonlocal looks
            looks += 1

        shown.app.store_changed.subscribe(shown.app, count)
        turn = 0
        while turn <= 30 or looks < 2:
            await other.insert(Draft(f"one of many {turn}"), embed=False)
            turn += 1
        await shown.until(f"newest first   {turn:,} memories")
        assert looks < turn / 5


@pytest.mark.slow
async def test_a_server_that_is_killed_is_waited_for(server: str, cluster: Path) -> None:
    async with store_at(server) as other:
        await other.insert(Draft("there from the start"))
        async with console_at(server) as shown:
            await shown.until("there from the start")
            for how in (signal.SIGKILL, signal.SIGQUIT):
                kill(cluster, how)
                await shown.until("◐ reconnecting")
                await shown.until("cannot be reached")
                assert "there from the start" in shown.text
                with pytest.raises(Unavailable):
                    await shown.store.insert(Draft("never written"), embed=False)
                again = await embedded_postgres.acquire(cluster)
                await shown.until("● live")
                await other.insert(Draft(f"after {how.name}"))
                await shown.until(f"after {how.name}")
                await shown.until("cannot be reached", gone=True)
                # It listens again, and need not poll.
                await wait_for_listener(server)
                await other.insert(Draft(f"told again after {how.name}"))
                await shown.until(f"told again after {how.name}")
                await embedded_postgres.release(again)
            assert "never written" not in await _contents(shown.store)


@pytest.mark.slow
async def test_a_place_visited_during_an_outage_says_so(server: str, cluster: Path, waits: list[float]) -> None:
    async with console_on_new(server) as shown:
        kill(cluster, signal.SIGKILL)
        await shown.until("◐ reconnecting")
        await shown.press("f7")
        await shown.until("unavailable")
        await shown.press("f3")
        await shown.until("▌F3 Browse")
        waits.clear()
        shown.app.exit()
    assert max(waits, default=0.0) <= DRIVER_SECONDS


async def _contents(store: Store) -> list[str]:
    return [memory.content for memory in await store.memories.get_many(await list_ids(store))]


@pytest.mark.slow
async def test_a_server_of_ones_own_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"pgembed:{tmp_path / 'own'}"
    start, is_missed = embedded_postgres.acquire, False

    async def start_once_missed(directory: Path) -> embedded_postgres.Lease:
        # Started by the first query that meets the outage, it would not be missed.
        if not is_missed:
            raise Unavailable("The server is not started yet.")
        return await start(directory)

    async with console_on_new(url) as shown:
        await shown.store.insert(Draft("before"))
        await shown.until("before")
        monkeypatch.setattr(embedded_postgres, "acquire", start_once_missed)
        kill(tmp_path / "own", signal.SIGKILL)
        await shown.until("◐ reconnecting")
        is_missed = True
        await shown.until("● live")
        await shown.store.insert(Draft("in the server that was started again"))
        await shown.until("in the server that was started again")
        assert sorted(await _contents(shown.store)) == ["before", "in the server that was started again"]


@pytest.mark.slow
async def test_a_server_that_was_not_there_is_opened_when_it_comes(
    server: str, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_session, "OPEN_AGAIN_SECONDS", 0.2)
    async with store_at(server) as other:
        await other.insert(Draft("there from the start"))
    kill(cluster, signal.SIGKILL)
    app = VestigeApp(Config(), server, embedders=embedders())
    async with app.run_test(size=(120, 40)) as pilot:
        shown = Console(app, pilot)
        await shown.press("f7")
        await shown.until("The store could not be opened.")
        await shown.until("■ closed")
        again = await embedded_postgres.acquire(cluster)
        await shown.until("● live")
        await shown.until("server or file")
        assert "could not be opened" not in shown.text
        await shown.press("f3")
        await shown.until("there from the start")
        await embedded_postgres.release(again)


@pytest.mark.slow
async def test_leaving_during_an_outage_is_quick(server: str, cluster: Path, waits: list[float]) -> None:
    async with console_on_new(server) as shown:
        kill(cluster, signal.SIGKILL)
        await shown.until("◐ reconnecting")
        # Reads and writes are under way when the person leaves.
        asked = [asyncio.create_task(shown.store.memories.count()) for _ in range(20)]
        asked += [asyncio.create_task(_swallow(shown.store)) for _ in range(3)]
        await asyncio.sleep(0.1)
        waits.clear()
        shown.app.exit()
    assert max(waits, default=0.0) <= DRIVER_SECONDS
    await asyncio.gather(*asked, return_exceptions=True)


async def _swallow(store: Store) -> int:
    with suppress(Unavailable):
        await store.insert(Draft("never written"), embed=False)
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["before", "after"])
async def test_a_write_that_may_have_been_saved_is_said_to_be(server: str, fails: Literal["before", "after"]) -> None:
    async with line_to(server) as (line, url), console_on_new(url) as shown:
        memory_id = (await shown.store.insert(Draft(f"graded {fails}"))).changed[0]
        before, reviews = await shown.store.memories.count(), await shown.store.reviews.log(memory_id)
        line.fails = fails
        with pytest.raises(Unavailable, match="check whether the change was saved"):
            await shown.store.insert(Draft(f"inserted {fails}"), embed=False)
        with pytest.raises(Unavailable, match="check whether the change was saved"):
            await shown.store.reviews.record(memory_id, Rating.GOOD)
        line.fails = ""
        await shown.until("● live")
        done = int(fails == "after")
        assert await shown.store.memories.count() == before + done
        assert len(await shown.store.reviews.log(memory_id)) == len(reviews) + done
        await shown.store.reviews.record(memory_id, Rating.GOOD)
        assert len(await shown.store.reviews.log(memory_id)) == len(reviews) + done + 1


@pytest.mark.slow
async def test_what_may_have_been_saved_stays_said(server: str) -> None:
    async with line_to(server) as (line, url), console_on_new(url) as shown:
        await shown.store.insert(Draft("put aside by a person"))
        await shown.until("put aside by a person")
        await shown.still()
        # Tests before this one may have left memories: the one that is deleted is the newest.
        await shown.press("home")
        await shown.still()
        line.fails = "before"
        await shown.press("d")
        await shown.until("broke while saving; check")
        line.fails = ""
        await shown.until(lambda: shown.app.session.state is SessionState.LIVE)
        await asyncio.sleep(0.3)
        await shown.until("broke while saving; check")


async def test_what_may_have_been_saved_is_said_over_what_cannot_be_read(tmp_path: Path) -> None:
    away, unsure, again = Unavailable("It is away."), Unsure("Was that saved?"), Unavailable("It is still away.")
    async with console_on_new(f"sqlite:{tmp_path / 'v.db'}") as shown:
        place = shown.app.screen
        assert isinstance(place, BrowsePlace)
        place.complain(away)
        await shown.until("It is away.")
        place.say_error(unsure)
        place.complain(again)
        place.answered_again()
        await shown.until("Was that saved?")
        # A write that failed outright is news again, and so is a refusal.
        place.say_error(again)
        await shown.until("It is still away.")
        place.say_error(unsure)
        place.complain(Usage("That is no filter."))
        await shown.until("That is no filter.")
        place.answered_again()
        await shown.until("That is no filter.", gone=True)


@pytest.mark.slow
async def test_leaving_a_server_that_is_silent_is_quick(server: str, waits: list[float]) -> None:
    async with line_to(server) as (line, url):
        async with console_on_new(url) as shown:
            line.fails = "silent"
            tasks = [asyncio.create_task(shown.store.memories.count()) for _ in range(3)]
            # By now the watch of the jobs has asked too, and waits.
            await asyncio.sleep(2 * store_session.JOBS_SECONDS)
            waits.clear()
            shown.app.exit()
        assert waits
        assert max(waits) <= DRIVER_SECONDS
        await line.stop()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.slow
async def test_a_question_to_a_server_that_is_silent_can_be_cancelled(server: str, waits: list[float]) -> None:
    async with line_to(server) as (line, url), console_on_new(url) as shown:
        line.fails = "silent"
        task = asyncio.create_task(shown.store.memories.count())
        await asyncio.sleep(0.1)
        waits.clear()
        task.cancel()
        await asyncio.wait({task})
        assert waits
        assert max(waits) <= DRIVER_SECONDS
        assert task.cancelled()
