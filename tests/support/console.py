"""The console under test: keys pressed, lines seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import RenderableType
from textual import events
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen

from tests.support.corpus import clock, embedders
from tests.support.pictures import screen_lines
from vestige_tui.config.settings import Config
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.browse.memory_table import MemoryTable
from vestige_tui.tui.dialogs.modals import Pick
from vestige_tui.tui.search.explanation import ExplanationScreen
from vestige_tui.tui.store_session_events import SessionState

PATIENCE_SECONDS = 40.0
POLL_SECONDS = 0.02
LOOK_AGAIN_SECONDS = 0.5
"""After this time the screen is read although it was not painted."""
SETTLING_PAUSES = 3
ASKING_GROUPS = {"search", "list", "rows", "selection", "read", "write", "pick"}
"""Groups of workers that ask the store."""
WITHOUT_EDGES = str.maketrans("▏▌", "  ")


class Console:
    """A running console: ``press`` keys, read ``lines``, and wait ``until`` they say something."""

    def __init__(self, app: VestigeApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self._paints = 0
        display = app._display

        def count_and_display(screen: Screen[object], renderable: RenderableType | None) -> None:
            self._paints += 1
            display(screen, renderable)

        app._display = count_and_display  # type: ignore[method-assign]

    @property
    def lines(self) -> list[str]:
        """The screen from top to bottom; empty lines where it has not been painted yet."""
        return screen_lines(self.app) or [""] * self.app.size.height

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def says(self, words: str) -> bool:
        """Check whether the screen shows these words, also wrapped, beside the edge of a pane too."""
        text = self.text
        return words in text or words in " ".join(text.translate(WITHOUT_EDGES).split())

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
        self.app.post_message(events.Paste(text))
        await self.pilot.pause()

    async def until(self, said: str | Callable[[], bool], *, gone: bool = False) -> None:
        """Wait until the screen shows these words (or no longer does), or a condition holds, and is drawn."""
        await self._poll(said, gone=gone)
        # What stands beside it is told of the same change by a message of its own.
        for _ in range(SETTLING_PAUSES):
            await self.pilot.pause(0)

    async def _poll(self, said: str | Callable[[], bool], *, gone: bool = False) -> None:
        """Look until the words are there, without a pause between: each asks every widget of the screen."""
        now = asyncio.get_running_loop().time
        deadline = now() + PATIENCE_SECONDS
        while (self.says(said) if isinstance(said, str) else said()) == gone:
            if now() > deadline:
                raise AssertionError(f"waited in vain for {said!r}\n{self.text}")
            # To read the screen costs as much as to paint it: words are looked for where it was painted anew.
            paints, look_again = self._paints, now() + LOOK_AGAIN_SECONDS
            await asyncio.sleep(POLL_SECONDS)
            while isinstance(said, str) and self._paints == paints and now() < look_again:  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)

    async def still(self) -> None:
        """Wait until nothing is being asked of the store (or the person is asked) and the screen shows it."""
        # Between a worker that found rows and the one that reads the first of them there are some messages.
        for _ in range(2):
            await self.pilot.pause(0)
            await self._poll(self._is_still)
            await self.pilot.pause()

    def _is_still(self) -> bool:
        asking = (worker.group in ASKING_GROUPS and not worker.is_finished for worker in self.app.workers)
        return isinstance(self.app.screen, ModalScreen) or not any(asking)


@asynccontextmanager
async def open_console(
    path: Path | str,
    size: tuple[int, int] = (120, 40),
    *,
    read_only: bool = False,
    viewer: str | None = None,
    theme: str = "vestige-dark",
    notifications: bool = True,
    keys: Mapping[str, str] | None = None,
) -> AsyncIterator[Console]:
    """The console on a store, a SQLite file by its path or another one by its URL, once its first list is there."""
    config = replace(Config(), theme=theme, keys=keys or {})
    url = path if isinstance(path, str) else f"sqlite:{path}"
    app = VestigeApp(config, url, read_only=read_only, viewer=viewer, embedders=embedders(), clock=clock)
    async with app.run_test(size=size, notifications=notifications) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        await console.still()
        yield console


QUESTION = "how do webhook retries work"


async def open_browse(console: Console) -> MemoryTable:
    """Go to Browse and wait for its rows."""
    await console.press("f3")
    await console.until("newest first")
    await console.still()
    return console.app.screen.query_one(MemoryTable)


async def pick(console: Console, text: str) -> None:
    """Filter the list of a picker, and take the first item."""
    await console.until(lambda: isinstance(console.app.screen, Pick))
    picker = console.app.screen
    await console.paste(text)
    await console.press("enter")
    # A second picker may follow, which is not to be taken for this one.
    await console.until(lambda: console.app.screen is not picker)
    await console.still()


async def open_explanation(console: Console, question: str = QUESTION, *keys: str) -> ExplanationScreen:
    """Search, go to the hits, press keys there, and open the explanation."""
    await console.paste(question)
    # The line asks once the typing has settled; going on to the hits asks at once.
    await console.press("enter")
    await console.still()
    if console.app.focused is not None:
        await console.press(*keys)
    await console.still()
    await console.press("x")
    await console.until(
        lambda: isinstance(console.app.screen, ExplanationScreen) and bool(console.app.screen._explanation)
    )
    await console.still()
    screen = console.app.screen
    assert isinstance(screen, ExplanationScreen)
    return screen


@asynccontextmanager
async def console_at(url: str) -> AsyncIterator[Console]:
    """The console on a store, in Browse, once it is live."""
    app = VestigeApp(Config(), url, embedders=embedders())
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.state is SessionState.LIVE)
        await console.press("f3")
        await console.still()
        yield console


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[Store]:
    source = embedders()
    async with open_store(url, create=True, embedders=source) as store:
        yield store
    source.close()


@asynccontextmanager
async def console_on_new(url: str) -> AsyncIterator[Console]:
    async with store_at(url):
        pass
    async with console_at(url) as shown:
        yield shown
