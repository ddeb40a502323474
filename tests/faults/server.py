"""PostgreSQL servers that die, are full, lack something, or wait for another session."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from tests.faults.copies import copied
from tests.faults.lab import Lab, create_store, kill_server, leased, refusal
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.faults.rows import against_acknowledged, lost_and_doubled, row_digests, texts
from tests.support.full_store import fill
from tests.support.jobs import wait_for_job, watched
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.store.backends import embedded_postgres
from vestige_tui.store.open import open_store


async def _copy_and_kill_server(source: Path, directory: Path, kills: int) -> None:
    """Copy into a server that is killed each time some more rows were read."""
    target = f"pgembed:{directory}"
    launched = await start(JobRequest("copy", f"sqlite:{source}", target, {"batch": 50, "verify": False}))
    for number in range(1, kills + 1):
        async with watched(target, 0.05) as watching:
            async for jobs in watching:
                if sum(table.read for job in jobs for table in job.progress.tables.values()) >= 1_000 * number:
                    break
        kill_server(directory, (signal.SIGQUIT, signal.SIGKILL)[number % 2])
    job = await wait_for_job(target, launched.job_id)
    assert (job.status, job.error, job.attempt) == ("completed", None, 1)


@fault(2, "server killed during a copy")
def server_killed_during_copy(lab: Lab) -> FaultResult:
    path, directory = lab.path("source.db"), lab.path("server")
    asyncio.run(fill(path, 2_000, dimension=16, words=12))
    kills = min(8, lab.tries(4))
    asyncio.run(_copy_and_kill_server(path, directory, kills))
    with leased(directory) as url:
        # Before the next copy, which would bring what is missing.
        counts = lost_and_doubled(row_digests(f"sqlite:{path}"), row_digests(url))
        message = copied(lab, path, f"pgembed:{directory}")
    return summarize([Attempt(message)] * (kills - 1) + [Attempt(message, *counts)])


async def _write_through_restarts(url: str, directory: Path, kills: int) -> tuple[list[str], list[str]]:
    """Write memories while the server dies and comes back; return the acknowledged texts and the errors."""
    acknowledged: list[str] = []
    errors: list[str] = []
    async with open_store(url) as store:
        for number in range(40 * kills):
            if number % 40 == 20:
                kill_server(directory, (signal.SIGQUIT, signal.SIGKILL)[number // 40 % 2])
            if number % 40 == 23:
                lease = await embedded_postgres.acquire(directory)
                await embedded_postgres.release(lease)
            try:
                await store.insert(Draft(text := f"written in the session {number}"), embed=False)
                acknowledged.append(text)
                await store.memories.count()
            except VestigeError as error:
                errors.append(error.message)
    return acknowledged, errors


@fault(3, "server restarted during a session")
def server_restarted_during_session(lab: Lab) -> FaultResult:
    directory = lab.path("server")
    kills = lab.tries(4)
    with leased(directory) as url:
        create_store(url)
        acknowledged, errors = asyncio.run(_write_through_restarts(url, directory, kills))
        assert len(acknowledged) > 30 * kills, f"only {len(acknowledged)} of {40 * kills} writes were done"
        stored = texts(url)
        kill_server(directory, signal.SIGQUIT)
        message = refusal(lab.run("--store", url, "list"))
    attempts = [Attempt(each) for each in (message, *errors)] + [Attempt(message)] * kills
    return summarize([*attempts, Attempt(message, *against_acknowledged(acknowledged, stored))])


def with_role(url: str, role: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}user={role}"


@contextmanager
def new_role(server: str, *grants: LiteralString) -> Iterator[str]:
    """Create a role that may log in, for the block."""
    role = f"guest_{secrets.token_hex(4)}"
    name = sql.Identifier(role)
    with psycopg.connect(server, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        for grant in grants:
            owner.execute(sql.SQL(grant).format(name))
        try:
            yield role
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(name))
            owner.execute(sql.SQL("DROP ROLE {}").format(name))


async def _crowd(url: str, users: int) -> tuple[list[str], list[str]]:
    """Write with more users than connections while another session holds the table; return texts and errors."""
    acknowledged: list[str] = []
    errors: list[str] = []

    async with open_store(url, max_connections=2, acquire_timeout=1.0) as store:

        async def write(number: int) -> None:
            text = f"by user {number}"
            try:
                await store.insert(Draft(text), embed=False)
                acknowledged.append(text)
            except VestigeError as error:
                errors.append(error.message)

        async with await psycopg.AsyncConnection.connect(url) as other:
            await other.execute("LOCK TABLE knowledge_nodes IN ACCESS EXCLUSIVE MODE")
            writers = [asyncio.create_task(write(number)) for number in range(users)]
            await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        await asyncio.gather(*writers)
    return acknowledged, errors


@fault(4, "no connection left")
def no_connection_left(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    with lab.database() as url:
        create_store(url)
        users = lab.tries(8)
        acknowledged, errors = asyncio.run(_crowd(url, users))
        counts = against_acknowledged(acknowledged, texts(url))
        assert len(acknowledged) + len(errors) == users
        attempts += [Attempt(message) for message in errors]
        attempts += [Attempt(errors[0] if errors else "")] * len(acknowledged)
        with new_role(url, "ALTER ROLE {} CONNECTION LIMIT 1") as role:
            guest = with_role(url, role)
            with psycopg.connect(guest):
                attempts.insert(0, Attempt(refusal(lab.run("--store", guest, "list")), *counts))
    return summarize(attempts)


@fault(28, "server without what is needed")
def unsuitable_server(lab: Lab) -> FaultResult:
    messages: list[str] = []
    with lab.database() as url:
        with new_role(url, "GRANT CREATE ON SCHEMA public TO {}") as role:
            messages.append(refusal(lab.run("--store", with_role(url, role), "schema", "up")))
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("CREATE EXTENSION vector")
            with new_role(url) as role:
                messages.append(refusal(lab.run("--store", with_role(url, role), "schema", "up")))
            owner.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
        messages.append(refusal(lab.run("--store", url, "schema", "up")))
        with psycopg.connect(url) as owner:
            count = owner.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
            assert count == (0,), "something was created before the refusal"
    return summarize([Attempt(each) for each in messages], untried="a server older than PostgreSQL 16")


@fault(29, "statement that waits for another session")
def waits_for_another_session(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    with lab.database() as url:
        create_store(url)
        assert lab.run("--store", url, "import", "-", stdin=b'{"content": "held by another session"}\n').status == 0
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE knowledge_nodes IN ACCESS EXCLUSIVE MODE")
            commands = (("add", "a text that waits"), ("list",), ("stats",))
            processes = [lab.start("--store", url, *command) for command in commands]
            for process in processes:
                _, err = process.communicate(timeout=120)
                assert process.returncode == 1, f"ended with {process.returncode}: {err[:200]!r}"
                attempts.append(Attempt(err.decode().splitlines()[-1]))
            # ctrl-C ends the wait.
            process = lab.start("--store", url, "list")
            other.execute("SELECT pg_sleep(3)")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        counts = against_acknowledged(["held by another session"], texts(url))
        attempts.append(Attempt(attempts[0].message, *counts))
        assert not texts(url)["a text that waits"], "a refused text was stored nevertheless"
    return summarize(attempts)
