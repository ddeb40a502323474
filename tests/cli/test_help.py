"""Help: every command has one of its own, with examples that parse and that run on the sample store."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import Command, copy_store
from vestige_tui.cli.completed_commands import completed_commands
from vestige_tui.cli.examples import COMMENT, EXAMPLES, SAMPLE_IDS, aligned, examples_text
from vestige_tui.cli.program import join_negative_times, parser

NAMES = [each.words for each in completed_commands(parser())]
NOT_RUN = (
    "postgresql://", "pgembed:", "--postgres", "bge-small", "jobs show", "jobs retry", "jobs cancel", "jobs fail",
    "jobs watch", "--store ~/agents", "registry rollback", "export -", "demo ~",
)  # fmt: skip
"""In examples that need a server, a download, a job of another store, a console or a pipe."""


def examples() -> Iterator[tuple[str, str]]:
    """Yield each example, without its comment, with its command."""
    for command, lines in EXAMPLES.items():
        for line in lines:
            if "--help" not in line:
                yield command, line.partition(COMMENT)[0]


def runnable() -> list[str]:
    consoles = ("demo", "")
    lines = [line for command, line in examples() if command not in consoles or line != "demo"]
    return list(dict.fromkeys(line for line in lines if not any(word in line for word in NOT_RUN)))


def arguments_of(line: str) -> list[str]:
    """Return the arguments of a command line, without what the shell does with its streams."""
    words = shlex.split(line)
    end = next((index for index, word in enumerate(words) if word in ("<", ">")), len(words))
    return words[:end]


def test_every_command_and_group_has_examples() -> None:
    assert set(EXAMPLES) == set(NAMES)
    assert all(EXAMPLES.values())


@pytest.mark.parametrize(("command", "line"), list(examples()), ids=lambda value: value or "vestige-tui")
def test_an_example_parses_as_its_command(command: str, line: str) -> None:
    arguments = arguments_of(line)
    args, extra = parser().parse_known_args(join_negative_times(arguments))
    assert all(args.dashed_words for _ in extra)
    group = command.partition(" ")[0]
    # A group, and a command with an undo, also show the other one.
    assert not group or args.command == group or line.startswith(("undo", "history"))


@pytest.mark.parametrize("words", NAMES, ids=lambda value: value or "vestige-tui")
def test_help_shows_its_examples(run: Command, words: str) -> None:
    ran = run(*words.split(), "--help")
    assert ran.status == 0
    assert ran.out.startswith(f"usage: vestige-tui {words}".rstrip())
    for line in EXAMPLES[words]:
        assert f"  vestige-tui {line.partition(COMMENT)[0]}" in ran.out
    assert ("ids are those of the sample store" in ran.out) == any(each in ran.out for each in SAMPLE_IDS)


def test_each_migrate_command_has_options_of_its_own(run: Command) -> None:
    copy, verify, reembed = (run("migrate", step, "--help").out for step in ("copy", "verify", "reembed"))
    assert "--follow" in copy
    assert "--repair" in verify
    assert "--in-place" in reembed
    assert "--repair" not in copy + reembed
    assert "--follow" not in verify + reembed
    assert "--in-place" not in copy + verify
    assert run("migrate", "verify", "--follow").status == 2
    assert "--follow" not in run("migrate", "--help").out


def test_options_may_stand_before_the_word_copy() -> None:
    before = parser().parse_args(["migrate", "--source", "a", "--batch-size", "7", "copy", "--target", "b"])
    assert (before.source, before.target, before.batch_size, before.follow) == ("a", "b", 7, False)
    alone = parser().parse_args(["migrate", "--source", "a", "--target", "b"])
    assert alone.run is before.run


def test_a_comment_without_room_stands_above_its_command() -> None:
    text = "examples:\n  run  # first\n  run --all  # second"
    assert aligned(text, 80) == "examples:\n  run        # first\n  run --all  # second"
    assert aligned(text, 12) == "examples:\n  # first\n  run\n  # second\n  run --all"
    assert examples_text("no such command") == ""


@pytest.mark.slow
@pytest.mark.parametrize("line", runnable())
def test_an_example_runs_on_the_sample_store(
    run: Command, demo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """In a folder with the files that the examples name, after the changes that some of them undo."""
    store = copy_store(demo_file, tmp_path / "demo.db")
    copy_store(demo_file, tmp_path / "copy.db")
    settings = tmp_path / "vestige.toml"
    settings.write_text(f'[storage]\nbackend = "sqlite"\n[storage.sqlite]\npath = "{store}"\n')
    (tmp_path / "memories.jsonl").write_text('{"content": "one"}\n')
    (tmp_path / "note.txt").write_text("A note.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDITOR", "true")
    for before in BEFORE.get(line, ()):
        assert run("--config", str(settings), *shlex.split(before)).status == 0, before
    stdin = next((word for word in shlex.split(line) if word in ("note.txt", "memories.jsonl")), os.devnull)
    with open(stdin, encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        own = () if "config" in line else ("--config", str(settings))
        ran = run(*own, *arguments_of(line), *(() if "--yes" in line else AGREED.get(line, ())))
    assert ran.status == 0, ran.err


BEFORE = {
    "undo": ["tag 890fd2 +new"],
    "redo": ["tag 890fd2 +new", "undo"],
    "redo 8": ["tag 890fd2 +new", "undo"],
    "unlink 890fd2 54eb8b": ["link 890fd2 54eb8b"],
    "unlink 890fd2 54eb8b --type supports": ["link 890fd2 54eb8b --type supports"],
    "review undo": ["review 890fd2 good"],
    "migrate reembed --drop-old": ["migrate reembed --model all-MiniLM-L6-v2 --dimension 128 --yes"],
}
"""Commands before an example that has to find something."""
AGREED = {
    "export memories.jsonl": ("--yes",),
    "migrate verify --source demo.db --target copy.db --repair --delete": ("--yes",),
    "migrate reembed --drop-old": ("--yes",),
}
"""The answer to the question that an example asks."""


def test_argparse_reports_a_step_that_does_not_exist(run: Command) -> None:
    ran = run("migrate", "coppy")
    assert ran.status == 2
    assert "did you mean copy?" in ran.err
    assert isinstance(parser(), argparse.ArgumentParser)
