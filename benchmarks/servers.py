"""Embedded PostgreSQL for one run of the measurements, with a new database on request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from vestige_tui.store.backends import embedded_postgres


@dataclass(slots=True)
class Server:
    """Running server; ``url`` names its first database."""

    url: str
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"


@asynccontextmanager
async def server(directory: Path) -> AsyncIterator[Server]:
    """Start a server with its data in this folder, and stop it at the end."""
    lease = await embedded_postgres.acquire(directory)
    try:
        yield Server(lease.url)
    finally:
        await embedded_postgres.release(lease)
