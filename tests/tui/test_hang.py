"""A console whose server hangs, or whose statements wait for a lock: that is shown, and can be cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.support.console import console_on_new
from tests.support.own_server import cluster, frozen, server
from tests.support.postgres import wait_for_blocked_session
from vestige_tui.core.errors import Unsure
from vestige_tui.core.memories import Draft
from vestige_tui.store import waits
from vestige_tui.tui import store_session
from vestige_tui.tui.store_session_events import SessionState

__all__ = ["cluster", "server"]


@pytest.fixture(autouse=True)
def waits_are_shown_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "SHOWN_AFTER_SECONDS", 0.4)
    monkeypatch.setattr(waits, "EXPLAINED_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(store_session, "WAIT_POLL_SECONDS", 0.05)


@pytest.mark.slow
async def test_a_frozen_server_is_shown_and_found_again(server: str, cluster: Path) -> None:
    async with console_on_new(server) as shown:
        await shown.until("● live")
        with frozen(cluster, server):
            await shown.until("◐ no answer")
            await shown.until("for an answer from")
            await shown.until("esc cancel")
        await shown.until("● live")
        await shown.until("for an answer from", gone=True)


@pytest.mark.slow
async def test_a_search_of_a_frozen_server_can_be_cancelled_from_the_line(server: str, cluster: Path) -> None:
    async with console_on_new(server) as shown:
        await shown.press("f2")
        await shown.still()
        with frozen(cluster, server):
            await shown.type("keys")
            await shown.until("searching …")
            await shown.until("◐ no answer")
            await shown.press("escape")
            await shown.until("searching …", gone=True)
        await shown.until("● live")
        await shown.type("rotate")
        await shown.until(" ms")


@pytest.mark.slow
async def test_a_save_in_a_frozen_server_is_broken_off_as_unsure(server: str, cluster: Path) -> None:
    async with console_on_new(server) as shown:
        memory = (await shown.store.insert(Draft("graded later"))).changed[0]
        with frozen(cluster, server):
            task = asyncio.create_task(shown.store.insert(Draft("may be saved"), embed=False))
            await shown.until("◐ no answer")
            await shown.press("escape")
            with pytest.raises(Unsure, match="check whether the change was saved"):
                await task
        await shown.until("● live")
        assert (await shown.store.get(memory)).content == "graded later"


@pytest.mark.slow
async def test_who_holds_the_lock_is_said_while_a_save_waits(server: str) -> None:
    async with console_on_new(server) as shown:
        memory = (await shown.store.insert(Draft("kept by a lock"))).changed[0]
        await shown.until("kept by a lock")
        await shown.press("home")
        await shown.still()
        with psycopg.connect(server, application_name="night report") as other:
            other.execute("LOCK TABLE knowledge_nodes IN SHARE MODE")
            await shown.press("d")
            await wait_for_blocked_session(server)
            session = other.info.backend_pid
            await shown.until(f"Waiting for a lock held by session {session} (night report, user vestige, since ")
            await shown.until("esc cancel")
            await shown.press("escape")
            await shown.until("Cancelled; no longer waiting for the store.")
        await shown.until("● live")
        assert (await shown.store.get(memory)).content == "kept by a lock"


@pytest.mark.slow
async def test_esc_goes_back_where_nothing_is_waited_for(server: str) -> None:
    async with console_on_new(server) as shown:
        await shown.store.insert(Draft("listed"))
        await shown.press("f2")
        await shown.until("listed")
        await shown.still()
        line = shown.app.focused
        await shown.press("down")
        assert shown.app.focused is not line
        await shown.press("escape")
        assert shown.app.focused is line


@pytest.mark.slow
async def test_a_vacuum_that_waits_is_not_shown_as_hung(server: str) -> None:
    async with console_on_new(server) as shown:
        [step] = [each for each in await shown.store.backend.vacuum_steps() if "knowledge_nodes" in each.label]
        with psycopg.connect(server) as other:
            other.execute("LOCK TABLE knowledge_nodes IN ACCESS SHARE MODE")
            other.execute("LOCK TABLE knowledge_nodes IN SHARE MODE")
            task = asyncio.create_task(shown.store.backend.maintain(step.statement, step.table))
            await wait_for_blocked_session(server)
            await asyncio.sleep(2 * waits.SHOWN_AFTER_SECONDS)
            assert shown.app.session.wait is None
            assert shown.app.session.state is SessionState.LIVE
        await task
