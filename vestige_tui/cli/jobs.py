"""Commands for jobs, whichever store they write to: jobs list, show, watch, cancel."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vestige_tui import shapes
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, whole
from vestige_tui.cli.session import is_file, settings, store_url
from vestige_tui.errors import Conflict, NotFound, StoreMissing, VestigeError
from vestige_tui.text import ago, duration, grouped, plain, redact, short_id

if TYPE_CHECKING:
    from vestige_tui.model import Job, JobFinding
    from vestige_tui.store.service import Store

FAILED_ROWS = 4
MOST_FINDINGS = 1_000
WATCH_SECONDS = 0.5
_SHOWN_FINDINGS = 20


def add_commands(commands: Commands) -> None:
    jobs = commands.add("jobs", None, "list, watch and cancel copies and other jobs")
    below = commands.below(jobs, "step")
    listing = below.add("list", _list, "list the jobs of every store that had one here, running ones first")
    listing.add_argument("--limit", metavar="N", type=whole, default=50)
    below.add("show", _show, "show one job, and what became of single rows").add_argument("id", metavar="ID")
    watch = below.add("watch", _watch, "print every change, of all jobs or of one until it ends")
    watch.add_argument("id", metavar="ID", nargs="?")
    below.add("cancel", _cancel, "ask a job to stop at its next checkpoint").add_argument("id", metavar="ID")


def _urls(args: Namespace) -> tuple[str, ...]:
    """The stores that may hold jobs: the one of this run, and those where jobs were started from here."""
    from vestige_tui.jobs.index import watched, without_password

    here = store_url(args, settings(args))
    others = (url for url in watched() if url != without_password(here))
    return (here, *others)


@asynccontextmanager
async def _store(url: str, *, read_only: bool) -> AsyncIterator[Store]:
    from vestige_tui.store import open_store

    async with open_store(url, read_only=read_only, max_connections=2) as store:
        yield store


async def _list(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import Ledger

    found: list[Job] = []
    for position, url in enumerate(_urls(args)):
        try:
            async with _store(url, read_only=True) as store:
                found += await Ledger(store).jobs(args.limit)
        except StoreMissing:
            if position == 0 and args.store:
                raise
        except VestigeError as error:
            if position == 0 and args.store:
                raise
            output.note(error.message)
    now = datetime.now(UTC)
    oldest = datetime.min.replace(tzinfo=UTC)
    found.sort(key=lambda job: job.created_at or oldest, reverse=True)
    found.sort(key=lambda job: not job.in_flight)
    if output.as_json:
        output.document(shapes.listed(shapes.job(job, now) for job in found[: args.limit]))
    elif found:
        rows = [(short_id(job.id), job.kind, _state(job), summary(job), _when(job, now)) for job in found[: args.limit]]
        output.table(rows, flexible=3, header=("id", "kind", "state", "job", "begun"), right=(4,))
    else:
        output.note("There are no jobs.")
    return 0


def _state(job: Job) -> str:
    if job.cancel_requested and job.in_flight:
        return "stopping"
    return job.status.replace("_", " ")


def _when(job: Job, now: datetime) -> str:
    return ago(job.created_at, now) if job.created_at else ""


def summary(job: Job) -> str:
    """What a job is and how far it is, in a line."""
    parts = [job.task or f"{redact(job.source)} → {redact(job.target)}"]
    tables = job.progress.tables.values()
    read, total = sum(each.read for each in tables), sum(each.total or 0 for each in tables)
    if job.in_flight and job.progress.phase:
        parts.append(job.progress.phase)
    if read:
        parts.append(
            f"{grouped(read)} of {grouped(total)} rows" if total and job.in_flight else f"{grouped(read)} rows"
        )
    if job.in_flight and job.progress.rate:
        parts.append(f"{grouped(round(job.progress.rate))} rows/s")
    if job.in_flight and job.progress.eta:
        parts.append(f"{duration(job.progress.eta)} left")
    failed = sum(each.failed for each in tables)
    if failed:
        parts.append(f"{grouped(failed)} failed")
    if job.error:
        parts.append(job.error)
    return plain(", ".join(parts))


@asynccontextmanager
async def _found(args: Namespace, *, read_only: bool) -> AsyncIterator[tuple[Store, Job]]:
    """The job with this id, in whichever store it lies."""
    from vestige_tui.jobs.ledger import Ledger

    for url in _urls(args):
        job: Job | None = None
        try:
            async with _store(url, read_only=True) as store:
                job = await Ledger(store).job(args.id)
        except (NotFound, StoreMissing):
            continue
        except VestigeError as error:
            if error.exit_status == 2:
                raise
            continue
        async with _store(url, read_only=read_only or args.read_only) as store:
            yield store, job
        return
    raise NotFound(f"There is no job {args.id!r} in any store that is known here.")


async def findings(store: Store, job_id: str) -> list[JobFinding]:
    """What became of single rows, the first thousand."""
    from vestige_tui.jobs.ledger import Ledger

    found: list[JobFinding] = []
    after: str | None = None
    while len(found) < MOST_FINDINGS:
        page = await Ledger(store).findings(job_id, 200, after)
        found += page.items
        after = page.next
        if after is None:
            break
    return found


async def _show(args: Namespace, output: Output) -> int:
    async with _found(args, read_only=True) as (store, job):
        notes = await findings(store, job.id)
    if output.as_json:
        output.document({"job": shapes.job(job, datetime.now(UTC), notes)})
        return 0
    show(output, job, notes)
    return 0


def show(output: Output, job: Job, notes: list[JobFinding]) -> None:
    """A job in words: what it is, its tables, and what became of single rows."""
    now = datetime.now(UTC)
    rows = [
        ("id", job.id),
        ("job", job.task or job.kind),
        ("state", _state(job) + (f", {job.progress.phase}" if job.in_flight and job.progress.phase else "")),
        ("attempt", str(job.attempt)),
        ("begun", _when(job, now)),
        ("heartbeat", ago(job.last_heartbeat, now) if job.in_flight and job.last_heartbeat else ""),
        ("result", job.result or ""),
        ("error", job.error or ""),
    ]
    output.table([row for row in rows if row[1]], flexible=1)
    tables = [
        (
            name,
            *(grouped(count) for count in (each.read, each.inserted, each.present, each.repaired, each.failed)),
            grouped(each.left_behind) if each.left_behind else "",
        )
        for name, each in job.progress.tables.items()
        if each.read or each.left_behind
    ]
    if tables:
        output.line()
        header = ("table", "read", "inserted", "present", "repaired", "failed", "left behind")
        output.table(tables, flexible=0, header=header, right=range(1, 7))
    if notes:
        output.line()
        output.table(
            [
                (each.subject, each.outcome.replace("_", " "), each.source_key, each.reason)
                for each in notes[:_SHOWN_FINDINGS]
            ],
            flexible=3,
        )
    if len(notes) > _SHOWN_FINDINGS:
        output.line(f"and {grouped(len(notes) - _SHOWN_FINDINGS)} more, with --json.")


async def _watch(args: Namespace, output: Output) -> int:
    if args.id:
        async with _found(args, read_only=True) as (store, job):
            return await _watch_one(store, job.id, output)
    from vestige_tui.jobs.watch import watch

    here = store_url(args, settings(args))
    known = () if is_file(here) and not args.store else (here,)
    seen: dict[str, Job] = {}
    async with aclosing(watch(None, WATCH_SECONDS, known)) as changes:
        async for jobs in changes:
            for job in jobs:
                if seen.get(job.id) != job:
                    seen[job.id] = job
                    _print(output, job)
    return 0


def _print(output: Output, job: Job) -> None:
    if output.as_json:
        output.object({"job": shapes.job(job, datetime.now(UTC))})
    else:
        output.line(f"{short_id(job.id)}  {_state(job)}  {summary(job)}")


async def _watch_one(store: Store, job_id: str, output: Output) -> int:
    import asyncio

    from vestige_tui.jobs.ledger import Ledger

    last: Job | None = None
    while last is None or last.in_flight:
        if last is not None:
            await asyncio.sleep(WATCH_SECONDS)
        job = await Ledger(store).job(job_id)
        if job != last:
            _print(output, job)
        last = job
    return status_of(last)


def status_of(job: Job) -> int:
    """The exit status that a job's end gives a command."""
    if job.status != "completed":
        return 1
    return FAILED_ROWS if any(each.failed for each in job.progress.tables.values()) else 0


async def _cancel(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import Ledger

    async with _found(args, read_only=False) as (store, job):
        if not await Ledger(store).request_cancel(job.id):
            raise Conflict(f"Job {short_id(job.id)} has ended already.")
    if output.as_json:
        output.document({"changed": [job.id], "undo": None})
    output.line(f"Job {short_id(job.id)} stops at its next checkpoint.")
    return 0
