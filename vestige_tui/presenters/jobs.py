"""Jobs in a few words: what one does, how it stands, how far it is, and how long it may still take."""

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
    """How a job stands: a shape, the word for it, its ink, and a shorter word for where there is little room."""

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
    """Whether a worker of this program does it; anything else is work that an agent was given."""
    return job.kind != DELEGATION


def group_of(job: Job, now: datetime) -> Group:
    """Return under which heading a job stands."""
    if not job.in_flight:
        return "finished"
    if not is_ours(job):
        return "agents"
    return "running" if job.silence(now) is None else "no sign of life"


def standing(job: Job, now: datetime) -> Standing:
    """Return how a job stands, told also from its heartbeat, its rows and what the person asked of it."""
    found = STATES.get(job.status, Standing("○", plain(job.status), "muted"))
    if job.in_flight:
        if job.silence(now) is not None:
            return Standing("◌", "no sign of life", "waiting")
        return Standing("▫", "cancelling", "waiting") if job.cancel_requested else found
    if job.error == CANCELLED:
        return Standing("▫", "cancelled", "muted")
    if job.status != "completed":
        return found
    if differing := differences(job):
        return Standing("◪", counted(differing, "difference"), "waiting")
    if failed := failed_rows(job):
        return Standing("◪", counted(failed, "failed row"), "waiting", f"{grouped(failed)} failed")
    if job.kind == "verify":
        return Standing("✓", "verified, all equal", "good", "all equal")
    if job.kind == "repair" or (job.kind == "copy" and job.options.get("verify", True)):
        return Standing("✓", "verified", "good")
    return found


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


def counted(count: int, what: str) -> str:
    """Return a number of things in words, ``1 difference`` or ``3 differences``."""
    return f"{grouped(count)} {what}{'' if count == 1 else 's'}"


def doing(job: Job) -> str:
    """Return what a running job of ours is at: how much of its rows it has read, or what it does once they are read."""
    done = fraction(job)
    if done is not None and done < 1:
        return f"{int(done * 100)} %"
    return plain(job.progress.phase)


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


def title(job: Job, width: int | None = None) -> str:
    """Return what a job does, in a few words; in ``width`` cells, where given, its two ends are cut alike."""
    if not is_ours(job) or not job.target:
        said = plain(job.task) or plain(job.kind)
        return said if width is None else cut(said, width)
    verb, target = VERBS.get(job.kind, plain(job.kind)), where(job.target)
    if job.kind == "reembed":
        return _reembedding(job, verb, target, width)
    return _between(f"{verb} ", where(job.source), " = " if job.kind == "verify" else " → ", target, width)


def _reembedding(job: Job, verb: str, store: str, width: int | None) -> str:
    if job.options.get("rollback"):
        said = f"roll {store} back"
        return said if width is None else cut(said, width)
    name, wide = short_model(str(job.options.get("model") or "")), job.options.get("dimension")
    if not name:
        return _between(f"{verb} ", store, "", "", width)
    # A model is known by its width as well: several jobs may differ in nothing else.
    tail = f" {grouped(wide)}" if isinstance(wide, int) else ""
    said = f"{verb} {store} → {name}{tail}"
    if width is None or cells(said) <= width:
        return said
    head = f"{verb} → "
    return head + cut(name, max(1, width - cells(head) - cells(tail))) + tail


def _between(head: str, one: str, sign: str, other: str, width: int | None) -> str:
    """Two ends with a sign between them, the longer one cut first."""
    if width is not None:
        room = max(2, width - cells(head) - cells(sign))
        half = room // 2
        if cells(one) + cells(other) > room:
            left = max(half, room - cells(other))
            one = cut(one, left)
            other = cut(other, room - cells(one))
    return head + one + sign + other


def model_in_words(options: Mapping[str, Any]) -> str:
    """Return the model that a job was given, with its width where that is known; empty where none was."""
    name, wide = options.get("model"), options.get("dimension")
    if not isinstance(name, str) or not name:
        return ""
    return plain(name) + (f", {grouped(wide)} dimensions" if isinstance(wide, int) else "")


def later_run(job: Job, jobs: Iterable[Job]) -> Job | None:
    """Return the last run of a job's plan, None where it is that itself."""
    if job.plan is None:
        return None
    last = max((each for each in jobs if each.plan == job.plan), key=lambda each: each.attempt, default=job)
    return last if last.attempt > job.attempt else None


def came_after(later: Job) -> str:
    """Return that another run of the same work came after one, and what became of it."""
    if later.in_flight:
        became = "is under way"
    elif later.error == CANCELLED:
        became = "was cancelled"
    else:
        became = "is done" if later.status == "completed" else "failed"
    which = f"Attempt {grouped(later.tries)}" if later.resumed else "A run from the beginning"
    return f"{which} came after this one, and {became}."


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
    """Return how a job was told to go about it, as words; what is off or not known by name is left out."""
    said = [words for name, words in _TOLD.items() if options.get(name)]
    if options.get("verify") is False:
        said.append("compares nothing at the end")
    batch = options.get("batch")
    if isinstance(batch, int) and batch:
        said.append(f"{grouped(batch)} rows a batch")
    return ", ".join(said)
