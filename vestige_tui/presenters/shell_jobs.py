"""Jobs in words for the command line: title, state, progress."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

from vestige_tui.core.text import ago, duration, grouped, plain, redact, short_id

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job

HEADERS: Mapping[str, str] = {
    "differs": "differ",
    "only_source": "only in source",
    "only_target": "only in target",
}
"""Names of counts and findings that differ from their identifiers."""
TROUBLE = ("failed", "differ", "only_source", "only_target")
_VERBS = {"reembed": "re-embed", "in_place": "re-embed in place", "rollback": "roll back"}


def named(count: str) -> str:
    """Return the name of a count or an outcome, as in every table."""
    return HEADERS.get(count, count.replace("_", " "))


def state(job: Job, now: datetime) -> str:
    """Return the state of a job in words."""
    from vestige_tui.jobs.transitions import CANCELLED

    if (silent_seconds := job.silence(now)) is not None:
        return f"no sign of life for {duration(silent_seconds)}"
    if job.cancel_requested and job.in_flight:
        return "stopping"
    if job.status == "failed" and job.error == CANCELLED:
        return CANCELLED
    return named(job.status)


def trouble(job: Job) -> str:
    """Return the reason for a job's end, if its state does not name it."""
    from vestige_tui.jobs.transitions import CANCELLED, LEASE_LOST, OVERDUE

    words = {
        CANCELLED: "",
        LEASE_LOST: "its worker was lost (no sign of life)",
        OVERDUE: "it did not end before its deadline",
    }
    error = job.error or ""
    return words.get(error, redact(error))


def way_on(job: Job, now: datetime) -> str:
    """Return the command that continues a job of this program if no worker does; empty if there is nothing to do."""
    if job.plan is None or not (job.status == "failed" or job.silence(now) is not None):
        return ""
    effect = "goes on from the checkpoint" if job.resumable else "begins anew"
    return f"`vestige-tui jobs retry {short_id(job.id)}` {effect}"


def where(url: str, *, more: bool = False) -> str:
    """Return a short name of a store's URL: a file or folder name, or server and database.

    ``more``: with the parent folder.
    """
    scheme, _, rest = plain(redact(url)).partition(":")
    if scheme in ("postgresql", "postgres"):
        return rest.partition("?")[0].lstrip("/").rpartition("@")[2].rstrip("/") or scheme
    parts = PurePath(rest or scheme).parts
    return "/".join(parts[-2 if more else -1 :]) or plain(url)


def title(job: Job) -> str:
    """Return a job's title, with short names of its stores."""
    if job.plan is None or not job.target:
        return plain(job.task) or plain(job.kind)
    is_ambiguous = job.source != job.target and where(job.source) == where(job.target)
    source, target = where(job.source, more=is_ambiguous), where(job.target, more=is_ambiguous)
    if job.kind == "verify":
        return f"compare {source} with {target}"
    if job.kind != "reembed":
        return f"{plain(job.kind)} {source} → {target}"
    verb = next((words for name, words in _VERBS.items() if job.options.get(name)), _VERBS["reembed"])
    model, dimension = plain(str(job.options.get("model") or "")).rsplit("/", 1)[-1], job.options.get("dimension")
    suffix = f" → {model}" if model else ""
    return f"{verb} {target}{suffix}" + (f" ({dimension} dimensions)" if dimension else "")


def figures(job: Job) -> list[str]:
    """Return a job's progress: percentage, rows, rate, time left, and counts of failed or differing rows."""
    tables, parts = job.progress.tables.values(), []
    read, total = sum(each.read for each in tables), sum(each.total or 0 for each in tables)
    if job.in_flight and total:
        parts += [f"{min(100, 100 * read // total)} %", f"{grouped(read)} of {grouped(total)} rows"]
    elif read:
        parts.append(f"{grouped(read)} rows")
    if job.in_flight and job.progress.rate:
        parts.append(f"{grouped(round(job.progress.rate))} rows/s")
    if job.in_flight and job.progress.eta:
        parts.append(f"{duration(job.progress.eta)} left")
    for count in TROUBLE:
        if rows := sum(getattr(each, count) for each in tables):
            parts.append(f"{grouped(rows)} {named(count)}")
    return parts


def line(job: Job, now: datetime) -> str:
    """Return a job's state, progress and title in one line, most important first: narrow terminals cut its end."""
    state_words = state(job, now)
    parts = [] if job.status == "in_progress" and state_words == named(job.status) else [state_words]
    parts += [*figures(job), job.progress.phase if job.in_flight else "", *_signs(job, now), title(job), trouble(job)]
    return plain(", ".join(filter(None, parts)))


def summary(job: Job, now: datetime) -> str:
    """Return a job's title and progress, for a list with a state column."""
    phase = job.progress.phase if job.in_flight else ""
    return plain(", ".join(filter(None, [title(job), *figures(job), phase, *_signs(job, now), trouble(job)])))


def _signs(job: Job, now: datetime) -> list[str]:
    """Return the heartbeat and the deadline of an agent's work."""
    if job.plan is not None or not job.in_flight:
        return []
    parts = [f"last sign {ago(job.last_heartbeat, now)}" if job.last_heartbeat else "no sign of life yet"]
    return parts + ([f"deadline {ago(job.deadline, now)}"] if job.deadline else [])
