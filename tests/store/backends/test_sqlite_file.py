"""A SQLite file that is replaced, removed, truncated or overwritten under an open store, and the log beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from vestige_tui.core.errors import Refused, SchemaPending, StoreReplaced, Unavailable, VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.store.backends import sqlite, sqlite_file
from vestige_tui.store.backends.sqlite import READER_COUNT
from vestige_tui.store.backends.sqlite_connection import Connection, connect
from vestige_tui.store.backends.sqlite_file import page_damage
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.transfer.sqlite_source import SqliteSource

KEPT, LATER = 30, 120
"""Memories of the backup, and those that only the open store has."""


def copied(source: Path, target: Path) -> Path:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    return target


def log_of(path: Path) -> bytes:
    return Path(f"{path}-wal").read_bytes()


def checkpoint(path: Path) -> None:
    """Write the whole log into its file, and leave the log where it is."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0


@asynccontextmanager
async def live_store(folder: Path) -> AsyncIterator[tuple[Store, Path, Path]]:
    """An open store whose log holds pages, its file, and an older backup of it."""
    live, backup = folder / "live.db", folder / "backup.db"
    async with open_store(str(live), create=True) as store:
        await store.memories.insert_many([Draft(f"kept {number}") for number in range(KEPT)], embed=False)
        copied(live, backup)
    async with open_store(str(live)) as store:
        for number in range(4):
            drafts = [Draft(f"later {number} {each} " + "word " * 200) for each in range(LATER // 4)]
            await store.memories.insert_many(drafts, embed=False)
            if number < 3:
                checkpoint(live)
        assert log_of(live)
        yield store, live, backup


def moved(live: Path, backup: Path) -> None:
    backup.rename(live)


def overwritten(live: Path, backup: Path) -> None:
    shutil.copyfile(backup, live)


def overwritten_after_a_checkpoint(live: Path, backup: Path) -> None:
    checkpoint(live)
    shutil.copyfile(backup, live)


def removed(live: Path, _: Path) -> None:
    live.unlink()


def renamed(live: Path, _: Path) -> None:
    live.rename(live.with_name("old.db"))


def emptied(live: Path, _: Path) -> None:
    os.truncate(live, 0)


def cut(live: Path, _: Path) -> None:
    os.truncate(live, live.stat().st_size - 100)


def halved(live: Path, _: Path) -> None:
    os.truncate(live, live.stat().st_size // 8192 * 4096)


EVENTS: dict[Callable[[Path, Path], None], str] = {
    moved: "its file was replaced by another file",
    overwritten: "was overwritten",
    overwritten_after_a_checkpoint: "was overwritten",
    removed: "was removed or renamed",
    renamed: "was removed or renamed",
    emptied: "was truncated",
    cut: "was truncated",
    halved: "was overwritten or damaged",
}


async def test_a_part_of_a_page_at_the_end_is_no_truncation(tmp_path: Path) -> None:
    async with live_store(tmp_path) as (store, live, _):
        # As a checkpoint on a full disk leaves it.
        with live.open("ab") as file:
            file.write(b"\0" * 1000)
        await store.insert(Draft("written all the same"), embed=False)
        assert not store.read_only


@pytest.mark.parametrize("event", EVENTS)
async def test_nothing_is_written_into_another_file(tmp_path: Path, event: Callable[[Path, Path], None]) -> None:
    async with live_store(tmp_path) as (store, live, backup):
        event(live, backup)
        before = live.read_bytes() if live.exists() else None
        log = log_of(live)
        for _ in range(2):
            with pytest.raises(Refused, match=EVENTS[event]):
                await store.insert(Draft("not in another file"), embed=False)
        with pytest.raises(Refused, match=EVENTS[event]):
            await store.maintenance.vacuum()
        assert store.read_only
        assert EVENTS[event] in store.read_only_reason
        with pytest.raises(StoreReplaced, match=EVENTS[event]):
            await store.wait_for_change(0)
        if event in (moved, removed, renamed):
            # Reading goes on, for an export.
            assert (await store.maintenance.stats()).total_memories == KEPT + LATER
    # Nor is the log written into it when the store is closed.
    assert (live.read_bytes() if live.exists() else None) == before
    assert log_of(live) == log


async def test_a_large_file_is_not_checked_at_each_checkpoint_of_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check takes a second of this clock; after twenty of them the pages are checked again."""
    checks: list[float] = []
    now = [time.monotonic() + 1000]
    clock = SimpleNamespace(monotonic=lambda: now[0], thread_time=lambda: now[0])

    def slow_check(path: Path, seconds: float) -> str | None:
        checks.append(now[0])
        now[0] += 1.0
        return page_damage(path, 60.0)

    async with live_store(tmp_path) as (store, live, backup):
        monkeypatch.setattr(sqlite_file, "page_damage", slow_check)
        monkeypatch.setattr(sqlite_file, "time", clock)
        for number in range(30):
            with closing(sqlite3.connect(live)) as other:
                other.execute("UPDATE knowledge_nodes SET updated_at = updated_at")
                other.commit()
            checkpoint(live)
            await store.insert(Draft(f"beside another program {number}"), embed=False)
            now[0] += 1.0
        assert len(checks) == 2
        # What a check would find is found all the same before anything is written.
        overwritten(live, backup)
        with pytest.raises(Refused, match="was overwritten"):
            await store.insert(Draft("not in another file"), embed=False)
        assert len(checks) == 2


@pytest.mark.parametrize("number", range(2 + READER_COUNT))
async def test_a_file_that_changes_places_while_it_is_opened_keeps_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """With the log of the file before still beside it, which no program has open any more."""
    folder = tmp_path / "left"
    folder.mkdir()
    async with live_store(tmp_path) as (_, live, backup):
        left = folder / "live.db"
        shutil.copyfile(live, left)
        shutil.copyfile(f"{live}-wal", f"{left}-wal")
    before, turns = backup.read_bytes(), iter(range(2 + READER_COUNT))

    async def connect_late(path: Path, mode: str) -> Connection:
        if next(turns) == number:
            backup.rename(left)
        return await connect(path, mode)

    monkeypatch.setattr(sqlite, "connect", connect_late)
    with pytest.raises(StoreReplaced):
        async with open_store(str(left)):
            pass
    assert left.read_bytes() == before


@pytest.mark.parametrize("event", [moved, overwritten, removed, emptied, halved])
async def test_a_store_that_only_waits_notices(tmp_path: Path, event: Callable[[Path, Path], None]) -> None:
    async with live_store(tmp_path) as (store, live, backup):
        await store.wait_for_change(0)
        event(live, backup)
        with pytest.raises(StoreReplaced, match=EVENTS[event]):
            await store.wait_for_change(30)


async def test_a_read_that_fails_tells_of_the_truncation(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    async with open_store(str(path), create=True) as store:
        await store.insert(Draft("kept"), embed=False)
    async with open_store(str(path)) as store:
        emptied(path, path)
        with pytest.raises(StoreReplaced, match=EVENTS[emptied]):
            await store.maintenance.stats()


async def test_another_writer_and_its_checkpoints_are_no_other_file(tmp_path: Path) -> None:
    async with live_store(tmp_path) as (store, live, _), open_store(str(live)) as other:
        for number in range(3):
            await other.insert(Draft(f"of the other {number}"), embed=False)
            checkpoint(live)
            await store.insert(Draft(f"of this one {number}"), embed=False)
            await store.wait_for_change(0)
        await other.maintenance.vacuum()
        await store.insert(Draft("after the vacuum"), embed=False)
        assert not store.read_only
    with closing(sqlite3.connect(live)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM knowledge_nodes").fetchone() == (KEPT + LATER + 7,)


# A log beside another file


async def left_behind(folder: Path) -> tuple[Path, Path]:
    """A file beside the log of a store that was killed, and the older backup."""
    crash = folder / "crash"
    crash.mkdir()
    async with live_store(folder) as (_, live, backup):
        for side in ("", "-wal"):
            shutil.copyfile(f"{live}{side}", crash / f"live.db{side}")
        shutil.copyfile(backup, crash / "backup.db")
    return crash / "live.db", crash / "backup.db"


@pytest.mark.parametrize("event", [moved, overwritten])
async def test_a_log_of_another_file_is_left_out(tmp_path: Path, event: Callable[[Path, Path], None]) -> None:
    live, backup = await left_behind(tmp_path)
    event(live, backup)
    before, log = live.read_bytes(), log_of(live)
    async with open_store(str(live)) as store:
        assert "live.db-wal beside it was written for another file" in store.read_only_reason
        assert (await store.maintenance.stats()).total_memories == KEPT
        with pytest.raises(Refused, match=r"move live\.db-wal and live\.db-shm away"):
            await store.insert(Draft("not beside it"), embed=False)
    with pytest.raises(Refused, match="was written for another file"):
        SqliteSource(live)
    assert (live.read_bytes(), log_of(live)) == (before, log)
    os.unlink(f"{live}-wal")
    async with open_store(str(live)) as store:
        await store.insert(Draft("after it was moved away"), embed=False)
        assert (await store.maintenance.stats()).total_memories == KEPT + 1


async def test_a_log_of_another_file_of_the_same_content_is_left_out(tmp_path: Path) -> None:
    live, backup = tmp_path / "live.db", tmp_path / "backup.db"
    async with open_store(str(live), create=True) as store:
        await store.insert(Draft("kept"), embed=False)
    shutil.copyfile(live, backup)
    async with open_store(str(live)) as store:
        await store.insert(Draft("later"), embed=False)
        backup.rename(live)
    before, log = live.read_bytes(), log_of(live)
    async with open_store(str(live)) as store:
        assert "was written for another file" in store.read_only_reason
        assert [each.content for each in (await store.page()).items] == ["kept"]
    assert (live.read_bytes(), log_of(live)) == (before, log)
    # Both files of a store in another place are a store again.
    copy = tmp_path / "copy"
    copy.mkdir()
    for side in ("", "-wal"):
        shutil.copy2(f"{live}{side}", copy / f"live.db{side}")
    async with open_store(str(copy / "live.db")) as store:
        assert not store.read_only


async def test_a_log_of_a_store_of_another_subject_is_left_out(tmp_path: Path) -> None:
    live, _ = await left_behind(tmp_path)
    other = tmp_path / "other.db"
    async with open_store(str(other), create=True) as store:
        await store.insert(Draft("of another subject"), embed=False)
    other.rename(live)
    async with open_store(str(live)) as store:
        assert store.read_only
        assert [each.content for each in (await store.page()).items] == ["of another subject"]


async def test_a_log_of_its_own_is_read_after_a_kill(tmp_path: Path) -> None:
    live, _ = await left_behind(tmp_path)
    async with open_store(str(live)) as store:
        assert not store.read_only
        assert (await store.maintenance.stats()).total_memories == KEPT + LATER


@pytest.mark.parametrize("how", ["missing", "empty"])
async def test_a_log_without_its_file_is_not_deleted(tmp_path: Path, how: str) -> None:
    live, _ = await left_behind(tmp_path)
    if how == "missing":
        live.unlink()
    else:
        os.truncate(live, 0)
    log = log_of(live)
    for create in (False, True):
        with pytest.raises(VestigeError):
            await open_store(str(live), create=create).open()
    if how == "empty":
        with pytest.raises(Refused, match=r"live\.db-wal beside it holds changes"):
            SqliteSource(live)
    assert log_of(live) == log


# Empty and damaged files


async def test_an_empty_file_stays_empty_unless_a_store_is_to_be_created(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(SchemaPending):
        await open_store(str(path)).open()
    assert os.listdir(tmp_path) == ["empty.db"]
    assert not path.stat().st_size
    async with open_store(str(path), create=True) as store:
        await store.insert(Draft("the first"), embed=False)


async def test_nothing_is_written_beside_damaged_pages(tmp_path: Path) -> None:
    async with live_store(tmp_path) as (_, live, _):
        pass
    with closing(sqlite3.connect(live)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'review_events'"
        [page] = connection.execute(query).fetchone()
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    with live.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xa5" * page_bytes)
    before = live.read_bytes()
    async with open_store(str(live)) as store:
        # None of these touches the page.
        with pytest.raises(Unavailable, match=f"is damaged .*[Pp]age {page}.*nothing was written"):
            await store.insert(Draft("not beside damage"), embed=False)
        assert (await store.page(limit=1)).items
    assert live.read_bytes() == before
