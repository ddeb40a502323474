"""Leaving: the keys that quit and close stand in every key line, work in every screen, and no letter quits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_browse, open_console, open_explanation
from vestige_tui.tui.commands.places import PLACES
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.dialogs.modals import Ask, Confirm, Dialog, Message, Pick
from vestige_tui.tui.wizards.copy import CopyWizard

AGAIN = "Press ctrl+c again to quit."
SIZES = [(120, 40), (80, 24), (60, 20)]


def has_ended(console: Console) -> bool:
    return not console.app.is_running or console.app._exit  # the flag of Textual that ends its loop


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_quit_and_help_stand_in_the_key_line_of_every_place_and_page(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        # The search line has the focus, which takes letters and the question mark.
        assert "F1 help" in console.lines[-1]
        assert "ctrl+q quit" in console.lines[-1]
        for place in PLACES[1:]:
            await console.press(place.key)
            await console.until(f"▌{place.key.upper()} {place.title}")
            assert "? help" in console.lines[-1], place
            assert "ctrl+q quit" in console.lines[-1], place
        await console.press("f2")
        await open_explanation(console)
        assert "? help" in console.lines[-1]
        assert "ctrl+q quit" in console.lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.place))
async def test_q_names_the_key_that_quits_in_every_place(corpus: Path, place: type) -> None:
    async with open_console(corpus) as console:
        await console.press("escape", "down", place.key)  # type: ignore[attr-defined]
        await console.press("q")
        await console.until("ctrl+q quits")
        assert not has_ended(console)


async def test_q_is_a_letter_while_a_line_has_the_focus(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("q")
        assert isinstance(console.app.focused, Input)
        assert console.app.focused.value == "q"


@pytest.mark.slow
async def test_q_closes_a_page(corpus: Path) -> None:
    async with open_console(corpus) as console:
        page = await open_explanation(console)
        await console.press("q")
        await console.until(lambda: console.app.screen is not page)
        assert console.app.screen.id == "search"


@pytest.mark.slow
async def test_q_closes_a_card_that_has_replaced_the_list(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await open_browse(console)
        await console.press("enter")
        await console.until(lambda: console.app.screen.has_class("-reading"))
        await console.press("q")
        await console.until(lambda: not console.app.screen.has_class("-reading"))
        assert "ctrl+q quits" not in console.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dialog", "closes"),
    [
        (lambda: Message("Report", "Nothing happened."), True),
        (lambda: Confirm("Delete?", ["one row"]), True),
        (lambda: Ask("Tags", verb="save"), False),
        (lambda: Pick("Sort by", []), False),
    ],
    ids=["message", "confirm", "ask", "pick"],
)
async def test_q_closes_a_dialog_without_an_input_line(
    corpus: Path, dialog: Callable[[], Dialog[object]], closes: bool
) -> None:
    async with open_console(corpus) as console:
        answers: list[object] = []
        console.app.push_screen(dialog(), answers.append)
        await console.until(lambda: isinstance(console.app.screen, Dialog))
        await console.press("q")
        if closes:
            await console.until(lambda: bool(answers))
            assert answers[0] in (None, False)
        else:
            assert console.app.screen.query_one(Input).value == "q"
            # Also where the line has lost the focus.
            console.app.screen.set_focus(None)
            await console.press("q")
            assert not answers


@pytest.mark.slow
async def test_q_in_help_and_in_a_wizard(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f1")
        await console.until(lambda: isinstance(console.app.screen, HelpScreen))
        await console.press("q")
        await console.until(lambda: console.app.screen.id == "search")
        await console.press("f7", "c")
        await console.until(lambda: isinstance(console.app.screen, CopyWizard))
        await console.until(lambda: isinstance(console.app.focused, Input))
        await console.press("q")
        assert isinstance(console.app.focused, Input)
        assert console.app.focused.value == "q"


@pytest.mark.slow
async def test_a_second_ctrl_c_quits(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("ctrl+c")
        await console.until(AGAIN)
        await console.press("ctrl+c")
        await console.until(lambda: has_ended(console))


@pytest.mark.slow
async def test_the_offer_to_quit_ends(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("ctrl+c")
        await console.until(AGAIN)
        await console.until(AGAIN, gone=True)
        await console.press("ctrl+c")
        await console.until(AGAIN)
        assert not has_ended(console)


async def test_ctrl_c_quits_from_a_dialog(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f1")
        await console.until(lambda: isinstance(console.app.screen, HelpScreen))
        await console.press("ctrl+c")
        await console.until(AGAIN)
        await console.press("ctrl+c")
        await console.until(lambda: has_ended(console))


@pytest.mark.slow
async def test_ctrl_c_copies_a_selected_text(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.type("signing keys")
        await console.press("shift+home", "ctrl+c")
        await console.until(lambda: console.app.clipboard == "signing keys")
        assert AGAIN not in console.text
        # Nothing is selected now.
        await console.press("end", "ctrl+c")
        await console.until(AGAIN)
