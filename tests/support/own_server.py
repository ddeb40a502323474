"""A PostgreSQL server of a test module's own, which may be killed or stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import run_in_thread
from vestige_tui.store.backends import embedded_postgres


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that may be killed."""
    directory = tmp_path_factory.mktemp("outage") / "server"
    run_in_thread(embedded_postgres.release(run_in_thread(embedded_postgres.acquire(directory))))
    return directory


@pytest.fixture
def server(cluster: Path) -> Iterator[str]:
    """The URL of that server, running."""
    lease = run_in_thread(embedded_postgres.acquire(cluster))
    yield lease.url
    # Whatever a test did to it, it ends.
    run_in_thread(embedded_postgres.release(run_in_thread(embedded_postgres.acquire(cluster))))
    run_in_thread(embedded_postgres.release(lease))


def postmaster_pid(directory: Path) -> int:
    """Return the process number of the running server of a folder."""
    return int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])


def kill(directory: Path, how: signal.Signals) -> None:
    os.kill(postmaster_pid(directory), how)


@contextmanager
def frozen(directory: Path, url: str) -> Iterator[None]:
    """Stop the server and all of its sessions for the block; a program that connects still gets a line."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
    pids = [postmaster_pid(directory), *(int(pid) for (pid,) in rows)]
    try:
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # a session that has just ended
        os.kill(pid, how)
