"""Every widget on one of a few pages, with made-up memories: to look at, and for tests to walk through.

``python -m tests.support.gallery FOLDER`` writes each page as PNG in the sizes and themes that must look right.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.signal import Signal

from tests.support.pictures import picture
from tests.support.sample_memories import NOW, Source, hits, memory, reviews
from vestige_tui.config.settings import Config
from vestige_tui.core.filter_syntax import Chip
from vestige_tui.core.links import Edge, Lineage, Neighbor
from vestige_tui.core.memories import Change, Memory
from vestige_tui.core.reviews import Rating, Scheduling
from vestige_tui.tui.app import FIRST_PLACE
from vestige_tui.tui.browse.memory_table import MemoryTable
from vestige_tui.tui.commands.catalogue import IN_PLACE
from vestige_tui.tui.commands.command import bindings, key_display
from vestige_tui.tui.commands.everywhere import OpenPalette
from vestige_tui.tui.commands.palette import PaletteEntry, entries_of
from vestige_tui.tui.commands.places import GoToBrowse, GoToJobs, GoToRegistry, GoToReview, GoToSearch, GoToStore
from vestige_tui.tui.console_state import ConsoleState
from vestige_tui.tui.dialogs.modals import Ask, Choice, Confirm, Message, Pick
from vestige_tui.tui.dialogs.palette import Palette
from vestige_tui.tui.filters.bar import FilterBar
from vestige_tui.tui.jobs.job_progress import JobProgressPanel, JobProgressView, RowCounts, TableBar
from vestige_tui.tui.place import Place
from vestige_tui.tui.review.rating_bar import RatingBar
from vestige_tui.tui.search.hit_list import HitList
from vestige_tui.tui.store_session import StoreSession
from vestige_tui.tui.store_session_events import Badge, SessionEvent, SessionState, StoreFacts
from vestige_tui.tui.themes import DEFAULT_THEME, register
from vestige_tui.tui.widgets.empty import Empty
from vestige_tui.tui.widgets.memory_card import MemoryCard
from vestige_tui.tui.widgets.memory_detail import MemoryDetail
from vestige_tui.tui.widgets.retention_plot import ForecastBars, Retention, RetentionPlot
from vestige_tui.tui.widgets.stacked_bar import Part, StackedBar

if TYPE_CHECKING:
    from vestige_tui.core.errors import VestigeError

TEXT = """# Signing keys rotate every 90 days

The old public key stays in the JWKS for **one more period**, because mobile clients cache it.

- rotate on the first Monday
- never delete `kid` values that a token may still name

| key | from | until |
|---|---|---|
| k-17 | May | August |
| k-18 | August | November |
"""


def detail() -> MemoryDetail:
    """Return a memory with everything a card can show."""
    now = NOW
    scheduling = Scheduling(
        stability=24.0,
        difficulty=5.2,
        last_review=now - timedelta(days=12),
        next_review=now + timedelta(days=9),
        reps=4,
        lapses=1,
    )
    shown = replace(
        memory(0, TEXT),
        scheduling=scheduling,
        created_at=now - timedelta(days=124),
        updated_at=now - timedelta(days=40),
        metadata={"source": "session 4711", "vestige": {"sentiment": 0.2, "source": "chat"}},
    )
    older = replace(memory(31), superseded_by=shown.id)
    return MemoryDetail(
        memory=shown,
        edges=(Edge(shown.id, memory(1).id, "supports", 0.9), Edge(memory(6).id, shown.id, "related", 0.4)),
        neighbors=(Neighbor(memory(1), 0.9, 1), Neighbor(memory(6), 0.4, 1), Neighbor(memory(3), 0.31, 2)),
        reviews=reviews(shown.id),
        lineage=Lineage(shown, (Lineage(older, (Lineage(memory(44)),)),)),
    )


class GallerySearch(Place):
    """Input, chips, hits and the card beside them."""

    GO_TO = GoToSearch
    BINDINGS = bindings(*IN_PLACE["search"])
    CSS = """
    GallerySearch HitList { width: 3fr; }
    GallerySearch MemoryCard { width: 2fr; }
    GallerySearch.-medium MemoryCard { display: none; }
    GallerySearch.-narrow MemoryCard { display: none; }
    GallerySearch FilterBar { margin: 1 0; }
    """

    def compose_body(self) -> ComposeResult:
        yield FilterBar("what do you want to know?")
        with Horizontal():
            yield HitList(clock=lambda: NOW)
            yield MemoryCard(clock=lambda: NOW)

    def refresh_place(self) -> None:
        bar = self.query_one(FilterBar)
        bar.set_text("how do we rotate the signing keys")
        bar.set_chips([Chip("type", "decision"), Chip("codebase", "auth")])
        bar.note("hybrid   12 hits, 6 ms")
        self.query_one(HitList).show(hits())
        self.query_one(HitList).focus()
        self.run_worker(self.query_one(MemoryCard).show(detail()), group="card")


class GalleryBrowse(Place):
    """A million rows."""

    GO_TO = GoToBrowse
    BINDINGS = bindings(*IN_PLACE["browse"])

    def compose_body(self) -> ComposeResult:
        yield MemoryTable(clock=lambda: NOW)

    def refresh_place(self) -> None:
        source = Source(1_000_000)
        table = self.query_one(MemoryTable)
        table.set_source(source.total, source.fetch, sort="created")
        table.focus()
        self.say("Deleted 3 memories.", Change((), undo=41))


class GalleryReview(Place):
    """Curve, grades and forecast."""

    GO_TO = GoToReview
    BINDINGS = bindings(*IN_PLACE["review"])
    CSS = """
    GalleryReview #middle { align: center top; padding: 1 4; }
    GalleryReview.-narrow #middle { padding: 0 2; }
    GalleryReview #middle > * { margin: 0 0 1 0; }
    """

    def compose_body(self) -> ComposeResult:
        with Vertical(id="middle"):
            yield RatingBar()
            yield RetentionPlot()
            yield ForecastBars()

    def refresh_place(self) -> None:
        days = {Rating.AGAIN: 1, Rating.HARD: 6, Rating.GOOD: 19, Rating.EASY: 44}
        states = {rating: Scheduling(next_review=NOW + timedelta(days=day)) for rating, day in days.items()}
        bar = self.query_one(RatingBar)
        bar.offer(states, NOW)
        bar.press(Rating.GOOD)
        shown = detail()
        self.query_one(RetentionPlot).show(Retention.of(shown.memory, shown.reviews, NOW))
        self.query_one(ForecastBars).show([37, 12, 9, 0, 4, 15, 22, 8, 3, 1, 0, 0, 6, 11, 9, 2, *([3, 1] * 7)])


class GalleryJobs(Place):
    """A running copy."""

    GO_TO = GoToJobs
    BINDINGS = bindings(*IN_PLACE["jobs"])
    CSS = "GalleryJobs #middle { padding: 1 2; }"

    def compose_body(self) -> ComposeResult:
        with Vertical(id="middle"):
            yield JobProgressPanel()

    def refresh_place(self) -> None:
        self.query_one(JobProgressPanel).progress = JobProgressView(
            title="copy   vestige.db → postgres@db1/vestige",
            phase="copying rows, attempt 2, resumed 14:02",
            tables=(
                TableBar("memories", 61_204, 100_000, rows=RowCounts(61_204, 58_190, 3_011, 3, 0)),
                TableBar("vectors", 54_890, 92_114, rows=RowCounts(54_890, 54_888, 0, 0, 2)),
                TableBar("edges", 0, None, "waiting"),
                TableBar("scheduling", 100_000, 100_000, rows=RowCounts(100_000, 100_000)),
            ),
            rate=9_812,
            rates=(1, 3, 5, 6, 7, 7, 6, 7, 7, 7, 5, 7, 7),
            seconds_left=246,
            heartbeat_age=2,
            note="checkpoint 61,000",
        )
        self.say("The store cannot be reached; trying again in 4 s.", severity="waiting")


class GalleryRegistry(Place):
    """What vectors are there."""

    GO_TO = GoToRegistry
    BINDINGS = bindings(*IN_PLACE["registry"])
    CSS = "GalleryRegistry #middle { padding: 1 2; }"

    def compose_body(self) -> ComposeResult:
        with Vertical(id="middle"):
            yield StackedBar()

    def refresh_place(self) -> None:
        self.query_one(StackedBar).parts = (
            Part("with a vector of 256 dimensions", 92_114, "$accent"),
            Part("without a vector", 7_620, "$text-disabled"),
            Part("other dimension, never searched", 262, "$warning"),
            Part("zero", 4, "$error"),
        )
        self.say_error(RuntimeError("connection to 10.0.0.1 failed: password=hunter2 wrong"))


class GalleryStore(Place):
    """Nothing yet."""

    GO_TO = GoToStore
    BINDINGS = bindings(*IN_PLACE["store"])

    def compose_body(self) -> ComposeResult:
        yield Empty("No memory matches this filter.", ("esc", "clear the filter"), ("a", "add the first memory"))


FACTS = StoreFacts(
    store="~/.local/share/core/vestige.db",
    backend="SQLite",
    read_only=False,
    memories=4961,
    model="nomic-v1.5 256",
    state=SessionState.LIVE,
)


class Gallery(App[None]):
    """Six places on made-up values, with what a place expects of its app."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS = bindings(OpenPalette)
    MODES = {  # noqa: RUF012
        "search": GallerySearch,
        "browse": GalleryBrowse,
        "review": GalleryReview,
        "jobs": GalleryJobs,
        "registry": GalleryRegistry,
        "store": GalleryStore,
    }

    def __init__(self, theme: str = DEFAULT_THEME) -> None:
        super().__init__()
        self.store_changed: Signal[None] = Signal(self, "store_changed")
        self.frame_changed: Signal[None] = Signal(self, "frame_changed")
        self.outage_ended: Signal[VestigeError] = Signal(self, "outage_ended")
        self.card_hidden = False
        self.search_history = None
        self.last_words: list[str] = []
        self.state = ConsoleState(None)
        self.session = StoreSession(Config(), "", emit=self._show_event, may_create=self._may_create)
        # Stands for an open store, so that the commands which write are enabled.
        self.session.store = cast(Any, SimpleNamespace(read_only=False, read_only_reason="", viewer=None))
        self.session.facts = FACTS
        self.session.badges = {"review": Badge("37", waiting=True), "jobs": Badge("1")}
        register(self)
        self.theme = theme

    def action_open_palette(self) -> None:
        def run(entry: PaletteEntry | None) -> None:
            if entry is not None:
                self.call_later(entry.run)

        self.push_screen(Palette(entries_of(self.screen)), run)

    def get_key_display(self, binding: Binding) -> str:
        return key_display(binding)

    async def on_mount(self) -> None:
        await self.switch_mode(FIRST_PLACE)

    async def copy(self, text: str, subject: str, *, instead: str = "") -> str:
        """Say what a copy would do: no page of the gallery has a clipboard."""
        return f"Copied {subject}."

    def _show_event(self, event: SessionEvent) -> None:
        """Do nothing: no page of the gallery opens a store."""

    async def _may_create(self, error: VestigeError) -> bool:
        return False


def rows() -> list[str]:
    """Return what a dialog may show: the first lines of some memories."""
    return [item.content for item in map(memory, range(9))]


def example(memories: tuple[Memory, ...] = ()) -> dict[str, Confirm | Ask | Pick | Message]:
    """Return one of each dialog."""
    choices = [Choice("auth", "auth", 1204), Choice("ops", "operations", 391), Choice("people", "people", 12)]
    return {
        "confirm": Confirm(
            "Delete 9 memories?", rows(), notes=["12 edges and 31 reviews go with them.", "1 memory comes back."]
        ),
        "ask": Ask("Tags", value="+security -draft", note="A plus adds a tag, a minus takes it away.", verb="save"),
        "pick": Pick("Domain", choices),
        "message": Message("Error details", "Unavailable: the server closed the connection\n  in fetch, postgres.py"),
    }


async def shoot(folder: Path) -> None:
    """Write every page and dialog as PNG."""
    for theme, size in (
        (DEFAULT_THEME, (120, 40)),
        (DEFAULT_THEME, (80, 24)),
        (DEFAULT_THEME, (60, 20)),
        ("vestige-light", (120, 40)),
        ("vestige-ansi", (80, 24)),
    ):
        app = Gallery(theme)
        async with app.run_test(size=size) as pilot:
            label = f"{theme.removeprefix('vestige-')}-{size[0]}"
            for place in Gallery.MODES:
                app.switch_mode(place)
                await pilot.pause(0.2)
                await picture(app, folder / f"{label}-{place}.png")
            for name, dialog in example().items():
                app.push_screen(dialog)
                await pilot.pause(0.2)
                await picture(app, folder / f"{label}-{name}.png")
                await pilot.press("escape")
            app.switch_mode("browse")
            await pilot.press("question_mark")
            await pilot.pause(0.2)
            await picture(app, folder / f"{label}-help.png")


if __name__ == "__main__":
    asyncio.run(shoot(Path(sys.argv[1])))
