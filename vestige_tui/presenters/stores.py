"""Names of stores, the same for console and command line; every string is safe to show."""

from __future__ import annotations

from vestige_tui.core.server_url import read_server_url
from vestige_tui.core.text import below_home, plain, redact_url


def location(url: str) -> str:
    """Return a store's URL without its password, and a path below the home directory with ``~``."""
    return plain(below_home(redact_url(url)))


def read_only_sentence(reason: str) -> str:
    """Return why a store is not written to; ``reason`` is that of its backend."""
    return f"This store is read-only: {reason}."


def store_name(url: str) -> str:
    """Return a short name of a store's URL: a file or folder name, or server and database."""
    if (server := read_server_url(url)) is not None:
        first_host = plain(server.hosts.partition(",")[0])
        label, _, domain = first_host.partition(".")
        host = first_host if domain[:1].isdigit() else label
        database = plain(server.database.rstrip("/"))
        return (f"{host}/{database}" if database else host) if host else database or "postgres"
    safe = plain(redact_url(url))
    scheme, _, rest = safe.partition(":")
    if scheme in ("postgresql", "postgres"):
        return "postgres"
    return rest.partition("?")[0].rstrip("/").rsplit("/", 1)[-1] or safe
