"""Open the source or the target of a copy; imports only the driver that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core.errors import ForeignStore
from vestige_tui.store.open import refuse_other_urls

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.protocols import Source, Target


def open_source(url: str) -> Source:
    """Open the store of a URL for reading; blocks until it is connected.

    Raises Usage, StoreMissing, ForeignStore, SchemaPending, Refused or Unavailable.
    """
    scheme, _, _ = url.partition(":")
    if scheme in ("postgresql", "postgres", "pgembed"):
        from vestige_tui.transfer.postgres_source import PostgresSource

        return PostgresSource(url)
    refuse_other_urls(url)
    from vestige_tui.transfer.sqlite_source import SqliteSource, sqlite_path

    return SqliteSource(sqlite_path(url))


def target_of(store: Store, kept_ids: KeptIds | None = None) -> Target:
    """Return an open store as the target of a copy; its reader and the transfer context share its ``kept_ids``."""
    refuse_foreign(store.backend)
    if store.backend.capabilities.binary_copy:
        from vestige_tui.transfer.postgres_target import PostgresTarget

        return PostgresTarget(store)
    from vestige_tui.transfer.kept_ids import KeptIds
    from vestige_tui.transfer.sqlite_target import SqliteTarget

    return SqliteTarget(store, KeptIds() if kept_ids is None else kept_ids)


def refuse_foreign(backend: Backend) -> None:
    """Raise ForeignStore for a Vestige file, which no copy writes."""
    if backend.foreign:
        raise ForeignStore(
            f"{backend.title} is a file of a Vestige server, which a copy never writes; name a new file."
        )
