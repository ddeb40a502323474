"""A console that stays open while another process gives its store another embedding model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import Console
from tests.support.corpus import clock
from tests.support.model_swap import OtherEmbedder, offer_models, prepare_spare_vectors, swap_models
from vestige_tui.config.settings import Config
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding import loaders
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import Embedder, TestEmbedder
from vestige_tui.tui.app import VestigeApp
from vestige_tui.tui.search.hit_list import HitList


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of nobody else are watched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@asynccontextmanager
async def opened(path: Path, source: EmbedderSource) -> AsyncIterator[Console]:
    app = VestigeApp(Config(), f"sqlite:{path}", embedders=source, clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        console = Console(app, pilot)
        await console.until("test-embedder-64 64")
        await console.until(lambda: source.state == "ready")
        await console.still()
        yield console


@pytest.mark.slow
async def test_the_console_goes_on_with_the_new_model(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = OtherEmbedder(32)
    loaded = offer_models(monkeypatch, TestEmbedder(64), second)
    source = EmbedderSource()
    async with opened(corpus, source) as console:
        said: list[str] = []
        console.app.frame_changed.subscribe(console.app, lambda _: said.append(console.banner))
        await console.press("f6")
        await console.until("64 dimensions")
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{corpus}", second)
        await asyncio.to_thread(swap_models, f"sqlite:{corpus}", second)
        await console.until("other-embedder-32 32")
        await console.until("32 dimensions")
        await console.until("● loaded in this console")
        await console.until(lambda: console.banner == "")
        assert "Loading other-embedder-32: the store now uses it instead of test-embedder-64." in said
        assert loaded == ["test-embedder-64", "other-embedder-32"]
        await console.until("This store now uses other-embedder-32, 32 dimensions.")
        answer = await console.store.search(SearchQuery("carrier", limit=5))
        assert (answer.mode, answer.warnings) == ("hybrid", ())
        assert loaded == ["test-embedder-64", "other-embedder-32"]


@pytest.mark.slow
async def test_hits_stay_until_those_by_the_new_model_come(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second, arrived = OtherEmbedder(32), threading.Event()
    offer_models(monkeypatch, TestEmbedder(64), second)
    load = loaders.load_embedder

    def slowly(name: str | None = None, **options: Any) -> Embedder:
        if name == second.name:
            assert arrived.wait(30)
        return load(name, **options)

    monkeypatch.setattr(loaders, "load_embedder", slowly)
    async with opened(corpus, EmbedderSource()) as console:
        await console.paste("carrier")
        await console.until("text and vector")
        await console.still()
        hits = console.app.screen.query_one(HitList)
        before, shown = hits.hits, 0

        def look(_: None) -> None:
            nonlocal shown
            assert hits.hits == before
            assert hits.display
            shown += 1

        console.app.frame_changed.subscribe(console.app, look)
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{corpus}", second)
        await asyncio.to_thread(swap_models, f"sqlite:{corpus}", second)
        try:
            await console.until("Loading other-embedder-32")
            # A new question while the model loads leaves them as well.
            await console.type("s")
            await console.until("searching …")
            assert hits.hits == before
            assert "first carrier scan" in console.text
            assert shown
            console.app.frame_changed.unsubscribe(console.app)
        finally:
            arrived.set()
        await console.until("This store now uses ")
        await console.until("searching …", gone=True)
        assert hits.hits


async def test_a_first_answer_that_waits_for_the_model_says_so(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, model = threading.Event(), TestEmbedder(64)

    def slowly(name: str | None = None, **options: Any) -> Embedder:
        assert arrived.wait(30)
        return model

    monkeypatch.setattr(loaders, "load_embedder", slowly)
    app = VestigeApp(Config(), f"sqlite:{corpus}", embedders=EmbedderSource(), clock=clock)
    async with app.run_test(size=(80, 24)) as pilot:
        console = Console(app, pilot)
        await console.type("carrier")
        try:
            await console.until("Loading the embedding model; the first search waits for it.")
        finally:
            arrived.set()
        await console.until("first carrier scan")
        assert "Loading the embedding model" not in console.text


@pytest.mark.slow
async def test_memories_that_the_new_model_lacks_get_their_vectors(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = TestEmbedder(64), OtherEmbedder(64)
    offer_models(monkeypatch, first, second)
    async with opened(corpus, EmbedderSource()) as console:
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{corpus}", second)
        written = await console.store.insert(Draft("Written while the other vectors were made."))
        await asyncio.to_thread(swap_models, f"sqlite:{corpus}", second)
        await console.until("other-embedder-64 64")
        await console.press("f6")
        await console.until("100.0 %  used by vector search")
        await console.until("375 with 64 dimensions")
        assert (await console.store.get(written.changed[0])).has_embedding


@pytest.mark.slow
async def test_where_the_old_model_is_configured_the_way_out_is_said(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = OtherEmbedder(64)
    offer_models(monkeypatch, TestEmbedder(64), second)
    async with opened(corpus, EmbedderSource("test-embedder-64")) as console:
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{corpus}", second)
        await asyncio.to_thread(swap_models, f"sqlite:{corpus}", second)
        await console.until("The store uses other-embedder-64, but test-embedder-64 is configured")
        await console.press("f6")
        await console.until("◐ not the configured model")
        assert "set model under [embeddings] to other-embedder-64" in console.banner


@pytest.mark.slow
async def test_where_the_new_model_is_not_here_that_is_said(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = OtherEmbedder(64)
    offer_models(monkeypatch, TestEmbedder(64))
    async with opened(corpus, EmbedderSource()) as console:
        await asyncio.to_thread(prepare_spare_vectors, f"sqlite:{corpus}", second)
        await asyncio.to_thread(swap_models, f"sqlite:{corpus}", second)
        await console.until("The embedding model other-embedder-64 is not on this machine. Search uses text")
        await console.until("This store now uses other-embedder-64, 64 dimensions; search in this console uses text")
        await console.press("f6")
        await console.until("◐ not usable here")
