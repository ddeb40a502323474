"""The facts of a bug report: versions, terminal and paths, without a store and without heavy imports."""

from __future__ import annotations

import platform
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from tests.support.command_line import Command
from vestige_tui import __version__


def test_it_names_versions_terminal_and_paths(run: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.delenv("COLORTERM", raising=False)
    facts = run("about", "--json").json
    assert facts["vestige-tui"] == __version__
    assert facts["python"] == f"{platform.python_implementation()} {platform.python_version()}"
    for package in (
        "textual",
        "psycopg",
        "pgvector",
        "aiosqlite",
        "fastembed",
        "onnxruntime",
        "numpy",
        "fsrs",
        "tomlkit",
    ):
        assert facts[package] == version(package)
    assert facts["sqlite"] == sqlite3.sqlite_version
    assert facts["libpq"].startswith(f"{psycopg.pq.version() // 10_000}.")
    assert (facts["term"], facts["colorterm"], facts["multiplexer"]) == ("xterm-256color", None, "tmux")
    assert facts["settings"] == "~/.vestige/vestige.toml"
    assert facts["log"] == "~/.local/state/vestige-tui/vestige-tui.log"
    assert str(home) not in run("about").out


def test_the_version_with_verbose_is_the_same(run: Command) -> None:
    about = run("about")
    assert about.status == 0
    assert "textual      8" in about.out
    for arguments in (("--version", "--verbose"), ("--verbose", "--version")):
        assert run(*arguments).out == about.out
    assert run("--verbose").status == 2


def test_it_opens_no_store_and_imports_nothing_heavy(home: Path) -> None:
    heavy = {"textual", "rich", "fastembed", "onnxruntime", "numpy", "tomlkit", "vestige_tui.store.open"}
    program = (
        "import sys\nfrom vestige_tui.__main__ import main\nmain(['about'])\nsys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stderr.split())
    assert done.stdout.startswith("vestige-tui")
    assert not list(home.rglob("*.db"))
