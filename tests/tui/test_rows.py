"""Lists of memories while the store changes or is slow: the cursor, the selection, and what a key is about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from textual.app import App
from textual.message import Message as TextualMessage
from textual.pilot import Pilot
from textual.widgets import Input

from tests.support.sample_memories import NOW, Source, hits, memory
from tests.support.widget_stage import Stage, open_table, selected_ids, settle
from vestige_tui.core.errors import Busy
from vestige_tui.core.memories import Memory, Page
from vestige_tui.tui.browse.memory_table import PAGE_ROWS, MemoryTable
from vestige_tui.tui.dialogs.modals import Choice, Pick
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.widgets.memory_rows import MemoryRows

Posted = TypeVar("Posted", bound=TextualMessage)

PATIENCE_SECONDS = 10


class Slow(Source):
    """A list read by key, the number of a memory; rows from ``shut_from`` on wait until ``open``."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.shut_from: int | None = None
        self.broken = False
        self.tags: tuple[str, ...] | None = None
        self._waits = asyncio.Event()
        self._open = asyncio.Event()

    def shut(self, offset: int = 0) -> None:
        self.shut_from = offset
        self._waits.clear()
        self._open.clear()

    def open(self) -> None:
        self.shut_from = None
        self._open.set()

    async def somebody_waits(self) -> None:
        """Return when rows were asked for that do not come yet."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._waits.wait()

    async def fetch(self, offset: int, limit: int, after: str | None) -> Page[Memory]:
        if self.shut_from is not None and offset >= self.shut_from:
            self._waits.set()
            await self._open.wait()
        if self.broken:
            raise Busy
        if after is not None:
            number = int(after, 16)
            offset = 1 + (number + self.added if number < self.count else number - self.count)
        page = await super().fetch(offset, limit, after)
        items = page.items if self.tags is None else [replace(item, tags=self.tags) for item in page.items]
        return Page(tuple(items), items[-1].id[:8] if page.next is not None else None)


def posted(pilot: Pilot[None], kind: type[Posted]) -> list[Posted]:
    """Return what was posted of one kind, oldest first."""
    assert isinstance(pilot.app, Stage)
    return [event for event in pilot.app.posted if isinstance(event, kind)]


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Return when this became true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():
            await pilot.pause()


# ── the cursor ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("keys", "row"), [(("j", "j", "j"), 3), (("pagedown",) * 3, 117), (("pagedown", "pagedown", "pagedown", "g"), 0)]
)
async def test_moves_made_while_rows_are_read_again_stay_made(keys: tuple[str, ...], row: int) -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        source.added = 7
        source.shut()
        table.reload(source.total)
        await source.somebody_waits()
        await pilot.press(*keys)
        assert table.current == memory(row)
        source.open()
        await settle(pilot)
        assert table.current == memory(row)
        assert table.cursor == row + 7
        assert table.cursor in table.visible_rows


async def test_a_move_onto_rows_that_were_never_read_stays_made() -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        source.shut()
        table.reload(source.total)
        await source.somebody_waits()
        await pilot.press("G")
        source.open()
        await settle(pilot)
        assert table.current == memory(699)


async def test_enter_and_space_on_rows_that_are_still_read_say_so_and_do_nothing() -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        source.shut()
        await pilot.press("G", "enter")
        assert len(posted(pilot, MemoryTable.NotHere)) == 1
        await pilot.press("space")
        assert len(posted(pilot, MemoryTable.NotHere)) == 2
        assert (table.cursor, selected_ids(table)) == (699, [])
        assert posted(pilot, MemoryTable.MemoryChosen) == []
        source.open()
        await settle(pilot)
        await pilot.press("space", "enter")
        assert selected_ids(table) == [memory(699).id]
        assert [event.memory for event in posted(pilot, MemoryTable.MemoryChosen)] == [memory(699)]
        assert len(posted(pilot, MemoryTable.NotHere)) == 2


@pytest.mark.parametrize("key", ["enter", "space"])
async def test_a_key_on_rows_that_could_not_be_read_has_them_read_again(key: str) -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        source.broken = True
        await pilot.press("G")
        await settle(pilot)
        assert len(posted(pilot, MemoryTable.Failed)) == 1
        source.broken = False
        await pilot.press(key)
        await settle(pilot)
        assert len(posted(pilot, MemoryTable.NotHere)) == 1
        assert table.current == memory(699)
        assert selected_ids(table) == []


# ── the selection ───────────────────────────────────────────────────────────────────────────────────────────────────


async def select_all_slowly(source: Slow, pilot: Pilot[None]) -> None:
    """Press the key for all and return while rows behind the first two pages are awaited."""
    source.shut(2 * PAGE_ROWS)
    await pilot.press("asterisk")
    await source.somebody_waits()


async def test_a_selection_is_there_whole_or_not_at_all() -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        selecting = [table.selecting]
        await select_all_slowly(source, pilot)
        selecting.append(table.selecting)
        assert selected_ids(table) == []
        source.open()
        await settle(pilot)
        selecting.append(table.selecting)
        assert selecting == [False, True, False]
        assert selected_ids(table) == [memory(index).id for index in range(700)]
        assert [len(event.memories) for event in posted(pilot, MemoryRows.SelectionChanged)] == [700]


async def test_escape_gives_up_a_selection_whose_rows_are_still_read() -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        await select_all_slowly(source, pilot)
        await pilot.press("escape")
        assert not table.selecting
        source.open()
        await settle(pilot)
        assert selected_ids(table) == []


async def test_other_rows_are_never_selected_by_what_was_asked_of_those_before() -> None:
    source, other = Slow(700), Source(250)
    async with open_table(source) as (table, pilot):
        await select_all_slowly(source, pilot)
        table.set_source(other.total, other.fetch)
        assert not table.selecting
        source.open()
        await settle(pilot)
        assert selected_ids(table) == []


async def test_a_page_that_fails_leaves_the_selection_as_it_was() -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        await pilot.press("j", "space")
        await select_all_slowly(source, pilot)
        source.broken = True
        source.open()
        await settle(pilot)
        assert not table.selecting
        assert selected_ids(table) == [memory(1).id]
        assert [type(event.error) for event in posted(pilot, MemoryTable.Failed)] == [Busy]


@pytest.mark.parametrize("key", ["space", "v"])
async def test_nothing_is_put_in_or_out_of_a_selection_while_it_is_made(key: str) -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        await pilot.press("space", "k")
        await select_all_slowly(source, pilot)
        await pilot.press(key)
        assert len(posted(pilot, MemoryTable.NotHere)) == 1
        assert selected_ids(table) == [memory(0).id]
        assert not table.range_open
        source.open()
        await settle(pilot)
        assert len(table.selected) == 700


async def test_rows_that_arrive_above_while_all_are_selected_move_neither_list_nor_selection() -> None:
    source = Slow(700)
    async with open_table(source) as (table, pilot):
        await select_all_slowly(source, pilot)
        source.added = 7
        table.reload(source.total)
        await until(pilot, lambda: table.count == source.total)
        source.open()
        await settle(pilot)
        assert sorted(selected_ids(table)) == [memory(index).id for index in range(700)]
        # From the end: each page is jumped to, by what is known of where it begins.
        for index in range(source.total - 1, 0, -50):
            table.move_to(index)
            await settle(pilot)
            assert table.current == memory(index - 7 if index >= 7 else 700 + index)


async def test_what_is_selected_is_what_was_last_read_of_it() -> None:
    source = Slow(250)
    async with open_table(source) as (table, pilot):
        await pilot.press("space", "space")
        source.tags = ("zzz",)
        table.reload(source.total)
        await settle(pilot)
        assert selected_ids(table) == [memory(0).id, memory(1).id]
        assert [item.tags for item in table.selected] == [("zzz",)] * 2
        last = posted(pilot, MemoryRows.SelectionChanged)[-1]
        assert last.memories == table.selected
        told = len(posted(pilot, MemoryRows.SelectionChanged))
        table.reload(source.total)
        await settle(pilot)
        assert len(posted(pilot, MemoryRows.SelectionChanged)) == told


async def test_rows_that_change_while_all_are_selected_are_selected_as_they_are_now() -> None:
    source = Slow(300)
    async with open_table(source) as (table, pilot):
        await select_all_slowly(source, pilot)
        source.tags = ("zzz",)
        table.reload(source.total)
        await until(pilot, lambda: table.current is not None and table.current.tags == ("zzz",))
        source.open()
        await settle(pilot)
        assert len(table.selected) == 300
        assert table.selected[0].tags == ("zzz",)


async def test_selected_hits_are_renewed_by_the_next_answer() -> None:
    hit_list = HitList(clock=lambda: NOW)
    async with Stage(hit_list).run_test(size=(100, 20)) as pilot:
        hit_list.show(hits())
        await pilot.pause()
        await pilot.press("space", "space")
        renewed = [replace(hit, memory=replace(hit.memory, tags=("zzz",))) for hit in hits()]
        hit_list.show(renewed, keep_cursor=True)
        await pilot.pause()
        assert [item.tags for item in hit_list.selected] == [("zzz",)] * 2
        assert posted(pilot, MemoryRows.SelectionChanged)[-1].memories == hit_list.selected
        hit_list.show(renewed[1:], keep_cursor=True)
        await pilot.pause()
        assert hit_list.selected == (renewed[1].memory,)
        assert posted(pilot, MemoryRows.SelectionChanged)[-1].memories == hit_list.selected


async def test_single_memories_are_taken_out_of_a_selection() -> None:
    async with open_table(Source(50)) as (table, pilot):
        await pilot.press("space", "space", "space")
        table.deselect([memory(1).id, memory(40).id])
        await pilot.pause()
        assert selected_ids(table) == [memory(0).id, memory(2).id]
        messages = posted(pilot, MemoryRows.SelectionChanged)
        assert messages[-1].memories == table.selected
        table.deselect([memory(1).id])
        await pilot.pause()
        assert posted(pilot, MemoryRows.SelectionChanged) == messages


# ── a list to pick from ─────────────────────────────────────────────────────────────────────────────────────────────

GRADES = ("1 Again   in 10 min", "2 Hard    in 3 d", "3 Good    in 4 d", "4 Easy    in 1 d")


async def picked(act: Callable[[Pilot[None], Pick], object], keys: tuple[str, ...]) -> str | None:
    """Return what a list of grades answers to keys, after ``act`` was done to it as soon as it stood there."""
    answers: list[str | None] = []
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = Pick("Grade", [Choice(label[0], label) for label in GRADES])
        await app.push_screen(dialog, answers.append)
        act(pilot, dialog)
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
    assert len(answers) == 1
    return answers[0]


@pytest.mark.parametrize("digit", ["1", "2", "3", "4"])
async def test_a_digit_picks_the_line_that_begins_with_it(digit: str) -> None:
    assert await picked(lambda _, __: None, (digit, "enter")) == digit


async def test_what_only_holds_what_was_typed_can_still_be_picked_behind_it() -> None:
    assert await picked(lambda _, __: None, ("3", "down", "enter")) == "2"


async def test_what_was_typed_before_the_list_was_drawn_counts() -> None:
    def type_at_once(_: Pilot[None], dialog: Pick) -> None:
        dialog.query_one(Input).value = "4 e"

    assert await picked(type_at_once, ("enter",)) == "4"


async def test_enter_before_the_list_was_drawn_picks_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pick, "_narrow", lambda _: None)
    assert await picked(lambda _, __: None, ("enter",)) == "1"
