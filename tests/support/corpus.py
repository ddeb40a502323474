"""The sample corpus as a real store, and the console opened on it by a clock that stands still."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from textual import events
from textual.pilot import Pilot
from textual.screen import ModalScreen

from tests.support.pictures import lines
from vestige_tui import sample_store
from vestige_tui.config.settings import Config
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.tui.app import VestigeApp

NOW = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)
MEMORIES = 374
REPLACED = 19
PATIENCE_SECONDS = 40.0


def embedders() -> EmbedderSource:
    """A model that needs no download and always gives the same vectors."""
    return EmbedderSource(embedder=TestEmbedder(64))


def clock() -> datetime:
    """The moment at which every picture is taken."""
    return NOW


async def fill(path: Path) -> None:
    """Write the whole corpus, dated back from ``NOW``, into a new store."""
    source = embedders()
    async with open_store(f"sqlite:{path}", create=True, embedders=source, clock=clock) as store:
        await sample_store.fill(store, NOW)
    source.close()
    with closing(sqlite3.connect(path)) as connection:
        # One file, so that a copy of it is whole.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@asynccontextmanager
async def another_process(path: Path) -> AsyncIterator[Store]:
    """A second handle on the same file, as another console has it."""
    source = embedders()
    async with open_store(f"sqlite:{path}", embedders=source, clock=clock) as store:
        yield store
    source.close()


class Console:
    """A running console: ``press`` keys, read ``lines``, and wait ``until`` they say something."""

    def __init__(self, app: VestigeApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def lines(self) -> list[str]:
        return lines(self.app)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def says(self, words: str) -> bool:
        """Whether the screen shows these words, also where a line of them was wrapped."""
        text = self.text
        return words in text or words in " ".join(text.split())

    @property
    def store(self) -> Store:
        assert self.app.session.store is not None
        return self.app.session.store

    @property
    def banner(self) -> str:
        """Return the sentence on the state of the model, empty if it is loaded."""
        banner = self.app.session.banner
        return banner.text if banner is not None else ""

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a line, letter by letter."""
        names = {" ": "space", "+": "plus", "-": "minus", ":": "colon", ".": "full_stop", '"': "quotation_mark"}
        await self.press(*(names.get(letter, letter) for letter in text))

    async def paste(self, text: str) -> None:
        """Paste into what has the keyboard, as a terminal does it."""
        assert self.app.focused is not None
        self.app.focused.post_message(events.Paste(text))
        await self.pilot.pause()

    async def until(self, said: str | Callable[[], bool], *, gone: bool = False) -> None:
        """Wait until the screen says this (or no longer does), or until something is so, and the rest has followed."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            await self.pilot.pause(0)
            seen = self.says(said) if isinstance(said, str) else said()
            if seen != gone:
                # What stands beside it is told of the same change by a message of its own.
                for _ in range(4):
                    await self.pilot.pause(0)
                return
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"waited in vain for {said!r}\n{self.text}")
            await asyncio.sleep(0.02)

    async def still(self) -> None:
        """Wait until nothing is being asked of the store (or the person is asked) and the screen shows it."""
        groups = {"search", "list", "rows", "selection", "read", "write", "pick"}
        # Between a worker that found rows and the one that reads the first of them there are some messages.
        for _ in range(2):
            await self.until(
                lambda: (
                    isinstance(self.app.screen, ModalScreen)
                    or not any(worker.group in groups and not worker.is_finished for worker in self.app.workers)
                )
            )
            await self.pilot.pause()


@asynccontextmanager
async def opened(
    path: Path,
    size: tuple[int, int] = (120, 40),
    *,
    read_only: bool = False,
    theme: str = "vestige-dark",
    notifications: bool = True,
    keys: Mapping[str, str] | None = None,
) -> AsyncIterator[Console]:
    """The console on a store, once its first list is there."""
    config = replace(Config(), theme=theme, keys=keys or {})
    app = VestigeApp(config, f"sqlite:{path}", read_only=read_only, embedders=embedders(), clock=clock)
    async with app.run_test(size=size, notifications=notifications) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        await console.still()
        yield console
