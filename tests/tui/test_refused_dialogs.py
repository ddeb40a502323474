"""What was typed into a dialog whose write is refused stays there, and a console whose file was replaced says so."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_browse, open_console, pick
from tests.support.corpus import second_handle
from vestige_tui.core.errors import Refused
from vestige_tui.core.memories import Filter
from vestige_tui.tui.dialogs.modals import Ask
from vestige_tui.tui.store_session_events import SessionState


def replace(path: Path) -> None:
    """Move another file into the place of a store."""
    other = path.with_name("other.db")
    shutil.copyfile(path, other)
    other.rename(path)


async def typed_into_dialog(console: Console, text: str) -> None:
    await console.until(lambda: isinstance(console.app.screen, Ask))
    await console.type(text)
    await console.press("enter")


def asked_again(console: Console, text: str, fault: str) -> bool:
    """Whether the dialog is open with this text, and an error beneath it."""
    screen = console.app.screen
    return isinstance(screen, Ask) and screen.query_one(Input).value == text and console.says(fault)


async def test_a_console_says_that_its_file_was_replaced(corpus: Path) -> None:
    async with open_console(corpus) as console:
        before = await asyncio.to_thread(corpus.read_bytes)
        await asyncio.to_thread(replace, corpus)
        await console.until("its file was replaced by another file while it was open")
        await console.until(lambda: console.app.session.facts.read_only)
        # What was read stays readable, and the sentence stays.
        await console.paste("webhook")
        await console.press("enter")
        await console.still()
        assert console.says("its file was replaced by another file while it was open")
    assert await asyncio.to_thread(corpus.read_bytes) == before


@pytest.mark.slow
async def test_a_console_says_that_its_file_was_emptied(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("t")
        await typed_into_dialog(console, "+in-the-log-alone")
        await console.until("Tagged")
        await asyncio.to_thread(os.truncate, corpus, 0)
        await console.until("its file was truncated while it was open")
        await console.until(lambda: console.app.session.facts.read_only)
        assert console.app.session.state is SessionState.LIVE
    assert not await asyncio.to_thread(corpus.read_bytes)


@pytest.mark.slow
async def test_tags_stay_in_the_dialog(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("t")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await asyncio.to_thread(replace, corpus)
        await typed_into_dialog(console, "+urgent")
        await console.until(lambda: asked_again(console, "+urgent", "its file was replaced by another file"))
        await console.press("enter")
        await console.until(lambda: asked_again(console, "+urgent", "its file was replaced by another file"))
        await console.press("escape")
        await console.until(lambda: not isinstance(console.app.screen, Ask))


@pytest.mark.slow
async def test_tags_are_written_once_the_write_succeeds(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        apply = console.store.bulk.apply

        async def refuse(*_: object) -> None:
            raise Refused("The disk is full.")

        monkeypatch.setattr(console.store.bulk, "apply", refuse)
        await console.press("t")
        await typed_into_dialog(console, "+urgent")
        await console.until(lambda: asked_again(console, "+urgent", "The disk is full."))
        monkeypatch.setattr(console.store.bulk, "apply", apply)
        await console.press("enter")
        await console.until("Tagged")
        async with second_handle(corpus) as other:
            assert len((await other.page(Filter(tags=("urgent",)))).items) == 1


@pytest.mark.slow
@pytest.mark.parametrize("key", ["l", "S"])
async def test_the_words_for_another_memory_stay_in_the_dialog(corpus: Path, key: str) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        assert table.current is not None
        await console.press(key)
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await typed_into_dialog(console, "zzzz +nowhere")
        await console.until(lambda: asked_again(console, "zzzz +nowhere", "No memory matches"))
        await console.press("ctrl+u")
        await asyncio.to_thread(replace, corpus)
        await typed_into_dialog(console, "webhook")
        await pick(console, "")
        if key == "l":
            await pick(console, "related")
        await console.until(lambda: asked_again(console, "webhook", "its file was replaced by another file"))


@pytest.mark.slow
async def test_the_name_of_a_filter_stays_in_the_dialog(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("slash")
        await console.type("type:decision ")
        await console.press("enter")
        await console.still()
        # Where the settings would be there is a folder.
        (tmp_path / ".vestige" / "vestige.toml").mkdir(parents=True)
        await console.press("ctrl+s")
        await typed_into_dialog(console, "mine")
        await console.until(lambda: asked_again(console, "mine", "vestige.toml"))
