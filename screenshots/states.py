"""Render the states of the console to look at: ``python screenshots/states.py FOLDER`` (extra ``pictures``).

Each state is drawn in three sizes and in every theme of this program: ``FOLDER/THEME/SIZE/NAME.png``. With ``--only``
states whose name begins with it, ``--theme`` and ``--size`` some of them. Nothing here is committed.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from vestige_tui.tui.app import VestigeApp

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

PROCESSES = 2
PICTURES_PER_PROCESS = 20
"""Pictures after which the processes are replaced: what was drawn stays in their memory."""
SIZES = ((120, 40), (80, 24), (60, 20))
BUSY = (
    "Fitting to",
    "Measuring on",
    "Replaying",
    "Searching…",
    "Opening the store…",
    "Loading",
    "Reading",
    "Counting",
    "Listing",
    "Looking",
)
"""Words of a screen that is not complete yet."""
STILL_SECONDS = 0.3
"""A screen that was the same for so long has settled."""
SETTLE_SECONDS = 12.0
"""Longest wait for a screen to settle."""
QUESTION = "type how do we rotate the signing keys"


@dataclass(frozen=True, slots=True)
class State:
    """State of the console: the store that is open, the place, and the keys that lead there.

    A key is a key of Textual, or ``type TEXT``.
    """

    name: str
    place: str
    keys: Sequence[str] = ()
    store: str = "demo"
    """Name in the dictionary of ``make_stores``."""
    read_only: bool = False
    first_start: bool = False
    """The hints of the first start are shown."""
    arrange: str = ""
    """``jobs``: jobs in every state are shown."""


STATES = (
    State("search-first", "search"),
    State("search-first-start", "search", first_start=True),
    State("search-hits", "search", (QUESTION, "down")),
    State("search-typing", "search", (QUESTION,)),
    State("search-card", "search", (QUESTION, "down", "enter")),
    State("search-empty", "search", ("type +zebrafish keys", "down")),
    State("search-phrase-empty", "search", ('type "rotate the moon" keys',)),
    State("search-filters", "search", ("type type:decision tag:keys rotate", "down")),
    State("search-bad-filter", "search", ("type since:never keys",)),
    State("search-literal", "search", ("type SET lock_timeout", "down", "m", "m", "m")),
    State("search-explain", "search", (QUESTION, "down", "x")),
    State("search-why-not", "search", (QUESTION, "down", "w")),
    State("search-grade", "search", (QUESTION, "down", "R")),
    State("search-link", "search", (QUESTION, "down", "l")),
    State("browse", "browse", ("j", "j", "j")),
    State("browse-card", "browse", ("j", "enter")),
    State("browse-selection", "browse", ("space", "space", "space")),
    State("browse-sort", "browse", ("s",)),
    State("browse-tag", "browse", ("t",)),
    State("browse-fields", "browse", ("E",)),
    State("browse-delete", "browse", ("space", "space", "d")),
    State("browse-supersede", "browse", ("S",)),
    State("browse-filter-picker", "browse", ("f",)),
    State("browse-filter-carry", "browse", ("F",)),
    State("browse-filter-save", "browse", ("slash", "type type:decision ", "ctrl+s")),
    State("browse-filter-none", "browse", ("slash", "type tag:nosuchtag ")),
    State("browse-suspended", "browse", ("slash", "type is:suspended ", "down")),
    State("browse-journal", "browse", ("J",)),
    State("review-statistics", "review", ("h",)),
    State("review-statistics-many", "review", ("h",), store="reviewed"),
    State("review-statistics-empty", "review", ("h",), store="empty"),
    State("review-statistics-one", "review", ("h",), store="once"),
    State("review-statistics-fit", "review", ("h", "f"), store="reviewed"),
    State("review-statistics-fit-refused", "review", ("h", "f"), store="once"),
    State("browse-users", "browse", ("W",)),
    State("browse-users-empty", "browse", ("W",), store="empty"),
    State("browse-users-viewed", "browse", ("W", "a")),
    State("browse-users-owner", "browse", ("W", "enter")),
    State("browse-fields-owner", "browse", ("E", "tab", "tab")),
    State("browse-past-moment", "browse", ("T", "type 2026-05-01", "enter")),
    State("browse-past-due", "browse", ("T", "type 2026-09-01", "enter", "slash", "type is:due ", "down")),
    State("browse-past-moment-asked", "browse", ("T",)),
    State("browse-decision", "browse", ("<",)),
    State("browse-compare", "browse", ("C",)),
    State("browse-lineage", "browse", ("<", "H")),
    State("browse-compare-decisions", "browse", ("C", "s", "type 2026-01-01", "enter")),
    State("browse-past-journal", "browse", ("T", "type 2026-05-01", "enter", "J")),
    State("review-past-moment", "review", ("T", "type 2026-05-01", "enter")),
    State("browse-legend", "browse", ("K",)),
    State("domains", "browse", ("D", "j")),
    State("domains-set", "browse", ("D", "s")),
    State("domains-near", "browse", ("D", "tab", "space", "space")),
    State("domains-assign", "browse", ("D", "tab", "space", "space", "a")),
    State("domains-rename", "browse", ("D", "r", "type x", "enter")),
    State("domains-merge", "browse", ("D", "m", "type api", "enter")),
    State("domains-empty", "browse", ("D",), store="empty"),
    State("review-question", "review"),
    State("review-answer", "review", ("space",)),
    State("review-graded", "review", ("space", "3")),
    State("review-long-question", "review", store="long"),
    State("review-long-answer", "review", ("space",), store="long"),
    State("review-practice", "review", ("space", "1"), store="long"),
    State("review-practice-answer", "review", ("space", "1", "space"), store="long"),
    State("review-ended", "review", ("space", "3"), store="long"),
    State("review-nothing-due", "review", store="empty"),
    State("jobs-none", "jobs"),
    State("jobs-copy-wizard", "jobs", ("c",)),
    State("jobs-verify-wizard", "jobs", ("v",)),
    # Its jobs stay in the store.
    State("jobs", "jobs", arrange="jobs"),
    State("jobs-findings", "jobs", ("enter", "G"), arrange="jobs"),
    State("jobs-finding", "jobs", ("enter", "G", "enter"), arrange="jobs"),
    State("registry", "registry"),
    State("registry-reembed", "registry", ("j", "j", "r")),
    State("registry-models", "registry", ("j", "j", "j", "D")),
    State("store", "store"),
    State("store-vacuum", "store", ("v",)),
    State("store-backup", "store", ("b",)),
    State("store-backup-written", "store", ("b", "enter")),
    State("store-restore", "store", ("B",)),
    State("store-restore-list", "store", ("b", "enter", "f3", "d", "y", "f7", "B", "enter")),
    State("store-doctor", "store", ("d",)),
    State("store-doctor-faults", "store", ("d",), store="faulty"),
    State("store-doctor-sheet", "store", ("d", "j", "enter"), store="faulty"),
    State("store-doctor-fix", "store", ("d", "F"), store="faulty"),
    State("help", "search", ("down", "question_mark")),
    State("help-review", "review", ("question_mark",)),
    State("help-read-only", "browse", ("question_mark",), read_only=True),
    State("palette", "search", ("ctrl+p",)),
    State("palette-theme", "search", ("ctrl+p", "type theme")),
    State("read-only-browse", "browse", ("d",), read_only=True),
    State("read-only-review", "review", ("space", "3"), read_only=True),
    State("empty-search", "search", store="empty"),
    State("empty-browse", "browse", store="empty"),
    State("empty-registry", "registry", store="empty"),
    State("hostile-browse", "browse", ("j",), store="hostile"),
    State("missing-store", "search", store="missing"),
    State("refused-file", "search", store="foreign"),
    State("refused-details", "search", ("escape", "exclamation_mark"), store="foreign"),
    State("unreachable-server", "search", store="unreachable"),
)


_SOME = "(SELECT id FROM knowledge_nodes ORDER BY id LIMIT"
LONG_TEXT = "How the signing keys are rotated\n\n" + "\n\n".join(
    f"{number}. Step {number} of the rotation: "
    + "the old key stays valid for a day while every host takes the new one; " * 3
    for number in range(1, 13)
)
FAULTS: tuple[tuple[str, tuple[object, ...]], ...] = (
    (f"UPDATE node_embeddings SET embedding = zeroblob(length(embedding)) WHERE node_id IN {_SOME} 3)", ()),
    (f"UPDATE node_embeddings SET embedding = x'00' WHERE node_id IN {_SOME} 12 OFFSET 3)", ()),
    (f"UPDATE knowledge_nodes SET created_at = 'soon' WHERE id IN {_SOME} 2 OFFSET 40)", ()),
    (f"UPDATE knowledge_nodes SET tags = '[broken' WHERE id IN {_SOME} 4 OFFSET 50)", ()),
    ("UPDATE scheduling SET stability = -3 WHERE memory_id IN (SELECT memory_id FROM scheduling LIMIT 2)", ()),
    ("INSERT INTO edges (source_id, target_id, created_at) VALUES ('gone', 'lost', '2026-05-01T12:00:00+00:00')", ()),
    ("INSERT INTO knowledge_nodes (id, content, created_at, updated_at)"
     " SELECT upper(id), 'twin', created_at, updated_at"
     " FROM knowledge_nodes ORDER BY id LIMIT 1", ()),
    ("CREATE TABLE notes_of_another_program (note TEXT)", ()),
    ("INSERT INTO notes_of_another_program VALUES ('one'), ('two')", ()),
)  # fmt: skip
"""Faults of the store "faulty"."""


async def settled(pilot: Pilot[None]) -> None:
    """Wait until the screen does not change any more."""
    from tests.support.pictures import screen_lines

    deadline, lines, since = time.monotonic() + SETTLE_SECONDS, [""], time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < STILL_SECONDS:
        await pilot.pause(0.05)
        shown = screen_lines(pilot.app)
        if shown != lines or any(word in line for line in shown for word in BUSY):
            lines, since = shown, time.monotonic()


@dataclass(frozen=True, slots=True)
class Picture:
    """One state in one size and theme, and the file to write."""

    state: State
    url: str
    size: tuple[int, int]
    theme: str
    path: Path


def draw(wanted: Picture) -> Path:
    """Draw a picture in this process, on a copy of its store: many states change it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Titles shorten paths below the home directory, and the user's own jobs and settings must not appear.
        os.environ.update(HOME=folder, XDG_STATE_HOME=f"{folder}/state", XDG_DATA_HOME=f"{folder}/data")
        url = wanted.url
        if url.startswith("sqlite:"):
            source = Path(url.removeprefix("sqlite:"))
            url = f"sqlite:{Path(folder) / source.name}"
            if source.exists():
                shutil.copy(source, folder)
        asyncio.run(render(wanted, url))
    return wanted.path


async def render(wanted: Picture, url: str) -> None:
    """Open the console on a store, go to the state, and write its picture."""
    from tests.support.pictures import picture
    from tests.support.sample_jobs import show_jobs
    from vestige_tui.config.settings import Config
    from vestige_tui.tui.app import VestigeApp
    from vestige_tui.tui.console_state import ConsoleState

    state = wanted.state
    kept = ConsoleState(Path(os.environ["XDG_STATE_HOME"]) if state.first_start else None)
    app = VestigeApp(Config(theme=wanted.theme), url, read_only=state.read_only, state=kept)
    arrangements: dict[str, Callable[[VestigeApp], Awaitable[object]]] = {"jobs": show_jobs}
    async with app.run_test(size=wanted.size, notifications=True) as pilot:
        deadline = time.monotonic() + SETTLE_SECONDS
        while state.store in ("demo", "faulty", "empty", "hostile", "long") and time.monotonic() < deadline:
            if app.session.store and app.session.facts.memories is not None and app.session.embedders.state == "ready":
                break
            await pilot.pause(0.05)
        await settled(pilot)
        if state.place != "search":
            app.switch_mode(state.place)
            await settled(pilot)
        if state.arrange:
            await arrangements[state.arrange](app)
        for key in state.keys:
            if key.startswith("type "):
                for character in key.removeprefix("type "):
                    await pilot.press({" ": "space"}.get(character, character))
            else:
                await pilot.press(key)
            await settled(pilot)
        await picture(pilot, wanted.path)


async def make_stores(folder: Path) -> dict[str, str]:
    """Create the stores that the states need; return their URLs by name."""
    from tests.support.planted_faults import plant
    from vestige_tui.core.memories import Draft
    from vestige_tui.sample_store import fill
    from vestige_tui.store.open import open_store

    urls = {
        name: f"sqlite:{folder / f'{name}.db'}"
        for name in ("demo", "faulty", "empty", "hostile", "long", "missing", "foreign", "reviewed", "once")
    }
    async with open_store(urls["demo"], create=True) as store:
        await fill(store, datetime.now(UTC))
    async with open_store(urls["faulty"], create=True) as store:
        await fill(store, datetime.now(UTC))
    plant(urls["faulty"], FAULTS)
    async with open_store(urls["empty"], create=True):
        pass
    await _fill_with_reviews(urls)
    hostile = "\x1b[2J\u202eevil [bold]x[/bold] [/] " + "long " * 60
    async with open_store(urls["hostile"], create=True) as store:
        for text in (hostile, "👩‍👩‍👧 family, 鍵は九十日ごとに更新, مفتاح", "plain"):
            await store.insert(Draft(text, tags=("[red]", "a" * 200), domains=(hostile[:200],), node_type="[/bold]"))
    async with open_store(urls["long"], create=True) as store:
        await store.insert(
            Draft(LONG_TEXT, tags=("signing-keys", "deploy"), domains=("security",), node_type="procedure")
        )
    (folder / "foreign.db").write_text("no database " * 1_000)
    return {**urls, "unreachable": "postgresql://me:secret@127.0.0.1:1/memories"}


async def _fill_with_reviews(urls: dict[str, str]) -> None:
    """Fill a store with about 10,000 reviews that end today, and one with a single review."""
    from tests.support.synthetic_reviews import fill as fill_with_reviews
    from vestige_tui.core.memories import Draft
    from vestige_tui.core.reviews import Rating
    from vestige_tui.store.open import open_store

    async with open_store(urls["reviewed"], create=True) as store:
        await fill_with_reviews(store, 1_800)
    async with open_store(urls["once"], create=True) as store:
        [memory_id] = (await store.insert(Draft("Signing keys rotate every 90 days"), embed=False)).changed
        await store.reviews.record(memory_id, Rating.GOOD)


def wanted_pictures(args: argparse.Namespace, urls: dict[str, str]) -> list[Picture]:
    """Return the pictures that the command line names."""
    states = [state for state in STATES if not args.only or state.name.startswith(tuple(args.only))]
    sizes = [(x, y) for x, y in SIZES if not args.size or f"{x}x{y}" in args.size]
    return [
        Picture(state, urls[state.store], (x, y), theme, args.folder / theme / f"{x}x{y}" / f"{state.name}.png")
        for state in states
        for theme in args.theme
        for x, y in sizes
    ]


def main(arguments: Sequence[str]) -> None:
    from vestige_tui.tui.themes import THEMES

    themes = [theme.name for theme in THEMES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="names that begin with this")
    parser.add_argument("--theme", action="append", choices=themes, help="default: all")
    parser.add_argument("--size", action="append", choices=[f"{x}x{y}" for x, y in SIZES], help="default: all")
    args = parser.parse_args(arguments)
    args.theme = args.theme or themes
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pictures = wanted_pictures(args, asyncio.run(make_stores(Path(folder))))
        for start in range(0, len(pictures), PICTURES_PER_PROCESS * PROCESSES):
            part = pictures[start : start + PICTURES_PER_PROCESS * PROCESSES]
            with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
                for drawn in as_completed([processes.submit(draw, wanted) for wanted in part]):
                    print(drawn.result(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
