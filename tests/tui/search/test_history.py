"""The search history in the search line: what is kept, and the keys that walk through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_console
from vestige_tui.config.search_history import SearchHistory
from vestige_tui.tui.filters.bar import FilterBar


def line(console: Console) -> str:
    return console.app.screen.query_one(Input).value


def chips(console: Console) -> list[str]:
    return [str(chip) for chip in console.app.screen.query_one(FilterBar).chips]


async def ask(console: Console, text: str) -> None:
    """Ask for something as a user does, and come back to an empty line."""
    await console.paste(text)
    await console.press("enter")
    await console.still()
    await console.press("slash", "home", *["delete"] * len(text), *["backspace"] * 3)
    await console.until("newest first")


@pytest.mark.slow
async def test_up_takes_earlier_queries_and_down_comes_back(corpus: Path, state: Path) -> None:
    file = state / "search-history"
    async with open_console(corpus) as console:
        await ask(console, "rotate keys type:decision ")
        await ask(console, "webhook retries")
        await console.until(lambda: SearchHistory(file).read() == ("rotate keys type:decision", "webhook retries"))
        await console.paste("draft")
        await console.press("up")
        await console.until(lambda: line(console) == "webhook retries")
        await console.press("up")
        await console.until(lambda: (line(console), chips(console)) == ("rotate keys", ["type:decision"]))
        await console.press("up")
        await console.still()
        assert line(console) == "rotate keys"
        await console.press("down", "down")
        await console.until(lambda: (line(console), chips(console)) == ("draft", []))
        # The walk is over: the key goes to the list again.
        assert isinstance(console.app.focused, Input)
        await console.press("down")
        await console.until(lambda: not isinstance(console.app.focused, Input))
    async with open_console(corpus) as console:
        await console.press("up", "up")
        await console.until(lambda: line(console) == "webhook retries")


@pytest.mark.slow
async def test_typing_ends_the_walk(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await ask(console, "webhook retries")
        await console.press("up")
        await console.until(lambda: line(console) == "webhook retries")
        await console.paste(" now")
        await console.press("down")
        await console.until(lambda: not isinstance(console.app.focused, Input))
        assert line(console) == "webhook retries now"


@pytest.mark.slow
async def test_filters_alone_are_not_kept(corpus: Path, state: Path) -> None:
    async with open_console(corpus) as console:
        await console.paste("type:decision ")
        await console.press("enter")
        await console.still()
        await console.press("slash")
        await ask(console, "webhook")
        await console.until(lambda: len(SearchHistory(state / "search-history").read()) == 1)
