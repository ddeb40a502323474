"""Sessions with a PostgreSQL server: settings, encodings, and the conversion of values."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncPipeline, errors
from psycopg.abc import AdaptContext, Buffer, PQGen
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.generators import send
from psycopg.pq import Format
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb

from vestige_tui.core.cancellation import cancellation_kept
from vestige_tui.core.errors import Usage
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.server_url import PERCENT_ENCODE, read_server_url
from vestige_tui.core.storable import clean
from vestige_tui.store.backends.postgres_errors import BrokenOff, LockTimeout, Unsuitable
from vestige_tui.store.backends.postgres_request import SIGN_OF_PROCESS, SessionRequest, forget_environment
from vestige_tui.store.backends.postgres_settings import (
    ENCODING,
    FIXED,
    READ_ONLY,
    REPORTED,
    TUNING,
    Setting,
    as_options,
    as_statement,
    given_options,
)
from vestige_tui.store.backends.protocol import Json, Params, fitting
from vestige_tui.store.waits import Waits

log = logging.getLogger(__name__)

RV = TypeVar("RV")

CANCEL_SECONDS = 1.0
"""Wait for a server to accept a cancellation, before its connection is cut."""

# A line that drops packets is cut after half a minute; a server that is slow or stopped still acknowledges.
_LINE = {
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # milliseconds
}

# Driver and pool log the errors that they also raise; the console keeps stderr free of them.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
logging.getLogger("psycopg").propagate = False


_SETTLE = as_statement(FIXED)
"""Statement that applies all settings that values depend on to a session."""


def adapt(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        return fitting(value)
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, Json):
        return Jsonb(value.value)
    if isinstance(value, (list, tuple)):
        return [adapt(each) for each in value]
    return value


def adapt_params(params: Params | None) -> dict[str, object]:
    return {key: adapt(value) for key, value in (params or {}).items()}


def load_json(data: str | bytes) -> Any:
    # Most metadata and scores are empty, and a page has a hundred of each.
    return {} if data == b"{}" else json.loads(data)


def parse_url(url: str) -> dict[str, Any]:
    """Return the parts of a libpq URL. Raises Usage, without a part of one that is unreadable or ambiguous.

    libpq takes the rest of a password that is not percent-encoded for a host, and asks the network for it.
    """
    if read_server_url(url) is None:
        raise Usage(PERCENT_ENCODE)
    try:
        parts = dict(conninfo_to_dict(url))
    except (psycopg.Error, ValueError):
        # A lone surrogate is no text that libpq could be given, and a NUL would end it.
        raise Usage(PERCENT_ENCODE) from None
    if not all(map(_is_host, str(parts.get("host") or "").split(","))):
        raise Usage("The PostgreSQL URL contains an invalid host name; correct it.")
    return parts


def _is_host(name: str) -> bool:
    """Check whether a host can be looked up: Python raises UnicodeError for a part that is empty or too long."""
    if not name or name.startswith(("/", "@")):
        return True  # a socket, or the default
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


def conninfo(
    url: str, *, read_only: bool, settings: Sequence[Setting] = (), inherits: bool = True, **extra: str
) -> str:
    """Return the conninfo of a session with all settings that values depend on.

    ``settings`` are those that only the server could tell. A server of our own ``inherits`` no options of PGOPTIONS.
    """
    parts = parse_url(url)
    given = given_options(parts) if inherits else str(parts.get("options") or "")
    # The last of two values wins.
    ours = as_options([*FIXED, *settings, *([READ_ONLY] if read_only else [])])
    options = " ".join(filter(None, [as_options(TUNING), given, ours]))
    parts.setdefault("application_name", "vestige-tui")
    # A startup parameter overrides options, role and database; the URL's own overrides environment and service.
    return make_conninfo("", **{**_LINE, **parts, **extra, "client_encoding": ENCODING, "options": options})


def is_closed_by_server(connection: AsyncConnection[Any]) -> bool:
    """Check for unread data on an idle connection: the end of a dead connection, or a message."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _deviates(info: psycopg.ConnectionInfo) -> bool:
    """Check whether a session started with other settings, because a pooler dropped ours."""
    # DateStyle is reported with the order of day and month, which does not affect ISO.
    return any((info.parameter_status(setting.name) or "").partition(",")[0] != setting.value for setting in REPORTED)


def check_encoding(info: psycopg.ConnectionInfo) -> None:
    """Check that a session stores and sends every text unchanged. Raises Unsuitable."""
    server_encoding = info.parameter_status("server_encoding")
    if server_encoding != ENCODING:
        raise Unsuitable(
            f"has the encoding {server_encoding or 'unknown'}, but a store needs UTF8: "
            "create its database with ENCODING 'UTF8' TEMPLATE template0."
        )
    client_encoding = info.parameter_status("client_encoding")
    if client_encoding != ENCODING:
        raise Unsuitable(
            f"answers in the encoding {client_encoding or 'unknown'} instead of UTF8: "
            "connect to the server itself, or let its pooler pass client_encoding on."
        )


class ReadableTimeLoader(Loader):
    """Loads a time; None for one beyond Python's calendar (infinity, BC), as for a time that a file holds as a text."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        loader = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert loader is not None
        self._load = loader(oid, context).load

    def load(self, data: Buffer) -> Any:
        try:
            return self._load(data)
        except psycopg.DataError as error:
            log_suppressed(log, "read a time outside the years 1 to 9999", error)
            return None


class _Pipeline(AsyncPipeline):
    """Statements that are sent together; nothing is sent after their sync.

    The driver asks for a flush then, although a sync flushes by itself. By that time a pooler may have taken the
    session back, and would lend another one for this flush alone, which no answer ever returns.
    """

    def _exit_gen(self) -> PQGen[None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        finally:
            if self.result_queue:
                # More than the socket takes at once is still waiting to be sent.
                yield from send(self.pgconn)
            yield from self._fetch_gen(flush=False)


class ServerConnection(AsyncConnection[dict[str, Any]]):
    """A session with all settings that values depend on; cut off where its server does not answer a cancellation."""

    waits: Waits | None = None
    """Registry of its waits for answers; None for a connection whose waits are not shown."""
    local_settings: bytes | None = None
    """Statement that applies the settings to one transaction, behind a pooler; None where the session has them."""
    process: int | None = None
    """The server's number of the session that ran the last transaction, behind a pooler."""

    @property
    def session(self) -> int:
        """Return the server's number of this session."""
        return self.process or self.info.backend_pid

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connect, without settings as a startup parameter where those are refused; ``pooled``: as is known before."""
        request, pooled = SessionRequest.of(conninfo), kwargs.pop("pooled", False)
        connection = await (cls._connect_bare if pooled else cls._connect_first)(request, **kwargs)
        connection.adapters.register_loader("timestamptz", ReadableTimeLoader)
        return connection

    @classmethod
    async def _connect_first(cls, request: SessionRequest, **kwargs: Any) -> Self:
        try:
            connection = await super().connect(request.conninfo, **kwargs)
        except errors.ConnectionTimeout:
            raise
        except psycopg.OperationalError as error:
            # No answer says reliably which parameter it refuses: without them, the true cause is raised.
            log_suppressed(log, "connect with settings as a startup parameter", error)
            connection = await cls._connect_bare(request, **kwargs)
            if not await connection._is_direct(SIGN_OF_PROCESS):
                return connection
            try:
                # This is the server itself, which was perhaps about to start before.
                direct = await super().connect(request.conninfo, **kwargs)
            except psycopg.OperationalError as error:
                log_suppressed(log, "connect with them again", error)
                return connection
            await connection.close()
            connection = direct
        await connection._settle(request)
        return connection

    @classmethod
    async def _connect_bare(cls, request: SessionRequest, **kwargs: Any) -> Self:
        forget_environment()
        connection = await super().connect(request.bare, **kwargs)
        await connection._share(request)
        return connection

    async def _settle(self, request: SessionRequest) -> None:
        """Apply the settings that a new session still lacks."""
        try:
            if not await self._is_direct(request.signs):
                await self._share(request)
                return
            if _deviates(self.info):
                await self.execute(_SETTLE.encode())
            check_encoding(self.info)
        except BaseException:
            await self.close()
            raise

    async def _share(self, request: SessionRequest) -> None:
        """Expect nothing to outlive a transaction: a pooler is in between."""
        try:
            self.prepare_threshold = None
            self.local_settings = request.local_settings
            await self.execute(self.local_settings)
            check_encoding(self.info)
        except BaseException:
            await self.close()
            raise

    async def _is_direct(self, signs: str) -> bool:
        """Check for signs of a pooler."""
        async with self.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(signs.format(process=self.info.backend_pid).encode())
            return bool(await cursor.fetchone())

    async def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Wait for the server, as every statement, commit and pipeline does; the wait is shown while it lasts."""
        if self.waits is None:
            with cancellation_kept():
                return await super().wait(gen, *args, **kwargs)
        with self.waits.of(session=self.process or self.pgconn.backend_pid, error=BrokenOff) as wait:
            try:
                with cancellation_kept():
                    return await super().wait(gen, *args, **kwargs)
            except errors.LockNotAvailable as error:
                raise LockTimeout(error, wait.holders) from error

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[AsyncPipeline]:
        """Send the statements of the block together."""
        if self._pipeline is None and not self.closed:
            self._pipeline = _Pipeline(self)
        async with super().pipeline() as pipeline:
            yield pipeline

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - the driver's signature
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_SECONDS))
        except (psycopg.Error, OSError):
            # The driver would wait for the rest of the answer next; now it finds the connection closed instead.
            with socket.socket(fileno=os.dup(self.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
            raise


class BlockingConnection(psycopg.Connection[dict[str, Any]]):
    """The same session for a thread without an event loop."""

    local_settings: bytes | None = None
    """As of a ServerConnection."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        request = SessionRequest.of(conninfo)
        try:
            connection = super().connect(request.conninfo, **kwargs)
        except errors.ConnectionTimeout:
            raise
        except psycopg.OperationalError as error:
            log_suppressed(log, "connect with settings as a startup parameter", error)
            forget_environment()
            connection = super().connect(request.bare, **kwargs)
            connection.local_settings = request.local_settings
        try:
            connection._settle(request)
        except BaseException:
            connection.close()
            raise
        return connection

    def _settle(self, request: SessionRequest) -> None:
        if self.local_settings is None:
            with self.cursor(row_factory=scalar_row) as cursor:
                cursor.execute(request.signs.format(process=self.info.backend_pid).encode())
                if not cursor.fetchone():
                    self.local_settings = request.local_settings
        if self.local_settings is not None:
            self.prepare_threshold = None
            self.execute(self.local_settings)
        elif _deviates(self.info):
            self.execute(_SETTLE.encode())
        check_encoding(self.info)
