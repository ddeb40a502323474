"""The legend has every sign that the console draws, one key away."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest

from tests.support.console import open_console
from tests.support.source_tree import modules
from vestige_tui.presenters.jobs import STATUS_LABELS
from vestige_tui.tui.commands.places import PLACES
from vestige_tui.tui.dialogs.legend import LegendScreen, LegendSheet
from vestige_tui.tui.widgets import glyphs
from vestige_tui.tui.widgets.legend import legend

NO_SIGNS = ("tui/anchors.py",)
"""Modules whose characters are limits of ranges and not drawn."""


def drawn_signs() -> dict[str, set[str]]:
    """Return every symbol in a string of the console or of the presenters that is no docstring, with its modules."""
    signs: dict[str, set[str]] = {}
    for name, tree in modules():
        if not name.startswith(("tui/", "presenters/")) or name in NO_SIGNS:
            continue
        owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        docstrings = {
            id(statement.value)
            for node in ast.walk(tree)
            if isinstance(node, (*owners, ast.AnnAssign, ast.Assign))
            for statement in getattr(node, "body", ())
            if isinstance(statement, ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                for character in node.value:
                    if unicodedata.category(character) == "So":
                        signs.setdefault(character, set()).add(name)
    return signs


@pytest.mark.slow
def test_every_sign_that_is_drawn_is_in_the_legend() -> None:
    explained = "".join(each.sign for group in legend().values() for each in group)
    missing = {sign: sorted(names) for sign, names in drawn_signs().items() if sign not in explained}
    assert not missing


def test_every_state_has_a_meaning_and_stands_in_the_legend() -> None:
    states = [value for value in vars(glyphs).values() if isinstance(value, glyphs.State)]
    assert len(states) >= 4
    assert all(state.meaning for state in states)
    texts = {(each.sign, each.meaning) for group in legend().values() for each in group}
    assert {(state.glyph, f"{state.word}: {state.meaning}") for state in states} <= texts
    assert {(label.glyph, label.word) for label in STATUS_LABELS.values()} <= texts


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)], ids=str)
async def test_it_is_one_key_away_in_every_place(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        for place in PLACES[1:]:
            await console.press(place.key, "K")
            await console.until(lambda: isinstance(console.app.screen, LegendScreen))
            sheet = console.app.screen.query_one(LegendSheet).render().plain
            assert all(sign in sheet for sign in ("●", "○", "◐", "◇", "▲", "▽", "◆", "R .95"))
            assert " ".join(sheet.split()).count("that does not have the focus") == 1, "a meaning is cut off"
            await console.press("K")
            await console.until(lambda place=place: console.app.screen.id == place.place)  # type: ignore[misc]
