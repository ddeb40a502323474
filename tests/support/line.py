"""A line between clients and a PostgreSQL server that breaks, or falls silent, at a chosen moment."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit

_QUESTIONS = (b"Q", b"P")
"""First bytes of a simple and of an extended query in PostgreSQL's protocol."""


class Line:
    """Passes bytes between clients and the server's socket, until it is told to break at a commit or to fall silent."""

    def __init__(self, server: Path) -> None:
        self.server = server
        self.fails: Literal["", "before", "after", "silent", "login"] = ""
        """before: break where a commit would be passed on; after: once it was; silent: pass nothing on any more;
        login: break at the first question after a login."""
        self._passing: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(str(self.server))
        if self._stopped:
            # The server would wait a minute for the login of a client that comes now.
            for end in (back, writer):
                end.transport.abort()
            return
        cut = asyncio.Event()
        passing = {
            asyncio.create_task(self._pass(reader, back, cut, asks=True)),
            asyncio.create_task(self._pass(there, writer, cut, asks=False)),
        }
        self._passing |= passing
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for each in passing:
            each.cancel()
        await asyncio.wait(passing)
        for end in (back, writer):
            end.transport.abort()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, cut: asyncio.Event, *, asks: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                if self.fails == "silent":
                    await asyncio.Event().wait()
                if asks and self.fails == "login" and data[:1] in _QUESTIONS:
                    return
                if asks and b"COMMIT" in data and self.fails:
                    cut.set()
                    if self.fails == "before":
                        return
                if not asks and cut.is_set():
                    # The server has answered, and nobody will know.
                    return
                target.write(data)
                await target.drain()

    async def stop(self) -> None:
        self._stopped = True
        for task in self._passing:
            task.cancel()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to the server, and the URL that goes through it."""
    parts = urlsplit(url)
    parameters = parse_qs(parts.query)
    name = f".s.PGSQL.{parameters['port'][0]}"
    line = Line(Path(parameters["host"][0]) / name)
    # A socket's name has to be short.
    with tempfile.TemporaryDirectory() as folder:
        async with await asyncio.start_unix_server(line.serve, f"{folder}/{name}"):
            try:
                yield (
                    line,
                    f"postgresql://vestige@{parts.path}?host={quote(folder, safe='/')}&port={parameters['port'][0]}",
                )
            finally:
                await line.stop()
