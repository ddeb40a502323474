"""Known-item search with the real model: questions, each with one memory as its answer.

The sample store has 289 questions of its own; the others are the first sentences of docstrings of Python's standard
library.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.copying import copy
from benchmarks.corpus import known_items
from benchmarks.raw import DEPTH, Raw, RawPostgres, RawSqlite, fused
from benchmarks.table import Figure
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import Mode, SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.sample_store import fill, memory_id
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from benchmarks.servers import Server
    from vestige_tui.core.embeddings import Vector
    from vestige_tui.store.store import Store

TOP_COUNT = 10
BATCH_ROWS = 64


@dataclass(frozen=True, slots=True)
class Question:
    """Question with its vector and the id of its answer."""

    text: str
    vector: Vector
    answer: str


@dataclass(frozen=True, slots=True)
class Score:
    """Mean reciprocal rank and hit rate of the answers among the first ten."""

    mrr: float
    hit: float


Search = Callable[[Question], Awaitable[Sequence[str]]]


async def measure(folder: Path, server: Server | None) -> list[Figure]:
    """Measure both question sets on both backends, each mode beside its raw search."""
    embedders = EmbedderSource()
    try:
        return [
            *await _on_both("sample", _sample, folder, server, embedders),
            *await _on_both("docstrings", _docstrings, folder, server, embedders),
        ]
    finally:
        embedders.close()


async def _on_both(
    name: str,
    fill_and_ask: Callable[[Store], Awaitable[list[Question]]],
    folder: Path,
    server: Server | None,
    embedders: EmbedderSource,
) -> list[Figure]:
    path = folder / f"{name}.db"
    url = f"sqlite:{path}"
    async with open_store(url, create=True, embedders=embedders) as store:
        questions = await fill_and_ask(store)
        raw_sqlite = RawSqlite(path)
        figures = await _figures(store, raw_sqlite, questions, f"quality sqlite, {name}", "FTS5")
        raw_sqlite.close()
    if server is not None:
        database = server.database()
        await copy(url, database)
        async with open_store(database, embedders=embedders) as store:
            raw_postgres = RawPostgres(database)
            figures += await _figures(store, raw_postgres, questions, f"quality postgres, {name}", "tsvector")
            raw_postgres.close()
    return figures


async def _sample(store: Store) -> list[Question]:
    await fill(store, datetime.now(UTC))
    lines = (Path(__file__).parent / "demo_questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    return await _questions(
        store, [each["question"] for each in questions], [memory_id(each["key"]) for each in questions]
    )


async def _docstrings(store: Store) -> list[Question]:
    items = known_items()
    ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, item.question)) for item in items]
    drafts = [Draft(content=item.text, id=key) for key, item in zip(ids, items, strict=True)]
    for start in range(0, len(drafts), BATCH_ROWS):
        await store.memories.insert_many(drafts[start : start + BATCH_ROWS])
    return await _questions(store, [item.question for item in items], ids)


async def _questions(store: Store, texts: Sequence[str], answers: Sequence[str]) -> list[Question]:
    vectors = await store.embedders.embed(texts, registered=await store.models.registered(), query=True)
    return [Question(*each) for each in zip(texts, vectors, answers, strict=True)]


async def _figures(store: Store, raw: Raw, questions: Sequence[Question], part: str, index: str) -> list[Figure]:
    async def any_word(question: Question) -> list[str]:
        return raw.text(question.text)

    async def all_words(question: Question) -> list[str]:
        return raw.all_words(question.text)

    async def nearest(question: Question) -> list[str]:
        return raw.vector(question.vector)

    async def raw_fused(question: Question) -> list[str]:
        return fused(raw.text(question.text), raw.vector(question.vector))

    async def ours_fused(question: Question) -> list[str]:
        return fused(await _ask(store, "text", question, DEPTH), await _ask(store, "vector", question, DEPTH))

    beside: dict[Mode, list[tuple[Search, str]]] = {
        "text": [(any_word, f"{index}, any word"), (all_words, f"{index}, all words")],
        "vector": [(nearest, "nearest vectors, raw")],
        "hybrid": [(ours_fused, "plain RRF of our two"), (raw_fused, "plain RRF of the raw two"), (nearest, "nearest")],
    }
    figures = []
    for mode, others in beside.items():
        ours = await _score(partial(_first, store, mode), questions)
        for search, name in others:
            score = await _score(search, questions)
            figures += [
                Figure(part, f"{mode} MRR@{TOP_COUNT}", "", ours.mrr, score.mrr, name),
                Figure(part, f"{mode} hit@{TOP_COUNT}", "", ours.hit, score.hit, name),
            ]
    return figures


async def _first(store: Store, mode: Mode, question: Question) -> list[str]:
    return await _ask(store, mode, question, TOP_COUNT)


async def _ask(store: Store, mode: Mode, question: Question, limit: int) -> list[str]:
    text = "" if mode == "vector" else question.text
    vector = None if mode == "text" else question.vector
    return [hit.memory.id for hit in await store.search(SearchQuery(text, vector, mode, limit))]


async def _score(search: Search, questions: Sequence[Question]) -> Score:
    ranks = []
    for question in questions:
        ids = list(await search(question))[:TOP_COUNT]
        ranks.append(ids.index(question.answer) + 1 if question.answer in ids else 0)
    return Score(sum(1 / rank for rank in ranks if rank) / len(ranks), sum(rank > 0 for rank in ranks) / len(ranks))
