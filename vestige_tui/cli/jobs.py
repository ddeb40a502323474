"""Commands for jobs and delegated agent work, in all known stores: list, show, watch, cancel, retry …"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from argparse import Namespace
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.cli.global_options import is_file, settings, store_url
from vestige_tui.cli.job_lines import advice, commands, line, rows, state, summary
from vestige_tui.cli.output import Live, Output
from vestige_tui.cli.parser import Commands, seconds, whole
from vestige_tui.core.errors import Busy, NotFound, ReadOnly, StoreMissing, Unavailable, Usage, VestigeError
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.text import ago, cut, grouped, plain, quoted, redact, short_id
from vestige_tui.presenters import json_shapes
from vestige_tui.presenters.job_actions import cancel_sentence, fail_sentence, retry_effect, retry_sentence
from vestige_tui.presenters.job_outcome import status_sentence
from vestige_tui.presenters.job_progress import count_name, row_differences
from vestige_tui.presenters.jobs import CANCELLED_LABEL, STATUS_LABELS, later_run, state_label

if TYPE_CHECKING:
    from vestige_tui.config.settings import Config
    from vestige_tui.core.jobs import Job, JobFinding, TableProgress
    from vestige_tui.store.store import Store

log = logging.getLogger(__name__)

FAILED_ROWS_STATUS = 4
MAX_FINDINGS_COUNT = 1_000
WATCH_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
"""Time to wait for an unreachable database, if it is not known that the worker lives; it retries by itself."""
_ID_HELP = "id of a job, or its first characters (4 or more)"
MAX_THRESHOLD_SECONDS = 10**9
UNIQUE_PREFIX_CHARS = 8
"""Length from which an id prefix counts as unique across stores, so that the search stops at the first match."""
_MAX_PRINTED_FINDINGS_COUNT = 20

_MIN_KEY_COLUMNS = 30
_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")

_COPY_COUNTS = ("read", "inserted", "present", "repaired", "failed")
_OPTIONAL_COUNTS = ("left_behind", "updated", "deleted", "differ", "only_source", "only_target")


def add_commands(commands: Commands) -> None:
    jobs = commands.add("jobs", None, "list, watch, cancel and retry jobs")
    steps = commands.subcommands(jobs, "step")
    listing = steps.add("list", _list, "list the jobs of all known stores, running jobs first")
    listing.add_argument(
        "--status",
        metavar="S",
        help="queued (waiting to start), dispatched (starting), in_progress (running), stuck (no heartbeat), completed "
        "(done), failed (includes cancelled), or in_flight: all that have not ended",
    )
    listing.add_argument(
        "--limit", metavar="N", type=whole, default=50, help="maximum number of jobs, up to 1000 (default 50)"
    )
    steps.add("show", _show, "show one job with its failed and repaired rows").add_argument(
        "id", metavar="ID", help=_ID_HELP
    )
    watch = steps.add("watch", _watch, "print each change of all jobs, or of one job until it ends")
    watch.add_argument("id", metavar="ID", nargs="?", help=_ID_HELP)
    steps.add("cancel", _cancel, "cancel a job (at its next checkpoint) or a task delegated to an agent").add_argument(
        "id", metavar="ID", help=_ID_HELP
    )
    steps.add("retry", _retry, "continue a job from its checkpoint, or queue a delegated task again").add_argument(
        "id", metavar="ID", help=_ID_HELP
    )
    fail = steps.add("fail", _fail, "mark an abandoned job or delegated task as failed")
    fail.add_argument("id", metavar="ID", help=_ID_HELP)
    fail.add_argument("--reason", metavar="TEXT", default="", help="reason to record")
    sweep = steps.add(
        "sweep",
        _sweep,
        "mark jobs and delegated tasks past their deadline as failed, and those without a heartbeat as stuck",
    )
    sweep.add_argument("--threshold", metavar="SECONDS", type=seconds, help="time without a heartbeat (default 600)")


def _urls(args: Namespace) -> tuple[str, ...]:
    """Return the stores that may hold jobs: the one of this run, and those where this machine started jobs."""
    from vestige_tui.jobs.known_stores import watched, with_password
    from vestige_tui.jobs.store_identity import distinct_stores

    config = settings(args)
    own_url = store_url(args, config)
    password_urls = _password_urls(args, config)
    other_urls = distinct_stores(watched(), leave_out=(own_url,))
    return (own_url, *(with_password(url, password_urls) for url in other_urls))


def _password_urls(args: Namespace, config: Config) -> tuple[str, ...]:
    """Return the URLs of this run that may hold passwords: jobs and their index store none."""
    return tuple(url for url in (args.store, config.postgres_url) if url)


@asynccontextmanager
async def _store(url: str, *, read_only: bool) -> AsyncIterator[Store]:
    from vestige_tui.store.open import open_store

    async with open_store(url, read_only=read_only, max_connections=2) as store:
        yield store


async def _list(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import Ledger, check_listing

    check_listing(args.limit, args.status)
    jobs_by_id: dict[str, Job] = {}
    counts: Counter[str] = Counter()
    first_jobs: set[str] = set()
    for position, url in enumerate(_urls(args)):
        try:
            async with _store(url, read_only=True) as store:
                ledger = Ledger(store)
                first = {job.id for job in await ledger.jobs(1)}
                if first & first_jobs:
                    # The same store behind another address, such as localhost and 127.0.0.1.
                    continue
                first_jobs |= first
                page = await ledger.jobs(args.limit, args.status)
                counts.update(await ledger.counts())
                # A copied file holds jobs of the store that it was copied from.
                counts.subtract(Counter(job.status for job in page if job.id in jobs_by_id))
                jobs_by_id = {job.id: job for job in page} | jobs_by_id
        except StoreMissing:
            if position == 0 and args.store:
                raise
        except VestigeError as error:
            if position == 0 and args.store:
                raise
            output.note(error.message)
    _note_unlisted_workers(output, jobs_by_id)
    jobs = list(jobs_by_id.values())
    now = datetime.now(UTC)
    oldest = datetime.min.replace(tzinfo=UTC)
    jobs.sort(key=lambda job: job.created_at or oldest, reverse=True)
    jobs.sort(key=lambda job: not job.in_flight)
    if output.as_json:
        output.document(json_shapes.listed(json_shapes.job(job, now) for job in jobs[: args.limit]))
    elif jobs:
        listed = jobs[: args.limit]
        lines = [(short_id(job.id), state(job, now), _created_ago(job, now), summary(job, now)) for job in listed]
        output.table(lines, flexible=3, header=("id", "state", "started", "job"), right=(2,), wrap=True)
    elif not counts.total():
        output.note("No jobs.")
    if counts.total() and not output.as_json:
        output.note(_totals(counts, any(state_label(job, now) is CANCELLED_LABEL for job in jobs)))
    return 0


def _note_unlisted_workers(output: Output, listed: Collection[str]) -> None:
    """Note the wait of each worker on this machine, if the store of its job could not be asked."""
    from vestige_tui.jobs.worker_sign import living_workers

    for job_id, worker in living_workers().items():
        if job_id not in listed and worker.wait is not None:
            output.note(f"Job {short_id(job_id)} is waiting (process {worker.pid}): {redact(worker.wait.reason)}")


def _totals(counts: Counter[str], cancelled_too: bool) -> str:
    words: dict[str, str] = {status: label.word for status, label in STATUS_LABELS.items()}
    if cancelled_too:
        words["failed"] += f" or {CANCELLED_LABEL.word}"
    return f"{', '.join(f'{grouped(count)} {words[status]}' for status, count in counts.items() if count)}."


def _created_ago(job: Job, now: datetime) -> str:
    return ago(job.created_at, now) if job.created_at else ""


@asynccontextmanager
async def _find_job(args: Namespace, *, read_only: bool) -> AsyncIterator[tuple[Store, Job]]:
    """Find the job with this id prefix in any known store; yield its open store and the job. Raises Usage, NotFound."""
    from vestige_tui.jobs.ledger import MIN_PREFIX_LENGTH, Ledger

    if len(args.id) < MIN_PREFIX_LENGTH:
        raise Usage(f"{quoted(args.id)} is too short; give at least {MIN_PREFIX_LENGTH} characters of the job id.")
    matches: dict[str, tuple[str, Job]] = {}
    away: Unavailable | None = None
    for url in _urls(args):
        try:
            async with _store(url, read_only=True) as store:
                matches |= {job.id: (url, job) for job in await Ledger(store).matching(args.id)}
        except VestigeError as error:
            log_suppressed(log, "look for a job in a known store", error)
            if isinstance(error, Unavailable) and not isinstance(error, StoreMissing):
                away = away or error
            continue
        # A prefix this long is unique across stores.
        if matches and len(args.id) >= UNIQUE_PREFIX_CHARS:
            break
    if not matches:
        if away is not None:
            raise Unavailable(f"{away.message} {_found_here(args.id)}")
        raise NotFound(f"No known store has a job {quoted(args.id)}; name its store with --store.")
    if len(matches) > 1:
        now = datetime.now(UTC)
        candidates = "; ".join(f"{job.id} ({summary(job, now)})" for _, job in matches.values())
        raise Usage(f"{quoted(args.id)} matches several jobs; give more characters: {candidates}.")
    [(url, job)] = matches.values()
    async with _store(url, read_only=read_only or args.read_only) as store:
        yield store, job


def _found_here(prefix: str) -> str:
    """Return what is known on this machine of a job whose store cannot be asked."""
    from vestige_tui.jobs.worker_sign import living_workers

    for job_id, worker in living_workers().items():
        if job_id.startswith(prefix):
            reason = f" and is waiting: {redact(worker.wait.reason)}" if worker.wait is not None else "."
            return f"The worker of job {short_id(job_id)} (process {worker.pid}) is running{reason}"
    return f"No other known store has a job {quoted(prefix)}."


async def findings(store: Store, job_id: str) -> list[JobFinding]:
    """Return the findings of a job, MAX_FINDINGS_COUNT at most."""
    from vestige_tui.jobs.ledger import Ledger

    items: list[JobFinding] = []
    after: str | None = None
    while len(items) < MAX_FINDINGS_COUNT:
        page = await Ledger(store).findings(job_id, 200, after)
        items += page.items
        after = page.next
        if after is None:
            break
    return items


async def _show(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import MAX_LISTED_JOBS, Ledger

    async with _find_job(args, read_only=True) as (store, job):
        job_findings = await findings(store, job.id)
        needs_later_run = job.is_ours and job.status == "failed" and not output.as_json
        later = later_run(job, await Ledger(store).jobs(MAX_LISTED_JOBS)) if needs_later_run else None
    if output.as_json:
        output.document({"job": json_shapes.job(job, datetime.now(UTC), job_findings)})
        return 0
    show(output, job, job_findings, later)
    return 0


def show(output: Output, job: Job, job_findings: list[JobFinding], later: Job | None = None) -> None:
    """Print a job: its facts, its result or problem, what can be done, its tables and findings.

    ``later`` is the last run of the same plan, if that came after this job.
    """
    now = datetime.now(UTC)
    output.table(list(rows(job, now)), flexible=1, wrap=True)
    sentence, actions = status_sentence(job, now), advice(job, now, later)
    if sentence or actions:
        output.line()
    if sentence:
        output.line(sentence.text)
    if actions:
        output.line(actions)
    tables = {name: table for name, table in job.progress.tables.items() if _has_counts(table)}
    if tables:
        always = _COPY_COUNTS if job.kind in ("copy", "repair") else ("read",)
        columns = [
            count
            for count in (*_COPY_COUNTS, *_OPTIONAL_COUNTS)
            if count in always or any(getattr(table, count) for table in tables.values())
        ]
        output.line()
        output.table(
            [(name, *(_cell(count, getattr(table, count)) for count in columns)) for name, table in tables.items()],
            flexible=0,
            header=("table", *map(count_name, columns)),
            right=range(1, len(columns) + 1),
        )
    if job_findings:
        output.line()
        print_findings(output, job_findings)


def print_findings(output: Output, findings: Sequence[JobFinding]) -> None:
    """Print the first findings: table, outcome, row and reason."""
    columns = max(_MIN_KEY_COLUMNS, output.width // 3) if output.terminal else None
    lines = []
    for finding in findings[:_MAX_PRINTED_FINDINGS_COUNT]:
        # --json has the whole id.
        key = _ID.sub(r"\1", plain(finding.source_key))
        lines.append(
            (
                finding.subject,
                count_name(finding.outcome),
                key if columns is None else cut(key, columns),
                finding.reason,
            )
        )
    output.table(lines, flexible=3, wrap=True)
    if len(findings) > _MAX_PRINTED_FINDINGS_COUNT:
        output.line(f"and {grouped(len(findings) - _MAX_PRINTED_FINDINGS_COUNT)} more; --json lists all.")


def _has_counts(table: TableProgress) -> bool:
    return any(getattr(table, count) for count in (*_COPY_COUNTS, *_OPTIONAL_COUNTS))


def _cell(count: str, rows: int) -> str:
    return grouped(rows) if rows or count != "left_behind" else ""


async def _watch(args: Namespace, output: Output) -> int:
    view = _View(output)
    try:
        if args.id:
            async with _find_job(args, read_only=True) as (store, job):
                return await _watch_one(store, job.id, view)
        await _watch_all(args, view)
    finally:
        view.close()
    return 0


async def _watch_all(args: Namespace, view: _View) -> None:
    from vestige_tui.jobs.monitor import watch

    config = settings(args)
    own_url = store_url(args, config)
    extra_urls = () if is_file(own_url) and not args.store else (own_url,)
    async with aclosing(watch(None, WATCH_SECONDS, extra_urls, _password_urls(args, config))) as changes:
        upcoming: asyncio.Task[tuple[Job, ...]] | None = None
        jobs: tuple[Job, ...] = ()
        try:
            while True:
                upcoming = upcoming or asyncio.create_task(anext(changes))
                # Redraw without a change, too: a dead worker makes none, and its silence must show.
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
    from vestige_tui.jobs.worker_sign import with_living_worker

    job: Job | None = None
    lost_since: float | None = None
    while job is None or job.in_flight:
        try:
            job, lost_since = await Ledger(store).job(job_id), None
        except (Unavailable, Busy) as error:
            lost_since = lost_since or time.monotonic()
            job = with_living_worker(job) if job is not None else None
            # While the worker waits, it is watched.
            if job is None or (job.worker_pid is None and time.monotonic() - lost_since > PATIENCE_SECONDS):
                raise
            log_suppressed(log, "read a watched job", error)
        view.show([job])
        if job.in_flight:
            await asyncio.sleep(WATCH_SECONDS)
    return status_of(job)


class _View:
    """View of watched jobs: on a terminal one line per running job, updated in place; elsewhere one line per change."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._live: Live | None = output.live() if output.terminal and not output.as_json else None
        self._snapshots: dict[str, tuple[Job, bool]] = {}
        self._printed: dict[str, str] = {}

    def show(self, jobs: Sequence[Job]) -> None:
        now = datetime.now(UTC)
        for job in jobs:
            # Report a silent worker once, not every second.
            snapshot = (job, job.silence(now) is not None)
            before, self._snapshots[job.id] = self._snapshots.get(job.id), snapshot
            if self._output.as_json:
                if before is None or before[0] != job:
                    self._output.object({"job": json_shapes.job(job, now)})
            elif before != snapshot and (self._live is None or not job.in_flight):
                self._print(job, line(job, now))
        if self._live is not None:
            self._live.show([f"{short_id(job.id)}  {line(job, now)}" for job in jobs if job.in_flight])

    def _print(self, job: Job, text: str) -> None:
        if self._printed.get(job.id) != text:
            self._printed[job.id] = text
            if self._live is not None:
                self._live.end()
            self._output.table([(short_id(job.id), text)], flexible=1, wrap=True)
            self._output.flush()

    def close(self) -> None:
        if self._live is not None:
            self._live.leave()


def status_of(job: Job) -> int:
    """Return the exit status for the end of a job: 1 also if its comparison found differences.

    Uncopyable rows fail a copy; a comparison only lists them.
    """
    tables = job.progress.tables.values()
    compared = job.kind in ("verify", "repair") or (job.kind == "copy" and job.options.get("verify", True))
    if job.status != "completed" or (compared and any(map(row_differences, tables))):
        return 1
    failed = any(each.failed for each in tables)
    return FAILED_ROWS_STATUS if failed and job.kind not in ("verify", "repair") else 0


def _print_changed(output: Output, job_id: str, sentence: str) -> int:
    if output.as_json:
        output.document({"changed": [job_id], "undo": None})
    output.line(sentence)
    return 0


async def _cancel(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import Ledger

    async with _find_job(args, read_only=False) as (store, job):
        effect = cancel_sentence(await Ledger(store).cancel(job.id), f"Job {short_id(job.id)}")
    hint = f" {commands(job)['retry']} {retry_effect(job)}." if job.is_ours else ""
    return _print_changed(output, job.id, effect + hint)


async def _retry(args: Namespace, output: Output) -> int:
    from vestige_tui.config.reader import load_config
    from vestige_tui.jobs.monitor import retry

    urls = _password_urls(args, load_config(Path(args.config) if args.config else None))
    async with _find_job(args, read_only=False) as (store, job):
        if store.read_only:
            raise ReadOnly(f"{store.title} is open read-only; nothing was started.")
        new_id = await retry(store, job, urls)
    hint = f" `vestige-tui jobs watch {short_id(new_id)}` follows it." if job.is_ours else ""
    return _print_changed(output, new_id, retry_sentence(job, new_id, f"Job {short_id(job.id)}") + hint)


async def _fail(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.ledger import Ledger

    async with _find_job(args, read_only=False) as (store, job):
        await Ledger(store).mark_failed(job.id, args.reason)
    return _print_changed(output, job.id, fail_sentence(f"Job {short_id(job.id)}"))


async def _sweep(args: Namespace, output: Output) -> int:
    from vestige_tui.jobs.sweeper import SweepResult, sweep, sweep_summary
    from vestige_tui.jobs.transitions import STUCK_AFTER

    if args.read_only:
        raise ReadOnly("A sweep writes to the job logs of the stores; remove --read-only.")
    threshold = timedelta(seconds=min(args.threshold, MAX_THRESHOLD_SECONDS)) if args.threshold else STUCK_AFTER
    total = SweepResult()
    for url in (args.store,) if args.store else _urls(args):
        try:
            async with _store(url, read_only=False) as store:
                if store.read_only:
                    raise ReadOnly(f"{store.title} is open read-only; nothing was changed.")
                result = await sweep(store, threshold=threshold)
        except VestigeError as error:
            if args.store:
                raise
            if not isinstance(error, StoreMissing):
                output.note(error.message)
            continue
        total += result
    if output.as_json:
        output.document(asdict(total))
    output.line(sweep_summary(total, threshold))
    return FAILED_ROWS_STATUS if total.errors else 0
