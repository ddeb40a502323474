"""Progress and counts of jobs in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.job_values import COPY, DELEGATED, of_kind, with_rows
from vestige_tui.core.jobs import JobProgress, StepProgress, TableProgress
from vestige_tui.presenters.job_progress import (
    count_name,
    current_step,
    differences,
    finding_counts,
    findings_in_words,
    fraction,
    percent,
    phase_in_words,
    quantity,
    rate_in_words,
    sum_in_words,
    time_left,
    unit,
)


@pytest.mark.parametrize(
    ("tables", "share", "step"),
    [
        ({}, None, "copying"),
        ({"a": TableProgress(5)}, None, "copying"),
        ({"a": TableProgress(1, total=3)}, 1 / 3, "33 %"),
        ({"a": TableProgress(999, total=1_000)}, 0.999, "99 %"),
        ({"a": TableProgress(3, total=3), "b": TableProgress(7)}, 1.0, "copying"),
        ({"a": TableProgress(4, total=3)}, 1.0, "copying"),
    ],
)
def test_share_of_rows_then_phase(tables: dict[str, TableProgress], share: float | None, step: str) -> None:
    job = replace(COPY, progress=JobProgress("copying", tables))
    assert fraction(job) == share
    assert current_step(job) == step


def test_speed_and_time_left() -> None:
    assert [percent(share) for share in (None, 0.0, 0.999, 1.0)] == ["─ %", "0 %", "99 %", "100 %"]
    assert (rate_in_words(9_812.4, "rows"), rate_in_words(None, "texts")) == ("9,812 rows/s", "─ texts/s")
    assert (time_left(246.0), time_left(None)) == ("4 min left", "─ left")
    assert (unit(COPY), unit(of_kind("reembed")), unit(DELEGATED)) == ("rows", "texts", "rows")


def test_findings_are_counted_and_named_once() -> None:
    table = TableProgress(
        9, 4, repaired=3, failed=2, differ=1, only_source=1, only_target=1, left_behind=17, deleted=1_000
    )
    job = with_rows(COPY, table)
    assert differences(job) == 3
    assert findings_in_words(job) == [
        "2 failed",
        "1 differ",
        "1 only in source",
        "1 only in target",
        "3 repaired",
        "1 left behind",
        "1,000 deleted",
    ]
    assert findings_in_words(job, ("failed",)) == ["2 failed"]
    zero = replace(COPY, progress=JobProgress(zero_vectors=2))
    assert findings_in_words(zero) == ["2 all-zero vectors"]
    assert sum(finding_counts(DELEGATED).values()) == 0


def test_names_of_counts() -> None:
    assert [count_name(name) for name in ("differs", "only_target", "left_behind", "read")] == [
        "differ",
        "only in target",
        "left behind",
        "read",
    ]
    assert sum_in_words(1_200, "present") == "1,200 already there"
    assert (quantity(1, "row"), quantity(1_200, "row"), quantity(0, "row")) == ("1 row", "1,200 rows", "0 rows")


def test_the_share_of_a_running_job_includes_what_follows_its_rows() -> None:
    step = StepProgress("loading tuples", 412_000, 1_000_000, "tuples", 720.0)
    progress = JobProgress(
        "building the vector index", {"a": TableProgress(3, total=3)}, share=0.42, step=step, eta=800.0
    )
    job = replace(COPY, status="in_progress", progress=progress)
    assert fraction(job) == 0.42
    assert current_step(job) == "42 %"
    assert phase_in_words(job) == (
        "building the vector index: loading tuples, 412,000 of 1,000,000 tuples, 12 min left"
    )
    assert fraction(replace(job, status="completed")) == 1.0
    without = replace(job, progress=replace(progress, step=StepProgress("waiting for writers")))
    assert phase_in_words(without) == "building the vector index: waiting for writers"
    assert phase_in_words(COPY) == COPY.progress.phase
