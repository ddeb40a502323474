"""State, title, times and facts of jobs of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.job_values import COPY, DELEGATED, KINDS, NOW, of_kind, with_rows
from vestige_tui.cli.job_lines import line
from vestige_tui.core.jobs import DELEGATION, JobWait, TableProgress
from vestige_tui.core.text import cells
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.presenters.job_actions import reasons_against
from vestige_tui.presenters.job_outcome import status_sentence
from vestige_tui.presenters.jobs import (
    countdown,
    deadline_in_words,
    facts,
    group_of,
    heartbeat_in_words,
    later_run,
    model_in_words,
    options_in_words,
    run_times,
    state_label,
    title,
    wait_in_words,
)

IN_FLIGHT = {"queued": "waiting to start", "dispatched": "starting", "in_progress": "running", "stuck": "stuck"}
DONE = {
    "copy": "verified",
    "verify": "verified, all equal",
    "repair": "verified",
    "reembed": "done",
    DELEGATION: "done",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("status", "word"), IN_FLIGHT.items())
def test_state_in_flight(kind: str, status: str, word: str) -> None:
    job = of_kind(kind, status)
    assert state_label(job, NOW).word == word
    assert state_label(replace(job, cancel_requested=True), NOW).word == "cancelling"
    assert group_of(job, NOW) == ("agents" if kind == DELEGATION else "running")
    silent = replace(job, last_heartbeat=NOW - timedelta(minutes=12), cancel_requested=True)
    # The ledger decides when an agent's work is stuck: it may send heartbeats as rarely as it likes.
    assert state_label(silent, NOW).word == ("cancelling" if kind == DELEGATION else "no heartbeat")
    assert group_of(silent, NOW) == ("agents" if kind == DELEGATION else "no heartbeat")


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_state_of_a_job_that_waits(status: str) -> None:
    wait = JobWait("The disk of x is full; free \x1b[31mspace there.", NOW - timedelta(minutes=5))
    job = replace(of_kind("copy", status), wait=wait, worker_pid=7, last_heartbeat=NOW - timedelta(hours=1))
    assert state_label(job, NOW).word == "waiting"
    assert group_of(job, NOW) == "running"
    assert state_label(replace(job, cancel_requested=True), NOW).word == "cancelling"
    said = status_sentence(job, NOW)
    assert said is not None
    assert said.text.startswith("Waiting since ")
    assert "The disk of x is full; free" in said.text
    assert "\x1b" not in said.text + line(job, NOW)
    assert "The disk of x is full; free" in line(job, NOW)
    assert "process 7, is alive" in reasons_against(job, [job], NOW, {})["retry_job"]
    # Of a worker that is lost its last reason says nothing.
    lost = replace(job, worker_pid=None)
    assert state_label(lost, NOW).word == "no heartbeat"
    assert "disk" not in str(status_sentence(lost, NOW))
    assert wait_in_words(replace(job, status="failed"), NOW) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_ended_jobs(kind: str) -> None:
    done, failed = of_kind(kind, "completed"), of_kind(kind, "failed")
    assert state_label(with_rows(done, TableProgress(9, 9)), NOW).word == DONE[kind]
    assert state_label(with_rows(done, TableProgress(9, 9, differ=1)), NOW).word == "1 difference"
    assert state_label(with_rows(done, TableProgress(9, only_source=1, only_target=2)), NOW).word == "3 differences"
    label = state_label(with_rows(done, TableProgress(9, 8, failed=1)), NOW)
    assert (label.word, label.brief) == ("1 failed row", "1 failed")
    assert state_label(replace(failed, error="The disk is full."), NOW).word == "failed"
    assert state_label(replace(failed, error=CANCELLED), NOW).word == "cancelled"
    assert group_of(done, NOW) == group_of(failed, NOW) == "finished"


def test_state_without_a_comparison_and_of_an_unknown_status() -> None:
    copied = replace(of_kind("copy", "completed"), options={"verify": False})
    assert state_label(copied, NOW).word == "done"
    assert state_label(replace(COPY, status="par\x1bked"), NOW).word == "par\ufffdked"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "copy vestige.db → db1/memories"),
        ({"kind": "verify"}, "verify vestige.db = db1/memories"),
        ({"kind": "repair"}, "repair vestige.db → db1/memories"),
        ({"kind": "reembed", "options": {"model": "x/Mini", "dimension": 1_024}}, "re-embed db1/memories → Mini 1,024"),
        ({"kind": "reembed", "options": {"rollback": True}}, "roll db1/memories back"),
        ({"kind": "reembed", "options": {}}, "re-embed db1/memories"),
        ({"kind": DELEGATION, "task": "reindex\x1b[2J"}, "reindex\ufffd[2J"),
        ({"kind": DELEGATION, "task": ""}, "delegation"),
    ],
)
def test_title(changes: Mapping[str, Any], words: str) -> None:
    job = replace(COPY, **changes)
    assert title(job) == words
    assert title(job, cells(words)) == words
    assert cells(title(job, 20)) <= 20


def test_deadline_and_heartbeat() -> None:
    assert countdown(None, NOW) == ("", False)
    assert deadline_in_words(DELEGATED, NOW) == "due in 5 h 12 min"
    assert deadline_in_words(DELEGATED, NOW + timedelta(hours=6)) == "overdue by 48 min"
    assert deadline_in_words(replace(DELEGATED, deadline=None), NOW) == ""
    assert heartbeat_in_words(DELEGATED, NOW) == "seen 1 s ago"
    assert heartbeat_in_words(replace(DELEGATED, last_heartbeat=None), NOW) == ""
    stuck = replace(DELEGATED, status="stuck", last_heartbeat=NOW - timedelta(minutes=12))
    assert heartbeat_in_words(stuck, NOW) == "stuck 12 min"


def test_run_times() -> None:
    assert [(fact.label, fact.text) for fact in run_times(COPY, NOW)] == [("started", "2 min ago")]
    resumed = list(run_times(replace(of_kind("copy", "completed"), tries=3), NOW))
    assert [fact.label for fact in resumed] == ["resumed", "started", "took"]
    assert resumed[0].text.endswith(", attempt 3")
    assert resumed[2].text == "2 min"
    assert list(run_times(replace(DELEGATED, created_at=None, tries=2), NOW)) == []


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("copy", ["from", "to"]),
        ("repair", ["from", "to"]),
        ("verify", ["source", "target"]),
        ("reembed", ["store"]),
        (DELEGATION, ["task", "caller", "agent", "retries", "heartbeat", "deadline", "job log of"]),
    ],
)
def test_facts(kind: str, labels: list[str]) -> None:
    job = of_kind(kind)
    assert [fact.label for fact in facts(job, NOW)] == labels
    retried = replace(job, options={"model": "x/MiniLM", "dimension": 96, "in_place": True, "batch": 1_000})
    by_label = {fact.label: fact.text for fact in facts(retried, NOW)}
    if kind != DELEGATION:
        assert by_label["model"] == "x/MiniLM, 96 dimensions"
        assert by_label["how"] == "in place: vector search pauses until it is done, 1,000 rows per batch"


def test_facts_of_ended_and_late_work() -> None:
    late = {fact.label: fact for fact in facts(DELEGATED, NOW + timedelta(hours=6))}
    assert late["deadline"].text.startswith("overdue by 48 min, at ")
    assert late["deadline"].ink == "waiting"
    done = {fact.label: fact.text for fact in facts(replace(DELEGATED, status="completed", result="read\n12"), NOW)}
    assert done["result"] == "read\n12"
    assert "heartbeat" not in done
    assert done["caller"] == "unknown"


def test_no_password_is_shown() -> None:
    secret = replace(COPY, source="postgresql://me:secret@db/x", target="postgresql://me:secret@db/y")
    shown = [title(secret), *(fact.text for fact in facts(secret, NOW))]
    assert not any("secret" in text for text in shown)


def test_options_and_model() -> None:
    assert (
        options_in_words({"follow": True, "verify": False})
        == "follows its source until stopped, no comparison at the end"
    )
    assert options_in_words({"drop_old": False, "unheard": True, "batch": "x"}) == ""
    assert model_in_words({"model": "x/MiniLM"}) == "x/MiniLM"
    assert model_in_words({"model": 7}) == ""


def test_later_run_is_the_last_one_of_the_plan() -> None:
    second, third = (replace(COPY, id=f"{attempt}", attempt=attempt) for attempt in (2, 3))
    other = replace(COPY, plan="q", attempt=9)
    assert later_run(COPY, (second, third, COPY, other)) == third
    assert later_run(third, (second, third, COPY)) is None
    assert later_run(DELEGATED, (DELEGATED, other)) is None
