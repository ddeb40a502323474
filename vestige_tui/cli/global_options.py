"""Settings, store and embedding model of a run, from its global options."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui import __version__
from vestige_tui.core.errors import Usage
from vestige_tui.core.journal import command_origin
from vestige_tui.core.times import parse_argument
from vestige_tui.presenters.moments import as_of_sentence

if TYPE_CHECKING:
    from vestige_tui.config.settings import Config
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)


def start_log(args: Namespace) -> None:
    """Begin to log, with the name of the command and none of its arguments."""
    from vestige_tui.config.log import configure_log

    configure_log(debug=args.debug)
    python = sys.version.split()[0]
    log.info("vestige-tui %s, Python %s on %s: %s", __version__, python, sys.platform, args.command or "console")


def settings(args: Namespace) -> Config:
    """Load the settings of this run; print their warnings to stderr."""
    from vestige_tui.cli.output import say
    from vestige_tui.config.reader import load_config
    from vestige_tui.store.direct_lines import set_direct_line

    config = load_config(Path(args.config) if args.config else None)
    for warning in config.warnings:
        say(warning)
    if config.postgres_url and config.direct_url:
        set_direct_line(config.postgres_url, config.direct_url)
    return config


AT_A_MOMENT = ("search", "list", "show", "export", "history", "edges", "neighbors")
"""Commands that answer for the moment of --as-of."""


def refuse_moment(args: Namespace) -> None:
    """Raise Usage for --as-of with a command that knows no past moment."""
    if args.as_of is not None and args.command not in AT_A_MOMENT:
        *others, last = AT_A_MOMENT
        instead = " Use --from and --to." if args.command == "diff" else ""
        raise Usage(f"--as-of works with {', '.join(others)} and {last}, not with {args.command}.{instead}")


def chosen_moment(args: Namespace, config: Config) -> datetime | None:
    """Return the moment of --as-of; None for now. Raises Usage."""
    return None if args.as_of is None else parse_argument(args.as_of, datetime.now(UTC), config.policy().days)


def store_url(args: Namespace, config: Config) -> str:
    """Return the URL of the store: --store, else the configured one, else the default location."""
    from vestige_tui.config.default_store import default_store_url

    return args.store or default_store_url(config)


def is_file(url: str) -> bool:
    """Check whether a URL names a SQLite file."""
    return not url.startswith(("postgres:", "postgresql:", "pgembed:"))


def chosen_store(
    args: Namespace, *, create: bool = False, announces: bool = True
) -> AbstractAsyncContextManager[Store]:
    """Open the store of this run. ``create`` allows to create a SQLite file; ``announces`` prints its file problems."""
    config = settings(args)
    return open_with_settings(
        store_url(args, config),
        config,
        read_only=args.read_only,
        create=create,
        announces=announces,
        origin=command_origin(args.command),
        viewer=args.viewer,
        as_of=chosen_moment(args, config),
    )


def _say_file_problems(store: Store) -> None:
    """Print the problems of the files of an open store to stderr."""
    from vestige_tui.cli.output import say

    for each in store.file_problems():
        say(f"{each.problem} {each.remedy}")


@asynccontextmanager
async def open_with_settings(
    url: str,
    config: Config,
    *,
    read_only: bool = False,
    create: bool = False,
    announces: bool = True,
    origin: str | None = None,
    viewer: str | None = None,
    as_of: datetime | None = None,
) -> AsyncIterator[Store]:
    """Open a store by URL under these settings, with its embedding model loadable.

    ``origin`` names the command in the journal, ``viewer`` the user as whom the store is read; ``as_of`` shows the
    store at that moment.
    """
    from vestige_tui.cli.output import say
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.open import open_store

    embedders = EmbedderSource(configured=config.model)
    try:
        async with open_store(
            url,
            create=create and is_file(url),
            read_only=read_only,
            embedders=embedders,
            policy=config.policy(),
            max_connections=config.max_connections,
            acquire_timeout=config.acquire_timeout_secs,
            read_url=config.read_url(url),
            origin=origin,
            viewer=viewer,
        ) as store:
            if store.maintenance.pending:
                say(store.maintenance.pending_text())
            if announces:
                _say_file_problems(store)
            if as_of is not None:
                say(as_of_sentence(as_of))
            yield store if as_of is None else store.at(as_of)
    finally:
        embedders.close()
