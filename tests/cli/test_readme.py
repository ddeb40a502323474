"""Commands in README: each one parses, names memories of the sample store, and runs on it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.support.command_line import Command, copy_store
from tests.support.source_tree import ROOT
from vestige_tui.cli.program import join_negative_times, parser
from vestige_tui.sample_store import memory_id, notes

PROGRAMS = ("v", "vestige-tui", ".venv/bin/vestige-tui")
PLACEHOLDERS = ("…", "DIR", "FILE")
NOT_RUN = ("bge-small", "jobs watch", "demo")
"""In commands that download a model, run until ctrl-C, or are run by other tests."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_lines() -> list[str]:
    """Return each command line of the program in the shell blocks of README."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [part for block in blocks for line in block.splitlines() for part in re.split(r"&&|\(\) \{", line)]
    return [line for line in lines if (words := shlex.split(line, comments=True)) and words[0] in PROGRAMS]


def shell_commands() -> list[list[str]]:
    """Return the arguments of each command, without what the shell does with its streams."""
    commands = [shlex.split(line, comments=True)[1:] for line in shell_lines() if '"$@"' not in line]
    return [each[: each.index(">")] if ">" in each else each for each in commands]


@pytest.mark.parametrize("arguments", shell_commands(), ids=" ".join)
def test_a_command_of_readme_parses(arguments: list[str]) -> None:
    assert not any(word in PLACEHOLDERS for word in arguments)
    args, extra = parser().parse_known_args(join_negative_times(arguments))
    assert all(args.dashed_words for _ in extra)


def test_the_ids_of_readme_are_in_the_sample_store() -> None:
    ids = [memory_id(note["key"]) for note in notes()]
    assert f"{len(ids)} memories" in README
    prefixes = {word for each in shell_commands() for word in each if re.fullmatch(r"[0-9a-f]{6}", word)}
    assert len(prefixes) >= 3
    for prefix in prefixes:
        assert sum(each.startswith(prefix) for each in ids) == 1, prefix


@pytest.fixture
def folder(demo_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a reader after `vestige-tui demo ~/vestige-demo`, with an editor that changes nothing."""
    (home / "vestige-demo").mkdir()
    copy_store(demo_file, home / "vestige-demo" / "demo.db")
    monkeypatch.chdir(home)
    monkeypatch.setenv("EDITOR", "true")
    return home


def as_typed(arguments: list[str], home: Path) -> list[str]:
    """Return arguments as the shell passes them on, with the store of ``v``."""
    expanded = [f"{home}{word[1:]}" if word.startswith("~/") else word for word in arguments]
    return expanded if "--store" in expanded else ["--store", f"{home}/vestige-demo/demo.db", *expanded]


@pytest.mark.slow
def test_every_command_of_readme_runs_in_order(run: Command, folder: Path) -> None:
    ran = 0
    for arguments in shell_commands():
        line = " ".join(arguments)
        opens_console = parser().parse_known_args(join_negative_times(arguments))[0].command is None
        if opens_console or any(words in line for words in NOT_RUN):
            continue
        if "~/agents" in line:
            arguments = [word.replace("~/agents/vestige.db", "~/vestige-demo/demo.db") for word in arguments]
        if "export" in arguments:
            # It asks before it replaces; the reader has no file yet.
            assert not (folder / "all.jsonl").exists()
        result = run(*as_typed(arguments, folder))
        assert result.status == 0, (line, result.err)
        ran += 1
    assert ran > 20


@pytest.mark.slow
def test_a_copy_of_the_readme_goes_to_a_server_too(run: Command, folder: Path) -> None:
    """`migrate copy` and `migrate verify` with the pgembed:DIR of their comment; the console would open that store."""
    stores = ("--source", f"{folder}/vestige-demo/demo.db", "--target", f"pgembed:{folder / 'memories'}")
    assert "or postgresql://…, or pgembed:DIR" in README
    assert run("migrate", "copy", *stores).status == 0
    assert run("migrate", "verify", *stores).status == 0
    assert run("--store", stores[-1], "due", "--count").status == 0
