"""Results and problems of jobs as sentences, and what can be done about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.job_values import COPY, DELEGATED, KINDS, NOW, of_kind, with_rows
from vestige_tui.core.jobs import DELEGATION, Job, TableProgress
from vestige_tui.jobs.transitions import CANCELLED, GIVEN_UP, LEASE_LOST, OVERDUE
from vestige_tui.presenters.job_actions import (
    cancel_sentence,
    fail_sentence,
    next_actions,
    reasons_against,
    retry_sentence,
)
from vestige_tui.presenters.job_outcome import (
    comparison_result,
    end_sentence,
    failure_reason,
    later_run_sentence,
    start_sentence,
    status_sentence,
)
from vestige_tui.presenters.style import Sentence

KEYS = {"retry": "R", "fail": "F", "verify": "v", "copy": "c", "cancel": "x"}
SILENT = replace(COPY, last_heartbeat=NOW - timedelta(minutes=12))
STUCK = replace(DELEGATED, status="stuck", last_heartbeat=NOW - timedelta(minutes=12))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LEASE_LOST, "Its worker sent no heartbeat, and another attempt took over."),
        (OVERDUE, "It missed its deadline."),
        (GIVEN_UP, "A user marked it as failed."),
        ("retried as 5a3c9d6a-1f0b-4b2b-9a10-4b7f22f03c5e", "It was queued again, as 5a3c9d6a."),
        ("postgresql://me:secret@db/x is aw\x1bay.", "postgresql://me:***@db/x is aw\ufffday."),
        (None, "It gave no reason for its failure."),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_failure_is_a_sentence(kind: str, error: str | None, reason: str) -> None:
    failed = replace(of_kind(kind, "failed"), error=error)
    assert failure_reason(failed) == reason
    assert status_sentence(failed, NOW) == Sentence(reason, "bad")
    assert end_sentence(failed).text.endswith(f" failed: {reason}")


@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_work_keeps_its_rows(kind: str) -> None:
    job = replace(of_kind(kind, "failed"), error=CANCELLED)
    assert status_sentence(job, NOW) == Sentence("A user cancelled it; everything written until then is kept.")
    assert end_sentence(job).text.endswith(" was cancelled; everything written until then is kept.")


@pytest.mark.parametrize(
    ("kind", "table", "sentence"),
    [
        ("copy", TableProgress(9, 9), "Every row that was read is in the target."),
        ("verify", TableProgress(9), "Every row is the same in both stores."),
        ("repair", TableProgress(9), "Every row is the same in both stores."),
        ("copy", TableProgress(9, 8, failed=1), "1 row could not be copied; the findings say why."),
        ("verify", TableProgress(9, failed=2), "2 rows could not be copied; the findings say why."),
        ("copy", TableProgress(9, 9, differ=1), "1 difference: 1 differ; the findings list it."),
        (
            "verify",
            TableProgress(9, differ=1, only_source=2, failed=1),
            "3 differences: 1 differ, 2 only in source; the findings list them.",
        ),
        ("reembed", TableProgress(9, 9), "6 vectors were made."),
        (DELEGATION, TableProgress(), None),
    ],
)
def test_result_of_a_completed_job(kind: str, table: TableProgress, sentence: str | None) -> None:
    job = replace(with_rows(of_kind(kind, "completed"), table), result="6 vectors were made")
    result = status_sentence(job, NOW)
    assert (result.text if result is not None else None) == sentence
    if kind == "verify":
        assert comparison_result(job.progress.tables) == result


def test_problems_in_flight() -> None:
    for kind in KINDS:
        assert status_sentence(of_kind(kind), NOW) is None
    assert status_sentence(SILENT, NOW) == Sentence("No heartbeat from its worker for 12 min.", "waiting")
    stopping = replace(COPY, cancel_requested=True)
    assert status_sentence(stopping, NOW) == Sentence("It ends at its next checkpoint.", "waiting")
    stuck = status_sentence(STUCK, NOW)
    assert stuck is not None
    assert stuck.text.startswith("No heartbeat since ")
    assert stuck.text.endswith(", for 12 min; it may still recover.")


@pytest.mark.parametrize(
    ("job", "actions"),
    [
        (COPY, ""),
        (DELEGATED, ""),
        (SILENT, "R takes it over from its last checkpoint."),
        (replace(SILENT, kind="verify"), "R starts it from the beginning."),
        (STUCK, "R queues it again, F marks it as failed."),
        (of_kind("copy", "failed"), "R continues from its last checkpoint."),
        (of_kind("reembed", "failed"), "R continues from its last checkpoint."),
        (of_kind("repair", "failed"), "R starts it from the beginning."),
        (of_kind(DELEGATION, "failed"), "R queues it again."),
        (of_kind("copy", "completed"), ""),
        (of_kind("reembed", "completed"), ""),
        (replace(of_kind("copy", "completed"), options={"verify": False}), "v compares both stores row by row."),
        (with_rows(of_kind("verify", "completed"), TableProgress(differ=1)), "v compares again."),
        (
            with_rows(of_kind("copy", "completed"), TableProgress(differ=1)),
            "v compares again; a copy never changes rows that the target has.",
        ),
    ],
)
def test_next_actions(job: Job, actions: str) -> None:
    assert next_actions(job, NOW, KEYS) == actions


def test_a_later_run_is_named_instead_of_a_retry() -> None:
    failed, later = of_kind("copy", "failed"), replace(COPY, attempt=2, tries=2)
    assert next_actions(failed, NOW, KEYS, later) == "Attempt 2 followed this one and is running."
    assert later_run_sentence(replace(later, status="completed")).endswith(" and is done.")
    assert later_run_sentence(replace(later, status="failed")).endswith(" and failed.")
    ended = replace(later, status="failed", error=CANCELLED, tries=1)
    assert later_run_sentence(ended) == "A new run followed this one and was cancelled."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "copy"}, Sentence("The copy is done: 9 rows, verified.")),
        ({"kind": "copy", "options": {"verify": False}}, Sentence("The copy is done: 9 rows.")),
        ({"kind": "verify"}, Sentence("The comparison is done: 9 rows, verified, all equal.")),
        ({"kind": "repair"}, Sentence("The repair is done: 9 rows, verified.")),
        ({"kind": "reembed"}, Sentence("The re-embedding is done: 9 texts.")),
        ({"kind": "reembed", "options": {"rollback": True}}, Sentence("Rolled back: 9 texts.")),
        ({"kind": DELEGATION}, Sentence("The work is done.")),
    ],
)
def test_end_names_the_kind(changes: Mapping[str, Any], sentence: Sentence) -> None:
    assert end_sentence(replace(with_rows(of_kind("copy", "completed"), TableProgress(9, 9)), **changes)) == sentence
    failed = with_rows(of_kind("copy", "completed"), TableProgress(9, 8, failed=1))
    assert end_sentence(failed) == Sentence("The copy is done: 9 rows, 1 failed row.", "waiting")


def test_start_and_effects_of_actions() -> None:
    assert start_sentence("copy", {}, already_running=False) == "The copy has started."
    assert start_sentence("verify", {}, already_running=True) == "This comparison is already running."
    assert start_sentence("reembed", {"rollback": True}, already_running=False) == "The rollback has started."
    assert start_sentence("copy", {}, already_running=False, job_id=COPY.id) == "The copy has started, as job 3e386abc."
    assert cancel_sentence("asked") == "The job is cancelled at its next checkpoint."
    assert cancel_sentence("ended", "Job 3e386abc") == "Job 3e386abc is cancelled."
    assert retry_sentence(COPY, "5a3c9d6a-1f0b") == "The job continues from its last checkpoint, as 5a3c9d6a."
    assert retry_sentence(of_kind("verify"), "5a3c9d6a-1f0b", "It") == "It starts from the beginning, as 5a3c9d6a."
    assert retry_sentence(DELEGATED, "5a3c9d6a-1f0b") == "The work is queued again, as 5a3c9d6a."
    assert fail_sentence() == "The job is marked as failed."


@pytest.mark.parametrize(
    ("job", "action", "reason"),
    [
        (None, "retry_job", "There are no jobs yet."),
        (COPY, "cancel_job", ""),
        (replace(COPY, cancel_requested=True), "cancel_job", "It is already being cancelled"),
        (of_kind("copy", "failed"), "cancel_job", "This job has already ended."),
        (COPY, "retry_job", "Its last heartbeat was 1 s ago; after 30 s without one, R takes it over."),
        (
            replace(COPY, last_heartbeat=None, created_at=NOW),
            "retry_job",
            "It has no heartbeat yet; after 30 s without one, R takes it over.",
        ),
        (SILENT, "retry_job", ""),
        (DELEGATED, "retry_job", "It is running: last heartbeat 1 s ago."),
        (STUCK, "retry_job", ""),
        (of_kind("copy", "failed"), "retry_job", ""),
        (of_kind("copy", "completed"), "retry_job", "It is done; c copies missing rows, v compares."),
        (of_kind("repair", "completed"), "retry_job", "It is done; v compares both stores again."),
        (of_kind(DELEGATION, "completed"), "retry_job", "It is done; there is nothing to retry."),
        (COPY, "fail_job", "Its worker is alive; cancel the job instead."),
        (SILENT, "fail_job", ""),
        (DELEGATED, "fail_job", ""),
    ],
)
def test_reasons_against_an_action(job: Job | None, action: str, reason: str) -> None:
    assert reasons_against(job, (), NOW, KEYS).get(action, "").startswith(reason)
    if not reason:
        assert action not in reasons_against(job, (), NOW, KEYS)
