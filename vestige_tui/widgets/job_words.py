"""Jobs in a few words: what one does, how it stands, how far it is, and how long it may still take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from vestige_tui.model import Job
from vestige_tui.text import duration, grouped, plain
from vestige_tui.widgets.job_progress import STALE_SECONDS
from vestige_tui.widgets.row_list import Ink

CANCELLED = "cancelled"
DELEGATION = "delegation"

Group: TypeAlias = Literal["running", "agents", "finished"]
GROUPS: tuple[Group, ...] = ("running", "agents", "finished")

VERBS: Mapping[str, str] = {"copy": "copy", "verify": "verify", "reembed": "re-embed"}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands: a shape, the word for it, and its ink."""

    glyph: str
    word: str
    ink: Ink


STATES = {
    "queued": Standing("○", "waiting to start", "muted"),
    "dispatched": Standing("○", "starting", "muted"),
    "in_progress": Standing("►", "running", "accent"),
    "completed": Standing("✓", "done", "text"),
    "failed": Standing("■", "failed", "bad"),
    "stuck": Standing("◌", "stuck", "waiting"),
}


def is_ours(job: Job) -> bool:
    """Whether a worker of this program does it; anything else is work that an agent was given."""
    return job.kind != DELEGATION


def group_of(job: Job) -> Group:
    """Return under which heading a job stands."""
    if not job.in_flight:
        return "finished"
    return "running" if is_ours(job) else "agents"


def standing(job: Job, now: datetime) -> Standing:
    """Return how a job stands, told also from its heartbeat, its rows and what the person asked of it."""
    found = STATES.get(job.status, Standing("○", plain(job.status), "muted"))
    if job.in_flight:
        if silent(job, now) is not None:
            return Standing("◌", "no sign of life", "waiting")
        return Standing("▫", "stopping", "waiting") if job.cancel_requested else found
    if job.error == CANCELLED:
        return Standing("▫", "cancelled", "muted")
    if job.status != "completed":
        return found
    if differing := differences(job):
        return Standing("◪", f"{grouped(differing)} {'differs' if differing == 1 else 'differ'}", "waiting")
    if failed := failed_rows(job):
        return Standing("◪", f"{grouped(failed)} failed {'row' if failed == 1 else 'rows'}", "waiting")
    if job.kind == "verify":
        return Standing("✓", "verified, all equal", "good")
    if job.kind == "copy" and job.options.get("verify", True):
        return Standing("✓", "verified", "good")
    return found


def silent(job: Job, now: datetime) -> float | None:
    """Return for how many seconds a job of ours has given no sign, None while that is no reason to worry.

    What an agent does may give signs as seldom as it likes: the ledger decides when it is stuck.
    """
    if not job.in_flight or not is_ours(job) or job.last_heartbeat is None:
        return None
    seconds = (now - job.last_heartbeat).total_seconds()
    return seconds if seconds > STALE_SECONDS else None


def since_sign(job: Job, now: datetime) -> float | None:
    """Return how many seconds ago a job last gave a sign, None where it never did."""
    return max(0.0, (now - job.last_heartbeat).total_seconds()) if job.last_heartbeat is not None else None


def stuck_for(job: Job, now: datetime) -> float | None:
    """Return for how many seconds stuck work has given no sign, None where it is not stuck."""
    if job.status != "stuck":
        return None
    since = job.last_heartbeat or job.updated_at
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def countdown(deadline: datetime | None, now: datetime) -> tuple[str, bool]:
    """Return what is left until a deadline (``in 5 h 12 min``, ``overdue by 3 min``), and whether that is nothing."""
    if deadline is None:
        return "", False
    left = (deadline - now).total_seconds()
    return (f"in {duration(left)}", False) if left >= 0 else (f"overdue by {duration(-left)}", True)


def failed_rows(job: Job) -> int:
    """Return how many rows could not be copied."""
    return sum(table.failed for table in job.progress.tables.values())


def differences(job: Job) -> int:
    """Return how many rows were found to differ, or to be on one side only."""
    return sum(table.differ + table.only_source + table.only_target for table in job.progress.tables.values())


def fraction(job: Job) -> float | None:
    """Return how much of its rows a job has read, 0..1; None while they are not counted."""
    counted = [table for table in job.progress.tables.values() if table.total is not None]
    total = sum(table.total or 0 for table in counted)
    return min(1.0, sum(table.read for table in counted) / total) if total else None


def where(url: str) -> str:
    """Return enough of a store's URL to know it again: a file's or folder's name, a server and its database."""
    scheme, _, rest = plain(url).partition(":")
    rest = rest.partition("?")[0].rstrip("/")
    if scheme in ("postgresql", "postgres"):
        host, slash, database = rest.lstrip("/").rpartition("@")[2].partition("/")
        named = host.partition(",")[0]
        first, _, domain = named.partition(".")
        server = named if domain[:1].isdigit() else first
        return (server + slash + database if server else database) or "postgres"
    return rest.rsplit("/", 1)[-1] or plain(url)


def title(job: Job, *, short: bool = False) -> str:
    """Return what a job does, in a few words."""
    if not is_ours(job) or not job.target:
        return plain(job.task) or plain(job.kind)
    verb = VERBS.get(job.kind, plain(job.kind))
    if job.kind == "reembed":
        model = short_model(str(job.options.get("model") or ""))
        if job.options.get("rollback"):
            return f"roll {where(job.target)} back"
        if short and model:
            return f"{verb} → {model}"
        return f"{verb} {where(job.target)}" + (f" → {model}" if model else "")
    if job.kind == "verify":
        return f"{verb} {where(job.target)}" if short else f"{verb} {where(job.source)} = {where(job.target)}"
    return f"{verb} → {where(job.target)}" if short else f"{verb} {where(job.source)} → {where(job.target)}"


def short_model(name: str) -> str:
    """Return a model's name without the house that it comes from."""
    return plain(name).strip().rsplit("/", 1)[-1]


_TOLD = {
    "follow": "follows its source until stopped",
    "reembed": "makes the vectors anew",
    "in_place": "in place: search by meaning waits for it",
    "drop_hnsw_first": "drops the index first",
    "concurrent_index": "builds the index without a lock",
    "drop_old": "drops the old vectors",
    "rollback": "goes back to the model before",
}


def in_words(options: Mapping[str, Any]) -> str:
    """Return what a job was told, as words; what is off or not known by name is left out."""
    said = [words for name, words in _TOLD.items() if options.get(name)]
    if options.get("verify") is False:
        said.append("compares nothing at the end")
    model, batch = options.get("model"), options.get("batch")
    if isinstance(model, str) and model:
        said.insert(0, plain(model))
    if isinstance(batch, int) and batch:
        said.append(f"{grouped(batch)} rows a batch")
    return ", ".join(said)
