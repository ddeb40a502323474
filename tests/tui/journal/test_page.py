"""The journal page: opened from anywhere, paged, live; it opens memories, undoes and redoes, and says why it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.console import Console, open_browse, open_console, open_explanation
from tests.support.corpus import clock
from tests.support.vestige_files import make_v18
from vestige_tui.core.errors import Conflict
from vestige_tui.core.journal import command_origin
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.tui.dialogs.memory_sheet import MemorySheet
from vestige_tui.tui.dialogs.modals import Pick
from vestige_tui.tui.journal.entry_list import EntryList
from vestige_tui.tui.journal.page import PAGE_ENTRIES, JournalScreen

HOSTILE = "\x1b[31m [/bold] [red]\u202eevil\x07 \x9b"


@asynccontextmanager
async def other_command(path: Path) -> AsyncIterator[Store]:
    """The store as a command has it."""
    async with open_store(f"sqlite:{path}", clock=clock, origin=command_origin("tag")) as store:
        yield store


async def open_journal(console: Console) -> EntryList:
    await console.press("J")
    await console.until(lambda: isinstance(console.app.screen, JournalScreen))
    await console.still()
    return console.app.screen.query_one(EntryList)


async def tag_here(console: Console, tags: str) -> str:
    """Tag the memory under the cursor; return its id."""
    table = await open_browse(console)
    assert table.current is not None
    await console.press("t")
    await console.until(lambda: isinstance(console.app.focused, Input))
    await console.paste(tags)
    await console.press("enter")
    await console.until("Tagged ")
    return table.current.id


async def test_at_80_columns_the_values_of_a_change_are_read_in_its_line(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        await tag_here(console, "+runbooks +on-call")
        await open_journal(console)
        assert ": +runbooks +on-call" in console.text


@pytest.mark.slow
async def test_undo_leaves_the_changes_of_others_alone(corpus: Path) -> None:
    async with open_console(corpus) as console:
        mine = await tag_here(console, "+mine")
        async with other_command(corpus) as other:
            [theirs] = (await other.insert(Draft("Another command wrote this"), embed=False)).changed
        await console.until("Another command wrote this")
        assert "u undo" in console.text
        await console.press("u")
        await console.until('Undid: tag +mine on "')
        assert "U redo" in console.text
        assert "mine" not in (await console.store.get(mine)).tags
        await console.press("u")
        # Nothing of this console is left: the journal shows the rest, with the cursor on the newest entry.
        await console.until(lambda: isinstance(console.app.screen, JournalScreen))
        await console.until("Undid: tag +mine on")
        assert await console.store.get(theirs)
        await console.press("escape", "U")
        await console.until('Redid: tag +mine on "')
        assert "mine" in (await console.store.get(mine)).tags
        await console.press("U")
        await console.until("There is nothing to redo")
        await console.press("u")
        await console.until('Undid: tag +mine on "')


@pytest.mark.slow
async def test_a_change_that_cannot_be_undone_is_skipped_the_next_time(corpus: Path) -> None:
    async with open_console(corpus) as console:
        first = await tag_here(console, "+one")
        await tag_here(console, "+two")
        async with other_command(corpus) as other:
            await other.memories.tag([first], ["theirs"])
        await console.press("u")
        await console.until("has changed since; nothing was changed.")
        await console.press("u")
        # The one before is refused as well, for the same reason; then there is none.
        await console.until(lambda: len(console.app.session.own_changes._refused) == 2)
        await console.press("u")
        await console.until(lambda: isinstance(console.app.screen, JournalScreen))
        with pytest.raises(Conflict):
            await console.store.journal.undo((await console.store.journal.entries())[1].id)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["f2", "f3", "f4", "f5", "f6", "f7"])
async def test_the_journal_opens_from_every_place_and_closes(corpus: Path, place: str) -> None:
    async with open_console(corpus) as console:
        await console.press(place)
        await console.still()
        if place == "f2":
            # In the line of Search, J is a letter.
            await console.press("J")
            await console.until(lambda: isinstance(console.app.focused, Input) and console.app.focused.value == "J")
            await console.press("backspace", "down", "escape")
            console.app.screen.set_focus(None)
        await open_journal(console)
        await console.until("newest first")
        await console.press("J")
        await console.still()
        assert len(console.app.screen_stack) == 2
        await console.press("escape")
        await console.until(lambda: not isinstance(console.app.screen, JournalScreen))


@pytest.mark.slow
async def test_the_journal_opens_over_an_explanation_and_from_the_palette(corpus: Path) -> None:
    async with open_console(corpus) as console:
        explanation = await open_explanation(console)
        await open_journal(console)
        await console.press("q")
        await console.until(lambda: console.app.screen is explanation)
        await console.press("escape")
        await console.press("ctrl+p")
        await console.until("Type the name of a command")
        await console.paste("journal")
        await console.until("Journal")
        await console.press("down", "enter")
        await console.until(lambda: isinstance(console.app.screen, JournalScreen))


@pytest.mark.slow
async def test_an_entry_opens_its_memory_and_is_undone(corpus: Path) -> None:
    async with open_console(corpus) as console:
        mine = await tag_here(console, "+mine")
        async with other_command(corpus) as other:
            [theirs] = (await other.insert(Draft("Another command wrote this"), embed=False)).changed
            await other.memories.tag([mine, theirs], ["both"])
        entries = await open_journal(console)
        await console.until("command tag")
        assert "this console" in console.text
        old = len(entries.entries)
        assert [line.verb for line in entries.entries[:3]] == ["tag", "add", "tag"]
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, Pick))
        await console.paste("Another command")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, MemorySheet))
        await console.press("escape")
        await console.press("u")
        await console.until("Undid: tag +both on 2 memories")
        assert (await console.store.get(theirs)).tags == ()
        # The list follows: the undo stands on top, the cursor stays on its entry.
        await console.until(lambda: len(entries.entries) == old + 1 and entries.entries[1].undone_by is not None)
        assert entries.current is not None
        assert entries.current.verb == "tag"
        await console.press("u")
        await console.until(f"Change {entries.current.id} is already undone (by {entries.entries[0].id}).")
        await console.press("g", "u")
        await console.until("Redid: tag +both on 2 memories")
        assert (await console.store.get(theirs)).tags == ("both",)
        await console.until(lambda: len(entries.entries) == old + 2)
        await console.press("g", "u")
        await console.until(f"is a redo; undo change {entries.entries[2].id} instead.")


@pytest.mark.slow
async def test_the_memory_of_an_entry_may_be_gone(corpus: Path) -> None:
    async with open_console(corpus) as console:
        async with other_command(corpus) as other:
            [theirs] = (await other.insert(Draft("Soon gone"), embed=False)).changed
            await other.delete([theirs])
        await open_browse(console)
        await open_journal(console)
        await console.until('Deleted "Soon gone"')
        await console.press("enter")
        await console.until(f"Memory {theirs[:8]} was deleted; u restores it.")
        await console.press("u")
        await console.until('Undid: delete on "Soon gone"')
        assert await console.store.get(theirs)


@pytest.mark.slow
async def test_thousands_of_entries_are_read_as_they_come_into_view(corpus: Path) -> None:
    async with other_command(corpus) as other:
        count = len(await other.journal.entries()) + 3 * PAGE_ENTRIES + 7
        async with other.backend.write() as transaction:
            for number in range(3 * PAGE_ENTRIES + 7):
                stamps = [{"id": f"{number:08d}-0000-4000-8000-000000000000"}]
                await other._context.journal(transaction, "add", [], stamps)
    async with open_console(corpus) as console:
        await open_browse(console)
        entries = await open_journal(console)
        await console.until("newest first")
        assert len(entries.entries) < 3 * PAGE_ENTRIES
        assert "+ entries" in console.text
        await console.press("G")
        await console.until(lambda: len(entries.entries) == count)
        await console.until(f"{count} entries")
        shown = console.lines[5:20]
        last = entries.current
        async with other_command(corpus) as other:
            await other.insert(Draft("Written meanwhile"), embed=False)
        await console.until(lambda: len(entries.entries) == count + 1)
        # The cursor keeps its entry, and the screen its rows.
        assert entries.current == last
        assert console.lines[5:20] == shown
        assert "Written meanwhile" not in console.text


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_hostile_texts_are_shown_plainly(corpus: Path, size: tuple[int, int]) -> None:
    async with open_store(f"sqlite:{corpus}", clock=clock, origin=f"command {HOSTILE}") as other:
        [memory_id] = (await other.insert(Draft(f"{HOSTILE} text", tags=(HOSTILE,)), embed=False)).changed
        await other.memories.tag([memory_id], [f"tag{HOSTILE}"])
        await other.delete([memory_id])
    async with open_console(corpus, size) as console:
        await open_browse(console)
        await open_journal(console)
        await console.until("Deleted ")
        assert not set(console.text) & {"\x1b", "\x07", "\x9b", "\u202e"}
        assert "[/bold]" in console.text
        assert "esc back" in console.text
        assert ("command" in console.text) == (size[0] >= 70)


@pytest.mark.slow
async def test_a_read_only_store_says_what_is_off(corpus: Path) -> None:
    async with other_command(corpus) as other:
        await other.insert(Draft("Written before"), embed=False)
    async with open_console(corpus, read_only=True) as console:
        await open_browse(console)
        await open_journal(console)
        await console.until('Added "Written before"')
        assert "read-only" in console.text
        await console.press("u")
        await console.until("opened with --read-only")
        assert await console.store.memories.count() > 0


@pytest.mark.slow
async def test_a_vestige_file_has_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "vestige.db"
    await asyncio.to_thread(make_v18, path, 3)
    async with open_console(path) as console:
        await open_browse(console)
        await open_journal(console)
        await console.until("This file belongs to a Vestige server")
        await console.press("u")
        await console.until("Adopt vestige.db, to write to it?")
        await console.press("escape")
        await console.until("read-only")


async def test_an_empty_journal_says_what_it_will_hold(empty_store: Path) -> None:
    async with open_console(empty_store) as console:
        await console.press("f3")
        await console.still()
        await open_journal(console)
        await console.until("No changes yet.")
        await console.until("esc  back")
