"""Upgrade of an embedded server's data to the next major: it is whole, and the old data stays until the end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.command_line import run_process
from tests.support.kill_points import TIMEOUT_SECONDS
from tests.support.postgres import run_in_thread
from vestige_tui.core import errors
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.backends import embedded_programs, embedded_upgrade
from vestige_tui.store.backends.embedded_postgres import acquire_now, release_now
from vestige_tui.store.backends.embedded_programs import data_major
from vestige_tui.store.open import open_store

TEXT = "Written by PostgreSQL 16, Grüße."
UPGRADE = """
import os, signal, subprocess, sys
from pathlib import Path
from vestige_tui.store.backends import embedded_upgrade as upgrade
from vestige_tui.store.backends.embedded_postgres import EmbeddedServer

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

moment, directory = sys.argv[1], Path(sys.argv[2])
run, wait, finishes = EmbeddedServer.run, subprocess.Popen.communicate, []

def run_until(self, program, *arguments, **options):
    if program == moment or program.endswith("/" + moment):
        subprocess.Popen.communicate = die  # the program runs on
    return run(self, program, *arguments, **options)

def finish_until(folder):
    finishes.append(folder)
    if moment == "swap" and len(finishes) == 2:
        die()

EmbeddedServer.run = run_until
upgrade.finish_upgrade = finish_until
if moment == "count":
    upgrade.psycopg.connect = die
upgrade.upgrade(upgrade.plan_upgrade(directory), print)
"""


@pytest.fixture(scope="module")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of PostgreSQL 16, whose server is stopped."""

    async def fill(url: str) -> None:
        async with open_store(url, create=True) as store:
            await store.insert(Draft(TEXT, tags=("kept",)), embed=False)

    directory = tmp_path_factory.mktemp("upgrade") / "old"
    lease = acquire_now(directory, 16)
    try:
        run_in_thread(fill(lease.url))
    finally:
        release_now(lease)
    return directory


@pytest.fixture
def store_folder(old_store: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "my store"
    subprocess.run(["cp", "-a", old_store, directory], check=True)
    return directory


def files(data: Path) -> list[Path]:
    """Return the files of the tables."""
    return [path for path in (data / "base").rglob("*") if path.is_file()]


async def texts(directory: Path) -> list[str]:
    async with open_store(f"pgembed:{directory}") as store:
        assert [hit.memory.content for hit in (await store.search(SearchQuery("Grüße"))).hits] == [TEXT]
        return [memory.content for memory in (await store.page()).items]


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
async def test_an_older_store_is_upgraded_on_request(store_folder: Path) -> None:
    url = f"pgembed:{store_folder}"
    refused = run_process("--store", url, "list")
    assert (refused.status, refused.out) == (3, "")
    assert "holds data of PostgreSQL 16, older than the PostgreSQL 18 installed here" in refused.err
    assert f"`vestige-tui --store '{url}' schema upgrade-server`" in refused.err

    dry = run_process("--store", url, "--json", "schema", "upgrade-server", "--dry-run")
    assert (dry.status, dry.json["from"], dry.json["to"], dry.json["changed"]) == (0, 16, 18, [])
    assert dry.json["needed_bytes"] > dry.json["data_bytes"] > 1_000_000
    before = {path: path.read_bytes() for path in files(store_folder / "data")}

    assert run_process("--store", url, "schema", "upgrade-server", "--drop-old").status == 3
    upgraded = run_process("--store", url, "schema", "upgrade-server")
    assert upgraded.status == 0, upgraded.err
    kept = store_folder / "data.pg16"
    assert f"stays unchanged in {kept}." in upgraded.err
    assert "as many as before" in upgraded.out
    assert await texts(store_folder) == [TEXT]
    assert {
        store_folder / "data" / path.relative_to(kept): path.read_bytes()
        for path in kept.glob("base/**/*")
        if path.is_file()
    } == before
    assert not (store_folder / "upgrade").exists()

    again = run_process("--store", url, "schema", "upgrade-server")
    assert (again.status, again.out) == (0, "The data is up to date.\n")
    dropped = run_process("--store", url, "schema", "upgrade-server", "--drop-old")
    assert (dropped.status, dropped.out) == (0, f"Deleted: {kept}\n")
    assert not kept.exists()
    assert await texts(store_folder) == [TEXT]


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_SECONDS)
async def test_an_upgrade_may_be_killed_at_any_moment(store_folder: Path) -> None:
    for moment in ("cp", "count", "pg_upgrade"):
        killed_at(moment, store_folder)
        assert data_major(store_folder / "data") == 16
    killed_at("swap", store_folder)
    assert not (store_folder / "data").exists()
    assert embedded_upgrade.plan_upgrade(store_folder) is None
    assert await texts(store_folder) == [TEXT]
    assert data_major(store_folder / "data.pg16") == 16


def killed_at(moment: str, directory: Path) -> None:
    """Kill an upgrade at a moment; programs of the one before may still be running, and are waited for."""
    while True:
        command = [sys.executable, "-c", UPGRADE, moment, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "still running" not in done.stderr:
            assert done.returncode == -signal.SIGKILL, done.stderr
            return


def test_an_open_store_is_not_upgraded(store_folder: Path) -> None:
    plan = embedded_upgrade.plan_upgrade(store_folder)
    assert plan is not None
    lease = acquire_now(store_folder, 16)
    try:
        with pytest.raises(errors.Busy, match="is open in another program; close it there"):
            embedded_upgrade.upgrade(plan, print)
        with psycopg.connect(lease.url) as connection:
            assert connection.execute("SELECT count(*) FROM knowledge_nodes").fetchone() == (1,)
    finally:
        release_now(lease)


@pytest.mark.slow
def test_an_upgrade_without_room_or_programs_is_refused(store_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(store_folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(errors.Refused, match=r"needs .* on its disk, which has 1\.0 MB free; free some space"):
        embedded_upgrade.plan_upgrade(store_folder)
    monkeypatch.undo()
    find = embedded_programs.find_programs
    monkeypatch.setattr(embedded_upgrade, "find_programs", lambda major=18: find(major) if major == 18 else None)
    with pytest.raises(errors.Refused, match="has no programs of that version"):
        embedded_upgrade.plan_upgrade(store_folder)
    monkeypatch.undo()
    (store_folder / "data" / "standby.signal").touch()
    with pytest.raises(errors.Refused, match="is a standby: upgrade its primary"):
        embedded_upgrade.plan_upgrade(store_folder)


@pytest.mark.parametrize("url", ["sqlite:here.db", "postgresql://someone:secret@db1/memories"])
def test_only_an_embedded_server_is_upgraded(url: str) -> None:
    refused = run_process("--store", url, "schema", "upgrade-server")
    assert refused.status == 3
    assert "is not a pgembed:DIR store; upgrade a server with its own tools." in refused.err
    assert "secret" not in refused.err
