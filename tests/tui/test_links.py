"""Opening a link of a memory: the address that is shown, chosen, confirmed, opened or copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import Console, open_console
from tests.support.stand_ins import StandIns
from vestige_tui.core.memories import Draft
from vestige_tui.tui.dialogs.open_link import ConfirmLink

LONG = f"https://example.org/{'long/' * 30}end?$(touch%20x)&a=`b`"


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    stand_ins = StandIns(tmp_path / "programs")
    stand_ins.add("stand-in-browser")
    monkeypatch.setenv("PATH", stand_ins.path)
    monkeypatch.setenv("BROWSER", "stand-in-browser %s")
    return stand_ins


async def show(console: Console, text: str, **more: object) -> None:
    await console.store.insert(Draft(f"zzlink {text}", metadata=more))
    await console.paste("+zzlink")
    await console.until("1 ○ zzlink")
    await console.press("enter")
    await console.still()


async def asked(console: Console) -> str:
    """Wait for the question, and return the address as it stands on the screen, without its line breaks."""
    await console.until(lambda: isinstance(console.app.screen, ConfirmLink))
    await console.pilot.pause()
    address = console.app.screen.query_one("#link-address").region
    return "".join(line[address.x : address.right].strip() for line in console.lines[address.y : address.bottom])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_a_link_is_shown_whole_confirmed_and_opened(
    corpus: Path, browser: StandIns, size: tuple[int, int]
) -> None:
    async with open_console(corpus, size) as console:
        await show(console, f"see {LONG.replace('`', '%60')}")
        await console.press("O")
        address = LONG.replace("`", "%60")
        assert await asked(console) == address
        await console.press("escape")
        await console.until(lambda: not isinstance(console.app.screen, ConfirmLink))
        assert browser.arguments("stand-in-browser") == []
        await console.press("O")
        await asked(console)
        await console.press("y")
        await console.until("Opened in the browser: https://example.org/long/")
        assert browser.arguments("stand-in-browser") == [address]


@pytest.mark.slow
async def test_of_several_links_one_is_chosen(corpus: Path, browser: StandIns) -> None:
    async with open_console(corpus) as console:
        await show(console, "https://one.org and https://user@two.org", source={"url": ["https://three.org/x"]})
        await console.press("O")
        await console.until("Open a link of this memory")
        for shown in ("https://one.org", "▲ https://user@two.org", "https://three.org/x"):
            assert console.says(shown)
        await console.press("down", "enter")
        assert await asked(console) == "https://user@two.org"
        assert console.says("The part before the @ is a user name; the site is two.org.")
        await console.press("y")
        await console.until("Opened in the browser: https://user@two.org")
        assert browser.arguments("stand-in-browser") == ["https://user@two.org"]


async def test_over_ssh_a_link_is_copied(corpus: Path, browser: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "a 1 b 2")
    async with open_console(corpus) as console:
        await show(console, "https://one.org/x")
        await console.press("O")
        await console.until("Copy this link? Over ssh no browser is opened.")
        await console.press("y")
        await console.until("Sent the link to the terminal, 17 characters.")
        assert console.app.clipboard == "https://one.org/x"
        assert browser.arguments("stand-in-browser") == []


@pytest.mark.slow
async def test_a_browser_that_fails_leaves_the_link_in_the_clipboard(corpus: Path, browser: StandIns) -> None:
    browser.add("stand-in-browser", "exit 1")
    async with open_console(corpus) as console:
        await show(console, "https://one.org/x")
        await console.press("O")
        await asked(console)
        await console.press("y")
        await console.until("No browser could be opened. Sent the link to the terminal, 17 characters.")


@pytest.mark.slow
async def test_without_a_link_the_key_says_so(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await show(console, "ftp://one.org javascript:alert(1)")
        await console.press("O")
        await console.until("This memory has no http or https link.")
