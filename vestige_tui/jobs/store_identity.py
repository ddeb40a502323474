"""Identity of a store behind its URL, so that a store with several spellings is asked once; opens nothing."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable
from urllib.parse import unquote

from vestige_tui.core.server_url import SHOWN_PARAMS, read_server_url
from vestige_tui.core.text import redact_url

_DEFAULT_PORT = "5432"
_IDENTIFYING_PARAMS = ("host", "hostaddr", "port", "user", "dbname", "options", "service")
"""Parameters of a libpq URL that say which store it is; ``options`` may set a search path."""
_ENVIRONMENT = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "user": "PGUSER",
    "dbname": "PGDATABASE",
    "options": "PGOPTIONS",
}


def store_identity(url: str) -> tuple[str, ...]:
    """Return a value that is equal for two URLs of one store, as far as can be told without asking a server.

    It is without passwords. Of files and folders it is the real path, of servers the parameters of the connection.
    """
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres"):
        return _server_identity(url)
    if scheme == "pgembed":
        return ("pgembed", _real_path(rest))
    return ("sqlite", _real_path(rest.removeprefix("//") if scheme == "sqlite" else url))


def same_store(one: str, other: str) -> bool:
    """Check whether two URLs are of one store."""
    return one == other or store_identity(one) == store_identity(other)


def distinct_stores(urls: Iterable[str], leave_out: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the first URL of each store, in order, without the stores of ``leave_out``."""
    seen = {store_identity(url) for url in leave_out if url}
    distinct: list[str] = []
    for url in urls:
        if (identity := store_identity(url)) not in seen:
            seen.add(identity)
            distinct.append(url)
    return tuple(distinct)


def _real_path(path: str) -> str:
    try:
        return os.path.realpath(os.path.expanduser(path))
    except (OSError, ValueError):
        return path  # no file can have this name


def _server_identity(url: str) -> tuple[str, ...]:
    """Return the identity of a server's database; of a URL that cannot be read it is what may be shown."""
    parts = read_server_url(url)
    if parts is None:
        return ("unreadable", redact_url(url))
    pairs = [_host_and_port(each) for each in parts.hosts.split(",")]
    params = {
        "user": unquote(parts.user),
        "host": ",".join(unquote(host) for host, _ in pairs),
        "port": ",".join(port for _, port in pairs),
        "dbname": unquote(parts.database),
        # libpq knows no + for a blank.
        **{name: unquote(url[start:end]) for name, (start, end) in parts.params if name in SHOWN_PARAMS},
    }
    if not params.get("service"):
        _fill_defaults(params)
    params["host"] = ",".join(
        host if host.startswith("/") else host.lower() for host in params.get("host", "").split(",")
    )
    return ("postgresql", *(params.get(name, "") for name in _IDENTIFYING_PARAMS))


def _fill_defaults(params: dict[str, str]) -> None:
    """Add what libpq takes from the environment, or as its own default, where neither URL nor service gives it."""
    for name, variable in _ENVIRONMENT.items():
        params[name] = params.get(name) or os.environ.get(variable, "")
    params["user"] = params["user"] or _login_name()
    params["dbname"] = params["dbname"] or params["user"]
    ports = [port or os.environ.get("PGPORT") or _DEFAULT_PORT for port in params["port"].split(",")]
    # One port may stand for all hosts.
    params["port"] = ports[0] if len(set(ports)) == 1 else ",".join(ports)


def _host_and_port(part: str) -> tuple[str, str]:
    """Split a host from its port; an IPv6 address stands in brackets."""
    if part.startswith("["):
        host, _, rest = part[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = part.partition(":")
    return host, port


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
