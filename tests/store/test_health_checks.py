"""What may be the matter with a store: which figures give reason for a sentence, and which do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vestige_tui.core.health import PostgresServer, Session, SqliteFile, TableSize, VectorsHeld
from vestige_tui.store import health_checks
from vestige_tui.store.backends.postgres import PostgresBackend
from vestige_tui.store.backends.sqlite import SqliteBackend

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
SERVER = PostgresServer("18.1", "0.8.5", "0.8.5", "", None, "notes", "me", "UTF8", NOW, False)
FILE = SqliteFile("3.50.4", "/s.db", "-rw-------", "wal", "UTF-8", 4096, 100, 0, 4096)


@pytest.mark.parametrize(
    ("installed", "count"),
    [("", 0), ("0.8.5", 0), ("0.8.4", 0), ("0.9", 0), ("0.8.3", 1), ("0.8.2", 1), ("0.8.1", 2), ("0.8", 2)],
)
def test_old_versions_of_pgvector(installed: str, count: int) -> None:
    found = list(health_checks.of_pgvector(installed, installed))
    assert len(found) == count
    assert all(f"pgvector {installed} can" in each.problem and "0.8.4 or newer" in each.remedy for each in found)


def test_a_newer_pgvector_at_hand_only_has_to_be_brought_in() -> None:
    [found] = health_checks.of_pgvector("0.8.2", "0.8.5")
    assert found.remedy == "The server offers 0.8.5: run ALTER EXTENSION vector UPDATE."


def test_a_store_that_is_well_gives_no_reason() -> None:
    table = TableSize("notes", 8192, 8192, rows=100_000, dead_rows=49_000)
    asleep = Session(7, "psql", "me", "idle", NOW - timedelta(days=2), False)
    assert list(health_checks.of_report(SERVER, None, [table], [asleep], NOW)) == []
    vectors = VectorsHeld(100, 384, 160_000, 10**9)
    assert list(health_checks.of_report(FILE, vectors, None, [], NOW)) == []


def test_dead_rows_are_told_of_where_they_are_many() -> None:
    table = TableSize("notes", 8192, 8192, rows=100_000, dead_rows=60_000)
    [found] = health_checks.of_report(SERVER, None, [table], [], NOW)
    assert found.problem == "notes has 60,000 dead rows and 100,000 live ones."
    assert found.remedy.startswith("Vacuum the store")
    few = replace(table, rows=10, dead_rows=9_000)
    assert list(health_checks.of_report(SERVER, None, [few], [], NOW)) == []


def test_a_transaction_that_somebody_left_open() -> None:
    left = Session(77, "", "me", "idle in transaction", NOW - timedelta(hours=2), False)
    [found] = health_checks.of_report(SERVER, None, None, [left], NOW)
    assert found.problem.startswith("Session 77 has had an idle transaction open for 2 h;")
    assert "pg_terminate_backend(77)" in found.remedy
    spared = [replace(left, mine=True), replace(left, since=NOW - timedelta(minutes=9)), replace(left, since=None)]
    assert list(health_checks.of_report(SERVER, None, None, spared, NOW)) == []


def test_other_encodings_long_logs_and_too_many_vectors() -> None:
    [encoding] = health_checks.of_report(replace(SERVER, encoding="LATIN1"), None, None, [], NOW)
    assert "encoded as LATIN1" in encoding.problem
    crowd = VectorsHeld(0, 384, 0, 10**9, 900_000)
    log, vectors = sorted(
        health_checks.of_report(replace(FILE, wal_bytes=300_000_000), crowd, None, [], NOW),
        key=lambda each: each.remedy,
    )
    assert "grown to 300 MB" in log.problem
    assert "900,000 vectors exceed the limit of 1.0 GB" in vectors.problem
    assert "migrate copy" in vectors.remedy


def test_what_does_not_answer_says_what_to_look_at() -> None:
    for backend, word in ((PostgresBackend, "server"), (SqliteBackend, "file")):
        assert word in backend.capabilities.no_answer_remedy
    assert "waits for job 12" in health_checks.of_index("job 12").problem
    assert "broken" in health_checks.of_index(None).problem
    assert "run CREATE INDEX." in health_checks.of_index(None, exists=False, statement="CREATE INDEX").remedy
    assert "is not the store's b" in health_checks.of_model("a", "b").problem
