"""A second empty store beside the one of a test, on the database that the test's parameter names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.postgres import new_database
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


@asynccontextmanager
async def second_store(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> AsyncIterator[Store]:
    """Open a new store: a SQLite file in ``folder``, or a database of the tests' server."""
    embedders = EmbedderSource(embedder=TestEmbedder(64))
    if request.param == "sqlite":
        async with open_store(f"sqlite:{folder / 'other.db'}", create=True, embedders=embedders, clock=clock) as store:
            yield store
    else:
        server, template = (request.getfixturevalue(name) for name in ("postgres_server", "postgres_template"))
        with new_database(server, template=template) as url:
            async with open_store(url, embedders=embedders, clock=clock) as store:
                yield store
    embedders.close()
