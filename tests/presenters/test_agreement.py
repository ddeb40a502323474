"""Console and command line say one thing about one job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.job_values import COPY, KINDS, NOW, of_kind, with_rows
from vestige_tui.cli.job_lines import line, rows, state, summary
from vestige_tui.core.jobs import DELEGATION, Job, TableProgress
from vestige_tui.jobs.transitions import CANCELLED, STATUSES
from vestige_tui.presenters.job_outcome import status_sentence
from vestige_tui.presenters.jobs import group_of, state_label, title
from vestige_tui.tui.jobs.detail import about, ended
from vestige_tui.tui.jobs.job_list import status_line

KEYS = {"retry": "R", "fail": "F", "verify": "v", "copy": "c", "cancel": "x"}


def states() -> Iterator[Job]:
    """Yield a job of each kind in each state that is shown."""
    for kind in KINDS:
        for status in STATUSES:
            yield of_kind(kind, status)
        running, done, failed = (of_kind(kind, status) for status in ("in_progress", "completed", "failed"))
        yield replace(running, cancel_requested=True)
        yield replace(failed, error=CANCELLED)
        yield replace(failed, error="The disk is full.")
        yield with_rows(done, TableProgress(9, 9))
        yield with_rows(done, TableProgress(9, 8, failed=1))
        yield with_rows(done, TableProgress(9, only_source=1, differ=2))
        if kind != DELEGATION:
            yield replace(running, last_heartbeat=NOW - timedelta(minutes=12))


def job_id(job: Job) -> str:
    return f"{job.kind} {state_label(job, NOW).word}"


@pytest.mark.parametrize("job", states(), ids=job_id)
def test_state_word_and_title_are_the_same(job: Job) -> None:
    word = state_label(job, NOW).word
    panel = about(job, NOW, 200, KEYS).plain
    # The line of a running job shows its progress instead, under the heading "running".
    list_line = "".join(text for text, _ in status_line(job, NOW, 200))
    assert word in panel.splitlines()[1]
    assert word in list_line or job.in_flight
    assert list_line or group_of(job, NOW) == "running"
    # Command line: the state column of ``jobs list``, and the rows of ``jobs show``.
    assert word in state(job, NOW)
    shown = dict(rows(job, NOW))
    assert shown["state"].startswith(word)
    assert title(job) == panel.splitlines()[0] == shown["job"]
    assert title(job) in line(job, NOW)
    assert summary(job, NOW).startswith(title(job))


@pytest.mark.parametrize("job", states(), ids=job_id)
def test_facts_and_sentence_of_the_console_are_those_of_the_command_line(job: Job) -> None:
    panel = about(job, NOW, 200, KEYS).plain
    for label, text in rows(job, NOW):
        if label not in ("id", "job", "state", "heartbeat", "result"):
            assert f"{label:<11}{text}" in panel or f"{label} {text}" in panel
    sentence = status_sentence(job, NOW)
    assert sentence is None or sentence.text in panel
    if job.status == "failed" and job.error != CANCELLED:
        assert sentence is not None
        assert line(job, NOW).endswith(f": {sentence.text}")


def test_end_is_reported_with_a_severity() -> None:
    assert ended(of_kind("copy", "completed")) == ("The copy is done: 1,234 rows, verified.", "done")
    assert ended(with_rows(of_kind("copy", "completed"), TableProgress(9, failed=1)))[1] == "waiting"
    assert ended(replace(COPY, status="failed", error="The disk is full."))[1] == "bad"
