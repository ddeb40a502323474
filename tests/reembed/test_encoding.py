"""Bound on the prefetch of a re-embedding: the texts that are read before the first of them is written."""

from __future__ import annotations

import asyncio

import pytest

from vestige_tui.embedding.encoder_pool import Encoded
from vestige_tui.reembed import encoding
from vestige_tui.reembed.encoding import EncodingPart, Prefetch, StoredText, next_batch

MARK = bytes(8)


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 0), ("harbour", 7), ("gr\xfc\xdfe", 7), ("\u6e2f\u53e3", 6), ("\U0001f6a2", 4), ("\ud800", 3)],
)
def test_the_size_of_a_text_is_its_bytes(text: str, size: int) -> None:
    assert StoredText("one", text, MARK).size == size + len(MARK)


async def finished() -> list[Encoded]:
    return []


async def test_the_prefetch_waits_for_room_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "AHEAD_BYTES", 1_000)
    prefetch = Prefetch(max_texts=100)
    # 100 characters, 300 bytes.
    texts = [StoredText(str(number), "\u6e2f" * 100, MARK) for number in range(4)]
    for text in texts[:3]:
        await prefetch.enter([text])
    entering = asyncio.create_task(prefetch.enter([texts[3]]))
    turn = asyncio.create_task(finished())
    await turn
    assert not entering.done()
    prefetch.leave(EncodingPart(texts[:1], turn))
    async with asyncio.timeout(30):
        await entering


async def test_a_text_beyond_the_limit_enters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "AHEAD_BYTES", 10)
    async with asyncio.timeout(30):
        await Prefetch(max_texts=1).enter([StoredText("one", "\u6e2f" * 100, MARK)])


def test_batches_are_small_at_first_and_grow_while_they_are_quick() -> None:
    batch, batches = encoding.FIRST_BATCH, []
    for _ in range(6):
        batches.append(batch)
        batch = next_batch(batch, 0.1, 128)
    assert batches == [8, 16, 32, 64, 128, 128]
    assert next_batch(64, 1.0, 128) == 64
    assert next_batch(64, 10.0, 128) == 32
    assert next_batch(1, 10.0, 128) == 1
