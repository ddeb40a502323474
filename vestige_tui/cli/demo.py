"""Command that creates or reopens a sample store: demo.

Its settings, its log and its other files are kept below its folder: those of the user are neither read nor written.
"""

from __future__ import annotations

import os
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from vestige_tui.cli.console import open_console, refuse_without_terminal
from vestige_tui.cli.global_options import is_file, start_log
from vestige_tui.cli.output import Output, ProgressLine
from vestige_tui.cli.parser import Commands
from vestige_tui.core import file_targets, files
from vestige_tui.core.errors import Refused, Unavailable
from vestige_tui.core.paths import user_path
from vestige_tui.core.times import format_time, parse_stored
from vestige_tui.presenters import json_shapes

_INCOMPLETE_SUFFIX = ".filling"


def add_commands(commands: Commands) -> None:
    demo = commands.add("demo", None, "open the console on a sample store; your stores and settings are not touched")
    demo.add_argument(
        "dir", metavar="DIR", nargs="?", help="folder of the sample store (default: in your data directory)"
    )
    demo.add_argument(
        "--postgres", action="store_true", help="use an embedded PostgreSQL server instead of a SQLite file"
    )
    demo.add_argument("--no-console", action="store_true", help="create the store, open no console")
    demo.set_defaults(run=_create, afterwards=_open, home=_home)


def _home(args: Namespace) -> Path:
    """Return the folder of the settings and the state of the demo, below the folder of its store."""
    from vestige_tui.config.directories import data_dir

    # Resolved here, before the directory of own stores becomes that of the demo.
    args.folder = user_path(args.dir).absolute() if args.dir else data_dir() / "demo"
    home: Path = args.folder / "home"
    return home


def _url(args: Namespace) -> str:
    folder: Path = args.folder
    return f"pgembed:{folder / 'postgres'}" if args.postgres else f"sqlite:{folder / 'demo.db'}"


async def _create(args: Namespace, output: Output) -> int:
    """Create and fill the store unless it exists; resume an incomplete one."""
    from vestige_tui.config.directories import make_private_dir
    from vestige_tui.store.open import open_store

    if args.store:
        raise Refused("demo opens its own store; remove --store.")
    if args.config:
        raise Refused("demo has its own settings; remove --config.")
    if not (args.no_console or output.as_json):
        refuse_without_terminal()
    folder, url = args.folder, _url(args)
    store_path = folder / ("demo.db" if is_file(url) else "postgres")
    marker = folder / f"{_INCOMPLETE_SUFFIX}-{store_path.name}"
    try:
        unfilled = not store_path.exists() or marker.exists()
        if unfilled and args.read_only:
            raise Refused(f"{folder} has no demo store yet, and --read-only prevents creating one.")
        if unfilled:
            file_targets.refuse_side_name(store_path)
        if unfilled or os.access(folder, os.W_OK):
            make_private_dir(folder / "home")
            start_log(args)
        if unfilled and not marker.exists():
            files.write(file_targets.examine_document(marker), format_time(datetime.now(UTC)))
    except OSError as error:
        raise Unavailable(f"{folder} cannot be created: {error.strerror}.") from None
    if unfilled:
        started_at = parse_stored(marker.read_text(encoding="ascii", errors="replace").strip()) or datetime.now(UTC)
        await _fill(url, started_at, output.progress("demo memories"))
        marker.unlink(missing_ok=True)
    if output.as_json:
        async with open_store(url, read_only=True) as store:
            output.document(
                {"store": url, "created": unfilled, "stats": json_shapes.stats(await store.maintenance.stats())}
            )
    elif args.no_console:
        output.line(f"{'Created' if unfilled else 'Already exists:'} {url}")
    return 0


async def _fill(url: str, started_at: datetime, progress: ProgressLine) -> None:
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.sample_store import fill
    from vestige_tui.store.open import open_store

    embedders = EmbedderSource()
    try:
        async with open_store(url, create=True, embedders=embedders, clock=lambda: started_at) as store:
            await fill(store, started_at, progress)
    finally:
        progress.end()
        embedders.close()


def _open(args: Namespace, output: Output) -> int:
    """Open the console on the demo, after the event loop that filled it: the console runs its own."""
    from dataclasses import replace

    from vestige_tui.config.directories import default_path
    from vestige_tui.config.reader import load_config
    from vestige_tui.config.settings import Config

    if args.no_console or output.as_json:
        return 0
    # Named, so that the file of VESTIGE_CONFIG is not read.
    path = default_path()
    config = load_config(path) if path.exists() else replace(Config(), path=path)
    return open_console(config, _url(args), read_only=args.read_only)
