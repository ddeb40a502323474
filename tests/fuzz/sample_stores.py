"""Stores with a few memories for the commands that are fuzzed, with vectors of the test model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.fuzz.command_runner import FuzzedStore, run_alone
from tests.support.command_line import fill_sample
from tests.support.postgres import new_database
from vestige_tui.embedding.models import TestEmbedder

DIMENSIONS = 16


@dataclass(slots=True)
class SqliteSample:
    """Sample in a SQLite file; every case has a copy of its own."""

    file: Path | None

    def url(self, world: Path) -> str:
        return f"sqlite:{world / 'kept.db'}"

    def restore(self) -> None:
        """Leave it to the next copy."""


class PostgresSample:
    """Sample in a database, which is made anew from a template after a case has changed it."""

    file: Path | None = None

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._stack = contextlib.ExitStack()
        self._url = self._stack.enter_context(new_database(server, template=template))

    def url(self, world: Path) -> str:
        return self._url

    def restore(self) -> None:
        self._stack.close()
        self._url = self._stack.enter_context(new_database(self._server, template=self._template))

    def close(self) -> None:
        self._stack.close()


@contextlib.contextmanager
def sqlite_sample(folder: Path) -> Iterator[FuzzedStore]:
    path = folder / "sample.db"
    run_alone(fill_sample(f"sqlite:{path}", TestEmbedder(DIMENSIONS)))
    yield SqliteSample(path)


@contextlib.contextmanager
def postgres_sample(server: str) -> Iterator[FuzzedStore]:
    with new_database(server) as template_url:
        run_alone(fill_sample(template_url, TestEmbedder(DIMENSIONS)))
        store = PostgresSample(server, str(conninfo_to_dict(template_url)["dbname"]))
        try:
            yield store
        finally:
            store.close()
