"""Commands on files that are damaged, empty, or not their own any more."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import Command, sample_id


@pytest.fixture
def damaged(sample: str) -> Path:
    """The sample store with a page of zeros in the root of its delegations, which none of these commands reads."""
    path = Path(sample.removeprefix("sqlite:"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'delegations'").fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA journal_mode = WAL")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    return path


WRITES = (
    ["add", "one more"], ["edit", sample_id(0), "--content", "another text"], ["tag", sample_id(0), "+more"],
    ["delete", sample_id(3)], ["undo"], ["review", sample_id(0), "good"], ["link", sample_id(2), sample_id(3)],
    ["supersede", sample_id(3), "--by", sample_id(2)], ["vacuum"],
)  # fmt: skip


@pytest.mark.parametrize("arguments", WRITES, ids=lambda each: each[0])
def test_no_command_writes_into_a_damaged_file(run: Command, damaged: Path, arguments: list[str]) -> None:
    before = damaged.read_bytes()
    ran = run("--store", str(damaged), "--json", *arguments)
    assert (ran.status, ran.json["error"]["code"]) == (1, "unavailable")
    assert "is damaged" in ran.err
    assert "nothing was written" in ran.err
    assert damaged.read_bytes() == before
    assert run("--store", str(damaged), "search", "keys", "--mode", "text").status == 0


def test_no_import_goes_into_a_damaged_file(run: Command, damaged: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps({"content": "one more"}))
    ran = run("--store", str(damaged), "import", str(file))
    assert ran.status == 1
    assert "is damaged" in ran.err


@pytest.mark.parametrize("arguments", [["search", "x"], ["list"], ["stats"], ["due"], ["schema", "info"], ["undo"]])
def test_no_command_but_one_that_creates_makes_a_store_of_an_empty_file(
    run: Command, tmp_path: Path, arguments: list[str]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    path = folder / "empty.db"
    path.touch()
    ran = run("--store", str(path), *arguments)
    assert ran.status == (0 if arguments[0] == "schema" else 3)
    assert [each.name for each in folder.iterdir()] == ["empty.db"]
    assert not path.stat().st_size


def test_a_log_of_another_file_is_told_and_left_out(run: Command, sample: str, tmp_path: Path) -> None:
    path, other = Path(sample.removeprefix("sqlite:")), tmp_path / "other.db"
    assert run("--store", str(other), "add", "of another store").status == 0
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE knowledge_nodes SET content = content || ' edited'")
        connection.commit()
        log = Path(f"{path}-wal").read_bytes()
    before = other.read_bytes()
    Path(f"{other}-wal").write_bytes(log)
    ran = run("--store", str(other), "list")
    assert (ran.status, "of another store" in ran.out) == (0, True)
    assert "other.db-wal was written for another file than this other.db" in ran.err
    assert run("--store", str(other), "add", "not here").status == 3
    assert "was written for another file" in " ".join(run("--store", str(other), "doctor").out.split())
    assert (other.read_bytes(), Path(f"{other}-wal").read_bytes()) == (before, log)
