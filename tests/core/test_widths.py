"""Widths in cells: those that Textual lays out with, for any text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from textual.content import Content

from vestige_tui.core.text import cut
from vestige_tui.core.widths import cells, prefix

TEXTS = [
    "",
    "plain ascii",
    "日本語のテキスト",
    "한국어",
    "cafe\u0301 e\u0301\u0302\u0303",
    "👩‍👩‍👧 family",
    "❤️ 1️⃣ ☠️",
    "🇩🇪🇫🇷 flags",
    "👍🏽 skin",
    "क्षि देवनागरी",
    "ไทย ภาษา",
    "عربى",
    "\u200d\u200d",
    "\ufe0f",
    "a\u200db",
    "\u202eright to left",
    "ﷺ",
    "z" + "\u0335" * 100 + "algo",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_as_wide_as_textual_draws_it(text: str) -> None:
    assert cells(text) == Content(text).cell_length


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", range(0, 14))
def test_what_is_cut_fits_and_divides_nothing(text: str, width: int) -> None:
    short = cut(text, width)
    assert Content(short).cell_length <= width
    assert short == text or not short or short.endswith("…")
    start = prefix(text, width)
    assert text.startswith(start)
    # Each part is as wide by itself as in the whole, so no grapheme was divided.
    assert cells(start) + cells(text[len(start) :]) == cells(text)


def test_a_huge_text_is_cut_without_being_read_whole() -> None:
    wide, marks = "語" * 3_000_000, "z" + "\u0335" * 3_000_000
    assert cut(wide, 7) == "語語語…"
    assert cells(cut(marks, 7)) <= 7


def test_the_table_is_loaded_by_the_first_text_that_is_not_ascii() -> None:
    code = (
        "import sys; from vestige_tui.core.text import cells, cut; cells('plain'); cut('plain', 3);"
        "before = 'rich.cells' in sys.modules; cells('語'); print(before, 'rich.cells' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
