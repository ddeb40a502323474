"""Store: keys pressed, lines seen."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.screens.corpus import MEMORIES, another_process, opened
from tests.vestige_files import make_v18
from vestige_tui.model import Draft, Patch
from vestige_tui.widgets.growth_chart import every_month


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of nobody else are watched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_health_comes_first_in_words(corpus: Path, size: tuple[int, int]) -> None:
    async with opened(corpus, size) as console:
        await console.press("f7")
        await console.until("It answers, and nothing needs attention.")
        assert "0 of 3 readers in use, one writer" in console.text
        if size[1] == 40:
            await console.until("supersession")
            for said in (f"memories{MEMORIES:>17}", "1,504", "0005", "applied", "Nov Dec Jan"):
                assert said in console.text
        else:
            await console.press("G")
            await console.until("0005 journal")


async def test_changes_show_by_themselves(corpus: Path) -> None:
    async with opened(corpus) as console, another_process(corpus) as other:
        await console.press("f7")
        await console.until("Nobody has changed anything")
        added = await other.insert(Draft("written elsewhere"), embed=False)
        await console.until("add  ")
        assert added.changed[0][:8] in console.text
        await console.store.update(added.changed[0], Patch(content="changed here"))
        await console.until("edit  ")


async def test_unused_space_is_given_back(corpus: Path) -> None:
    async with opened(corpus) as console:
        added = await console.store.insert(Draft("long " * 200_000), embed=False)
        await console.store.delete([added.changed[0]])
        await console.press("f7")
        await console.until("healthy")
        await console.press("v")
        await console.until(lambda: "Gave back" in console.text or "no unused space" in console.text)


@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_a_vestige_file_is_read_only_and_stays_as_it_is(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_v18(tmp_path / "memory.db", 5, hostile=True)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    async with opened(path, size) as console:
        await console.press("f7")
        await console.until("Read-only: Vestige V18 file")
        await console.press("v")
        await console.until("■")
        assert "open read-only" in " ".join(console.text.split())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


async def test_a_store_that_is_on_postgresql_is_not_copied(postgres_database: str) -> None:
    from vestige_tui.app import VestigeApp
    from vestige_tui.config import Config
    from vestige_tui.store import open_store

    async with open_store(postgres_database, create=True):
        pass
    app = VestigeApp(Config(), postgres_database)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        from tests.screens.corpus import Console

        console = Console(app, pilot)
        await console.until(lambda: app.store is not None)
        await console.press("f7")
        await console.until("waits for a model")
        await console.press("c")
        await console.until("this one is on PostgreSQL already")


def test_months_without_memories_are_shown_as_such() -> None:
    found = every_month((("2025-11", 3), ("2026-02", 1), ("0000-99", 4), ("soon", 2)))
    assert found == [(2025, 11, 3), (2025, 12, 0), (2026, 1, 0), (2026, 2, 1)]
    assert every_month(()) == []
