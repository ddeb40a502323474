"""Sessions behind a pooler, which lends a session of the server for one transaction only.

Nothing of a session lasts there: no setting, prepared statement, temporary table, LISTEN or session-level lock. So the
settings travel in the transaction that needs them, at no round trip more.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.sql import quote

from vestige_tui.store.backends.postgres_settings import Setting, as_statement

if TYPE_CHECKING:
    from vestige_tui.store.backends.postgres_connection import BlockingConnection, ServerConnection
    from vestige_tui.store.backends.protocol import Row

_WORD = re.compile(r"(?:\\.|\S)+", re.DOTALL)
_IDLE = TransactionStatus.IDLE

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
        calls = [f"set_config({quote(name)}, {quote(value)}, true)" for name, value in settings.items()]
        return ", ".join(["SELECT pg_backend_pid() AS process", *calls]).encode()

    @property
    def signs(self) -> str:
        """Return the statement that is false behind a pooler: another process than ``{process}``, or a lost setting."""
        kept = [
            f"current_setting({quote(name)}) = {quote(value)}" for name, value in self.settings.items() if name in _KEPT
        ]
        return " AND ".join([SIGN_OF_PROCESS, *(each.replace("{", "{{").replace("}", "}}") for each in kept)])


def extended(local_settings: bytes, settings: Iterable[Setting]) -> bytes:
    """Return the statement that applies further settings, too."""
    return local_settings + b", " + as_statement(settings, local=True).removeprefix("SELECT ").encode()


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


async def fetch(connection: ServerConnection, statement: bytes, params: Mapping[str, object]) -> list[Row]:
    """Return the rows of one statement outside any transaction of ours, under the settings of the session."""
    if connection.local_settings is None:
        cursor = await connection.execute(statement, params)
    elif _reads_dates(connection):
        # What is sent together is one transaction.
        async with connection.pipeline():
            await connection.execute(connection.local_settings)
            cursor = await connection.execute(statement, params)
    else:
        async with transaction(connection):
            cursor = await connection.execute(statement, params)
    return list(await cursor.fetchall()) if cursor.description else []


def _reads_dates(connection: ServerConnection) -> bool:
    """Check that the driver reads dates: it follows what the session reports, which is not done within one trip."""
    return (connection.info.parameter_status("DateStyle") or "").startswith("ISO")


@asynccontextmanager
async def transaction(connection: ServerConnection) -> AsyncIterator[None]:
    """Begin a transaction under the settings of the session; leaving the block commits, an exception rolls back."""
    if connection.local_settings is None:
        async with connection.transaction():
            yield
        return
    try:
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            cursor = await connection.execute(connection.local_settings)
        row = await cursor.fetchone()
        connection.process = row["process"] if row else None
        yield
        await connection.commit()
    except BaseException:
        await _roll_back(connection)
        raise


@asynccontextmanager
async def under_settings(connection: ServerConnection) -> AsyncIterator[None]:
    """Run the block under the settings of the session: in a transaction where they would not last otherwise."""
    if connection.local_settings is None:
        yield
        return
    # Not in a pipeline, which loses the reason where a pooler refuses every transaction.
    async with connection.transaction():
        await connection.execute(connection.local_settings)
        yield


@asynccontextmanager
async def trip(connection: ServerConnection) -> AsyncIterator[None]:
    """Send what is executed in the block as one transaction, in one trip."""
    if connection.local_settings is None:
        async with connection.pipeline(), connection.transaction():
            yield
        return
    if not _reads_dates(connection):
        async with transaction(connection):
            yield
        return
    try:
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            await connection.execute(connection.local_settings)
            yield
            await connection.execute(b"COMMIT")
    except BaseException:
        await _roll_back(connection)
        raise


async def _roll_back(connection: ServerConnection) -> None:
    if not connection.closed and connection.info.transaction_status != _IDLE:
        await connection.rollback()


@contextmanager
def blocking_transaction(connection: BlockingConnection) -> Iterator[None]:
    """Run the block as ``under_settings`` does."""
    if connection.local_settings is None:
        yield
        return
    with connection.transaction():
        connection.execute(connection.local_settings)
        yield
