"""Known-item search on the sample store: 289 questions, each with the one note that answers it, with the real model."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.copying import copy
from benchmarks.raw import Raw, RawPostgres, RawSqlite
from benchmarks.table import Figure
from vestige_tui.demo import fill, memory_id
from vestige_tui.embedding import EmbedderSource
from vestige_tui.model import Mode, SearchQuery
from vestige_tui.store import open_store

if TYPE_CHECKING:
    from benchmarks.servers import Server
    from vestige_tui.model import Vector
    from vestige_tui.store.service import Store

DEPTH = 10
MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its vector, and the id of the memory that answers it."""

    text: str
    vector: Vector
    answer: str


@dataclass(frozen=True, slots=True)
class Score:
    """Mean of 1 / rank of the answer among the first ten, and how often it is among them."""

    mrr: float
    hit: float


async def measure(folder: Path, server: Server | None) -> list[Figure]:
    """Both backends, each mode beside the raw search of its kind."""
    embedders = EmbedderSource()
    url = f"sqlite:{folder / 'sample.db'}"
    try:
        async with open_store(url, create=True, embedders=embedders) as store:
            await fill(store, datetime.now(UTC))
            questions = await _questions(store)
            lite = RawSqlite(folder / "sample.db")
            found = await _figures(store, lite, questions, "quality sqlite", "FTS5, all words")
            lite.close()
        if server is not None:
            database = server.database()
            await copy(url, database)
            async with open_store(database, embedders=embedders) as store:
                raw = RawPostgres(database)
                found += await _figures(store, raw, questions, "quality postgres", "all words, ts_rank_cd")
                raw.close()
    finally:
        embedders.close()
    return found


async def _questions(store: Store) -> list[Question]:
    lines = (Path(__file__).parent / "demo_questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line) for line in lines]
    vectors = await store.embedders.embed(
        [each["question"] for each in asked], registered=await store.registered_model(), query=True
    )
    return [
        Question(each["question"], vector, memory_id(each["key"])) for each, vector in zip(asked, vectors, strict=True)
    ]


async def _figures(store: Store, raw: Raw, questions: Sequence[Question], part: str, all_words: str) -> list[Figure]:
    async def by_words(question: Question) -> list[str]:
        return raw.all_words(question.text)

    async def by_meaning(question: Question) -> list[str]:
        return raw.vector(question.vector)

    words, meaning = await _score(by_words, questions), await _score(by_meaning, questions)
    found = []
    for mode in MODES:
        ours = await _score(_asking(store, mode), questions)
        plain, beside = (words, all_words) if mode == "text" else (meaning, "nearest vectors, raw")
        found += [
            Figure(part, f"{mode} MRR@{DEPTH}", "", ours.mrr, plain.mrr, beside),
            Figure(part, f"{mode} hit@{DEPTH}", "", ours.hit, plain.hit, beside),
        ]
    return found


def _asking(store: Store, mode: Mode) -> Callable[[Question], Awaitable[list[str]]]:
    async def ask(question: Question) -> list[str]:
        text = "" if mode == "vector" else question.text
        vector = None if mode == "text" else question.vector
        answer = await store.search(SearchQuery(text=text, embedding=vector, mode=mode, limit=DEPTH))
        return [hit.memory.id for hit in answer]

    return ask


async def _score(search: Callable[[Question], Awaitable[list[str]]], questions: Sequence[Question]) -> Score:
    ranks = []
    for question in questions:
        ids = (await search(question))[:DEPTH]
        ranks.append(ids.index(question.answer) + 1 if question.answer in ids else 0)
    return Score(sum(1 / rank for rank in ranks if rank) / len(ranks), sum(rank > 0 for rank in ranks) / len(ranks))
