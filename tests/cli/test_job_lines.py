"""Jobs as lines of the command line: figures first, then the title, and the rows of ``jobs show``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.job_values import COPY, DELEGATED, NOW, of_kind, with_rows
from vestige_tui.cli.job_lines import advice, commands, line, rows, state, summary
from vestige_tui.cli.jobs import status_of
from vestige_tui.core.jobs import JobProgress, TableProgress
from vestige_tui.jobs.transitions import CANCELLED, LEASE_LOST


def test_figures_come_first() -> None:
    text = line(COPY, NOW)
    assert text == "42 %, 1,234 of 2,931 rows, 512 rows/s, 3.3 s left, copying vectors, copy vestige.db → db1/memories"
    assert line(replace(COPY, cancel_requested=True), NOW) == f"cancelling, {text}"
    ended = replace(COPY, status="completed", progress=JobProgress("done", COPY.progress.tables))
    assert line(ended, NOW) == "verified, 1,234 rows, copy vestige.db → db1/memories"
    assert summary(COPY, NOW).startswith("copy vestige.db → db1/memories, 42 %, ")
    encoding = replace(COPY, kind="reembed", options={"model": "x/MiniLM", "dimension": 96})
    assert line(encoding, NOW).startswith("42 %, 1,234 of 2,931 texts, 512 texts/s, ")


def test_a_silent_worker_is_named_once_its_lease_is_over() -> None:
    late = replace(COPY, last_heartbeat=NOW - timedelta(seconds=65))
    assert COPY.silence(NOW) is None
    assert replace(COPY, last_heartbeat=NOW - timedelta(seconds=30)).silence(NOW) is None
    assert (late.silence(NOW), state(late, NOW)) == (65.0, "no heartbeat for 1 min")
    assert line(late, NOW).startswith("no heartbeat for 1 min, 42 %, 1,234 of 2,931 rows")
    assert advice(late, NOW) == "`vestige-tui jobs retry 3e386abc` takes it over from its last checkpoint."
    assert advice(COPY, NOW) == ""
    # A job that no worker ever took over has only its beginning.
    assert replace(COPY, last_heartbeat=None).silence(NOW) == 120.0


def test_work_of_agents_is_listed_with_heartbeat_and_deadline() -> None:
    assert line(DELEGATED, NOW) == "seen 1 s ago, due in 5 h 12 min, reindex the docs"
    stuck = replace(DELEGATED, status="stuck", last_heartbeat=NOW - timedelta(minutes=12))
    assert line(stuck, NOW) == "stuck 12 min, due in 5 h 12 min, reindex the docs"
    late = replace(DELEGATED, status="queued", last_heartbeat=None, deadline=NOW - timedelta(hours=2))
    assert summary(late, NOW) == "reindex the docs, overdue by 2 h"


@pytest.mark.parametrize(
    ("error", "word", "end"),
    [
        (CANCELLED, "cancelled", "memories"),
        (LEASE_LOST, "failed", "memories: Its worker sent no heartbeat, and another attempt took over."),
        ("postgresql://me:secret@db/x is away.", "failed", "memories: postgresql://me:***@db/x is away."),
    ],
)
def test_a_failure_ends_the_line_with_its_reason(error: str, word: str, end: str) -> None:
    failed = replace(COPY, status="failed", error=error)
    assert state(failed, NOW) == word
    assert line(failed, NOW).endswith(end)
    assert summary(failed, NOW).endswith("rows" if error == CANCELLED else end.removeprefix("memories"))
    assert advice(failed, NOW) == "`vestige-tui jobs retry 3e386abc` continues from its last checkpoint."


def test_differing_rows_are_listed_and_failed_ones_named_by_the_state() -> None:
    compared = of_kind("verify", "completed")
    table = TableProgress(9, differ=1, only_target=2, failed=1)
    assert line(with_rows(compared, table), NOW).startswith("3 differences, 9 rows, 1 failed, 1 differ, 2 only in targ")
    assert line(with_rows(compared, TableProgress(9, failed=1)), NOW).startswith("1 failed row, 9 rows, verify ")
    assert line(with_rows(of_kind("copy", "failed"), TableProgress(9, failed=1)), NOW).startswith("failed, 9 rows, 1 f")


def test_rows_of_one_job() -> None:
    resumed = replace(COPY, tries=2, options={"batch": 500}, last_heartbeat=NOW - timedelta(seconds=4))
    shown = dict(rows(resumed, NOW))
    assert shown.pop("resumed").endswith(", attempt 2")
    assert shown.pop("heartbeat").startswith("4 s ago, at ")
    assert shown == {
        "id": COPY.id,
        "job": "copy vestige.db → db1/memories",
        "state": "running, copying vectors",
        "started": "2 min ago",
        "from": COPY.source,
        "to": COPY.target,
        "how": "500 rows per batch",
    }
    given = dict(rows(DELEGATED, NOW))
    assert (given["job"], given["agent"], given["retries"]) == ("reindex the docs", DELEGATED.callee, "none")
    # A task that is the title is not repeated.
    assert "task" not in given


def test_commands_can_be_pasted_into_a_shell() -> None:
    spaced = replace(COPY, source="sqlite:/srv/it's here.db", target="postgresql://me:secret@db/x")
    words = shlex.split(commands(spaced)["verify"].strip("`"))
    assert words[1:] == ["migrate", "verify", "--source", spaced.source, "--target", "postgresql://me:***@db/x"]
    compared = with_rows(of_kind("verify", "completed"), TableProgress(9, differ=1))
    assert advice(compared, NOW) == f"{commands(compared)['verify']} compares again."


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
    ended = with_rows(replace(of_kind(kind, "completed"), options=options), table)
    assert status_of(ended) == status
    assert status_of(replace(ended, status="failed")) == 1
