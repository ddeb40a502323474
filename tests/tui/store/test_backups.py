"""Backup and restore in the Store place: keys pressed, files written, the store opened again."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.command_line import copy_store
from tests.support.console import Console, open_console
from tests.support.corpus import MEMORIES
from tests.support.second_program import second_program
from tests.support.store_backups import rows_of_all_tables
from vestige_tui.core.memories import Draft
from vestige_tui.tui.dialogs.loss import ConfirmLoss
from vestige_tui.tui.dialogs.modals import Ask


async def ask(console: Console, key: str) -> Input:
    """Press a key of the Store place and return the line of its dialog."""
    await console.press("f7")
    await console.until("No problems found.")
    await console.press(key)
    await console.until(lambda: isinstance(console.app.screen, Ask))
    return console.app.screen.query_one(Input)


@pytest.mark.slow
async def test_a_backup_is_written_to_the_suggested_file(corpus: Path, state: Path) -> None:
    async with open_console(corpus) as console:
        line = await ask(console, "b")
        assert console.says("are free here")
        assert line.value.endswith(".backup.db")
        await console.press("enter")
        await console.until("Backed up")
        assert console.says(f"Backed up {MEMORIES} memories, compared with the store")
        line = await ask(console, "b")
        line.value = str(corpus)
        await console.press("enter")
        await console.until("never overwritten")
        await console.press("escape")
    [backup] = (state / "backups").iterdir()
    assert rows_of_all_tables(f"sqlite:{backup}") == rows_of_all_tables(f"sqlite:{corpus}")


@pytest.mark.slow
@pytest.mark.parametrize("key", ["y", "b", "escape"])
async def test_a_restore_lists_what_is_lost_and_opens_the_store_again(corpus: Path, state: Path, key: str) -> None:
    async with open_console(corpus) as console:
        await ask(console, "b")
        await console.press("enter")
        await console.until("Backed up")
        before = rows_of_all_tables(f"sqlite:{corpus}")
        await console.store.insert(Draft("Only in the store."))
        line = await ask(console, "B")
        assert line.value.endswith(".backup.db")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, ConfirmLoss))
        for words in ("deletes 1 memory", "deletes 1 journal entry", 'deletes "Only in the store."'):
            assert console.says(words), words
        await console.press(key)
        if key == "escape":
            await console.until(lambda: not isinstance(console.app.screen, ConfirmLoss))
            assert rows_of_all_tables(f"sqlite:{corpus}") != before
            return
        await console.until("Restored")
        await console.until(lambda: console.app.session.facts.memories == MEMORIES)
        await console.store.insert(Draft("After the restore."))
    assert len(list((state / "backups").iterdir())) == (2 if key == "b" else 1)


@pytest.mark.slow
async def test_a_restore_that_is_refused_leaves_the_store_open(corpus: Path, tmp_path: Path) -> None:
    backup = copy_store(corpus, tmp_path / "kept.db")
    async with open_console(corpus) as console:
        await console.store.insert(Draft("Only in the store."))
        line = await ask(console, "B")
        line.value = str(backup)
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, ConfirmLoss))
        with second_program("tests.support.pair_writer", str(corpus)):
            await console.press("y")
            await console.until("is open in process")
        await console.until(lambda: console.app.session.facts.memories is not None)
        assert (await console.store.memories.count()) > MEMORIES
