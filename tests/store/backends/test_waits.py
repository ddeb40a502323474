"""Waits for a database: lines that break at login, locks and those that hold them, full disks, and waits broken off."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from tests.support.line import line_to
from tests.support.own_server import cluster, server
from tests.support.postgres import wait_for_blocked_session
from tests.support.stopped import stopped, writer_of
from vestige_tui.core.errors import Busy, Cancelled, OutOfResources, Unreachable
from vestige_tui.core.memories import Draft
from vestige_tui.core.waits import WaitKind
from vestige_tui.store import waits
from vestige_tui.store.backends import embedded_postgres, postgres_pool, sqlite_connection
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.backends.postgres_connection import conninfo
from vestige_tui.store.backends.postgres_errors import translate
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.store.waits import Waits, long_waits, long_work

__all__ = ["cluster", "server"]


class Seconds:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_wait_is_reported_once_it_is_long() -> None:
    clock = Seconds()
    registry = Waits(lambda: "the store", clock)
    with registry.of(session=7):
        assert registry.report() is None
        clock.now = waits.SHOWN_AFTER_SECONDS
        report = registry.report()
        assert report is not None
        assert (report.store, report.kind, report.seconds) == ("the store", WaitKind.ANSWER, clock.now)
        assert report in long_waits()
        with long_work(), registry.of(WaitKind.CONNECTION):
            assert [wait.session for wait in registry.older_than(0)] == [7]
    assert registry.report() is None


async def test_what_is_broken_off_fails_there_and_a_cancellation_of_the_task_goes_on() -> None:
    registry = Waits(lambda: "the store")
    forever = asyncio.Event()

    async def wait(*, breakable: bool = True) -> str:
        try:
            with registry.of(error=Cancelled if breakable else None):
                await forever.wait()
        except Cancelled:
            await asyncio.sleep(0)  # the task itself is not cancelled
            return "broken off"
        return "waited"

    broken, kept = asyncio.create_task(wait()), asyncio.create_task(wait(breakable=False))
    await asyncio.sleep(0)
    assert registry.break_off() == 1
    assert await broken == "broken off"
    cancelled = asyncio.create_task(wait())
    await asyncio.sleep(0)
    registry.break_off()
    cancelled.cancel()
    await asyncio.wait({cancelled})
    assert cancelled.cancelled()
    forever.set()
    assert await kept == "waited"


@asynccontextmanager
async def impatient_store(url: str) -> AsyncIterator[Store]:
    """A store whose server grants a lock within three seconds, or not at all."""
    async with open_store(f"{url}&options=-clock_timeout%3D3000", create=True) as store:
        yield store


@pytest.mark.slow
async def test_a_lock_that_is_not_granted_names_its_holder(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "EXPLAINED_AFTER_SECONDS", 0.1)
    async with impatient_store(server) as store:
        with psycopg.connect(server, application_name="night report") as other:
            other.execute("LOCK TABLE knowledge_nodes IN ACCESS EXCLUSIVE MODE")
            held = rf"locked by session {other.info.backend_pid} \(night report, user vestige, since \d\d:\d\d\);"
            with pytest.raises(Busy, match=held):
                await store.insert(Draft("never written"), embed=False)
            with pytest.raises(Busy, match=held):
                await store.memories.count()
        assert await store.memories.count() == 0


async def test_a_wait_for_a_lock_is_broken_off_without_a_trace(server: str) -> None:
    async with open_store(server, create=True) as store:
        with psycopg.connect(server) as other:
            other.execute("LOCK TABLE knowledge_nodes IN SHARE MODE")
            task = asyncio.create_task(store.insert(Draft("never written"), embed=False))
            await wait_for_blocked_session(server)
            # Statements of the background may wait, too.
            assert store.break_off() >= 1
            with pytest.raises(Cancelled):
                await task
        assert await store.memories.count() == 0
        await store.insert(Draft("written"), embed=False)
        assert await store.memories.count() == 1
        [memory] = (await store.page()).items
        await store.delete([memory.id])


@pytest.mark.slow
async def test_a_server_that_closes_each_session_after_login_cannot_be_reached(server: str) -> None:
    async with line_to(server) as (line, url):
        async with open_store(url, create=True, acquire_timeout=3.0) as store:
            line.fails = "login"
            await line.stop()
            with pytest.raises(Unreachable, match="cannot be reached"):
                await store.memories.count()
            line.fails = ""
        line.fails = "login"
        with pytest.raises(Unreachable, match="cannot be reached"):
            await open_store(url).open()


@pytest.mark.slow
async def test_nothing_is_asked_of_a_server_that_is_still_being_started(
    cluster: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (waits, postgres_pool):
        monkeypatch.setattr(module, "EXPLAINED_AFTER_SECONDS", 0.01)
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    acquire, looks = embedded_postgres.acquire, 0
    looked = asyncio.Event()

    async def acquire_late(directory: Path) -> embedded_postgres.Lease:
        await looked.wait()
        return await acquire(directory)

    monkeypatch.setattr(embedded_postgres, "acquire", acquire_late)
    backend = PostgresBackend(cluster)
    explain = backend._pool.waits.explain
    assert explain is not None

    def explain_twice() -> None:
        nonlocal looks
        explain()
        looks += 1
        if looks == 2:
            looked.set()

    backend._pool.waits.explain = explain_twice
    await backend.open()
    await backend.close()
    gc.collect()  # a task that failed unseen is told once it is gone
    assert failures == []


def test_a_line_that_drops_packets_is_cut_unless_the_url_says_otherwise() -> None:
    parts = psycopg.conninfo.conninfo_to_dict(conninfo("postgresql://h/d", read_only=False))
    assert (parts["tcp_user_timeout"], parts["keepalives_idle"]) == ("30000", "15")
    given = psycopg.conninfo.conninfo_to_dict(conninfo("postgresql://h/d?tcp_user_timeout=7", read_only=False))
    assert given["tcp_user_timeout"] == "7"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.DiskFull("could not extend file: No space left on device"), "^The disk of it is full"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "^The disk of it is full"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "^The disk of it is full"),
        (errors.OutOfMemory("out of memory"), "^it is out of memory or space: out of memory"),
        (errors.InsufficientResources("no resources"), "^it is out of memory or space"),
        (
            errors.ConfigurationLimitExceeded("temporary file size exceeds temp_file_limit"),
            "^it is out of memory or space",
        ),
    ],
)
def test_a_server_without_room_can_be_reached(error: Exception, words: str) -> None:
    with pytest.raises(OutOfResources, match=words) as raised:
        raise translate(error, "it")
    assert "cannot be reached" not in str(raised.value)


async def test_the_process_that_holds_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connection, "BUSY_MS", 100)
    path = tmp_path / "v.db"
    async with open_store(f"sqlite:{path}", create=True) as store:
        with writer_of(path) as pid:
            with pytest.raises(Busy, match=rf"is locked by process {pid} \(.*, since \d\d:\d\d\); nothing was changed"):
                await store.insert(Draft("never written"), embed=False)
            with stopped(pid), pytest.raises(Busy, match=rf"process {pid} \(.*, stopped, since "):
                await store.insert(Draft("never written"), embed=False)
        await store.insert(Draft("written"), embed=False)
        assert await store.memories.count() == 1


async def test_the_process_that_holds_a_file_without_a_write_ahead_log_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "BUSY_MS", 100)
    path = tmp_path / "v.db"
    async with open_store(f"sqlite:{path}", create=True):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    async with open_store(f"sqlite:{path}") as store:
        with writer_of(path) as pid, pytest.raises(Busy, match=rf"is locked by process {pid} "):
            await store.insert(Draft("never written"), embed=False)
