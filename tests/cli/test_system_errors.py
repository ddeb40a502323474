"""What the system refuses where no command expects it: one sentence and its status."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.command_line import Command


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a/b"), "/a/b cannot be used: Permission denied."),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "The operating system refused this: Input/output error."),
        (OSError("odd"), "The operating system refused this: OSError."),
        (MemoryError(), "Out of memory; try with less data."),
    ],
)
def test_an_error_of_the_system_is_one_sentence(
    run: Command, sample: str, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    async def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr("vestige_tui.store.maintenance.MaintenanceService.stats", fail)
    ran = run("--store", sample, "stats", "--json")
    assert ran.status == 1
    assert ran.json == {"error": {"code": "unavailable", "message": sentence}}
    assert ran.err == f"{sentence}\n"


def test_a_job_without_a_place_for_its_log_is_not_begun(
    run: Command, sample: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file" / "state"))
    ran = run("--store", sample, "migrate", "copy", "--target", f"sqlite:{home / 'new.db'}", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (1, "unavailable")
    assert ran.err.splitlines()[-1].startswith("The worker could not be started: ")


@pytest.mark.parametrize("name", [" ", " lines"])
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["import", "{}"], 1),
        (["export", "{}/"], 3),
        (["export", "{}/missing"], 1),
        (["export", "{}"], 0),
        (["--config", "{}", "list"], 1),
        (["--config", "{}", "config", "show"], 1),
    ],
)
def test_a_name_whose_spaces_are_not_seen_is_quoted(
    run: Command,
    sample: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    command: list[str],
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word.replace("{}", name) for word in command]
    ran = run("--store", sample, *words)
    assert ran.status == status, ran
    typed = next(word for word in words if name in word)
    assert repr(typed) in (ran.out if status == 0 else ran.err), ran
