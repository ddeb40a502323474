"""The style sheet of the console: each source parsed once for each set of colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.css.parse import parse

from tests.support.console import open_console
from vestige_tui.tui.style_sheet import CachedStylesheet
from vestige_tui.tui.themes import DARK, LIGHT

DARKER, PALER = {"ground": "#101010"}, {"ground": "#f0f0f0"}
RULE = "Widget { background: $ground; }"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that are parsed while the test runs."""
    sources: list[str] = []

    def counted(scope: str, css: str, *arguments: object, **options: object) -> object:
        sources.append(css)
        return parse(scope, css, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("textual.css.stylesheet.parse", counted)
    return sources


def background(sheet: CachedStylesheet) -> str:
    [rule] = sheet.rules
    return rule.styles.background.hex


def test_a_source_is_parsed_once_for_each_set_of_colours(parsed: list[str], tmp_path: Path) -> None:
    sheets = [CachedStylesheet(variables=dict(DARKER)) for _ in range(2)]
    for sheet in sheets:
        sheet.add_source(RULE, (str(tmp_path), ""))
        assert background(sheet) == "#101010"
        sheet.reparse()
    assert parsed == [RULE]
    first, second = sheets
    first.set_variables(dict(PALER))
    first.reparse()
    second.reparse()
    assert (background(first), background(second)) == ("#F0F0F0", "#101010")
    first.set_variables(dict(DARKER))
    first.reparse()
    assert background(first) == "#101010"
    assert parsed == [RULE, RULE]


def test_a_source_that_has_changed_is_parsed_again(parsed: list[str], tmp_path: Path) -> None:
    sheet = CachedStylesheet(variables={"ground": "#202020"})
    changed = "Widget { background: #303030; }"
    for css, shown in ((RULE, "#202020"), (changed, "#303030")):
        sheet.add_source(css, (str(tmp_path), ""))
        assert background(sheet) == shown
    assert parsed == [RULE, changed]


@pytest.mark.slow
async def test_a_place_already_seen_costs_no_parsing_and_other_colours_are_shown(
    corpus: Path, parsed: list[str]
) -> None:
    async with open_console(corpus, theme=DARK.name) as console:
        await console.press("f3")
        await console.still()
    parsed.clear()
    async with open_console(corpus, theme=DARK.name) as console:
        await console.press("f3")
        await console.still()
        assert parsed == []
        assert console.app.screen.styles.background.hex.lower() == DARK.background
        console.app.theme = LIGHT.name
        await console.until(lambda: console.app.screen.styles.background.hex.lower() == LIGHT.background)
        await console.press("f2")
        await console.until(lambda: console.app.screen.styles.background.hex.lower() == LIGHT.background)
