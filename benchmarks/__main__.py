"""``python -m benchmarks``: measure, print one table, and write ``bench.json``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import copying, encoder, operations, quality, servers, startup
from benchmarks.table import Figure, render, write
from vestige_tui.store import pgembed

PARTS = ("operations", "quality", "encoder", "copy", "start")
SIZES = (1_000, 10_000)
COPIED = 5_000


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, each figure beside a raw one.")
    made.add_argument("--size", type=int, action="append", metavar="N", help="memories in a store; may be repeated")
    made.add_argument("--only", choices=PARTS, action="append", help="one part alone; may be repeated")
    made.add_argument("--import", dest="imported", action="store_true", help="also import 5,000 texts: takes minutes")
    made.add_argument("--no-postgres", action="store_true", help="SQLite alone")
    made.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE", help="where the figures go")
    return made


async def run(arguments: argparse.Namespace) -> list[Figure]:
    """All parts that were asked for, on one machine, one after the other."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        if arguments.no_postgres or not pgembed.available():
            return await _parts(arguments, folder, None)
        async with servers.server(folder / "postgres") as server:
            return await _parts(arguments, folder, server)


async def _parts(arguments: argparse.Namespace, folder: Path, server: servers.Server | None) -> list[Figure]:
    wanted = arguments.only or PARTS
    found: list[Figure] = []
    if "operations" in wanted:
        for size in arguments.size or SIZES:
            _say(f"a store of {size:,} memories")
            found += await operations.measure(size, folder, server)
    if "copy" in wanted and server is not None:
        _say("copies")
        source = await operations.filled(folder / "source.db", COPIED)
        found += await copying.measure(source, COPIED, server)
    if "quality" in wanted:
        _say("the sample questions")
        found += await quality.measure(folder, server)
    if "start" in wanted:
        _say("starts")
        found += await startup.measure(folder, await _stores(folder, server))
    if "encoder" in wanted:
        _say("the encoder")
        found += encoder.measure()
    if arguments.imported:
        _say("an import")
        found += encoder.measure_import()
    return found


async def _stores(folder: Path, server: servers.Server | None) -> dict[str, str]:
    url = await operations.filled(folder / "small.db", 100)
    if server is None:
        return {"aiosqlite": url}
    database = server.database()
    await copying.copy(url, database)
    return {"aiosqlite": url, "psycopg, psycopg_pool": database}


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


def main() -> None:
    arguments = parser().parse_args()
    figures = asyncio.run(run(arguments))
    print(render(figures))
    write(figures, arguments.out)


if __name__ == "__main__":
    main()
