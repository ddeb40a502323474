"""State, title, times and facts of a job, the same for console and command line; every string is safe to show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vestige_tui.core.jobs import Job, JobStatus
from vestige_tui.core.text import ago, cells, cut, duration, grouped, plain, redact
from vestige_tui.core.times import clock_time
from vestige_tui.jobs.transitions import CANCELLED
from vestige_tui.presenters.job_progress import differences, failed_rows, quantity
from vestige_tui.presenters.models import dimensions, short_name
from vestige_tui.presenters.stores import location, store_name
from vestige_tui.presenters.style import Fact, Ink

_VERBS: Mapping[str, str] = {"copy": "copy", "verify": "verify", "repair": "repair", "reembed": "re-embed"}


@dataclass(frozen=True, slots=True)
class StateLabel:
    """State of a job as shown: glyph, word, ink, and a brief word for narrow columns."""

    glyph: str
    word: str
    ink: Ink
    brief: str = ""


STATUS_LABELS: Mapping[JobStatus, StateLabel] = {
    "queued": StateLabel("○", "waiting to start", "muted"),
    "dispatched": StateLabel("○", "starting", "muted"),
    "in_progress": StateLabel("►", "running", "accent"),
    "completed": StateLabel("✓", "done", "text"),
    "failed": StateLabel("■", "failed", "bad"),
    "stuck": StateLabel("◌", "stuck", "waiting"),
}
"""Label of each status of the ledger; heartbeat, rows and a cancel request refine it."""
_SILENT_LABEL = StateLabel("◌", "no heartbeat", "waiting")
_WAITING_LABEL = StateLabel("◐", "waiting", "waiting")
_CANCELLING_LABEL = StateLabel("▫", "cancelling", "waiting")
CANCELLED_LABEL = StateLabel("▫", "cancelled", "muted")

GROUPS = (STATUS_LABELS["in_progress"].word, _SILENT_LABEL.word, "agents", "finished")
"""Headings that jobs are listed under, in their order."""
_RUNNING, _SILENT, _AGENTS, _FINISHED = GROUPS
_UNKNOWN = "unknown"
"""Stands for the unknown caller or callee of an agent's work."""


def group_of(job: Job, now: datetime) -> str:
    """Return the heading that a job is listed under."""
    if not job.in_flight:
        return _FINISHED
    if not job.is_ours:
        return _AGENTS
    return _RUNNING if job.silence(now) is None else _SILENT


def state_label(job: Job, now: datetime) -> StateLabel:
    """Return the shown state of a job, from its status, heartbeat, rows and cancel request."""
    label = next(
        (label for status, label in STATUS_LABELS.items() if status == job.status),
        StateLabel("○", plain(job.status), "muted"),
    )
    if job.in_flight:
        if job.silence(now) is not None:
            return _SILENT_LABEL
        if job.cancel_requested:
            return _CANCELLING_LABEL
        return label if job.wait is None else _WAITING_LABEL
    if job.error == CANCELLED:
        return CANCELLED_LABEL
    return _completed_label(job, label) if job.status == "completed" else label


def _completed_label(job: Job, done: StateLabel) -> StateLabel:
    if difference_count := differences(job):
        return StateLabel("◪", quantity(difference_count, "difference"), "waiting")
    if failed_count := failed_rows(job):
        return StateLabel("◪", quantity(failed_count, "failed row"), "waiting", f"{grouped(failed_count)} failed")
    if job.kind == "verify":
        return StateLabel("✓", "verified, all equal", "good", "all equal")
    if job.kind == "repair" or (job.kind == "copy" and job.options.get("verify", True)):
        return StateLabel("✓", "verified", "good")
    return done


def wait_in_words(job: Job, now: datetime) -> str:
    """Return the wait of a job's worker, with its start, as a sentence; empty for nothing."""
    if job.wait is None or not job.in_flight:
        return ""
    return f"Waiting since {clock_time(job.wait.since, now)}: {plain(redact(job.wait.reason))}"


def is_running(job: Job, now: datetime) -> bool:
    """Check whether a worker is at work on a job that is not being cancelled, so that its step says more."""
    return state_label(job, now) is STATUS_LABELS["in_progress"]


# Times


def silence_in_words(job: Job, now: datetime) -> str:
    """Return how long a worker has been silent, ``for 12 min``; empty within the lease."""
    seconds = job.silence(now)
    return "" if seconds is None else f"for {duration(seconds)}"


def heartbeat_age(job: Job, now: datetime) -> float | None:
    """Return the seconds since a job's last heartbeat, None without one."""
    return max(0.0, (now - job.last_heartbeat).total_seconds()) if job.last_heartbeat is not None else None


def stuck_seconds(job: Job, now: datetime) -> float | None:
    """Return the seconds since the last heartbeat of stuck work, None if it is not stuck."""
    if job.status != "stuck":
        return None
    since = job.last_heartbeat or job.updated_at
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def countdown(deadline: datetime | None, now: datetime) -> tuple[str, bool]:
    """Return the time left until a deadline (``in 5 h 12 min``, ``overdue by 3 min``), and whether it is overdue."""
    if deadline is None:
        return "", False
    seconds = (deadline - now).total_seconds()
    return (f"in {duration(seconds)}", False) if seconds >= 0 else (f"overdue by {duration(-seconds)}", True)


def heartbeat_in_words(job: Job, now: datetime) -> str:
    """Return the age of an agent's last heartbeat, ``seen 4 s ago`` or ``stuck 12 min``; empty without one."""
    if (stuck := stuck_seconds(job, now)) is not None:
        return f"{STATUS_LABELS['stuck'].word} {duration(stuck)}"
    age = heartbeat_age(job, now)
    return "" if age is None else f"seen {duration(age)} ago"


def deadline_in_words(job: Job, now: datetime) -> str:
    """Return the deadline of work, ``due in 5 h 12 min`` or ``overdue by 3 min``; empty without one."""
    remaining, overdue = countdown(job.deadline, now)
    return remaining if overdue or not remaining else f"due {remaining}"


def run_times(job: Job, now: datetime) -> Iterator[Fact]:
    """Yield the start of a run, with its attempt if it was resumed, and its duration if it has ended."""
    if job.is_ours and job.resumed:
        attempt = f"attempt {grouped(job.tries)}"
        when = f"{clock_time(job.created_at, now)}, " if job.created_at is not None else ""
        yield Fact("resumed", when + attempt)
    if job.created_at is not None:
        yield Fact("started", ago(job.created_at, now))
    if not job.in_flight and job.finished_at is not None and job.created_at is not None:
        yield Fact("took", duration((job.finished_at - job.created_at).total_seconds()))


# Title


def title(job: Job, width: int | None = None) -> str:
    """Return a job's title; if ``width`` is given, source and target are cut evenly to fit that many cells."""
    if not job.is_ours or not job.target:
        words = plain(job.task) or plain(job.kind)
        return words if width is None else cut(words, width)
    verb, target = _VERBS.get(job.kind, plain(job.kind)), store_name(job.target)
    if job.kind == "reembed":
        return _reembed_title(job, verb, target, width)
    separator = " = " if job.kind == "verify" else " → "
    return _join_names(f"{verb} ", store_name(job.source), separator, target, width)


def _reembed_title(job: Job, verb: str, store: str, width: int | None) -> str:
    if job.options.get("rollback"):
        words = f"roll {store} back"
        return words if width is None else cut(words, width)
    name, dimension = short_name(str(job.options.get("model") or "")), job.options.get("dimension")
    if not name:
        return _join_names(f"{verb} ", store, "", "", width)
    # Several jobs may differ in the dimension alone.
    tail = f" {grouped(dimension)}" if isinstance(dimension, int) else ""
    words = f"{verb} {store} → {name}{tail}"
    if width is None or cells(words) <= width:
        return words
    head = f"{verb} → "
    return head + cut(name, max(1, width - cells(head) - cells(tail))) + tail


def _join_names(head: str, source: str, separator: str, target: str, width: int | None) -> str:
    """Join two names with a separator; the longer one is cut first."""
    if width is not None:
        room = max(2, width - cells(head) - cells(separator))
        half = room // 2
        if cells(source) + cells(target) > room:
            source_cells = max(half, room - cells(target))
            source = cut(source, source_cells)
            target = cut(target, room - cells(source))
    return head + source + separator + target


# Facts

_OPTION_WORDS = {
    "follow": "follows its source until stopped",
    "reembed": "re-embeds",
    "in_place": "in place: vector search pauses until it is done",
    "drop_hnsw_first": "drops the index first",
    "concurrent_index": "builds the index concurrently",
    "drop_old": "deletes the previous model's vectors at the end",
    "rollback": "rolls back to the previous model",
}


def options_in_words(options: Mapping[str, Any]) -> str:
    """Return a job's options in words, without those that are off or unknown."""
    parts = [words for name, words in _OPTION_WORDS.items() if options.get(name)]
    if options.get("verify") is False:
        parts.append("no comparison at the end")
    batch = options.get("batch")
    if isinstance(batch, int) and batch:
        parts.append(f"{grouped(batch)} rows per batch")
    return ", ".join(parts)


def model_in_words(options: Mapping[str, Any]) -> str:
    """Return the model of a job's options, with its dimension if known; empty without a model."""
    name, dimension = options.get("model"), options.get("dimension")
    if not isinstance(name, str) or not name:
        return ""
    return plain(name) + (f", {dimensions(dimension)}" if isinstance(dimension, int) else "")


def facts(job: Job, now: datetime) -> Iterator[Fact]:
    """Yield the facts of a job: its stores, model and options; of an agent's work its task, people and times."""
    if not job.is_ours:
        yield from _delegation_facts(job, now)
        return
    if job.kind == "reembed":
        yield Fact("store", location(job.target), location=True)
    elif job.target:
        source, target = ("source", "target") if job.kind == "verify" else ("from", "to")
        yield Fact(source, location(job.source), location=True)
        yield Fact(target, location(job.target), location=True)
    if model := model_in_words(job.options):
        yield Fact("model", model)
    if options := options_in_words(job.options):
        yield Fact("how", options)


def _delegation_facts(job: Job, now: datetime) -> Iterator[Fact]:
    from vestige_tui.jobs.ledger import CALLER

    if task := plain(job.task, newlines=True).strip():
        yield Fact("task", task, "text")
    yield Fact("caller", "this program" if job.caller == str(CALLER) else plain(job.caller) or _UNKNOWN)
    yield Fact("agent", plain(job.callee) or _UNKNOWN)
    yield Fact("retries", grouped(job.retry_count) if job.retry_count else "none")
    if job.in_flight:
        yield heartbeat_fact(job, now)
    if job.deadline is not None and job.in_flight:
        remaining, overdue = countdown(job.deadline, now)
        when = f"{remaining}, at {clock_time(job.deadline, now)}"
        yield Fact("deadline", when, "waiting" if overdue else "muted")
    if job.result:
        yield Fact("result", plain(job.result, newlines=True).strip(), "text")
    yield Fact("job log of", location(job.store))


def heartbeat_fact(job: Job, now: datetime) -> Fact:
    """Return the age and the time of a job's last heartbeat."""
    age = heartbeat_age(job, now)
    if age is None or job.last_heartbeat is None:
        return Fact("heartbeat", "none yet")
    when = f"{duration(age)} ago, at {clock_time(job.last_heartbeat, now)}"
    return Fact("heartbeat", when, "waiting" if job.status == "stuck" else "muted")


# Other runs


def later_run(job: Job, jobs: Iterable[Job]) -> Job | None:
    """Return the last run of a job's plan, None if it is this job."""
    if job.plan is None:
        return None
    last = max((each for each in jobs if each.plan == job.plan), key=lambda each: each.attempt, default=job)
    return last if last.attempt > job.attempt else None
