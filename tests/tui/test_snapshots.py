"""How each place looks, as one SVG: dark, the sample corpus, and a clock and a cursor that stand still.

A place is added as one line of ``PLACES``; ``pytest tests/tui/test_snapshots.py --snapshot-update`` draws anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.support.console import Console
from tests.support.corpus import clock, embedders
from tests.support.sample_jobs import show_jobs
from vestige_tui.config.settings import Config
from vestige_tui.core.health import (
    Connections,
    Health,
    QueryTiming,
    Session,
    SqliteFile,
    StoreReport,
    TableSize,
    VectorsHeld,
)
from vestige_tui.embedding.catalogue import CatalogModel
from vestige_tui.store.maintenance import MaintenanceService
from vestige_tui.store.store import Store
from vestige_tui.tui.app import VestigeApp

SIZE = (60, 20)
FOLDER = Path(__file__).parents[1] / "snapshots" / "test_snapshots"


@dataclass(frozen=True, slots=True)
class Picture:
    """A place, what is pasted into its line, the keys pressed then, and what the screen says once it is whole."""

    place: str
    until: str
    paste: str = ""
    keys: tuple[str, ...] = ()
    arrange: Callable[[VestigeApp], Awaitable[object]] | None = None
    """What is put there instead of what differs from machine to machine."""
    then: str = ""
    """What the screen says once the keys have done their work."""
    name: str = ""
    """What it is called, where that is not its place."""
    size: tuple[int, int] = SIZE


PLACES = (
    Picture("search", "best 20", "how do webhook retries work", ("down", "j")),
    Picture("search", "best 20", "how do webhook retries work", ("down", "x", "j"), name="explanation", size=(120, 40)),
    Picture("browse", "355 memories", keys=("j", "j", "space")),
    Picture("review", "1 of ", keys=("space",)),
    Picture("jobs", "running  1", keys=("j",), arrange=show_jobs),
    Picture("jobs", "running  1", keys=("j",), arrange=show_jobs, then="No heartbeat from", name="job", size=(120, 40)),
    Picture("jobs", "running  1", keys=("j", "j"), arrange=show_jobs, then="caller", name="delegation", size=(80, 24)),
    Picture("jobs", "running  1", keys=("c",), arrange=show_jobs, then="known stores", name="copying", size=(80, 24)),
    Picture("registry", "usable here"),
    Picture("registry", "usable here", name="models", size=(120, 40)),
    Picture("registry", "usable here", keys=("r",), then="of 384 dimensions", name="reembedding", size=(80, 24)),
    Picture("store", "with a vector"),
)


@pytest.fixture(autouse=True)
def in_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep all pictures in ``tests/snapshots``, in the folder named for this module as the plugin wants it."""
    folder = classmethod(lambda cls, *, test_location: str(FOLDER))
    monkeypatch.setattr("pytest_textual_snapshot.SVGImageExtension.dirname", folder)


@pytest.fixture(autouse=True)
def alike_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Show no version, path or model that differs from machine to machine, and no other person's jobs."""

    async def health(*_: object) -> Health:
        return Health("healthy", (), "SQLite 3.50.4", "0 of 3 readers in use, one writer")

    asked = MaintenanceService.report

    async def report(service: MaintenanceService) -> StoreReport:
        # Nothing that another machine or moment would say differently.
        found = await asked(service)
        file = SqliteFile("3.50.4", "vestige.db", "-rw-------", "wal", "UTF-8", 4_096, 468, 0, 0)
        console = Session(4_711, "vestige-tui", "ada", "may write", None, True)
        vectors = VectorsHeld(374, 64, 105_468, 4_000_000_000)
        sizes = (TableSize("memories", 184_000, 152_000),)
        queries = (QueryTiming("search_memories", 3, 12.0, 3.5, 5.0, 5.0, 4.0, clock()),)
        return replace(
            found,
            health=await health(),
            server=file,
            connections=Connections(3, 3, 3),
            sessions=(console,),
            sizes=sizes,
            vectors=vectors,
            queries=queries,
        )

    known = [CatalogModel(f"models/number-{number}", 384, 90.0, "mit", "", number < 2) for number in range(9)]
    monkeypatch.setattr("vestige_tui.tui.registry.place.catalog", lambda: known)
    monkeypatch.setattr("vestige_tui.tui.wizards.reembed.catalog", lambda: known)
    monkeypatch.setattr(Store, "location", "sqlite:/home/ada/vestige.db")
    monkeypatch.setattr(Store, "health", health)
    monkeypatch.setattr(MaintenanceService, "report", report)
    monkeypatch.setattr(Store, "title", "~/vestige.db")
    monkeypatch.setattr("vestige_tui.presenters.explanation.milliseconds", lambda ms: "" if ms is None else "1.2 ms")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.slow
@pytest.mark.parametrize("wanted", PLACES, ids=lambda wanted: wanted.name or wanted.place)
def test_looks(wanted: Picture, corpus: Path, snap_compare: Callable[..., bool]) -> None:
    app = VestigeApp(Config(), f"sqlite:{corpus}", embedders=embedders(), clock=clock)

    async def stand(pilot: Pilot[None]) -> None:
        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None and app.session.facts.memories is not None)
        # A temporary folder has another name each time.
        app.session.facts = replace(app.session.facts, store="~/vestige.db")
        app.frame_changed.publish(None)
        if wanted.place != app.current_mode:
            await app.switch_mode(wanted.place)
        await console.still()
        if wanted.arrange is not None:
            await wanted.arrange(app)
        if wanted.paste:
            await console.paste(wanted.paste)
        await console.until(wanted.until)
        for key in wanted.keys:
            await console.press(key)
            await console.still()
        await console.until(wanted.then)
        await console.still()
        # What lies below the screen's end as well: the scroll bar tells of it.
        await console.until(lambda: all(worker.is_finished for worker in app.workers if worker.group == "look"))
        for line in app.screen.query(Input):
            line.cursor_blink = False
        await asyncio.sleep(0.1)
        await console.still()

    assert snap_compare(app, terminal_size=wanted.size, run_before=stand)
