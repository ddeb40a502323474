"""What the options before a command mean: which settings, which store, which model."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.config import Config
    from vestige_tui.store.store import Store


def settings(args: Namespace) -> Config:
    """The settings of this run; what is questionable about them is said on stderr."""
    from vestige_tui.cli.output import say
    from vestige_tui.config import load_config

    config = load_config(Path(args.config) if args.config else None)
    for warning in config.warnings:
        say(warning)
    return config


def store_url(args: Namespace, config: Config) -> str:
    """The store that was meant: the one named, else the configured one, else the one in its usual place."""
    from vestige_tui.config import default_store_url

    return args.store or default_store_url(config)


def is_file(url: str) -> bool:
    """Does the URL name a SQLite file?"""
    return not url.startswith(("postgres:", "postgresql:", "pgembed:"))


def chosen_store(args: Namespace, *, create: bool = False) -> AbstractAsyncContextManager[Store]:
    """The store of this run, open. ``create``: a SQLite file may be made."""
    config = settings(args)
    return opened(store_url(args, config), config, read_only=args.read_only, create=create)


@asynccontextmanager
async def opened(url: str, config: Config, *, read_only: bool = False, create: bool = False) -> AsyncIterator[Store]:
    """A store by its URL under these settings, with the embedding model in reach."""
    from vestige_tui.embedding.models import EmbedderSource
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
        ) as store:
            yield store
    finally:
        embedders.close()
