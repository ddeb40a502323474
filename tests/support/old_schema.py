"""Stores as an earlier version of the program left them."""

from __future__ import annotations

from vestige_tui.store.open import open_backend
from vestige_tui.store.schema import migrations


async def take_back(url: str, to: str) -> None:
    """Undo the migrations from this one on, so that the store is one of an earlier version."""
    backend = open_backend(url)
    await backend.open()
    try:
        version = next(step.version for step in migrations.migrations(backend.dialect) if step.name == to)
        await migrations.down(backend, to=version - 1, yes=True)
    finally:
        await backend.close()
