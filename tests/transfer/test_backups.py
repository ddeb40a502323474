"""Backups of stores of each kind, restored and compared over all tables."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from tests.support.file_limits import limit_file_bytes
from tests.support.second_program import second_program
from tests.support.store_backups import fill_every_table, rows_of_all_tables
from tests.support.store_exercise import fill, opened
from tests.support.vestige_files import make_line
from vestige_tui.core.backups import BackupStep
from vestige_tui.core.errors import DiskFull, ForeignStore, Refused, SchemaPending, StoreMissing, Unavailable
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.reviews import Rating
from vestige_tui.store.open import open_store
from vestige_tui.transfer.backups import back_up, plan_restore, restore, suggested_path


async def change_much(url: str) -> None:
    """Add, edit, grade and delete, so that no table of the contents is as before."""
    async with opened(url) as store:
        [first, second, *_] = [memory.id for memory in (await store.page(Filter(superseded=True))).items]
        await store.insert(Draft("Added after the backup."))
        await store.reviews.record(first, Rating.AGAIN)
        await store.memories.tag([first], add=["later"])
        await store.delete([second])


def hidden_files(folder: Path) -> list[str]:
    """Return the names of files that a backup or restore has begun and left."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.slow
async def test_a_restored_store_is_equal_in_all_tables(store_url: str, tmp_path: Path) -> None:
    await fill_every_table(store_url, tmp_path)
    before = rows_of_all_tables(store_url)
    for name in ("journal", "job_runs", "spare_embeddings", "review_marks", "supersession_events", "review_events"):
        assert before[name], name
    steps: list[BackupStep] = []
    backup = await back_up(store_url, tmp_path / "kept.db", steps.append)
    assert backup.rows["knowledge_nodes"] == 3
    assert {step.stage for step in steps} >= {"copying"}
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    assert (backup.left_behind, backup.failed) == ({}, {})
    assert rows_of_all_tables(store_url) == before
    await change_much(store_url)
    assert rows_of_all_tables(store_url) != before
    plan = await plan_restore(backup.path, store_url)
    losses = {loss.table: (loss.missing, loss.changed) for loss in plan.losses}
    assert losses["knowledge_nodes"] == (1, 1)
    assert losses["journal"] == (4, 0)
    assert plan.examples == ("Added after the backup.",)
    done = await restore(backup.path, store_url)
    assert done.rows["knowledge_nodes"] == 3
    assert rows_of_all_tables(store_url) == before
    assert not (await plan_restore(backup.path, store_url)).loses
    assert hidden_files(tmp_path) == []


@pytest.mark.slow
async def test_a_backup_becomes_a_new_store_in_which_undo_works(
    store_url: str, backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await fill_every_table(store_url, tmp_path)
    backup = await back_up(store_url, tmp_path / "kept.db")
    new = f"sqlite:{tmp_path / 'folder' / 'new.db'}"
    if backend == "postgres":
        new = str(request.getfixturevalue("bare_postgres_database"))
    assert not (await plan_restore(backup.path, new)).loses
    await restore(backup.path, new)
    assert rows_of_all_tables(new) == rows_of_all_tables(store_url)
    for url in (new, f"sqlite:{backup.path}"):
        async with opened(url) as store:
            [deletion] = await store.journal.entries(limit=1)
            assert deletion.verb == "delete"
            undone = await store.journal.undo(deletion.id)
            restored = await store.get(undone.changed[0])
            assert restored.content == "A note that is deleted soon."
            graded = await store.reviews.record(restored.id, Rating.GOOD)
            assert graded.changed == (restored.id,)


@pytest.mark.slow
@pytest.mark.parametrize("version", [4, 14, 18, 35, 40])
async def test_a_file_of_each_line_of_vestige_is_restored_byte_for_byte(version: int, tmp_path: Path) -> None:
    path = make_line(tmp_path / "vestige.db", version, 20)
    url = f"sqlite:{path}"
    before = rows_of_all_tables(url)
    backup = await back_up(url, tmp_path / "kept.db")
    with closing(sqlite3.connect(path)) as server, server:
        server.execute("DELETE FROM knowledge_nodes WHERE rowid = (SELECT min(rowid) FROM knowledge_nodes)")
        server.execute(
            "UPDATE knowledge_nodes SET content = 'edited' WHERE rowid = (SELECT max(rowid) FROM knowledge_nodes)"
        )
        server.execute("INSERT INTO knowledge_nodes SELECT * FROM main.knowledge_nodes WHERE 0")
    plan = await plan_restore(backup.path, url)
    losses = {loss.table: (loss.missing, loss.changed) for loss in plan.losses}
    assert losses["knowledge_nodes"] == (0, 1)
    await restore(backup.path, url)
    assert rows_of_all_tables(url) == before


@pytest.mark.slow
async def test_a_backup_beside_a_busy_writer_is_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(f"sqlite:{path}")
    with second_program("tests.support.pair_writer", str(path)):
        counts = []
        for number in range(5):
            backup = await back_up(f"sqlite:{path}", tmp_path / f"kept {number}.db")
            counts.append(backup.rows["review_marks"])
            assert backup.rows["knowledge_nodes"] == backup.rows["review_marks"] + 3
    assert counts == sorted(counts)
    assert counts[-1] > 0
    with closing(sqlite3.connect(tmp_path / "kept 4.db")) as kept:
        assert kept.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_file_that_another_process_has_open_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(f"sqlite:{path}")
    backup = await back_up(f"sqlite:{path}", tmp_path / "kept.db")
    with (
        second_program("tests.support.pair_writer", str(path)) as program,
        pytest.raises(Refused, match=f"open in process {program.pid} ") as refused,
    ):
        await restore(backup.path, f"sqlite:{path}")
    assert "Nothing was changed" in refused.value.message
    assert hidden_files(tmp_path) == []


async def test_a_file_that_this_process_has_open_is_not_replaced(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'store.db'}"
    await fill(url)
    backup = await back_up(url, tmp_path / "kept.db")
    async with open_store(url):
        with pytest.raises(Refused, match="is open"):
            await restore(backup.path, url)
    await restore(backup.path, url)


def run_killed(verb: str, file: Path, url: str, step: int) -> int:
    """Run a backup or restore that kills itself at a step; return its exit status."""
    words = (verb, str(file), url, str(step))
    return subprocess.run([sys.executable, "-m", "tests.support.killable_backup", *words], check=False).returncode


@pytest.mark.slow
async def test_a_killed_backup_leaves_no_file_under_its_name(store_url: str, tmp_path: Path) -> None:
    await fill_every_table(store_url, tmp_path)
    for step in (1, 2):
        run_killed("backup", tmp_path / "kept.db", store_url, step)
        if step == 1:
            assert not (tmp_path / "kept.db").exists()
    (tmp_path / "kept.db").unlink(missing_ok=True)
    assert run_killed("backup", tmp_path / "kept.db", store_url, 10_000) == 0
    assert (tmp_path / "kept.db").exists()


@pytest.mark.slow
async def test_a_killed_restore_leaves_the_store_as_it_was(store_url: str, tmp_path: Path) -> None:
    await fill_every_table(store_url, tmp_path)
    backup = await back_up(store_url, tmp_path / "kept.db")
    of_backup = rows_of_all_tables(store_url)
    await change_much(store_url)
    before = rows_of_all_tables(store_url)
    deaths: list[bool] = []
    for step in (1, 3, 8, 12):
        died = run_killed("restore", backup.path, store_url, step) != 0
        # On a server the read waits until it has rolled back what the dead program had begun.
        rows = rows_of_all_tables(store_url)
        assert rows == of_backup if not died else rows in (before, of_backup)
        if rows == of_backup:
            break
        deaths.append(died)
    assert deaths
    await restore(backup.path, store_url)
    assert rows_of_all_tables(store_url) == of_backup
    assert hidden_files(tmp_path) == []


async def test_a_full_disk_is_one_sentence_and_leaves_nothing(store_url: str, tmp_path: Path) -> None:
    await fill(store_url)
    # SQLite's shared memory has 32 kB, which the limit allows.
    with limit_file_bytes(60_000), pytest.raises((DiskFull, Unavailable)) as full:
        await back_up(store_url, tmp_path / "kept.db")
    assert full.value.message.endswith(".")
    assert "kept.db" in full.value.message or "disk" in full.value.message
    assert not (tmp_path / "kept.db").exists()
    assert hidden_files(tmp_path) == []


async def test_an_existing_file_is_never_replaced(store_url: str, tmp_path: Path) -> None:
    await fill(store_url)
    for name, content in (("note.txt", "precious"), ("empty.db", "")):
        (tmp_path / name).write_text(content)
        with pytest.raises(Refused):
            await back_up(store_url, tmp_path / name)
        assert (tmp_path / name).read_text() == content


async def test_what_is_no_backup_of_such_a_store_is_refused(store_url: str, tmp_path: Path) -> None:
    await fill(store_url)
    before = rows_of_all_tables(store_url)
    vestige = make_line(tmp_path / "vestige.db", 18, 3)
    foreign, empty, text = tmp_path / "foreign.db", tmp_path / "empty.db", tmp_path / "note.txt"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    empty.touch()
    text.write_text("A note that is no database at all, but long enough to have a first page of its own." * 20)
    refusals = (
        (vestige, Refused),
        (foreign, ForeignStore),
        (empty, SchemaPending),
        (text, ForeignStore),
        (tmp_path / "missing.db", StoreMissing),
    )
    for path, error in refusals:
        with pytest.raises(error):
            await plan_restore(path, store_url)
    assert rows_of_all_tables(store_url) == before


def kept_files(path: Path) -> list[Path]:
    """Return the files that a restore has kept beside the one that it replaced, without their side files."""
    return [each for each in path.parent.glob(f"{path.name}.before-restore-*") if each.name[-1].isdigit()]


async def test_a_damaged_store_is_replaced_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(f"sqlite:{path}")
    backup = await back_up(f"sqlite:{path}", tmp_path / "kept.db")
    before = rows_of_all_tables(f"sqlite:{path}")
    damaged = bytearray(path.read_bytes())
    damaged[4096 : 4096 * 9] = b"\x5a" * 4096 * 8
    path.write_bytes(damaged)
    plan = await plan_restore(backup.path, f"sqlite:{path}")
    assert (bool(plan.damage), plan.loses) == (True, True)
    await restore(backup.path, f"sqlite:{path}")
    assert rows_of_all_tables(f"sqlite:{path}") == before
    [kept] = kept_files(path)
    assert kept.read_bytes() == bytes(damaged)
    with pytest.raises(Unavailable, match="damaged"):
        await back_up(f"sqlite:{kept}", tmp_path / "another.db")


async def test_tables_of_other_programs_are_left_behind_by_name(postgres_database: str, tmp_path: Path) -> None:
    await fill(postgres_database)
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE songs (name text)")
        connection.execute("INSERT INTO songs VALUES ('one'), ('two')")
    backup = await back_up(postgres_database, tmp_path / "kept.db")
    assert backup.left_behind == {"songs": 2}
    await restore(backup.path, postgres_database)
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("SELECT count(*) FROM songs").fetchone() == (2,)


def test_a_backup_is_suggested_in_a_private_folder(state: Path) -> None:
    path = suggested_path("sqlite:/somewhere/agents.db", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert path == state / "backups" / "agents.db-20260102-030405.backup.db"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_backup_within_the_same_second_gets_another_name(state: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 59, tzinfo=UTC)
    suggested_path("sqlite:/somewhere/agents.db", now).touch()
    again = suggested_path("sqlite:/somewhere/agents.db", now)
    assert again == state / "backups" / "agents.db-20260102-030500.backup.db"
