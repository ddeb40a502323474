"""A server that demands a password, although that of the tests needs none."""

from __future__ import annotations

import pytest

from vestige_tui.core.errors import Unavailable
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.backends.postgres_connection import parse_url

PASSWORD = "s3cret-PW"


def with_password(url: str) -> str:
    """Return the URL of a test's database with the password."""
    return f"{url}{'&' if '?' in url else '?'}password={PASSWORD}"


def demand_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to open a server by a URL without the password."""
    opens = PostgresBackend.open

    async def refuse(self: PostgresBackend) -> None:
        if parse_url(self._pool.url).get("password") != PASSWORD:
            raise Unavailable(f"{self.title} cannot be reached: fe_sendauth: no password supplied.")
        await opens(self)

    monkeypatch.setattr(PostgresBackend, "open", refuse)
