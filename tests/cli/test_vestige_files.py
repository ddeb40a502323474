"""Commands on files that a Vestige server made, ordinary and hostile ones: read, never written, and copied."""

from __future__ import annotations

import itertools
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.command_line import FORBIDDEN_CHARACTERS, Command
from tests.support.vestige_files import make_line, memory_id

LINES = (14, 18, 40)
QUESTIONS = (
    ["list"], ["list", "--sort", "due"], ["search", "backup", "--mode", "text", "--superseded"], ["due"],
    ["due", "--count"], ["forecast"], ["reviews"], ["stats"], ["registry", "show"], ["schema", "info"],
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("version", LINES)
@pytest.mark.parametrize("hostile", [False, True])
def test_every_question_is_answered_and_nothing_written(
    run: Command, tmp_path: Path, version: int, hostile: bool
) -> None:
    path = make_line(tmp_path / "vestige.db", version, hostile=hostile)
    before = sha256(path.read_bytes()).digest()
    for question in QUESTIONS:
        for options in ([], ["--json"]):
            ran = run("--store", str(path), *options, *question)
            assert ran.status == 0, (question, ran)
            assert not (set(ran.out) | set(ran.err)) & FORBIDDEN_CHARACTERS
    listed = run("--store", str(path), "list", "--superseded", "--limit", "1000", "--json").json["items"]
    others = (["edges"], ["history"], ["neighbors"])
    # Each of these for a third of the memories, another third on each line: the three lines hold the same ones.
    asked = itertools.islice(itertools.cycle(others), LINES.index(version), None)
    for memory in listed if hostile else listed[:3]:
        for question in (["show"], next(asked)):
            ran = run("--store", str(path), *question, "--", memory["id"])
            assert ran.status == 0, (question, memory["id"], ran)
            assert not (set(ran.out) | set(ran.err)) & FORBIDDEN_CHARACTERS
    refused = run("--store", str(path), "--json", "tag", memory_id(0), "+x")
    assert (refused.status, refused.json["error"]["code"]) == (3, "refused")
    assert sha256(path.read_bytes()).digest() == before


@pytest.mark.slow
def test_a_copy_with_failed_rows_ends_with_4(run: Command, tmp_path: Path, postgres_database: str) -> None:
    path = make_line(tmp_path / "vestige.db", 18, hostile=True)
    arguments = ["migrate", "copy", "--sqlite-path", str(path), "--postgres-url", postgres_database]
    ran = run("--json", *arguments)
    assert ran.status == 4, ran
    job = ran.json["job"]
    assert job["status"] == "completed"
    assert sum(table["failed"] for table in job["tables"].values()) > 0
    assert {error["outcome"] for error in job["errors"]} == {"failed"}
    assert "repaired" in {note["outcome"] for note in job["notes"]}
    assert all(
        table["read"] == table["inserted"] + table["present"] + table["failed"] for table in job["tables"].values()
    )
    for told in (run(*arguments), run("jobs", "show", job["id"]), run("jobs", "list")):
        assert not (set(told.out) | set(told.err)) & FORBIDDEN_CHARACTERS
