"""What each read and each write of a store costs beside the raw driver."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmarks.clock import side_by_side, timing
from benchmarks.corpus import drafts, vectors
from benchmarks.table import Figure
from vestige_tui.core.memories import Draft, Patch
from vestige_tui.core.reviews import Rating

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from vestige_tui.core.embeddings import Vector

ASKED = 100
WRITTEN = 30
BATCH = 64
WRITERS, EACH = 16, 100


async def measure(bench: Bench) -> list[Figure]:
    """Reads first: writes make the store larger."""
    return [*await _reads(bench), *await _writes(bench), await _together(bench)]


async def _reads(bench: Bench) -> list[Figure]:
    store, raw, part = bench.store, bench.raw, bench.part
    ids = bench.corpus.ids[:: max(1, bench.size // ASKED)][:ASKED]
    deep = int(bench.size * 0.99) - 50
    # The cursor of a page that ends there.
    cursor, mark = (await store.page(offset=deep - 50)).next, raw.mark_at(deep - 1)
    now = store.now()
    bounds = [now, now + timedelta(days=1), now + timedelta(days=7)]
    times, few = range(ASKED), range(ASKED // 5)
    goal = "raw + .06 ms" if bench.is_sqlite else "<= 2.7"
    driver = "the driver"
    return [
        timing(part, "get", await side_by_side(store.get, lambda key: raw.rows([key]), ids), driver, goal),
        timing(
            part, "page of 50, first", await side_by_side(lambda _: store.page(), lambda _: raw.page(), times), driver
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
        timing(part, "count", await side_by_side(lambda _: store.count(), lambda _: raw.count(), few), driver),
        timing(
            part,
            "tags with counts",
            await side_by_side(lambda _: store.facets("tags"), lambda _: raw.facets(), few),
            driver,
        ),
        timing(
            part,
            "review queue, counted",
            await side_by_side(lambda _: store.queue_counts(), lambda _: raw.due(bounds), few),
            "one aggregate for all of it",
            "<= 1.2",
        ),
    ]


async def _writes(bench: Bench) -> list[Figure]:
    store, raw, part = bench.store, bench.raw, bench.part
    fresh, meanings = _fresh(BATCH)
    ids = bench.corpus.ids[:: max(1, bench.size // (2 * WRITTEN))]
    due = store.now() + timedelta(days=3)

    async def one(place: int) -> None:
        await store.insert(fresh[place], embedding=meanings[place])

    async def many(_: int) -> None:
        await store.insert_many(fresh, embeddings=meanings)

    async def update(place: int) -> None:
        await store.update(ids[2 * place], Patch(tags=("changed", str(time.monotonic_ns()))))

    async def review(place: int) -> None:
        await store.record_review(ids[2 * place], Rating.GOOD)

    plain = "the driver, without a journal"
    each = range(WRITTEN)
    return [
        timing(
            part,
            "insert one",
            await side_by_side(one, lambda place: raw.insert([fresh[place]], [meanings[place]]), each),
            plain,
        ),
        timing(
            part,
            f"insert {BATCH} together",
            await side_by_side(many, lambda _: raw.insert(fresh, meanings), range(5)),
            "the driver, executemany",
        ),
        timing(
            part,
            "update",
            await side_by_side(
                update, lambda place: raw.update(ids[2 * place + 1], ("changed", str(time.monotonic_ns()))), each
            ),
            plain,
        ),
        timing(
            part, "review", await side_by_side(review, lambda place: raw.review(ids[2 * place + 1], due), each), plain
        ),
    ]


async def _together(bench: Bench) -> Figure:
    """Many writers at once, each with memories of its own."""
    count = WRITERS * EACH
    fresh, meanings = _fresh(count)

    async def writer(number: int) -> None:
        for place in range(number * EACH, (number + 1) * EACH):
            await bench.store.insert(fresh[place], embedding=meanings[place])

    began = time.perf_counter()
    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    between = time.perf_counter()
    bench.raw.insert(fresh, meanings)
    return Figure(
        bench.part,
        f"insert, {WRITERS} writers, {EACH} each",
        "memories/s",
        count / (between - began),
        count / (time.perf_counter() - between),
        "the driver, all in one transaction",
    )


def _fresh(count: int) -> tuple[list[Draft], list[Vector]]:
    made = [Draft(content=draft.content, node_type=draft.node_type, tags=draft.tags) for draft in drafts(count)]
    return made, list(vectors(count, series=5))
