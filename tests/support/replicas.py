"""A primary and its streaming standby, both embedded servers, which tests may stop and promote."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.support.own_server import kill, postmaster_pid
from tests.support.polling import until
from tests.support.postgres import run_in_thread
from vestige_tui.process.process_state import start_time
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.backends.embedded_postgres import EmbeddedServer, Lease
from vestige_tui.store.backends.embedded_programs import find_programs
from vestige_tui.store.open import open_store


@dataclass(frozen=True, slots=True)
class ReplicatedPair:
    """A primary and a standby that streams from it; the store is in the database ``vestige``."""

    primary: Path
    standby: Path
    primary_url: str
    standby_url: str

    def url(self, **parameters: str) -> str:
        """Return a URL of both hosts, the standby first."""
        hosts = ",".join(parse_qs(urlsplit(each).query)["host"][0] for each in (self.standby_url, self.primary_url))
        extra = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql://vestige@/vestige?host={hosts}&port=5432,5432{extra}"

    async def replayed(self) -> None:
        """Wait until the standby has replayed what the primary has written."""
        async with await psycopg.AsyncConnection.connect(self.primary_url) as primary:
            [position] = await (await primary.execute("SELECT pg_current_wal_insert_lsn()")).fetchone() or [None]
        async with await psycopg.AsyncConnection.connect(self.standby_url, autocommit=True) as standby:

            async def is_replayed() -> bool:
                cursor = await standby.execute("SELECT pg_last_wal_replay_lsn() >= %s", [position])
                return bool((await cursor.fetchone() or [False])[0])

            await until(is_replayed)


def start(directory: Path) -> Lease:
    """Start the server of a folder, or join it."""
    return embedded_postgres.acquire_now(directory)


def stop(lease: Lease) -> None:
    """Stop the server of a folder that nothing else uses."""
    embedded_postgres.release_now(lease)


def copy_server(source_url: str, directory: Path) -> None:
    """Make the folder of a standby of a running server."""
    programs = find_programs()
    assert programs is not None
    server = EmbeddedServer.of(directory, programs)
    arguments = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync", f"--pgdata={directory / 'data'}")
    result = server.run("pg_basebackup", *arguments, f"--dbname={source_url}")
    assert result.returncode == 0, result.stdout


@contextmanager
def primary_stopped(pair: ReplicatedPair) -> Iterator[None]:
    """Stop the primary for the block, as an administrator does."""
    pid = postmaster_pid(pair.primary)
    kill(pair.primary, signal.SIGINT)
    while start_time(pid):
        time.sleep(0.01)
    try:
        yield
    finally:
        stop(start(pair.primary))  # the fixture's own lease keeps it running


@contextmanager
def new_standby(primary_url: str, directory: Path) -> Iterator[str]:
    """Run a standby of a server for the block; return its URL."""
    copy_server(primary_url, directory)
    lease = start(directory)
    try:
        yield lease.url
    finally:
        stop(lease)


@pytest.fixture(scope="session")
def replicated_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicatedPair]:
    """A primary with an empty store, and its standby."""

    async def migrate(url: str) -> None:
        async with open_store(url, create=True):
            pass

    folder = tmp_path_factory.mktemp("replicas")
    lease = start(folder / "primary")
    try:
        run_in_thread(migrate(lease.url))
        with psycopg.connect(lease.url, autocommit=True) as connection:
            # A checkpoint may otherwise remove what a standby has not asked for yet, which is then never of use.
            connection.execute("ALTER SYSTEM SET wal_keep_size = '1GB'")
            connection.execute("SELECT pg_reload_conf()")
        with new_standby(lease.url, folder / "standby") as standby_url:
            yield ReplicatedPair(folder / "primary", folder / "standby", lease.url, standby_url)
    finally:
        stop(lease)
