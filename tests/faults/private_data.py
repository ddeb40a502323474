"""Passwords, and the permissions of files."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.lab import Lab, refusal
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from tests.support.command_line import CommandResult
from tests.support.full_store import fill
from tests.support.passwords import PASSWORD, with_password

UNREACHABLE = (
    f"postgresql://me:{PASSWORD}@127.0.0.1:1/none",
    f"postgresql://me:{PASSWORD}%20X@127.0.0.1:1/none",
    f"postgresql://me:{PASSWORD} X@127.0.0.1:1/none",
    f"postgresql://127.0.0.1:1/none?user=me&password={PASSWORD}",
    f"postgresql://127.0.0.1:1/none?password={PASSWORD} X",
    f"postgresql://me:{PASSWORD}@127.0.0.1:port/none",
    f"postgresql://me:{PASSWORD}@[::1/none",
    f"postgresql://me:{PASSWORD}@127.0.0.1:1/none?nonsense=1",
    f"mysql://me:{PASSWORD}@127.0.0.1/none",
)
COMMANDS = (("list",), ("--json", "--debug", "schema", "info"))


def _leaks(root: Path) -> list[str]:
    """Return the files below a folder that hold the password."""
    secret = PASSWORD.encode()
    return [str(path) for path in root.rglob("*") if path.is_file() and secret in path.read_bytes()]


def _assert_hidden(result: CommandResult) -> CommandResult:
    assert PASSWORD not in result.out + result.err, "the password was printed"
    return result


@fault(21, "password in an address")
def password(lab: Lab) -> FaultResult:
    attempts = []
    for url in UNREACHABLE:
        for command in COMMANDS:
            attempts.append(Attempt(refusal(_assert_hidden(lab.run("--store", url, *command))).splitlines()[-1]))
    source = lab.path("source.db")
    asyncio.run(fill(source, 300, dimension=16))
    with lab.database() as server:
        arguments = ("--source", f"sqlite:{source}", "--target", with_password(server), "--batch-size", "10", "--json")
        process = lab.start("migrate", "copy", *arguments)
        seen = set()
        while process.poll() is None:
            # A child has its parent's command line, with what was typed, until it becomes another program.
            seen |= {command for _, command in lab.processes() if "\0--target\0" not in command}
        out, err = process.communicate(timeout=120)
        _assert_hidden(CommandResult(process.returncode, out.decode(), err.decode()))
        assert any("vestige_tui.jobs.worker" in command for command in seen), "no worker was seen"
        assert not any(PASSWORD in command for command in seen), "the password stands in the process list"
        for shown in (["jobs", "list"], ["stats"]):
            _assert_hidden(lab.run("--store", with_password(server), *shown))
    home = Path(os.environ["HOME"])
    assert not _leaks(home), f"the password lies in {_leaks(home)}"
    assert not _leaks(lab.folder), f"the password lies in {_leaks(lab.folder)}"
    return summarize(attempts)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _open_to_others(root: Path) -> list[str]:
    paths = [path for path in root.rglob("*") if not path.is_symlink()]
    return [f"{path} {stat.S_IMODE(path.stat().st_mode):o}" for path in paths if path.stat().st_mode & 0o077]


@fault(22, "file that others can read")
def permissions(lab: Lab) -> FaultResult:
    attempts = []
    for mask in (0o000, 0o022):
        home = lab.path(f"home-{mask:o}")
        with _umask(mask):
            home.mkdir(mode=0o700)
            env = {"HOME": str(home), "XDG_STATE_HOME": "", "XDG_DATA_HOME": ""}
            source = lab.path(f"source-{mask:o}.db")
            asyncio.run(fill(source, 20, dimension=16))
            commands = (
                ("config", "init"),
                ("add", "in the usual place"),
                ("migrate", "copy", "--source", f"sqlite:{source}", "--target", f"sqlite:{home / 'copies' / 'new.db'}"),
                ("export", str(home / "export.jsonl")),
                ("schema", "up", "--store", f"pgembed:{home / 'server'}"),
            )
            (home / "copies").mkdir(mode=0o700)
            for command in commands:
                result = lab.run(*command, env=env)
                assert result.status == 0, f"{command[0]}: {result.err}"
            opened = [each for each in _open_to_others(home) if "/server/data/" not in each]
            assert not opened, f"open to others: {opened}"
        settings = home / ".vestige" / "vestige.toml"
        settings.write_text(
            f'[storage]\nbackend = "postgres"\n[storage.postgres]\nurl = "postgresql://me:{PASSWORD}@127.0.0.1:1/x"\n'
        )
        settings.chmod(0o644)
        shown = _assert_hidden(lab.run("config", "show", env=env))
        attempts.append(Attempt(shown.err.strip()))
    return summarize(attempts)
