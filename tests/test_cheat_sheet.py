"""docs/cheat-sheet.md is that of the commands of today."""

from __future__ import annotations

from tests.cheat_sheet import PATH, cheat_sheet
from vestige_tui.tui.commands.catalogue import catalogue


def test_it_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == cheat_sheet(), "run `make cheat-sheet`"


def test_it_names_every_key_and_command() -> None:
    text = cheat_sheet()
    assert text.count("\n| `") > len(catalogue())
    for words in ("| `/` |", "| `?` `f1` |", "`migrate copy`"):
        assert words in text
