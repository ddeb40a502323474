"""Search: keys pressed, lines seen, on the sample corpus and on stores that are empty, read-only or changing."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.console import Console, open_console
from tests.support.corpus import MEMORIES, second_handle
from tests.support.editor_scripts import drafts_left, types, writes
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.memory_template import TEXT_LINE
from vestige_tui.core.search import Answer, SearchQuery
from vestige_tui.presenters.explanation import MODE_NAMES
from vestige_tui.tui.commands.catalogue import IN_PLACE, catalogue
from vestige_tui.tui.commands.command import Command
from vestige_tui.tui.commands.everywhere import EVERYWHERE
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.place import Place
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.store_session_events import ModelActivity, ModelBanner
from vestige_tui.tui.widgets.memory_card import MemoryCard

SIZES = [(120, 40), (60, 20)]


def under_the_cursor(console: Console) -> str:
    """The id of the memory that commands are about."""
    hit = console.app.screen.query_one(HitList).current
    assert hit is not None
    return hit.memory.id


async def ask(console: Console, text: str) -> None:
    """Type a question and wait for its answer."""
    await console.paste(text)
    await console.until("best 20")
    await console.still()


@pytest.mark.parametrize("size", SIZES)
async def test_it_starts_with_the_newest_memories_and_says_where_they_belong(
    corpus: Path, size: tuple[int, int]
) -> None:
    async with open_console(corpus, size) as console:
        assert "newest first" in console.text
        first = next(line for line in console.lines if "From this morning" in line)
        second = console.lines[console.lines.index(first) + 1]
        assert "event  team  #communication" in second
        assert "5 h" in second
        assert "new" in second
        assert "#1" not in second
        assert "vector" not in second


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_typing_asks_and_each_hit_says_why_it_is_there(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await ask(console, "retry schedule webhook")
        shown = console.lines
        first = next(number for number, line in enumerate(shown) if " 1 ●" in line or " 1 ○" in line or " 1 ◐" in line)
        text = shown[first].split("▌")[0].split("│")[0]
        assert len(text.strip()) > 45
        assert "text #" in shown[first + 1]
        assert "vector #" in shown[first + 1]
        assert "best 20" in console.text
        assert MODE_NAMES["hybrid"].split()[-1] in shown[3 if size[1] > 20 else 2]


@pytest.mark.slow
async def test_old_hits_stay_until_the_new_ones_are_there(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        await console.paste("zone")
        await console.until("best 20")
        await console.still()
        before = console.app.screen.query_one(HitList).hits
        go_on = asyncio.Event()
        search = console.store.search

        async def slow(query: SearchQuery) -> Answer:
            await go_on.wait()
            return await search(query)

        monkeypatch.setattr(console.store, "search", slow)
        await console.type(" a")
        await console.until("searching")
        assert console.app.screen.query_one(HitList).hits == before
        assert not console.app.screen.has_class("-nothing")
        go_on.set()
        await console.until("best 20")
        assert console.app.screen.query_one(HitList).hits != before


async def test_down_and_slash_go_between_line_and_hits_and_letters_are_keys_there(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await ask(console, "deploy")
        assert "to the list" in console.lines[-1]
        assert "/ filter" not in console.lines[-1]
        assert "F8 filters" in console.lines[-1]
        await console.press("down")
        assert isinstance(console.app.focused, HitList)
        assert "space select" in console.lines[-1]
        first = under_the_cursor(console)
        await console.press("j", "j", "k")
        assert under_the_cursor(console) != first
        await console.press("slash")
        assert console.app.screen.query_one(FilterBar).has_focus_within
        await console.press("enter")
        assert isinstance(console.app.focused, HitList)


async def test_the_card_beside_the_list_follows_and_explains(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await ask(console, "database migration lock")
        await console.press("down", "j")
        await console.still()
        card = console.app.screen.query_one(MemoryCard)
        assert card.detail is not None
        assert card.detail.memory.id == under_the_cursor(console)
        assert "search rank" in console.text
        assert re.search(r"vector  #\d+ +cosine", console.text)


@pytest.mark.slow
async def test_without_room_enter_opens_the_card_as_a_page_and_escape_returns(corpus: Path) -> None:
    async with open_console(corpus, (80, 24)) as console:
        await ask(console, "on-call")
        await console.press("enter", "j")
        here = under_the_cursor(console)
        assert not console.app.screen.query_one(MemoryCard).display
        await console.press("enter")
        await console.still()
        assert console.app.screen.query_one(MemoryCard).display
        assert not console.app.screen.query_one(HitList).display
        assert "created" in console.text
        assert "esc back" in console.lines[-1]
        await console.press("escape")
        assert isinstance(console.app.focused, HitList)
        assert under_the_cursor(console) == here
        await console.press("escape")
        assert console.app.screen.query_one(FilterBar).has_focus_within


async def test_fields_become_chips_and_backspace_takes_them_away(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.paste("type:decision codebase:harbour-api codebase:harbour-web keys ")
        await console.until("type decision")
        await console.still()
        chips = console.app.screen.query_one(FilterBar).chips
        fields = [("type", "decision"), ("codebase", "harbour-api"), ("codebase", "harbour-web")]
        assert [(chip.field, chip.value) for chip in chips] == fields
        hits = console.app.screen.query_one(HitList).hits
        assert hits
        assert {hit.memory.node_type for hit in hits} == {"decision"}
        await console.press("home", "backspace", "backspace", "backspace")
        await console.still()
        assert console.app.screen.query_one(FilterBar).chips == ()


@pytest.mark.parametrize("typed", ["since:yesterdayish ", "recall:much "])
async def test_a_filter_that_cannot_be_read_is_one_sentence_and_goes_away(corpus: Path, typed: str) -> None:
    async with open_console(corpus) as console:
        fault = console.app.screen.query_one("#ask-fault")
        await console.paste(typed)
        await console.until(lambda: fault.display)
        assert "Traceback" not in console.text
        assert console.app.screen.query_one(HitList).hits
        await console.press("backspace")
        await console.until(lambda: not fault.display)


async def test_nothing_found_says_so_and_names_the_ways_on(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await console.paste("+zzyzx tag:keys ")
        await console.until("No memory matches because of the required word +zzyzx: 14 hits without it.")
        assert "remove the last filter" in console.text
        assert "show replaced memories too" in console.text
        assert "search by text" in console.text
        await console.press("down", "m")
        await console.until("Searching by text.")
        await console.press("slash", "home", *["delete"] * 6, "backspace")
        await console.until("newest first")
        assert "No memory matches" not in console.text


async def test_an_empty_store_says_which_key_fills_it(empty_store: Path) -> None:
    async with open_console(empty_store, (60, 20)) as console:
        await console.until("This store has no memories yet.")
        assert "↓ a  add the first memory" in console.text
        await console.press("down")
        assert console.app.focused is None
        async with second_handle(empty_store) as other:
            await other.insert(Draft("The first one"))
        await console.until("The first one")
        assert isinstance(console.app.focused, HitList)


@pytest.mark.slow
async def test_modes_go_round_and_more_hits_keep_the_cursor(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await ask(console, "cache")
        await console.press("down", "m")
        await console.until("text   13 hits")
        await console.still()
        hits = console.app.screen.query_one(HitList).hits
        assert all(hit.vector_rank is None for hit in hits)
        await console.press("m")
        await console.until("vector   best 20")
        await console.press("m")
        await console.until("exact characters   ")
        await console.press("m")
        await console.until("text and vector   best 20")
        await console.press("j", "j", "j")
        here = under_the_cursor(console)
        await console.press("plus")
        await console.until("best 50")
        assert under_the_cursor(console) == here


@pytest.mark.slow
async def test_replaced_memories_are_shown_when_asked_for(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.paste("since:2020-01-01 ")
        await console.press("down", *["plus"] * 12)
        await console.still()
        active = len(console.app.screen.query_one(HitList).hits)
        await console.press("o")
        await console.until("Replaced memories are shown.")
        await console.still()
        assert active < len(console.app.screen.query_one(HitList).hits) == MEMORIES


@pytest.mark.parametrize("size", SIZES)
async def test_what_must_be_known_of_the_model_is_told_whole(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        text = "The store belongs to nomic-embed-text-v1.5, but all-MiniLM-L6-v2 is configured. " * 2
        console.app.session.banner = ModelBanner(ModelActivity.UNUSABLE, text)
        console.app.frame_changed.publish(None)
        await console.until("◐ The store belongs to nomic")
        assert console.says(f"{text.strip()} F6 registry")
        console.app.session.banner = None
        console.app.frame_changed.publish(None)
        await console.until("The store belongs", gone=True)


@pytest.mark.slow
async def test_another_process_writes_and_the_list_follows_with_the_cursor_on_its_memory(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("down", "j", "j")
        here = under_the_cursor(console)
        async with second_handle(corpus) as other:
            await other.insert(Draft("Written by somebody else just now"))
        await console.until("Written by somebody else")
        await console.until("375 memories")
        await console.still()
        assert under_the_cursor(console) == here
        await console.press("G")
        here = under_the_cursor(console)
        line = next(number for number, text in enumerate(console.lines) if text.startswith("▌ "))
        async with second_handle(corpus) as other:
            await other.insert(Draft("And once more, further up than one can see"))
        await console.until("376 memories")
        await console.still()
        assert under_the_cursor(console) == here
        assert console.lines[line].startswith("▌ ")
        assert "further up than one can see" not in console.text


async def test_a_lost_store_is_said_once_and_found_again(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        search = console.store.search

        async def gone(query: SearchQuery) -> Answer:
            raise Unavailable("The store cannot be reached; trying again.")

        monkeypatch.setattr(console.store, "search", gone)
        await console.paste("keys")
        await console.until("The store cannot be reached")
        assert console.app.screen.query_one(HitList).hits
        monkeypatch.setattr(console.store, "search", search)
        await console.paste(" rotate")
        await console.until("best 20")
        await console.until("cannot be reached", gone=True)


@pytest.mark.slow
async def test_hostile_memories_reach_neither_screen_nor_clipboard(corpus: Path) -> None:
    evil = "[/x] [bold]hi[/] [@click=app.quit]y[/] \x1b]52;c;aGk=\x07 \x1b[2J \x9b31m \u202ereversed\u200f end"
    async with second_handle(corpus) as other:
        await other.insert(Draft(f"zzhostile {evil}\n\n# {evil}", node_type=evil, tags=(evil,), domains=(evil,)))
    for size in SIZES:
        async with open_console(corpus, size) as console:
            await console.paste("zzhostile tag:keys")
            await console.press("backspace", *["backspace"] * 8)
            await console.until("zzhostile [/x] [bold]hi[/]")
            await console.press("down", "enter")
            await console.still()
            for line in console.lines:
                assert not [letter for letter in line if ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0]
                assert not {"\u202e", "\u200f"} & set(line)
            await console.press("y")
            await console.until("Sent the text to the terminal")
            assert "\x1b" not in console.app.clipboard
            assert "[bold]hi[/]" in console.app.clipboard


@pytest.mark.slow
async def test_every_command_of_every_place_finds_its_action(corpus: Path) -> None:
    known = catalogue()
    async with open_console(corpus) as console:
        for place in IN_PLACE:
            console.app.switch_mode(place)
            await console.until(lambda place=place: console.app.screen.id == place)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            screen = console.app.screen
            assert isinstance(screen, Place)
            lists = [widget for widget in screen.query("*") if widget.can_focus]
            here: tuple[type[Command], ...] = (*EVERYWHERE, *IN_PLACE[place])
            lost = [command.id for command in here if not found(command.action, screen, *lists, console.app)]
            assert (place, lost) == (place, [])
            for widget in lists:
                bound = [
                    each for many in widget._bindings.key_to_bindings.values() for each in many if each.id in known
                ]
                adrift = [
                    binding.id
                    for binding in bound
                    if not found(binding.action, screen if binding.action.startswith("screen.") else widget)
                ]
                assert adrift == []


def found(action: str, *nodes: object) -> bool:
    """Whether one of these has the method that an action names."""
    name = action.partition("(")[0].removeprefix("screen.").removeprefix("app.")
    return any(hasattr(node, f"action_{name}") for node in nodes)


@pytest.mark.slow
async def test_a_read_only_store_refuses_every_write_in_one_sentence(corpus: Path) -> None:
    async with open_console(corpus, read_only=True) as console:
        await console.press("down")
        before = await console.store.memories.count(Filter(superseded=True))
        for key in ("a", "e", "t", "d", "R", "l", "S", "u"):
            console.app.screen.query_one(HitList).focus()
            await console.press("Y")
            await console.until("Sent the id")
            assert not console.app.screen.active_bindings[key].enabled
            await console.press(key)
            await console.until("read-only:")
            assert len([line for line in console.lines if "This store is read-only" in line]) == 1
            assert len(console.app.screen_stack) == 1
        assert await console.store.memories.count(Filter(superseded=True)) == before


@pytest.mark.slow
async def test_add_and_edit_go_through_the_editor_and_one_key_takes_them_back(
    corpus: Path, tmp_path: Path, editor: Callable[[str], None]
) -> None:
    async with open_console(corpus) as console:
        editor('stat -c %a "$1" > "$0.mode"; ' + writes('printf "A note about the lighthouse\\n"'))
        await console.press("down", "a")
        await console.until('Added "A note about the lighthouse"')
        assert (tmp_path / "editor.mode").read_text().strip() == "600"
        hits = console.app.screen.query_one(HitList)
        # The notice quotes the memory before the list shows it.
        await console.until(lambda: hits.hits[0].memory.content == "A note about the lighthouse")
        await console.press("g")
        await console.still()
        current = under_the_cursor(console)
        assert current == hits.hits[0].memory.id
        editor('printf "\\nand the harbour" >> "$1"')
        await console.press("e")
        await console.until('Edited "')
        assert "u undo" in console.text
        assert (await console.store.get(current)).content == "A note about the lighthouse\nand the harbour"
        await console.press("u")
        await console.until('Undid: edit on "A note about the lighthouse"')
        assert (await console.store.get(current)).content == "A note about the lighthouse"
        editor("true")
        await console.press("e")
        await console.until("The editor closed at once")
        await console.press("escape")
        await console.until("No change.")
    assert drafts_left(tmp_path) == []


async def test_text_is_kept_where_it_could_not_be_saved(
    corpus: Path, tmp_path: Path, editor: Callable[[str], None]
) -> None:
    async with open_console(corpus) as console:
        await console.press("down")
        here = under_the_cursor(console)
        # Somebody else edits the same memory while the editor is open.
        with closing(sqlite3.connect(corpus)) as connection, connection:
            assert connection.execute("SELECT count(*) FROM knowledge_nodes WHERE id = ?", (here,)).fetchone() == (1,)
        editor(
            f"{__import__('sys').executable} -c \"import sqlite3; c = sqlite3.connect('{corpus}'); "
            "c.execute('UPDATE knowledge_nodes SET updated_at = ? WHERE id = ?',"
            f" ('2027-01-01T00:00:00.000000+00:00', '{here}')); c.commit(); c.close()\"\n" + types("what I typed")
        )
        await console.press("e")
        await console.until("Your text is kept in")
        [left] = drafts_left(tmp_path)
        assert left.read_text().endswith(f"{TEXT_LINE}\nwhat I typed")
        assert left.stat().st_mode & 0o777 == 0o600
        assert "what I typed" not in (await console.store.get(here)).content


@pytest.mark.parametrize(
    ("script", "said", "left"),
    [
        ("exit 3", "ended with status 3; nothing was changed.", 0),
        ('printf typed > "$1"; exit 1', "Your text is kept in", 1),
        ('printf typed > "$1"; kill -INT $$', "Your text is kept in", 1),
        ('rm "$1"', "cannot be read", 0),
    ],
)
async def test_an_editor_that_fails_costs_nothing(
    corpus: Path, tmp_path: Path, editor: Callable[[str], None], script: str, said: str, left: int
) -> None:
    async with open_console(corpus, (160, 40)) as console:
        await console.press("down")
        here = under_the_cursor(console)
        before = (await console.store.get(here)).content
        editor(script)
        await console.press("e")
        await console.until(said)
        assert len(drafts_left(tmp_path)) == left
        assert (await console.store.get(here)).content == before
        assert console.app.is_running


@pytest.mark.parametrize(
    ("named", "sentence"),
    [("no-such-editor --wait", "Set $EDITOR."), ("vi 'open", "Correct $VISUAL or $EDITOR.")],
)
async def test_a_missing_editor_is_one_sentence(
    corpus: Path,
    tmp_path: Path,
    editor: Callable[[str], None],
    named: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDITOR", named)
    async with open_console(corpus) as console:
        await console.press("down", "e")
        await console.until(sentence)
        assert drafts_left(tmp_path) == []


@pytest.mark.slow
async def test_an_editor_that_does_not_wait_is_waited_for(
    corpus: Path, tmp_path: Path, editor: Callable[[str], None]
) -> None:
    async with open_console(corpus) as console:
        await console.press("down")
        here = under_the_cursor(console)
        editor("true")
        for answer, sentence, text in (
            ("escape", "Nothing was saved. Your text is kept in", None),
            ("enter", 'Edited "', "saved in a window"),
        ):
            await console.press("e")
            await console.until("The text is unchanged.")
            [draft] = [path for path in drafts_left(tmp_path) if not path.read_text().endswith("saved in a window")]
            block = draft.read_text().partition(TEXT_LINE)[0]
            draft.write_text(f"{block}{TEXT_LINE}\nsaved in a window")
            await console.until("The text is changed.")
            await console.press(answer)
            await console.until(sentence)
            assert ((await console.store.get(here)).content == text) is (text is not None)
        assert len(drafts_left(tmp_path)) == 1


async def test_ctrl_c_in_the_editor_is_the_editors(corpus: Path, tmp_path: Path, editor: Callable[[str], None]) -> None:
    async with open_console(corpus) as console:
        await console.press("down")
        # The terminal sends it to everybody in front: to us as well.
        editor("kill -INT $PPID; sleep 0.05; " + types("still here"))
        await console.press("e")
        await console.until('Edited "')
        assert console.app.is_running


@pytest.mark.slow
async def test_a_huge_text_goes_through_whole(corpus: Path, editor: Callable[[str], None]) -> None:
    async with open_console(corpus, (80, 24)) as console:
        await console.press("down")
        here = under_the_cursor(console)
        editor(writes('yes "a line of forty characters, more or less" | head -c 2000000'))
        await console.press("e")
        await console.until('Edited "')
        assert len((await console.store.get(here)).content) >= 1_999_999
        await console.press("enter")
        await console.until(lambda: console.says("The first 20,000 of") or console.says("a line of forty"))
        await console.press("y")
        await console.until("characters are too many for the terminal, which takes 74,000 bytes")
        assert f"show {here} --text > memory.txt" in console.text.replace("\n", "").replace("  ", "")
        assert len(console.app.clipboard) >= 1_999_999
