"""A vacuum works on one thing after the other, says on which, and can be stopped in the middle."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres_variant import as_superuser, grant_in_store
from vestige_tui.core.errors import Refused
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


async def test_it_says_what_it_works_on(store: Store) -> None:
    await store.insert(Draft("one memory"))
    said: list[str] = []
    await store.maintenance.vacuum(said.append)
    if store.kind == "sqlite":
        assert said == ["the text index", "the file", "the planner statistics", "the write-ahead log"]
    else:
        tables = {each.name for each in (await store.maintenance.report()).sizes or ()}
        assert {each.split(" (")[0] for each in said} == tables
        assert said[-1].endswith(f"({len(said)} of {len(said)})")


async def test_every_table_is_vacuumed_and_analyzed(postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as store:
        await store.maintenance.vacuum()
        with psycopg.connect(postgres_database, autocommit=True) as connection:
            connection.execute("SELECT pg_stat_force_next_flush()")
        sizes = (await store.maintenance.report()).sizes
        assert sizes
        assert all(table.vacuumed_at and table.analyzed_at for table in sizes)


async def test_a_role_without_tables_of_its_own_is_refused(postgres_database: str) -> None:
    mark = "&" if "?" in postgres_database else "?"
    with psycopg.connect(as_superuser(postgres_database), autocommit=True) as owner:
        async with open_store(postgres_database, create=True):
            pass
        role = f"guest_{owner.info.backend_pid}"
        owner.execute(f"CREATE ROLE {role}".encode())
        grant_in_store(owner, {"TABLES": "SELECT, INSERT, UPDATE, DELETE", "SEQUENCES": "SELECT, UPDATE"}, role)
        try:
            async with open_store(f"{as_superuser(postgres_database)}{mark}options=-crole%3D{role}") as store:
                with pytest.raises(Refused, match=r"may not vacuum any table.*run GRANT "):
                    await store.maintenance.vacuum()
        finally:
            owner.execute(f"DROP OWNED BY {role}".encode())
            owner.execute(f"DROP ROLE {role}".encode())


@pytest.mark.slow
async def test_a_vacuum_of_a_file_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with open_store(f"sqlite:{path}", create=True) as store:
        await store.insert(Draft("kept"), embed=False)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE ballast (x BLOB)")
            connection.execute(
                "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) "
                "INSERT INTO ballast SELECT randomblob(6000) FROM n"
            )
            connection.execute("DELETE FROM ballast WHERE rowid % 10 = 0")
        begun = asyncio.Event()
        vacuum = asyncio.create_task(store.maintenance.vacuum(lambda what: begun.set() if what == "the file" else None))
        await begun.wait()
        await asyncio.sleep(0.05)
        vacuum.cancel()
        with pytest.raises(asyncio.CancelledError):
            await vacuum
        with closing(sqlite3.connect(path)) as connection:
            [(free_pages,)] = connection.execute("PRAGMA freelist_count")
        assert free_pages > 1_000, "the vacuum ran to its end"
        # The writer is free again, and nothing is lost.
        await store.insert(Draft("after"), embed=False)
        assert await store.memories.count() == 2


async def test_a_vacuum_of_a_server_can_be_stopped(postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as store:
        with psycopg.connect(postgres_database) as other:
            [(table,)] = other.execute("SELECT relname FROM pg_class WHERE relname = 'journal'").fetchall()
            # Whoever changes the schema of a table keeps the vacuum waiting, as this does.
            other.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE".encode())
            event = asyncio.Event()
            vacuum = asyncio.create_task(
                store.maintenance.vacuum(lambda what: event.set() if what.startswith(f"{table} ") else None)
            )
            await asyncio.wait_for(event.wait(), 20)
            await asyncio.sleep(0.2)
            vacuum.cancel()
            with pytest.raises(asyncio.CancelledError):
                await vacuum
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM%' AND state = 'active'"
            assert other.execute(waiting).fetchall() == [(0,)]
        await store.maintenance.vacuum()
