"""Commands for jobs and for work that agents were given, in whichever store: list, show, watch, cancel, retry …"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui import shapes
from vestige_tui.cli.output import Output
from vestige_tui.cli.parser import Commands, whole
from vestige_tui.cli.session import is_file, settings, store_url
from vestige_tui.errors import NotFound, ReadOnly, StoreMissing, VestigeError
from vestige_tui.text import ago, duration, grouped, plain, redact, short_id

if TYPE_CHECKING:
    from vestige_tui.model import Job, JobFinding, JobStatus, TableProgress
    from vestige_tui.store.service import Store

FAILED_ROWS = 4
MOST_FINDINGS = 1_000
WATCH_SECONDS = 0.5
LONGEST_SECONDS = 10**9
_SHOWN_FINDINGS = 20

_COPIED = ("read", "inserted", "present", "repaired", "failed", "left_behind")
_SOMETIMES = ("updated", "deleted", "differ", "only_source", "only_target")
_HEADERS = {"differ": "differs", "only_source": "only in source", "only_target": "only in target"}
_TROUBLE = ("failed", "differ", "only_source", "only_target")


def add_commands(commands: Commands) -> None:
    jobs = commands.add("jobs", None, "list, watch, stop and retry copies and other jobs")
    below = commands.below(jobs, "step")
    listing = below.add("list", _list, "list the jobs of every store that had one here, running ones first")
    listing.add_argument("--status", metavar="S", help="in_flight, queued, dispatched, in_progress, completed, …")
    listing.add_argument("--limit", metavar="N", type=whole, default=50, help="at most so many, up to 1000")
    below.add("show", _show, "show one job, and what became of single rows").add_argument("id", metavar="ID")
    watch = below.add("watch", _watch, "print every change, of all jobs or of one until it ends")
    watch.add_argument("id", metavar="ID", nargs="?")
    below.add("cancel", _cancel, "stop a job at its next checkpoint, or end work that an agent was given").add_argument(
        "id", metavar="ID"
    )
    below.add("retry", _retry, "go on with a job from its checkpoint, or queue work once more").add_argument(
        "id", metavar="ID"
    )
    fail = below.add("fail", _fail, "mark work that nobody ends any more as failed")
    fail.add_argument("id", metavar="ID")
    fail.add_argument("--reason", metavar="TEXT", default="")
    sweep = below.add("sweep", _sweep, "fail what is over its deadline, and mark as stuck what gives no sign of life")
    sweep.add_argument("--threshold", metavar="SECONDS", type=whole, help="how long it may be silent (600)")


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
    from vestige_tui.jobs.ledger import Ledger, check_listing

    check_listing(args.limit, args.status)
    found: list[Job] = []
    counts: Counter[JobStatus] = Counter()
    for position, url in enumerate(_urls(args)):
        try:
            async with _store(url, read_only=True) as store:
                ledger = Ledger(store)
                found += await ledger.jobs(args.limit, args.status)
                counts.update(await ledger.counts())
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
    elif not counts.total():
        output.note("There are no jobs.")
    if counts.total() and not output.as_json:
        output.note(", ".join(f"{grouped(count)} {_words(status)}" for status, count in counts.items() if count) + ".")
    return 0


def _state(job: Job) -> str:
    if job.cancel_requested and job.in_flight:
        return "stopping"
    return _words(job.status)


def _words(status: str) -> str:
    return status.replace("_", " ")


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
    for count in _TROUBLE:
        if rows := sum(getattr(each, count) for each in tables):
            parts.append(f"{grouped(rows)} {count if count == 'differ' else _HEADERS.get(count, count)}")
    if job.kind == "delegation" and job.in_flight:
        now = datetime.now(UTC)
        parts.append(f"last sign {ago(job.last_heartbeat, now)}" if job.last_heartbeat else "no sign of life yet")
        if job.deadline:
            parts.append(f"deadline {ago(job.deadline, now)}")
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
        ("attempt", str(job.attempt) if job.plan else ""),
        ("retries", str(job.retry_count or "") if not job.plan else ""),
        ("caller", job.caller if not job.plan else ""),
        ("callee", job.callee if not job.plan else ""),
        ("begun", _when(job, now)),
        ("heartbeat", (ago(job.last_heartbeat, now) if job.last_heartbeat else "none yet") if job.in_flight else ""),
        ("deadline", ago(job.deadline, now) if job.in_flight and job.deadline else ""),
        ("result", job.result or ""),
        ("error", job.error or ""),
    ]
    output.table([row for row in rows if row[1]], flexible=1)
    tables = {name: each for name, each in job.progress.tables.items() if _counted(each)}
    if tables:
        always = _COPIED if job.kind == "copy" else ("read",)
        columns = [
            count
            for count in (*_COPIED, *_SOMETIMES)
            if count in always or any(getattr(each, count) for each in tables.values())
        ]
        output.line()
        output.table(
            [(name, *(_cell(count, getattr(each, count)) for count in columns)) for name, each in tables.items()],
            flexible=0,
            header=("table", *(_HEADERS.get(count, _words(count)) for count in columns)),
            right=range(1, len(columns) + 1),
        )
    if notes:
        output.line()
        output.table(
            [
                (each.subject, _HEADERS.get(each.outcome, _words(each.outcome)), each.source_key, each.reason)
                for each in notes[:_SHOWN_FINDINGS]
            ],
            flexible=3,
        )
    if len(notes) > _SHOWN_FINDINGS:
        output.line(f"and {grouped(len(notes) - _SHOWN_FINDINGS)} more, with --json.")


def _counted(table: TableProgress) -> bool:
    return any(getattr(table, count) for count in (*_COPIED, *_SOMETIMES))


def _cell(count: str, rows: int) -> str:
    return grouped(rows) if rows or count != "left_behind" else ""


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
    tables = job.progress.tables.values()
    if job.status != "completed" or (
        job.kind == "verify" and any(each.differ or each.only_source or each.only_target for each in tables)
    ):
        return 1
    return FAILED_ROWS if any(each.failed for each in tables) else 0


def _tell(output: Output, changed: str, words: str) -> int:
    if output.as_json:
        output.document({"changed": [changed], "undo": None})
    output.line(words)
    return 0


async def _cancel(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import Ledger

    async with _found(args, read_only=False) as (store, job):
        came_to = await Ledger(store).cancel(job.id)
    said = "stops at its next checkpoint" if came_to == "asked" else "is cancelled"
    return _tell(output, job.id, f"Job {short_id(job.id)} {said}.")


async def _retry(args: Namespace, output: Output) -> int:
    from vestige_tui.config import load_config
    from vestige_tui.jobs.watch import retry

    # The URLs of this run may hold passwords, which no job does.
    configured = load_config(Path(args.config) if args.config else None).postgres_url
    urls = [url for url in (configured, args.store) if url]
    async with _found(args, read_only=False) as (store, job):
        if store.read_only:
            raise ReadOnly(f"{store.title} is open read-only; nothing was begun.")
        again = await retry(store, job, urls)
    new = short_id(again)
    if job.plan is None:
        return _tell(output, again, f"Job {short_id(job.id)} is queued once more, as {new}.")
    return _tell(
        output, again, f"Job {short_id(job.id)} is taken up again, as {new}; `vestige-tui jobs watch {new}` shows it."
    )


async def _fail(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import Ledger

    async with _found(args, read_only=False) as (store, job):
        await Ledger(store).mark_failed(job.id, args.reason)
    return _tell(output, job.id, f"Job {short_id(job.id)} is marked as failed.")


async def _sweep(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import STUCK_AFTER, Swept
    from vestige_tui.jobs.sweeper import sweep, told

    threshold = timedelta(seconds=min(args.threshold, LONGEST_SECONDS)) if args.threshold else STUCK_AFTER
    in_all = Swept()
    for url in (args.store,) if args.store else _urls(args):
        try:
            async with _store(url, read_only=args.read_only) as store:
                if store.read_only:
                    raise ReadOnly(f"{store.title} is open read-only; nothing was swept.")
                swept = await sweep(store, threshold=threshold)
        except VestigeError as error:
            if args.store or args.read_only:
                raise
            if not isinstance(error, StoreMissing):
                output.note(error.message)
            continue
        in_all += swept
    if output.as_json:
        output.document(asdict(in_all))
    output.line(told(in_all, threshold))
    return FAILED_ROWS if in_all.errors else 0
