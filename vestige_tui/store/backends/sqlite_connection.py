"""Connections to a SQLite file: threads, conversion of values, and translation of errors."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sqlite3
import sys
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import aiosqlite

from vestige_tui.core.errors import (
    Unavailable,
)
from vestige_tui.core.times import parse_stored
from vestige_tui.store.backends.protocol import Json, Params, Row, fitting
from vestige_tui.store.backends.query_timings import Timings
from vestige_tui.store.backends.sqlite_errors import is_busy
from vestige_tui.store.schema.named_sql import Script, compose
from vestige_tui.store.schema.rows import clamped
from vestige_tui.store.schema.sqlite_scripts import statements

if TYPE_CHECKING:
    from vestige_tui.store.search.vector_index import Take

BUSY_MS = 5_000
"""Longest wait for another process that holds the file."""
TURN_MS = 200
"""Longest wait in one statement, which nothing can interrupt; repeated until BUSY_MS have passed."""
CHUNK_ROWS = 2_048
"""Rows that one step of a stream hands over."""

FLOAT_BYTES = 4
"""Bytes of one number of a stored vector."""

T = TypeVar("T")
_to_json = json.JSONEncoder(ensure_ascii=False).encode


def adapt(value: object) -> object:
    """Return a value as SQLite stores it: times in UTC with six digits, lists and JSON as text, vectors as blobs."""
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, int):
        return fitting(value)
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Json):
        return _encodable(_to_json(value.value))
    if isinstance(value, (list, tuple)):
        return _encodable(_to_json(value))
    if hasattr(value, "astype"):
        blob: bytes = value.astype("<f4").tobytes()
        return blob
    return value


def _encodable(text: str) -> str:
    """Return a text without lone surrogates, of which no UTF-8 can be made: they become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def adapt_params(params: Params | None) -> dict[str, object]:
    return {key: adapt(value) for key, value in (params or {}).items()}


def _dict_row(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


class Connection(aiosqlite.Connection):
    """A connection with its own thread, which runs a whole piece of work there in one trip."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]  # aiosqlite types it not
        return result


def fetch_rows(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> list[Row]:
    try:
        return _fetch_strict(sql, params, connection)
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode to UTF-8"):
            raise
    # The stored text is not valid UTF-8. Lenient decoding costs a call for each value, so it is the fallback.
    connection.text_factory = _decode
    try:
        return _fetch_strict(sql, params, connection)
    finally:
        connection.text_factory = str


def _fetch_strict(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> list[Row]:
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(sql, params)
    if cursor.description is None:
        return []
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def fetch_chunks(sql: str, params: Mapping[str, object], take: Take, connection: sqlite3.Connection) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.row_factory = None
        cursor.execute(sql, params)
        while rows := cursor.fetchmany(CHUNK_ROWS):
            take(rows)


def run_query_on(timings: Timings, connection: sqlite3.Connection, name: str, params: Params) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    with timings.of(name):
        return cursor.execute(compose("sqlite", name), adapt_params(params)).fetchall()


def run_timed(
    timings: Timings, name: str, work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection
) -> T:
    with timings.of(name):
        return work(connection)


def execute_on(sql: str, params: Mapping[str, object], connection: sqlite3.Connection) -> int:
    return connection.execute(sql, params).rowcount


def execute_many_on(sql: str, many: Sequence[Mapping[str, object]], connection: sqlite3.Connection) -> int:
    return connection.executemany(sql, many).rowcount


def run_script(
    script: Script, run: Callable[[str, Params, sqlite3.Connection], T], params: Params, connection: sqlite3.Connection
) -> T:
    """Run the statements of a script with the same parameters; the answer is that of its ``statement``."""
    for sql in script.before:
        connection.execute(sql, params)
    answer = run(script.statement, params, connection)
    for sql in script.after:
        connection.execute(sql, params)
    return answer


def busy_deadline() -> float:
    """Return the moment of the monotonic clock until which a lock of another process is waited for."""
    return time.monotonic() + BUSY_MS / 1000


def open_for_look(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Open a file read-only in the calling thread, to examine its kind."""
    mode = "mode=ro&immutable=1" if immutable else "mode=ro"
    return sqlite3.connect(f"file:{quote(bytes(path))}?{mode}", uri=True, timeout=BUSY_MS / 1000)


async def connect(path: Path, mode: str) -> Connection:
    """Open a connection, which then has a thread to be closed. Raises sqlite3's errors."""
    address = f"file:{quote(bytes(path))}?mode={mode}"
    connector = partial(sqlite3.connect, address, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
    connection = Connection(connector, iter_chunk_size=64)
    await connection
    return connection


async def prepare(connection: Connection, script: str) -> None:
    """Set up a new connection, and run a script of its own. Raises sqlite3's errors."""
    connection.row_factory = _dict_row  # type: ignore[assignment]  # dicts serve both backends
    await connection.execute("PRAGMA foreign_keys = ON")
    await connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    [keys] = await connection.execute_fetchall("PRAGMA foreign_keys")
    if not keys["foreign_keys"]:
        raise Unavailable(
            "This SQLite library does not enforce foreign keys, which a store needs; install another one."
        )
    await connection.run(add_functions)
    for statement in statements(script):
        await connection.execute(statement)


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the named queries use."""
    connection.create_function("vector_fault", 2, _vector_fault, deterministic=True)
    connection.create_function("matches", 3, _matches, deterministic=True)
    connection.create_function("unreadable_time", 1, _is_unreadable_time, deterministic=True)
    connection.create_function("clamped", 4, clamped, deterministic=True)


_ENCODINGS = {b"a\0": "utf-16-le", b"\0a": "utf-16-be"}
"""Encodings of files that are not UTF-8, by how they spell an a."""


def _matches(pattern: str, text: object, letter: bytes) -> bool:
    """Check whether a text has the characters of a pattern, which asks for one beyond ASCII.

    Text and ``letter``, an a, are in the encoding of the file.
    """
    if not isinstance(text, bytes):
        return False
    if encoding := _ENCODINGS.get(letter):
        return _compiled(pattern).search(text.decode(encoding, "replace")) is not None
    return not text.isascii() and _compiled(pattern).search(_decode(text)) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _vector_fault(value: object, dimension: int) -> str:
    """Return why a stored vector cannot be compared; empty if it can."""
    if not isinstance(value, bytes) or len(value) != dimension * FLOAT_BYTES:
        return "width"
    numbers = array("f", value)
    if sys.byteorder == "big":
        numbers.byteswap()
    # A number that is not finite makes the sum one.
    if not math.isfinite(sum(numbers)):
        return "infinite"
    return "" if any(numbers) else "zero"


def _is_unreadable_time(value: object) -> bool:
    return value is not None and (not isinstance(value, str) or parse_stored(value) is None)


async def prepare_for_writing(writer: Connection, *, created: bool) -> None:
    """Set up the writing connection; a new file gets a write-ahead log. Raises sqlite3's errors."""
    if created:
        await _enable_wal(writer)
    await writer.execute("PRAGMA synchronous = NORMAL")
    # This wait cannot be interrupted, so a cancelled caller waits for one short turn at most.
    await writer.execute(f"PRAGMA busy_timeout = {min(BUSY_MS, TURN_MS)}")


async def _enable_wal(writer: Connection) -> None:
    """Turn on the write-ahead log; retried, as no busy timeout applies while other processes open the file."""
    deadline = busy_deadline()
    while True:
        try:
            await writer.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(0.02)
