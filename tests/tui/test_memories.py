"""Commands on memories: those that come late, that meet what somebody else did, or that have nothing to act on."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.screen import ModalScreen
from textual.widgets import Static

from tests.support.console import Console, open_browse, open_console
from tests.support.corpus import ACTIVE, PINNED, second_handle
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.memories import Draft, Memory
from vestige_tui.core.search import Answer, SearchQuery
from vestige_tui.tui.console_offers import console_offers
from vestige_tui.tui.dialogs.modals import Ask, Confirm, Pick
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.widgets.memory_card import MemoryCard
from vestige_tui.tui.widgets.status_line import StatusLine


class Slow:
    """Holds the answers of one method of a store back until ``go_on`` is set."""

    def __init__(self, patch: pytest.MonkeyPatch, store: object, name: str) -> None:
        self.go_on = asyncio.Event()
        self.asked = 0
        self._answers = getattr(store, name)
        patch.setattr(store, name, self._answer)

    async def _answer(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        await self.go_on.wait()
        return await self._answers(*args, **options)


def dialogs(console: Console) -> int:
    """How many dialogs lie over the place."""
    return sum(isinstance(screen, ModalScreen) for screen in console.app.screen_stack)


async def burst(console: Console, *keys: str) -> None:
    """Press keys as fast as a terminal sends them: none waits for what the one before it did."""
    for key in keys:
        console.app.post_message(events.Key(key, key))
    await console.pilot.pause()


def writing(console: Console) -> bool:
    """Whether a command has begun and not ended."""
    return any(worker.group in ("write", "pick") and not worker.is_finished for worker in console.app.workers)


@pytest.mark.slow
async def test_what_would_go_is_looked_at_and_asked_only_where_one_still_is(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        slow = Slow(monkeypatch, console.store.bulk, "preview")
        await console.press("space", "space", "d")
        await console.until("Reading what would be deleted…")
        await console.press("f2")
        await console.until(lambda: console.app.current_mode == "search")
        slow.go_on.set()
        await console.until(lambda: not writing(console))
        assert dialogs(console) == 0
        await console.type("why")
        await console.press("f3")
        await console.until("Nothing was deleted: you left while it was loading.")
        assert len(await console.store.memories.get_many([memory.id for memory in table.selected])) == 2


@pytest.mark.slow
async def test_a_slow_look_leaves_no_sentence_behind(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        slow = Slow(monkeypatch, console.store.bulk, "preview")
        await console.press("space", "space", "d")
        await console.until("Reading what would be deleted…")
        slow.go_on.set()
        await console.until(lambda: isinstance(console.app.screen, Confirm))
        await console.press("escape")
        await console.until(lambda: dialogs(console) == 0)
        assert "Reading what would" not in console.text


@pytest.mark.slow
@pytest.mark.parametrize(("key", "dialog"), [("d", Confirm), ("t", Ask), ("R", Pick), ("l", Ask), ("S", Ask)])
async def test_a_key_pressed_twice_asks_once(corpus: Path, key: str, dialog: type[ModalScreen[object]]) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("space", "space")
        await burst(console, key, key)
        await console.until(lambda: isinstance(console.app.screen, dialog))
        await console.until(lambda: len([each for each in console.app.workers if each.group == "write"]) == 1)
        assert dialogs(console) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "method", "said"),
    [
        ("e", "get", "Nothing was edited: you left while it was loading."),
        ("R", "get", "Nothing was graded: you left while it was loading."),
    ],
)
async def test_a_memory_read_late_opens_nothing(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, key: str, method: str, said: str
) -> None:
    monkeypatch.setenv("EDITOR", "false")
    async with open_console(corpus) as console:
        await open_browse(console)
        slow = Slow(monkeypatch, console.store, method)
        await console.press(key)
        await console.until(lambda: slow.asked > 0)
        await console.press("question_mark")
        await console.until(lambda: dialogs(console) == 1)
        slow.go_on.set()
        await console.until(lambda: not writing(console))
        assert dialogs(console) == 1
        await console.press("escape")
        await console.until(said)


@pytest.mark.slow
@pytest.mark.parametrize(("key", "said"), [("l", "Nothing was linked"), ("S", "Nothing was replaced")])
async def test_memories_found_late_are_not_offered_elsewhere(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, key: str, said: str
) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        slow = Slow(monkeypatch, console.store, "search")
        await console.press(key)
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("webhook retry schedule")
        await console.press("enter")
        await console.until(lambda: slow.asked > 0)
        await console.press("f7")
        await console.until(lambda: console.app.current_mode == "store")
        slow.go_on.set()
        await console.until(lambda: not writing(console))
        assert dialogs(console) == 0
        await console.press("f3")
        await console.until(said)


@pytest.mark.slow
async def test_an_explanation_opens_only_over_its_search(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        await console.paste("webhook retry ")
        await console.until("best 20")
        await console.still()
        place = console.app.screen
        slow = Slow(monkeypatch, place, "current_filter")
        await console.press("down", "x")
        await console.until(lambda: slow.asked > 0)
        await console.press("f3")
        await console.until(lambda: console.app.current_mode == "browse")
        slow.go_on.set()
        await console.until(lambda: not writing(console))
        assert len(console.app.screen_stack) == 1
        await console.press("f2")
        await console.until("Nothing was explained: you left while it was loading.")


@pytest.mark.slow
async def test_the_palette_gives_the_same_commands(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await open_browse(console)
        await console.press("space", "space", "ctrl+p")
        await console.until("Type the name of a command")
        await console.paste("delete")
        await console.until("Delete the memory or the selection")
        await console.press("enter")
        await console.until("Delete 2 memories?")


@pytest.mark.slow
async def test_the_tags_of_a_large_selection_leave_room_for_the_line(corpus: Path) -> None:
    async with second_handle(corpus) as other:
        for number in range(3):
            tags = tuple(f"a-tag-of-some-length-{number}-{each}" for each in range(60))
            await other.insert(Draft(f"Tagged all over, number {number}", tags=tags))
    async with open_console(corpus, (80, 24)) as console:
        await open_browse(console)
        await console.press("space", "space", "space", "t")
        await console.until("Tags of 3 memories")
        shown = console.text.count("a-tag-of-some-length")
        assert 0 < shown < 20
        assert f"and {180 - shown} more" in console.text
        assert "+add -remove" in console.text
        assert "esc cancel" in console.text


async def test_no_other_memory_stays_on_the_card_while_one_is_read(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(corpus, (80, 24)) as console:
        table = await open_browse(console)
        card = console.app.screen.query_one(MemoryCard)
        before = table.current
        assert before is not None
        assert card.detail is not None
        assert card.detail.memory.id == before.id
        slow = Slow(monkeypatch, console.store, "get")
        await console.press("j", "enter")
        assert table.current not in (before, None)
        assert card.has_class("-empty")
        slow.go_on.set()
        await console.still()
        assert card.detail is not None
        assert table.current is not None
        assert card.detail.memory.id == table.current.id


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_memory_that_cannot_be_read_leaves_no_other_on_the_card(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    async with open_console(corpus, size) as console:
        table = await open_browse(console)
        card = console.app.screen.query_one(MemoryCard)
        get = console.store.get

        async def broken(memory_id: str) -> Memory:
            raise Unavailable("The store is busy.")

        monkeypatch.setattr(console.store, "get", broken)
        await console.press("j")
        await console.until("The store is busy.")
        assert card.detail is None
        monkeypatch.setattr(console.store, "get", get)
        await console.press("ctrl+r", "k", "j")
        await console.until(lambda: card.detail is not None and card.detail.memory == table.current)


@pytest.mark.slow
async def test_a_selection_of_which_some_are_gone_is_tagged_as_far_as_it_is_there(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("space", "space", "space")
        gone, *left = [memory.id for memory in table.selected]
        await console.press("t")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        async with second_handle(corpus) as other:
            await other.delete([gone])
        await console.paste("+checked")
        await console.press("enter")
        await console.until("Tag 2 memories: +checked?")
        assert "One memory was deleted elsewhere." in console.text
        await console.press("y")
        await console.until("Tagged 2 memories: +checked")
        assert [memory.id for memory in table.selected] == left
        assert all("checked" in memory.tags for memory in await console.store.memories.get_many(left))


@pytest.mark.slow
async def test_a_selection_of_which_some_are_gone_is_deleted_as_far_as_it_is_there(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("space", "space", "space", "space")
        first, second, *left = [memory.id for memory in table.selected]
        async with second_handle(corpus) as other:
            await other.delete([first])
            await console.press("d")
            await console.until("Delete 3 memories?")
            assert "One memory was deleted elsewhere." in console.text
            # And one more while the person reads: nothing is deleted unseen.
            await other.delete([second])
        await console.press("y")
        await console.until(f"1 of the 3 memories, {second[:8]}, was changed elsewhere meanwhile; nothing was saved.")
        assert len(await console.store.memories.get_many(left)) == 2
        await console.until("Delete 2 memories?")
        await console.press("y")
        await console.until("Deleted 2 memories")
        assert table.selected == ()
        assert not await console.store.memories.get_many(left)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["t", "d"])
async def test_a_selection_that_is_gone_is_said_to_be(corpus: Path, key: str) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        await console.press("space", "space")
        async with second_handle(corpus) as other:
            await other.delete([memory.id for memory in table.selected])
        await console.press(key)
        if key == "t":
            await console.until(lambda: isinstance(console.app.screen, Ask))
            await console.paste("+checked")
            await console.press("enter")
        await console.until("Nothing to change. 2 memories were deleted elsewhere.")
        await console.until(lambda: table.selected == ())


@pytest.mark.slow
async def test_what_was_tagged_is_counted_not_what_was_selected(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        first = table.current
        assert first is not None
        await console.store.memories.tag([first.id], ["checked"])
        await console.press("space", "space", "space", "t")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste("+checked")
        await console.press("enter")
        await console.until("Left out: 1 memory, because it is already so.")
        await console.press("y")
        await console.until("Tagged 2 memories: +checked (1 left out)")


ON_A_MEMORY = ("e", "y", "Y", "R", "l", "S", "d", "t")


async def test_behind_a_dialog_letters_are_keys_also_where_there_is_nothing(empty_store: Path) -> None:
    async with open_console(empty_store) as console:
        await console.press("f3")
        await console.until("This store has no memories yet.")
        await console.press("question_mark")
        await console.until(lambda: dialogs(console) == 1)
        await console.press("escape")
        await console.until(lambda: dialogs(console) == 0)
        assert console.app.focused is None
        await console.press("e")
        await console.until("There is no memory here.")
        assert console.app.screen.query_one(FilterBar).text == ""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["f2", "f3"])
async def test_keys_without_a_memory_are_shown_to_do_nothing_and_say_why(empty_store: Path, place: str) -> None:
    async with open_console(empty_store, (160, 40)) as console:
        await console.press(place)
        await console.until("This store has no memories yet.")
        await console.press("down")
        await console.until(lambda: console.app.focused is None)
        for key in ON_A_MEMORY:
            assert not console.app.screen.active_bindings[key].enabled
            await console.press("exclamation_mark", key)
            await console.until("There is no memory here.")
            assert dialogs(console) == 0
            await console.press("escape" if place == "f3" else "ctrl+r")
            await console.until("There is no memory here.", gone=True)
            if place == "f2":
                await console.press("down")
        assert console.app.screen.active_bindings["a"].enabled


@pytest.mark.slow
async def test_keys_on_a_row_that_is_still_loaded_say_so_and_work_once_it_is_here(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(corpus, (160, 40)) as console:
        table = await open_browse(console)
        screen = console.app.screen
        told: list[bool] = []
        screen.bindings_updated_signal.subscribe(table, lambda _: told.append(screen.active_bindings["e"].enabled))
        slow = Slow(monkeypatch, console.store, "page")
        await console.press("G")
        assert table.current is None
        for key in (*ON_A_MEMORY, "enter", "space"):
            screen.query_children(StatusLine).last().say("")
            await console.press(key)
            await console.until("This row is still loading.")
        # Rows that come at once change no key; those that are waited for do.
        await console.until(lambda: told == [False])
        slow.go_on.set()
        await console.until(lambda: table.current is not None)
        await console.until(lambda: told == [False, True])
        await console.press("Y")
        await console.until("Sent the id")
        await console.press("j", "k", "k", "g")
        await console.still()
        assert told == [False, True]


@pytest.mark.slow
async def test_commands_wait_for_a_selection_that_is_still_being_made(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        slow = Slow(monkeypatch, console.store, "page")
        await console.press("asterisk")
        assert table.selecting
        for key in ("d", "t", "y", "Y", "space"):
            console.app.screen.query_children(StatusLine).last().say("")
            await console.press(key)
            await console.until("Still selecting…")
            assert dialogs(console) == 0
        [export] = [each for each in console_offers(console.app) if each.name.startswith("Export")]
        assert export.reason == "Still selecting…"
        slow.go_on.set()
        await console.until(f"{ACTIVE} selected")
        [export] = [each for each in console_offers(console.app) if each.name.startswith("Export")]
        assert (export.name, export.reason) == ("Export selection…", "")
        await console.press("d")
        await console.until(f"Delete {ACTIVE - PINNED} memories?")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["f2", "f3"])
async def test_a_long_text_names_the_keys_that_work_where_one_is(corpus: Path, place: str) -> None:
    async with second_handle(corpus) as other:
        await other.insert(Draft("a long one " * 3000))
    async with open_console(corpus) as console:
        await console.press(place)
        await console.still()
        await console.press("down" if place == "f2" else "home")
        cut = console.app.screen.query_one("#card-cut", Static)
        await console.until(lambda: "enter, then w, shows the full text" in str(cut.content))
        await console.press("enter")
        await console.until(lambda: "characters; w shows the full text" in str(cut.content))
        await console.press("w")
        await console.until(lambda: "full text" not in str(cut.content))
        await console.press("escape")
        await console.until(lambda: not console.app.screen.query_one(MemoryCard).has_focus)


@pytest.mark.slow
async def test_a_slow_answer_that_fails_is_announced_no_more(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_console(corpus) as console:
        await console.type("zone")
        await console.until("best 20")
        await console.still()
        fail = asyncio.Event()

        async def broken(query: SearchQuery) -> Answer:
            await fail.wait()
            raise Unavailable("The store is busy.")

        monkeypatch.setattr(console.store, "search", broken)
        await console.type(" a")
        await console.until("searching")
        fail.set()
        await console.until("The store is busy.")
        assert "searching" not in console.text
        assert "best 20" in console.text


async def test_what_is_empty_names_the_keys_of_ones_own(empty_store: Path) -> None:
    keys = {
        "memory.add": "n",
        "filter.pick": "p,ctrl+t",
        "place.back": "ctrl+g",
    }
    async with open_console(empty_store, keys=keys) as console:
        await console.until("This store has no memories yet.")
        assert re.search(r"↓ n +add the first memory", console.text)
        await console.press("f3")
        await console.until(lambda: console.app.current_mode == "browse")
        await console.until(lambda: bool(re.search(r"\bn +add the first memory", console.text)))
        console.app.screen.query_one(FilterBar).set_chips([Chip("tag", "nowhere")])
        await console.until("No memory passes these filters.")
        assert re.search(r"\bctrl\+t +change the filters", console.text)
        assert re.search(r"\bctrl\+g +clear the filters", console.text)


@pytest.mark.slow
async def test_a_tag_that_is_too_long_is_refused_in_a_sentence(corpus: Path) -> None:
    async with open_console(corpus) as console:
        table = await open_browse(console)
        memory = table.current
        assert memory is not None
        await console.press("t")
        await console.until(lambda: isinstance(console.app.screen, Ask))
        await console.paste(f"+{'t' * 256}")
        await console.press("enter")
        await console.until("A tag can have at most 255 characters, not 256.")
        assert (await console.store.get(memory.id)).tags == memory.tags
