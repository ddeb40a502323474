"""Sign of a living worker on its own machine: a file with its process and its wait.

The ledger of a job may be away, locked, or on a full disk; then no heartbeat can be written there. The file has a fixed
size that is allocated when the worker begins, so that it can be written on a full disk, too.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vestige_tui.config.directories import make_private_dir, state_dir
from vestige_tui.core.jobs import Job, JobWait
from vestige_tui.core.log import log_suppressed
from vestige_tui.core.times import format_time, parse_stored
from vestige_tui.process.process_state import is_stopped, start_time

log = logging.getLogger(__name__)

SUFFIX = ".sign"
FILE_BYTES = 4_096
"""Size of the file, padded with blanks: one block of most file systems."""
MAX_REASON_CHARS = 600
"""Limit of a reason, of which a character takes six bytes at most."""


@dataclass(frozen=True, slots=True)
class LivingWorker:
    """A worker with its process on this machine, and its wait."""

    pid: int
    wait: JobWait | None = None


class WorkerSign:
    """The file of this process's own job, as long as it works on it. A file that cannot be written is done without."""

    def __init__(self, job_id: str) -> None:
        self._path = _path(job_id)
        self._descriptor: int | None = None

    def __enter__(self) -> WorkerSign:
        try:
            make_private_dir(self._path.parent)
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            self.write(None)
        except OSError as error:
            log_suppressed(log, "create the sign file of a worker", error)
        return self

    def write(self, wait: JobWait | None) -> None:
        """Note the wait of the worker, None for no wait."""
        if self._descriptor is None:
            return
        pid = os.getpid()
        note: dict[str, Any] = {"pid": pid, "started": start_time(pid)}
        if wait is not None:
            note |= {"reason": wait.reason[:MAX_REASON_CHARS], "since": format_time(wait.since)}
        try:
            text = json.dumps(note, ensure_ascii=False)
            os.pwrite(self._descriptor, text.encode("utf-8", "replace").ljust(FILE_BYTES), 0)
        except OSError as error:
            log_suppressed(log, "write the sign file of a worker", error)

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            with suppress(OSError):
                self._path.unlink()


def living_worker(job_id: str) -> LivingWorker | None:
    """Return the worker of a job if its process runs on this machine; None if it ended, is stopped, or is elsewhere."""
    try:
        note = json.loads(_path(job_id).read_bytes())
        pid, started = int(note["pid"]), str(note["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not started or start_time(pid) != started or is_stopped(pid):
        return None
    since = parse_stored(note.get("since"))
    return LivingWorker(pid, JobWait(str(note.get("reason")), since) if since is not None else None)


def living_workers() -> dict[str, LivingWorker]:
    """Return the living workers of this machine, of this user's jobs, by job."""
    ids = sorted(path.stem for path in (state_dir() / "jobs").glob(f"*{SUFFIX}"))
    return {job_id: worker for job_id in ids if (worker := living_worker(job_id)) is not None}


def with_living_worker(job: Job) -> Job:
    """Return a job with the process and the wait of its worker on this machine, which may not reach the ledger."""
    if not (job.in_flight and job.is_ours):
        return job
    worker = living_worker(job.id)
    if worker is None:
        return replace(job, worker_pid=None) if job.worker_pid is not None else job
    return replace(job, worker_pid=worker.pid, wait=worker.wait)


def _path(job_id: str) -> Path:
    return state_dir() / "jobs" / f"{Path(job_id).name}{SUFFIX}"
