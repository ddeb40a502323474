"""Preview of another embedding model: sample questions over a sample of memories, ranked under both models.

Nothing is written. Only the other model encodes texts; the store's own vectors are read.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ModelMismatch, Refused, Usage
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import same_model, signature
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

SAMPLE_MEMORIES = 200
LIMIT = 5
QUESTIONS = 10
"""Number of questions taken from the sample if none are given."""
MAX_QUESTION_CHARS = 200
CHUNK_TEXTS = 32
_SENTENCE = re.compile(r"\s*(\S[^\n]*?(?:[.!?](?=\s|$)|[\u3002\uff01\uff1f])|\S[^\n]*)")


@dataclass(frozen=True, slots=True)
class RankedMemory:
    """A memory as one model ranks it; ``score`` is the cosine, ``shared``: a hit of the other model, too."""

    id: str
    content: str
    score: float
    shared: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hits of a question under both models, best first. ``overlap`` is the share of hits of both, 0 to 1.

    ``asked_of`` is the memory that begins with the question, None for a given question.
    """

    question: str
    asked_of: str | None
    current: tuple[RankedMemory, ...]
    other: tuple[RankedMemory, ...]
    overlap: float


@dataclass(frozen=True, slots=True)
class Preview:
    """Comparison of both models over ``sampled`` of the store's ``memories``.

    ``overlap`` is the mean over the questions. ``seconds_per_text`` was measured while the other model encoded the
    sample, without its loading time.
    """

    current: ModelSignature
    other: ModelSignature
    memories: int
    sampled: int
    limit: int
    rankings: tuple[Ranking, ...]
    overlap: float
    seconds_per_text: float


@dataclass(frozen=True, slots=True)
class _Sample:
    """Memories with unit vectors of the store's model, (memories, dimension)."""

    model: ModelSignature
    ids: Sequence[str]
    texts: Sequence[str]
    units: NDArray[np.float32]


async def preview(
    store: Store,
    model: str,
    queries: Sequence[str] = (),
    sample: int = SAMPLE_MEMORIES,
    limit: int = LIMIT,
    progress: Callable[[int, int], None] | None = None,
    dimension: int | None = None,
) -> Preview:
    """Rank a sample of memories under the store's model and under another one, by its name.

    Without ``queries`` the questions are first sentences of the sample, and their memories stay in it. ``progress``
    receives (done, total) in texts. ``dimension`` cuts the other model's vectors to this width; the store's own model
    in another width is another one. Raises Refused if the store has no vectors to compare with, ModelMismatch if it
    belongs to that model, EmbedderUnavailable if either model is unavailable, Usage for a sample or limit below 1.
    """
    if sample < 1 or limit < 1:
        raise Usage("The number of memories (--sample) and of results per query (--limit) must be 1 or more.")
    corpus = await _sample(store, sample)
    questions = _questions(corpus, queries)
    texts = [text for text, _ in questions]
    others, own = EmbedderSource(model), EmbedderSource()
    cut_model = ModelSignature(model, dimension, "") if dimension else None
    try:
        # The store's model first: if it is unavailable, the other one is not loaded in vain.
        own_vectors = await _by_current(store, own, corpus.model, texts)
        other = signature(await others.get(cut_model))
        if same_model(corpus.model.name, other.name) and corpus.model.dimension == other.dimension:
            name = f"{other.name} ({other.dimension} dimensions)"
            raise ModelMismatch(f"The store already uses {name}; there is nothing to compare.")
        count, total = 0, len(corpus.texts)
        vectors: list[Vector] = []
        start = time.perf_counter()
        while count < total:
            vectors += await others.embed(corpus.texts[count : count + CHUNK_TEXTS], registered=cut_model)
            count = len(vectors)
            if progress is not None:
                progress(count, total)
        seconds = (time.perf_counter() - start) / total
        other_vectors = await others.embed(texts, registered=cut_model, query=True)
    finally:
        others.close()
        own.close()
    units = _units(vectors)
    rankings = tuple(
        _ranking(corpus, question, asked_of, _scores(corpus.units, own_vector), _scores(units, other_vector), limit)
        for (question, asked_of), own_vector, other_vector in zip(questions, own_vectors, other_vectors, strict=True)
    )
    return Preview(
        current=corpus.model,
        other=other,
        memories=(await store.maintenance.stats()).total_memories,
        sampled=total,
        limit=limit,
        rankings=rankings,
        overlap=sum(each.overlap for each in rankings) / len(rankings),
        seconds_per_text=seconds,
    )


async def _sample(store: Store, size: int) -> _Sample:
    import numpy as np

    ids: list[str] = []
    texts: list[str] = []
    vectors: list[Vector] = []
    model: ModelSignature | None = None
    for row in await store.backend.fetch("sample_embeddings", {"sample": size}):
        model = ModelSignature(str(row["model"]), int(row["dimension"]), str(row["hash"] or ""))
        vector = rows.as_vector(row["embedding"])
        # A vector search never finds zero vectors, broken ones, or those of another width.
        if vector.shape == (model.dimension,) and np.isfinite(vector).all() and vector.any():
            ids.append(str(row["id"]))
            texts.append(str(row["content"]))
            vectors.append(vector)
    if model is None or not vectors:
        raise Refused("This store has no vectors yet; there is nothing to compare another model with.")
    if (registered := await store.models.registered()) is not None:
        model = replace(model, templates=registered.templates)
    return _Sample(model, ids, texts, _units(vectors))


def _questions(sample: _Sample, queries: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the questions, each with the id of the memory that begins with it."""
    if queries:
        return [(query, None) for query in queries]
    count = min(QUESTIONS, len(sample.ids))
    places = [number * len(sample.ids) // count for number in range(count)]
    return [(_first_sentence(sample.texts[place]), sample.ids[place]) for place in places]


def _first_sentence(text: str) -> str:
    match = _SENTENCE.match(text[: 4 * MAX_QUESTION_CHARS])
    return " ".join((match[1] if match else text).split())[:MAX_QUESTION_CHARS]


async def _by_current(
    store: Store, own: EmbedderSource, model: ModelSignature, questions: Sequence[str]
) -> Sequence[Vector]:
    try:
        return await store.embedders.embed(questions, registered=model, query=True)
    except ModelMismatch as error:
        log.debug("Loading the store's own model for the comparison: %s", error)
        # Another model is configured; the comparison works all the same.
        return await own.embed(questions, registered=model, query=True)


def _units(vectors: Sequence[Vector]) -> NDArray[np.float32]:
    import numpy as np

    stacked = np.stack(vectors)
    norms = np.linalg.norm(stacked, axis=1, keepdims=True)
    units: NDArray[np.float32] = (stacked / np.where(norms > 0, norms, 1)).astype(np.float32)
    return units


def _scores(units: NDArray[np.float32], question: Vector) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = units @ _units([question])[0]
    return scores


def _ranking(
    sample: _Sample,
    question: str,
    asked_of: str | None,
    current: NDArray[np.float32],
    other: NDArray[np.float32],
    limit: int,
) -> Ranking:
    import numpy as np

    count = min(limit, len(sample.ids))
    first, second = (
        [int(place) for place in np.argsort(-scores, kind="stable")[:count]] for scores in (current, other)
    )
    both = set(first) & set(second)

    def hits(places: Sequence[int], scores: NDArray[np.float32]) -> tuple[RankedMemory, ...]:
        return tuple(
            RankedMemory(sample.ids[place], sample.texts[place], float(scores[place]), place in both)
            for place in places
        )

    return Ranking(question, asked_of, hits(first, current), hits(second, other), len(both) / count)
