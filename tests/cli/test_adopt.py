"""The command `adopt`: preview, adoption, ordinary commands on the file afterwards, and its undo."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.rebuilt_tables import rebuild
from tests.support.vestige_files import make_line, memory_id


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_line(tmp_path / "vestige.db", 18, 12)


def test_a_preview_names_what_is_added_and_writes_nothing(run: Command, file: Path) -> None:
    before = sha256(file.read_bytes()).digest()
    ran = run("--store", str(file), "adopt", "--dry-run")
    assert ran.status == 0
    for said in ("Vestige V18 with 12 memories", "owner_user_id", "review_events", "A backup is written first"):
        assert said in ran.out
    assert run("--store", str(file), "adopt", "--dry-run", "--json").json["changed"] == []
    assert sha256(file.read_bytes()).digest() == before
    assert [path.name for path in file.parent.glob("vestige.db.before*")] == []


def test_an_adopted_file_takes_every_change_and_undoing_keeps_what_the_server_knows(run: Command, file: Path) -> None:
    refused = run("--store", str(file), "--json", "tag", memory_id(1), "+seen")
    assert (refused.status, "adopt" in refused.json["error"]["message"]) == (3, True)
    adopted = run("--store", str(file), "--json", "adopt").json
    assert adopted["rows"]["knowledge_nodes"] == 12
    assert Path(adopted["backup"]).stat().st_mode & 0o777 == 0o600
    for command in (
        ["tag", memory_id(1), "+seen"],
        ["edit", memory_id(1), "--codebase", "harbour"],
        ["review", memory_id(1), "good"],
        ["suspend", memory_id(2)],
        ["supersede", memory_id(3), "--by", memory_id(4)],
        ["link", memory_id(5), memory_id(9), "--type", "supports"],
        ["delete", memory_id(6), "--yes"],
    ):
        ran = run("--store", str(file), *command)
        assert ran.status == 0, (command, ran)
    [shown] = [run("--store", str(file), "--json", "show", memory_id(1)).json["memory"]]
    assert (shown["codebase"], "seen" in shown["tags"]) == ("harbour", True)
    assert run("--store", str(file), "adopt").out.endswith("is adopted already; nothing is missing.\n")
    kept = run("--store", str(file), "--json", "adopt", "--undo")
    assert (kept.status, kept.json["error"]["code"]) == (3, "refused")
    assert "1 review of the log" in kept.json["error"]["message"]
    undone = run("--store", str(file), "--json", "adopt", "--undo", "--yes")
    assert undone.status == 0, undone
    with closing(sqlite3.connect(file)) as server:
        tags, reps, replaced = server.execute(
            "SELECT n.tags, n.reps, (SELECT superseded_by FROM knowledge_nodes WHERE id = ?) "
            "FROM knowledge_nodes n WHERE n.id = ?",
            (memory_id(3), memory_id(1)),
        ).fetchone()
        assert "seen" in tags
        assert reps == shown["scheduling"]["reps"]
        assert replaced == memory_id(4)
        tables = {name for (name,) in server.execute("SELECT name FROM sqlite_master")}
        assert not tables & {"journal", "review_events", "console_adoption", "users"}


@pytest.mark.parametrize("case", ["ours", "missing", "a server", "read-only"])
def test_what_cannot_be_adopted_is_refused(run: Command, file: Path, tmp_path: Path, case: str) -> None:
    store, options = str(file), []
    if case == "ours":
        store = str(tmp_path / "ours.db")
        assert run("--store", store, "add", "A note.").status == 0
    elif case == "missing":
        store = str(tmp_path / "nothing.db")
    elif case == "a server":
        store = "postgresql://localhost/none"
    else:
        options = ["--read-only"]
    ran = run("--store", store, *options, "--json", "adopt")
    assert ran.status in (1, 3), ran
    assert ran.json["error"]["message"]
    assert not (tmp_path / "nothing.db").exists()


def test_undoing_an_adoption_writes_a_backup_first_and_restore_puts_it_back(
    run: Command, file: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.db"
    assert run("--store", str(file), "adopt", "--backup", str(saved)).status == 2
    assert run("--store", str(file), "adopt").status == 0
    assert run("--store", str(file), "review", memory_id(1), "good").status == 0
    refused = run("--store", str(file), "--json", "adopt", "--undo", "--backup", str(saved))
    assert (refused.status, saved.exists()) == (3, False)
    undone = run("--store", str(file), "--json", "adopt", "--undo", "--yes", "--backup", str(saved))
    assert (undone.status, undone.json["backup"]) == (0, str(saved))
    again = run("--store", str(file), "--json", "adopt", "--undo", "--yes", "--backup", str(saved))
    assert (again.status, again.json["error"]["code"]) == (3, "refused")
    assert run("--store", str(file), "restore", str(saved), "--yes").status == 0
    assert len(run("--store", str(file), "--json", "show", memory_id(1)).json["reviews"]) == 1


def test_a_file_that_its_server_has_rebuilt_is_told_plainly_and_adopted_again(run: Command, file: Path) -> None:
    original = Path(run("--store", str(file), "--json", "adopt").json["backup"])
    assert run("--store", str(file), "review", memory_id(1), "good").status == 0
    rebuild(file, original, ["knowledge_nodes"], 36)
    assert run("--store", str(file), "--json", "list", "--codebase", "quay").json["items"] == []
    refused = run("--store", str(file), "--json", "tag", memory_id(1), "+seen")
    assert (refused.status, refused.json["error"]["code"]) == (3, "refused")
    for words in ("its server has rebuilt it since the adoption", "adopt it again"):
        assert words in refused.json["error"]["message"]
    original.rename(original.with_name("first.db"))
    assert "It was adopted before" in run("--store", str(file), "adopt", "--dry-run").out
    assert run("--store", str(file), "adopt").status == 0
    assert len(run("--store", str(file), "--json", "show", memory_id(1)).json["reviews"]) == 1
    assert run("--store", str(file), "tag", memory_id(1), "+seen").status == 0
