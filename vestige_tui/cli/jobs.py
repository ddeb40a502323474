"""Commands for jobs and for work that agents were given, in whichever store: list, show, watch, cancel, retry …"""

from __future__ import annotations

import asyncio
import re
from argparse import Namespace
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.cli.output import Live, Output
from vestige_tui.cli.parser import Commands, whole
from vestige_tui.cli.session import is_file, settings, store_url
from vestige_tui.core.errors import NotFound, ReadOnly, StoreMissing, Usage, VestigeError
from vestige_tui.core.text import ago, cut, grouped, plain, short_id
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.shell_jobs import line, named, state, summary, trouble, way_on

if TYPE_CHECKING:
    from vestige_tui.config import Config
    from vestige_tui.core.jobs import Job, JobFinding, JobStatus, TableProgress
    from vestige_tui.store.store import Store

FAILED_ROWS = 4
MOST_FINDINGS = 1_000
WATCH_SECONDS = 0.5
LONGEST_SECONDS = 10**9
SURE_ID = 8
"""Where so many characters of an id are given, nobody looks in other stores for a second one."""
_SHOWN_FINDINGS = 20

_SHORT_KEY = 30
_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")

_COPIED = ("read", "inserted", "present", "repaired", "failed")
_SOMETIMES = ("left_behind", "updated", "deleted", "differ", "only_source", "only_target")


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
    from vestige_tui.jobs.known_stores import watched, with_passwords, without_password

    config = settings(args)
    here = store_url(args, config)
    reached = with_passwords(_known(args, config))
    others = (reached.get(url, url) for url in watched() if url != without_password(here))
    return (here, *others)


def _known(args: Namespace, config: Config) -> tuple[str, ...]:
    """Stores whose URLs of this run may hold passwords, which neither a job does nor the index."""
    return tuple(url for url in (args.store, config.postgres_url) if url)


@asynccontextmanager
async def _store(url: str, *, read_only: bool) -> AsyncIterator[Store]:
    from vestige_tui.store.open import open_store

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
        output.document(json_shapes.listed(json_shapes.job(job, now) for job in found[: args.limit]))
    elif found:
        listed = found[: args.limit]
        rows = [(short_id(job.id), state(job, now), _when(job, now), summary(job, now)) for job in listed]
        output.table(rows, flexible=3, header=("id", "state", "begun", "job"), right=(2,), wrap=True)
    elif not counts.total():
        output.note("There are no jobs.")
    if counts.total() and not output.as_json:
        words = {"failed": "failed or cancelled"} if any(state(job, now) == "cancelled" for job in found) else {}
        told = [f"{grouped(count)} {words.get(status, named(status))}" for status, count in counts.items() if count]
        output.note(f"{', '.join(told)}.")
    return 0


def _when(job: Job, now: datetime) -> str:
    return ago(job.created_at, now) if job.created_at else ""


@asynccontextmanager
async def _found(args: Namespace, *, read_only: bool) -> AsyncIterator[tuple[Store, Job]]:
    """The job with this id, in whichever store it lies."""
    from vestige_tui.jobs.ledger import LEAST_PREFIX, Ledger

    if len(args.id) < LEAST_PREFIX:
        raise Usage(f"Give {LEAST_PREFIX} or more characters of the job's id, not {args.id!r}.")
    found: dict[str, tuple[str, Job]] = {}
    for url in _urls(args):
        try:
            async with _store(url, read_only=True) as store:
                found |= {job.id: (url, job) for job in await Ledger(store).matching(args.id)}
        except VestigeError:
            continue
        # That two stores have jobs whose ids begin alike for so long will not happen.
        if found and len(args.id) >= SURE_ID:
            break
    if not found:
        raise NotFound(f"There is no job {args.id!r} in any store that is known here.")
    if len(found) > 1:
        now = datetime.now(UTC)
        each = "; ".join(f"{job.id} ({summary(job, now)})" for _, job in found.values())
        raise Usage(f"{args.id!r} is the beginning of several jobs; give more of it: {each}.")
    [(url, job)] = found.values()
    async with _store(url, read_only=read_only or args.read_only) as store:
        yield store, job


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
        output.document({"job": json_shapes.job(job, datetime.now(UTC), notes)})
        return 0
    show(output, job, notes)
    return 0


def show(output: Output, job: Job, notes: list[JobFinding]) -> None:
    """A job in words: what it is, its tables, and what became of single rows."""
    now = datetime.now(UTC)
    quiet = job.silence(now) is not None
    rows = [
        ("id", job.id),
        ("job", job.task or job.kind),
        ("state", state(job, now) + (f", {job.progress.phase}" if job.in_flight and job.progress.phase else "")),
        ("attempt", f"{job.tries}, which went on from the checkpoint of the one before" if job.resumed else ""),
        ("retries", str(job.retry_count or "") if not job.plan else ""),
        ("caller", job.caller if not job.plan else ""),
        ("callee", job.callee if not job.plan else ""),
        ("begun", _when(job, now)),
        ("last sign", (ago(job.last_heartbeat, now) if job.last_heartbeat else "none yet") if job.in_flight else ""),
        ("deadline", ago(job.deadline, now) if job.in_flight and job.deadline and not quiet else ""),
        ("result", job.result or ""),
        ("error", trouble(job)),
        ("way on", way_on(job, now)),
    ]
    output.table([row for row in rows if row[1]], flexible=1, wrap=True)
    tables = {name: each for name, each in job.progress.tables.items() if _counted(each)}
    if tables:
        always = _COPIED if job.kind in ("copy", "repair") else ("read",)
        columns = [
            count
            for count in (*_COPIED, *_SOMETIMES)
            if count in always or any(getattr(each, count) for each in tables.values())
        ]
        output.line()
        output.table(
            [(name, *(_cell(count, getattr(each, count)) for count in columns)) for name, each in tables.items()],
            flexible=0,
            header=("table", *map(named, columns)),
            right=range(1, len(columns) + 1),
        )
    if notes:
        output.line()
        tell_findings(output, notes)


def tell_findings(output: Output, notes: Sequence[JobFinding]) -> None:
    """What became of single rows, the first of them: the table, what it was, which row, and why."""
    longest = max(_SHORT_KEY, output.width // 3) if output.terminal else None
    rows = []
    for each in notes[:_SHOWN_FINDINGS]:
        # Who wants to look a row up in another program has --json.
        key = _ID.sub(r"\1", plain(each.source_key))
        rows.append((each.subject, named(each.outcome), key if longest is None else cut(key, longest), each.reason))
    output.table(rows, flexible=3, wrap=True)
    if len(notes) > _SHOWN_FINDINGS:
        output.line(f"and {grouped(len(notes) - _SHOWN_FINDINGS)} more, with --json.")


def _counted(table: TableProgress) -> bool:
    return any(getattr(table, count) for count in (*_COPIED, *_SOMETIMES))


def _cell(count: str, rows: int) -> str:
    return grouped(rows) if rows or count != "left_behind" else ""


async def _watch(args: Namespace, output: Output) -> int:
    view = _View(output)
    try:
        if args.id:
            async with _found(args, read_only=True) as (store, job):
                return await _watch_one(store, job.id, view)
        await _watch_all(args, view)
    finally:
        view.close()
    return 0


async def _watch_all(args: Namespace, view: _View) -> None:
    from vestige_tui.jobs.monitor import watch

    config = settings(args)
    here = store_url(args, config)
    looked_at = () if is_file(here) and not args.store else (here,)
    async with aclosing(watch(None, WATCH_SECONDS, looked_at, _known(args, config))) as changes:
        upcoming: asyncio.Task[tuple[Job, ...]] | None = None
        jobs: tuple[Job, ...] = ()
        try:
            while True:
                upcoming = upcoming or asyncio.create_task(anext(changes))
                # A worker that is gone changes nothing, and that is what there is to say.
                await asyncio.wait({upcoming}, timeout=1.0)
                if upcoming.done():
                    try:
                        jobs, upcoming = upcoming.result(), None
                    except StopAsyncIteration:
                        return
                view.show(jobs)
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.wait({upcoming})


async def _watch_one(store: Store, job_id: str, view: _View) -> int:
    from vestige_tui.jobs.ledger import Ledger

    while (job := await Ledger(store).job(job_id)).in_flight:
        view.show([job])
        await asyncio.sleep(WATCH_SECONDS)
    view.show([job])
    return status_of(job)


class _View:
    """The jobs that are watched: on a terminal a line each, written anew while they run; elsewhere a line a change."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._live: Live | None = output.live() if output.terminal and not output.as_json else None
        self._seen: dict[str, tuple[Job, bool]] = {}
        self._said: dict[str, str] = {}

    def show(self, jobs: Sequence[Job]) -> None:
        now = datetime.now(UTC)
        for job in jobs:
            # That a worker went silent is told once, not second by second.
            stands = (job, job.silence(now) is not None)
            before, self._seen[job.id] = self._seen.get(job.id), stands
            if self._output.as_json:
                if before is None or before[0] != job:
                    self._output.object({"job": json_shapes.job(job, now)})
            elif before != stands and (self._live is None or not job.in_flight):
                self._say(job, line(job, now))
        if self._live is not None:
            self._live.show([f"{short_id(job.id)}  {line(job, now)}" for job in jobs if job.in_flight])

    def _say(self, job: Job, told: str) -> None:
        if self._said.get(job.id) != told:
            self._said[job.id] = told
            if self._live is not None:
                self._live.end()
            self._output.table([(short_id(job.id), told)], flexible=1, wrap=True)
            self._output.flush()

    def close(self) -> None:
        if self._live is not None:
            self._live.leave()


def status_of(job: Job) -> int:
    """The exit status that a job's end gives a command: 1 also where its comparison found differences.

    Rows that no copy can bring fail a copy; a comparison only names them.
    """
    tables = job.progress.tables.values()
    compared = job.kind in ("verify", "repair") or (job.kind == "copy" and job.options.get("verify", True))
    if job.status != "completed" or (
        compared and any(each.differ or each.only_source or each.only_target for each in tables)
    ):
        return 1
    failed = any(each.failed for each in tables)
    return FAILED_ROWS if failed and job.kind not in ("verify", "repair") else 0


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
    then = f"; `vestige-tui jobs retry {short_id(job.id)}` goes on from there" if job.plan else ""
    return _tell(output, job.id, f"Job {short_id(job.id)} {said}{then}.")


async def _retry(args: Namespace, output: Output) -> int:
    from vestige_tui.config import load_config
    from vestige_tui.jobs.monitor import retry

    urls = _known(args, load_config(Path(args.config) if args.config else None))
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
    from vestige_tui.jobs.ledger import STUCK_AFTER, SweepResult
    from vestige_tui.jobs.sweeper import sweep, told

    threshold = timedelta(seconds=min(args.threshold, LONGEST_SECONDS)) if args.threshold else STUCK_AFTER
    in_all = SweepResult()
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
