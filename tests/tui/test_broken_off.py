"""A question that the server breaks off by itself is told, not left out."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.console import console_at, store_at
from vestige_tui.core.memories import Draft
from vestige_tui.tui.commands.places import GoToSearch

SAID = "The server cancelled the query: canceling statement due to user request."
BREAK_OFF = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.slow
async def test_a_search_that_the_server_breaks_off_is_told_as_an_error(postgres_database: str) -> None:
    async with store_at(postgres_database) as store:
        await store.insert(Draft("Signing keys rotate every 90 days."))
    async with console_at(postgres_database) as shown:
        await shown.press(GoToSearch.key)
        await shown.until("Signing keys")
        with (
            psycopg.connect(postgres_database) as holder,
            psycopg.connect(postgres_database, autocommit=True) as watcher,
        ):
            holder.execute("LOCK TABLE knowledge_nodes")
            await shown.paste("keys")
            # Whatever else is asked meanwhile waits, too.
            await shown.until(lambda: bool(watcher.execute(BREAK_OFF)) and SAID in shown.text)
