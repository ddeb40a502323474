"""Anchors: whatever a terminal draws for a character, the next one stands in its column and no old cell remains."""

from __future__ import annotations

import re
import unicodedata

import pytest

from vestige_tui.core.text import plain
from vestige_tui.core.widths import cells
from vestige_tui.tui.anchors import anchored

TEXTS = [
    "क्षि देवनागरी",
    "தமிழ் நி",
    "কো মৃ",
    "👩‍👩‍👧 family",
    "❤️ 1️⃣ ☠️",
    "🇩🇪🇫🇷🇩",
    "👍🏽 🧑🏽‍💻",
    "🫩 \U0001faea new",
    "\U0001d165\U0001d15f music",
    "a\u200db\ufe0fc",
    "ก็ กำ ລຳ",
    "각 \u1100\u1161\u11a8",
    "䷀ 𝍠",
    "क्\u200cष",
    "z" + "\u0335" * 9,
]
END = "|end"


def terminal_width(character: str, *, wide: bool) -> int:
    """The cells that a terminal may give a character: an old one all that it can, a new one as few as it can."""
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf"):
        return 0
    if wide:
        return 2 if category == "Sk" and character > "\uffff" else cells(character)
    return 0 if category == "Mc" else 1 if unicodedata.east_asian_width(character) != "W" else 2


def drawn(data: str, *, wide: bool, columns: int = 60) -> list[str]:
    """The cells of a line that such a terminal shows, over a line of old characters."""
    line, column = ["?"] * columns, 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", data):
        if match := re.fullmatch(r"\x1b\[\d+;(\d+)H", piece):
            column = int(match[1]) - 1
        elif not piece.startswith("\x1b"):
            width = terminal_width(piece, wide=wide)
            line[column : column + width] = [piece, "", ""][:width]
            column += width
    return line


@pytest.mark.parametrize("wide", [True, False], ids=["wide", "narrow"])
@pytest.mark.parametrize("text", TEXTS)
def test_the_next_character_stands_in_its_column(text: str, wide: bool) -> None:
    shown = plain(text)
    width = cells(shown)
    line = drawn(anchored(f"\x1b[1;5H\x1b[31m{shown}{END}"), wide=wide)
    assert "".join(line[4 + width : 4 + width + len(END)]) == END
    assert "?" not in line[4 : 4 + width + len(END)]
    assert set(line[4 + width + len(END) :]) == {"?"}
    assert set(line[:4]) == {"?"}


@pytest.mark.parametrize("text", TEXTS)
def test_typed_text_that_is_not_plain_keeps_to_its_cells(text: str) -> None:
    width = cells(text)
    line = drawn(anchored(f"\x1b[1;5H{text}"), wide=True)
    assert set(line[4 + width :]) == {"?"}


def test_what_is_certain_is_written_as_it_is() -> None:
    data = "\x1b[3;1H\x1b[1mnaïve 日本語 한국어 ┌─┐ ● …\x1b[0m\n\x1b]8;;https://x/é\x1b\\link"
    assert anchored(data) == data
    # Without a known column nothing can be anchored.
    assert anchored("कि\r\nकि") == "कि\r\nकि"


def test_columns_go_on_after_styles_and_lines() -> None:
    data = anchored("\x1b[2;3Hab\x1b[1mकि\x1b[0mc\n\x1b[3;1H🇩🇪x")
    assert data == ("\x1b[2;3Hab\x1b[1m  \x1b[2;5Hकि\x1b[0m\x1b[2;7Hc\n\x1b[3;1H  \x1b[3;1H🇩🇪\x1b[3;3Hx")
