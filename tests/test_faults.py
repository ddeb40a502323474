"""The runner of the faults: it knows those of docs/faults.md, and reports one that fails."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults import __main__ as runner
from tests.faults.lab import Lab
from tests.faults.registry import FAULTS, Attempt, Fault, FaultResult, sentence_fault, summarize
from tests.faults.rows import against_acknowledged, lost_and_doubled, row_digests
from tests.support.full_store import fill
from tests.support.source_tree import ROOT

ROW = re.compile(r"\| (\d+) \| ([^|]+) \| [^|]+ \| [^|]+ \| `(\w+)` \|")


def result(message: str = "The store is busy; try again.", *, lost: int = 0, doubled: int = 0) -> FaultResult:
    return FaultResult(3, lost, doubled, message)


def test_the_page_lists_the_faults_that_are_provoked() -> None:
    runner.load_faults()
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = [(int(number), title, function) for number, title, function in ROW.findall(page)]
    assert len(rows) == sum(line.startswith("| ") for line in page.splitlines()) - 1
    assert rows == [(number, FAULTS[number].title, FAULTS[number].function) for number in sorted(FAULTS)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_cheap_faults_are_provoked(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    command = [sys.executable, "-m", "tests.faults", "--only", "7,13", "--json", str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json.loads(table.read_text(encoding="utf-8"))
    assert [(line["number"], line["state"], line["lost"], line["doubled"]) for line in lines] == [
        (7, "ok", 0, 0),
        (13, "ok", 0, 0),
    ]
    assert all(line["message"] in done.stdout and line["tries"] >= 10 for line in lines)


@pytest.mark.parametrize(
    ("provoked", "reason"),
    [
        (result(lost=1), "1 lost, 0 doubled"),
        (result(doubled=2), "0 lost, 2 doubled"),
        (result(""), "no sentence"),
        (result("Unexpected error (OSError)."), "an error of the program"),
        (result("One paragraph.\n\nAnother one."), "several paragraphs"),
        (result("A \x1b[31mred\x1b[0m sentence."), "control characters"),
        (FaultResult(0, 0, 0, "Nothing happened."), "nothing was tried"),
        (AssertionError("the file was changed"), "AssertionError: the file was changed"),
    ],
)
def test_a_fault_that_fails_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    provoked: FaultResult | Exception,
    reason: str,
) -> None:
    def provoke(lab: Lab) -> FaultResult:
        if isinstance(provoked, Exception):
            raise provoked
        return provoked

    faults = {1: Fault(1, "a fault that is survived", lambda lab: result()), 2: Fault(2, "one that is not", provoke)}
    monkeypatch.setattr(runner, "FAULTS", faults)
    monkeypatch.setattr(runner, "load_faults", lambda: None)
    monkeypatch.setattr(runner, "set_up_environment", lambda folder: None)
    assert runner.main([]) == 1
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if re.search(r" ok\b", line)] == ["1"]
    assert [line.split()[0] for line in out.splitlines() if re.search(r" FAILED\b", line)] == ["2"]
    assert reason in out
    assert runner.main(["--only", "1"]) == 0


def test_a_fault_without_its_means_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.registry.is_met", lambda requirement: requirement != "root")
    fault = Fault(1, "a fault", lambda lab: result(), needs=("root", "tmux"))
    assert runner.provoke(fault, Lab(Path())).state == "needs root"


def test_a_fault_that_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FAULT_SECONDS", 1)

    def hang(lab: Lab) -> FaultResult:
        subprocess.run(["sleep", "150"], check=True)
        raise AssertionError("the time limit did not hold")

    line = runner.provoke(Fault(1, "a fault", hang), Lab(Path()))
    assert line.state == "FAILED"
    assert line.reason.startswith("TimeoutError: not done after 1 s")


async def test_lost_doubled_and_altered_rows_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(path, 12, dimension=8)
    whole = row_digests(f"sqlite:{path}")
    assert lost_and_doubled(whole, row_digests(f"sqlite:{path}")) == (0, 0)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM review_marks")
        connection.execute(
            "INSERT INTO review_events SELECT NULL, memory_id, timestamp, rating, prior_state, new_state,"
            " undoes, weights_hash FROM review_events LIMIT 1"
        )
        connection.execute("UPDATE node_embeddings SET embedding = zeroblob(32) WHERE seq = 1")
    # A review is compared by its time as well, and an altered vector is one row lost and another one there.
    assert lost_and_doubled(whole, row_digests(f"sqlite:{path}")) == (2, 3)
    texts = Counter({"acknowledged": 1, "twice": 2, "not acknowledged": 1})
    assert against_acknowledged(["acknowledged", "twice", "missing"], texts) == (1, 1)


def test_the_first_message_that_is_no_sentence_stands_for_all() -> None:
    summary = summarize([Attempt("Fine."), Attempt("Traceback (most recent call last)", 1), Attempt("", 0, 2)])
    assert summary == FaultResult(3, 1, 2, "Traceback (most recent call last)")
    assert sentence_fault("The file store.db is damaged; open a backup.") == ""
