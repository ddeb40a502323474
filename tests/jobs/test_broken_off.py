"""What a server breaks off by itself: it is no cancel, it is told in the server's words, and a job is spared of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.full_store import fill
from tests.support.jobs import wait_for_job
from tests.support.postgres_variant import as_superuser
from vestige_tui.core.errors import Busy, Cancelled, Unavailable, VestigeError
from vestige_tui.core.search import SearchQuery
from vestige_tui.jobs import worker
from vestige_tui.jobs.context import JobContext
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.store.backends.postgres import PostgresBackend, PostgresTransaction
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.transfer.postgres_source import PostgresSource
from vestige_tui.transfer.postgres_target import PostgresTarget

SAID = "The server cancelled the query: canceling statement due to "
HASTY = "?options=-c%20statement_timeout%3D200ms"
WAITS = (
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


def hurry(url: str) -> None:
    """Let the database break off whatever takes five minutes, as hosted ones do."""
    with psycopg.connect(as_superuser(url), autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = '5min'").format(name, sql.Identifier(setting)))


async def timeouts(connection: psycopg.AsyncConnection[Any]) -> set[str]:
    statement = (
        "SELECT current_setting('statement_timeout') AS a, current_setting('idle_in_transaction_session_timeout') AS b"
    )
    return set((await (await connection.execute(statement)).fetchone() or {}).values())


async def waiting(connection: psycopg.AsyncConnection[Any]) -> int:
    """The process that waits for a lock, once there is one."""
    while True:
        if (row := await (await connection.execute(WAITS)).fetchone()) is not None:
            return int(row[0])
        await asyncio.sleep(0.02)


async def test_a_search_that_takes_too_long_for_the_server_is_told_as_an_error(postgres_database: str) -> None:
    async with open_store(postgres_database, create=True):
        pass
    mark = "&" if "?" in postgres_database else "?"
    async with (
        open_store(postgres_database + HASTY.replace("?", mark), read_only=True) as store,
        await psycopg.AsyncConnection.connect(postgres_database) as holder,
    ):
        await holder.execute("LOCK TABLE knowledge_nodes")
        with pytest.raises(VestigeError) as raised:
            await store.search(SearchQuery("signing keys"))
    assert raised.value.message == f"{SAID}statement timeout."
    # Neither a cancel, which a screen does not show, nor an outage, which a job would wait for.
    assert not isinstance(raised.value, (Cancelled, Unavailable, Busy))


async def test_a_job_that_somebody_at_the_server_breaks_off_says_so(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 20)
    async with open_store(postgres_database, create=True):
        pass
    async with (
        await psycopg.AsyncConnection.connect(postgres_database) as holder,
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as watcher,
    ):
        # Reading is let through, and whoever writes waits.
        await holder.execute("LOCK TABLE knowledge_nodes IN SHARE MODE")
        launched = await start(JobRequest("copy", f"sqlite:{source}", postgres_database))
        async with asyncio.timeout(60):
            process = await waiting(watcher)
        await watcher.execute("SELECT pg_cancel_backend(%s)", (process,))
        job = await wait_for_job(postgres_database, launched.job_id)
    assert (job.status, job.error) == ("failed", f"{SAID}user request.")


async def begun(store: Store) -> JobContext:
    run = await Ledger(store).start(kind="copy", source="a", target="b", model="", task="", owner="1@here")
    context = await worker.claim(store, {"job_id": run.id, "source": "a", "target": "b"})
    assert context is not None
    return context


@pytest.mark.parametrize("asked", ["by a person", "of the task", ""])
async def test_cancelled_is_what_somebody_here_asked_to_stop(tmp_path: Path, asked: str) -> None:
    async def work() -> str:
        await begins.wait()
        raise Cancelled("The query was cancelled.")

    begins = asyncio.Event()
    async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True) as store:
        context = await begun(store)
        working = asyncio.create_task(work())
        if asked == "by a person":
            context.stop.set()
        elif asked:
            working.cancel()
        begins.set()
        await worker._settle(context, working)
        [job] = await context.ledger.jobs()
    assert (job.status, job.error) == ("failed", CANCELLED if asked else "The query was cancelled.")


async def test_what_is_cancelled_within_a_job_by_itself_has_a_reason(tmp_path: Path) -> None:
    async def work() -> str:
        raise asyncio.CancelledError

    async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True) as store:
        context = await begun(store)
        await worker._settle(context, asyncio.create_task(work()))
        [job] = await context.ledger.jobs()
    assert (job.status, job.error) == ("failed", worker.BROKEN_OFF)


async def test_a_copy_takes_as_long_as_it_takes(postgres_database: str) -> None:
    hurry(postgres_database)
    async with open_store(postgres_database, create=True) as store:
        target = PostgresTarget(store)
        assert isinstance(store.backend, PostgresBackend)
        async with store.backend.transaction() as transaction:
            assert await timeouts(transaction.connection) == {"5min"}
            [statement, *_] = await target.drop_indexes(transaction)
            assert await timeouts(transaction.connection) == {"0"}

        async def build(transaction: PostgresTransaction) -> None:
            await target.build_index(transaction, statement)

        for work in (target.hold_indexes, build, target.settle, target.analyze):
            async with store.backend.transaction() as transaction:
                await work(transaction)
                assert await timeouts(transaction.connection) == {"0"}, work
            async with store.backend.transaction() as transaction:
                assert await timeouts(transaction.connection) == {"5min"}, work
    source = await asyncio.to_thread(PostgresSource, postgres_database)
    assert [row["statement_timeout"] for row in source.rows("SHOW statement_timeout")] == ["0"]
    source.close()


@pytest.mark.slow
async def test_the_rows_of_a_copy_are_written_without_a_limit_of_time(tmp_path: Path, postgres_database: str) -> None:
    source = tmp_path / "source.db"
    await fill(source, 20)
    hurry(postgres_database)
    async with open_store(postgres_database, create=True):
        pass
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE seen (setting text)")
        connection.execute(
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN INSERT INTO seen SELECT current_setting('statement_timeout'); RETURN NULL; END$$"
        )
        for table in ("knowledge_nodes", "node_embeddings", "edges"):
            connection.execute(
                sql.SQL("CREATE TRIGGER look AFTER INSERT ON {} EXECUTE FUNCTION look()").format(sql.Identifier(table))
            )
        launched = await start(JobRequest("copy", f"sqlite:{source}", postgres_database))
        job = await wait_for_job(postgres_database, launched.job_id)
        assert (job.status, job.error) == ("completed", None)
        assert connection.execute("SELECT DISTINCT setting FROM seen").fetchall() == [("0",)]


async def test_the_index_of_a_new_model_is_built_without_a_limit_of_time(postgres_database: str) -> None:
    hurry(postgres_database)
    memory = {"memory": "65536kB", "workers": "0"}
    async with open_store(postgres_database, create=True, max_connections=1) as store:
        assert isinstance(store.backend, PostgresBackend)
        async with store.backend.transaction() as transaction:
            await transaction.fetch("prepare_build", {**memory, "local": True})
            assert await timeouts(transaction.connection) == {"0"}
        for name, params in (("wait_long", {}), ("prepare_build", {**memory, "local": False})):
            await store.backend.reopen()
            await store.backend.fetch(name, params)
            async with store.backend.transaction() as transaction:
                assert "0" in await timeouts(transaction.connection), name
