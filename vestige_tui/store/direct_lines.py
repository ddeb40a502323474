"""Direct lines: the URL of a store's server itself, where the store is reached through a pooler.

They come from the settings and hold for this process; a worker is given the line of its target.
"""

from __future__ import annotations

from vestige_tui.core.text import redact_url

_lines: dict[str, str] = {}


def set_direct_line(url: str, direct_url: str) -> None:
    """Name the line to the server of the store at ``url``; it may be reached with another password."""
    _lines[redact_url(url)] = direct_url


def direct_line(url: str) -> str | None:
    """Return the direct line of a store; None where none is named."""
    return _lines.get(redact_url(url))
