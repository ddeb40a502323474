"""Starting a job: every refusal is made here, in front, before there is a row or a table; then a worker takes over."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestige_tui.config import state_dir
from vestige_tui.core.errors import Conflict, Unavailable, Usage, VestigeError
from vestige_tui.jobs.known_stores import KEEP, remember, with_passwords, without_password
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.worker import KINDS, TAKEN, owner
from vestige_tui.process import exec_as
from vestige_tui.store.open import open_store

if TYPE_CHECKING:
    from vestige_tui.core.jobs import Job, TableProgress

HANDSHAKE_SECONDS = 60.0

# Without -P the folder that a person stands in would come first among those that modules are looked for in.
_WORKER = (sys.executable, "-P", "-m", "vestige_tui.jobs.worker")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a person asks for: a kind of job, two store URLs, which may hold passwords, and what else it needs.

    The row of the job lies in ``target``; a re-embedding has one store for both.
    """

    kind: str
    source: str = field(repr=False)
    target: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValidatedJob:
    """Work that nothing stands against: where it reads and writes, without passwords, and how the ledger names it."""

    source: str
    target: str
    model: str
    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    creates: bool = False
    """May the target, or its tables, be made?"""
    anew: bool = False
    """Does every attempt begin anew, because nothing of an earlier one counts?"""


@dataclass(frozen=True, slots=True)
class StartedJob:
    """A job that runs. ``already_running``: it was under way before, and nothing was begun."""

    job_id: str
    already_running: bool


async def check(work: JobRequest, *, dry: bool = False) -> ValidatedJob:
    """Refuse what cannot be done. Raises Usage, Unavailable, ForeignStore, ReadOnly, ModelMismatch, Refused.

    Nothing is made, but a server in a folder of its own where the work is not ``dry``.
    """
    checked: ValidatedJob = await _module(work.kind).check(work, dry=dry)
    return checked


async def dry_run(work: JobRequest) -> dict[str, TableProgress]:
    """What the work would read, table by table, and what it would leave behind. Makes nothing; raises as it would."""
    counted: dict[str, TableProgress] = await _module(work.kind).dry_run(work)
    return counted


async def start(work: JobRequest, *, fresh: bool = False) -> StartedJob:
    """Begin a job in a process of its own; gives it once the worker has taken it.

    A plan that ended before it was done goes on from its checkpoint, unless ``fresh`` or of a kind that begins anew.
    Raises as ``check`` does, before a row or a table is made; tables of a target are then made, or brought up, where
    need be.
    """
    checked = await check(work)
    async with open_store(work.target, create=checked.creates, max_connections=2) as target:
        ledger = Ledger(target)
        where = without_password(target.location)
        run = await ledger.start(
            kind=work.kind,
            source=checked.source,
            target=where,
            model=checked.model,
            task=checked.task,
            owner=owner(),
            options=checked.options,
            fresh=fresh or checked.anew,
        )
        if run.already_running:
            # It runs all the same where that cannot be noted here.
            with suppress(OSError, VestigeError):
                remember(where, run.id, work.kind)
        else:
            try:
                with _no_worker():
                    remember(where, run.id, work.kind)
                    spec = {
                        "job_id": run.id,
                        "source": _absolute(work.source, checked.source),
                        "target": _absolute(work.target, where),
                    }
                    await asyncio.to_thread(_spawn, spec)
            except VestigeError as error:
                # Where the same disk is full, the reason is still what there is to say.
                with suppress(VestigeError):
                    await ledger.transition(run.id, "failed", error=error.message)
                raise
    return StartedJob(run.id, run.already_running)


async def resume(job: Job, known: Sequence[str] = ()) -> StartedJob:
    """Begin the next attempt of a job's plan, from its checkpoint where it did not complete.

    ``known`` are store URLs with their passwords: they stand for the same stores of the job, which has none.
    Raises Conflict where it still runs, and as ``start`` does.
    """
    if job.kind not in KINDS:
        raise Usage(f"A {job.kind} is not a job of this program; whoever it was given to takes it up.")
    reached = with_passwords(known)
    launched = await start(
        JobRequest(
            job.kind,
            reached.get(job.source, job.source),
            reached.get(job.target, job.target),
            dict(job.options),
        )
    )
    if launched.already_running:
        raise Conflict("This job is running already.")
    return launched


def _module(kind: str) -> Any:
    if kind not in KINDS:
        raise Usage(f"There is no job of the kind {kind}.")
    return import_module(KINDS[kind])


def _absolute(url: str, location: str) -> str:
    """A URL as a worker can use it: a server's with its password, a path without regard to where the worker is."""
    return url if url.startswith(("postgresql:", "postgres:")) else location


@contextmanager
def _no_worker() -> Iterator[None]:
    """What the system refuses a worker, its log or its note included, is that none could be started."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"No worker could be started: {error.strerror or error}.") from error


def _spawn(spec: Mapping[str, str]) -> None:
    """Start the worker in a session of its own, give it its work, and wait until it has taken the job."""
    folder = state_dir() / "jobs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _forget_old_logs(folder)
    path = folder / f"{spec['job_id']}.log"
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # The launcher ends at once and leaves the worker to the system, so that nobody here has to wait for its end.
        starting = subprocess.Popen(
            [sys.executable, "-I", "-S", exec_as.__file__, "-", str(folder), "detach", *_WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    finally:
        os.close(log)
    assert starting.stdin is not None
    assert starting.stdout is not None
    with starting.stdout as answers:
        with suppress(BrokenPipeError), starting.stdin as work:
            work.write(json.dumps(spec).encode())
        starting.wait()
        # The end of the pipe comes with the word, or with the worker's own end.
        if _line(answers.fileno()) != TAKEN:
            raise Unavailable(f"The worker did not begin; {path} says why.")


def _forget_old_logs(folder: Path) -> None:
    oldest = time.time() - KEEP.total_seconds()
    # .rows: what copies knew was once kept here.
    for path in (*folder.glob("*.log"), *folder.glob("*.rows")):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _line(descriptor: int) -> str:
    import select

    found = b""
    while not found.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], HANDSHAKE_SECONDS)
        part = os.read(descriptor, 64) if ready else b""
        if not part:
            break
        found += part
    return found.decode().strip()
