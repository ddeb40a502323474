"""The log of the program: a trace of each run, and in none of them a memory, a query or a password."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.command_line import Command, run_process, sample_id
from vestige_tui.config.log import configure_log, log_path
from vestige_tui.core.jobs import Job
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store

TEXT = "zebraheart \x1b[31m password=hunter2 'quoted' %s %d"
QUERY = "quetzalquery"
PASSWORD = "pw-s3cret"
TAG = "tagsecret"
SECRETS = ("zebraheart", QUERY, PASSWORD, TAG, "hunter2", "importedsecret", "typedsecret")


async def jobs_of(url: str) -> tuple[Job, ...]:
    async with open_store(url, read_only=True) as store:
        return await Ledger(store).jobs()


def logged(home: Path) -> str:
    return "".join(each.read_text() for each in (home / ".local/state/vestige-tui").glob("vestige-tui.log*"))


@pytest.mark.slow
def test_no_secret_is_logged(run: Command, home: Path, tmp_path: Path) -> None:
    """Everything that takes or gives texts, at DEBUG, where it works and where it fails."""
    store, unreachable = str(tmp_path / "one.db"), f"postgresql://me:{PASSWORD}@127.0.0.1:1/db"
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"content": "importedsecret"}\n{"content": ["importedsecret"]}\nimportedsecret\n')
    added = run("--debug", "--store", store, "--json", "add", TEXT.replace("\x1b", ""), "--tag", TAG)
    assert added.status == 0
    [memory_id] = added.json["changed"]
    for arguments in (
        ("search", QUERY), ("search", QUERY, "--explain"), ("search", QUERY, "--mode", "text"),
        ("search", f'tag:"{QUERY}'), ("edit", memory_id, "--content", f"{TEXT} edited".replace("\x1b", "")),
        ("edit", memory_id, "--meta", f"{QUERY}={PASSWORD}"), ("tag", memory_id, f"+{TAG}2"), ("show", QUERY),
        ("list", "--tag", TAG), ("list", "--since", QUERY), ("export", str(tmp_path / "out.jsonl")),
        ("export", str(tmp_path / "absent" / "out.jsonl")), ("import", str(lines)),
        ("review", memory_id, "typedsecret"), ("delete", memory_id), ("undo",), ("undo",), ("registry", "show"),
        ("stats",), ("config", "show"),
    ):  # fmt: skip
        run("--debug", "--store", store, *arguments)
    for arguments in (("search", QUERY), ("add", TEXT), ("schema", "up")):
        assert run("--debug", "--store", unreachable, *arguments).status != 0
    assert run("--debug", "migrate", "copy", "--source", store, "--target", unreachable).status != 0
    text = logged(home)
    assert not [secret for secret in SECRETS if secret in text]
    assert "me:***" in text or "127.0.0.1:1/db" in text
    assert "Unreachable (unavailable) in " in text
    assert "Usage (usage) in " in text
    assert " DEBUG " in text
    assert "search" in text
    assert "took" in text


@pytest.mark.slow
def test_a_job_that_fails_quotes_nothing_in_it(run: Command, home: Path, tmp_path: Path) -> None:
    """The worker writes the same log, at the level of the program that started it."""
    source, target = str(tmp_path / "one.db"), str(tmp_path / "two.db")
    assert run("--store", source, "add", "zebraheart", "--tag", TAG).status == 0
    script = tmp_path / "sitecustomize.py"
    script.write_text(
        "import sys\n"
        "if 'vestige_tui.jobs.worker' in sys.orig_argv:\n"
        "    from vestige_tui.jobs.context import JobContext\n"
        "    def check(context): raise ValueError('zebraheart in a driver error')\n"
        "    JobContext.check = check\n"
    )
    ran = run_process(
        "--debug", "migrate", "copy", "--source", source, "--target", target, env={"PYTHONPATH": python_path(tmp_path)}
    )
    assert ran.status != 0
    [job] = asyncio.run(jobs_of(f"sqlite:{target}"))
    assert job.status == "failed"
    text = logged(home)
    assert not [secret for secret in SECRETS if secret in text]
    assert f"Started job {job.id} (copy)" in text
    assert f"Took job {job.id} (copy)" in text
    assert f"Job {job.id} failed\n  ValueError in " in text
    assert "    check, sitecustomize.py line 4\n" in text
    [worker] = {line.split()[2] for line in text.splitlines() if f"Took job {job.id}" in line}
    [command] = {line.split()[2] for line in text.splitlines() if f"Started job {job.id}" in line}
    assert worker != command
    assert [line for line in text.splitlines() if line.split()[1:3] == ["DEBUG", worker]]


def python_path(folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))


def test_a_run_is_named_without_its_arguments(run: Command, home: Path, sample: str) -> None:
    assert run("--store", sample, "search", QUERY).status == 0
    path = home / ".local/state/vestige-tui/vestige-tui.log"
    text = path.read_text()
    assert path == log_path()
    assert text.splitlines()[0].endswith(f", Python {sys.version.split()[0]} on {sys.platform}: search")
    assert "DEBUG" not in text
    assert f"Opened {sample.removeprefix('sqlite:')}: SQLite " in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_uncaught_exception_is_logged_without_its_text(
    run: Command, home: Path, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("zebraheart")

    monkeypatch.setattr("vestige_tui.store.maintenance.MaintenanceService.stats", broken)
    assert run("--store", sample, "stats").status == 1
    text = logged(home)
    assert "CRITICAL" in text
    assert "zebraheart" not in text
    assert "    broken, test_log.py line " in text
    assert "    _run, vestige_tui/cli/program.py line " in text


def test_a_state_folder_that_cannot_be_written_disturbs_no_command(run: Command, home: Path, sample: str) -> None:
    usual = run("--store", sample, "show", sample_id(4))
    state = home / ".local/state"
    for each in sorted(state.rglob("*"), reverse=True):
        each.unlink() if each.is_file() else each.rmdir()
    (state / "vestige-tui").write_text("")
    assert run("--debug", "--store", sample, "show", sample_id(4)) == usual


def test_a_missing_home_directory_is_not_created_for_the_log(
    run: Command, home: Path, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = run("--store", sample, "show", sample_id(4))
    missing = tmp_path / "missing"
    monkeypatch.setenv("HOME", str(missing))
    assert run("--debug", "--store", sample, "show", sample_id(4)) == usual
    assert run("--store", sample, "jobs", "list", "--status", "").status == 2
    assert not missing.exists()
    # A state folder elsewhere has no need of it.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    run("--store", sample, "show", sample_id(4))
    assert (tmp_path / "elsewhere/vestige-tui/vestige-tui.log").exists()


def test_an_import_configures_no_log(home: Path) -> None:
    program = (
        "import logging\nfrom vestige_tui import open_store\nimport vestige_tui.cli.program\n"
        "root, ours = logging.getLogger(), logging.getLogger('vestige_tui')\n"
        "logging.getLogger('vestige_tui.store').warning('to nobody')\n"
        "print(root.handlers, [type(each).__name__ for each in ours.handlers], ours.level)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"[] ['NullHandler'] {logging.NOTSET}\n", "")
    assert not (home / ".local").exists()


def test_warnings_of_the_pool_and_of_the_event_loop_are_logged(home: Path) -> None:
    configure_log()
    error = psycopg.OperationalError("password=hunter2")
    for name in ("psycopg.pool", "asyncio"):
        log = logging.getLogger(name)
        log.warning("error connecting in %r: %s", "vestige", error)
        log.info("worker started")
    assert [line.partition("Z ")[2] for line in log_path().read_text().splitlines()] == [
        f"WARNING {os.getpid()} {name}: error connecting in: OperationalError" for name in ("psycopg.pool", "asyncio")
    ]
