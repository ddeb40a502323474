"""Passwords, wherever libpq finds them, in commands and jobs as they run: none is shown, logged or stored."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.command_line import Command
from tests.support.hostile_passwords import hostile_passwords, parts_shown
from tests.support.postgres import run_in_thread
from vestige_tui.config.directories import state_dir
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.log import chain_of, describe
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.store.open import open_store

PASSWORDS = hostile_passwords()
ANY = "/Q1x@Q2z:%?#[ 'Q3x"
"""A password with everything that means something in a URL."""


def files_text(folder: Path) -> str:
    """Return all that the files below a folder hold."""
    return "\n".join(
        path.read_bytes().decode("utf-8", "replace") for path in sorted(folder.rglob("*")) if path.is_file()
    )


@pytest.mark.parametrize("password", PASSWORDS[:17])
def test_a_command_shows_no_part(run: Command, home: Path, password: str, tmp_path: Path) -> None:
    url = f"postgresql://me:{password}@localhost:1/memories"
    other = f"sqlite:{tmp_path / 'other.db'}"
    for command in (
        ("--store", url, "search", "keys", "--debug"),
        ("--store", url, "config", "show"),
        ("--store", url, "--json", "list"),
        ("migrate", "copy", "--source", other, "--target", url),
        ("migrate", "verify", "--source", url, "--target", other),
        ("migrate", "copy", url),
        ("jobs", "list", "--store", url),
    ):
        result = run(*command)
        assert result.status in (0, 1, 2, 3)
        assert not parts_shown(result.out + result.err), command
    assert "ercent-encode its special characters" in run("--store", f"postgresql://me:Q1x@{password}@h/d", "list").err
    assert not parts_shown(files_text(home))


def test_an_unreadable_url_asks_no_server(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a part of a password was looked up as the name of a server")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("psycopg.AsyncConnection.connect", refuse)
    for password in ("Q1x@Q2z", "/Q1x", "Q1x/Q2z@", "12/Q1x@Q2z", "%zzQ1x"):
        assert run("--store", f"postgresql://me:{password}@db1/memories", "list").status == 2


@pytest.mark.slow
def test_a_job_keeps_no_part(postgres_database: str, run: Command, tmp_path: Path, home: Path) -> None:
    source, lines = f"sqlite:{tmp_path / 'source.db'}", tmp_path / "lines.jsonl"
    lines.write_text(json.dumps({"content": "Keys rotate."}) + "\n")
    assert run("--store", source, "import", str(lines)).status == 0
    for password in (quote(ANY, safe=""), "Q1x#Q2z'[Q3x]"):
        target = f"{postgres_database}&password={password}"
        result = run("migrate", "copy", "--source", source, "--target", target, "--json", "--debug")
        assert result.status == 0, result.err
        stored = run_in_thread(jobs_text(target))
        assert not parts_shown(result.out + result.err + stored + run("jobs", "list", "--store", target, "--json").out)
        assert "password" not in stored.replace("password=***", "")
    kept = files_text(home) + files_text(state_dir())
    assert postgres_database.partition("?")[0] in kept
    assert not parts_shown(kept)


async def jobs_text(url: str) -> str:
    """Return all jobs of a store's ledger."""
    async with open_store(url) as store:
        jobs = await Ledger(store).jobs()
    assert jobs
    return "\n".join(map(str, jobs))


@pytest.mark.slow
async def test_a_password_of_the_environment_and_of_libpqs_files_is_in_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passfile, services = tmp_path / "pgpass", tmp_path / "services"
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    passfile.touch(mode=0o600)
    for index, password in enumerate(PASSWORDS):
        monkeypatch.setenv("PGPASSWORD", password)
        passfile.write_text(f"*:*:*:me:{password}\n")
        services.write_text(f"[memories]\nhost={tmp_path}\npassword={password}\n")
        url = "postgresql:///?service=memories" if index % 2 else f"postgresql://me@/memories?host={tmp_path}"
        with pytest.raises(VestigeError) as raised:
            async with open_store(url):
                pass
        shown = [*map(str, chain_of(raised.value)), describe(raised.value, quote=True), *map(str, caplog.messages)]
        assert not parts_shown(" ".join(shown))
