"""The palette finds commands by words of their names, offers what belongs to the console, and runs what is chosen."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from tests.support.console import Console, open_browse, open_console
from vestige_tui.tui.commands.palette import Kind, PaletteEntry, entries_of, matching
from vestige_tui.tui.dialogs.legend import LegendScreen
from vestige_tui.tui.dialogs.palette import Palette
from vestige_tui.tui.themes import THEMES

RUN = AsyncMock()


def entry(kind: Kind, name: str, sentence: str = "", words: str = "", reason: str = "") -> PaletteEntry:
    return PaletteEntry(kind, name, sentence, RUN, words=words, reason=reason)


ENTRIES = [
    entry(Kind.VERB, "Edit", "Edit the theme of a memory."),
    entry(Kind.VERB, "Delete", words="remove"),
    entry(Kind.VERB, "Copy store"),
    entry(Kind.PLACE, "Go to Store"),
    entry(Kind.CONSOLE, "Open another store…"),
    entry(Kind.THEME, "Theme: vestige-dark"),
    entry(Kind.THEME, "Theme: vestige-light"),
]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("theme", ["Theme: vestige-dark", "Theme: vestige-light"]),
        ("THEME li", ["Theme: vestige-light"]),
        ("light", ["Theme: vestige-light"]),
        ("remove", ["Delete"]),
        ("store", ["Copy store", "Go to Store", "Open another store…"]),
        ("e", ["Edit"]),
        ("eit", []),
        ("memory", []),
        ("tore", ["Copy store", "Go to Store", "Open another store…"]),
    ],
)
def test_a_query_finds_names_and_not_letters_of_sentences(query: str, names: list[str]) -> None:
    found = [each.name for each in matching(ENTRIES, query)]
    assert found[: len(names)] == names if query == "e" else found == names


def test_a_disabled_command_follows_an_enabled_one() -> None:
    entries = [entry(Kind.VERB, "Copy id", reason="No."), entry(Kind.VERB, "Copy")]
    assert [each.name for each in matching(entries, "copy")] == ["Copy", "Copy id"]


async def open_palette(console: Console, query: str = "") -> Palette:
    await console.press("ctrl+p")
    await console.until(lambda: isinstance(console.app.screen, Palette))
    if query:
        await console.type(query)
    await console.pilot.pause()
    palette = console.app.screen
    assert isinstance(palette, Palette)
    return palette


def names_of(palette: Palette) -> list[str]:
    return [each.name for each in palette._shown if each is not None]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)], ids=str)
async def test_verbs_come_first_then_places_and_the_sentence_is_in_view(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await open_browse(console)
        palette = await open_palette(console)
        kinds = [each.kind for each in palette._shown if each is not None]
        assert kinds == sorted(kinds)
        assert names_of(palette)[0] in ("Select", "Filter")
        for name in ("Edit", "Go to Search", "Open another store…", "Export…", "Import…", "Screenshot", "Quit"):
            assert name in names_of(palette)
        for name in ("Settings file", "Log", "Help", "Legend of signs", *(f"Theme: {theme.name}" for theme in THEMES)):
            assert name in names_of(palette)
        # The keys of the sheet and the sentence on the entry are not pushed out by the list.
        assert "enter run" in console.text
        await console.type("edit")
        await console.until("Edit the memory in your editor")


@pytest.mark.slow
async def test_a_theme_is_chosen_by_name(corpus: Path) -> None:
    async with open_console(corpus) as console:
        palette = await open_palette(console, "theme")
        others = [f"Theme: {theme.name}" for theme in THEMES if theme.name != "vestige-dark"]
        assert names_of(palette) == [*others, "Theme: vestige-dark"], "the present one comes last"
        await console.type(" vestige-light")
        await console.press("enter")
        await console.until("The theme is vestige-light, until the console closes.")
        assert console.app.theme == "vestige-light"


@pytest.mark.slow
async def test_commands_of_the_list_are_offered_while_the_line_has_the_focus(corpus: Path) -> None:
    async with open_console(corpus) as console:
        palette = await open_palette(console, "sort")
        assert "Sort" not in names_of(palette)  # Search has no order
        await console.press("escape")
        await open_palette(console, "legend")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, LegendScreen))


@pytest.mark.slow
async def test_a_disabled_command_shows_its_reason_and_does_not_run(corpus: Path) -> None:
    async with open_console(corpus, read_only=True) as console:
        await open_browse(console)
        palette = await open_palette(console, "delete")
        await console.until("This store is read-only: opened with --read-only.")
        await console.press("enter")
        await console.still()
        assert console.app.screen is palette


@pytest.mark.slow
async def test_the_cursor_passes_headings_and_goes_round(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        palette = await open_palette(console)
        first = names_of(palette)[0]
        await console.press("up", "down", "pagedown", "pageup", "up")
        await console.press("down")
        shown = palette.query_one("OptionList").highlighted  # type: ignore[attr-defined]
        assert palette._shown[shown].name == first


async def test_saved_filters_with_brackets_are_shown_as_they_are(corpus: Path) -> None:
    async with open_console(corpus) as console:
        console.app.config = console.app.config.__class__(filters={"[/odd]": "type:decision"})
        palette = await open_palette(console, "odd")
        assert names_of(palette) == ["Filter: [/odd]"]
        assert "Filter: [/odd]" in console.text


@pytest.mark.slow
async def test_a_screenshot_is_written_for_its_owner(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_console(corpus) as console:
        await open_palette(console, "screenshot")
        await console.press("enter")
        await console.until("Saved the screen in")
        [picture] = await asyncio.to_thread(lambda: list(tmp_path.glob("vestige-*.svg")))
        assert stat.S_IMODE((await asyncio.to_thread(picture.stat)).st_mode) == 0o600
        assert "<svg" in await asyncio.to_thread(picture.read_text)


@pytest.mark.slow
async def test_the_log_is_shown_with_its_place(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "vestige-tui").mkdir()
    (tmp_path / "vestige-tui" / "vestige-tui.log").write_text("the last line of the log\n", encoding="utf-8")
    async with open_console(corpus) as console:
        await open_palette(console, "log")
        await console.press("enter")
        await console.until("the last line of the log")
        assert "vestige-tui.log" in console.text


@pytest.mark.slow
async def test_settings_are_edited_in_place_and_read_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "vestige.toml"
    settings.write_text('[ui]\ntheme = "vestige-dark"\n', encoding="utf-8")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf \'[ui]\\ntheme = "vestige-light"\\n\' > "$1"\n', encoding="utf-8")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    async with open_console(corpus) as console:
        console.app.config = console.app.config.__class__(path=settings)
        # A headless terminal cannot be lent: where the file is is said instead.
        await open_palette(console, "settings")
        await console.press("enter")
        await console.until(f"The settings are in {settings}")
        settings.write_text('[ui]\ntheme = "vestige-light"\n', encoding="utf-8")
        console.app.read_settings(settings)
        await console.until(lambda: console.app.theme == "vestige-light")


@pytest.mark.slow
async def test_memories_are_exported_and_imported(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    async with open_console(corpus) as console:
        await open_palette(console, "export")
        await console.press("enter")
        await console.until("Export all memories to")
        await console.press("end", "ctrl+u")
        await console.paste(str(file))
        await console.press("enter")
        await console.until(lambda: file.exists())
        await console.until("Wrote ")
        lines = (await asyncio.to_thread(file.read_text, encoding="utf-8")).splitlines()
        assert len(lines) >= console.app.session.facts.memories  # type: ignore[operator]
        # What is refused stays in the dialog, with the sentence of the command.
        await open_palette(console, "import")
        await console.press("enter")
        await console.until("Import memories from")
        await console.paste(str(tmp_path / "missing.jsonl"))
        await console.press("enter")
        await console.until(lambda: bool(console.app.screen.query("#sheet-fault")))
        await console.until("cannot be read: No such file or directory.")
        new = tmp_path / "new.jsonl"
        new.write_text(json.dumps({"content": "brought by the palette"}) + "\n", encoding="utf-8")
        await console.press("end", "ctrl+u")
        await console.paste(str(new))
        await console.press("enter")
        await console.until("1 read: 1 inserted")
        await console.until(lambda: console.app.session.facts.memories == 375)


async def test_every_entry_has_a_name_and_a_sentence(corpus: Path) -> None:
    async with open_console(corpus) as console:
        entries = entries_of(console.app.screen)
        assert all(each.name and each.sentence for each in entries)
        assert len({each.name for each in entries}) == len(entries)
