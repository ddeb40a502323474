"""Warnings of files and passwords, and what `doctor` and `stats` say of a store."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import Command, sample_id
from tests.support.planted_faults import whole_rows


@pytest.fixture
def open_folders(tmp_path: Path) -> Path:
    """A folder that every user can enter."""
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.getuid() and not each.stat().st_mode & 0o001:
            each.chmod(0o711)
    return tmp_path


def test_doctor_finds_nothing_in_a_healthy_store(run: Command, sample: str) -> None:
    ran = run("--store", sample, "doctor")
    assert (ran.status, ran.out.splitlines()[1:]) == (0, ["healthy"])
    assert run("--store", sample, "--json", "doctor").json == {
        "state": "healthy", "concerns": [], "findings": [], "tables_not_shown": [], "not_checked": [],
    }  # fmt: skip


def test_doctor_and_stats_name_the_same_problems(run: Command, sample: str) -> None:
    with closing(sqlite3.connect(sample.removeprefix("sqlite:"))) as connection, connection:
        connection.execute("UPDATE knowledge_nodes SET created_at = 'soon' WHERE id = ?", (sample_id(2),))
        connection.execute("UPDATE node_embeddings SET embedding = x'00' WHERE node_id = ?", (sample_id(3),))
    ran = run("--store", sample, "doctor")
    assert ran.status == 0
    for words in ("degraded", f"1 time cannot be read. {sample_id(2)}", f"find its memory. {sample_id(3)}"):
        assert words in " ".join(ran.out.split())
    concerns = run("--store", sample, "--json", "doctor").json["concerns"]
    assert len(concerns) == 2
    assert run("--store", sample, "--json", "stats").json["health"]["concerns"] == concerns


# Fixes


@pytest.fixture
def faulty(sample: str) -> str:
    """The sample store with a vector of zeros, and with tags that cannot be read."""
    with closing(sqlite3.connect(sample.removeprefix("sqlite:"))) as connection, connection:
        connection.execute(
            "UPDATE node_embeddings SET embedding = zeroblob(length(embedding)) WHERE node_id = ?", (sample_id(3),)
        )
        connection.execute("UPDATE knowledge_nodes SET tags = '[broken' WHERE id = ?", (sample_id(2),))
    return sample


def test_a_dry_run_prints_the_rows_that_a_fix_changes(run: Command, faulty: str) -> None:
    before = whole_rows(faulty)
    document = run("--store", faulty, "--json", "doctor", "--fix", "--dry-run").json
    assert [(each["kind"], each["subject"]) for each in document["rows"]] == [
        ("vector_zero", sample_id(3)), ("json", sample_id(2)),
    ]  # fmt: skip
    [tags] = [each for each in document["rows"] if each["kind"] == "json"]
    assert (tags["before"], tags["after"]) == ({"tags": "[broken"}, {"tags": "[]"})
    text = run("--store", faulty, "doctor", "--fix", "--dry-run")
    assert (text.status, "tags [broken → []" in text.out) == (0, True)
    assert whole_rows(faulty) == before


def test_a_fix_is_one_change_that_undo_reverses(run: Command, faulty: str) -> None:
    before = whole_rows(faulty)
    assert run("--store", faulty, "doctor", "--fix").status == 3
    assert whole_rows(faulty) == before
    ran = run("--store", faulty, "doctor", "--fix", "--yes")
    assert (ran.status, ran.out.startswith("Fixed 2 rows.  Undo: vestige-tui undo ")) == (0, True)
    assert run("--store", faulty, "--json", "doctor").json["findings"] == []
    assert run("--store", faulty, "doctor", "--fix", "--yes").out == "Nothing changed.\n"
    assert run("--store", faulty, "undo").status == 0
    assert whole_rows(faulty) == before


def test_a_fix_of_some_kinds_leaves_the_others(run: Command, faulty: str, tmp_path: Path) -> None:
    before, backup = whole_rows(faulty), tmp_path / "before.db"
    options = ("--only", "json", "--yes", "--backup", str(backup))
    changed = run("--store", faulty, "--json", "doctor", "--fix", *options).json
    assert (changed["changed"], changed["backup"]) == ([sample_id(2)], str(backup))
    assert whole_rows(f"sqlite:{backup}") == before
    [left] = run("--store", faulty, "--json", "doctor").json["findings"]
    assert (left["kind"], left["count"], left["fixable"], left["examples"]) == ("vector_zero", 1, 1, [sample_id(3)])
    assert run("--store", faulty, "--read-only", "doctor", "--fix", "--yes").status == 3
    assert run("--store", faulty, "doctor", "--yes").status == 2


def test_a_store_that_every_user_can_read_is_told_once(run: Command, sample: str, open_folders: Path) -> None:
    path = Path(sample.removeprefix("sqlite:"))
    path.chmod(0o644)
    files = "store.db and store.db-wal"
    warning = f"Every user of this machine can read {files}. Run chmod 600 on {files}."
    assert run("--store", sample, "list").err.count(warning) == 1
    ran = run("--store", sample, "doctor")
    assert "file_mode: 2 files of the store can be read by every user of this machine. store.db, store.db-wal" in (
        " ".join(ran.out.split())
    )
    assert "Every user" not in ran.err
    path.chmod(0o600)
    assert run("--store", sample, "list").err == ""


def test_an_export_that_every_user_can_read_is_told(run: Command, sample: str, open_folders: Path) -> None:
    path = open_folders / "out.jsonl"
    Path(sample.removeprefix("sqlite:")).chmod(0o600)
    assert "Every user" not in run("--store", sample, "export", str(path)).err
    path.chmod(0o644)
    assert f"Every user of this machine can read {path}" in " ".join(
        run("--store", sample, "export", str(path), "--yes").err.split()
    ).replace(f"{path.parent}/ ", f"{path.parent}/")


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_an_export_that_cannot_be_written_is_one_sentence(
    run: Command, sample: str, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").touch()
    ran = run("--store", sample, "export", str(tmp_path / folder / "out.jsonl"))
    assert ran.status in (1, 3)
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--store", "postgresql://me:hunter2@127.0.0.1:1/x", "list"],
        ["--store", "postgresql://127.0.0.1:1/x?user=me&password=hunter2", "stats"],
        ["migrate", "copy", "--source", "nowhere.db", "--target", "postgresql://me:hunter2@127.0.0.1:1/x"],
    ],
)
def test_a_password_on_the_command_line_is_told(run: Command, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.status == 1
    assert "can see the password on the command line" in " ".join(ran.err.split())
    assert "hunter2" not in ran.err + ran.out


def test_no_password_no_warning(run: Command) -> None:
    assert "password" not in run("--store", "postgresql://me@127.0.0.1:1/x", "list").err
