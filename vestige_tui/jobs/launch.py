"""Starting a copy: every refusal is made here, in front, before there is a row or a table; then a worker takes over."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vestige_tui.config import state_dir
from vestige_tui.embedding import same_model
from vestige_tui.errors import ForeignStore, ModelMismatch, ReadOnly, StoreMissing, Unavailable, Usage, VestigeError
from vestige_tui.jobs.copy import CopyPlan
from vestige_tui.jobs.index import KEEP, remember, without_password
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.source import SqliteSource, sqlite_path
from vestige_tui.jobs.tables import TABLES, model_of
from vestige_tui.jobs.worker import TAKEN, owner
from vestige_tui.model import ModelSignature, TableProgress
from vestige_tui.store import launcher, open_backend, open_store, schema
from vestige_tui.store.rows import model as read_model
from vestige_tui.times import format_time

if TYPE_CHECKING:
    from vestige_tui.store.backend import Backend

HANDSHAKE_SECONDS = 60.0

_WORKER = (sys.executable, "-m", "vestige_tui.jobs.worker")


@dataclass(frozen=True, slots=True)
class Launched:
    """A copy that runs. ``already_running``: it was under way before, and nothing was begun."""

    job_id: str
    already_running: bool


@dataclass(frozen=True, slots=True)
class _Source:
    location: str
    title: str
    model: ModelSignature | None


async def start_copy(plan: CopyPlan) -> Launched:
    """Begin a copy in a process of its own; gives its job once the worker has taken it.

    Raises, before a row or a table is made: Usage, Unavailable, ForeignStore, ReadOnly, ModelMismatch, Refused.
    The target's tables are then made, or brought up, where need be.
    """
    source = await _check(plan)
    async with open_store(plan.target, create=True, max_connections=2) as target:
        ledger = Ledger(target)
        where = without_password(target.location)
        run = await ledger.start(
            kind="copy",
            source=source.location,
            target=where,
            model=source.model.name if source.model else "",
            task=f"copy {source.title} to {target.title}",
            owner=owner(),
        )
        remember(where, run.id, "copy")
        if not run.already_running:
            try:
                await asyncio.to_thread(_spawn, plan, run.id, run.first_started)
            except VestigeError as error:
                await ledger.transition(run.id, "failed", error=error.message)
                raise
    return Launched(run.id, run.already_running)


async def dry_run(plan: CopyPlan) -> dict[str, TableProgress]:
    """What a copy would read, table by table, and what it would leave behind. Makes nothing; raises as a copy would."""
    await _check(plan, dry=True)
    return await asyncio.to_thread(_counted, sqlite_path(plan.source))


def _counted(path: Path) -> dict[str, TableProgress]:
    source = SqliteSource(path)
    try:
        tables = {table.name: TableProgress(total=source.count(table.name).rows) for table in TABLES}
        left = {name: TableProgress(left_behind=rows) for name, rows in source.left_behind().items()}
    finally:
        source.close()
    return tables | left


async def _check(plan: CopyPlan, *, dry: bool = False) -> _Source:
    sqlite_path(plan.source)
    backend = open_backend(plan.target, create=not dry, max_connections=1)
    if backend.dialect != "postgres":
        raise Usage("A copy goes from a SQLite file to PostgreSQL.")
    async with open_store(plan.source, read_only=True) as opened:
        source = _Source(opened.location, opened.title, model_of(await opened.registered_model()))
    backend.use_model(source.model)  # refuses vectors that are too wide
    try:
        await backend.open()
    except StoreMissing:
        if dry:  # an embedded server that the copy would make
            return source
        raise
    try:
        await _check_target(backend, source.model)
    finally:
        await backend.close()
    return source


async def _check_target(backend: Backend, model: ModelSignature | None) -> None:
    if backend.read_only:
        raise ReadOnly(f"{backend.title} is open read-only: {backend.reason}.")
    if not await schema.is_ours(backend):
        if taken := [str(row["name"]) for row in await backend.fetch("list_taken_names")]:
            raise ForeignStore(f"{backend.title} already has a {taken[0]} that is not ours; it was not touched.")
        return
    if not any(info.state == "applied" for info in await schema.status(backend)):
        return
    found = await backend.fetch("get_model")
    if not found or model is None:
        return
    there = read_model(found[0])
    if not same_model(there.name, model.name) or there.dimension != model.dimension:
        raise ModelMismatch(
            f"The source belongs to {model.name} ({model.dimension} dimensions), the target to {there.name} "
            f"({there.dimension}); nothing was copied."
        )


def _spawn(plan: CopyPlan, job_id: str, moment: datetime) -> None:
    """Start the worker in a session of its own, give it its work, and wait until it has taken the job."""
    spec = {
        "job_id": job_id,
        "source": f"sqlite:{sqlite_path(plan.source)}",
        "target": plan.target,
        "batch": plan.batch,
        "moment": format_time(moment),
    }
    folder = state_dir() / "jobs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _forget_old_logs(folder)
    log = os.open(folder / f"{job_id}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # The launcher ends at once and leaves the worker to the system, so that nobody here has to wait for its end.
        starting = subprocess.Popen(
            [sys.executable, "-I", "-S", launcher.__file__, "-", str(folder), "detach", *_WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    except OSError as error:
        raise Unavailable(f"No worker could be started: {error.strerror}.") from error
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
            raise Unavailable(f"The worker did not begin; {folder / f'{job_id}.log'} says why.")


def _forget_old_logs(folder: Path) -> None:
    oldest = time.time() - KEEP.total_seconds()
    for path in folder.glob("*.log"):
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
