"""The ends of a copy by URL and by store, each with no driver imported but its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige_tui.core.errors import ForeignStore, Usage

if TYPE_CHECKING:
    from vestige_tui.store.backends.protocol import Backend
    from vestige_tui.store.store import Store
    from vestige_tui.transfer.protocols import Source, Target


def open_source(url: str) -> Source:
    """The store that a URL names, opened to be read; it blocks for as long as connecting takes.

    Raises Usage, StoreMissing, ForeignStore, SchemaPending, Refused or Unavailable.
    """
    scheme, _, _ = url.partition(":")
    if scheme in ("postgresql", "postgres", "pgembed"):
        from vestige_tui.transfer.postgres_source import PostgresSource

        return PostgresSource(url)
    if "://" in url and scheme != "sqlite":
        raise Usage(f"A store cannot be a {scheme} URL; it is sqlite:PATH, postgresql://…, or pgembed:DIR.")
    from vestige_tui.transfer.sqlite_source import SqliteSource, sqlite_path

    return SqliteSource(sqlite_path(url))


def target_of(store: Store) -> Target:
    """An open store of ours as a copy writes it."""
    refuse_foreign(store.backend)
    if store.backend.dialect == "postgres":
        from vestige_tui.transfer.postgres_target import PostgresTarget

        return PostgresTarget(store)
    from vestige_tui.transfer.sqlite_target import SqliteTarget

    return SqliteTarget(store)


def refuse_foreign(backend: Backend) -> None:
    """Raises ForeignStore where a store is a file that a Vestige server made, which no copy writes."""
    if backend.foreign:
        raise ForeignStore(
            f"{backend.title} is a file of a Vestige server; a copy writes only stores of its own. "
            "Name another file, which it makes."
        )
