"""Store: keys pressed, lines seen."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.console import open_console
from tests.support.corpus import MEMORIES, second_handle
from tests.support.vestige_files import make_v18
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.health import (
    Health,
    HealthProblem,
    PostgresServer,
    Session,
    Stats,
    StoreReport,
    TableSize,
    Vacuumed,
    VectorsHeld,
)
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.store.backends.sqlite import SqliteBackend
from vestige_tui.store.maintenance import MaintenanceService
from vestige_tui.store.store import Store
from vestige_tui.tui.store.growth_chart import every_month


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of nobody else are watched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_health_comes_first_in_words(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f7")
        await console.until("No problems found.")
        await console.until("1,504")
        # The header names the store, and only "server or file" does so again.
        assert console.text.count("vestige.db") == (2 if size[1] == 40 else 1)
        if size[1] == 40:
            await console.until("write-ahead log")
            for said in (f"memories{MEMORIES:>17}", "1,504", "Nov Dec Jan", "connections", "readers"):
                assert said in console.text
            await console.press("G")
            for said in ("0005", "applied", "slowest queries"):
                await console.until(said)
        else:
            # The contents of the store come before the section "server or file".
            assert "server or file" not in console.text
            await console.press("G")
            await console.until("p95")


@pytest.mark.parametrize(("size", "beside"), [((100, 60), True), ((99, 80), False)])
async def test_panels_stand_side_by_side_where_there_is_room(corpus: Path, size: tuple[int, int], beside: bool) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f7")
        await console.until("write-ahead log")
        assert (console.app.screen.query_one("#aside").region.x > 10) is beside


@pytest.mark.slow
async def test_vectors_in_memory_are_told_of(corpus: Path) -> None:
    async with open_console(corpus, (120, 60)) as console:
        await console.store.warm()
        await console.press("f7")
        await console.until(f"{MEMORIES} vectors of 64")


async def test_what_a_server_says_steers_no_terminal(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "\x1b[31m\u202eevil\x07[bold]"
    server = PostgresServer(evil, evil, evil, evil, 5432, evil, evil, evil, datetime(2026, 11, 20, tzinfo=UTC), True)
    report = MaintenanceService.report

    async def hostile(service: MaintenanceService) -> StoreReport:
        return replace(
            await report(service),
            health=Health("degraded", (HealthProblem(f"what {evil}", f"remedy {evil}"),), evil, "none"),
            server=server,
            sessions=(Session(7, evil, evil, evil, None, False), Session(8, "", "", None, None, True)),
            sizes=(TableSize(evil, 4_096, 0, dead_rows=12),),
        )

    monkeypatch.setattr(MaintenanceService, "report", hostile)
    async with open_console(corpus, (120, 60)) as console:
        await console.press("f7")
        await console.until("a standby, read-only")
        for said in (
            "what \ufffd[31m\ufffdevil\ufffd[bold]",
            "1 on this database",
            "not shown to this role",
            f"{12:>9}{'never':>9}",
        ):
            assert said in console.text
        assert not set(console.text) & set("\x1b\u202e\x07")


@pytest.mark.slow
async def test_one_connection_more_is_one_other(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = MaintenanceService.report

    async def crowded(service: MaintenanceService) -> StoreReport:
        sessions = tuple(Session(number, "psql", "", "idle", None, False) for number in range(6))
        return replace(await report(service), sessions=sessions)

    monkeypatch.setattr(MaintenanceService, "report", crowded)
    async with open_console(corpus, (120, 60)) as console:
        await console.press("f7")
        await console.until("and 1 other")
        assert "and 1 others" not in console.text


@pytest.mark.slow
async def test_changes_show_by_themselves(corpus: Path) -> None:
    with closing(sqlite3.connect(corpus)) as connection, connection:
        connection.execute("DELETE FROM journal")
    async with open_console(corpus, (120, 90)) as console, second_handle(corpus) as other:
        await console.press("f7")
        await console.until("No changes yet.")
        added = await other.insert(Draft("written elsewhere"), embed=False)
        await console.until("add  ")
        assert added.changed[0][:8] in console.text
        await console.store.update(added.changed[0], Patch(content="changed here"))
        await console.until("edit  ")


@pytest.mark.slow
async def test_unused_space_is_given_back(corpus: Path) -> None:
    async with open_console(corpus) as console:
        added = await console.store.insert(Draft("long " * 200_000), embed=False)
        await console.store.delete([added.changed[0]])
        await console.press("f7")
        await console.until("healthy")
        await console.press("v")
        await console.until("Writers wait until")
        await console.press("n")
        await console.until("Writers wait until", gone=True)
        assert "Freed" not in console.text
        await console.press("v")
        await console.until("Writers wait until")
        await console.press("y")
        await console.until("Freed")
        assert " before, " in console.text


@pytest.mark.slow
async def test_a_vacuum_is_stopped_by_escape(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []

    async def endless(store: Store, progress: Callable[[str], None], live: Callable[[str], None]) -> Vacuumed:
        progress("the \x1b[31mfile")
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(True)
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(MaintenanceService, "vacuum", endless)
    async with open_console(corpus) as console:
        await console.press("f7")
        await console.until("healthy")
        await console.press("v")
        await console.until("Stopping it leaves the file unchanged.")
        await console.press("y")
        await console.until("Vacuuming the \ufffd[31mfile; esc stops it.")
        await console.press("v")
        await console.until("already running")
        assert not stopped
        await console.press("escape")
        await console.until("Vacuum stopped; nothing was lost.")
        assert stopped == [True]


@pytest.mark.slow
async def test_a_store_that_went_away_is_not_said_to_be_healthy(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stats, whole = MaintenanceService.stats, asyncio.Event()

    async def looked(service: MaintenanceService) -> Stats:
        if not whole.is_set():
            raise Unavailable("The line is cut.")
        return await stats(service)

    async with open_console(corpus) as console:
        await console.press("f7")
        await console.until("● healthy")
        await console.until("1,504")
        monkeypatch.setattr(MaintenanceService, "stats", looked)
        console.app.session.note_change()
        await console.until("The store does not answer; the console retries.")
        assert "● healthy" not in console.text
        # The figures of before stay, and asking again changes nothing of it.
        assert "1,504" in console.text
        await console.press("ctrl+r")
        await console.until(lambda: not any(w.group == "look" and not w.is_finished for w in console.app.workers))
        await console.pilot.pause()
        assert "● healthy" not in console.text
        whole.set()
        await console.until("● healthy")
        assert "The store does not answer" not in console.text


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_a_concern_stands_before_all_figures_with_what_to_do(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    vectors = VectorsHeld(0, 64, 0, 1_000_000_000, 900_000)
    inside = SqliteBackend.status
    monkeypatch.setattr(SqliteBackend, "status", lambda backend: replace(inside(backend), vectors=vectors))
    async with open_console(corpus, size) as console:
        await console.press("f7")
        await console.until("◐ degraded")
        await console.until("contents")
        # The scroll bar may stand between two lines.
        said = " ".join(word for line in console.lines for word in line.strip("▌▁▂▃▄▅▆▇█ ").split())
        assert "The 900,000 vectors exceed the limit of 1.0 GB of memory" in said
        assert "Copy the store to PostgreSQL with" in said
        assert said.index("900,000") < said.index("contents")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_a_vestige_file_is_read_only_and_stays_as_it_is(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_v18(tmp_path / "memory.db", 5, hostile=True)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    async with open_console(path, size) as console:
        await console.press("f7")
        # Rows of it cannot be used; a small terminal shows no more than that.
        await console.until("degraded")
        if size[1] == 40:
            await console.until("Read-only: a Vestige V18 file")
            await console.until("this console does not write to it unless you adopt it.")
            await console.until("read-only, through views")
            assert "Vestige V18" in console.text
        await console.press("v")
        await console.until("Adopt memory.db, to write to it?")
        await console.press("escape")
        await console.until("This store is read-only: a Vestige V18 file")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.slow
async def test_a_store_that_is_on_postgresql_is_copied_from_here_too(postgres_database: str) -> None:
    from vestige_tui.config.settings import Config
    from vestige_tui.store.open import open_store
    from vestige_tui.tui.app import VestigeApp

    async with open_store(postgres_database, create=True):
        pass
    app = VestigeApp(Config(), postgres_database)
    async with app.run_test(size=(120, 70), notifications=True) as pilot:
        from tests.support.console import Console

        console = Console(app, pilot)
        await console.until(lambda: app.session.store is not None)
        await console.press("f7")
        await console.until("waits for a model")
        await console.press("c")
        await console.until("Where to?")
        assert "postgresql://" in console.text


def test_months_without_memories_are_shown_as_such() -> None:
    months = every_month((("2025-11", 3), ("2026-02", 1), ("0000-99", 4), ("soon", 2)))
    assert months == [(2025, 11, 3), (2025, 12, 0), (2026, 1, 0), (2026, 2, 1)]
    assert every_month(()) == []
