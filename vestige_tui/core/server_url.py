"""URL of a PostgreSQL server, taken apart: the one place that knows where a password may stand in it.

A password that is not percent-encoded can make a URL readable in two ways: libpq ends the user part at the first ``@``
and before the first ``/``, a person at the last ``@``. Such a URL is never used, and of it nothing is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_NAMES = (
    "host hostaddr port user dbname service servicefile passfile options application_name fallback_application_name "
    "client_encoding connect_timeout keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout "
    "sslmode sslnegotiation sslcert sslkey sslrootcert sslcrl sslcrldir sslcompression sslsni ssl_min_protocol_version "
    "ssl_max_protocol_version channel_binding require_auth requirepeer gssencmode krbsrvname gsslib gssdelegation "
    "target_session_attrs load_balance_hosts replication ssl oauth_issuer oauth_scope min_protocol_version "
    "max_protocol_version sslkeylogfile"
)
SHOWN_PARAMS = frozenset(_NAMES.split())
"""Parameters of libpq that hold no secret."""
SECRET_PARAMS = frozenset(
    ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret", "oauth_client_id")
)

_NO_AT = frozenset(("host", "hostaddr", "port", "dbname", "service"))
"""Parameters in which an @ is the rest of a password; an abstract socket begins with one."""

PERCENT_ENCODE = (
    "The PostgreSQL URL cannot be read: percent-encode its special characters "
    "(@ is %40, / is %2F, : is %3A, % is %25), as in postgresql://USER@HOST/DATABASE."
)
"""Sentence about a URL that cannot be read, or in two ways; it quotes nothing of it."""

_SCHEME = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_HOSTS = re.compile(r"(?:(?:\[[0-9A-Fa-f:.%]+\]|[\w.~%…-]*)(?::\d{0,5})?(?:,|\Z))*\Z")
_UNENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})|%00|\s")
"""Bad escapes, and blanks, which libpq drops at the ends of a value."""
_USER = re.compile(r"[^:/?#@\s%\[]*:")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """Parts of a URL, as they are written in it. ``password`` is where one stands in the user part."""

    user: str
    password: Span | None
    hosts: str
    database: str
    params: tuple[tuple[str, Span], ...]
    """Name, decoded, and place of the value of each parameter."""


def read_server_url(url: str) -> ServerUrl | None:
    """Return the parts of a libpq URL; None where it cannot be read, or in two ways."""
    scheme = _SCHEME.match(url)
    if not scheme or _UNENCODED.search(url):
        return None
    start = scheme.end()
    slash = _find_any(url, "/", start)
    userinfo_end = url.find("@", start, slash)
    hosts_start = max(start, userinfo_end + 1)
    hosts_end = _find_any(url, "/?", hosts_start)
    query = url.find("?", hosts_end)
    path_end = query if query >= 0 else len(url)
    last_at = url.rfind("@")
    if last_at >= hosts_start and (last_at < path_end or ":" in url[start:last_at]):
        return None
    params = _params(url, path_end + 1) if path_end + 1 < len(url) else ()
    if params is None or not _HOSTS.match(url[hosts_start:hosts_end]):
        return None
    user, colon, _ = url[start : max(start, userinfo_end)].partition(":")
    password = (start + len(user) + 1, userinfo_end) if colon else None
    return ServerUrl(user, password, url[hosts_start:hosts_end], url[hosts_end + 1 : path_end], params)


def secret_spans(url: str) -> tuple[Span, ...]:
    """Return the places of a server's URL that are not to be shown; all after the user where it cannot be read."""
    if parts := read_server_url(url):
        spans = [parts.password] if parts.password else []
        return (*spans, *(span for name, span in parts.params if name in SECRET_PARAMS))
    start = url.index(":") + 1
    start += len(url[start:]) - len(url[start:].lstrip("/"))
    user = _USER.match(url, start) if url[start - 2 : start] == "//" else None
    return ((user.end() if user else start, len(url)),)


def looks_like_server(path: str) -> bool:
    """Check whether a path without a scheme was meant as a server: USER:PASSWORD@HOST, or libpq's keywords."""
    if path.startswith(("sqlite:", "pgembed:")):
        return False
    keywords = r"\s*(?:host|hostaddr|port|dbname|user|password|passfile|service|sslmode)\s*=.*"
    return bool(re.fullmatch(rf"(?://)?[^/@:]*:.*@.*|{keywords}", path, re.DOTALL))


def _params(url: str, start: int) -> tuple[tuple[str, Span], ...] | None:
    params: list[tuple[str, Span]] = []
    for part in url[start:].split("&"):
        name, separator, value = part.partition("=")
        if not separator or unquote(name) not in SHOWN_PARAMS | SECRET_PARAMS:
            return None
        value_start = start + len(name) + 1
        if unquote(name) in _NO_AT and "@" in value[1:]:
            return None
        params.append((unquote(name), (value_start, value_start + len(value))))
        start += len(part) + 1
    return tuple(params)


def _find_any(text: str, characters: str, start: int) -> int:
    """Return the place of the first of these characters, or the end of the text."""
    return min((place for each in characters if (place := text.find(each, start)) >= 0), default=len(text))
