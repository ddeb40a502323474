"""``migrate verify``: what it prints, and how it ends."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.command_line import HOSTILE, SENTENCES, Command, sample_id
from tests.support.terminal import Terminal, isolated_env
from tests.support.vestige_files import make_v18

OWN = "00000000-0000-4000-8000-0000000000bb"
NOTHING = {"differ": 0, "only_source": 0, "only_target": 0}


@pytest.fixture
def copied(sample: str, tmp_path: Path, run: Command) -> tuple[str, str]:
    """A store and its copy."""
    target = f"sqlite:{tmp_path / 'target.db'}"
    assert run("migrate", "copy", "--source", sample, "--target", target, "--no-verify").status == 0
    return sample, target


def change(url: str, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        assert connection.execute(sql, values).rowcount == 1


@pytest.mark.slow
def test_equal_stores_end_with_0(copied: tuple[str, str], run: Command) -> None:
    source, target = copied
    ran = run("migrate", "verify", "--source", source, "--target", target, "--json")
    assert (ran.status, ran.json["equal"], ran.json["differences"]) == (0, True, [])
    assert ran.json["tables"]["memories"] == {"compared": len(SENTENCES), **NOTHING}
    assert ran.err.startswith("The comparison has started, as job ")
    ran = run("migrate", "verify", "--source", source, "--target", target)
    assert ran.status == 0
    assert ran.out.rstrip().endswith("Every row is the same in both stores.")


@pytest.mark.slow
def test_stores_that_differ_end_with_1(copied: tuple[str, str], run: Command) -> None:
    source, target = copied
    change(
        target,
        "UPDATE knowledge_nodes SET codebase = ? WHERE id = ?",
        HOSTILE.replace("\0", "").replace("\ud800", ""),
        sample_id(1),
    )
    change(target, "DELETE FROM knowledge_nodes WHERE id = ?", sample_id(4))
    change(source, "DELETE FROM knowledge_nodes WHERE id = ?", sample_id(3))
    ran = run("migrate", "verify", "--source", source, "--target", target, "--json")
    assert (ran.status, ran.json["equal"]) == (1, False)
    tables = ran.json["tables"]
    assert tables["memories"] == {"compared": len(SENTENCES) - 1, "differ": 1, "only_source": 1, "only_target": 1}
    found = {(each["table"], each["kind"], each["row"]): each["reason"] for each in ran.json["differences"]}
    assert found["memories", "only_target", sample_id(3)] == "The source does not have it."
    assert found["memories", "only_source", sample_id(4)] == "The target does not have it."
    reason = found["memories", "differs", sample_id(1)]
    assert reason.startswith("Codebase and updated at differ: codebase is nothing in the source, ")
    assert "\x1b" not in ran.out
    ran = run("migrate", "verify", "--source", source, "--target", target)
    assert ran.status == 1
    assert "\x1b" not in ran.out
    assert "Codebase and updated at differ" in ran.out
    assert ran.out.endswith("2 only in target; the findings list them.\n")


@pytest.mark.slow
def test_rows_that_no_copy_can_bring_are_no_differences(run: Command, tmp_path: Path, postgres_database: str) -> None:
    path = make_v18(tmp_path / "vestige.db", 6, hostile=True)
    both = ("--sqlite-path", str(path), "--postgres-url", postgres_database)
    assert run("migrate", "copy", *both, "--no-verify").status == 4
    ran = run("migrate", "verify", *both)
    assert ran.status == 0
    assert ran.out.endswith("rows could not be copied; the findings say why.\n")
    assert "It contains values that are not finite." in ran.out
    ran = run("migrate", "verify", *both, "--json")
    assert (ran.status, ran.json["equal"], ran.json["differences"]) == (0, True, [])


@pytest.mark.slow
def test_where_nothing_can_be_noted_the_command_compares_by_itself(
    sample: str, run: Command, postgres_database: str
) -> None:
    both = ("--source", sample, "--target", postgres_database)
    assert run("migrate", "copy", *both, "--no-verify").status == 0
    join = "&" if "?" in postgres_database else "?"
    only_read = f"{postgres_database}{join}options=-cdefault_transaction_read_only%3Don"
    for arguments in (("--source", sample, "--target", only_read), (*both, "--read-only")):
        ran = run("migrate", "verify", *arguments, "--json")
        assert (ran.status, ran.json["equal"]) == (0, True)
        assert ran.json["tables"]["memories"] == {"compared": len(SENTENCES), **NOTHING}
        assert "This command compares the stores itself." in ran.err
        detached = run("migrate", "verify", *arguments, "--detach")
        assert detached.status == 3
        assert ("remove one of the two" in detached.err) == ("--read-only" in arguments)
    jobs = run("jobs", "list", "--store", postgres_database, "--json").json["items"]
    assert [each["kind"] for each in jobs] == ["copy"]


@pytest.mark.slow
def test_a_comparison_can_be_left_alone(copied: tuple[str, str], run: Command) -> None:
    source, target = copied
    ran = run("migrate", "verify", "--source", source, "--target", target, "--detach", "--json")
    assert ran.status == 0
    job = ran.json["job"]
    assert job["kind"] == "verify"
    ended = run("jobs", "watch", job["id"], "--store", target)
    assert ended.status == 0
    assert "verified, all equal" in ended.out


@pytest.mark.slow
def test_what_would_be_compared_is_counted(copied: tuple[str, str], run: Command) -> None:
    source, target = copied
    ran = run("migrate", "verify", "--source", source, "--target", target, "--dry-run")
    assert ran.status == 0
    rows = dict(line.split() for line in ran.out.splitlines()[1:])
    assert rows["memories"] == str(len(SENTENCES))
    assert [each["kind"] for each in run("jobs", "list", "--store", target, "--json").json["items"]] == ["copy"]


def test_what_is_missing_is_said(sample: str, run: Command, tmp_path: Path) -> None:
    ran = run("migrate", "verify", "--store", sample)
    assert ran.status == 2
    assert "A comparison needs a store to compare with; use --postgres-url URL or --target URL." in ran.err
    ran = run("migrate", "verify", "--source", sample, "--target", str(tmp_path / "nowhere.db"), "--json")
    assert (ran.status, ran.json["error"]["code"]) == (1, "unavailable")
    ran = run("migrate", "verify", "--source", sample, "--target", sample)
    assert ran.status == 2
    assert "are the same store" in ran.err


def spoil(target: str) -> None:
    """Make one row differ, one missing, and one the target's own."""
    change(target, "UPDATE knowledge_nodes SET codebase = 'other' WHERE id = ?", sample_id(1))
    change(target, "DELETE FROM knowledge_nodes WHERE id = ?", sample_id(4))
    change(
        target,
        "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) SELECT ?, 'own', created_at, updated_at"
        " FROM knowledge_nodes WHERE id = ?",
        OWN,
        sample_id(1),
    )


def contents(url: str) -> dict[str, tuple[str, str | None]]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
        rows = connection.execute("SELECT id, content, codebase FROM knowledge_nodes")
        return {str(each): (str(content), codebase) for each, content, codebase in rows}


@pytest.mark.slow
def test_a_repair_brings_what_differs(copied: tuple[str, str], run: Command) -> None:
    source, target = copied
    spoil(target)
    both = ("--source", source, "--target", target, "--repair")
    ran = run("migrate", "verify", *both, "--yes", "--json")
    assert (ran.status, ran.json["equal"]) == (1, False)
    assert ran.json["tables"]["memories"] == {
        "compared": len(SENTENCES),
        "differ": 0,
        "only_source": 0,
        "only_target": 1,
    }
    assert ran.json["repaired"]["updated"] == 1
    assert ran.json["repaired"]["inserted"] >= 1
    assert ran.json["repaired"]["deleted"] == ran.json["repaired"]["failed"] == 0
    assert [(each["kind"], each["row"]) for each in ran.json["differences"]] == [("only_target", OWN)]
    assert "1 row exists only in the target and is kept; --repair --delete deletes it." in ran.err
    assert contents(target) == {**contents(source), OWN: ("own", None)}
    ran = run("migrate", "verify", *both, "--delete", "--yes")
    assert ran.status == 0
    assert "Repaired: 0 inserted, 0 updated, 1 deleted, 0 failed." in ran.out
    assert ran.out.rstrip().endswith("Every row is the same in both stores.")
    assert contents(target) == contents(source)
    # There is nothing left to do, and so nothing to begin.
    ran = run("migrate", "verify", *both, "--delete", "--yes", "--json")
    assert (ran.status, ran.json["equal"], "repaired" in ran.json) == (0, True, False)


@pytest.mark.slow
def test_a_repair_changes_nothing_unasked(copied: tuple[str, str], run: Command) -> None:
    source, target = copied
    spoil(target)
    before = contents(target)
    both = ("--source", source, "--target", target)
    ran = run("migrate", "verify", *both, "--repair", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (3, "refused")
    assert "--yes" in ran.json["error"]["message"]
    ran = run("migrate", "verify", *both, "--repair", "--read-only", "--yes")
    assert ran.status == 3
    ran = run("migrate", "verify", *both, "--repair", "--dry-run")
    assert ran.status == 1
    assert "Codebase" in ran.out
    assert run("migrate", "verify", *both, "--delete").status == 2
    assert run("migrate", "verify", *both, "--repair", "--detach", "--yes").status == 2
    assert contents(target) == before
    kinds = [each["kind"] for each in run("jobs", "list", "--store", target, "--json").json["items"]]
    assert kinds == ["verify", "copy"]


@pytest.mark.slow
@pytest.mark.terminal
def test_a_repair_at_a_terminal_shows_first_what_it_would_do(copied: tuple[str, str], tmp_path: Path) -> None:
    source, target = copied
    spoil(target)
    before = contents(target)
    command = [sys.executable, "-m", "vestige_tui", "migrate", "verify", "--source", source, "--target", target]
    for answer, status in (("n", 1), ("y", 0)):
        with Terminal([*command, "--repair", "--delete"], env=isolated_env(tmp_path)) as terminal:
            terminal.until("[y/N]")
            assert "Codebase and updated at differ" in terminal.text
            assert "overwrite 1 row and delete 1 row in the target? [y/N]" in terminal.text
            assert contents(target) == before
            terminal.send(f"{answer}\n")
            assert terminal.wait() == status
    assert contents(target) == contents(source)


@pytest.mark.slow
def test_what_no_copy_can_bring_is_no_failure_of_a_repair(run: Command, tmp_path: Path, postgres_database: str) -> None:
    path = make_v18(tmp_path / "vestige.db", 6, hostile=True)
    both = ("--sqlite-path", str(path), "--postgres-url", postgres_database)
    assert run("migrate", "copy", *both, "--no-verify").status == 4
    with psycopg.connect(postgres_database) as server:
        first = "(SELECT min(id::text)::uuid FROM knowledge_nodes)"
        server.execute(f"UPDATE knowledge_nodes SET content = 'another' WHERE id = {first}".encode())
    ran = run("migrate", "verify", *both, "--repair", "--yes", "--json")
    assert (ran.status, ran.json["equal"], ran.json["differences"]) == (0, True, [])
    assert ran.json["repaired"] == {"inserted": 0, "updated": 1, "deleted": 0, "failed": 0}
