"""A console without a terminal, open on a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.console import Console
from tests.support.corpus import embedders
from vestige_tui.config.settings import Config
from vestige_tui.tui.app import VestigeApp


@asynccontextmanager
async def console_on(url: str, *, read_only: bool = False, theme: str = "vestige-dark") -> AsyncIterator[Console]:
    """Open a console on the store at ``url``; it has counted its memories."""
    app = VestigeApp(Config(theme=theme), url, read_only=read_only, embedders=embedders())
    async with app.run_test(size=(160, 50), notifications=True) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        await console.still()
        yield console
