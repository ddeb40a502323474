"""Opening a store by its URL."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Usage
from vestige_tui.core.paths import user_path
from vestige_tui.core.server_url import looks_like_server

if TYPE_CHECKING:
    from vestige_tui.core.scheduling import Policy
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.backends.protocol import Backend
    from vestige_tui.store.context import Clock
    from vestige_tui.store.store import Store


def refuse_other_urls(url: str) -> None:
    """Raise Usage for a URL of no kind of store, and for a server without its scheme; quotes a scheme at most."""
    if "://" in url and not url.startswith("sqlite:"):
        scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)", url)
        kind = f"{scheme[0]} URL" if scheme else "URL of this kind"
        raise Usage(f"A store cannot be a {kind}; use sqlite:PATH, postgresql://…, or pgembed:DIR.")
    if looks_like_server(url) and not os.path.lexists(os.path.expanduser(url)):
        raise Usage("There is no file of this name; for a store on a server, use postgresql://USER@HOST/DATABASE.")


_only_reads: ContextVar[bool] = ContextVar("only_reads", default=False)


@contextmanager
def only_reading() -> Iterator[None]:
    """Open every store within the block read-only, in its tasks and threads too, also where a caller asks to write."""
    token = _only_reads.set(True)
    try:
        yield
    finally:
        _only_reads.reset(token)


@contextmanager
def writing_drafts() -> Iterator[None]:
    """Open stores for writing within the block in spite of ``only_reading``: files that this program has just begun."""
    token = _only_reads.set(False)
    try:
        yield
    finally:
        _only_reads.reset(token)


def open_backend(
    url: str,
    *,
    create: bool = False,
    read_only: bool = False,
    max_connections: int = 10,
    acquire_timeout: float = 30.0,
    read_url: str = "",
    long_work: bool = False,
) -> Backend:
    """Return the backend of a URL, not yet opened; imports no driver but its own. Raises Usage.

    ``sqlite:PATH`` or a bare path, ``postgresql://…`` (any libpq URL), or ``pgembed:DIR``. ``read_url`` is the libpq
    URL of a replica that answers searches and lists. With ``long_work`` no timeout that a server has set ends a
    statement, a transaction or a session.
    """
    read_only = read_only or _only_reads.get()
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres", "pgembed"):
        from vestige_tui.store.backends.postgres import PostgresBackend

        if scheme == "pgembed" and not rest:
            raise Usage("A pgembed: URL needs a folder, such as pgembed:~/memories.")
        target: str | Path = user_path(rest) if scheme == "pgembed" else url
        return PostgresBackend(
            target,
            create=create,
            read_only=read_only,
            max_connections=max_connections,
            acquire_timeout=acquire_timeout,
            read_url=read_url,
            long_work=long_work,
        )
    refuse_other_urls(url)
    from vestige_tui.store.backends.sqlite import SqliteBackend

    path = rest.removeprefix("//") if scheme == "sqlite" else url
    if not path:
        raise Usage("A sqlite: URL needs a path.")
    return SqliteBackend(user_path(path), create=create, read_only=read_only)


def open_store(
    url: str,
    *,
    create: bool = False,
    read_only: bool = False,
    embedders: EmbedderSource | None = None,
    policy: Policy | None = None,
    clock: Clock | None = None,
    max_connections: int = 10,
    acquire_timeout: float = 30.0,
    read_url: str = "",
    long_work: bool = False,
    origin: str | None = None,
    viewer: str | None = None,
) -> Store:
    """Return the store of a URL; ``async with`` (or ``open``) opens it. ``create`` allows a new file and new tables.

    ``viewer`` names a user (handle, display name or id): the store is read-only, and every query finds only what that
    user may see. ``long_work`` is of ``open_backend``; ``origin`` names the console or command in the journal
    (``core/journal.py``).
    """

    from vestige_tui.store.store import Store

    backend = open_backend(
        url,
        create=create,
        read_only=read_only or viewer is not None,
        max_connections=max_connections,
        acquire_timeout=acquire_timeout,
        read_url=read_url,
        long_work=long_work,
    )
    return Store(backend, create=create, embedders=embedders, policy=policy, clock=clock, origin=origin, viewer=viewer)
