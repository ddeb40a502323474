"""Nothing is cut for want of room: warnings, the keys of a dialog, and the question of a review."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import OptionList, Static

from tests.support.console import open_console
from tests.support.gallery import Gallery, example
from tests.support.pictures import screen_lines
from tests.support.widget_stage import Stage
from vestige_tui.tui.dialogs.modals import Choice, Confirm, Pick
from vestige_tui.tui.review.card import ReviewCard
from vestige_tui.tui.review.place import ReviewPlace
from vestige_tui.tui.widgets.status_line import StatusLine

WARNING = "The store keeps the vectors of a model that is not on this machine, " * 4 + "so that searches use text only."
SIZES = [(120, 40), (80, 24), (60, 20), (60, 14)]


@pytest.mark.parametrize("width", [120, 80, 60])
async def test_a_warning_is_never_cut(width: int) -> None:
    line = StatusLine()
    async with Stage(line).run_test(size=(width, 24)) as pilot:
        line.say(WARNING, "F6 registry", "waiting")
        await pilot.pause()
        text = " ".join(" ".join(screen_lines(pilot.app)).split())
        assert WARNING in text
        assert "F6 registry" in text
        line.say(WARNING, severity="quiet")
        await pilot.pause()
        assert "…" in "\n".join(screen_lines(pilot.app))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_a_dialog_keeps_its_keys(size: tuple[int, int]) -> None:
    app = Gallery()
    async with app.run_test(size=size) as pilot:
        long = [Choice(str(number), f"choice {number}", number) for number in range(60)]
        title = "A question that takes several lines of the dialog in which it is asked, at any width. "
        dialogs = {
            **example(),
            "long pick": Pick(title, long),
            "long confirm": Confirm(title, [f"row {number}" for number in range(99)], notes=["A note."] * 2),
        }
        for name, dialog in dialogs.items():
            app.push_screen(dialog)
            for _ in range(3):
                await pilot.pause()
            last = f"esc {'back' if name == 'message' else 'cancel'}"
            text = "\n".join(screen_lines(app))
            assert last in text, (name, text)
            await pilot.press("escape")
            await pilot.pause()


@pytest.mark.slow
async def test_the_list_of_a_dialog_grows_again_with_the_terminal() -> None:
    app = Gallery()
    async with app.run_test(size=(60, 14)) as pilot:
        app.push_screen(Pick("Which one?", [Choice(str(number), str(number)) for number in range(60)]))
        await pilot.pause()
        rows = app.screen.query_one(OptionList)
        async with asyncio.timeout(10):
            while rows.size.height > 6:
                await pilot.pause()
            await pilot.resize_terminal(120, 40)
            while rows.size.height < 12:
                await pilot.pause()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_long_text_has_the_whole_height_and_a_short_one_gives_it_back(
    corpus: Path, size: tuple[int, int]
) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f4")
        await console.until("shows the answer")
        await console.still()
        place = console.app.screen
        assert isinstance(place, ReviewPlace)
        card, curve = place.query_one(ReviewCard), place.query_one("#curve")
        short = card.size.height
        assert not card.overflows
        card.query_one("#asked", Static).update("word " * 3_000)
        await console.until(lambda: card.overflows)
        place.call_after_refresh(place._make_room)
        await console.until(lambda: not curve.display)
        await console.until(lambda: card.size.height > short)
        await console.press("space")
        await console.until(lambda: curve.display and card.size.height == short)
