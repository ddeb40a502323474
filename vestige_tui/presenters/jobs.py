"""Jobs in short words: title, state, progress, time left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from vestige_tui.core.jobs import Job
from vestige_tui.core.text import cells, cut, duration, grouped, plain
from vestige_tui.presenters.style import Ink

CANCELLED = "cancelled"
DELEGATION = "delegation"

Group: TypeAlias = Literal["running", "no sign of life", "agents", "finished"]
GROUPS: tuple[Group, ...] = ("running", "no sign of life", "agents", "finished")

VERBS: Mapping[str, str] = {"copy": "copy", "verify": "verify", "repair": "repair", "reembed": "re-embed"}


@dataclass(frozen=True, slots=True)
class Standing:
    """State of a job as shown: glyph, word, ink, and a brief word for narrow columns."""

    glyph: str
    word: str
    ink: Ink
    brief: str = ""


STATES = {
    "queued": Standing("○", "waiting to start", "muted"),
    "dispatched": Standing("○", "starting", "muted"),
    "in_progress": Standing("►", "running", "accent"),
    "completed": Standing("✓", "done", "text"),
    "failed": Standing("■", "failed", "bad"),
    "stuck": Standing("◌", "stuck", "waiting"),
}


def is_ours(job: Job) -> bool:
    """Check whether a worker of this program runs it; every other job is work given to an agent."""
    return job.kind != DELEGATION


def group_of(job: Job, now: datetime) -> Group:
    """Return the heading that a job is listed under."""
    if not job.in_flight:
        return "finished"
    if not is_ours(job):
        return "agents"
    return "running" if job.silence(now) is None else "no sign of life"


def standing(job: Job, now: datetime) -> Standing:
    """Return the shown state of a job, from its status, heartbeat, rows and cancel request."""
    state = STATES.get(job.status, Standing("○", plain(job.status), "muted"))
    if job.in_flight:
        if job.silence(now) is not None:
            return Standing("◌", "no sign of life", "waiting")
        return Standing("▫", "cancelling", "waiting") if job.cancel_requested else state
    if job.error == CANCELLED:
        return Standing("▫", "cancelled", "muted")
    if job.status != "completed":
        return state
    if difference_count := differences(job):
        return Standing("◪", counted(difference_count, "difference"), "waiting")
    if failed_count := failed_rows(job):
        return Standing("◪", counted(failed_count, "failed row"), "waiting", f"{grouped(failed_count)} failed")
    if job.kind == "verify":
        return Standing("✓", "verified, all equal", "good", "all equal")
    if job.kind == "repair" or (job.kind == "copy" and job.options.get("verify", True)):
        return Standing("✓", "verified", "good")
    return state


def since_sign(job: Job, now: datetime) -> float | None:
    """Return the seconds since a job's last heartbeat, None without one."""
    return max(0.0, (now - job.last_heartbeat).total_seconds()) if job.last_heartbeat is not None else None


def stuck_for(job: Job, now: datetime) -> float | None:
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


def failed_rows(job: Job) -> int:
    """Return the number of rows that could not be copied."""
    return sum(table.failed for table in job.progress.tables.values())


def differences(job: Job) -> int:
    """Return the number of rows that differ or exist on one side only."""
    return sum(table.differ + table.only_source + table.only_target for table in job.progress.tables.values())


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, ``1 difference`` or ``3 differences``."""
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


def doing(job: Job) -> str:
    """Return the progress of a running job: its share of rows read, or after all rows its phase."""
    share = fraction(job)
    if share is not None and share < 1:
        return f"{int(share * 100)} %"
    return plain(job.progress.phase)


def fraction(job: Job) -> float | None:
    """Return the share of its rows that a job has read, 0..1; None until they are counted."""
    tables = [table for table in job.progress.tables.values() if table.total is not None]
    total = sum(table.total or 0 for table in tables)
    return min(1.0, sum(table.read for table in tables) / total) if total else None


def where(url: str) -> str:
    """Return a short name of a store's URL: a file or folder name, or server and database."""
    scheme, _, rest = plain(url).partition(":")
    rest = rest.partition("?")[0].rstrip("/")
    if scheme in ("postgresql", "postgres"):
        host, slash, database = rest.lstrip("/").rpartition("@")[2].partition("/")
        first_host = host.partition(",")[0]
        label, _, domain = first_host.partition(".")
        server = first_host if domain[:1].isdigit() else label
        return (server + slash + database if server else database) or "postgres"
    return rest.rsplit("/", 1)[-1] or plain(url)


def title(job: Job, width: int | None = None) -> str:
    """Return a job's title; if ``width`` is given, source and target are cut evenly to fit that many cells."""
    if not is_ours(job) or not job.target:
        words = plain(job.task) or plain(job.kind)
        return words if width is None else cut(words, width)
    verb, target = VERBS.get(job.kind, plain(job.kind)), where(job.target)
    if job.kind == "reembed":
        return _reembedding(job, verb, target, width)
    return _between(f"{verb} ", where(job.source), " = " if job.kind == "verify" else " → ", target, width)


def _reembedding(job: Job, verb: str, store: str, width: int | None) -> str:
    if job.options.get("rollback"):
        words = f"roll {store} back"
        return words if width is None else cut(words, width)
    name, dimension = short_model(str(job.options.get("model") or "")), job.options.get("dimension")
    if not name:
        return _between(f"{verb} ", store, "", "", width)
    # Several jobs may differ in the dimension alone.
    tail = f" {grouped(dimension)}" if isinstance(dimension, int) else ""
    words = f"{verb} {store} → {name}{tail}"
    if width is None or cells(words) <= width:
        return words
    head = f"{verb} → "
    return head + cut(name, max(1, width - cells(head) - cells(tail))) + tail


def _between(head: str, one: str, sign: str, other: str, width: int | None) -> str:
    """Join two names with a sign between them; the longer one is cut first."""
    if width is not None:
        room = max(2, width - cells(head) - cells(sign))
        half = room // 2
        if cells(one) + cells(other) > room:
            width_of_one = max(half, room - cells(other))
            one = cut(one, width_of_one)
            other = cut(other, room - cells(one))
    return head + one + sign + other


def model_in_words(options: Mapping[str, Any]) -> str:
    """Return the model of a job's options, with its dimension if known; empty without a model."""
    name, dimension = options.get("model"), options.get("dimension")
    if not isinstance(name, str) or not name:
        return ""
    return plain(name) + (f", {grouped(dimension)} dimensions" if isinstance(dimension, int) else "")


def later_run(job: Job, jobs: Iterable[Job]) -> Job | None:
    """Return the last run of a job's plan, None if it is this job."""
    if job.plan is None:
        return None
    last = max((each for each in jobs if each.plan == job.plan), key=lambda each: each.attempt, default=job)
    return last if last.attempt > job.attempt else None


def came_after(later: Job) -> str:
    """Return a sentence about a later run of the same plan and its outcome."""
    if later.in_flight:
        outcome = "is under way"
    elif later.error == CANCELLED:
        outcome = "was cancelled"
    else:
        outcome = "is done" if later.status == "completed" else "failed"
    attempt = f"Attempt {grouped(later.tries)}" if later.resumed else "A run from the beginning"
    return f"{attempt} came after this one, and {outcome}."


def short_model(name: str) -> str:
    """Return a model's name without its publisher."""
    return plain(name).strip().rsplit("/", 1)[-1]


_OPTION_WORDS = {
    "follow": "follows its source until stopped",
    "reembed": "makes the vectors anew",
    "in_place": "in place: search by meaning waits for it",
    "drop_hnsw_first": "drops the index first",
    "concurrent_index": "builds the index without a lock",
    "drop_old": "drops the old vectors",
    "rollback": "goes back to the model before",
}


def in_words(options: Mapping[str, Any]) -> str:
    """Return a job's options in words, without those that are off or unknown."""
    parts = [words for name, words in _OPTION_WORDS.items() if options.get(name)]
    if options.get("verify") is False:
        parts.append("compares nothing at the end")
    batch = options.get("batch")
    if isinstance(batch, int) and batch:
        parts.append(f"{grouped(batch)} rows a batch")
    return ", ".join(parts)
