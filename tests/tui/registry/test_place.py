"""Registry: keys pressed, lines seen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.console import PATIENCE_SECONDS, open_console
from tests.support.corpus import MEMORIES, clock
from tests.support.pictures import screen_lines
from tests.support.vestige_files import make_v18
from vestige_tui.config.settings import Config
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.tui.app import VestigeApp


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of nobody else are watched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_the_registered_model_and_what_is_there(corpus: Path, size: tuple[int, int]) -> None:
    async with open_console(corpus, size) as console:
        await console.press("f6")
        wide = size[0] >= 100
        await console.until(f"{MEMORIES} with 64 dimensions" if wide else f"{MEMORIES} vectors, one for each memory")
        for said in ("test-embedder-64", "64 dimensions", "● loaded in this console"):
            assert said in console.text
        assert "tab card" in console.lines[-1]
        await console.until("usable here")
        await console.press("G")
        await console.until("gte-large")
        # All there is to read stands beside the models, or takes their place, and scrolls for itself.
        await console.press("tab")
        await console.until("tab models")
        await console.press("G")
        await console.until("100.0 %  used by vector search")
        assert f"{MEMORIES} with 64 dimensions" in console.text
        assert ("gte-large" in console.text) == wide
        await console.press("escape")
        await console.until("gte-large")


@pytest.mark.slow
async def test_models_usable_here_come_first(corpus: Path) -> None:
    async with open_console(corpus) as console:
        await console.press("f6")
        await console.until("downloaded on first use")
        assert console.text.index("all-MiniLM-L6-v2") < console.text.index("downloaded on first use")


@pytest.mark.slow
async def test_fill_makes_what_is_missing(corpus: Path) -> None:
    async with open_console(corpus) as console:
        for number in range(40):
            await console.store.insert(Draft(f"memory {number} without a vector"), embed=False)
        await console.press("f6")
        await console.until("40    9.7 %  without a vector")
        await console.press("f")
        await console.until("Computed 40 vectors.")
        await console.until("without a vector", gone=True)
        await console.press("f")
        await console.until("Every memory already has a vector.")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(120, 40), (60, 20)])
async def test_another_configured_model_is_named_with_the_ways_out(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_v18(tmp_path / "memory.db", 5, hostile=True)
    embedders = EmbedderSource("BAAI/bge-small-en-v1.5")
    app = VestigeApp(Config(), f"sqlite:{path}", embedders=embedders, clock=clock)
    async with app.run_test(size=size) as pilot:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while app.session.banner is None:
                await pilot.pause(0.05)
            await pilot.press("f6")
            while "continue" not in "\n".join(screen_lines(app)) and size[1] == 40:
                await pilot.pause(0.05)
            while "nomic-embed" not in "\n".join(screen_lines(app)):
                await pilot.pause(0.05)
            while "not the configured model" not in (text := " ".join(" ".join(screen_lines(app)).split())):
                await pilot.pause(0.05)
        if size[1] == 20:
            assert "w use this model tab details" in text
            await pilot.press("tab")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while "use it" not in "\n".join(screen_lines(app)):
                    await pilot.pause(0.05)
            text = " ".join(" ".join(screen_lines(app)).split())
        assert "bge-small-en-v1.5 is" in text
        assert "use it" in text
        await pilot.press("f")
        await pilot.pause(0.3)
        assert "This store is read-only: a Vestige V18 file." in " ".join(" ".join(screen_lines(app)).split())
