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
    quality,
    reembedding,
    searches,
    servers,
    startup,
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
    "operations": operations.measure,
    "live": live.measure,
}
"""What is measured on a store of each size; the last ones write to it."""

PARTS = (*ON_A_STORE, "console", "copy", "reembed", "quality", "encoder", "start")
SIZES = (1_000, 10_000, 100_000)
QUICK = SIZES[:2]
COPIED = 5_000


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, each figure beside a raw one.")
    made.add_argument("--size", type=int, action="append", metavar="N", help="memories in a store; may be repeated")
    made.add_argument("--quick", action="store_true", help="stores of 1,000 and 10,000 memories only")
    made.add_argument("--only", choices=PARTS, action="append", help="one part alone; may be repeated")
    made.add_argument("--import", dest="imported", action="store_true", help="also import 5,000 texts: takes minutes")
    made.add_argument("--no-postgres", action="store_true", help="SQLite alone")
    made.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE", help="where the figures go")
    return made


async def run(arguments: argparse.Namespace, found: list[Figure]) -> None:
    """All parts that were asked for, one after the other; what they find is added as it comes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        if arguments.no_postgres or not embedded_postgres.available():
            await _parts(arguments, folder, None, found)
            return
        async with servers.server(folder / "postgres") as server:
            await _parts(arguments, folder, server, found)


async def _parts(
    arguments: argparse.Namespace, folder: Path, server: servers.Server | None, found: list[Figure]
) -> None:
    wanted: Sequence[str] = arguments.only or PARTS
    sizes: Sequence[int] = arguments.size or (QUICK if arguments.quick else SIZES)
    if {*ON_A_STORE, "console"} & set(wanted):
        for size in sizes:
            await _stores(size, wanted, folder, server, found, last=size == sizes[-1])
    if "copy" in wanted and server is not None:
        _say("copies")
        source = await filling.filled(folder / "source.db", COPIED)
        found += await copying.measure(source, COPIED, server)
    if "reembed" in wanted and server is not None:
        _say("re-embeddings")
        source = await filling.filled(folder / "to-reembed.db", COPIED)
        found += await reembedding.measure(folder, source, COPIED, server)
    if "quality" in wanted:
        _say("known-item questions")
        found += await quality.measure(folder, server)
    if "start" in wanted:
        _say("starts")
        found += await startup.measure(folder, await _small(folder, server))
    if "encoder" in wanted:
        _say("the encoder")
        found += encoder.measure()
    if arguments.imported:
        _say("an import")
        found += encoder.measure_import()


async def _stores(
    size: int,
    wanted: Sequence[str],
    folder: Path,
    server: servers.Server | None,
    found: list[Figure],
    *,
    last: bool,
) -> None:
    """Stores of a size on either backend, measured one after the other; the console is on the last size alone."""
    began = time.perf_counter()
    _say(f"a store of {size:,} memories: filling it")
    path = folder / f"{size}.db"
    stores = {"sqlite": await filling.filled(path, size)}
    if server is not None:
        stores["postgres"] = server.database()
        await copying.copy(stores["sqlite"], stores["postgres"])
    if "console" in wanted and last:
        _say("the console on it", began)
        parts = {f"{kind} {size:,}": url for kind, url in stores.items()}
        target = server.database() if server is not None else None
        found += await asyncio.to_thread(console.measure, folder, parts, size, target)
    for kind, url in stores.items():
        raw = RawSqlite(path) if kind == "sqlite" else RawPostgres(url)
        async with open_store(url) as store:
            bench = Bench(f"{kind} {size:,}", url, store, raw, corpus(size))
            for name, measure in ON_A_STORE.items():
                if name in wanted:
                    _say(f"{bench.part}, {name}", began)
                    found += await measure(bench)
        raw.close()
    corpus.cache_clear()


async def _small(folder: Path, server: servers.Server | None) -> dict[str, str]:
    url = await filling.filled(folder / "small.db", 100)
    if server is None:
        return {"aiosqlite": url}
    database = server.database()
    await copying.copy(url, database)
    return {"aiosqlite": url, "psycopg, psycopg_pool": database}


def _say(what: str, began: float | None = None) -> None:
    after = "" if began is None else f" after {time.perf_counter() - began:.0f} s"
    print(f"measuring {what}{after} …", file=sys.stderr, flush=True)


def main() -> None:
    arguments = parser().parse_args()
    figures: list[Figure] = []
    try:
        asyncio.run(run(arguments, figures))
    finally:
        # A part that fails takes nothing from those before it.
        print(render(figures), flush=True)
        write(figures, arguments.out)


if __name__ == "__main__":
    main()
