"""Opening a store by its URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.core.errors import Usage
from vestige_tui.core.paths import user_path
from vestige_tui.core.text import plain

if TYPE_CHECKING:
    from vestige_tui.core.scheduling import Policy
    from vestige_tui.embedding.embedder_source import EmbedderSource
    from vestige_tui.store.backends.protocol import Backend
    from vestige_tui.store.context import Clock
    from vestige_tui.store.store import Store


def open_backend(
    url: str, *, create: bool = False, read_only: bool = False, max_connections: int = 10, acquire_timeout: float = 30.0
) -> Backend:
    """Return the backend of a URL, not yet opened; imports no driver but its own. Raises Usage.

    ``sqlite:PATH`` or a bare path, ``postgresql://…`` (any libpq URL), or ``pgembed:DIR``.
    """
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres", "pgembed"):
        from vestige_tui.store.backends.postgres import PostgresBackend

        if scheme == "pgembed" and not rest:
            raise Usage("pgembed: needs a directory.")
        target: str | Path = user_path(rest) if scheme == "pgembed" else url
        return PostgresBackend(
            target, create=create, read_only=read_only, max_connections=max_connections, acquire_timeout=acquire_timeout
        )
    if "://" in url and scheme != "sqlite":
        raise Usage(f"A store cannot be a {plain(scheme)} URL; it is sqlite:PATH, postgresql://…, or pgembed:DIR.")
    from vestige_tui.store.backends.sqlite import SqliteBackend

    path = rest.removeprefix("//") if scheme == "sqlite" else url
    if not path:
        raise Usage("sqlite: needs a path.")
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
) -> Store:
    """Return the store of a URL; ``async with`` (or ``open``) opens it. ``create`` allows a new file and new tables."""

    from vestige_tui.store.store import Store

    backend = open_backend(
        url, create=create, read_only=read_only, max_connections=max_connections, acquire_timeout=acquire_timeout
    )
    return Store(backend, create=create, embedders=embedders, policy=policy, clock=clock)
