"""The filter picker, saved filters and chips in Search, Browse and Review: keys pressed, lines seen."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input

from tests.support.console import Console, open_console
from tests.support.corpus import ACTIVE, clock, embedders, second_handle
from vestige_tui.config.reader import load_config
from vestige_tui.config.settings import Config
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.filter_syntax import Chip, write_chips
from vestige_tui.core.memories import LOCAL_USER, Draft, Facet, Filter
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.browse.memory_table import MemoryTable
from vestige_tui.tui.dialogs.modals import Ask, Confirm, Pick
from vestige_tui.tui.filters import picker as filter_picker
from vestige_tui.tui.filters.bar import AskInput, ChipView, FilterBar
from vestige_tui.tui.filters.picker import FilterPicker

SIZES = [(120, 40), (80, 24), (60, 20)]
PLACES = {"f2": "search", "f3": "browse", "f4": "review"}
EVIL = "zz [/x] [bold]hi[/] [@click=app.quit]y[/] \x1b]52;c;aGk=\x07 \x9b31m \u202ereversed\u200f 日本語 👩‍👩‍👧 end"


def settings(file: Path) -> Config:
    """What the file says, and where it is even if it is not there yet."""
    return load_config(file) if file.exists() else replace(Config(), path=file)


@asynccontextmanager
async def configured(path: Path, file: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Console]:
    """The console with a settings file."""
    app = VestigeApp(settings(file), f"sqlite:{path}", embedders=embedders(), clock=clock)
    async with app.run_test(size=size, notifications=True) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        await console.still()
        yield console


def bar(console: Console) -> FilterBar:
    return console.app.screen_stack[0].query_one(FilterBar)


async def picker(console: Console, key: str = "f8") -> FilterPicker:
    """Open the picker and wait for its first values."""
    await console.press(key)
    await console.until(lambda: isinstance(console.app.screen, FilterPicker))
    await console.until("pass.")
    await settle(console)
    screen = console.app.screen
    assert isinstance(screen, FilterPicker)
    return screen


async def settle(console: Console) -> None:
    """Wait until the picker, or what is behind it, asks nothing any more."""
    groups = {"values", "tally", "saved", "search", "list", "rows", "selection", "read", "write", "filter", "card"}
    await console.pilot.pause(0.15)
    await console.until(lambda: not any(w.group in groups and not w.is_finished for w in console.app.workers))
    await console.pilot.pause()


async def go(console: Console, field: str) -> None:
    """Go to a field of the picker."""
    for _ in range(20):
        if console.app.screen._field == field:  # type: ignore[attr-defined]  # the screen is the picker
            break
        await console.press("tab")
    await settle(console)


def offered(console: Console) -> dict[str, int | None]:
    """What is offered, with its counts."""
    found = console.app.screen._shown  # type: ignore[attr-defined]  # the screen is the picker
    return {str(value.chip): value.count for value in found}


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", PLACES)
async def test_one_key_in_three_places_and_chips_follow(corpus: Path, place: str, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press(place)
        await console.until(lambda: console.app.screen.id == PLACES[place])
        await settle(console)
        await picker(console, "f8" if place == "f2" else "f")
        assert f"{ACTIVE} memories pass." in console.text
        facets = await console.store.memories.facets("domains")
        assert offered(console) == {f"domain:{facet.value}": facet.count for facet in facets}
        await console.press("space")
        await settle(console)
        assert bar(console).chips == (Chip("domain", facets[0].value),)
        assert f"{facets[0].count} memories pass." in console.text
        # Several values of one field are any of them: the others keep their counts.
        assert offered(console) == {f"domain:{facet.value}": facet.count for facet in facets}
        await console.press("down", "enter")
        await settle(console)
        chosen = Filter(domains=(facets[0].value, facets[1].value))
        assert f"{await console.store.memories.count(chosen)} memories pass." in console.text
        await go(console, "tag")
        tags = await console.store.memories.facets("tags", chosen, 5_000)
        assert offered(console) == {str(Chip("tag", facet.value)): facet.count for facet in tags}
        await console.press("escape")
        assert console.app.screen.id == PLACES[place]
        assert [chip.value for chip in bar(console).chips] == [facets[0].value, facets[1].value]


@pytest.mark.slow
@pytest.mark.parametrize(
    "others",
    [(), (Chip("type", "decision"),), (Chip("recall", "0.5"), Chip("since", "-300d"))],
    ids=["alone", "beside one", "beside two"],
)
async def test_every_field_counts_what_choosing_it_leaves(corpus: Path, others: tuple[Chip, ...]) -> None:
    """Each value of each field: what was promised is what is then there."""
    async with open_console(corpus) as console:
        await console.press("f3")
        await settle(console)
        screen = await picker(console, "f")
        tried = 0
        for field in ("domain", "type", "codebase", "owner", "recall", "since", "until", "is"):
            screen._change(())
            screen._change([chip for chip in others if chip.field != field])
            await go(console, field)
            await settle(console)
            for place, (chip, count) in enumerate(list(offered(console).items())[:2]):
                screen._toggle_at(place)
                await settle(console)
                message = f"{count:,} {'memory passes' if count == 1 else 'memories pass'}."
                assert message in console.text, chip
                screen._toggle_at(place)
                tried += 1
        assert tried > 13


@pytest.mark.slow
async def test_typing_narrows_and_the_empty_list_says_why(corpus: Path) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await picker(console)
        await go(console, "tag")
        await console.type("post")
        await settle(console)
        assert all("post" in value for value in offered(console))
        assert len(offered(console)) >= 2
        await console.press("space")
        assert [chip.field for chip in bar(console).chips] == ["tag"]
        await console.type("zzz")
        await settle(console)
        assert "contains" in console.text
        assert "ctrl+u  clear the line" in console.text
        await console.press("ctrl+u")
        assert len(offered(console)) > 20
        await console.press("backspace")
        await settle(console)
        assert bar(console).chips == ()
        await go(console, "saved")
        assert "There are no saved filters yet." in console.text
        await go(console, "codebase")
        await console.press("space")
        await settle(console)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "typed", "bad"),
    [("since", "-45d", "-45q"), ("until", "2026-11-01", "2026-11"), ("recall", "0.85", "8.5")],
)
async def test_a_date_or_number_can_be_typed(corpus: Path, field: str, typed: str, bad: str) -> None:
    async with open_console(corpus) as console:
        await picker(console)
        await go(console, field)
        preset = offered(console)
        assert len(preset) >= 4
        await console.paste(bad)
        await settle(console)
        assert f"“{bad}” is not a" in console.text
        await console.press("ctrl+u")
        await console.paste(typed)
        await settle(console)
        [(chip, count)] = offered(console).items()
        assert chip == f"{field}:{typed}"
        await console.press("enter")
        await settle(console)
        assert f"{count} memories pass." in console.text
        await console.press("ctrl+u")
        await settle(console)
        assert offered(console) == {chip: count, **preset}
        # Another one takes its place.
        await console.press("down", "enter")
        await settle(console)
        assert [each.field for each in bar(console).chips] == [field]


@pytest.mark.slow
async def test_an_owner_is_shown_by_name_and_asked_for_by_handle(corpus: Path) -> None:
    with closing(sqlite3.connect(corpus)) as connection, connection:
        connection.execute(
            "INSERT INTO users (id, handle, display_name, created_at) VALUES ('u1', 'mira', ?, '')", (EVIL,)
        )
    async with second_handle(corpus) as other:
        await other.insert(Draft("Mira knows the depot.", owner_user_id="u1"))
        await other.insert(Draft("Local people know it better.", owner_user_id=LOCAL_USER))
    with closing(sqlite3.connect(corpus)) as connection:
        counted = connection.execute(
            "SELECT 'owner:' || u.handle, count(*) FROM knowledge_nodes m JOIN users u ON u.id = m.owner_user_id"
            " WHERE m.superseded_by IS NULL GROUP BY u.id"
        )
        owners = dict(counted.fetchall())
    assert owners["owner:mira"] == 1
    async with open_console(corpus, (80, 24)) as console:
        await picker(console)
        await go(console, "owner")
        assert offered(console) == owners
        assert "local  Local User" in console.text
        await console.type("mira")
        await console.press("enter", "escape")
        await console.until("Mira knows the depot.")
        assert bar(console).chips == (Chip("owner", "mira"),)
        bar(console).set_chips([Chip("owner", LOCAL_USER)])
        await console.until("Local people")
        bar(console).set_chips([Chip("owner", "nobody")])
        await console.until("No owner is called 'nobody'.")
        # The last good answer stays.
        assert "newest first" in console.text
        assert "Local people" in console.text
        await console.press("backspace")
        await console.until("No owner is called", gone=True)


@pytest.mark.parametrize("place", ["f2", "f3"])
async def test_a_wrong_value_is_one_line_at_the_bar(corpus: Path, place: str) -> None:
    async with open_console(corpus, (60, 20)) as console:
        await console.press(place)
        await settle(console)
        before = console.lines[8:17]
        bar(console).set_chips([Chip("tag", "x"), Chip("since", "soon")])
        await console.until("The time 'soon' is not valid")
        assert console.app.screen.query_one("ChipView.-bad", ChipView).chip == Chip("since", "soon")
        assert any(line and line in console.lines for line in before)
        bar(console).set_chips([])
        await console.until("is not valid", gone=True)


@pytest.mark.slow
async def test_chips_are_clicked_away_and_survive_going_elsewhere(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.paste('tag:"two words" tag:"say \\"hi\\"" domain:auth ')
        await settle(console)
        chips = (Chip("tag", "two words"), Chip("tag", 'say "hi"'), Chip("domain", "auth"))
        assert bar(console).chips == chips
        await console.press("f3")
        await console.until(lambda: console.app.screen.id == "browse")
        # Nothing comes along by itself.
        assert bar(console).chips == ()
        await console.press("f2")
        await console.until(lambda: console.app.screen.id == "search")
        assert bar(console).chips == chips
        await console.pilot.click(list(bar(console).query(ChipView))[1])
        assert bar(console).chips == (chips[0], chips[2])
        await console.press("home", "backspace")
        assert bar(console).chips == chips[:1]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "title"), [("search", "Search"), ("review", "Review")])
async def test_one_key_takes_the_filters_along(corpus: Path, place: str, title: str) -> None:
    async with open_console(corpus) as console:
        await console.press("f3")
        await settle(console)
        await console.press("F")
        await console.until("There are no filters to open elsewhere.")
        bar(console).set_chips([Chip("type", "decision"), Chip("since", "-300d")])
        await settle(console)
        await console.press("F")
        await console.until(lambda: isinstance(console.app.screen, Pick))
        await console.paste(title)
        await console.press("enter")
        await console.until(lambda: console.app.screen.id == place)
        await console.until("decision")
        await settle(console)
        assert write_chips(bar(console).chips) == "type:decision since:-300d"
        await console.press("f3")
        await console.until(lambda: console.app.screen.id == "browse")
        assert len(bar(console).chips) == 2


@pytest.mark.slow
async def test_review_asks_what_every_filter_leaves(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f4")
        await settle(console)
        for text in (
            "type:decision",
            "since:-200d",
            "until:-200d",
            "recall:0.7",
            "owner:local",
            "domain:api with:replaced",
        ):
            chips = [Chip(*each.split(":")) for each in text.split()]
            bar(console).set_chips(chips)
            await settle(console)
            place = console.app.screen
            asked = place._chosen  # type: ignore[attr-defined]  # the place is Review
            offered = (await console.store.reviews.queue_counts(asked)).offered
            assert asked != Filter()
            assert f"of {offered}" in console.text if offered else "Nothing" in console.text, text
        bar(console).set_chips([Chip("since", "soon")])
        await console.until("The time 'soon' is not valid")
        assert place._chosen == asked  # type: ignore[attr-defined]  # the place is Review


@pytest.mark.slow
async def test_a_filter_is_saved_used_and_forgotten(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "vestige.toml"
    file.write_text("# mine\n[ui]\ntheme = 'vestige-dark'\n")
    async with configured(corpus, file) as console:
        await console.press("f3", "ctrl+s")
        await console.until("There are no filters to save.")
        bar(console).set_chips([Chip("type", "decision"), Chip("tag", "two words")])
        await console.press("ctrl+s")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("my own [b]x[/]")
        await console.press("enter")
        await console.until("Saved as my own [b]x[/]. f lists it")
        assert load_config(file).filters == {"my own [b]x[/]": 'type:decision tag:"two words"'}
        assert file.read_text().startswith("# mine\n")
        # Over another one only after asking.
        bar(console).set_chips([Chip("domain", "auth")])
        await console.press("ctrl+s")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("my own [b]x[/]")
        await console.press("enter")
        await console.until(lambda: isinstance(console.app.screen, Confirm))
        assert "domain:auth" in console.text
        await console.press("n")
        await console.until(lambda: console.app.screen.id == "browse")
        assert load_config(file).filters == {"my own [b]x[/]": 'type:decision tag:"two words"'}
    async with configured(corpus, file, (80, 24)) as console:
        await picker(console)
        await go(console, "saved")
        assert "my own [b]x[/]" in console.text
        await console.press("enter")
        await settle(console)
        assert bar(console).chips == (Chip("type", "decision"), Chip("tag", "two words"))
        await console.press("ctrl+s")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("second")
        await console.press("enter")
        await console.until("second")
        await settle(console)
        await console.press("delete")
        await console.until("Delete the saved filter my own [b]x[/]?")
        await console.press("y")
        await settle(console)
        assert list(load_config(file).filters) == ["second"]
        await console.press("escape")
        bar(console).set_chips([])
        await settle(console)
        await console.press("ctrl+p")
        await console.paste("filter: second")
        await console.until("Filter: second")
        gathers = "--textual-command-palette-gather-commands"
        await console.until(lambda: all(each.is_finished for each in console.app.workers if each.group == gathers))
        await console.press("enter")
        await console.until(lambda: len(bar(console).chips) == 2)


@pytest.mark.slow
async def test_what_cannot_be_saved_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "vestige.toml"
    async with configured(corpus, file) as console:
        for chips, name, said in (
            ([Chip("since", "soon")], "", "The time 'soon' is not valid"),
            ([Chip("tag", "a")], "n" * 41, "at most 40 printable characters"),
            ([Chip("tag", "a")], "\u202eevil", "at most 40 printable characters"),
        ):
            bar(console).set_chips(chips)
            await console.press("ctrl+s")
            if name:
                await console.until(lambda: isinstance(console.app.screen, Ask))
                await console.paste(name)
                await console.press("enter")
            await console.until(said)
            if name:
                # The name stays in the dialog, to be mended.
                assert console.app.screen.query_one(Input).value
                await console.press("escape")
                await console.until(lambda: not isinstance(console.app.screen, Ask))
        assert not file.exists()
        file.write_text("[filters]\nbad = 'what'\n")
        bar(console).set_chips([Chip("tag", "a")])
        await console.press("ctrl+s")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("good")
        await console.press("enter")
        await console.until("filters.bad")


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_hostile_values_are_shown_and_obeyed_nowhere(corpus: Path, size: tuple[int, int]) -> None:
    async with second_handle(corpus) as other:
        for number in range(3):
            tags = (EVIL, "[red]" * 50, f"日本語の札 {number}", "👩‍👩‍👧‍👦🏳️‍🌈 emoji", "a\nb\tc")
            await other.insert(Draft(f"evil {number}", node_type=EVIL, tags=tags, domains=(EVIL,), codebase=EVIL))
    async with open_console(corpus, size) as console:
        await picker(console)
        for field in ("domain", "type", "tag", "codebase", "owner"):
            await go(console, field)
            if field == "domain":
                await console.type("zz")
            for value in ("[red]", "日本", "emoji", "a") if field == "tag" else ():
                await console.press("ctrl+u")
                await console.paste(value)
                await settle(console)
                await console.press("enter")
                await settle(console)
            if field in ("domain", "type", "codebase"):
                await console.press("ctrl+u")
                await console.paste("zz [/x]")
                await settle(console)
                await console.press("enter")
                await settle(console)
            for line in console.lines:
                assert not [letter for letter in line if ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0]
                assert not {"\u202e", "\u200f"} & set(line)
        assert len(bar(console).chips) >= 6
        await console.press("escape")
        await settle(console)
        for line in console.lines:
            assert not {"\x1b", "\u202e", "\u200f"} & set(line)
        assert console.app.is_running


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [False, True], ids=["key by key", "in one burst"])
async def test_what_is_typed_is_chosen_before_it_is_counted(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    async def enter(keys: str) -> None:
        if not at_once:
            await console.type(keys)
            await console.press("enter")
        for key in (*keys, "\r") if at_once else ():
            name = {"-": "minus", "\r": "enter", ".": "full_stop"}.get(key, key)
            console.app.post_message(events.Key(name, key))
        await console.pilot.pause()

    async with open_console(corpus) as console:
        await picker(console)
        await go(console, "since")
        # Nothing that is typed settles in this test.
        monkeypatch.setattr(filter_picker, "SETTLE_SECONDS", 600.0)
        await enter("-45d")
        await console.until(lambda: bar(console).chips == (Chip("since", "-45d"),))
        await settle(console)
        assert offered(console).keys() == {"since:-45d"}
        await enter("x")
        await console.until("“-45dx” is not a date such as")
        assert bar(console).chips == (Chip("since", "-45d"),)
        await go(console, "recall")
        await enter("0.85")
        await console.until(lambda: bar(console).chips == (Chip("since", "-45d"), Chip("recall", "0.85")))
        await settle(console)
        # What was offered for the text before is not what an empty line means.
        await console.press("ctrl+u", "enter")
        await settle(console)
        assert bar(console).chips == (Chip("since", "-45d"), Chip("recall", "0.85"))
        await go(console, "domain")
        await enter("infra")
        await console.until(lambda: Chip("domain", "infra") in bar(console).chips)


@pytest.mark.slow
async def test_typing_is_never_held_up_by_a_slow_store(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        store, free = console.store, asyncio.Event()
        facets = store.memories.facets

        async def slow(name: str, *rest: object) -> tuple[Facet, ...]:
            await free.wait()
            return await facets(name, *rest)  # type: ignore[arg-type]  # passed through

        monkeypatch.setattr(store.memories, "facets", slow)
        await console.press("f8")
        await console.until("Counting …")
        await console.type("inf")
        assert "inf" in console.text
        await console.press("tab", "tab", "shift+tab", "shift+tab")
        await console.type("inf")
        free.set()
        await console.until("○ infra")
        assert set(offered(console)) == {"domain:infra"}


@pytest.mark.slow
async def test_a_lost_store_is_said_in_the_picker(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        await picker(console)

        async def lost(*_: object) -> tuple[Facet, ...]:
            raise Unavailable("The store cannot be reached.")

        monkeypatch.setattr(console.store.memories, "facets", lost)
        await console.press("tab")
        await console.until("The store cannot be reached.")
        await console.press("escape")
        assert console.app.screen.id == "search"


@pytest.mark.slow
async def test_browse_keeps_its_place_under_a_moving_date(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f3")
        await settle(console)
        bar(console).set_chips([Chip("since", "-9000h")])
        await settle(console)
        table = console.app.screen.query_one(MemoryTable)
        await console.press("j", "j", "j")
        await console.press("ctrl+r")
        await settle(console)
        assert table.cursor == 3


@pytest.mark.slow
async def test_signs_are_said_plainly_and_apply(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f3")
        await settle(console)
        everything = await console.store.memories.count(Filter())
        [tag, *_] = await console.store.memories.facets("tags")
        await console.press("slash")
        await console.type(f"-tag:{tag.value} +is:replaced ")
        await console.until("not tag")
        await console.until("is replaced")
        assert bar(console).chips == (Chip("tag", tag.value, "-"), Chip("is", "replaced", "+"))
        await console.press("backspace")
        await settle(console)
        await console.until(f"{everything - tag.count:,} memories")
        bar(console).set_chips([Chip("since", "-3d", "-")])
        await console.until("The filter 'since:' takes no - before it")


async def test_a_saved_filter_of_an_earlier_version_is_rewritten_at_the_start(corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "vestige.toml"
    file.write_text('[filters]\nold = "is:replaced"\n')
    async with configured(corpus, file) as console:
        await console.until("the saved filter old now says with:replaced and shows the same as before.")
        assert file.read_text() == '[filters]\nold = "with:replaced"\n'
        assert console.app.config.outdated_filters == ()


@pytest.mark.slow
async def test_a_line_hints_at_a_misspelled_filter(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f2")
        await console.type("tgas:x std::map ")
        await console.until("The query searches for 'tgas:' as a word; the filter is 'tag:'.")
        assert bar(console).chips == ()


@pytest.mark.slow
async def test_tab_accepts_a_completion_only_while_one_is_shown(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f3")
        await settle(console)
        [tag, *_] = await console.store.memories.facets("tags", Filter(superseded=True))
        await console.press("slash")
        line = bar(console).query_one(AskInput)
        await console.type(f"-tag:{tag.value[:2]}")
        await console.until(lambda: line._suggestion.startswith("-tag:"))
        expected = line._suggestion.removeprefix("-tag:")
        await console.press("tab")
        await console.until(lambda: bar(console).chips == (Chip("tag", expected, "-"),))
        assert line.has_focus
        await console.type("zzz")
        await console.press("tab")
        await console.until(lambda: not line.has_focus)
        memory = (await console.store.page(limit=1)).items[0]
        line.focus()
        line.value = ""
        await console.type(memory.id[:8])
        await console.until(lambda: line._suggestion == memory.id)
        await console.press("right")
        assert line.value == memory.id


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_a_sign_asks_for_all_of_the_values_or_for_none_of_them(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f3")
        await picker(console)
        await go(console, "tag")
        tag = next(iter(offered(console))).partition(":")[2]
        rows = console.app.screen_stack[0].query_one(MemoryTable)
        await console.press("+")
        await settle(console)
        assert bar(console).chips == (Chip("tag", tag, "+"),)
        assert f"+ {tag}" in console.text
        assert 0 < rows.count == await console.store.memories.count(Filter(tags=(tag,)))
        # The same key takes it back, another one changes it.
        await console.press("-")
        await settle(console)
        assert bar(console).chips == (Chip("tag", tag, "-"),)
        assert 0 < rows.count == await console.store.memories.count(Filter(no_tags=(tag,)))
        assert f"- {tag}" in console.text
        await console.press("-")
        await settle(console)
        assert bar(console).chips == ()
        # In a line that is not empty a sign is text.
        await console.type("a")
        await console.press("+")
        assert console.app.screen.query_one(Input).value == "a+"
        await console.press("ctrl+u")
        # A date takes no sign, so that one can be typed.
        await go(console, "since")
        await console.press("-")
        assert console.app.screen.query_one(Input).value == "-"
        if size[0] >= 80:
            await go(console, "tag")
            assert "+ and" in console.text
            assert "- not" in console.text
        assert "esc close" in console.text
