"""A preview of another model: both rankings of a sample, side by side, and nothing written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.support.memory_ids import list_ids
from tests.support.model_swap import OtherEmbedder, offer_models
from vestige_tui.core.errors import EmbedderUnavailable, ModelMismatch, Refused, Usage
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import Embedder, TestEmbedder
from vestige_tui.reembed.preview import preview
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

FIRST, SECOND = TestEmbedder(64), OtherEmbedder(32)
PLACES = ("harbour", "lighthouse", "kitchen", "orchard", "station")
THINGS = ("key", "lamp", "ledger", "rope", "kettle", "map")
TEXTS = tuple(f"The {thing} is in the {place}. Ask nobody twice." for place in PLACES for thing in THINGS)


@pytest.fixture
async def url(store_url: str) -> str:
    """A store of some texts with vectors, one without, and one that is replaced."""
    source = EmbedderSource(embedder=FIRST)
    async with open_store(store_url, create=True, embedders=source) as store:
        for text in TEXTS:
            await store.insert(Draft(text))
        await store.insert(Draft("The lamp that has no vector."), embed=False)
        old = await store.insert(Draft("The lamp of the kitchen was in the cellar."))
        await store.links.supersede(old.changed[0], (await list_ids(store))[-1])
    source.close()
    return store_url


@asynccontextmanager
async def opened(url: str, configured: str | None = None) -> AsyncIterator[Store]:
    """The store as who may not write has it: whatever is done with it, nothing is written."""
    source = EmbedderSource(configured)
    async with open_store(url, read_only=True, embedders=source) as store:
        yield store
    source.close()


def ranking(model: Embedder, question: str, limit: int) -> list[tuple[str, float]]:
    """The nearest texts, measured one by one."""
    [asked] = model.embed([question])
    scores = [(text, float(vector @ asked)) for text, vector in zip(TEXTS, model.embed(TEXTS), strict=True)]
    return sorted(scores, key=lambda each: -each[1])[:limit]


async def test_both_rankings_are_those_of_their_models(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_models(monkeypatch, FIRST, SECOND)
    heard: list[tuple[int, int]] = []
    questions = ("where is the lamp of the kitchen", "a key at the harbour")
    async with opened(url) as store:
        comparison = await preview(store, SECOND.name, questions, limit=4, progress=lambda *done: heard.append(done))
    assert [each.question for each in comparison.rankings] == list(questions)
    assert (comparison.current.name, comparison.current.dimension) == (FIRST.name, 64)
    assert (comparison.other.name, comparison.other.dimension, comparison.other.hash) == (SECOND.name, 32, SECOND.hash)
    assert (comparison.sampled, comparison.memories, comparison.limit) == (len(TEXTS), len(TEXTS) + 2, 4)
    assert comparison.seconds_per_text > 0
    assert heard[-1] == (len(TEXTS), len(TEXTS))
    for each in comparison.rankings:
        assert each.asked_of is None
        for model, hits in ((FIRST, each.current), (SECOND, each.other)):
            wanted = ranking(model, each.question, 4)
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in wanted], abs=1e-4)
            assert {hit.content for hit in hits if hit.score > wanted[-1][1] + 1e-4} <= {text for text, _ in wanted}
        both = {hit.id for hit in each.current} & {hit.id for hit in each.other}
        assert {hit.id for hit in (*each.current, *each.other) if hit.shared} == both
        assert each.overlap == len(both) / 4
    assert comparison.overlap == pytest.approx(np.mean([each.overlap for each in comparison.rankings]))
    assert 0 < comparison.overlap < 1


async def test_without_questions_memories_are_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_models(monkeypatch, FIRST, SECOND)
    async with opened(url) as store:
        comparison = await preview(store, SECOND.name, limit=3)
        again = await preview(store, SECOND.name, limit=3)
    assert again.rankings == comparison.rankings
    assert len(comparison.rankings) == 10
    assert len({each.question for each in comparison.rankings}) == 10
    for each in comparison.rankings:
        assert each.question.startswith("The ")
        assert each.question.endswith(".")
        assert "Ask nobody" not in each.question
        # The memory that a question begins is among those that answer it.
        [asked_of] = [hit for hit in each.current if hit.id == each.asked_of]
        assert asked_of.content.startswith(each.question)
        assert each.asked_of in {hit.id for hit in each.other}


@pytest.mark.parametrize(("text", "sentence"), [
    ("One. Two.", "One."),
    ("  A title\nwith more below.", "A title"),
    ("Version 3.2 of it! Then more", "Version 3.2 of it!"),
    ("\u9375\u306f\u6e2f\u3002\u6b21\u3002", "\u9375\u306f\u6e2f\u3002"),
    ("word " * 100, ("word " * 100)[:200]),
])  # fmt: skip
async def test_what_is_asked_of_a_memory(url: str, text: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_models(monkeypatch, FIRST, SECOND)
    source = EmbedderSource(embedder=FIRST)
    async with open_store(url, embedders=source) as store:
        await store.delete(await list_ids(store, Filter(superseded=True)))
        await store.insert(Draft(text))
    source.close()
    async with opened(url) as store:
        [ranked] = (await preview(store, SECOND.name)).rankings
    assert ranked.question == sentence


async def test_a_sample_is_spread_and_always_the_same(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_models(monkeypatch, FIRST, SECOND)
    async with opened(url) as store:
        taken = []
        for size in (1, 7, 7, len(TEXTS), 500):
            comparison = await preview(store, SECOND.name, ["lamp"], sample=size, limit=500)
            [ranked] = comparison.rankings
            assert comparison.sampled == len(ranked.current) == len(ranked.other) == min(size, len(TEXTS))
            assert ranked.overlap == 1
            assert all(hit.shared for hit in ranked.current)
            taken.append({hit.id for hit in ranked.current})
        assert taken[1] == taken[2]
        assert taken[3] == taken[4]
        ordered = sorted(taken[4])
        places = sorted(ordered.index(each) for each in taken[1])
        assert max(np.diff([*places, places[0] + len(ordered)])) <= len(ordered) // 7 + 1


async def test_a_configured_model_keeps_nobody_from_comparing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_models(monkeypatch, FIRST, SECOND)
    async with opened(url, SECOND.name) as store:
        comparison = await preview(store, SECOND.name, ["a rope"], limit=2)
    assert [hit.score for hit in comparison.rankings[0].current] == pytest.approx(
        [score for _, score in ranking(FIRST, "a rope", 2)], abs=1e-4
    )


async def test_what_cannot_be_compared_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = offer_models(monkeypatch, FIRST)
    async with opened(url) as store:
        with pytest.raises(ModelMismatch, match="already"):
            await preview(store, FIRST.name)
        with pytest.raises(EmbedderUnavailable, match=SECOND.name):
            await preview(store, SECOND.name)
        for sample, limit in ((0, 5), (5, 0)):
            with pytest.raises(Usage):
                await preview(store, SECOND.name, sample=sample, limit=limit)
    loaded.clear()
    offer_models(monkeypatch, SECOND)
    async with opened(url) as store:
        with pytest.raises(EmbedderUnavailable, match=FIRST.name):
            await preview(store, SECOND.name)
    assert loaded == []
    source = EmbedderSource(embedder=FIRST)
    async with open_store(url, embedders=source) as store:
        await store.delete(await list_ids(store, Filter(superseded=True)))
        with pytest.raises(Refused, match="no vectors"):
            await preview(store, SECOND.name)
    source.close()
