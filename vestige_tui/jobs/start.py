"""Start of a job: every refusal comes first, before a row or table exists; then a worker takes over."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestige_tui.config.directories import make_private_dir, state_dir
from vestige_tui.config.log import is_debugging
from vestige_tui.core.errors import Conflict, Unavailable, Usage, VestigeError
from vestige_tui.core.log import suppressed
from vestige_tui.jobs.known_stores import KEEP, remember, with_passwords, without_password
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.worker import KINDS, TAKEN, WAITING, owner
from vestige_tui.jobs.worker_sign import SUFFIX
from vestige_tui.process import exec_as
from vestige_tui.store.direct_lines import direct_line
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job, TableProgress

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 60.0

# Without -P the working directory would come first on the module path.
WORKER_COMMAND = (sys.executable, "-P", "-m", "vestige_tui.jobs.worker")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Request for a job: its kind, two store URLs, which may hold passwords, and its options.

    The row of the job lies in ``target``; a re-embedding has one store for both.
    """

    kind: str
    source: str = field(repr=False)
    target: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValidatedJob:
    """Job that passed every check: its source and target, without passwords, and its name in the ledger."""

    source: str
    target: str
    model: str
    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    creates: bool = False
    """True if the target, or its tables, may be created."""
    anew: bool = False
    """True if every attempt starts over, because nothing of an earlier one counts."""


@dataclass(frozen=True, slots=True)
class StartedJob:
    """Job that runs. ``already_running``: it was under way before, and nothing was started."""

    job_id: str
    already_running: bool


async def check(request: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Check a request. Raises Usage, Unavailable, ForeignStore, ReadOnly, ModelMismatch, Refused.

    Creates nothing, except a server in a folder of its own unless ``dry``.
    """
    job: ValidatedJob = await _module(request.kind).check(request, dry=dry)
    return job


async def dry_run(request: JobRequest) -> dict[str, TableProgress]:
    """Count the rows that the job would read and leave behind, by table. Writes nothing; raises as the job would."""
    tables: dict[str, TableProgress] = await _module(request.kind).dry_run(request)
    return tables


def spawn_worker(spec: Mapping[str, str]) -> None:
    """Start the worker in a session of its own, write its spec to stdin, and wait until it has taken the job."""
    folder = state_dir() / "jobs"
    make_private_dir(folder)
    _forget_old_logs(folder)
    path = folder / f"{spec['job_id']}.log"
    job_log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # The launcher exits at once and init adopts the worker, so that its end needs no wait here.
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", exec_as.__file__, "-", str(folder), "detach", *WORKER_COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=job_log,
        )
    finally:
        os.close(job_log)
    log.debug("Started the worker of job %s", spec["job_id"])
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    with launcher.stdout as stdout:
        with suppress(BrokenPipeError), launcher.stdin as stdin:
            stdin.write(json.dumps(spec).encode())
        launcher.wait()
        # The pipe ends after a word, or with the worker itself.
        if _line(stdout.fileno()) not in (TAKEN, WAITING):
            raise Unavailable(f"The worker did not start; {path} has the reason.")


async def start(
    request: JobRequest, *, fresh: bool = False, spawn: Callable[[Mapping[str, str]], None] = spawn_worker
) -> StartedJob:
    """Start a job in a process of its own; return once the worker has taken it.

    An unfinished plan continues from its checkpoint, unless ``fresh`` or of a kind that starts over. Raises as
    ``check`` does, before a row or table is created; then creates the tables of the target, or migrates them, where
    needed. ``spawn`` is given the spec of the worker and returns once the job is taken.
    """
    job = await check(request)
    async with open_store(request.target, create=job.creates, max_connections=2) as target:
        ledger = Ledger(target)
        location = without_password(target.location)
        run = await ledger.start(
            kind=request.kind,
            source=job.source,
            target=location,
            model=job.model,
            task=job.task,
            owner=owner(),
            options=job.options,
            fresh=fresh or job.anew,
        )
        if run.already_running:
            # The job runs even if the index cannot be written.
            with suppressed(log, "note a running job in the index", OSError, VestigeError):
                await asyncio.to_thread(remember, location, run.id, request.kind)
        else:
            try:
                with _no_worker():
                    await asyncio.to_thread(remember, location, run.id, request.kind)
                    spec = {
                        "job_id": run.id,
                        "source": _absolute(request.source, job.source),
                        "target": _absolute(request.target, location),
                        "direct": direct_line(request.target) or "",
                        "debug": "yes" if is_debugging() else "",
                    }
                    await asyncio.to_thread(spawn, spec)
                    log.info("Started job %s (%s)", run.id, request.kind)
            except VestigeError as error:
                # On a full disk this write fails, too; the first error is still the one to report.
                with suppressed(log, "record that a job could not start", VestigeError):
                    await ledger.transition(run.id, "failed", error=error.message)
                raise
    return StartedJob(run.id, run.already_running)


async def resume(job: Job, known: Sequence[str] = ()) -> StartedJob:
    """Start the next attempt of a job's plan, from its checkpoint unless it completed.

    ``known`` are store URLs with their passwords; they replace the same stores of the job, which has none. Raises
    Conflict if it still runs, and as ``start`` does.
    """
    if job.kind not in KINDS:
        raise Usage(f"A {job.kind} is not a job of vestige-tui; the agent that it is delegated to runs it.")
    urls = with_passwords(known)
    started = await start(
        JobRequest(
            job.kind,
            urls.get(job.source, job.source),
            urls.get(job.target, job.target),
            dict(job.options),
        )
    )
    if started.already_running:
        raise Conflict("This job is already running.")
    log.info("Job %s continues as %s", job.id, started.job_id)
    return started


def _module(kind: str) -> Any:
    if kind not in KINDS:
        raise Usage(f"There is no job of the kind {kind}.")
    return import_module(KINDS[kind])


def _absolute(url: str, location: str) -> str:
    """Return a URL for the worker: a server's with its password, a path independent of the working directory."""
    return url if url.startswith(("postgresql:", "postgres:")) else location


@contextmanager
def _no_worker() -> Iterator[None]:
    """Raise Unavailable for an OSError of the worker, its log or its index entry."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The worker could not be started: {error.strerror or error}.") from error


def _forget_old_logs(folder: Path) -> None:
    oldest = time.time() - KEEP.total_seconds()
    # .rows: sync state of copies, written here by earlier versions.
    for path in (*folder.glob("*.log"), *folder.glob("*.rows"), *folder.glob(f"*{SUFFIX}")):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _line(descriptor: int) -> str:
    import select

    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], HANDSHAKE_SECONDS)
        part = os.read(descriptor, 64) if ready else b""
        if not part:
            break
        line += part
    return line.decode().strip()
