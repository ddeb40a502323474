"""What a store says of itself: what it runs on, who is connected, what takes space, which queries took long."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.pgbouncer import past_pooler
from tests.support.postgres_variant import as_superuser, grant_in_store
from tests.support.vestige_files import make_v18
from vestige_tui.core.errors import ReadOnly
from vestige_tui.core.health import PostgresServer, SqliteFile
from vestige_tui.core.memories import Draft
from vestige_tui.store.backends.query_timings import NAMES, OTHER, Timings
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


async def test_the_server_is_described(store: Store) -> None:
    await store.insert(Draft("one memory"))
    report = await store.maintenance.report()
    server = report.server
    if store.kind == "postgres":
        assert isinstance(server, PostgresServer)
        assert server.database.startswith("test_")
        assert (server.encoding, server.recovering) == ("UTF8", False)
        assert server.version[:2].isdecimal()
        assert server.vector_version.startswith("0.")
        assert server.started_at is not None
    else:
        assert isinstance(server, SqliteFile)
        assert (server.version, server.journal_mode, server.line) == (sqlite3.sqlite_version, "wal", "")
        assert server.pages * server.page_size == (await store.maintenance.stats()).size_bytes
        assert server.wal_bytes > 0


async def test_sizes_come_biggest_first(store: Store) -> None:
    await store.insert(Draft("long " * 20_000), embed=False)
    sizes = (await store.maintenance.report()).sizes
    assert sizes is not None
    assert [each.bytes for each in sizes] == sorted((each.bytes for each in sizes), reverse=True)
    assert sum(each.bytes for each in sizes) > 20_000
    if store.kind == "sqlite":
        # Every page of the file belongs to somebody, or is free.
        server = (await store.maintenance.report()).server
        assert isinstance(server, SqliteFile)
        assert sum(each.bytes for each in sizes) == (server.pages - server.free_pages) * server.page_size


async def test_a_large_file_is_not_read_to_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vestige_tui.store.backends.sqlite.MAX_MEASURED_FILE_BYTES", 4_096)
    async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True) as store:
        assert (await store.maintenance.report()).sizes is None
        assert "list_sizes" not in {each.name for each in (await store.maintenance.report()).queries}


async def test_connections_are_counted(store: Store) -> None:
    connections = (await store.maintenance.report()).connections
    assert 1 <= connections.opened <= connections.most
    assert connections.idle <= connections.opened
    assert (connections.waiting, connections.writer) == (0, True)


async def test_sessions_tell_ours_from_others(postgres_database: str) -> None:
    hostile = "evil\x1b[31m"
    # A pooler's sessions are nobody's.
    async with open_store(past_pooler(postgres_database), create=True) as store:
        with psycopg.connect(postgres_database, application_name=hostile) as other:
            other.execute("SELECT 1")
            number = other.info.backend_pid
            async with asyncio.timeout(20):
                # The pool may be making connections yet, and tells nobody when it has.
                while len(store.backend.status().sessions) < store.backend.status().connections.opened:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            sessions = (await store.maintenance.report()).sessions
        [theirs] = [each for each in sessions if each.pid == number]
        assert (theirs.mine, theirs.state) == (False, "idle in transaction")
        assert theirs.application.startswith("evil")
        assert theirs.since is not None
        ours = [each for each in sessions if each.mine]
        assert len(ours) == (await store.maintenance.report()).connections.opened
        assert {each.application for each in ours} == {"vestige-tui"}
        assert sessions[: len(ours)] == tuple(ours)


async def test_a_role_that_may_see_no_states_is_told_of_the_sessions(postgres_database: str) -> None:
    role = f"watcher_{secrets.token_hex(4)}"
    mark = "&" if "?" in postgres_database else "?"
    async with open_store(postgres_database, create=True):
        with psycopg.connect(as_superuser(postgres_database), autocommit=True) as owner:
            owner.execute(f"CREATE ROLE {role}".encode())
            grant_in_store(owner, {"TABLES": "SELECT"}, role)
            try:
                url = f"{as_superuser(postgres_database)}{mark}options=-crole%3D{role}"
                async with open_store(url, read_only=True) as store:
                    sessions = (await store.maintenance.report()).sessions
                [unseen] = [each for each in sessions if each.pid == owner.info.backend_pid]
                assert (unseen.state, unseen.mine) == (None, False)
            finally:
                owner.execute(f"DROP OWNED BY {role}".encode())
                owner.execute(f"DROP ROLE {role}".encode())


async def test_vectors_in_memory_are_counted(store: Store) -> None:
    await store.insert(Draft("a memory with a vector"))
    await store.warm()
    held = (await store.maintenance.report()).vectors
    if store.kind == "postgres":
        assert held is None
    else:
        assert held is not None
        assert (held.count, held.dimension, held.too_large) == (1, 64, 0)
        assert 64 * 4 <= held.bytes < held.limit


async def test_a_vestige_file_says_its_line_and_is_not_vacuumed(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "memory.db", 5, hostile=True)
    async with open_store(f"sqlite:{path}") as store:
        report = await store.maintenance.report()
        assert isinstance(report.server, SqliteFile)
        assert report.server.line == "Vestige V18"
        assert not report.connections.writer
        assert report.sizes
        with pytest.raises(ReadOnly, match="Vestige V18 file"):
            await store.maintenance.vacuum()


async def test_a_vacuum_says_what_it_gave_back(store: Store) -> None:
    added = await store.insert(Draft("long " * 200_000), embed=False)
    await store.delete(added.changed)
    done = await store.maintenance.vacuum()
    before = done.before
    for _ in range(5):
        if done.after == (await store.maintenance.stats()).size_bytes:
            break
        # A server's own housekeeping came between the two looks.
        done = await store.maintenance.vacuum()
    else:
        pytest.fail("what a vacuum says is never the size of the store")
    if store.kind == "sqlite":
        assert before - done.after > 500_000
        server = (await store.maintenance.report()).server
        assert isinstance(server, SqliteFile)
        assert (server.free_pages, server.wal_bytes) == (0, 0)
    else:
        sizes = (await store.maintenance.report()).sizes
        assert sizes
        assert all(each.vacuumed_at and each.analyzed_at for each in sizes)


async def test_a_vacuum_leaves_a_small_file_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(f"sqlite:{path}", create=True) as store:
        added = await store.insert(Draft("long " * 400_000), embed=False)
        await store.delete(added.changed)
        done = await store.maintenance.vacuum()
        assert path.stat().st_size == done.after
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_queries_of_ours_are_timed(store: Store) -> None:
    await store.insert(Draft("a memory with words"))
    for _ in range(3):
        await store.maintenance.stats()
    queries = {each.name: each for each in (await store.maintenance.report()).queries}
    figures = queries["get_stats"]
    # The report itself counts what is there once more.
    assert figures.count == 4
    assert 0 < figures.last_ms <= figures.longest_ms <= figures.total_ms
    totals = [each.total_ms for each in (await store.maintenance.report()).queries]
    assert totals == sorted(totals, reverse=True)
    assert any("insert" in name for name in queries)


def test_the_recorder_never_grows() -> None:
    timings = Timings()
    for number in range(4 * NAMES):
        timings.note(f"query {number}", 0.001)
    figures = timings.slowest()
    assert len(figures) == NAMES + 1
    [rest] = [each for each in figures if each.name == OTHER]
    assert rest.count == 3 * NAMES
    assert sum(each.count for each in figures) == 4 * NAMES


def test_the_recorder_keeps_total_longest_and_last() -> None:
    timings = Timings()
    for seconds in (0.002, 0.010, 0.003):
        timings.note("a", seconds)
    timings.note("b", 0.020)
    slow, quick = timings.slowest()
    assert (slow.name, slow.count, quick.name, quick.count) == ("b", 1, "a", 3)
    assert [quick.total_ms, quick.longest_ms, quick.last_ms] == pytest.approx([15, 10, 3])
    assert quick.median_ms == pytest.approx(3, rel=0.13)


def test_a_query_that_fails_is_timed_as_well() -> None:
    timings = Timings()
    with pytest.raises(ValueError, match="no"), timings.of("a"):
        raise ValueError("no")
    assert [(each.name, each.count) for each in timings.slowest()] == [("a", 1)]


def test_threads_lose_no_query() -> None:
    timings = Timings()

    def work() -> None:
        for _ in range(5_000):
            timings.note("a", 0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [figures] = timings.slowest()
    assert figures.count == 20_000


async def test_a_report_can_be_cancelled(store: Store) -> None:
    asking = asyncio.create_task(store.maintenance.report())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await store.maintenance.report()).connections.opened >= 1
