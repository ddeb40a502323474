"""Encoders in processes of their own: the vectors they give, and what becomes of one that dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.support.failing_encoder import FAILING_ENCODER
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import EmbedderUnavailable, Refused, VestigeError
from vestige_tui.embedding import encoder_pool
from vestige_tui.embedding.encoder_pool import Encoded, Encoders
from vestige_tui.embedding.models import TestEmbedder, signature

MODEL = signature(TestEmbedder(8))
TEXTS = [f"text number {place}" for place in range(40)]


@pytest.fixture
def two() -> Iterator[Encoders]:
    encoders = Encoders(MODEL, texts=1_000)
    yield encoders
    encoders.close()


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Encoders]:
    monkeypatch.setattr(encoder_pool, "ENCODER_COMMAND", FAILING_ENCODER)
    encoders = Encoders(MODEL, texts=1)
    yield encoders
    encoders.close()


def same(found: list[Encoded], texts: list[str]) -> None:
    assert [np.asarray(each).tobytes() for each in found] == [each.tobytes() for each in TestEmbedder(8).embed(texts)]


def processes(made: Encoders) -> list[int]:
    return [each._process.pid for each in made._all if each._process is not None]


async def test_several_share_the_texts(two: Encoders) -> None:
    parts = [TEXTS[start : start + 5] for start in range(0, 40, 5)]
    for part, found in zip(parts, await asyncio.gather(*(two.encode(part) for part in parts)), strict=True):
        same(found, part)
    assert len(processes(two)) == two.count


async def test_few_texts_are_not_worth_a_second_one() -> None:
    encoders = Encoders(MODEL, texts=10)
    try:
        same(await encoders.encode(["one", "\ud800 two\n"]), ["one", "\ud800 two\n"])
        assert (encoders.count, len(processes(encoders))) == (1, 1)
    finally:
        encoders.close()


async def test_one_that_is_killed_is_replaced(two: Encoders) -> None:
    await two.encode(TEXTS[:2])
    [first, *_] = processes(two)
    os.kill(first, signal.SIGKILL)
    same(await two.encode(TEXTS), TEXTS)
    assert first not in processes(two)


async def test_it_ends_with_whoever_asked() -> None:
    encoders = Encoders(MODEL, texts=1)
    await encoders.encode(["one"])
    process = encoders._all[0]._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.to_thread(process.wait, 10) == 0
    encoders.close()


async def test_closing_ends_what_is_being_encoded(two: Encoders) -> None:
    await asyncio.gather(two.encode(["one"]), two.encode(["two"]))
    working = [asyncio.create_task(two.encode(["word " * 400_000])) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.to_thread(two.close)
    for outcome in await asyncio.gather(*working, return_exceptions=True):
        assert isinstance(outcome, VestigeError | list)
    assert processes(two) == []


async def test_only_the_text_that_cannot_be_encoded_fails(fragile: Encoders) -> None:
    texts = ["good", "undone", "hollow", "better"]
    good, undone, hollow, better = await fragile.encode(texts)
    assert undone == "The model cannot compute a vector of this text (RuntimeError)."
    assert hollow == "The model returned numbers that are not finite for this text."
    same([good, better], ["good", "better"])


async def test_only_the_text_that_kills_the_encoder_fails(fragile: Encoders) -> None:
    good, deadly, better = await fragile.encode(["good", "deadly", "better"])
    assert deadly == "The encoder crashed on this text twice."
    same([good, better], ["good", "better"])


@pytest.mark.slow
async def test_encoders_that_always_die_end_the_job(fragile: Encoders) -> None:
    with pytest.raises(VestigeError, match="keep crashing"):
        await fragile.encode(["deadly"] * 6)


async def test_another_build_is_refused_unless_any_will_do() -> None:
    other = replace(MODEL, hash="0" * 64)
    for any_build in (False, True):
        encoders = Encoders(other, texts=1, any_build=any_build)
        try:
            if any_build:
                same(await encoders.encode(["one"]), ["one"])
            else:
                with pytest.raises(Refused, match=r"The files of test-embedder-8 here .* differ from those"):
                    await encoders.encode(["one"])
        finally:
            encoders.close()


async def test_a_model_that_is_not_here_is_one_sentence() -> None:
    encoders = Encoders(ModelSignature("no-such-model", 8, ""), texts=1)
    try:
        with pytest.raises(EmbedderUnavailable, match="fastembed does not know"):
            await encoders.encode(["one"])
    finally:
        encoders.close()
