"""Commands that wait for a store say so on stderr."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from tests.support.command_line import Command
from tests.support.stopped import writer_of
from vestige_tui.cli import waits as cli_waits
from vestige_tui.store import waits


@pytest.fixture(autouse=True)
def waits_are_noted_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "SHOWN_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(waits, "EXPLAINED_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(cli_waits, "POLL_SECONDS", 0.05)


@pytest.mark.slow
def test_a_command_that_waits_for_a_lock_says_who_holds_it(run: Command, postgres_database: str) -> None:
    url = f"{postgres_database}&options=-clock_timeout%3D3000"
    assert run("--store", url, "schema", "up").status == 0
    with psycopg.connect(postgres_database, application_name="night report") as other:
        other.execute("LOCK TABLE knowledge_nodes IN ACCESS EXCLUSIVE MODE")
        session = other.info.backend_pid
        waited = run("--store", url, "list")
    assert f"Waiting for a lock held by session {session} (night report, user " in waited.err
    assert "ctrl-C cancels." in waited.err
    assert (waited.status, waited.out) == (1, "")
    assert f"is locked by session {session} (night report" in waited.err
    quick = run("--store", url, "list")
    assert (quick.status, quick.err.count("Waiting")) == (0, 0)


@pytest.mark.slow
def test_a_command_that_waits_for_a_file_says_so(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    assert run("--store", str(path), "add", "the first").status == 0
    with writer_of(path) as pid:
        waited = run("--store", str(path), "add", "never written")
    assert len(re.findall(rf"Waiting \d+ s for an answer from {path}\. ctrl-C cancels\.", waited.err)) == 1
    assert f"is locked by process {pid} (" in waited.err
    assert waited.status == 1
