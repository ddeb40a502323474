"""Texts and queries are encoded by the templates of a Vestige profile: in its file, in a copy, and after a way back."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import numpy as np
import pytest

from tests.support.jobs import run_here
from tests.support.vestige_files import make_line, memory_id
from vestige_tui.core.embeddings import RAW, EncodingTemplates
from vestige_tui.core.errors import ModelMismatch
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder, signature
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

EMBEDDER = TestEmbedder(64)
OTHER = TestEmbedder(32)
TEMPLATES = EncodingTemplates("search_document: {input}", "search_query: {input}")
TEXTS = ("The signing keys rotate every ninety days.", "The cache is warmed after a deploy.", "Mira owns billing.")
QUESTION = "keys rotate"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of Vestige V28 whose active profile has prefixes for texts and queries."""
    path = tmp_path / "vestige.db"
    rows = [{"id": memory_id(number), "content": text} for number, text in enumerate(TEXTS)]
    make_line(path, 28, rows, width=EMBEDDER.dimension)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE embedding_profiles SET model_id = ?", (EMBEDDER.name,))
        for number, text in enumerate(TEXTS):
            [vector] = EMBEDDER.embed([f"search_document: {text}"])
            statement = "UPDATE embedding_profile_vectors SET embedding = ?, model = ? WHERE node_id = ?"
            connection.execute(statement, (vector.astype("<f4").tobytes(), EMBEDDER.name, memory_id(number)))
        connection.commit()
    return path


@asynccontextmanager
async def opened(url: str, embedder: TestEmbedder = EMBEDDER) -> AsyncIterator[Store]:
    embedders = EmbedderSource(embedder=embedder)
    try:
        async with open_store(url, embedders=embedders) as store:
            yield store
    finally:
        embedders.close()


def cosine(question: str, text: str) -> float:
    """Cosine of the vectors that the model gives for exactly these words."""
    one, other = EMBEDDER.embed([question, text])
    return float(np.dot(one, other))


async def best_score(store: Store, question: str = QUESTION) -> float:
    [best, *_] = await store.search(SearchQuery(question, mode="vector"))
    assert best.vector_score is not None
    return best.vector_score


AS_STORED = pytest.approx(cosine(f"search_query: {QUESTION}", f"search_document: {TEXTS[0]}"), abs=0.002)


async def test_a_question_meets_the_vectors_of_a_file_by_its_template(file: Path) -> None:
    async with opened(f"sqlite:{file}") as store:
        model = await store.models.registered()
        assert model is not None
        assert (model.name, model.templates) == (EMBEDDER.name, TEMPLATES)
        assert await best_score(store) == AS_STORED


async def test_a_copy_keeps_the_templates_for_what_is_written_and_asked_later(file: Path, bare_store_url: str) -> None:
    job = await run_here(JobRequest("copy", f"sqlite:{file}", bare_store_url, {}))
    assert (job.status, job.error) == ("completed", None)
    async with opened(bare_store_url) as store:
        model = await store.models.registered()
        assert model is not None
        assert model.templates == TEMPLATES
        assert await best_score(store) == AS_STORED
        text = "A new retry queue."
        await store.insert(Draft(text))
        written = pytest.approx(cosine("search_query: retry queue", f"search_document: {text}"), abs=0.002)
        assert await best_score(store, "retry queue") == written
        with pytest.raises(ModelMismatch, match="encodes texts as"):
            await store.models.register(signature(EMBEDDER))


async def test_another_model_reads_texts_as_they_are_and_the_way_back_has_the_templates(
    file: Path, bare_store_url: str
) -> None:
    await run_here(JobRequest("copy", f"sqlite:{file}", bare_store_url, {}))
    for options, model, templates in (
        ({"model": OTHER.name}, OTHER.name, RAW),
        ({"rollback": True}, EMBEDDER.name, TEMPLATES),
    ):
        job = await run_here(JobRequest("reembed", bare_store_url, bare_store_url, options))
        assert (job.status, job.error) == ("completed", None)
        async with opened(bare_store_url) as store:
            registered = await store.models.registered()
            assert registered is not None
            assert (registered.name, registered.templates) == (model, templates)
    async with opened(bare_store_url) as store:
        assert await best_score(store) == AS_STORED


async def test_a_target_that_encodes_otherwise_is_refused(file: Path, bare_store_url: str) -> None:
    async with open_store(bare_store_url, create=True) as store:
        await store.models.register(signature(EMBEDDER))
    with pytest.raises(ModelMismatch, match="the source encodes texts as"):
        await run_here(JobRequest("copy", f"sqlite:{file}", bare_store_url, {}))
