"""The frame of every place: what the lines at its top and bottom keep where there is little room, and help."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.content import Content

from tests.support.console import Console, open_console
from tests.support.corpus import embedders
from tests.support.pictures import screen_lines
from vestige_tui.config.settings import Config
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Refused, Unavailable
from vestige_tui.core.health import Stats
from vestige_tui.core.text import cells
from vestige_tui.store.maintenance import MaintenanceService
from vestige_tui.store.models import ModelService
from vestige_tui.store.store import Store
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.commands.memories import EditMemory
from vestige_tui.tui.commands.places import PLACES
from vestige_tui.tui.dialogs.help import Sheet, prose
from vestige_tui.tui.dialogs.palette import Palette as Commands
from vestige_tui.tui.store_session_events import (
    Badge,
    FrameChanged,
    OutageBegan,
    Reported,
    SessionState,
    StoreChanged,
    StoreFacts,
)
from vestige_tui.tui.widgets.header import FactsLine, PlacesLine, cut_path
from vestige_tui.tui.widgets.key_line import KeyLine

STORE = "~/.local/share/core/vestige.db"
OPEN = StoreFacts(STORE, "SQLite", False, 4_961, "all-MiniLM-L6-v2 384", SessionState.LIVE)
EVERY_PLACE = ("f2", "f3", "f4", "f5", "f6", "f7")


class Line(App[None]):
    """One line of the frame alone."""

    def __init__(self, line: FactsLine | PlacesLine | KeyLine) -> None:
        super().__init__()
        self.line = line

    def compose(self) -> ComposeResult:
        yield self.line


# ── the first line ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("width", "told", "left_out"),
    [
        (120, ("vestige", STORE, "SQLite", "4,961 memories", "all-MiniLM-L6-v2 384", "● live"), ()),
        (80, (STORE, "4,961 memories", "all-MiniLM-L6-v2 384", "● live"), ("SQLite",)),
        (60, (STORE, "4,961 memories", "● live"), ("MiniLM",)),
        (40, ("vestige.db", "● live"), ("4,961",)),
    ],
)
async def test_the_least_telling_gives_way_and_the_store_keeps_its_name(
    width: int, told: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    line = FactsLine()
    async with Line(line).run_test(size=(width, 5)) as pilot:
        line.facts = OPEN
        await pilot.pause()
        shown = screen_lines(pilot.app)[0]
        assert all(words in shown for words in told), shown
        assert not any(words in shown for words in left_out), shown


@pytest.mark.parametrize("width", range(20, 130, 7))
async def test_the_first_line_fits_and_says_what_a_person_must_know(width: int) -> None:
    line = FactsLine()
    async with Line(line).run_test(size=(width, 5)) as pilot:
        name = "~/倉庫/" + "long " * 30 + "end.db"
        line.facts = StoreFacts(name, "SQLite", True, 4_961, "m 8", SessionState.RECONNECTING)
        await pilot.pause()
        shown = screen_lines(pilot.app)[0]
        assert cells(shown) <= width
        assert "◐" in shown
        if width >= 50:
            assert "end.db  " in shown
            assert "read-only   ◐ reconnecting" in shown or "read-only   4,961" in shown


async def test_one_memory_is_one() -> None:
    line = FactsLine()
    async with Line(line).run_test(size=(120, 5)) as pilot:
        line.facts = replace(OPEN, memories=1)
        await pilot.pause()
        assert "   1 memory   " in screen_lines(pilot.app)[0]


def test_of_a_path_the_end_is_kept_and_of_a_url_the_beginning() -> None:
    assert cut_path(STORE, 40) == STORE
    assert cut_path(STORE, 12) == "…/vestige.db"
    assert cut_path("postgresql://db7.example.org/archive", 20) == "postgresql://db7.ex…"
    assert cells(cut_path("~/倉庫倉庫倉庫", 6)) <= 6


# ── the places ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("width", [120, 80])
async def test_every_place_is_named_with_its_key(width: int) -> None:
    line = PlacesLine()
    async with Line(line).run_test(size=(width, 5)) as pilot:
        line.here = "jobs"
        line.badges = {"review": Badge("35", waiting=True), "jobs": Badge("►1")}
        await pilot.pause()
        shown = screen_lines(pilot.app)[0]
        for place in PLACES:
            assert f"{place.key.upper()} {place.title}" in shown
        assert "F4 Review 35" in shown
        assert "▌F5 Jobs ►1" in shown


async def test_where_there_is_no_room_the_keys_stay_and_the_place_one_is_at_is_named() -> None:
    line = PlacesLine()
    async with Line(line).run_test(size=(60, 5)) as pilot:
        line.here = "jobs"
        line.badges = {"review": Badge("35", waiting=True)}
        await pilot.pause()
        assert screen_lines(pilot.app)[0].split() == ["F2", "F3", "F4·35", "▌F5", "Jobs", "F6", "F7"]


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_a_click_on_a_place_goes_there(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        at = console.lines[1].index("F7")
        await console.pilot.click(offset=(at + 1, 1))
        await console.until("▌F7 Store")


# ── the keys ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Keys(Line):
    """Six keys, some of which do nothing just now."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [  # noqa: RUF012 - Textual declares it so
        Binding("a", "one", "first"),
        Binding("b", "two", "second"),
        Binding("c", "three", "third"),
        Binding("d", "four", "fourth"),
        Binding("escape", "out", "back", key_display="esc"),
    ]

    def __init__(self, resting: set[str]) -> None:
        super().__init__(KeyLine())
        self.resting = resting

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return None if action in self.resting else True

    @property
    def shown(self) -> list[str]:
        written = screen_lines(self)[-1].replace("^q Quit", "")
        return [key for key in re.split(" {2,}", written.strip()) if key]


@pytest.mark.parametrize(
    ("width", "resting", "shown"),
    [
        (60, {"one", "three"}, ["a first", "b second", "c third", "d fourth", "esc back"]),
        (48, {"one", "three"}, ["a first", "b second", "d fourth", "esc back"]),
        (36, {"one", "three"}, ["b second", "d fourth", "esc back"]),
        (36, set(), ["a first", "b second", "esc back"]),
        (14, set(), ["esc back"]),
    ],
)
async def test_keys_that_rest_give_way_first_and_the_way_back_stays(
    width: int, resting: set[str], shown: list[str]
) -> None:
    app = Keys(resting)
    async with app.run_test(size=(width, 5)) as pilot:
        await pilot.pause()
        assert app.shown == shown


# ── help ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prose_is_set_anew_and_names_keys_as_keys() -> None:
    set_anew = prose("Press `c` to\ncopy, or\n`ctrl+r`.\n\nAnother\nparagraph.\n")
    assert set_anew.plain == "Press c to copy, or ctrl+r.\n\nAnother paragraph."
    keys = {set_anew.plain[span.start : span.end] for span in set_anew.spans if "accent" in str(span.style)}
    assert keys == {"c", "ctrl+r"}
    assert isinstance(set_anew, Content)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_help_uses_the_height_and_has_no_backticks(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        for place in EVERY_PLACE:
            await console.press(place, "escape", "f1")
            await console.until("all commands")
            assert "`" not in "".join(line.partition("▌")[2] for line in console.lines[2:])
            # Keys come first, prose last. Vim's motions work here too.
            sheet = console.app.screen.query_one(Sheet).render().plain
            below = prose(console.app.screen_stack[-2].HELP or "").plain
            assert sheet.index("Quit the console; jobs keep running") < sheet.index(below)
            assert sheet.endswith(below)
            # A reason that is that of a few keys is not what the eye meets first.
            assert sheet.find("Disabled now: n.") == -1 or sheet.index("Disabled now: n.") > sheet.index("Quit the")
            await console.press("G")
            await console.until(below.split()[-1])
            await console.press("escape")
            await console.until("all commands", gone=True)
        await console.press("f1")
        await console.until("all commands")
        written = [line for line in console.lines if line.partition("▌")[2].strip()]
        assert len(written) >= size[1] * 3 // 5


@pytest.mark.slow
async def test_every_command_can_be_looked_for_from_help(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f3", "f1")
        await console.until("all commands")
        await console.press("ctrl+p")
        await console.until("all commands", gone=True)
        await console.until(lambda: isinstance(console.app.screen, Commands))
        await console.type("edit")
        await console.until(EditMemory.help)
        await console.press("escape")
        await console.until(lambda: console.app.screen.id == "browse")


# ── what just happened ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_what_just_happened_is_not_said_again_when_one_comes_back(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f7")
        await console.until("No problems found.")
        await console.press("ctrl+r")
        await console.until("Refreshed.")
        # A dialog in front is no leaving.
        await console.press("question_mark")
        await console.until("all commands")
        await console.press("escape")
        await console.until("Refreshed.")
        await console.press("f3")
        await console.until("▌F3 Browse")
        await console.press("f7")
        await console.until("▌F7 Store")
        assert "Refreshed." not in console.text


# ── what the console does by itself ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "said"),
    [(Unavailable("The line is cut."), "The line is cut."), (RuntimeError("a bug"), "Unexpected error")],
    ids=["outage", "bug"],
)
async def test_vectors_that_could_not_be_made_are_not_said_to_be_under_way(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    told: list[str] = []

    async def broken(service: ModelService, progress: Callable[[int, int], None] | None = None) -> int:
        assert progress is not None
        progress(64, 700)
        told.append(console.banner)
        raise error

    async with open_console(corpus) as console:
        monkeypatch.setattr(ModelService, "fill", broken)
        console.app.session.prepare_model()
        await console.until(said)
        assert told == ["Embedding memories without a vector: 64 of 700."]
        assert console.banner == ""
        assert "Embedding memories without" not in console.text


async def test_a_refusal_in_the_middle_ends_what_is_said_of_missing_vectors(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()

    async def broken(service: ModelService, progress: Callable[[int, int], None] | None = None) -> int:
        assert progress is not None
        progress(64, 700)
        refused.set()
        raise Refused("A job makes all of them.")

    async with open_console(corpus) as console:
        monkeypatch.setattr(ModelService, "fill", broken)
        console.app.session.prepare_model()
        await asyncio.wait_for(refused.wait(), 30)
        await console.until(lambda: console.banner == "")
        await console.until("Embedding memories without", gone=True)


async def test_a_model_that_could_not_be_read_is_not_said_to_be_loading(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    other = ModelSignature("another-model", 32)

    async def follows(store: Store) -> ModelSignature:
        return other

    async def lost(store: Store) -> ModelSignature:
        told.append(console.banner)
        raise Unavailable("The line is cut.")

    async with open_console(corpus) as console:
        await console.until(lambda: console.app.session.embedders.state == "ready")
        monkeypatch.setattr(ModelService, "refresh", follows)
        monkeypatch.setattr(ModelService, "registered", lost)
        console.app.session.note_change()
        await console.until("The line is cut.")
        assert "Loading another-model: the store now uses it instead of test-embedder-64." in told
        assert console.banner == ""


@pytest.mark.slow
async def test_what_an_outage_cut_off_of_the_model_is_gone_on_with(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats, whole = MaintenanceService.stats, asyncio.Event()
    tries: list[bool] = []

    async def filling(service: ModelService, progress: Callable[[int, int], None] | None = None) -> int:
        tries.append(whole.is_set())
        if not whole.is_set():
            raise Unavailable("The line is cut.")
        return 0

    async def looked(service: MaintenanceService) -> Stats:
        if not whole.is_set():
            raise Unavailable("The line is cut.")
        return await stats(service)

    async with open_console(corpus) as console:
        monkeypatch.setattr(ModelService, "fill", filling)
        monkeypatch.setattr(MaintenanceService, "stats", looked)
        console.app.session.note_change()
        await console.until("◐ reconnecting")
        console.app.session.prepare_model()
        await console.until(lambda: tries == [False])
        whole.set()
        await console.until("● live")
        await console.until(lambda: tries == [False, True])


# ── a store that cannot be opened ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_every_place_says_why_there_is_no_store_and_what_to_do(size: tuple[int, int]) -> None:
    app = VestigeApp(Config(), "postgresql://me:s3cret@127.0.0.1:1/nowhere", embedders=embedders())
    async with app.run_test(size=size) as pilot:
        console = Console(app, pilot)
        await console.until("The store could not be opened.")
        for place in EVERY_PLACE:
            await console.press(place)
            await console.until(f"▌{place.upper()}")
            for said in ("The store could not be opened.", "cannot be reached", "retries every few seconds"):
                await console.until(said)
            await console.until("ctrl+r  retry now")
            assert "postgresql://127.0.0.1:1/nowhere" in console.lines[0]
            assert "s3cret" not in console.text
            assert "memories created" not in console.text
            assert "the line below" not in console.text
        for key in ("c", "v"):
            await console.press(key)
            await console.until("No store is open.")
            await console.press("escape")
        await console.press("ctrl+r")
        await console.until("Retried; the store still cannot be opened.")


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_where_there_is_no_store_the_whole_sentence_asks_before_one_is_created(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app = VestigeApp(Config(), f"sqlite:{tmp_path / 'no.db'}", embedders=embedders())
    async with app.run_test(size=size) as pilot:
        console = Console(app, pilot)
        await console.until("Create a new memory store here?")
        for way in ("--store", "vestige-tui add TEXT", "vestige-tui demo"):
            assert console.says(way)
        await console.press("escape")
    assert not (tmp_path / "no.db").exists()


async def test_a_store_that_came_to_be_is_opened_when_one_asks(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    app = VestigeApp(Config(), f"sqlite:{path}", read_only=True, embedders=embedders())
    async with app.run_test(size=(80, 24)) as pilot:
        console = Console(app, pilot)
        await console.press("f3")
        await console.until("The store could not be opened.")
        # No server, so it does not come by itself.
        assert "console retries every" not in console.text
        await asyncio.to_thread(corpus.rename, path)
        await console.press("ctrl+r")
        await console.until("355 memories")
        await console.until("The store is open.")
        assert "could not be opened" not in console.text
        # The list has the keyboard, as if nothing had been.
        await console.still()
        await console.press("j", "space")
        await console.until("1 selected")


@pytest.mark.slow
async def test_the_store_is_opened_also_where_what_waits_for_a_paint_is_lost(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a screen that was in front while the console started, and is gone before it was painted."""
    waits = VestigeApp.call_after_refresh

    def losing(self: VestigeApp, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        return callback == self._run_session_once or waits(self, callback, *args, **kwargs)

    monkeypatch.setattr(VestigeApp, "call_after_refresh", losing)
    async with open_console(corpus) as console:
        assert "● live" in console.text


async def test_what_happens_while_the_console_closes_breaks_nothing(corpus: Path) -> None:
    async with open_console(corpus) as console:
        app = console.app
    for event in (FrameChanged(), StoreChanged(), Reported("late", "quiet"), OutageBegan(Unavailable("away"))):
        app._show_event(event)
