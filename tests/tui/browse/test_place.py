"""Browse: keys pressed, lines seen, on the sample corpus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.console import Console, open_browse, open_console, pick
from tests.support.corpus import ACTIVE, MEMORIES, second_handle
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.memories import Draft, Memory, Page
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.text import one_line
from vestige_tui.tui.browse.memory_table import MemoryTable
from vestige_tui.tui.dialogs.modals import Ask, Confirm, Pick
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.widgets.memory_card import MemoryCard

SIZES = [(120, 40), (80, 24), (60, 20)]


def line_of_cursor(console: Console) -> str:
    """The row under the cursor, as it is seen."""
    lines = [line for line in console.lines[3:] if line.startswith(("▌", "▏"))]
    # The edge of the list is drawn on every line while it has the focus.
    return next((line for line in lines if line.startswith("▌")), lines[0])


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_every_memory_is_one_line_and_the_text_has_the_room(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        table = await open_browse(console)
        assert f"{ACTIVE} memories" in console.text
        assert table.count == ACTIVE
        assert "From this morning: Priya is back on" in line_of_cursor(console)
        assert "5 h" in line_of_cursor(console)
        assert console.app.screen.query_one(MemoryCard).display == (size[0] >= 100)


async def test_the_line_says_how_many_replaced_memories_the_list_hides(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        assert f"newest first   {ACTIVE} memories, {MEMORIES - ACTIVE} replaced hidden" in console.text
        await console.press("o")
        await console.until(f"newest first   {MEMORIES} memories")
        assert "hidden" not in console.lines[3]


async def test_another_list_says_that_it_drops_the_selection(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("space", "space", "slash")
        await console.type("type:fact ")
        await console.until("The list has changed: 2 memories are no longer selected.")
    async with open_console(corpus) as console:
        await console.paste("webhook")
        await console.press("enter")
        await console.still()
        await console.press("space")
        await console.until("1 selected")
        await console.press("slash")
        await console.paste(" Rücksendung")
        await console.press("home", *["delete"] * len("webhook "))
        await console.until("The list has changed: 1 memory is no longer selected.")


async def test_the_hint_on_words_goes_with_them_and_spares_a_filter_that_is_typed(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("slash")
        await console.type("retries")
        await console.until("To search for words, go to Search (F2)")
        await console.press(*["backspace"] * len("retries"))
        await console.until("To search for words", gone=True)
        for beginning in ("ty", "type:", 'tag:"two wo'):
            console.app.screen.query_one(FilterBar).set_text(beginning)
            console.app.screen.query_one(FilterBar).ask_now()
            await console.still()
            assert "To search for words" not in console.text, beginning
            assert "applies the filter" not in console.text, beginning
        for filter in ("is:suspended", "-tag:a"):
            console.app.screen.query_one(FilterBar).set_text(filter)
            console.app.screen.query_one(FilterBar).ask_now()
            await console.until(f"enter or space applies the filter {filter}.")
        await console.press("enter")
        await console.until("applies the filter", gone=True)


@pytest.mark.slow
async def test_enter_opens_the_card_as_a_page_and_escape_returns(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        table = await open_browse(console)
        await console.press("j", "j", "enter")
        await console.still()
        assert console.app.screen.has_class("-reading")
        assert "#caching #performance" in console.text
        assert "esc back" in console.lines[-1]
        await console.press("escape")
        assert not console.app.screen.has_class("-reading")
        assert table.cursor == 2
        assert table.has_focus


@pytest.mark.slow
async def test_slash_goes_to_the_line_and_escape_clears(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        table = await open_browse(console)
        await console.press("slash")
        assert console.app.screen.query_one(FilterBar).has_focus_within
        await console.paste("since:-30d domain:auth ")
        await console.until("since -30d")
        await console.still()
        assert console.app.screen.query_one(FilterBar).chips == (Chip("since", "-30d"), Chip("domain", "auth"))
        assert 0 < table.count < ACTIVE
        await console.press("enter", "escape")
        await console.until(f"{ACTIVE} memories")


@pytest.mark.slow
async def test_a_filter_that_leaves_nothing_names_the_ways_out(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await open_browse(console)
        console.app.screen.query_one(FilterBar).focus_input()
        await console.paste("tag:nowhere ")
        await console.until("No memory passes these filters.")
        assert "change the filters" in console.text
        assert "clear the filters" in console.text


@pytest.mark.slow
async def test_sorting_shows_what_it_sorts_by(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        table = await open_browse(console)
        assert "created ▼" in console.text
        await console.press("s")
        await pick(console, "due")
        await console.until("next due first")
        await console.until("due ▲")
        assert "late" in line_of_cursor(console)
        assert table.count == ACTIVE
        last = await console.store.memories.count_last(sort="due")
        assert 0 < last < ACTIVE
        await console.until(f"{last} without a due date last")
        await console.press("G")
        await console.until(lambda: table.current is not None)
        assert "new" in line_of_cursor(console)
        await console.press("s")
        await pick(console, "updated")
        await console.until("updated ▼")
        assert table.count == ACTIVE


@pytest.mark.slow
async def test_a_click_on_the_head_sorts(corpus: Path) -> None:
    async with open_console(corpus, (190, 40)) as console:
        table = await open_browse(console)

        async def click(title: str) -> None:
            [head] = [line for line in console.lines if "memory" in line and "recall" in line]
            [top] = [y for y, line in enumerate(console.lines) if line == head]
            assert table.region.y == top
            await console.pilot.click(MemoryTable, offset=(head.index(title) - table.region.x, 0))

        await click("recall")
        await console.until("lowest recall first")
        await console.until("recall ▲")
        rows = [table.memory_at(index) for index in table.visible_rows]
        now = console.store.now()
        shares = [retrievability(row.scheduling, now) for row in rows if row is not None and row.scheduling is not None]
        assert len(shares) > 10
        assert shares == sorted(share or 0.0 for share in shares)
        await click("type")
        await console.until("by type, newest first")
        await console.until("type ▲")
        await click("created")
        await console.until("newest first")
        await console.until("created ▼")
        await click("created")
        await console.until("oldest first")
        await console.until("created ▲")
        await click("due")
        await console.until("next due first")
        await click("memory")
        await console.press("j")
        await console.still()
        assert "next due first" in console.text


async def test_replaced_memories_come_and_go_with_one_key(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await open_browse(console)
        await console.press("o")
        await console.until(f"{MEMORIES} memories")
        assert "Replaced memories are shown." in console.text
        await console.press("o")
        await console.until(f"{ACTIVE} memories")


@pytest.mark.slow
async def test_a_selection_stays_said_until_it_is_given_up(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        table = await open_browse(console)
        await console.press("space", "space", "v", "j", "v")
        await console.until("4 selected, from")
        await console.press("y")
        await console.until("Sent the texts of 4 memories to the terminal")
        assert "4 selected, from" in console.text
        await console.press("asterisk")
        await console.until(f"{ACTIVE} selected, from 12 domains")
        await console.press("escape")
        await console.until("selected, from", gone=True)
        assert table.selected == ()


@pytest.mark.slow
async def test_bulk_tags_and_bulk_deletes_show_their_rows_and_one_key_takes_each_back(corpus: Path) -> None:
    async with open_console(corpus, (100, 40)) as console:
        table = await open_browse(console)
        await console.press("space", "space", "space", "t")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("+checked -communication")
        await console.press("enter")
        await console.until("Tag 3 memories: +checked -communication?")
        assert "From this morning" in console.text
        await console.press("y")
        await console.until("Tagged 3 memories: +checked -communication")
        ids = [memory.id for memory in table.selected]
        assert all("checked" in memory.tags for memory in await console.store.memories.get_many(ids))
        await console.press("u")
        await console.until("Undid: tag +checked -communication on 3 memories")
        assert not any("checked" in memory.tags for memory in await console.store.memories.get_many(ids))
        await console.press("d")
        await console.until(lambda: isinstance(console.app.screen, Confirm))
        await console.until("Delete 3 memories?")
        assert "From this morning" in console.text
        assert "One merchant's key reached" in console.text
        assert "Also deletes 7 links." in console.text
        await console.press("escape")
        await console.still()
        assert table.count == ACTIVE
        await console.press("d")
        await console.until(lambda: isinstance(console.app.screen, Confirm))
        await console.press("y")
        await console.until("Deleted 3 memories")
        await console.until(f"{ACTIVE - 3} memories")
        assert table.selected == ()
        await console.press("u")
        await console.until("Undid: delete on 3 memories")
        await console.until(f"{ACTIVE} memories")
        assert len(await console.store.memories.get_many(ids)) == 3


@pytest.mark.slow
async def test_link_supersede_and_grade_from_the_list(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        current = table.current
        assert current is not None
        edges = len(await console.store.links.edges(current.id))
        start = f'"{one_line(current.content)[:7]}'
        await console.press("l")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("webhook retry schedule")
        await console.press("enter")
        await pick(console, "")
        await console.until("Type of the link")
        await pick(console, "supports")
        await console.until(f"Linked {start}")
        assert ": supports" in console.text
        assert len(await console.store.links.edges(current.id)) == edges + 1
        await console.press("R")
        await console.until(lambda: isinstance(console.app.screen, Pick))
        await console.until("3 Good")
        await pick(console, "3")
        await console.until(lambda: bool(re.search(rf"Graded {re.escape(start)}.*\" Good: due in", console.text)))
        graded = await console.store.reviews.scheduling(current.id)
        assert graded is not None
        assert graded.reps == 1
        winner = table.memory_at(3)
        assert winner is not None
        await console.press("S")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste(winner.id)
        await console.press("enter")
        await console.until(
            lambda: bool(
                re.search(rf"{re.escape(start)}.*\" is now replaced by \".*\(hidden; o shows it\)", console.text)
            )
        )
        await console.until(f"{ACTIVE - 1} memories")
        assert (await console.store.get(current.id)).superseded_by == winner.id
        await console.press("u")
        await console.until(lambda: bool(re.search(rf"Undid: replace by \".*\" on {re.escape(start)}", console.text)))
        await console.until(f"{ACTIVE} memories")


@pytest.mark.slow
async def test_another_process_writes_and_the_cursor_keeps_its_memory(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        table = await open_browse(console)
        await console.press("pagedown", "pagedown")
        await console.still()
        here, line = table.current, console.lines.index(line_of_cursor(console))
        async with second_handle(corpus) as other:
            for number in range(3):
                await other.insert(Draft(f"Arrived from elsewhere, number {number}"))
        await console.until(f"{ACTIVE + 3} memories")
        await console.still()
        assert table.current == here
        assert console.lines.index(line_of_cursor(console)) == line
        await console.press("g")
        await console.until("Arrived from elsewhere, number 2")


async def test_rows_that_cannot_be_fetched_are_said_and_fetched_later(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(corpus, (60, 20)) as console:
        page = console.store.page

        async def broken(*args: object, **options: object) -> Page[Memory]:
            raise Unavailable("The store cannot be reached; trying again.")

        monkeypatch.setattr(console.store, "page", broken)
        await console.press("f3")
        await console.until("The store cannot be reached; trying again.")
        monkeypatch.setattr(console.store, "page", page)
        await console.press("ctrl+r")
        await console.until("From this morning")


@pytest.mark.slow
async def test_hostile_memories_are_shown_and_obeyed_nowhere(corpus: Path) -> None:
    evil = "zz [/x] [bold]hi[/] [@click=app.quit]y[/] \x1b]52;c;aGk=\x07 \x9b31m \u202ereversed\u200f end"
    async with second_handle(corpus) as other:
        await other.insert(Draft(evil, node_type=evil, tags=(evil,), domains=(evil,), codebase=evil))
    async with open_console(corpus) as console:
        await open_browse(console)
        console.app.screen.query_one(FilterBar).set_chips([Chip("tag", evil), Chip("type", evil)])
        await console.until("1 memory")
        await console.press("space", "d")
        await console.still()
        await console.press("t")
        for line in console.lines:
            assert not [letter for letter in line if ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0]
            assert not {"\u202e", "\u200f"} & set(line)
        assert console.app.is_running


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["vestige-light", "vestige-ansi"])
@pytest.mark.parametrize("colour", [True, False])
async def test_state_and_selection_are_seen_without_colour(
    corpus: Path, theme: str, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    async with open_console(corpus, (60, 20), theme=theme) as console:
        await open_browse(console)
        await console.press("space")
        await console.until("1 selected")
        assert [line for line in console.lines if "■ ○" in line]
        assert [line for line in console.lines if "◐" in line]
        assert line_of_cursor(console).startswith("▌")


@pytest.mark.slow
async def test_what_is_pinned_is_shown_kept_and_cleared(corpus: Path) -> None:
    async with open_console(corpus, (120, 40)) as console:
        table = await open_browse(console)
        memory = table.current
        assert memory is not None
        await console.press("p")
        await console.until('Pinned "')
        await console.until(lambda: table.current is not None and table.current.marks.pinned)
        await console.until("◈ pinned")
        assert "◈" in line_of_cursor(console)
        await console.press("space", "space", "d")
        await console.until("Left out: 1 memory, because it is pinned.")
        await console.press("y")
        await console.until("(1 left out)")
        await console.until(lambda: table.count == ACTIVE - 1)
        assert (await console.store.get(memory.id)).marks.pinned
        await console.press("u")
        await console.until(lambda: table.count == ACTIVE)
        await console.press("g")
        await console.until(lambda: table.current is not None and table.current.id == memory.id)
        await console.store.reviews.suspend(memory.id)
        await console.until("◌ suspended")
        await console.press("X")
        await console.until("Cleared the marks of")
        await console.until("◌ suspended", gone=True)
        await console.press("u")
        await console.until("◌ suspended")
        await console.until(lambda: table.current is not None and table.current.marks.pinned)
        await console.press("p")
        await console.until("Unpinned")
