"""Links of a text to web pages, in the form in which they are opened: all ASCII, so that nothing in them is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

MAX_ADDRESS_CHARS = 4_000
"""Longer addresses are left out: they cannot be checked by reading."""
MAX_LINKS = 200

_ADDRESS = re.compile(r"\bhttps?://[^\s<>\"'`{}|\\^\x00-\x20\x7f-\x9f]+", re.IGNORECASE)
_TRAILING = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "["}
# All that may stand in an address, and % so that an encoded character stays as it is.
_KEPT = "%:/?#[]@!$&'()*+,;=-._~"
_KEPT_IN_USER = "%:!$&'()*+,;=-._~"
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*\.?|\[[0-9a-f:.]+\]", re.I)


@dataclass(frozen=True, slots=True)
class WebLink:
    """Link to a web page: the whole ``address`` that is opened, its ``host``, and warnings about a misleading form."""

    address: str
    host: str
    warnings: tuple[str, ...] = ()


def web_links(texts: Iterable[str]) -> tuple[WebLink, ...]:
    """Return the http and https links of these texts in their order, each once."""
    links: dict[str, WebLink] = {}
    for text in texts:
        for match in _ADDRESS.finditer(text):
            link = _link(_without_trailing(match[0]))
            if link is not None:
                links.setdefault(link.address, link)
            if len(links) >= MAX_LINKS:
                return tuple(links.values())
    return tuple(links.values())


def _without_trailing(address: str) -> str:
    """Return an address without the punctuation of its sentence, and without a bracket that it does not open."""
    while address:
        last = address[-1]
        opening = _PAIRS.get(last)
        if last in _TRAILING or (opening and address.count(last) > address.count(opening)):
            address = address[:-1]
        else:
            break
    return address


def _link(written: str) -> WebLink | None:
    """Return the link that an address stands for; None if no browser could read it in one way only."""
    try:
        parts = urlsplit(written)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    ascii_host = _ascii_host(host)
    if ascii_host is None:
        return None
    user, at, _ = parts.netloc.rpartition("@")
    netloc = f"{quote(user, safe=_KEPT_IN_USER)}{at}{ascii_host}{'' if port is None else f':{port}'}"
    address = urlunsplit(
        SplitResult(
            parts.scheme.lower(),
            netloc,
            *(quote(part, safe=_KEPT, errors="replace") for part in (parts.path, parts.query, parts.fragment)),
        )
    )
    if len(address) > MAX_ADDRESS_CHARS:
        return None
    return WebLink(address, ascii_host, tuple(_warnings(host, ascii_host, bool(at))))


def _ascii_host(host: str) -> str | None:
    """Return a host in ASCII (IDNA), None if it has no such form."""
    if host.isascii():
        bare = f"[{host}]" if ":" in host else host
        return bare if _HOST.fullmatch(bare) else None
    try:
        encoded = host.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    return encoded if _HOST.fullmatch(encoded) else None


def _warnings(host: str, ascii_host: str, has_user: bool) -> Iterable[str]:
    if has_user:
        yield f"The part before the @ is a user name; the site is {ascii_host}."
    if not host.isascii():
        yield f"The site is written with letters outside ASCII; its real name is {ascii_host}. Do you know it?"
    elif any(label.startswith("xn--") for label in ascii_host.lower().split(".")):
        yield "The site's name (xn--…) is an encoded name with letters outside ASCII. Do you know it?"
