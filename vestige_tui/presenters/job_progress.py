"""Progress and row counts of a job in words, the same for console and command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vestige_tui.core.jobs import Job, StepProgress, TableProgress
from vestige_tui.core.text import duration, grouped, plain

NONE = "─"
"""Stands for a figure that is not known yet."""

_COUNT_NAMES: Mapping[str, str] = {
    "encoded": "computed",
    "differs": "differ",
    "only_source": "only in source",
    "only_target": "only in target",
}
_SUM_NAMES: Mapping[str, str] = {"present": "already there", "zero_vector": "all-zero vectors"}
"""Names beside a sum that differ from those in the head of a table."""
DIFFERENCES = ("differ", "only_source", "only_target")
"""Counts of rows that a comparison found different."""
PROBLEMS = ("failed", *DIFFERENCES)
"""Counts of rows that failed or differ."""
FINDING_COUNTS = (*PROBLEMS, "repaired", "left_behind", "zero_vector", "updated", "deleted")
"""Counts of findings, by the order in which they are named."""


def count_name(name: str) -> str:
    """Return the word for a count of rows or for the outcome of a finding, as in every table."""
    return _COUNT_NAMES.get(name, plain(name).replace("_", " "))


def quantity(count: int, noun: str) -> str:
    """Return a count with its noun, ``1 difference`` or ``3 differences``."""
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


# Rows


def failed_rows(job: Job) -> int:
    """Return the number of rows that could not be copied."""
    return sum(table.failed for table in job.progress.tables.values())


def differences(job: Job) -> int:
    """Return the number of rows that differ or exist on one side only."""
    return sum(row_differences(table) for table in job.progress.tables.values())


def row_differences(table: TableProgress) -> int:
    """Return the number of a table's rows that differ or exist on one side only."""
    return table.differ + table.only_source + table.only_target


def rows_read(job: Job) -> int:
    """Return the number of rows that a job has read."""
    return sum(table.read for table in job.progress.tables.values())


def unit(job: Job) -> str:
    """Return the plural noun of the items that a job counts."""
    return "texts" if job.kind == "reembed" else "rows"


def finding_counts(job: Job) -> dict[str, int]:
    """Return the number of findings of each kind, by the figures of a job."""
    tables = job.progress.tables.values()
    counts = {name: sum(getattr(table, name, 0) for table in tables) for name in FINDING_COUNTS}
    counts["left_behind"] = sum(bool(table.left_behind) for table in tables)
    counts["zero_vector"] = job.progress.zero_vectors
    return counts


def findings_in_words(job: Job, names: Sequence[str] = FINDING_COUNTS) -> list[str]:
    """Return the numbers of findings in words, ``2 failed`` and ``3 repaired``, without those that are 0."""
    counts = finding_counts(job)
    return [sum_in_words(counts[name], name) for name in names if counts[name]]


def sum_in_words(count: int, name: str) -> str:
    """Return a sum of rows or findings with its word, ``3 repaired``."""
    return f"{grouped(count)} {_SUM_NAMES.get(name) or count_name(name)}"


# Speed


def fraction(job: Job) -> float | None:
    """Return the share of a job that is done, 0..1, None until it is known.

    Of a running job that records it, indexes and comparison are included, so that it is below 1; of any other job it is
    the share of its rows.
    """
    if job.in_flight and job.progress.share is not None:
        return job.progress.share
    read, total = counted_rows(job)
    return min(1.0, read / total) if total else None


def phase_in_words(job: Job) -> str:
    """Return the phase of a running job, with the progress of the statement that the server runs for it."""
    phase, step = plain(job.progress.phase), job.progress.step
    return ": ".join(filter(None, (phase, step_in_words(step)))) if step is not None else phase


def step_in_words(step: StepProgress) -> str:
    """Return the progress of a long statement: ``loading tuples, 412,000 of 1,000,000 tuples, 12 min left``."""
    parts = [plain(step.name)]
    if step.total:
        parts.append(f"{grouped(step.done)} of {grouped(step.total)} {plain(step.unit)}")
    if step.eta is not None:
        parts.append(time_left(step.eta))
    return ", ".join(filter(None, parts))


def counted_rows(job: Job) -> tuple[int, int]:
    """Return the rows read and the rows in all of the tables that are counted."""
    tables = [table for table in job.progress.tables.values() if table.total is not None]
    return sum(table.read for table in tables), sum(table.total or 0 for table in tables)


def percent(share: float | None) -> str:
    """Return a share in percent, rounded down so that 100 % means all."""
    return f"{NONE} %" if share is None else f"{int(share * 100)} %"


def current_step(job: Job) -> str:
    """Return the progress of a running job: its share, or its phase where that says no more."""
    share = fraction(job)
    return percent(share) if share is not None and share < 1 else plain(job.progress.phase)


def rate_in_words(rate: float | None, unit: str) -> str:
    """Return a speed, ``9,812 rows/s``."""
    return f"{NONE if rate is None else grouped(round(rate))} {unit}/s"


def time_left(seconds: float | None) -> str:
    """Return the estimated time to the end, ``4 min left``."""
    return f"{NONE if seconds is None else duration(seconds)} left"
