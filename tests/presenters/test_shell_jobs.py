"""Jobs in words: figures first, no stored word where a person needs another one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vestige_tui.cli.jobs import status_of
from vestige_tui.core.jobs import Job, JobProgress, TableProgress
from vestige_tui.presenters.shell_jobs import line, state, summary, title, trouble, way_on, where

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FOLDER = "/srv/agents/somewhere/far/below/everything/else/that/anybody/would/name"
RUNNING = Job(
    "3e386abc-0000-4000-8000-000000000000",
    "copy",
    "in_progress",
    "postgresql://me@db1.example.org/memories",
    source=f"sqlite:{FOLDER}/vestige.db",
    target="postgresql://me@db1.example.org/memories",
    plan="p",
    progress=JobProgress("copying vectors", {"vectors": TableProgress(1_234, total=2_931)}, rate=512.4, eta=3.3),
    created_at=NOW - timedelta(minutes=2),
    last_heartbeat=NOW - timedelta(seconds=1),
)


def test_what_matters_comes_first() -> None:
    told = line(RUNNING, NOW)
    assert told == (
        "42 %, 1,234 of 2,931 rows, 512 rows/s, 3.3 s left, copying vectors, copy vestige.db → db1.example.org/memories"
    )
    stopping = line(replace(RUNNING, cancel_requested=True), NOW)
    assert stopping == f"stopping, {told}"
    ended = replace(RUNNING, status="completed", progress=JobProgress("done", RUNNING.progress.tables))
    assert line(ended, NOW) == "completed, 1,234 rows, copy vestige.db → db1.example.org/memories"
    assert summary(RUNNING, NOW).startswith("copy vestige.db → db1.example.org/memories, 42 %, ")


def test_a_worker_that_is_gone_is_told_of_once_its_lease_is_over() -> None:
    late = replace(RUNNING, last_heartbeat=NOW - timedelta(seconds=65))
    assert RUNNING.silence(NOW) is None
    assert replace(RUNNING, last_heartbeat=NOW - timedelta(seconds=30)).silence(NOW) is None
    assert (late.silence(NOW), state(late, NOW)) == (65.0, "no sign of life for 1 min")
    assert line(late, NOW).startswith("no sign of life for 1 min, 42 %, 1,234 of 2,931 rows")
    assert way_on(late, NOW) == "`vestige-tui jobs retry 3e386abc` goes on from the checkpoint"
    assert way_on(RUNNING, NOW) == ""
    # One that nobody ever took over has only its beginning.
    assert replace(RUNNING, last_heartbeat=None).silence(NOW) == 120.0
    # An agent may be as silent as it likes: the ledger decides when its work is stuck.
    assert state(replace(late, kind="delegation", plan=None), NOW) == "in progress"


@pytest.mark.parametrize(
    ("error", "stands", "why"),
    [
        ("cancelled", "cancelled", ""),
        ("lease lost", "failed", "its worker was lost (no sign of life)"),
        ("deadline exceeded by sweeper", "failed", "it did not end before its deadline"),
        ("postgresql://me:secret@db/x is away.", "failed", "postgresql://me:***@db/x is away."),
    ],
)
def test_words_of_the_ledger_are_put_into_words_for_people(error: str, stands: str, why: str) -> None:
    failed = replace(RUNNING, status="failed", error=error)
    assert (state(failed, NOW), trouble(failed)) == (stands, why)
    assert way_on(failed, NOW)


def test_stores_go_by_short_names_that_differ() -> None:
    assert where("postgresql://me:secret@db1:5433/memories?sslmode=require") == "db1:5433/memories"
    assert where("pgembed:/var/lib/memories/") == "memories"
    twins = replace(RUNNING, source="sqlite:/a/old/store.db", target="sqlite:/a/new/store.db")
    assert title(twins) == "copy old/store.db → new/store.db"
    assert title(replace(twins, kind="verify")) == "compare old/store.db with new/store.db"
    options = {"model": "BAAI/bge-small-en-v1.5", "dimension": 128}
    again = replace(RUNNING, kind="reembed", source=RUNNING.target, options=options)
    assert title(again) == "re-embed db1.example.org/memories → bge-small-en-v1.5 (128 dimensions)"
    assert title(replace(again, options={**options, "rollback": True})).startswith("roll back db1.example.org/memories")
    assert title(replace(RUNNING, plan=None, task="reindex\x1b[2J")) == "reindex\ufffd[2J"


@pytest.mark.parametrize(
    ("kind", "options", "table", "status"),
    [
        ("copy", {}, TableProgress(9, 9), 0),
        ("copy", {}, TableProgress(9, 8, failed=1), 4),
        ("copy", {}, TableProgress(9, 8, failed=1, differ=1), 1),
        ("copy", {}, TableProgress(9, 9, only_target=1), 1),
        ("copy", {"verify": False}, TableProgress(9, 9, differ=1), 0),
        ("verify", {}, TableProgress(9, only_source=1), 1),
        ("verify", {}, TableProgress(9, failed=1), 0),
    ],
)
def test_the_exit_status_tells_of_differences(
    kind: str, options: dict[str, object], table: TableProgress, status: int
) -> None:
    ended = replace(RUNNING, kind=kind, status="completed", options=options, progress=JobProgress("", {"x": table}))
    assert status_of(ended) == status
    assert status_of(replace(ended, status="failed")) == 1
