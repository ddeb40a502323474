"""The commands `backup` and `restore`, and the backup that others offer before they delete something."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.support.command_line import Answer, Command, copy_store, sample_id
from tests.support.store_backups import rows_of_all_tables
from tests.support.vestige_files import make_line


def backups_in(home: Path) -> list[Path]:
    """Return the backups in the state directory of a home folder."""
    return sorted((home / ".local" / "state" / "vestige-tui" / "backups").glob("*.backup.db"))


def test_a_backup_is_one_private_file_with_its_counts(run: Command, sample: str, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    ran = run("--store", sample, "--json", "backup", str(file))
    assert ran.status == 0, ran
    backup = ran.json["backup"]
    assert (backup["path"], backup["verified"], backup["left_behind"]) == (str(file), True, {})
    assert backup["rows"]["knowledge_nodes"] == 6
    assert backup["bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "Backed up 6 memories, compared" in ran.err
    again = run("--store", sample, "backup", str(file))
    assert (again.status, "never overwritten" in again.err) == (3, True)
    assert run("--store", f"sqlite:{file}", "--json", "list").json["items"]


def test_a_restore_asks_for_consent_only_where_it_loses_something(run: Command, sample: str, tmp_path: Path) -> None:
    file = str(tmp_path / "kept.db")
    assert run("--store", sample, "backup", file).status == 0
    before = rows_of_all_tables(sample)
    assert run("--store", sample, "restore", file).status == 0
    assert run("--store", sample, "add", "Only in the store.").status == 0
    assert run("--store", sample, "tag", sample_id(0), "+new").status == 0
    refused = run("--store", sample, "--json", "restore", file)
    assert (refused.status, refused.json["error"]["code"]) == (3, "refused")
    assert "delete 1 memory, 1 vector and 2 journal entries and overwrite 1 mem" in refused.json["error"]["message"]
    assert 'deleted: "Only in the store."' in refused.err
    planned = run("--store", sample, "--json", "--read-only", "restore", file, "--dry-run").json["restore"]
    assert (planned["done"], planned["deletes"], planned["sets_back"]) == (
        False,
        {"journal": 2, "knowledge_nodes": 1, "node_embeddings": 1},
        {"knowledge_nodes": 1},
    )
    saved = tmp_path / "saved.db"
    done = run("--store", sample, "--json", "restore", file, "--yes", "--backup", str(saved)).json["restore"]
    assert (done["done"], done["verified"], done["backup"]) == (True, True, str(saved))
    assert rows_of_all_tables(sample) == before
    assert "Only in the store." in run("--store", f"sqlite:{saved}", "list").out


@pytest.mark.parametrize("typed", ["y\ny\n", "y\n\n", "y\nn\n", "n\n"])
def test_at_a_terminal_a_backup_is_offered(
    run: Command, sample: str, tmp_path: Path, home: Path, answer: Answer, typed: str
) -> None:
    file = str(tmp_path / "kept.db")
    assert run("--store", sample, "backup", file).status == 0
    before = rows_of_all_tables(sample)
    assert run("--store", sample, "add", "Only in the store.").status == 0
    answer(typed)
    ran = run("--store", sample, "restore", file)
    assert ran.status == (1 if typed == "n\n" else 0), ran
    assert (rows_of_all_tables(sample) == before) is (typed != "n\n")
    assert len(backups_in(home)) == (1 if typed in ("y\ny\n", "y\n\n") else 0)
    assert ("Write a backup to ~/" in ran.err) is (typed != "n\n")


def test_a_missing_store_is_created_from_a_backup(run: Command, sample: str, tmp_path: Path) -> None:
    file, new = str(tmp_path / "kept.db"), tmp_path / "new" / "store.db"
    assert run("--store", sample, "backup", file).status == 0
    ran = run("--store", str(new), "restore", file)
    assert (ran.status, "6 memories" in ran.out) == (0, True)
    assert rows_of_all_tables(f"sqlite:{new}") == rows_of_all_tables(sample)
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert stat.S_IMODE(new.parent.stat().st_mode) == 0o700


def test_a_restore_is_refused_read_only_and_for_another_kind(run: Command, sample: str, tmp_path: Path) -> None:
    vestige = make_line(tmp_path / "vestige.db", 18, 3)
    refused = run("--store", sample, "restore", str(vestige), "--yes")
    assert (refused.status, "migrate copy" in refused.err) == (3, True)
    file = str(tmp_path / "kept.db")
    assert run("--store", str(vestige), "backup", file).status == 0
    assert run("--store", str(vestige), "--read-only", "restore", file, "--yes").status == 3
    assert run("--store", str(vestige), "restore", file, "--yes").status == 0
    assert run("--store", str(vestige), "restore", str(vestige), "--yes").status == 3


def test_undoing_the_schema_writes_the_backup_that_is_asked_for(run: Command, sample: str, tmp_path: Path) -> None:
    file = tmp_path / "before.db"
    refused = run("--store", sample, "schema", "down", "--to", "0", "--backup", str(file))
    assert (refused.status, file.exists()) == (3, False)
    ran = run("--store", sample, "--json", "schema", "down", "--to", "0", "--backup", str(file), "--yes")
    assert ran.status == 0, ran
    assert ran.json["changed"]
    assert "Backed up 6 memories" in ran.err
    assert run("--store", str(file), "--json", "stats").json["total_memories"] == 6


@pytest.mark.slow
def test_deleting_kept_vectors_writes_the_backup_that_is_asked_for(
    run: Command, demo_file: Path, tmp_path: Path
) -> None:
    store, file = str(copy_store(demo_file, tmp_path / "demo.db")), tmp_path / "before.db"
    made = run("--store", store, "migrate", "reembed", "--model", "all-MiniLM-L6-v2", "--dimension", "128", "--yes")
    assert made.status == 0, made
    dropped = run("--store", store, "migrate", "reembed", "--drop-old", "--yes", "--backup", str(file))
    assert dropped.status == 0, dropped
    assert rows_of_all_tables(f"sqlite:{file}")["spare_embeddings"]
    assert not rows_of_all_tables(f"sqlite:{store}")["spare_embeddings"]


@pytest.mark.slow
def test_a_server_is_backed_up_and_restored_by_command(
    run: Command, postgres_database: str, tmp_path: Path, sample: str
) -> None:
    copied = run("migrate", "copy", "--source", sample, "--target", postgres_database)
    assert copied.status == 0, copied
    file = tmp_path / "kept.db"
    assert run("--store", postgres_database, "backup", str(file)).status == 0
    assert run("--store", postgres_database, "delete", sample_id(1), "--yes").status == 0
    assert run("--store", postgres_database, "restore", str(file)).status == 3
    ran = run("--store", postgres_database, "--json", "restore", str(file), "--yes")
    assert (ran.status, ran.json["restore"]["deletes"]) == (0, {"journal": 1})
    assert run("--store", postgres_database, "show", sample_id(1)).status == 0


def test_a_folder_that_is_missing_is_one_sentence(run: Command, sample: str, tmp_path: Path) -> None:
    ran = run("--store", sample, "--json", "backup", str(tmp_path / "missing" / "kept.db"))
    assert (ran.status, ran.json["error"]["code"]) == (1, "unavailable")
    assert "there is no directory" in ran.err
