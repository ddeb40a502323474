"""The real default model, the deterministic one of the tests, and the source that a console shares."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vestige_tui import embedding
from vestige_tui.embedding import (
    DEFAULT_MODEL,
    Embedder,
    EmbedderSource,
    TestEmbedder,
    catalog,
    load_embedder,
    same_model,
    signature,
)
from vestige_tui.errors import EmbedderUnavailable, ModelMismatch
from vestige_tui.model import ModelSignature

if TYPE_CHECKING:
    from vestige_tui.model import Vector


@pytest.fixture(scope="module")
def model() -> Embedder:
    return load_embedder()


def test_the_default_model_understands(model: Embedder) -> None:
    question, answer, other = model.embed(
        [
            "How often do signing keys rotate?",
            "We change the certificates used to sign tokens each quarter.",
            "The cat sleeps.",
        ]
    )
    assert question @ answer > question @ other + 0.2
    assert (model.name, model.dimension, len(model.hash)) == (DEFAULT_MODEL, 384, 64)


def test_vectors_are_unit_length_in_order_and_the_same_each_time(model: Embedder) -> None:
    texts = [
        "short",
        "a much longer text about nothing in particular, to be sorted behind",
        "",
        "mid length here",
        "\ud800 \0",
    ]
    first = model.embed(texts)
    alone = [model.embed([text])[0] for text in texts]
    for one, two in zip(first, alone, strict=True):
        assert one.dtype == np.float32
        assert one.shape == (384,)
        assert float(np.linalg.norm(one)) == pytest.approx(1.0, abs=1e-5)
        assert float(one @ two) > 0.98  # int8 scales depend a little on what else is in a batch
    assert all(np.array_equal(one, two) for one, two in zip(first, model.embed(texts), strict=True))
    assert model.embed([]) == []


def test_tokens_count_up_to_the_256th(model: Embedder) -> None:
    start = "alpha " * 150
    same, later = model.embed([start, start + "whale " * 60])
    assert float(same @ later) < 0.95
    full, beyond = model.embed([start + "filler " * 150, start + "filler " * 150 + "whale " * 60])
    assert float(full @ beyond) > 0.9999


def test_a_huge_text_is_no_trouble(model: Embedder) -> None:
    started = time.monotonic()
    [vector] = model.embed(["word " * 2_000_000])
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)
    assert time.monotonic() - started < 20


def test_other_weights_than_the_tested_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "DEFAULT_SHA256", "0" * 64)
    with pytest.raises(EmbedderUnavailable, match=r"model\.onnx"):
        load_embedder()


def test_a_narrower_width_is_cut_and_renormalised(model: Embedder) -> None:
    narrow = load_embedder(dimension=128)
    [wide], [cut] = model.embed(["one text"]), narrow.embed(["one text"])
    assert cut.shape == (128,)
    expected = wide[:128] / np.linalg.norm(wide[:128])
    assert float(cut @ expected) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(EmbedderUnavailable, match="384"):
        load_embedder(dimension=512)


def test_models_that_are_not_here_say_so_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(EmbedderUnavailable, match="without a network"):
        load_embedder("nomic-embed-text-v1.5")
    with pytest.raises(EmbedderUnavailable, match="not one that fastembed knows"):
        load_embedder("no-such-model")
    assert time.monotonic() - started < 10


def test_spellings_of_one_model() -> None:
    assert same_model("nomic-ai/nomic-embed-text-v1.5", "nomic-embed-text-v1.5")
    assert same_model("all-MiniLM-L6-v2", DEFAULT_MODEL)
    assert not same_model("BAAI/bge-base-en-v1.5", "BAAI/bge-small-en-v1.5")


def test_the_catalog_begins_with_the_default() -> None:
    models = catalog()
    assert (models[0].name, models[0].dimension, models[0].offline) == (DEFAULT_MODEL, 384, True)
    assert any(same_model(model.name, "nomic-embed-text-v1.5") and model.dimension == 768 for model in models)
    assert len({model.name for model in models}) == len(models)


@pytest.mark.parametrize("dimension", [8, 768, 1024])
def test_the_test_embedder(dimension: int) -> None:
    embedder = TestEmbedder(dimension)
    near, also, far = embedder.embed(["rotate the keys", "rotate the locks", "coffee before noon"])
    assert near.shape == (dimension,)
    assert float(np.linalg.norm(near)) == pytest.approx(1.0, abs=1e-5)
    assert near @ also > near @ far
    assert np.array_equal(embedder.embed(["rotate the keys"])[0], near)
    assert signature(embedder).dimension == dimension


async def test_a_source_serves_the_model_of_the_store() -> None:
    source = EmbedderSource(embedder=TestEmbedder(16))
    assert (await source.get(None)).name == "test-embedder-16"
    assert (await source.get(ModelSignature("test-embedder-16", 16, "another hash"))).dimension == 16
    with pytest.raises(ModelMismatch, match="nomic"):
        await source.get(ModelSignature("nomic-embed-text-v1.5", 256))
    with pytest.raises(ModelMismatch, match="32"):
        await source.get(ModelSignature("test-embedder-16", 32))
    configured = EmbedderSource("BAAI/bge-base-en-v1.5")
    with pytest.raises(ModelMismatch, match="bge-base"):
        await configured.get(ModelSignature(DEFAULT_MODEL, 384))


async def test_callers_share_one_load_and_cancelling_one_spares_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def slow(name: str | None = None, **options: object) -> Embedder:
        loads.append(str(name))
        time.sleep(0.2)
        return TestEmbedder(384)

    monkeypatch.setattr(embedding, "load_embedder", slow)
    source = EmbedderSource()
    seen = [source.state]
    tasks = [asyncio.create_task(source.get(None)) for _ in range(3)]
    await asyncio.sleep(0.05)
    seen.append(source.state)
    tasks[0].cancel()
    assert (await tasks[1]) is (await tasks[2])
    assert len(loads) == 1
    assert [*seen, source.state] == ["idle", "loading", "ready"]
    source.close()


async def test_a_failed_load_is_not_repeated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []

    def fail(name: str | None = None, **options: object) -> Embedder:
        loads.append(1)
        raise EmbedderUnavailable("Not here.")

    monkeypatch.setattr(embedding, "load_embedder", fail)
    source = EmbedderSource()
    for _ in range(3):
        with pytest.raises(EmbedderUnavailable):
            await source.get(None)
    assert len(loads) == 1
    assert (source.state, source.message) == ("failed", "Not here.")
    source.close()


async def test_a_query_need_not_wait_for_a_long_list() -> None:
    class Slow(TestEmbedder):
        def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
            time.sleep(0.02 * len(texts))
            return super().embed(texts, query=query)

    source = EmbedderSource(embedder=Slow(8))
    bulk = asyncio.create_task(source.embed([f"text {n}" for n in range(200)], registered=None))
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await source.embed(["a query"], registered=None, query=True)
    assert time.monotonic() - started < 1.5
    assert not bulk.done()
    bulk.cancel()
    source.close()


def test_importing_this_is_light() -> None:
    heavy = ("numpy", "fastembed", "onnxruntime")
    code = f"import vestige_tui.embedding, sys; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
