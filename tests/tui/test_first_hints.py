"""Hints of the first start: how to search, grade and leave, shown once, and never in the demo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.console import Console
from tests.support.corpus import clock, embedders
from vestige_tui.config.settings import Config
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.console_state import HINTS_FILE, ConsoleState
from vestige_tui.tui.widgets.first_hints import FirstHints


@asynccontextmanager
async def started(corpus: Path, state: ConsoleState, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Console]:
    config = Config(keys={"app.quit": "ctrl+x"})
    app = VestigeApp(config, f"sqlite:{corpus}", embedders=embedders(), clock=clock, state=state)
    async with app.run_test(size=size) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        await console.still()
        yield console


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)], ids=str)
async def test_they_show_how_to_search_grade_and_leave_once(
    corpus: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    folder = tmp_path / "state"
    async with started(corpus, ConsoleState(folder), size) as console:
        for name in ("Search", "Grade", "Leave"):
            assert any(line.strip().startswith(name) for line in console.lines[2:]), name
        # The keys are those of the keymap.
        assert "ctrl+x quits" in console.text
        assert "wrong" in console.text
        # The list keeps more than half of the screen, and typing searches as ever.
        hints = console.app.screen.query_one(FirstHints)
        assert hints.size.height <= size[1] // 4
        await console.type("webhook")
        await console.until(lambda: (folder / HINTS_FILE).exists())
        await console.press("escape")
        await console.until(lambda: not console.app.screen.query(FirstHints))
    async with started(corpus, ConsoleState(folder), size) as console:
        assert not console.app.screen.query(FirstHints)


async def test_they_go_when_the_place_is_left(corpus: Path, tmp_path: Path) -> None:
    async with started(corpus, ConsoleState(tmp_path / "state")) as console:
        assert console.app.screen.query(FirstHints)
        await console.press("f3")
        await console.until("▌F3 Browse")
        await console.press("f2")
        await console.until(lambda: not console.app.screen.query(FirstHints))


async def test_the_demo_shows_none_and_notes_none(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with started(corpus, ConsoleState(folder, shows_hints=False)) as console:
        assert not console.app.screen.query(FirstHints)
    assert not (folder / HINTS_FILE).exists()


async def test_a_state_folder_that_cannot_be_written_is_no_hindrance(corpus: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder", encoding="utf-8")
    async with started(corpus, ConsoleState(blocked / "state")) as console:
        assert console.app.screen.query(FirstHints)
        await console.press("escape")
        await console.until(lambda: not console.app.screen.query(FirstHints))
        assert "■" not in console.lines[-2]
