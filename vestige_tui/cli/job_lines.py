"""Layout of a job on the command line: one line of a list or a watch, and the rows of ``jobs show``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from vestige_tui.core.text import plain, redact_url, short_id
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.presenters.job_actions import next_actions
from vestige_tui.presenters.job_outcome import failure_reason
from vestige_tui.presenters.job_progress import (
    PROBLEMS,
    counted_rows,
    differences,
    findings_in_words,
    fraction,
    percent,
    phase_in_words,
    quantity,
    rate_in_words,
    rows_read,
    time_left,
    unit,
)
from vestige_tui.presenters.jobs import (
    deadline_in_words,
    facts,
    heartbeat_fact,
    heartbeat_in_words,
    is_running,
    run_times,
    silence_in_words,
    state_label,
    title,
    wait_in_words,
)

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job


def state(job: Job, now: datetime) -> str:
    """Return the state of a job; of a silent worker and of stuck work with the time since the last heartbeat."""
    if job.status == "stuck":
        return heartbeat_in_words(job, now)
    return f"{state_label(job, now).word} {silence_in_words(job, now)}".rstrip()


def line(job: Job, now: datetime) -> str:
    """Return a job's state, progress and title in one line, most important first: narrow terminals cut its end."""
    parts = [*([] if is_running(job, now) else [state(job, now)]), *_progress(job, now), title(job)]
    return _with_reason(job, parts, now)


def summary(job: Job, now: datetime) -> str:
    """Return a job's title and progress, for a list with a state column."""
    return _with_reason(job, [title(job), *_progress(job, now)], now)


def _with_reason(job: Job, parts: list[str], now: datetime) -> str:
    text = plain(", ".join(filter(None, parts)))
    if wait := wait_in_words(job, now):
        return f"{text}. {wait}"
    return f"{text}: {failure_reason(job)}" if job.status == "failed" and job.error != CANCELLED else text


def _progress(job: Job, now: datetime) -> list[str]:
    """Return a job's progress: share, rows, speed, time left, failed or differing rows, phase; an agent's times."""
    parts = []
    read, total = counted_rows(job)
    if job.in_flight and total:
        parts += [percent(fraction(job)), f"{read:,} of {quantity(total, unit(job).removesuffix('s'))}"]
    elif read := rows_read(job):
        parts.append(quantity(read, unit(job).removesuffix("s")))
    if job.in_flight and job.progress.rate:
        parts.append(rate_in_words(job.progress.rate, unit(job)))
    if job.in_flight and job.progress.eta:
        parts.append(time_left(job.progress.eta))
    # The state of a completed job counts its failed rows.
    if job.status != "completed" or differences(job):
        parts += findings_in_words(job, PROBLEMS)
    if job.in_flight:
        parts.append(phase_in_words(job))
        if not job.is_ours:
            parts += [heartbeat_in_words(job, now) if job.status != "stuck" else "", deadline_in_words(job, now)]
    return parts


def rows(job: Job, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield label and value of each fact of a job, its whole id first."""
    yield "id", job.id
    yield "job", title(job)
    phase = phase_in_words(job) if job.in_flight else ""
    yield "state", ", ".join(filter(None, (state(job, now), phase)))
    yield from ((fact.label, fact.text) for fact in run_times(job, now))
    if job.is_ours and job.in_flight:
        yield "heartbeat", heartbeat_fact(job, now).text
    yield from ((fact.label, fact.text) for fact in facts(job, now) if plain(fact.text) != title(job).strip())
    # Other kinds have their result in a sentence.
    if job.kind == "copy" and job.result:
        yield "result", job.result


def commands(job: Job) -> Mapping[str, str]:
    """Return the commands that act on a job, by action."""
    stores = f"--source {shlex.quote(redact_url(job.source))} --target {shlex.quote(redact_url(job.target))}"
    actions = {name: f"jobs {name} {short_id(job.id)}" for name in ("retry", "fail", "cancel")}
    return {name: f"`vestige-tui {words}`" for name, words in {**actions, "verify": f"migrate verify {stores}"}.items()}


def advice(job: Job, now: datetime, later: Job | None = None) -> str:
    """Return the commands that continue a job or check its result, as a sentence; empty without one."""
    return next_actions(job, now, commands(job), later)
