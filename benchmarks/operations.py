"""Reads and writes of a store beside the raw driver."""

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
from vestige_tui.store.backends.query_timings import Timings

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from vestige_tui.core.embeddings import Vector

READ_COUNT = 100
WRITE_COUNT = 30
BATCH_ROWS = 64
WRITER_COUNT, WRITER_ROWS = 16, 100
TIMED_COUNT = 20_000
MAX_TIMING_MICROSECONDS = 5.0


async def measure(bench: Bench) -> list[Figure]:
    """Measure reads, then writes: they enlarge the store."""
    return [*await _reads(bench), *await _writes(bench), await _together(bench), _recording(bench)]


async def _reads(bench: Bench) -> list[Figure]:
    store, raw, part = bench.store, bench.raw, bench.part
    ids = bench.corpus.ids[:: max(1, bench.size // READ_COUNT)][:READ_COUNT]
    deep = int(bench.size * 0.99) - 50
    # Cursor of the page that ends there.
    cursor, mark = (await store.page(offset=deep - 50)).next, raw.mark_at(deep - 1)
    now = store.now()
    recalled = (await store.page(sort="recall", offset=bench.size // 2)).next
    bounds = [now, now + timedelta(days=1), now + timedelta(days=7)]
    times, few = range(READ_COUNT), range(READ_COUNT // 5)
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
        timing(
            part,
            "page of 50 by recall, first",
            await side_by_side(lambda _: store.page(sort="recall"), lambda _: raw.recall(now), few),
            "one pass over all schedules",
            "<= 2",
        ),
        timing(
            part,
            "page of 50 by recall, 50 % deep",
            await side_by_side(lambda _: store.page(sort="recall", after=recalled), lambda _: raw.recall(now), few),
            "one pass over all schedules",
            "<= 2",
        ),
        timing(part, "count", await side_by_side(lambda _: store.memories.count(), lambda _: raw.count(), few), driver),
        timing(
            part,
            "tags with counts",
            await side_by_side(lambda _: store.memories.facets("tags"), lambda _: raw.facets(), few),
            driver,
        ),
        timing(
            part,
            "review queue, counted",
            await side_by_side(lambda _: store.reviews.queue_counts(), lambda _: raw.due(bounds), few),
            "one aggregate for all of it",
            "<= 1.2",
        ),
    ]


async def _writes(bench: Bench) -> list[Figure]:
    store, raw, part = bench.store, bench.raw, bench.part
    fresh, meanings = _fresh(BATCH_ROWS)
    ids = bench.corpus.ids[:: max(1, bench.size // (2 * WRITE_COUNT))]
    due = store.now() + timedelta(days=3)

    async def one(place: int) -> None:
        await store.insert(fresh[place], embedding=meanings[place])

    async def many(_: int) -> None:
        await store.memories.insert_many(fresh, embeddings=meanings)

    async def update(place: int) -> None:
        await store.update(ids[2 * place], Patch(tags=("changed", str(time.monotonic_ns()))))

    async def review(place: int) -> None:
        await store.reviews.record(ids[2 * place], Rating.GOOD)

    plain = "the driver, without a journal"
    each = range(WRITE_COUNT)
    return [
        timing(
            part,
            "insert one",
            await side_by_side(one, lambda place: raw.insert([fresh[place]], [meanings[place]]), each),
            plain,
        ),
        timing(
            part,
            f"insert {BATCH_ROWS} together",
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


def _recording(bench: Bench) -> Figure:
    """Measure the cost of recording the duration of one query."""
    timings = Timings()
    began = time.perf_counter()
    for _ in range(TIMED_COUNT):
        with timings.of("a"):
            pass
    microseconds = (time.perf_counter() - began) / TIMED_COUNT * 1e6
    beside = f"{MAX_TIMING_MICROSECONDS:.0f} µs, the longest it should take"
    return Figure(
        bench.part, "duration of a query recorded", "µs", microseconds, MAX_TIMING_MICROSECONDS, beside, goal="<= 1"
    )


async def _together(bench: Bench) -> Figure:
    """Measure concurrent writers, each with its own memories."""
    count = WRITER_COUNT * WRITER_ROWS
    fresh, meanings = _fresh(count)

    async def writer(number: int) -> None:
        for place in range(number * WRITER_ROWS, (number + 1) * WRITER_ROWS):
            await bench.store.insert(fresh[place], embedding=meanings[place])

    began = time.perf_counter()
    await asyncio.gather(*(writer(number) for number in range(WRITER_COUNT)))
    between = time.perf_counter()
    bench.raw.insert(fresh, meanings)
    return Figure(
        bench.part,
        f"insert, {WRITER_COUNT} writers, {WRITER_ROWS} each",
        "memories/s",
        count / (between - began),
        count / (time.perf_counter() - between),
        "the driver, all in one transaction",
    )


def _fresh(count: int) -> tuple[list[Draft], list[Vector]]:
    copies = [Draft(content=draft.content, node_type=draft.node_type, tags=draft.tags) for draft in drafts(count)]
    return copies, list(vectors(count, series=5))
