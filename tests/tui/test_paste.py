"""Pasted text in every one-line input: all its lines, and no control character."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import open_console


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [(), ("ctrl+p",), ("down", "t"), ("down", "S"), ("f8",), ("f5", "c")],
    ids=["search", "palette", "ask", "memory", "filters", "wizard"],
)
async def test_lines_become_one_line_in_every_input(corpus: Path, keys: tuple[str, ...]) -> None:
    async with open_console(corpus) as console:
        await console.still()
        place = console.app.screen
        await console.press(*keys)
        await console.until(lambda: isinstance(console.app.focused, Input))
        assert not keys or console.app.screen is not place or keys[0] == "f5"
        line = console.app.focused
        assert isinstance(line, Input)
        line.value = ""
        await console.paste("\nhow do\n\n  we rotate\r\nthe\tkeys\rtoday \x1b[31m\n")
        await console.until(lambda: line.value == "how do we rotate the keys today \ufffd[31m")
        line.value = ""
        console.app.copy_to_clipboard("copied\n\nlines")
        await console.press("ctrl+v")
        await console.until(lambda: line.value == "copied lines")
        assert console.app._clipboard == "copied\n\nlines"
