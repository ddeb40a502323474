"""``python -m benchmarks``: measure, print one table, and write ``bench.json``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks import (
    console,
    copying,
    encoder,
    filling,
    live,
    narrowing,
    operations,
    pooling,
    quality,
    reembedding,
    screen,
    searches,
    servers,
    startup,
    viewing,
    words,
)
from benchmarks.bench import Bench
from benchmarks.corpus import corpus
from benchmarks.raw import RawPostgres, RawSqlite
from benchmarks.table import Figure, render, write
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.open import open_store

ON_A_STORE: dict[str, Callable[[Bench], Awaitable[list[Figure]]]] = {
    "searches": searches.measure,
    "filters": narrowing.measure,
    "words": words.measure,
    "pooler": pooling.measure,
    "operations": operations.measure,
    "viewers": viewing.measure,
    "live": live.measure,
}
"""Parts measured on a store of each size; the last ones write to it."""

PARTS = (*ON_A_STORE, "console", "screen", "copy", "reembed", "quality", "encoder", "start")
STORE_ROWS = (1_000, 10_000, 100_000)
QUICK_STORE_ROWS = STORE_ROWS[:2]
COPY_ROWS = 5_000


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, each figure beside a raw one.")
    parser.add_argument("--size", type=int, action="append", metavar="N", help="memories in a store; may be repeated")
    parser.add_argument("--quick", action="store_true", help="stores of 1,000 and 10,000 memories only")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part alone; may be repeated")
    parser.add_argument("--import", dest="imported", action="store_true", help="also import 5,000 texts: takes minutes")
    parser.add_argument("--no-postgres", action="store_true", help="SQLite alone")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE", help="where the figures go")
    return parser


async def run(arguments: argparse.Namespace, figures: list[Figure]) -> None:
    """Run every requested part in turn; figures are appended as they come."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        if arguments.no_postgres or not embedded_postgres.available():
            await _parts(arguments, folder, None, figures)
            return
        async with servers.server(folder / "postgres") as server:
            await _parts(arguments, folder, server, figures)


async def _parts(
    arguments: argparse.Namespace, folder: Path, server: servers.Server | None, figures: list[Figure]
) -> None:
    parts: Sequence[str] = arguments.only or PARTS
    sizes: Sequence[int] = arguments.size or (QUICK_STORE_ROWS if arguments.quick else STORE_ROWS)
    if {*ON_A_STORE, "console", "screen"} & set(parts):
        for size in sizes:
            await _stores(size, parts, folder, server, figures, last=size == sizes[-1])
    if "copy" in parts and server is not None:
        _say("copies")
        source = await filling.fill_store(folder / "source.db", COPY_ROWS)
        figures += await copying.measure(source, COPY_ROWS, server)
        figures += await pooling.measure_copy(source, COPY_ROWS, server)
    if "reembed" in parts and server is not None:
        _say("re-embeddings")
        source = await filling.fill_store(folder / "to-reembed.db", COPY_ROWS)
        figures += await reembedding.measure(folder, source, COPY_ROWS, server)
    if "quality" in parts:
        _say("known-item questions")
        figures += await quality.measure(folder, server)
    if "start" in parts:
        _say("starts")
        figures += await startup.measure(folder, await _small(folder, server))
    if "encoder" in parts:
        _say("the encoder")
        figures += encoder.measure()
    if arguments.imported:
        _say("an import")
        figures += encoder.measure_import()


async def _stores(
    size: int,
    parts: Sequence[str],
    folder: Path,
    server: servers.Server | None,
    figures: list[Figure],
    *,
    last: bool,
) -> None:
    """Measure stores of one size on both backends in turn; the console on the last size only."""
    began = time.perf_counter()
    _say(f"a store of {size:,} memories: filling it")
    path = folder / f"{size}.db"
    stores = {"sqlite": await filling.fill_store(path, size)}
    if server is not None:
        stores["postgres"] = server.database()
        await copying.copy(stores["sqlite"], stores["postgres"])
    if "console" in parts and last:
        _say("the console on it", began)
        urls = {f"{kind} {size:,}": url for kind, url in stores.items()}
        target = server.database() if server is not None else None
        figures += await asyncio.to_thread(console.measure, folder, urls, size, target)
    if "screen" in parts and last:
        _say("its screen beside a second writer", began)
        urls = {f"screen, {kind} {size:,}": url for kind, url in stores.items()}
        figures += await asyncio.to_thread(screen.measure, folder, urls)
    for kind, url in stores.items():
        raw = RawSqlite(path) if kind == "sqlite" else RawPostgres(url)
        async with open_store(url) as store:
            bench = Bench(f"{kind} {size:,}", url, store, raw, corpus(size))
            for name, measure in ON_A_STORE.items():
                if name in parts:
                    _say(f"{bench.part}, {name}", began)
                    figures += await measure(bench)
        raw.close()
    corpus.cache_clear()


async def _small(folder: Path, server: servers.Server | None) -> dict[str, str]:
    url = await filling.fill_store(folder / "small.db", 100)
    if server is None:
        return {"aiosqlite": url}
    database = server.database()
    await copying.copy(url, database)
    return {"aiosqlite": url, "psycopg, psycopg_pool": database}


def _say(subject: str, began: float | None = None) -> None:
    after = "" if began is None else f" after {time.perf_counter() - began:.0f} s"
    print(f"measuring {subject}{after} …", file=sys.stderr, flush=True)


def main() -> None:
    arguments = parser().parse_args()
    figures: list[Figure] = []
    try:
        asyncio.run(run(arguments, figures))
    finally:
        # A failing part must not lose earlier figures.
        print(render(figures), flush=True)
        write(figures, arguments.out)


if __name__ == "__main__":
    main()
