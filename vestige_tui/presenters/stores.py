"""Names of stores, the same for console and command line; every string is safe to show."""

from __future__ import annotations

from vestige_tui.core.text import below_home, plain, redact


def location(url: str) -> str:
    """Return a store's URL without its password, and a path below the home directory with ``~``."""
    return plain(below_home(redact(url)))


def store_name(url: str) -> str:
    """Return a short name of a store's URL: a file or folder name, or server and database."""
    scheme, _, rest = plain(url).partition(":")
    rest = rest.partition("?")[0].rstrip("/")
    if scheme in ("postgresql", "postgres"):
        host, slash, database = rest.lstrip("/").rpartition("@")[2].partition("/")
        first_host = host.partition(",")[0]
        label, _, domain = first_host.partition(".")
        server = first_host if domain[:1].isdigit() else label
        return (server + slash + database if server else database) or "postgres"
    return rest.rsplit("/", 1)[-1] or plain(url)
