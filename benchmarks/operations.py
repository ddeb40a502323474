"""A store of many memories on either backend: what each question and write costs beside the raw driver."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.clock import side_by_side, timing
from benchmarks.copying import copy
from benchmarks.corpus import DIMENSION, common_words, drafts, questions, vectors
from benchmarks.raw import LIMIT, Raw, RawPostgres, RawSqlite, hybrid
from benchmarks.table import Figure
from vestige_tui.model import Draft, ModelSignature, SearchQuery
from vestige_tui.store import open_store

if TYPE_CHECKING:
    from benchmarks.servers import Server
    from vestige_tui.model import Vector
    from vestige_tui.store.service import Store

ASKED = 100
WRITTEN = 30
BATCH = 64
MODEL = ModelSignature("benchmark/clusters", DIMENSION)


async def filled(path: Path, size: int) -> str:
    """A SQLite store of so many memories with vectors; gives its URL."""
    url, memories, meanings = f"sqlite:{path}", drafts(size), vectors(size)
    async with open_store(url, create=True) as store:
        await store.register_model(MODEL)
        for start in range(0, size, 1_000):
            end = start + 1_000
            await store.insert_many(memories[start:end], embeddings=meanings[start:end])
    return url


async def measure(size: int, folder: Path, server: Server | None) -> list[Figure]:
    """Every operation on a SQLite store of this size, and on its copy where there is a server."""
    url = await filled(folder / f"{size}.db", size)
    found: list[Figure] = []
    if server is not None:
        database = server.database()
        await copy(url, database)
        async with open_store(database) as store:
            raw = RawPostgres(database)
            found = await _operations(store, raw, f"postgres {size:,}", size)
            raw.close()
    async with open_store(url) as store:
        lite = RawSqlite(folder / f"{size}.db")
        part = f"sqlite {size:,}"
        return [await _load(url, lite, part), *await _operations(store, lite, part, size), *found]


async def _load(url: str, raw: RawSqlite, part: str) -> Figure:
    [meaning] = vectors(1, series=4)

    async def first(_: int) -> None:
        async with open_store(url, read_only=True) as store:
            await store.vector_search(meaning, LIMIT)

    times = await side_by_side(first, lambda _: raw.load(), range(5))
    return timing(part, "open, first search by meaning", times, "read all vectors into numpy")


async def _operations(store: Store, raw: Raw, part: str, size: int) -> list[Figure]:
    return [
        *await _searches(store, raw, part),
        *await _filtered(store, part),
        await _recall(store, raw, part, size),
        *await _reads(store, raw, part, size),
        *await _writes(store, raw, part),
    ]


async def _searches(store: Store, raw: Raw, part: str) -> list[Figure]:
    asked = list(zip(questions(ASKED), vectors(ASKED, series=4), strict=True))
    usual = common_words(40)
    common = [(" ".join(usual[place : place + 2]), asked[0][1]) for place in range(0, 38, 2)]

    async def ours_hybrid(each: tuple[str, Vector]) -> None:
        await store.search(SearchQuery(text=each[0], embedding=each[1], limit=LIMIT))

    async def ours_text(each: tuple[str, Vector]) -> None:
        await store.search(SearchQuery(text=each[0], mode="text", limit=LIMIT))

    async def ours_vector(each: tuple[str, Vector]) -> None:
        await store.search(SearchQuery(embedding=each[1], mode="vector", limit=LIMIT))

    def raw_text(each: tuple[str, Vector]) -> None:
        raw.rows(raw.text(each[0])[:LIMIT])

    def raw_vector(each: tuple[str, Vector]) -> None:
        raw.rows(raw.vector(each[1])[:LIMIT])

    return [
        timing(
            part,
            "search hybrid",
            await side_by_side(ours_hybrid, lambda each: hybrid(raw, *each), asked),
            "its two branches, then the ten memories",
            "<= 1.15, large" if part.startswith("sqlite") else "<= 1.3",
        ),
        timing(part, "search text", await side_by_side(ours_text, raw_text, asked), "any word, then ten memories"),
        timing(part, "search text, two common words", await side_by_side(ours_text, raw_text, common), "the same"),
        timing(part, "search vector", await side_by_side(ours_vector, raw_vector, asked), "nearest, then ten memories"),
    ]


async def _filtered(store: Store, part: str) -> list[Figure]:
    asked = list(zip(questions(ASKED // 2), vectors(ASKED // 2, series=4), strict=True))

    async def search(each: tuple[str, Vector], *, types: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> None:
        await store.search(SearchQuery(text=each[0], embedding=each[1], limit=LIMIT, node_types=types, tags=tags))

    found = []
    for name, narrow in (
        ("types (20 %)", partial(search, types=("decision",))),
        ("a tag (3 %)", partial(search, tags=("tag-30",))),
    ):
        times = await side_by_side(narrow, search, asked)
        found.append(timing(part, f"hybrid, {name}", times, "our hybrid without a filter", "<= 8"))
    return found


async def _recall(store: Store, raw: Raw, part: str, size: int) -> Figure:
    """How much of what is nearest is found; the raw one is what plain SQL finds."""
    ids = [str(draft.id) for draft in drafts(size)]
    matrix, asked = np.stack(vectors(size)), vectors(ASKED, series=4)
    ours = bare = 0
    for vector in asked:
        wanted = {ids[place] for place in np.argsort(-(matrix @ vector))[:LIMIT]}
        ours += len(wanted & {hit.memory.id for hit in await store.vector_search(vector, LIMIT)})
        bare += len(wanted & set(raw.vector(vector)[:LIMIT]))
    whole = len(asked) * LIMIT
    return Figure(part, "recall@10 by vector", "", ours / whole, bare / whole, "nearest, raw", goal=">= .99")


async def _reads(store: Store, raw: Raw, part: str, size: int) -> list[Figure]:
    ids = [str(draft.id) for draft in drafts(size)][:: size // ASKED][:ASKED]
    deep = int(size * 0.99) - 50
    cursor, mark = (await store.page(limit=deep)).next, raw.mark_at(deep - 1)
    now = store.now()
    bounds = [now, now + timedelta(days=1), now + timedelta(days=7)]
    times = range(ASKED)
    goal = "raw + .06 ms" if part.startswith("sqlite") else "<= 2.7"
    return [
        timing(part, "get", await side_by_side(store.get, lambda key: raw.rows([key]), ids), "the driver", goal),
        timing(
            part,
            "page of 50, first",
            await side_by_side(lambda _: store.page(), lambda _: raw.page(), times),
            "the driver",
        ),
        timing(
            part,
            "page of 50, 99 % deep",
            await side_by_side(lambda _: store.page(after=cursor), lambda _: raw.page(mark), times),
            "the driver, by the same key",
        ),
        timing(
            part,
            "page of 50, 99 % deep",
            await side_by_side(lambda _: store.page(after=cursor), lambda _: store.page(), times),
            "our first page",
            "<= 1.5",
        ),
        timing(part, "count", await side_by_side(lambda _: store.count(), lambda _: raw.count(), times), "the driver"),
        timing(
            part,
            "review queue, counted",
            await side_by_side(lambda _: store.queue_counts(), lambda _: raw.due(bounds), times),
            "one aggregate for all of it",
            "<= 1.2",
        ),
    ]


async def _writes(store: Store, raw: Raw, part: str) -> list[Figure]:
    fresh = [Draft(content=draft.content, node_type=draft.node_type, tags=draft.tags) for draft in drafts(BATCH)]
    meanings = vectors(BATCH, series=5)

    async def one(place: int) -> None:
        await store.insert(fresh[place], embedding=meanings[place])

    async def many(_: int) -> None:
        await store.insert_many(fresh, embeddings=meanings)

    return [
        timing(
            part,
            "insert one",
            await side_by_side(one, lambda place: raw.insert([fresh[place]], [meanings[place]]), range(WRITTEN)),
            "the driver, without a journal",
        ),
        timing(
            part,
            f"insert {BATCH} together",
            await side_by_side(many, lambda _: raw.insert(fresh, meanings), range(5)),
            "the driver, executemany",
        ),
    ]
