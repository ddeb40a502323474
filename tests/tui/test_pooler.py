"""A console behind a pooler says so."""

from __future__ import annotations

import pytest

from tests.support.console import Console
from tests.support.corpus import embedders
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import new_database
from vestige_tui.config.settings import Config
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.commands.places import GoToStore


@pytest.mark.slow
async def test_the_pooler_is_named_at_the_start_and_in_the_store_place(
    postgres_server: str, postgres_template: str
) -> None:
    with (
        new_database(postgres_server, template=postgres_template, direct=True) as url,
        pgbouncer(postgres_server, "transaction") as running,
    ):
        app = VestigeApp(Config(), running.url(url), embedders=embedders())
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            shown = Console(app, pilot)
            await shown.until("The server is behind a pooler")
            await shown.press(GoToStore.key)
            await shown.until("between console and server")
