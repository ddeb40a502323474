"""Shapes of the same width for characters that a stream's encoding lacks."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

import vestige_tui
from vestige_tui.core.encodings import encodable, encoding_of, is_unicode, lacks
from vestige_tui.core.widths import cells

TEXTS = [
    "plain",
    "┌──┐ │ ╰╯ ├┤ ┃",
    "▌▁▂▃▄▅▆▇█░",
    "●○◐ ◆ → ✓ … \u00d7 \u2212",
    "naïve Größe Łódź",
    "漢字 한국어",
    "👩‍👩‍👧 ❤️ 🇩🇪",
    "क्षि e\u0301",
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "iso8859-15", "cp1252", "koi8-r", "cp437", "shift_jis"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_shape_is_as_wide_and_can_be_written(text: str, encoding: str) -> None:
    shown = encodable(text, encoding)
    assert shown.encode(encoding)
    assert cells(shown) == sum(map(cells, text))
    assert encodable(shown, encoding) == shown


def test_everything_that_the_program_draws_has_a_shape_of_its_own() -> None:
    package = Path(vestige_tui.__file__).parent
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    shapes = {each for each in re.findall("[^\x00-\x7f]", source) if not each.isalpha()}
    drawn = shapes | {chr(code) for code in range(0x2500, 0x25A0)}
    assert len(drawn) > 190
    assert [each for each in sorted(drawn) if "?" in encodable(each, "ascii")] == []
    assert not lacks("ascii", "".join(drawn))
    states = encodable("●○◐◌■□▪▫◆◇✓✗", "ascii")
    assert len(set(states)) == len("●○◐◌■□▪▫◆◇✓✗") - 2


def test_letters_are_a_loss_and_shapes_are_none() -> None:
    assert encodable("Größe… 漢", "ascii") == "Gro?e~ ??"
    assert encodable("Größe… 漢", "latin-1") == "Größe~ ??"
    assert [lacks(encoding, "Größe…") for encoding in ("ascii", "latin-1", "utf-8")] == [True, False, False]


def test_the_c_locale_is_ascii_although_python_writes_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert is_unicode(encoding_of(stream))
    for name in ("C", "POSIX"):
        monkeypatch.setenv("LC_ALL", name)
        assert encoding_of(stream) == "ascii"
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    assert encoding_of(stream) == "utf-8"
