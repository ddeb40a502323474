"""Another model for a store: comparing, estimating, re-embedding, going back; and escape at each step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.screens.corpus import NOW, Console, clock, embedders, opened
from tests.screens.work import show
from tests.swapping import OtherEmbedder, offer, prepare, swap
from vestige_tui.app import VestigeApp
from vestige_tui.config import Config, load_config
from vestige_tui.embedding import DEFAULT_MODEL, CatalogModel, EmbedderSource, TestEmbedder
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.model import Draft, Job, JobProgress, TableProgress
from vestige_tui.store import open_store

if TYPE_CHECKING:
    from vestige_tui.model import Vector

OTHER = OtherEmbedder(32)
TEXTS = (
    "Signing keys rotate every 90 days. The old one stays for a while.",
    "倉庫の在庫は毎朝数える。",
    "[/red] deploy on Fridays \x1b[2J only with two people.",
    "The cache is warmed at 05:00.",
    "Webhooks are retried five times.",
    "Mira owns the billing service.",
)


@pytest.fixture
async def small(tmp_path: Path) -> Path:
    """A store of a few memories, each with its vector."""
    path = tmp_path / "small.db"
    source = embedders()
    async with open_store(f"sqlite:{path}", create=True, embedders=source, clock=clock) as store:
        for text in TEXTS:
            await store.insert(Draft(text))
    source.close()
    return path


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Sequence[CatalogModel]:
    """One model that is here, one that is not, and the store's own; only the first two can be loaded."""
    known = [
        CatalogModel("test-embedder-64", 64, 1.0, "mit", "The store's own.", True),
        CatalogModel(OTHER.name, 32, 12.0, "apache-2.0", "Another space.", True),
        CatalogModel("far/away-model", 512, 640.0, "mit", "Not here.", False),
    ]
    for place in ("registry", "reembedding"):
        monkeypatch.setattr(f"vestige_tui.screens.{place}.catalog", lambda: known)
    offer(monkeypatch, TestEmbedder(64), OTHER)
    return known


async def to_registry(console: Console, *keys: str) -> None:
    await console.press("f6")
    await console.until("usable here  2")
    await console.press(*keys)


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_two_models_are_compared_side_by_side(
    small: Path, models: Sequence[CatalogModel], size: tuple[int, int]
) -> None:
    async with opened(small, size) as console:
        await to_registry(console, "j", "p")
        await console.until("Compare two models")
        await console.press("enter")
        await console.until("of the hits are the same")
        assert console.says("over 6 questions, 6 of 6 memories")
        assert "test-embedder-64" in console.text
        assert "other-embedder-32" in console.text
        top = console.text
        await console.press("G")
        await console.until(lambda: console.text != top)
        assert "of the hits are the same" not in console.text
        await console.press("slash")
        await console.type("deploy fridays")
        await console.press("enter")
        await console.until("over 1 question, 6 of 6 memories")
        assert "deploy fridays" in console.text
        assert " of 5 the same" in console.text
        # What the texts themselves say is shown, and steers nothing.
        assert "[/red] deploy" in console.text
        assert "\x1b" not in console.text
        await console.press("escape")
        await console.until("registered model")


async def test_a_comparison_is_stopped_while_it_encodes(
    small: Path, models: Sequence[CatalogModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    class Slow(OtherEmbedder):
        __test__ = False

        def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
            at_work.set()
            assert go_on.wait(30)
            return super().embed(texts, query=query)

    offer(monkeypatch, TestEmbedder(64), Slow(32))
    async with opened(small) as console:
        await to_registry(console, "j", "enter")
        await console.until("a question of your own")
        await console.press("enter")
        await console.until(at_work.is_set)
        assert "esc stop" in console.text
        await console.press("escape")
        await console.until("Stopped.")
        go_on.set()
        await console.press("escape")
        await console.until("registered model")


async def test_what_cannot_be_compared_says_why(small: Path, models: Sequence[CatalogModel]) -> None:
    async with opened(small) as console:
        await to_registry(console, "g", "p")
        await console.until("The store belongs to this model; choose another one to compare it with.")
        await console.press("G", "p")
        await console.until("It is downloaded first, 640 MB.")
        await console.press("enter")
        await console.until("The embedding model far/away-model is not on this machine.")
        assert "a question of your own" in console.text
        await console.press("escape", "b")
        await console.until("No vectors of a model before are kept in this store.")
        await console.press("w")
        await console.until("Your settings name no other model")


async def test_escape_goes_back_through_a_re_embedding(small: Path, models: Sequence[CatalogModel]) -> None:
    async with opened(small) as console:
        await console.press("f5", "r")
        await console.until("to download on first use  1")
        await console.press("enter")
        await console.until("The store belongs to this model already; choose another one.")
        await console.press("j")
        await console.until("Another space.")
        await console.press("enter")
        await console.until("tab skip")
        await console.press("tab")
        await console.until("6 to be encoded")
        for said in (
            "test-embedder-64, 64 dimensions",
            "other-embedder-32, 32 dimensions",
            "beside the old ones",
            "texts a second, measured here just now",
            "for the new vectors and their index",
            "Back the store up first",
        ):
            assert console.says(said), said
        await console.press("i")
        await console.until("in place: for a small disk")
        assert console.says("6 vectors of test-embedder-64, in use, are deleted")
        await console.press("i")
        await console.until("beside the old ones")
        await console.press("enter")
        await console.until("start re-embedding")
        assert "o ○ delete the old vectors at the end; no way back then  no" in console.text
        for said in ("6 to be encoded", "tab skip", "to download on first use  1"):
            await console.press("escape")
            await console.until(said)
        await console.press("escape")
        await console.until("Nothing was re-embedded.")
        assert not await Ledger(console.store).jobs()
        assert console.app.current_mode == "jobs"


async def test_a_model_that_is_not_here_stops_before_anything_is_made(
    small: Path, models: Sequence[CatalogModel]
) -> None:
    async with opened(small) as console:
        await to_registry(console, "G", "r")
        await console.until("tab skip")
        await console.press("tab")
        await console.until("The embedding model far/away-model is not on this machine.")
        assert "tab skip" in console.text
        assert not await Ledger(console.store).jobs()


async def test_a_read_only_store_is_left_alone(small: Path, models: Sequence[CatalogModel]) -> None:
    async with opened(small, read_only=True) as console:
        await to_registry(console, "j", "r")
        await console.until("This store is read-only")


async def ended(console: Console, number: int) -> Job:
    """The latest of so many jobs, once all have ended."""
    async with asyncio.timeout(120):
        while True:
            jobs = console.app.jobs
            if len(jobs) == number and not any(job.in_flight for job in jobs):
                return max(jobs, key=lambda job: job.created_at or NOW)
            await console.pilot.pause(0.1)


async def test_a_real_re_embedding_and_the_way_back(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [CatalogModel(DEFAULT_MODEL, 384, 22.0, "apache-2.0", "The default.", True)]
    for place in ("registry", "reembedding"):
        monkeypatch.setattr(f"vestige_tui.screens.{place}.catalog", lambda: known)
    monkeypatch.setattr("tests.screens.corpus.PATIENCE_SECONDS", 60.0)
    async with opened(small) as console:
        await console.press("f6")
        await console.until("usable here  1")
        await console.press("r")
        await console.until("tab skip")
        await console.press("tab")
        await console.until("6 to be encoded")
        await console.press("enter")
        await console.until("start re-embedding")
        await console.press("y")
        await console.until("The re-embedding has started.")
        job = await ended(console, 1)
        assert (job.kind, job.status, job.error) == ("reembed", "completed", None)
        await console.until("re-embed small.db → all-MiniLM-L6-v2")
        await console.until("those of test-embedder-64 are kept.")
        await console.press("f6")
        await console.until("6 of width 384")
        await console.until("test-embedder-64 64   6 vectors kept")
        await console.press("tab", "G")
        await console.until("test-embedder-64 64 → all-MiniLM-L6-v2 384")
        assert "re-embedded in" in console.text
        await console.press("b")
        await console.until("Go back to the model before?")
        assert "Every memory has a vector of it." in console.text
        await console.press("escape")
        await console.until("Go back to the model before?", gone=True)
        await console.press("b")
        await console.until("Go back to the model before?")
        await console.press("y")
        job = await ended(console, 2)
        assert (job.status, job.error) == ("completed", None)
        await console.until("roll small.db back")
        await console.press("f6")
        await console.until("6 of width 64")
        await console.press("D")
        await console.until("Delete these vectors?")
        assert "6 vectors" in console.text
        await console.press("y")
        await console.until("The vectors were deleted.")
        await console.until("vectors kept", gone=True)
        await console.press("D")
        await console.until("No vectors of a model before are kept in this store.")


async def test_a_running_re_embedding_is_seen_beside_the_card(small: Path, models: Sequence[CatalogModel]) -> None:
    async with opened(small) as console:
        await asyncio.to_thread(prepare, f"sqlite:{small}", OTHER)
        await show(console.app)
        running = Job(
            id="4ee3bed0",
            kind="reembed",
            status="in_progress",
            store=console.store.location,
            source=console.store.location,
            target=console.store.location,
            progress=JobProgress("encoding", {"memories": TableProgress(3, 3, total=6)}, 12.0, 240.0),
            created_at=NOW,
            last_heartbeat=NOW,
            options={"model": OTHER.name},
        )
        console.app.jobs = (running,)
        await to_registry(console)
        await console.until("other-embedder-32 32   6 vectors being made")
        assert " 50 %   4 min left" in console.text
        await console.press("r")
        await console.until("A re-embedding of this store is under way; F5 shows it.")
        console.app.jobs = (replace(running, last_heartbeat=NOW - timedelta(minutes=3)),)
        console.app.frame_changed.publish(None)
        await console.until("no sign of life, encoding")
        console.app.jobs = ()
        console.app.frame_changed.publish(None)
        await console.until("Nobody is making them just now.")


async def test_the_models_name_is_written_into_the_settings(
    small: Path, tmp_path: Path, models: Sequence[CatalogModel]
) -> None:
    file = tmp_path / "vestige.toml"
    file.write_text('# mine\n[server]\nport = 1\n\n[embeddings]\nmodel = "other-embedder-32"\n')
    config = load_config(file)
    app = VestigeApp(config, f"sqlite:{small}", embedders=EmbedderSource(config.model), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until(lambda: bool(app.banner))
        await console.press("f6")
        await console.until("◐ not the configured model")
        assert "w writes test-embedder-64 into your settings" in console.text
        await console.press("w")
        await console.until("Wrote the model into")
        await console.until("● loaded in this console")
        assert load_config(file).model == "test-embedder-64"
        assert file.read_text().startswith("# mine\n[server]\nport = 1\n")
        assert app.banner == ""


async def test_settings_follow_a_store_that_was_re_embedded(
    small: Path, tmp_path: Path, models: Sequence[CatalogModel]
) -> None:
    file = tmp_path / "vestige.toml"
    file.write_text('[embeddings]\nmodel = "test-embedder-64"\n')
    config = replace(Config(), model="test-embedder-64", path=file)
    app = VestigeApp(config, f"sqlite:{small}", embedders=EmbedderSource(config.model), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until("test-embedder-64 64")
        await console.press("f6")
        await console.until("● loaded in this console")
        await asyncio.to_thread(prepare, f"sqlite:{small}", OTHER)
        await asyncio.to_thread(swap, f"sqlite:{small}", OTHER)
        await console.until("◐ not the configured model")
        await console.press("w")
        await console.until("● loaded in this console")
        assert load_config(file).model == OTHER.name
