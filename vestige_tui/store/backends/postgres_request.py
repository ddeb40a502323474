"""Request for a session with a PostgreSQL server: its settings at once, or with each transaction."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import quote

from vestige_tui.store.backends.postgres_settings import Setting, as_statement

_WORD = re.compile(r"(?:\\.|\S)+", re.DOTALL)

# libpq sends these by itself as startup parameters. A pooler may refuse them, and those of values are set by us anyway.
_ENVIRONMENT = ("PGGEQO", "PGDATESTYLE", "PGTZ")

_READ_ONLY = "default_transaction_read_only"
_TRUE = ("on", "true", "yes", "1")
_KEPT = frozenset({"plan_cache_mode"})
"""Settings that the server returns as they were given, so that a lost one shows."""
SIGN_OF_PROCESS = "SELECT pg_backend_pid() = {process}"
"""Statement that is false behind a pooler: sessions of its own have numbers of its own."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A session as it is asked for: with its settings as a startup parameter, or without them."""

    conninfo: str = field(repr=False)
    bare: str = field(repr=False)
    """The conninfo without settings."""
    settings: Mapping[str, str]

    @classmethod
    def of(cls, conninfo: str) -> SessionRequest:
        parts = conninfo_to_dict(conninfo)
        settings, rest = split_options(str(parts.get("options") or ""))
        # Empty and not left out: libpq would take PGOPTIONS instead.
        return cls(conninfo, make_conninfo("", **{**parts, "options": rest}), settings)

    @property
    def local_settings(self) -> bytes:
        """Return the statement that applies the settings to one transaction, and names the server's process."""
        settings = dict(self.settings)
        if settings.get(_READ_ONLY, "").lower() in _TRUE:
            # The default is for later transactions only.
            settings["transaction_read_only"] = "on"
        return extended(b"SELECT pg_backend_pid() AS process", (Setting(*item) for item in settings.items()))

    @property
    def signs(self) -> str:
        """Return the statement that is false behind a pooler: another process than ``{process}``, or a lost setting."""
        kept = [
            f"current_setting({quote(name)}) = {quote(value)}" for name, value in self.settings.items() if name in _KEPT
        ]
        return " AND ".join([SIGN_OF_PROCESS, *(each.replace("{", "{{").replace("}", "}}") for each in kept)])


def extended(local_settings: bytes, settings: Iterable[Setting]) -> bytes:
    """Return the statement that applies further settings, too."""
    added = as_statement(settings, local=True).removeprefix("SELECT ").encode()
    return b", ".join(filter(None, [local_settings, added]))


def split_options(options: str) -> tuple[dict[str, str], str]:
    """Return the settings in libpq's ``options``, the last of each name, and the rest, as a pooler may want it."""
    settings: dict[str, str] = {}
    rest: list[str] = []
    words = iter(_WORD.findall(options))
    for word in words:
        assignment = next(words, "") if word == "-c" else word[2:] if word.startswith(("-c", "--")) else ""
        name, equals, value = assignment.partition("=")
        if equals:
            name = re.sub(r"\\(.)", r"\1", name).replace("-", "_").lower()
            settings.pop(name, None)
            settings[name] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        else:
            rest.append(word)
    return settings, " ".join(rest)


def forget_environment() -> None:
    """Let libpq send no startup parameters of its own."""
    for name in _ENVIRONMENT:
        os.environ.pop(name, None)
