"""Hosts of a server's URL: sessions with one that accepts writes, and with a standby while none does."""

from __future__ import annotations

import os
import time
from typing import Any

from psycopg import AsyncConnection

from vestige_tui.store.backends.postgres_connection import parse_url

LOOK_SECONDS = 5.0
"""Pause between two looks for the host that accepts writes."""
_ATTRIBUTES = "target_session_attrs"
_WRITABLE = ("read-write", "primary")
NO_WRITABLE_HOST = "no server of its URL accepts writes now, so a standby answers"


class HostChoice:
    """Role of the server that answers, and the session attributes that libpq chooses the next one by."""

    def __init__(self, url: str) -> None:
        parts = parse_url(url) if url else {}
        self._asked = str(parts.get(_ATTRIBUTES) or os.environ.get("PGTARGETSESSIONATTRS") or "any")
        # A service file may ask for it, too; only libpq reads that.
        in_service = bool(parts.get("service") or os.environ.get("PGSERVICE"))
        self.wants_writable = self._asked in _WRITABLE or in_service
        """The URL asks for a host that accepts writes."""
        self.fell_back = False
        """A standby answers because no host accepts writes."""
        self._is_standby: bool | None = None
        self._reports_role = False
        self._looked_at = 0.0

    def parameters(self, *, read_only: bool, fall_back: bool | None = None) -> dict[str, str]:
        """Return the parameters of a session: with the host that the URL asks for, or with any.

        ``fall_back`` is that of the server that answers, unless it is given.
        """
        if self.fell_back if fall_back is None else fall_back:
            return {_ATTRIBUTES: "any"}
        # libpq would take a session that is read-only by our own settings for a host that accepts no writes.
        return {_ATTRIBUTES: "primary"} if read_only and self._asked in _WRITABLE else {}

    def note(self, connection: AsyncConnection[Any], *, is_standby: bool, fell_back: bool) -> bool:
        """Note the role of the server that answers; return whether it is another one than before."""
        changed = self._is_standby is not None and is_standby != self._is_standby
        self._is_standby, self.fell_back = is_standby, fell_back
        # A pooler may report the role of another server, or that of an earlier time.
        self._reports_role = _reported_standby(connection) is is_standby
        self.looked()
        return changed

    def looked(self) -> None:
        """Note a look for the host that accepts writes; the next one is due after a pause."""
        self._looked_at = time.monotonic()

    def is_doubtful(self, connection: AsyncConnection[Any]) -> bool:
        """Check whether it is time for another look: the server changed its role, or a primary may be back."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        return self.fell_back or (self._reports_role and _reported_standby(connection) is not self._is_standby)


def _reported_standby(connection: AsyncConnection[Any]) -> bool | None:
    """Return the role that the server reports to every session, and again when it is promoted; None without one."""
    reported = connection.info.parameter_status("in_hot_standby")
    return None if reported is None else reported == "on"
