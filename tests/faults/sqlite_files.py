"""SQLite files that are locked, damaged, read-only or on a full disk."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg import sql

from tests.faults.lab import OTHER_USER_ID, Lab, answer, create_store, job_of, refusal
from tests.faults.registry import Attempt, FaultResult, fault, is_met, summarize
from tests.faults.rows import against_acknowledged, lost_and_doubled, row_digests, texts
from tests.support.file_limits import limit_file_bytes
from tests.support.full_store import fill
from tests.support.jobs import wait_for_job, waiting_worker
from tests.support.postgres import on_database
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.store.open import open_store

BALLAST_BYTES = 500_000


def lines_of(*texts: str) -> bytes:
    """Return an import file with a memory of each text."""
    return "".join(f'{{"content": "{text}"}}\n' for text in texts).encode()


@fault(6, "SQLite file locked by another process")
def locked_file(lab: Lab) -> FaultResult:
    url = lab.new_store("store.db")
    kept = [f"there before {number}" for number in range(5)]
    answer(lab.run("--store", url, "import", "-", "--json", stdin=lines_of(*kept)))
    attempts: list[Attempt] = []
    with closing(sqlite3.connect(lab.path("store.db"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        commands = [("add", "a text that waits"), ("import", "-"), ("vacuum",)][: max(1, lab.tries(3))]
        processes = [lab.start("--store", url, *command) for command in commands]
        assert len(answer(lab.run("--store", url, "list", "--json"))["items"]) == 5
        for process in processes:
            _, err = process.communicate(lines_of("a text that waits"), timeout=120)
            assert process.returncode == 1, f"ended with {process.returncode}: {err[:300]!r}"
            attempts.append(Attempt(err.decode().strip()))
        other.execute("ROLLBACK")
    assert not texts(url)["a text that waits"], "a refused text was stored nevertheless"
    answer(lab.run("--store", url, "import", "-", "--json", stdin=lines_of("a text that waits")))
    attempts.append(Attempt(attempts[0].message, *against_acknowledged([*kept, "a text that waits"], texts(url))))
    return summarize(attempts)


@contextmanager
def _other_writer(path: Path) -> Iterator[None]:
    """Commit a change of the file again and again, from another connection, for the block."""
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
            while not stop.wait(0.001):
                connection.execute("UPDATE users SET display_name = 'x' || random()")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


async def _edit_beside_writer(url: str, rounds: int) -> list[str]:
    """Read and then write in one transaction, from two stores at a time; return the texts that were acknowledged."""
    async with open_store(url) as one, open_store(url) as other:
        memories = [(await one.insert(Draft(f"edited {each}"), embed=False)).changed[0] for each in range(2)]

        async def edit(number: int) -> None:
            store = (one, other)[number]
            for turn in range(rounds):
                changes = await store.memories.tag([memories[number]], add=[f"turn{turn}"])
                assert changes

        await asyncio.gather(edit(0), edit(1))
        return [tag for memory in memories for tag in (await one.get(memory)).tags]


@fault(7, "read transaction that becomes a write")
def upgraded_transaction(lab: Lab) -> FaultResult:
    url, rounds = lab.new_store("store.db"), lab.tries(50)
    with _other_writer(lab.path("store.db")):
        tags = asyncio.run(_edit_beside_writer(url, rounds))
        added = lab.run("--store", url, "import", "-", stdin=lines_of("written beside the others"))
    wanted = [f"turn{turn}" for turn in range(rounds)] * 2
    lost, doubled = len(wanted) - len(tags), len(tags) - len(set(tags)) * 2
    assert added.status == 0, added.err
    message = added.out.strip().splitlines()[0]
    return summarize([Attempt(message, lost, doubled), *[Attempt(message)] * (2 * rounds - 1)])


def _damage(path: Path, kind: str) -> None:
    size = path.stat().st_size
    if kind == "text":
        path.write_text("This is no database. " * 500)
    elif kind == "cut":
        os.truncate(path, size // 2)
    elif kind == "empty header":
        with path.open("r+b") as file:
            file.write(b"\0" * 100)
    else:
        # The pages of one table, behind the schema, so that the file still opens.
        with path.open("r+b") as file:
            for page in range(size // 4096 // 2, size // 4096 // 2 + 30):
                file.seek(page * 4096)
                file.write(random.Random(page).randbytes(4096))


def _bytes_of(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


@fault(9, "damaged SQLite file")
def damaged_file(lab: Lab) -> FaultResult:
    whole, attempts = lab.path("whole.db"), []
    asyncio.run(fill(whole, 400, dimension=16))
    with closing(sqlite3.connect(whole)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    commands = (("list", "--limit", "500"), ("add", "into a damaged file"), ("stats",), ("vacuum",))
    for kind in ("text", "cut", "empty header", "pages"):
        path = lab.path(f"{kind.replace(' ', '-')}.db")
        for command in commands:
            shutil.copy(whole, path)
            _damage(path, kind)
            before = _bytes_of(path)
            result = lab.run("--store", f"sqlite:{path}", *command)
            if result.status:
                attempts.append(Attempt(refusal(result)))
            assert command[0] == "add" or _bytes_of(path) == before, f"{kind}: {command[0]} wrote into the file"
            for side in path.parent.glob(f"{path.name}-*"):
                side.unlink()
    return summarize(attempts)


async def _write_until_full(url: str) -> tuple[list[str], str]:
    """Write memories until the store refuses one; return the acknowledged texts and the refusal."""
    acknowledged: list[str] = []
    async with open_store(url) as store:
        for number in range(20_000):
            text = f"{number} {random.Random(number).randbytes(2_000).hex()}"
            try:
                await store.insert(Draft(text), embed=False)
            except VestigeError as error:
                return acknowledged, error.message
            acknowledged.append(text)
    raise AssertionError("the disk was never full")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a small file system in memory for the block."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill_disk(lab: Lab, url: str, folder: Path) -> list[Attempt]:
    """Fill the disk of a store by single memories, and by a command; every acknowledged one must be there."""
    (folder / "ballast").write_bytes(b"x" * BALLAST_BYTES)
    acknowledged, error = asyncio.run(_write_until_full(url))
    message = refusal(lab.run("--store", url, "import", "-", stdin=lines_of(*("x" * 4_000 for _ in range(2_000)))))
    # A server whose disk is full may take no connection.
    (folder / "ballast").unlink()
    stored = texts(url)
    counts = sum(1 for text in acknowledged if not stored[text]), sum(1 for text in acknowledged if stored[text] > 1)
    return [Attempt(message), *[Attempt(error)] * len(acknowledged), Attempt(error, *counts)]


def _integrity(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def server_data(lab: Lab) -> Path:
    return lab.folder.parent / "server" / "data"


@contextmanager
def small_database(lab: Lab, folder: Path) -> Iterator[str]:
    """Create a database in a tablespace on a small disk, for the block."""
    server = lab.server()
    owner = server_data(lab).stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(str(folder)))
        connection.execute("CREATE DATABASE small TEMPLATE template0 TABLESPACE small")
        try:
            yield on_database(server, "small")
        finally:
            connection.execute("DROP DATABASE small WITH (FORCE)")
            connection.execute("DROP TABLESPACE small")


def _copy_to_full_disk(lab: Lab) -> list[Attempt]:
    """Copy into a file that may not grow further: the copy says so, waits, and goes on once it may."""
    source, target = lab.path("source.db"), f"sqlite:{lab.path('target.db')}"
    asyncio.run(fill(source, 1_000, dimension=16))
    create_store(target)
    with limit_file_bytes(1_000_000):
        arguments = ("--source", f"sqlite:{source}", "--target", target, "--batch-size", "50", "--json", "--detach")
        job_id = job_of(lab.run("migrate", "copy", *arguments))["id"]
    worker = asyncio.run(waiting_worker(job_id))
    assert worker.wait is not None
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ended = asyncio.run(wait_for_job(target, job_id))
    assert (ended.status, ended.attempt) == ("completed", 1), ended.error
    counts = lost_and_doubled(row_digests(f"sqlite:{source}"), row_digests(target))
    return [Attempt(worker.wait.reason), Attempt(str(ended.result), *counts)]


@fault(10, "full disk")
def full_disk(lab: Lab) -> FaultResult:
    attempts = _copy_to_full_disk(lab)
    if not is_met("root"):
        return summarize(attempts, untried="a small file system needs root")
    with small_disk(lab.path("disk"), 3) as folder:
        create_store(f"sqlite:{folder / 'store.db'}")
        attempts = [*_fill_disk(lab, f"sqlite:{folder / 'store.db'}", folder), *attempts]
        _integrity(folder / "store.db")
    lab.server()
    if not server_data(lab).exists():
        return summarize(attempts, untried="the disk of a server that is not of this runner")
    with small_disk(lab.path("tablespace"), 24) as folder, small_database(lab, folder) as url:
        create_store(url)
        attempts += _fill_disk(lab, url, folder)
    return summarize(attempts)


@contextmanager
def _read_only_mount(folder: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(["mount", "--bind", str(folder), str(at)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(at)], check=True)
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@fault(27, "missing, unreadable or read-only file")
def unusable_file(lab: Lab) -> FaultResult:
    folder = lab.path("stores")
    folder.mkdir()
    url = f"sqlite:{folder / 'store.db'}"
    create_store(url)
    answer(lab.run("--store", url, "import", "-", "--json", stdin=lines_of("on a disk that becomes read-only")))
    dangling, missing = folder / "dangling.db", folder / "missing.db"
    dangling.symlink_to(folder / "nowhere.db")
    results = [lab.run("--store", str(path), "list") for path in (dangling, missing, folder, folder / "store.db" / "x")]
    assert not missing.exists()
    assert not (folder / "nowhere.db").exists()
    untried = "" if is_met("root") else "a read-only mount and another user's file need root"
    if is_met("root"):
        shutil.copy(folder / "store.db", theirs := folder / "theirs.db")
        theirs.chmod(0o600)
        os.chown(theirs, OTHER_USER_ID, OTHER_USER_ID)
        results.append(lab.run("--store", f"sqlite:{theirs}", "list", bound=True))
        with _read_only_mount(folder, lab.path("read-only")) as mount:
            results.append(lab.run("--store", f"sqlite:{mount / 'store.db'}", "add", "on a read-only disk"))
            copy = ("migrate", "copy", "--source", url, "--target", f"sqlite:{mount / 'new.db'}")
            results.append(lab.run(*copy))
            assert "that becomes read-only" in lab.run("--store", f"sqlite:{mount / 'store.db'}", "list").out
    attempts = [Attempt(refusal(result)) for result in results]
    kept = against_acknowledged(["on a disk that becomes read-only"], texts(url))
    return summarize([*attempts, Attempt(attempts[0].message, *kept)], untried=untried)
