"""Contrast of text: each colour of each theme on each surface, and every cell that the console draws."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from rich.color import ColorType
from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.screen import ModalScreen
from textual.theme import Theme
from textual.widgets import OptionList

from tests.support.console import QUESTION, open_browse, open_console, open_explanation
from tests.support.gallery import Gallery, detail, example
from tests.support.sample_memories import memory
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.themes import ANSI, DARK, DARK_CONTRAST, LIGHT, LIGHT_CONTRAST, THEMES
from vestige_tui.tui.widgets.memory_card import MemoryCard

LEAST = {DARK.name: 4.5, LIGHT.name: 4.5, DARK_CONTRAST.name: 7.0, LIGHT_CONTRAST.name: 7.0}
COLOURED = tuple(theme for theme in THEMES if theme is not ANSI)
SURFACES = ("background", "surface", "panel", "block-cursor-background")
TINTED = ("background", "surface", "panel")
SHAPES = re.compile(r"[\s\u2500-\u259f]*")
"""Spaces, rules and bars: shapes, which carry no text."""
CODE = '''# Heading

Text with `code`, a [link](https://example.org) and **strong** words.

> A quotation.

```python
# A comment
class Key(Base):
    """Documentation."""
    @property
    def age(self) -> int:
        return None if self.born is not True else 12 + len("a string")
```

```
no language
```

| column | other |
|---|---|
| one | two |
'''


def luminance(colour: Color) -> float:
    """Relative luminance (WCAG 2)."""
    parts = [value / 255 for value in colour.rgb]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio of two opaque colours (WCAG 2), from 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_ratio_is_that_of_wcag() -> None:
    assert contrast(Color.parse("#000"), Color.parse("#fff")) == pytest.approx(21)
    assert contrast(Color.parse("#777777"), Color.parse("#ffffff")) == pytest.approx(4.48, abs=0.01)


def inks(theme: Theme) -> Iterator[tuple[str, Color]]:
    """Every colour of a theme that may be a text's, by name."""
    variables = theme.to_color_system().generate()
    for name, value in variables.items():
        if name.endswith("foreground") and name.startswith(("input", "screen-selection")):
            continue
        if name in ("accent", "error", "warning", "success", "foreground") or name.startswith(("text", "markdown-h")):
            if name.endswith(("style", "background")):
                continue
            yield name, Color.parse(value)


def surfaces(theme: Theme) -> Iterator[tuple[str, Color]]:
    """Every surface on which text stands, the rows of a selection included."""
    variables = theme.to_color_system().generate()
    for name in SURFACES:
        yield name, Color.parse(variables[name])
    for name in TINTED:
        tint = Color.parse(variables["accent"]).with_alpha(0.08)
        yield f"selected row on {name}", Color.parse(variables[name]) + tint


@pytest.mark.parametrize("theme", COLOURED, ids=lambda theme: theme.name)
def test_every_text_colour_is_readable_on_every_surface(theme: Theme) -> None:
    low = {
        (ink, surface): round(contrast(colour, ground), 2)
        for (ink, colour), (surface, ground) in product(inks(theme), surfaces(theme))
        if contrast(colour, ground) < LEAST[theme.name]
    }
    assert not low


@pytest.mark.parametrize("theme", COLOURED, ids=lambda theme: theme.name)
def test_selected_text_is_readable(theme: Theme) -> None:
    variables = theme.to_color_system().generate()
    for kind in ("input-selection", "screen-selection"):
        pair = (Color.parse(variables[f"{kind}-foreground"]), Color.parse(variables[f"{kind}-background"]))
        assert all(colour.a == 1 for colour in pair)
        assert contrast(*pair) >= LEAST[theme.name], kind


def test_no_colour_of_text_in_a_style_sheet_is_translucent() -> None:
    folder = Path(__file__).parents[2] / "vestige_tui" / "tui"
    translucent = re.compile(r"text-opacity|(?<![-\w])opacity:|(?<![-\w])color:\s*[^;]*\d\s*%|\"\$[\w-]+ \d+%")
    faults = [
        f"{path.name}: {match.group()}"
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.tcss")])
        for match in translucent.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not faults


# What is drawn


def unreadable(app: App[None], least: float) -> list[tuple[str, str, str, float]]:
    """Text of the screen whose contrast is too low: text, colour, surface and ratio."""
    faults = []
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            ratio = ratio_of(segment)
            if ratio is not None and ratio < least:
                style = segment.style
                assert style is not None
                faults.append((segment.text.strip(), str(style.color), str(style.bgcolor), round(ratio, 2)))
    return faults


def ratio_of(segment: Segment) -> float | None:
    """Contrast of a piece of the screen; None if it is no text."""
    style = segment.style
    if segment.control or style is None or SHAPES.fullmatch(segment.text):
        return None
    assert style.color is not None, segment
    assert style.bgcolor is not None, segment
    front, back = style.color, style.bgcolor
    if style.reverse:
        front, back = back, front
    assert front.type is ColorType.TRUECOLOR, segment
    assert back.type is ColorType.TRUECOLOR, segment
    assert not style.dim, segment
    return contrast(Color.from_rich_color(front), Color.from_rich_color(back))


@pytest.mark.slow
@pytest.mark.parametrize("theme", COLOURED, ids=lambda theme: theme.name)
async def test_every_page_and_dialog_is_readable(theme: Theme) -> None:
    least, app = LEAST[theme.name], Gallery(theme.name)
    async with app.run_test(size=(120, 40)) as pilot:
        for place in Gallery.MODES:
            app.switch_mode(place)
            await pilot.pause()
            assert not unreadable(app, least), place
        app.switch_mode("search")
        await pilot.pause()
        coded = replace(detail(), memory=replace(memory(0, CODE), tags=("a",)))
        await app.screen.query_one(MemoryCard).show(coded)
        await pilot.pause()
        assert not unreadable(app, least), "code"
        for name, dialog in example().items():
            app.push_screen(dialog)
            await pilot.pause()
            sheet = dialog.query_one("#sheet").region
            lines = app.screen._compositor.render_strips()[sheet.y : sheet.bottom]
            low = [
                segment
                for strip in lines
                for segment in strip.crop(sheet.x, sheet.right)
                if (ratio := ratio_of(segment)) is not None and ratio < least
            ]
            assert not low, name
            await pilot.press("escape")


@pytest.mark.slow
@pytest.mark.parametrize("theme", COLOURED, ids=lambda theme: theme.name)
async def test_every_place_is_readable(corpus: Path, theme: Theme) -> None:
    least = LEAST[theme.name]
    async with open_console(corpus, theme=theme.name) as console:
        app = console.app
        assert not unreadable(app, least), "an empty line with its placeholder"
        screen = await open_explanation(console, QUESTION)
        assert not unreadable(app, least), screen
        await console.press("escape")
        keys: tuple[str, ...]
        for keys in (("ctrl+a",), ("down", "space", "space"), ("/", "home", "shift+end")):
            await console.press(*keys)
            await console.still()
            assert not unreadable(app, least), keys
        await open_browse(console)
        for keys in ((), ("j", "space", "v", "j", "j"), ("enter",), ("escape", "/", "t", "y", "p", "e", ":", "x")):
            await console.press(*keys)
            await console.still()
            assert not unreadable(app, least), keys
        for place in ("f4", "f5", "f6", "f7"):
            await console.press(place)
            await console.still()
            assert not unreadable(app, least), place
            await console.press("space")
            await console.still()
            assert not unreadable(app, least), f"{place} space"


# The pane with the focus


def edges(app: App[None], x: int, top: int, bottom: int) -> set[tuple[str, str]]:
    """What stands in one column of the screen, and its colour."""
    cells = set()
    for strip in app.screen._compositor.render_strips()[top:bottom]:
        [segment] = strip.crop(x, x + 1)
        assert segment.style is not None
        cells.add((segment.text, str(segment.style.color.name if segment.style.color is not None else "")))
    return cells


@pytest.mark.slow
@pytest.mark.parametrize("place", ["f3", "f5", "f6", "f7"])
async def test_the_pane_with_the_focus_has_the_accent_on_its_left_and_no_other_has(corpus: Path, place: str) -> None:
    async with open_console(corpus) as console:
        await console.press("down", place)
        await console.still()
        app, accent = console.app, str(DARK.accent)
        panes = [pane for pane in app.screen.query("RowList, Panels") if pane.focusable and pane.region.area]
        if place == "f5":
            assert not panes, "there are no jobs"
        for focused in panes:
            app.screen.set_focus(focused)
            await console.still()
            for pane in panes:
                region = pane.region
                drawn = edges(app, region.x, region.y, region.bottom)
                lit = {colour for text, colour in drawn if text in "▏▌" and text.strip()}
                assert (accent in lit) == (pane is focused), (focused, pane, drawn)
                if pane is focused:
                    assert lit == {accent}
                    assert " " not in {text for text, _ in drawn}, "the edge goes from top to bottom"


@pytest.mark.parametrize("name", ["nord", "textual-light", "solarized-light"])
async def test_a_theme_that_comes_with_textual_can_be_chosen(corpus: Path, name: str) -> None:
    async with open_console(corpus, theme=name) as console:
        assert console.app.theme == name
        await open_browse(console)
        assert console.says("355 memories")


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
async def test_the_highlighted_row_of_every_list_in_a_dialog_is_seen(corpus: Path, theme: Theme) -> None:
    """The input line of such a dialog has the focus, the list has not."""

    def looks(options: OptionList, row: int) -> set[tuple[object, object]]:
        strip = options.render_line(row - options.scroll_offset.y)
        return {(part.style.bgcolor, part.style.underline) for part in strip if part.style and part.text.strip()}

    async with open_console(corpus, theme=theme.name) as console:
        await open_browse(console)
        for key in ("s", "f", "F", "ctrl+p"):
            if key == "F":
                console.app.screen.query_one(FilterBar).set_chips([Chip("type", "fact")])
                await console.still()
            await console.press(key)
            await console.until(lambda: isinstance(console.app.screen, ModalScreen))
            lists = [each for each in console.app.screen.query(OptionList) if each.option_count > 1]
            await console.until(lambda lists=lists: all(each.highlighted is not None for each in lists))  # type: ignore[misc]
            assert lists
            for options in lists:
                assert options.highlighted is not None
                assert not looks(options, options.highlighted) & looks(options, options.highlighted + 1), (key, options)
            await console.press("escape")
            await console.until(lambda: not isinstance(console.app.screen, ModalScreen))
