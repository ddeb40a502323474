"""The real PostgreSQL that tests run against: a given one, else a container, else the embedded one."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.support.pgbouncer import chosen_pooler, through_pooler
from tests.support.polling import until
from tests.support.postgres_variant import as_chosen, locale_clause
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.backends.embedded_programs import MAJOR
from vestige_tui.store.open import open_store

IMAGE = "pgvector/pgvector:0.8.5-pg18"
PROBE_SECONDS = 1.0
MEMORY = Path("/dev/shm")
"""Where Linux has a file system in memory."""
MEMORY_BYTES = 6 << 30
"""Least free memory there: of the databases of a test, and of a write-ahead log of 1 GB."""
ENCODING = "client_encoding=UTF8"

Result = TypeVar("Result")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with pgvector, as a user who may create databases; of VESTIGE_TEST_POSTGRES_MAJOR."""
    major = int(os.environ.get("VESTIGE_TEST_POSTGRES_MAJOR") or MAJOR)
    with running_server(tmp_path_factory.mktemp("postgres") / "server", major) as url, chosen_pooler(url):
        yield url


@contextmanager
def running_server(directory: Path, major: int = MAJOR) -> Iterator[str]:
    """Run a server with pgvector for the block, the embedded one in memory or in this directory; return its URL.

    Another major than the newest is always the embedded one.
    """
    if url := os.environ.get("VESTIGE_TEST_POSTGRES_URL"):
        yield in_utf8(url)
        return
    with _container() if major == MAJOR and _engine_answers() else _embedded_in_memory(directory, major) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            # What tests write need not outlive the machine.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
            connection.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture
def bare_postgres_database(postgres_server: str) -> Iterator[str]:
    """The URL of a database of the test's own, without a table."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a database with an empty store, to be copied: that costs less than all migrations."""

    async def migrate(url: str) -> None:
        async with open_store(url, create=True):
            pass

    # A pooler would keep sessions of the template, which could then not be copied.
    with new_database(postgres_server, direct=True) as url:
        run_in_thread(migrate(url))
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def postgres_database(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a database of the test's own with an empty store, whose migrations are applied."""
    with new_database(postgres_server, template=postgres_template) as url:
        yield url


@contextmanager
def new_database(
    server: str, encoding: str = "UTF8", template: str = "template0", *, direct: bool = False
) -> Iterator[str]:
    """Create a database for the block, empty or as its template is; its URL leads through the chosen pooler."""
    name = f"test_{secrets.token_hex(8)}"
    identifier = sql.Identifier(name)
    # Less work than the write-ahead log of each page, and than dropping what went through it.
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(identifier, sql.Identifier(template))
    if encoding != "UTF8":
        # No other locale goes with every encoding.
        made += sql.SQL(" ENCODING {} LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'").format(encoding)
    elif template == "template0":
        made += locale_clause()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(made)
    try:
        url = on_database(server, name)
        if encoding == "UTF8":
            url = as_chosen(url, is_empty=template == "template0")
        yield url if direct else through_pooler(url)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))


def in_utf8(url: str) -> str:
    """Return the URL for sessions of UTF-8, with any environment of the tests."""
    return f"{url}{'&' if '?' in url else '?'}{ENCODING}"


def with_any_encoding(url: str) -> str:
    """Return the URL of a test's database without an encoding, as a user writes it."""
    bare = url.replace(f"&{ENCODING}", "").replace(f"?{ENCODING}", "")
    assert "client_encoding" not in bare
    return bare


def on_database(url: str, name: str) -> str:
    """Return the same server's URL for another database."""
    parts = urlsplit(url)
    # Not _replace and unsplit: those drop the slashes of an address without a host.
    query = f"?{parts.query}" if parts.query else ""
    changed = f"{parts.scheme}://{parts.netloc}/{name}{query}"
    assert conninfo_to_dict(changed)["dbname"] == name
    return changed


@contextmanager
def named_database(server: str, name: str, template: str = "template0") -> Iterator[str]:
    """Create a database of this name from a template, for the block."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield as_chosen(on_database(server, name), is_empty=template == "template0")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def run_in_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a thread, with an event loop beside that of the test."""
    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(asyncio.run, work).result()


@contextmanager
def _embedded_in_memory(directory: Path, major: int) -> Iterator[str]:
    """Run the embedded server on a file system in memory with room, else in this directory.

    A new database is a copy of some 300 files, which costs a disk's file system ten times as much.
    """
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        with _embedded(directory, major) as url:
            yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="vestige-test-", dir=MEMORY))
    try:
        # A server that root starts runs as another user.
        folder.chmod(0o711)
        with _embedded(folder / directory.name, major) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _embedded(directory: Path, major: int) -> Iterator[str]:
    lease = run_in_thread(embedded_postgres.acquire(directory, major))
    try:
        yield lease.url
    finally:
        run_in_thread(embedded_postgres.release(lease))


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(IMAGE, driver=None) as container:
        yield in_utf8(container.get_connection_url())


def _engine_answers() -> bool:
    """Check whether a container engine answers a ping at once."""
    host = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    with suppress(OSError):
        if host.scheme == "unix":
            line = socket.socket(socket.AF_UNIX)
            address: Any = host.path
        elif host.scheme in ("tcp", "http") and host.hostname:
            line = socket.socket()
            address = (host.hostname, host.port or 2375)
        else:
            return False
        with closing(line):
            line.settimeout(PROBE_SECONDS)
            line.connect(address)
            line.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
            return b" 200 " in line.recv(64)
    return False


async def wait_for_blocked_session(database: str) -> None:
    """Wait until a session waits for a lock in the database."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:

        async def is_blocked() -> bool:
            cursor = await connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return await cursor.fetchone() is not None

        await until(is_blocked)
