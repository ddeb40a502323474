"""What another embedding model would find: sample questions asked of a sample of the memories under both models.

Nothing is written. Texts are encoded anew by the other model only; for the store's own its stored vectors are taken.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ModelMismatch, Refused, Usage
from vestige_tui.embedding.models import EmbedderSource, same_model, signature
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.store import Store

SAMPLE = 200
LIMIT = 5
QUESTIONS = 10
"""How many questions are made of the sample where none are given."""
LONGEST = 200
"""Characters of a sentence that is asked."""
CHUNK = 32
_SENTENCE = re.compile(r"\s*(\S[^\n]*?(?:[.!?](?=\s|$)|[\u3002\uff01\uff1f])|\S[^\n]*)")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A memory as one model ranks it; ``score`` is the cosine, ``shared`` says that the other model finds it, too."""

    id: str
    content: str
    score: float
    shared: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """A question under both models, best first. ``overlap`` is the part of the hits that both find, 0 to 1.

    ``asked_of`` is the memory that the question is the first sentence of, where nobody asked it.
    """

    question: str
    asked_of: str | None
    current: tuple[Ranked, ...]
    other: tuple[Ranked, ...]
    overlap: float


@dataclass(frozen=True, slots=True)
class Preview:
    """Both models side by side over ``sampled`` of the store's ``memories``.

    ``overlap`` is the mean over the questions. ``seconds_per_text`` was measured while the sample was encoded by the
    other model, without the time to load it.
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
    """Memories with the unit vectors of the store's model, (memories, dimension)."""

    model: ModelSignature
    ids: Sequence[str]
    texts: Sequence[str]
    units: NDArray[np.float32]


async def preview(
    store: Store,
    model: str,
    queries: Sequence[str] = (),
    sample: int = SAMPLE,
    limit: int = LIMIT,
    progress: Callable[[int, int], None] | None = None,
    dimension: int | None = None,
) -> Preview:
    """Rank a sample under the store's model and under another one, by the name of that.

    Where no ``queries`` are given, first sentences of the sample are asked, the memories that they are of kept in.
    ``progress`` hears (done, total) in texts. ``dimension`` cuts the other model's vectors to this width; the store's
    own model in another width is another one. Raises Refused where the store has no vectors to compare with,
    ModelMismatch where it belongs to that model, EmbedderUnavailable where either model cannot be had, Usage for a
    sample or limit below 1.
    """
    if sample < 1 or limit < 1:
        raise Usage("A preview needs a sample and a limit of 1 or more.")
    taken = await _sample(store, sample)
    asked = _questions(taken, queries)
    texts = [text for text, _ in asked]
    others, own = EmbedderSource(model), EmbedderSource()
    wanted = ModelSignature(model, dimension, "") if dimension else None
    try:
        # First the one that is at hand: where it cannot be had, nothing was loaded in vain.
        mine = await _by_current(store, own, taken.model, texts)
        other = signature(await others.get(wanted))
        if same_model(taken.model.name, other.name) and taken.model.dimension == other.dimension:
            named = f"{other.name} ({other.dimension} dimensions)"
            raise ModelMismatch(f"The store belongs to {named} already; there is nothing to compare.")
        done, total = 0, len(taken.texts)
        vectors: list[Vector] = []
        began = time.perf_counter()
        while done < total:
            vectors += await others.embed(taken.texts[done : done + CHUNK], registered=wanted)
            done = len(vectors)
            if progress is not None:
                progress(done, total)
        seconds = (time.perf_counter() - began) / total
        theirs = await others.embed(texts, registered=wanted, query=True)
    finally:
        others.close()
        own.close()
    units = _units(vectors)
    rankings = tuple(
        _ranking(taken, question, asked_of, _scores(taken.units, one), _scores(units, two), limit)
        for (question, asked_of), one, two in zip(asked, mine, theirs, strict=True)
    )
    return Preview(
        current=taken.model,
        other=other,
        memories=(await store.get_stats()).total_memories,
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
        # What a search by meaning never finds has no place in a ranking.
        if vector.shape == (model.dimension,) and np.isfinite(vector).all() and vector.any():
            ids.append(str(row["id"]))
            texts.append(str(row["content"]))
            vectors.append(vector)
    if model is None or not vectors:
        raise Refused("This store has no vectors yet that another model could be compared with.")
    return _Sample(model, ids, texts, _units(vectors))


def _questions(sample: _Sample, queries: Sequence[str]) -> list[tuple[str, str | None]]:
    """What is asked, each with the memory that it is the beginning of."""
    if queries:
        return [(query, None) for query in queries]
    count = min(QUESTIONS, len(sample.ids))
    places = [number * len(sample.ids) // count for number in range(count)]
    return [(_first_sentence(sample.texts[place]), sample.ids[place]) for place in places]


def _first_sentence(text: str) -> str:
    found = _SENTENCE.match(text[: 4 * LONGEST])
    return " ".join((found[1] if found else text).split())[:LONGEST]


async def _by_current(
    store: Store, own: EmbedderSource, model: ModelSignature, questions: Sequence[str]
) -> Sequence[Vector]:
    try:
        return await store.embedders.embed(questions, registered=model, query=True)
    except ModelMismatch:
        # Another one is configured, which need not keep anybody from a comparison.
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

    def ranked(places: Sequence[int], scores: NDArray[np.float32]) -> tuple[Ranked, ...]:
        return tuple(
            Ranked(sample.ids[place], sample.texts[place], float(scores[place]), place in both) for place in places
        )

    return Ranking(question, asked_of, ranked(first, current), ranked(second, other), len(both) / count)
