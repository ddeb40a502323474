"""Jobs in words for a person at a command line: what one does, how it stands, how far it is."""

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
"""What a count or a finding is called where its own name is no word."""
TROUBLE = ("failed", "differ", "only_source", "only_target")
_VERBS = {"reembed": "re-embed", "in_place": "re-embed in place", "rollback": "roll back"}


def named(count: str) -> str:
    """A count, or what became of a row, as it is called in every table."""
    return HEADERS.get(count, count.replace("_", " "))


def state(job: Job, now: datetime) -> str:
    """How a job stands."""
    from vestige_tui.jobs.ledger import CANCELLED

    if (quiet := job.silence(now)) is not None:
        return f"no sign of life for {duration(quiet)}"
    if job.cancel_requested and job.in_flight:
        return "stopping"
    if job.status == "failed" and job.error == CANCELLED:
        return CANCELLED
    return named(job.status)


def trouble(job: Job) -> str:
    """Why a job ended as it did, where its state does not say so."""
    from vestige_tui.jobs.ledger import CANCELLED, LEASE_LOST, OVERDUE

    words = {
        CANCELLED: "",
        LEASE_LOST: "its worker was lost (no sign of life)",
        OVERDUE: "it did not end before its deadline",
    }
    error = job.error or ""
    return words.get(error, redact(error))


def way_on(job: Job, now: datetime) -> str:
    """The command that goes on with a job of ours where nobody else does; empty where there is nothing to do."""
    if job.plan is None or not (job.status == "failed" or job.silence(now) is not None):
        return ""
    how = "goes on from the checkpoint" if job.resumable else "begins anew"
    return f"`vestige-tui jobs retry {short_id(job.id)}` {how}"


def where(url: str, *, more: bool = False) -> str:
    """Enough of a store's URL to know it by: a file's or folder's name, a server and its database.

    ``more``: with the folder that it lies in.
    """
    scheme, _, rest = plain(redact(url)).partition(":")
    if scheme in ("postgresql", "postgres"):
        return rest.partition("?")[0].lstrip("/").rpartition("@")[2].rstrip("/") or scheme
    parts = PurePath(rest or scheme).parts
    return "/".join(parts[-2 if more else -1 :]) or plain(url)


def title(job: Job) -> str:
    """What a job does, with the stores by their short names."""
    if job.plan is None or not job.target:
        return plain(job.task) or plain(job.kind)
    alike = job.source != job.target and where(job.source) == where(job.target)
    source, target = where(job.source, more=alike), where(job.target, more=alike)
    if job.kind == "verify":
        return f"compare {source} with {target}"
    if job.kind != "reembed":
        return f"{plain(job.kind)} {source} → {target}"
    verb = next((words for name, words in _VERBS.items() if job.options.get(name)), _VERBS["reembed"])
    model, dimension = plain(str(job.options.get("model") or "")).rsplit("/", 1)[-1], job.options.get("dimension")
    to = f" → {model}" if model else ""
    return f"{verb} {target}{to}" + (f" ({dimension} dimensions)" if dimension else "")


def figures(job: Job) -> list[str]:
    """How far a job is: part, rows, rate, time left, and the rows that something is amiss with."""
    tables, told = job.progress.tables.values(), []
    read, total = sum(each.read for each in tables), sum(each.total or 0 for each in tables)
    if job.in_flight and total:
        told += [f"{min(100, 100 * read // total)} %", f"{grouped(read)} of {grouped(total)} rows"]
    elif read:
        told.append(f"{grouped(read)} rows")
    if job.in_flight and job.progress.rate:
        told.append(f"{grouped(round(job.progress.rate))} rows/s")
    if job.in_flight and job.progress.eta:
        told.append(f"{duration(job.progress.eta)} left")
    for count in TROUBLE:
        if rows := sum(getattr(each, count) for each in tables):
            told.append(f"{grouped(rows)} {named(count)}")
    return told


def line(job: Job, now: datetime) -> str:
    """How far a job is and what it is about, what matters most first: a narrow terminal shows only the beginning."""
    stands = state(job, now)
    told = [] if job.status == "in_progress" and stands == named(job.status) else [stands]
    told += [*figures(job), job.progress.phase if job.in_flight else "", *_signs(job, now), title(job), trouble(job)]
    return plain(", ".join(filter(None, told)))


def summary(job: Job, now: datetime) -> str:
    """What a job is about and how far it is, for a list that has its state beside it."""
    phase = job.progress.phase if job.in_flight else ""
    return plain(", ".join(filter(None, [title(job), *figures(job), phase, *_signs(job, now), trouble(job)])))


def _signs(job: Job, now: datetime) -> list[str]:
    """What is known of work that an agent was given."""
    if job.plan is not None or not job.in_flight:
        return []
    told = [f"last sign {ago(job.last_heartbeat, now)}" if job.last_heartbeat else "no sign of life yet"]
    return told + ([f"deadline {ago(job.deadline, now)}"] if job.deadline else [])
