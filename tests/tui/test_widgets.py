"""The widgets under keys, sizes and hostile text: what is seen, what is fetched, what is posted."""

from __future__ import annotations

import pkgutil
import time
from collections import Counter
from dataclasses import replace
from importlib import import_module

import pytest
from rich.cells import cell_len
from textual.app import App
from textual.geometry import Size
from textual.widgets import Static

from tests.support.gallery import Gallery, detail, example
from tests.support.pictures import screen_lines
from tests.support.sample_memories import NOW, Source, hits, memory
from tests.support.widget_stage import Stage, open_table, selected_ids, settle
from vestige_tui.core.errors import Busy
from vestige_tui.core.filter_syntax import Chip, split_chips
from vestige_tui.core.links import Lineage
from vestige_tui.core.memories import Memory, Page
from vestige_tui.core.reviews import Review, Scheduling
from vestige_tui.core.search import Hit
from vestige_tui.tui import commands
from vestige_tui.tui.browse.memory_table import PAGE_ROWS, PAGES_HELD, MemoryTable
from vestige_tui.tui.commands.catalogue import IN_PLACE, catalogue
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import EVERYWHERE
from vestige_tui.tui.commands.lists import MOTIONS, SELECTING, ChooseRow
from vestige_tui.tui.dialogs.help import HelpScreen
from vestige_tui.tui.dialogs.modals import Confirm, Message, Pick
from vestige_tui.tui.filters.bar import AskInput, FilterBar
from vestige_tui.tui.jobs.job_progress import COMPARED, JobProgressPanel, JobProgressView, RowCounts, TableBar
from vestige_tui.tui.place import Place
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.themes import THEMES
from vestige_tui.tui.widgets.glyphs import level
from vestige_tui.tui.widgets.lineage import tree
from vestige_tui.tui.widgets.memory_card import SHOWN_CHARACTERS, MemoryCard
from vestige_tui.tui.widgets.memory_detail import MemoryDetail
from vestige_tui.tui.widgets.retention_plot import Retention, RetentionPlot, column
from vestige_tui.tui.widgets.stacked_bar import shares

HOSTILE = "[/foo] [bold]x[/] [@click=app.quit]y \x1b[2Jgone \x9b31m \u202eesrever \x00 \x07 \ud800 \u200fend"
MILLION = 1_000_000


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_million_rows_cost_two_pages_to_show() -> None:
    source = Source(MILLION)
    async with open_table(source) as (table, pilot):
        assert [asked[0] for asked in source.asked] == [0, PAGE_ROWS]
        shown = screen_lines(pilot.app)
        assert "created ▼" in shown[0]
        assert "Signing keys rotate" in shown[1]
        assert table.count == MILLION


async def test_scrolling_on_goes_by_key_and_only_a_jump_by_offset() -> None:
    source = Source(MILLION)
    async with open_table(source) as (table, pilot):
        for _ in range(12):
            await pilot.press("pagedown")
            await settle(pilot)
        walked = source.asked[1:]
        assert walked
        assert all(after == str(offset) for offset, _, after in walked)
        source.asked.clear()
        await pilot.press("G")
        await settle(pilot)
        assert source.asked == [(MILLION - PAGE_ROWS, PAGE_ROWS, None)]
        assert table.cursor == MILLION - 1
        assert table.current == memory(MILLION - 1)


@pytest.mark.slow
async def test_pages_that_were_seen_are_not_asked_for_again_until_they_fall_out() -> None:
    source = Source(MILLION)
    async with open_table(source) as (table, pilot):
        for index in range(0, (PAGES_HELD + 10) * PAGE_ROWS, PAGE_ROWS):
            table.move_to(index)
            await settle(pilot)
        assert max(Counter(asked[0] for asked in source.asked).values()) == 1
        assert len(table._pages) <= PAGES_HELD
        source.asked.clear()
        await pilot.press("g")
        await settle(pilot)
        assert source.asked[0] == (0, PAGE_ROWS, None)


async def test_what_is_not_here_yet_is_a_dot_then_fills_in() -> None:
    source = Source(MILLION)
    async with open_table(source) as (table, pilot):
        table.move_to(500_000)
        assert table.current is None
        assert {piece[0].strip() for piece in table.draw_row(500_000, 0, 110)} <= {"·", ""}
        await settle(pilot)
        assert table.current == memory(500_000)


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        (("j", "j", "k"), 1),
        (("down", "down", "down", "up"), 2),
        (("G",), MILLION - 1),
        (("end", "home"), 0),
        (("G", "g"), 0),
        (("ctrl+d",), 19),
        (("ctrl+d", "ctrl+d", "ctrl+u"), 19),
        (("pagedown",), 39),
        (("pagedown", "pageup"), 0),
        (("k",), 0),
    ],
)
async def test_motions(keys: tuple[str, ...], row: int) -> None:
    async with open_table(Source(MILLION)) as (table, pilot):
        await pilot.press(*keys)
        await settle(pilot)
        assert table.cursor == row
        assert row in table.visible_rows
        assert any(line.startswith("▌") for line in screen_lines(pilot.app))


async def test_enter_and_double_click_open_and_every_new_memory_is_told_once() -> None:
    async with open_table(Source(50)) as (table, pilot):
        app = pilot.app
        assert isinstance(app, Stage)
        await pilot.press("j", "enter")
        await pilot.click(table, offset=(20, 6))
        await pilot.pause()
        assert table.cursor == 5
        await pilot.click(table, offset=(20, 6), times=2)
        await pilot.pause()
        told = [event.memory for event in app.posted if isinstance(event, MemoryTable.MemoryHighlighted)]
        opened = [event.memory.id for event in app.posted if isinstance(event, MemoryTable.MemoryChosen)]
        assert told == [memory(0), memory(1), memory(5)]
        assert opened[0] == memory(1).id
        assert opened[-1] == memory(5).id


async def test_the_cursor_keeps_its_memory_and_its_line_when_rows_arrive_above() -> None:
    source = Source(MILLION)
    async with open_table(source) as (table, pilot):
        table.move_to(5_030)
        await settle(pilot)
        line = next(number for number, text in enumerate(screen_lines(pilot.app)) if text.startswith("▌"))
        source.added = 7
        table.reload(source.total)
        await settle(pilot)
        assert table.count == MILLION + 7
        assert table.cursor == 5_037
        assert table.current == memory(5_030)
        assert screen_lines(pilot.app)[line].startswith("▌")


async def test_a_list_that_became_shorter_keeps_the_cursor_inside() -> None:
    source = Source(300)
    async with open_table(source) as (table, pilot):
        await pilot.press("G")
        source.count = 20
        table.reload(20)
        await settle(pilot)
        assert table.cursor == 19
        assert table.current == memory(19)
        source.count = 0
        table.reload(0)
        await settle(pilot)
        assert table.current is None


async def test_a_failing_source_leaves_the_table_alive() -> None:
    source = Source(300)
    async with open_table(source) as (table, pilot):

        async def broken(offset: int, limit: int, after: str | None) -> Page[Memory]:
            raise Busy

        table.set_source(300, broken)
        await pilot.pause(0.05)
        table.set_source(300, source.fetch)
        await settle(pilot)
        assert table.current == memory(0)


async def test_space_range_all_and_escape() -> None:
    async with open_table(Source(250)) as (table, pilot):
        app = pilot.app
        assert isinstance(app, Stage)
        await pilot.press("space", "space")
        assert selected_ids(table) == [memory(0).id, memory(1).id]
        assert table.cursor == 2
        assert screen_lines(pilot.app)[1].startswith("▏ ■")
        await pilot.press("escape")
        assert selected_ids(table) == []
        await pilot.press("v", "j", "j")
        assert table.range_open
        assert table.is_selected(4)
        await pilot.press("v")
        await settle(pilot)
        assert selected_ids(table) == [memory(index).id for index in (2, 3, 4)]
        await pilot.press("asterisk")
        await settle(pilot)
        assert len(table.selected) == 250
        last = [event for event in app.posted if isinstance(event, MemoryTable.SelectionChanged)][-1]
        assert len(last.ids) == 250
        assert not last.cut


async def test_selecting_all_of_a_million_reads_no_row_and_says_so() -> None:
    async with open_table(Source(MILLION)) as (_, pilot):
        app = pilot.app
        assert isinstance(app, Stage)
        await pilot.press("asterisk")
        await settle(pilot)
        last = [event for event in app.posted if isinstance(event, MemoryTable.SelectionChanged)][-1]
        assert (last.memories, last.cut, last.everything) == ((), False, MILLION)
        table = app.query_one(MemoryTable)
        assert table.everything
        assert table.is_selected(MILLION - 1)
        assert table.chosen_or_current == ()
        await pilot.press("space", "v", "escape")
        await settle(pilot)
        assert not table.is_selected(MILLION - 1)
        assert not table.is_selected(0)


@pytest.mark.parametrize("size", [(120, 40), (99, 30), (80, 24), (69, 24), (60, 20), (30, 10)])
async def test_every_row_fits_its_width_and_columns_fold(size: tuple[int, int]) -> None:
    async with open_table(Source(MILLION), size) as (table, pilot):
        head = screen_lines(pilot.app)[0]
        assert ("tags" in head) == (size[0] >= 100)
        assert ("type" in head) == (size[0] >= 70)
        assert ("due" in head) == (size[0] >= 99)
        for y in range(size[1]):
            assert table.render_line(y).cell_length == table.scrollable_content_region.width
        ends = {cell_len(line.rstrip()) for line in screen_lines(pilot.app)[1:] if line.strip()}
        assert max(ends) <= size[0]


async def test_columns_stand_still_whatever_the_text_is() -> None:
    async with open_table(Source(40)) as (table, _):
        where = set()
        for y in range(1, 20):
            text = table.render_line(y).text
            before = text[: text.rindex("  ") + 2] if text.rstrip().endswith(("late", "new", "now", "─")) else text
            where.add(cell_len(before) <= 120)
            assert cell_len(text) == table.scrollable_content_region.width
        assert where == {True}


async def test_first_paint_of_a_million_rows_is_quick() -> None:
    async with open_table(Source(10)) as (table, pilot):
        source = Source(MILLION)
        started = time.process_time()
        table.set_source(source.total, source.fetch)
        for y in range(table.size.height):
            table.render_line(y)
        assert time.process_time() - started < 0.5
        await settle(pilot)


# ── hostile text ────────────────────────────────────────────────────────────────────────────────────────────────────


def unclean(text: str) -> list[str]:
    """Return the characters of a strip that a terminal would obey rather than show."""
    return [
        character
        for character in text
        if ord(character) < 32
        or 0x7F <= ord(character) < 0xA0
        or 0xD800 <= ord(character) < 0xE000
        or 0x202A <= ord(character) <= 0x202E
        or character == "\u200f"
    ]


def hostile(index: int) -> Memory:
    return replace(
        memory(index, f"{HOSTILE}\n\n# {HOSTILE}\n\n[link](javascript:alert(1)) `{HOSTILE}`"),
        node_type=HOSTILE,
        tags=(HOSTILE,),
        domains=(HOSTILE,),
        codebase=HOSTILE,
        visibility=HOSTILE,
        metadata={HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}},
    )


def assert_clean(app: App[None]) -> None:
    for line in screen_lines(app):
        assert unclean(line) == []


async def test_hostile_text_in_lists() -> None:
    async def fetch(offset: int, limit: int, after: str | None) -> Page[Memory]:
        return Page(tuple(hostile(index) for index in range(offset, min(offset + limit, 30))))

    async with open_table(Source(0)) as (table, pilot):
        table.set_source(30, fetch)
        await settle(pilot)
        assert "[/foo] [bold]x[/]" in screen_lines(pilot.app)[1]
        assert_clean(pilot.app)
    hit_list = HitList(clock=lambda: NOW)
    async with Stage(hit_list).run_test(size=(120, 30)) as pilot:
        hit_list.show([Hit(hostile(index), 0.1, text_rank=1) for index in range(5)])
        await pilot.pause()
        assert "[/foo] [bold]x[/]" in screen_lines(pilot.app)[0]
        assert_clean(pilot.app)


@pytest.mark.parametrize("raw", [False, True])
async def test_hostile_text_in_the_card(raw: bool) -> None:
    card = MemoryCard(clock=lambda: NOW)
    async with Stage(card).run_test(size=(100, 120)) as pilot:
        shown = detail()
        evil = hostile(0)
        await card.show(
            replace(
                shown,
                memory=evil,
                neighbors=tuple(replace(item, memory=hostile(9)) for item in shown.neighbors),
                edges=tuple(replace(item, edge_type=HOSTILE) for item in shown.edges),
                lineage=Lineage(evil, (Lineage(hostile(3)),)),
            )
        )
        if raw:
            await pilot.press("r")
        await pilot.pause()
        text = "\n".join(screen_lines(pilot.app))
        assert "[/foo] [bold]x[/]" in text
        assert "javascript" in text if raw else "link" in text
        assert_clean(pilot.app)
        await pilot.click(card, offset=(8, 8))
        assert pilot.app.is_running


@pytest.mark.parametrize(
    "content",
    [
        "> " * 5_000,
        "- " * 5_000,
        "[" * 8_000,
        "`" * 9_999,
        "|a" * 3_000 + "\n" + "|-" * 3_000 + "\n",
        "*_" * 6_000,
        "![x](http://192.0.2.1/a.png)",
        "<script>alert(1)</script>",
        "- a\n" * 5_000,
        "",
    ],
    ids=["quotes", "bullets", "brackets", "ticks", "table", "emphasis", "image", "html", "items", "nothing"],
)
async def test_markdown_that_wants_to_hurt(content: str) -> None:
    card = MemoryCard(clock=lambda: NOW)
    async with Stage(card).run_test(size=(80, 24)) as pilot:
        started = time.process_time()
        await card.show(MemoryDetail(memory(0, content)))
        await pilot.pause()
        assert time.process_time() - started < 3
        assert card.detail is not None


async def test_a_huge_memory_is_cut_until_asked_for() -> None:
    card = MemoryCard(clock=lambda: NOW)
    async with Stage(card).run_test(size=(80, 24)) as pilot:
        await card.show(MemoryDetail(memory(0, "word " * 20_000)))
        await pilot.pause()
        assert card.has_class("-cut")
        assert "The first 20,000 of 100,000" in str(card.query_one("#card-cut", Static).content)
        assert SHOWN_CHARACTERS < 100_000
        await pilot.press("w")
        await pilot.pause()
        assert "The first" not in str(card.query_one("#card-cut", Static).content)
        await card.show(MemoryDetail(memory(1)))
        await pilot.pause()
        assert not card.has_class("-raw")
        assert not card.has_class("-cut")


async def test_hostile_text_in_dialogs_and_lines() -> None:
    async with Gallery().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        place = app.screen
        assert isinstance(place, Place)
        place.say(HOSTILE)
        await pilot.pause()
        assert_clean(app)
        for dialog in (Confirm(HOSTILE, [HOSTILE], notes=[HOSTILE]), Message(HOSTILE, HOSTILE)):
            app.push_screen(dialog)
            await pilot.pause()
            assert "[/foo]" in "\n".join(screen_lines(app))
            assert_clean(app)
            await pilot.press("escape")


# ── the other widgets ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_hits_say_why_they_stand_where_they_do() -> None:
    hit_list = HitList(clock=lambda: NOW)
    async with Stage(hit_list).run_test(size=(100, 20)) as pilot:
        hit_list.show(hits())
        await pilot.pause()
        shown = screen_lines(pilot.app)
        assert "1 " in shown[0]
        assert "text #1" in shown[1]
        assert "vector #3" in shown[1]
        assert "vector ─" in shown[5]
        hit_list.show([replace(hit, vector_rank=None) for hit in hits() if hit.text_rank is not None])
        await pilot.pause()
        assert not any("vector" in line for line in screen_lines(pilot.app)), "a branch that ranks none of the hits"
        hit_list.show(hits())
        await pilot.press("j", "j")
        assert hit_list.current == hits()[2]
        hit_list.show(hits()[1:], keep_cursor=True)
        assert hit_list.current == hits()[2]
        hit_list.show(hits())
        assert hit_list.cursor == 0


@pytest.mark.parametrize(("width", "shown"), [(60, "Type a filter, such as type:decision"), (30, "Type a filter")])
async def test_an_example_in_the_filter_line_is_whole_or_left_out(width: int, shown: str) -> None:
    bar = FilterBar("Type a filter, such as type:decision")
    async with Stage(bar).run_test(size=(width, 10)) as pilot:
        await settle(pilot)
        assert screen_lines(pilot.app)[0].strip("▌▎ ").rstrip() == shown


@pytest.mark.slow
async def test_typing_asks_once_it_settles_and_fields_become_chips() -> None:
    bar = FilterBar()
    app = Stage(bar)
    async with app.run_test(size=(80, 10)) as pilot:
        bar.focus_input()
        for letter in "keys":
            bar.query_one(AskInput).insert_text_at_cursor(letter)
        await pilot.pause(0.3)
        await pilot.press(*" type:note ")
        await pilot.pause(0.3)
        asked = [(event.text, event.chips) for event in app.posted if isinstance(event, FilterBar.Asked)]
        # On a busy machine the typing itself may pause for long enough.
        assert (asked[0], asked[-1]) == (("keys", ()), ("keys", (Chip("type", "note"),)))
        assert len(asked) < len("keys type:note ")
        assert "type note" in "\n".join(screen_lines(app))
        await pilot.press("home", "backspace")
        await pilot.pause(0.3)
        assert bar.chips == ()


@pytest.mark.parametrize(
    ("typed", "words", "chips"),
    [
        ("plain words", "plain words", ()),
        ("tag:a", "tag:a", ()),
        ("x tag:a y", "x y", (Chip("tag", "a"),)),
        ('domain:"two words" ', " ", (Chip("domain", "two words"),)),
        ("http://x y", "http://x y", ()),
        ("tag: a", "tag: a", ()),
    ],
)
def test_chips_in_what_was_typed(typed: str, words: str, chips: tuple[Chip, ...]) -> None:
    found = split_chips(typed)
    assert (found[0].strip(), found[1]) == (words.strip(), chips)


def test_bars_are_neither_full_nor_empty_too_soon() -> None:
    assert [len(level(value, 5)[0]) for value in (0, 0.001, 0.5, 0.999, 1)] == [0, 1, 2, 4, 5]
    assert shares([99_990, 9, 1], 20) == [18, 1, 1]
    assert sum(shares([1, 1, 1], 20)) == 20
    assert column(0.5, 2) == [" ", "█"]


def test_the_curve_falls_and_rises_with_each_review() -> None:
    shown = detail()
    curve = Retention.of(shown.memory, shown.reviews, NOW)
    assert curve is not None
    for review in shown.reviews:
        assert curve.recall(review.at) == pytest.approx(1.0)
    now = curve.recall(NOW)
    assert now is not None
    assert 0.5 < now < 1
    assert Retention.of(memory(4), (), NOW) is None
    undone = (*shown.reviews, Review(9, "x", NOW, 0, Scheduling(), Scheduling(), undoes=shown.reviews[1].id))
    without = Retention.of(shown.memory, undone, NOW)
    assert without is not None
    assert without.forgotten == ()


@pytest.mark.parametrize(("is_past", "mark"), [(False, "now"), (True, f"{NOW:%Y-%m-%d}")])
def test_the_curve_names_the_moment_that_it_is_of(is_past: bool, mark: str) -> None:
    shown = detail()
    plot = RetentionPlot()
    curve = Retention.of(shown.memory, shown.reviews, NOW, is_past=is_past)
    assert curve is not None
    for width in (30, 60, 100):
        *_, marks, moments = ["".join(text for text, _ in line) for line in plot._lines(curve, Size(width, 7))]
        assert mark in moments
        assert ("now" in moments) is not is_past
        assert len(moments) <= width
        assert abs(moments.index(mark) + len(mark) // 2 - marks.index("│")) <= max(1, len(mark) // 2)


def test_lineage_is_a_tree() -> None:
    family = Lineage(memory(0), (Lineage(memory(1), (Lineage(memory(2)),)), Lineage(memory(3))))
    assert [stem for stem, _ in tree(family)] == ["", "├─ ", "│  └─ ", "└─ "]


# ── commands and places ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_command_is_whole_and_has_an_id_of_its_own() -> None:
    known = catalogue()
    assert len(known) > 50
    for id, command in known.items():
        assert command.id == id
        assert command.help.endswith(".")
        assert command.label
        assert command.group
        assert command.action
    declared = [
        value
        for module in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}.")
        for value in vars(import_module(module.name)).values()
        if isinstance(value, type) and issubclass(value, Command) and "id" in value.__dict__
        if value.__module__ == module.name
    ]
    assert len(declared) == len(known)


@pytest.mark.parametrize("place", sorted(IN_PLACE))
def test_a_key_means_one_thing_in_a_place(place: str) -> None:
    here: tuple[type[Command], ...] = (*EVERYWHERE, *IN_PLACE[place])
    keys = Counter(key for command in here for key in command.key.split(","))
    assert [key for key, times in keys.items() if times > 1] == []
    rows: tuple[type[Command], ...] = (ChooseRow, *MOTIONS, *SELECTING)
    listed = Counter(key for command in rows for key in command.key.split(","))
    assert [key for key, times in listed.items() if times > 1] == []
    if place in ("search", "browse"):
        shadowed = {key for key in keys if key in listed}
        assert shadowed == {"escape"}


@pytest.mark.slow
async def test_every_place_shows_frame_and_keys_in_every_size() -> None:
    for size in ((120, 40), (80, 24), (60, 20)):
        async with Gallery().run_test(size=size) as pilot:
            for number, place in enumerate(Gallery.MODES):
                await pilot.press(f"f{number + 2}")
                await pilot.pause()
                shown = screen_lines(pilot.app)
                assert pilot.app.screen.id == place
                assert "● live" in shown[0] or shown[0].endswith("●")
                assert place.capitalize() in shown[1]
                assert "? help" in shown[-1]
                assert shown[-1].endswith("commands") or size[0] < 70


async def test_brackets_step_and_hidden_places_rest() -> None:
    async with Gallery().run_test(size=(80, 24)) as pilot:
        await pilot.press("f7", "left_square_bracket")
        await pilot.pause()
        assert pilot.app.screen.id == "registry"
        await pilot.press("right_square_bracket", "right_square_bracket")
        await pilot.pause()
        place = pilot.app.screen
        assert place.id == "search"
        assert isinstance(place, Place)
        ticks: list[int] = []
        place.every(0.02, lambda: ticks.append(1))
        for _ in range(100):
            await pilot.pause(0.02)
            if ticks:
                break
        assert ticks
        await pilot.press("f7")
        await pilot.pause(0.05)
        ticks.clear()
        await pilot.pause(0.1)
        assert ticks == []


@pytest.mark.slow
async def test_a_failed_worker_becomes_a_sentence_without_traceback_or_password() -> None:
    async with Gallery().run_test(size=(80, 24)) as pilot:
        await pilot.press("f6")
        place = pilot.app.screen
        assert isinstance(place, Place)

        async def busy() -> None:
            raise Busy

        async def broken() -> None:
            raise RuntimeError("password=hunter2 was wrong")

        place.run_worker(busy(), exit_on_error=False)
        await pilot.pause(0.1)
        assert "The store is busy; try again." in "\n".join(screen_lines(pilot.app))
        place.run_worker(broken(), exit_on_error=False)
        await pilot.pause(0.1)
        assert "Unexpected error; nothing was lost." in "\n".join(screen_lines(pilot.app))
        await pilot.press("exclamation_mark")
        await pilot.pause()
        shown = "\n".join(screen_lines(pilot.app))
        assert "RuntimeError" in shown
        assert "hunter2" not in shown
        assert "Traceback" not in shown


async def test_help_matches_the_live_keys_and_follows_the_keymap() -> None:
    app = Gallery()
    async with app.run_test(size=(100, 80)) as pilot:
        app.set_keymap({"memory.copy": "ctrl+y"})
        await pilot.press("f3", "question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        shown = "\n".join(screen_lines(app))
        assert "ctrl+y" in shown
        assert "Copy the text of the memory" in shown
        assert "Grade" not in shown.split("Screens")[0] or "Grade this memory now" in shown
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.id == "browse"


@pytest.mark.slow
async def test_escape_leaves_every_dialog() -> None:
    async with Gallery().run_test(size=(60, 20)) as pilot:
        for name, dialog in example().items():
            answers: list[object] = []
            pilot.app.push_screen(dialog, answers.append)
            await pilot.pause()
            assert pilot.app.screen is dialog
            await pilot.press("escape")
            await pilot.pause()
            assert answers == [False if name == "confirm" else None]


async def test_confirm_shows_its_rows_and_only_y_agrees() -> None:
    async with Gallery().run_test(size=(80, 24)) as pilot:
        answers: list[bool | None] = []
        for key, expected in (("y", True), ("n", False)):
            pilot.app.push_screen(Confirm("Delete 1 memory?", ["the row"]), answers.append)
            await pilot.pause()
            assert "the row" in "\n".join(screen_lines(pilot.app))
            await pilot.press("enter")
            await pilot.press(key)
            await pilot.pause()
            assert answers[-1] is expected


@pytest.mark.slow
async def test_pick_narrows_and_answers() -> None:
    async with Gallery().run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        for keys in (("p", "enter"), ("p", "down", "enter")):
            dialog = example()["pick"]
            assert isinstance(dialog, Pick)
            pilot.app.push_screen(dialog, answers.append)
            # Its rows come after its first layout.
            while "1,204" not in "\n".join(screen_lines(pilot.app)):
                await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
        assert answers == ["people", "ops"]


@pytest.mark.slow
async def test_the_palette_lists_what_is_live_and_survives_brackets() -> None:
    async with Gallery().run_test(size=(100, 40)) as pilot:
        await pilot.press("f4", "ctrl+p")
        for _ in range(800):
            await pilot.pause(0.05)
            if "Suspend" in "\n".join(screen_lines(pilot.app)):
                break
        assert "Suspend" in "\n".join(screen_lines(pilot.app))
        await pilot.press("left_square_bracket", "slash", "b")
        await pilot.pause(0.3)
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.screen.id == "review"


@pytest.mark.slow
@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
@pytest.mark.parametrize("colour", [True, False])
async def test_every_theme_with_and_without_colour(theme: str, colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    app = Gallery(theme)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3", "j")
        await pilot.pause(0.1)
        assert sum(line.startswith("▌") for line in screen_lines(app)) == 1
        assert "◐" in "\n".join(screen_lines(app))


@pytest.mark.parametrize("width", [44, 52, 57, 60, 80])
async def test_the_tables_of_a_job_keep_to_one_line_each(width: int) -> None:
    counts = RowCounts(374, 374, 0, 0, 2)
    tables = tuple(TableBar(name, 374, 374, rows=counts) for name in ("memories", "supersession"))
    bars = JobProgressPanel()
    app = Stage(bars)
    async with app.run_test(size=(width, 12)) as pilot:
        bars.progress = JobProgressView("", "", tables, running=False)
        await pilot.pause()
        shown = [line.rstrip() for line in screen_lines(app) if line.strip()]
    [first] = [line for line in shown if line.startswith("memories")]
    assert shown[shown.index(first) + 1].startswith("supersession")
    # What found no column is said in words.
    assert any("failed" in line for line in shown)
    assert any("inserted" in line for line in shown)


@pytest.mark.parametrize(("age", "rate", "ink"), [(2.0, "9,812 rows/s", True), (720.0, "─ rows/s", False)])
async def test_figures_of_a_job_are_bright_only_while_it_lives(age: float, rate: str, ink: bool) -> None:
    tables = (TableBar("memories", 40, 100, rows=RowCounts(40, 40)),)
    bars = JobProgressPanel()
    app = Stage(bars)
    async with app.run_test(size=(80, 12)) as pilot:
        bars.progress = JobProgressView("", "copying", tables, rate=9_812.0, seconds_left=60.0, heartbeat_age=age)
        await pilot.pause()
        assert any(rate in line for line in screen_lines(app))
        assert any("1 min left" in line for line in screen_lines(app)) == ink
        accents = [span for span in bars.render().spans if "accent" in str(span.style)]
    assert bool(accents) == ink


@pytest.mark.parametrize(("width", "titles"), [(100, "differ  only in source  only in target"), (60, "differences")])
async def test_differences_are_told_apart_where_there_is_room(width: int, titles: str) -> None:
    rows = RowCounts(9, differ=1, only_source=2, only_target=3)
    bars = JobProgressPanel()
    app = Stage(bars)
    async with app.run_test(size=(width, 12)) as pilot:
        bars.progress = JobProgressView("", "", (TableBar("edges", 9, 9, rows=rows),), running=False, columns=COMPARED)
        await pilot.pause()
        shown = [line.rstrip() for line in screen_lines(app) if line.strip()]
    assert shown[0].strip() == titles
    assert shown[1].split()[-1] == ("3" if width == 100 else "6")
