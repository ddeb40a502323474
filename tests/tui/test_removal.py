"""Screens that are closed before they are composed, by keys that were typed while the console was busy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.screen import Screen

from tests.support.console import Console, open_console
from vestige_tui.tui.dialogs.modals import Dialog

OPENING = (
    ("f2", ("ctrl+p", "question_mark", "K", "J", "x", "w", "f", "t", "d", "E", "M", "l", "S")),
    ("f3", ("f", "s", "d", "E")),
    ("f4", ("f", "ctrl+p")),
    ("f5", ("c", "v")),
    ("f6", ("r", "enter")),
    ("f7", ("v",)),
)
"""Keys that open a dialog or a page, by the place in which they are pressed."""


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Close each screen at the moment in which it is opened; gives the names of their classes."""
    names: list[str] = []
    push = App.push_screen

    def push_and_close(self: App[None], screen: Screen[Any], *args: Any, **options: Any) -> Any:
        answer = push(self, screen, *args, **options)
        names.append(type(screen).__name__)
        screen.dismiss(None) if isinstance(screen, Dialog) else self.pop_screen()
        return answer

    monkeypatch.setattr(App, "push_screen", push_and_close)
    return names


async def open_place(console: Console, place: str) -> None:
    await console.press(place)
    await console.still()
    if place == "f2":
        await console.paste("webhook")
        await console.press("enter")
        await console.still()


@pytest.mark.slow
@pytest.mark.parametrize(("place", "keys"), OPENING, ids=[place for place, _ in OPENING])
async def test_a_screen_that_is_closed_at_once_does_not_end_the_console(
    corpus: Path, closed: list[str], place: str, keys: tuple[str, ...]
) -> None:
    async with open_console(corpus) as console:
        await open_place(console, place)
        for key in keys:
            before = len(closed)
            await console.press(key)
            await console.until(lambda before=before: len(closed) > before)  # type: ignore[misc]
            await console.still()
            assert console.app.return_code is None, key
            assert len(console.app.screen_stack) == 1, key
        # The place still answers.
        await console.press("f7" if place != "f7" else "f6")
        await console.until("▌F7 Store" if place != "f7" else "▌F6 Registry")
