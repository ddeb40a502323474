"""A job that cannot be started, or not be noted: what the ledger holds then, and what the person reads."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.full_store import fill
from tests.support.jobs import wait_for_job
from vestige_tui.core.errors import Unavailable
from vestige_tui.core.jobs import Job
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, start
from vestige_tui.store.open import open_store


def full(*arguments: Any, **options: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stand_in_the_way(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("no folder")


async def jobs_in(target: str) -> tuple[Job, ...]:
    async with open_store(target, read_only=True) as store:
        return await Ledger(store).jobs()


@pytest.mark.parametrize("where", ["the note", "the folder of logs", "the log", "the process"])
async def test_a_job_whose_worker_cannot_be_started_ends_with_the_reason(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    source, target = tmp_path / "source.db", f"sqlite:{tmp_path / 'target.db'}"
    await fill(source, 20)
    message = "The worker could not be started: No space left on device."
    with monkeypatch.context() as patch:
        if where == "the note":
            stand_in_the_way(state)
            message = "The worker could not be started: File exists."
        elif where == "the folder of logs":
            stand_in_the_way(state / "jobs")
            message = "The worker could not be started: File exists."
        elif where == "the log":
            opened = os.open
            patch.setattr(
                "vestige_tui.jobs.start.os.open",
                lambda path, *more, **named: full() if str(path).endswith(".log") else opened(path, *more, **named),
            )
        else:
            patch.setattr(subprocess, "Popen", full)
        with pytest.raises(Unavailable) as raised:
            await start(JobRequest("copy", f"sqlite:{source}", target))
    assert raised.value.message == message
    [job] = await jobs_in(target)
    assert (job.status, job.error) == ("failed", message)


async def test_the_reason_is_told_also_where_the_ledger_cannot_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise Unavailable("The disk is full; nothing was changed.")

    source = tmp_path / "source.db"
    await fill(source, 20)
    monkeypatch.setattr("vestige_tui.jobs.start.remember", full)
    monkeypatch.setattr(Ledger, "transition", refuse)
    with pytest.raises(Unavailable, match="The worker could not be started: No space left on device"):
        await start(JobRequest("copy", f"sqlite:{source}", f"sqlite:{tmp_path / 'target.db'}"))


async def test_a_job_that_runs_already_is_found_where_it_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source.db", f"sqlite:{tmp_path / 'target.db'}"
    await fill(source, 20)
    work = JobRequest("copy", f"sqlite:{source}", target)
    begun = await start(work, spawn=lambda spec: None)
    monkeypatch.setattr("vestige_tui.jobs.start.remember", full)
    again = await start(work)
    assert (again.job_id, again.already_running) == (begun.job_id, True)


@pytest.mark.slow
async def test_modules_in_the_folder_that_a_person_stands_in_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target, folder = tmp_path / "source.db", f"sqlite:{tmp_path / 'target.db'}", tmp_path / "folder"
    await fill(source, 6)
    for name in ("vestige_tui/__init__.py", "aiosqlite.py", "numpy.py", "json.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("raise SystemExit('a module of somebody else')")
    monkeypatch.chdir(folder)
    # A worker, and the encoders that it starts.
    launched = await start(
        JobRequest("copy", f"sqlite:{source}", target, {"reembed": True, "model": "test-embedder-8"})
    )
    job = await wait_for_job(target, launched.job_id)
    assert (job.status, job.error) == ("completed", None)
    assert job.progress.tables["embedding"].inserted == 6
