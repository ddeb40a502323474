"""The card of a memory in Search and Browse: its links, its metadata, whose it is, and hiding it."""

from __future__ import annotations

import sqlite3
import unicodedata
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from textual.app import App

from tests.support.clock import Clock
from tests.support.console import Console, open_browse, open_console
from tests.support.corpus import second_handle
from tests.support.pictures import screen_lines
from tests.support.sample_memories import NOW, memory
from tests.support.widget_stage import Stage
from vestige_tui.core.links import Edge, Lineage, Neighbor
from vestige_tui.core.memories import LOCAL_USER, Draft
from vestige_tui.store.store import Store
from vestige_tui.tui.commands.memories import NextLink
from vestige_tui.tui.widgets.memory_card import MemoryCard
from vestige_tui.tui.widgets.memory_detail import MemoryDetail
from vestige_tui.tui.widgets.memory_links import SHOWN_ROWS, LinkList

HOSTILE = "[/foo] [bold]x[/] \x1b[2Jgone \x9b31m \u202eesrever \x00 \ud800"
SIZES = [(120, 40), (100, 40), (80, 24), (60, 20)]


def assert_clean(app: App[None]) -> None:
    """Nothing on the screen is a control character, a mark of direction or half a character."""
    text = "".join(screen_lines(app))
    assert not [character for character in text if unicodedata.category(character) in ("Cc", "Cf", "Cs")]


@pytest.fixture
def chained(corpus: Path) -> Path:
    """The corpus with five memories that are each linked to the next one, the newest of all."""
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(5)]
    with closing(sqlite3.connect(corpus)) as connection, connection:
        for number, id in enumerate(ids):
            connection.execute(
                "INSERT INTO knowledge_nodes (id, content, node_type, created_at, updated_at)"
                " VALUES (?, ?, 'fact', ?, ?)",
                (id, f"chained memory {number}", *[f"2026-11-20T14:01:5{9 - number}.000000+00:00"] * 2),
            )
        for one, other in pairwise(ids):
            connection.execute(
                "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)"
                " VALUES (?, ?, 'supports', 0.9, '2026-11-20T14:00:00.000000+00:00')",
                (one, other),
            )
    return corpus


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def card_of(console: Console) -> MemoryCard:
    return console.app.screen.query_one(MemoryCard)


def shown_id(console: Console) -> str:
    detail = card_of(console).detail
    return detail.memory.id[-1] if detail is not None else ""


async def shows(console: Console, number: int) -> None:
    await console.until(lambda: shown_id(console) == str(number))
    await console.still()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_links_are_followed_by_keys_several_steps_and_each_escape_is_one_back(
    chained: Path, size: tuple[int, int]
) -> None:
    async with open_console(chained, size) as console:
        table = await open_browse(console)
        await console.until(lambda: bool(table.current))
        await console.press("enter")
        await shows(console, 0)
        await console.press("tab", "enter")
        await shows(console, 1)
        # The first link of every later one leads back, as the weights are equal; the second leads on.
        for number in (2, 3):
            card = card_of(console)
            targets = [target for _, _, target in card._targets]
            place = next(index for index, target in enumerate(targets) if target.endswith(str(number)))
            await console.press(*["tab"] * (place + 1), "enter")
            await shows(console, number)
        place_screen = console.app.screen
        current = place_screen.current_memory()  # type: ignore[attr-defined]
        assert current.id.endswith("3"), "commands act on the memory in sight"
        for number in (2, 1, 0):
            await console.press("escape")
            await shows(console, number)
            assert card_of(console).has_focus
            marked = [lines.marked for lines in card_of(console)._lines if lines.marked is not None]
            assert marked, "the link that was opened is marked again"
        await console.press("escape")
        await console.still()
        assert table.has_focus
        assert table.cursor == 0


@pytest.mark.slow
async def test_a_link_is_opened_by_a_click(chained: Path) -> None:
    async with open_console(chained) as console:
        table = await open_browse(console)
        await shows(console, 0)
        links = console.app.screen.query_one(LinkList)
        await console.pilot.click(links, offset=(20, 1))
        await shows(console, 1)
        assert card_of(console).has_focus
        await console.press("escape")
        await shows(console, 0)
        await console.press("escape")
        assert table.has_focus


@pytest.mark.slow
async def test_going_to_the_list_shows_its_own_memory_again(chained: Path) -> None:
    async with open_console(chained) as console:
        table = await open_browse(console)
        await console.press("enter", "tab", "enter")
        await shows(console, 1)
        table.focus()
        await shows(console, 0)
        assert not card_of(console).visiting
        await console.press("j")
        await shows(console, 1)


@pytest.mark.slow
async def test_a_change_of_the_store_leaves_the_card_where_its_links_led(chained: Path) -> None:
    async with open_console(chained) as console:
        await open_browse(console)
        await console.press("enter", "tab", "enter")
        await shows(console, 1)
        async with second_handle(chained) as other:
            await other.insert(Draft("a newer memory"), embed=False)
        await console.until(lambda: console.app.session.facts.memories == 380)
        await console.still()
        assert shown_id(console) == "1"
        async with second_handle(chained) as other:
            await other.delete(["00000000-0000-4000-8000-000000000001"])
        await console.until(lambda: shown_id(console) != "1")


@pytest.mark.slow
async def test_a_link_to_a_memory_that_is_gone_says_so(chained: Path) -> None:
    with closing(sqlite3.connect(chained)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        with connection:
            connection.execute("DELETE FROM edges")
            connection.execute(
                "INSERT INTO edges (source_id, target_id, edge_type, weight, created_at)"
                " VALUES (?, 'gone', 'related', 1, ?)",
                ("00000000-0000-4000-8000-000000000000", "2026-11-20T14:00:00.000000+00:00"),
            )
    async with open_console(chained) as console:
        await open_browse(console)
        await console.press("enter")
        await shows(console, 0)
        await console.press("tab", "enter")
        await console.until("■ ")
        assert shown_id(console) == "0"
        assert not card_of(console).visiting


async def test_tab_marks_every_link_then_leaves_and_goes_through_the_tree_first() -> None:
    shown = memory(0)
    near = tuple(Neighbor(memory(number), 0.5, 1) for number in range(10, 10 + SHOWN_ROWS + 3))
    edges = tuple(Edge(shown.id, neighbor.memory.id, "related", 0.5) for neighbor in near)
    older = replace(memory(3), superseded_by=shown.id)
    card, opened = MemoryCard(clock=lambda: NOW), []

    class Recording(Stage):
        def on_memory_card_link_opened(self, event: MemoryCard.LinkOpened) -> None:
            opened.append(event.memory_id)

    async with Recording(card).run_test(size=(80, 60)) as pilot:
        await card.show(MemoryDetail(shown, edges, near, lineage=Lineage(shown, (Lineage(older),))))
        card.focus()
        await pilot.pause()
        assert f"and {len(near) - SHOWN_ROWS} more" in "\n".join(screen_lines(pilot.app))
        for _ in range(1 + len(near)):
            await pilot.press("tab", "enter")
        await pilot.pause()
        assert opened == [older.id, *(neighbor.memory.id for neighbor in near)]
        assert "and 3 more" not in "\n".join(screen_lines(pilot.app))
        assert card.query_one(LinkList).marked == len(near) - 1
        await pilot.press("tab")
        assert all(lines.marked is None for lines in card._lines)


async def test_keys_of_links_are_live_only_where_there_are_links() -> None:
    card = MemoryCard(clock=lambda: NOW)
    async with Stage(card).run_test(size=(80, 40)) as pilot:
        await card.show(MemoryDetail(memory(0)))
        card.focus()
        await pilot.pause()
        assert "enter" not in pilot.app.screen.active_bindings
        assert pilot.app.screen.active_bindings["tab"].binding.id != NextLink.id
        await card.show(MemoryDetail(memory(0), neighbors=(Neighbor(memory(1), 0.5, 1),)))
        await pilot.pause()
        assert "enter" in pilot.app.screen.active_bindings
        assert pilot.app.screen.active_bindings["tab"].binding.id == NextLink.id


# Metadata


async def test_metadata_is_one_line_until_it_is_unfolded() -> None:
    metadata = {"source": "chat", "nested": {"a": [1, 2], "b": None}, "list": [1, 2, 3], "hostile": HOSTILE}
    card = MemoryCard(clock=lambda: NOW)
    async with Stage(card).run_test(size=(90, 60)) as pilot:
        card.name_key("i")
        await card.show(MemoryDetail(replace(memory(0), metadata=metadata)))
        card.focus()
        await pilot.pause()
        lines = screen_lines(pilot.app)
        [at] = [number for number, line in enumerate(lines) if "metadata, 4 fields" in line]
        assert lines[at].endswith("i unfolds")
        assert "source chat   nested {2}   list [3]" in lines[at + 1]
        assert_clean(pilot.app)
        await pilot.press("i")
        await pilot.pause()
        text = "\n".join(screen_lines(pilot.app))
        assert "i folds" in text
        assert '"b": null' in text
        assert "[/foo] [bold]x[/]" in text
        assert_clean(pilot.app)
        await pilot.press("i")
        await pilot.pause()
        assert '"b": null' not in "\n".join(screen_lines(pilot.app))


@pytest.mark.parametrize(
    "metadata",
    [
        {"long": "word " * 100_000},
        {f"key {number}": number for number in range(20_000)},
        {"deep": nested(90)},
        {"number": float("inf"), "text": "\x1b[31m\u202e"},
    ],
    ids=["long", "many", "deep", "odd"],
)
async def test_any_metadata_is_shown_within_bounds(metadata: dict[str, object]) -> None:
    card = MemoryCard(clock=lambda: NOW)
    async with Stage(card).run_test(size=(60, 20)) as pilot:
        await card.show(MemoryDetail(replace(memory(0), metadata=metadata)))
        card.focus()
        await pilot.press("i")
        await pilot.pause()
        assert card.virtual_size.height < 3_000
        await pilot.press("G")
        await pilot.pause()
        assert_clean(pilot.app)


# Whose it is


async def test_owner_groups_source_and_last_access_are_shown() -> None:
    shown = replace(
        memory(0),
        owner_user_id="11111111-1111-4111-8111-111111111111",
        visibility="group",
        shared_with_groups=("22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"),
        metadata={"vestige": {"source": "session 4711", "last_accessed": "2026-11-17T14:02:00Z"}},
    )
    names = {shown.owner_user_id: "mira", shown.shared_with_groups[0]: "platform"}
    card = MemoryCard(clock=lambda: NOW)
    async with Stage(card).run_test(size=(90, 40)) as pilot:
        await card.show(MemoryDetail(shown, names=names))
        await pilot.pause()
        text = "\n".join(screen_lines(pilot.app))
        assert "owner mira   visibility group   groups platform, 33333333" in text
        assert "source session 4711   last access" in text
        assert "ago" in text.partition("last access")[2].partition("\n")[0]
        await card.show(MemoryDetail(memory(1)))
        await pilot.pause()
        text = "\n".join(screen_lines(pilot.app))
        assert "owner local   visibility private" in text
        assert "last access" not in text
        assert "groups" not in text


async def test_names_of_owners_and_groups_come_from_the_store(store: Store, clock: Clock) -> None:
    assert await store.memories.owner_names([LOCAL_USER, "44444444-4444-4444-8444-444444444444", "no id"]) == {
        LOCAL_USER: "local"
    }


# Hiding the card


@pytest.mark.slow
async def test_hiding_the_card_gives_its_room_to_the_table_and_is_remembered(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        assert "type" not in console.lines[5]
        await console.press("z")
        await console.until(lambda: not card_of(console).display)
        await console.still()
        assert table.size.width >= 118
        assert console.lines[5].split()[:4] == ["▏", "type", "domain", "memory"]
        await console.press("f2", "down")
        await console.still()
        assert not card_of(console).display
        await console.press("enter")
        await console.until(lambda: card_of(console).has_focus)
        assert card_of(console).size.width > 100, "the card is a page of its own"
        await console.press("escape", "z")
        await console.until(lambda: card_of(console).display)
        await console.press("f3")
        await console.still()
        assert card_of(console).display


@pytest.mark.slow
@pytest.mark.parametrize("width", [100, 110])
async def test_the_card_can_be_hidden_from_a_hundred_columns_up(corpus: Path, width: int) -> None:
    async with open_console(corpus, (width, 30)) as console:
        table = await open_browse(console)
        before = table.size.width
        await console.press("z")
        await console.until(lambda: table.size.width > before)
        assert "type" in console.text


@pytest.mark.parametrize("size", [(99, 30), (60, 20)])
async def test_below_that_the_card_is_a_page_already(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await open_browse(console)
        await console.press("z")
        await console.until("This terminal is too narrow to show the card beside the list")
        assert not console.app.card_hidden
