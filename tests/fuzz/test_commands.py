"""Every command answers whatever it is given with its answer or one sentence; ``make fuzz`` looks further."""

from __future__ import annotations

import argparse
import re

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.cases import cases, is_endless
from tests.fuzz.command_runner import Case, CommandRunner
from tests.fuzz.command_tree import LeafCommand, leaf_commands
from tests.fuzz.invariants import faults
from tests.support.command_line import sample_id

EXAMPLES = 2
"""Cases of each command and database; the same in every run."""
UNKNOWN_IDS = ("nothing-here", "1_2_3_4_5_6_7_8_9_0_1_2_3_4_5_6_", "\uff11" * 32, "a\0bcdefg")
_ID = re.compile(r"\bID\b|\A[AB]\Z|OLD|NEW")
COMMANDS = leaf_commands()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_keeps_every_invariant(runner: CommandRunner, command: LeafCommand) -> None:
    @settings(
        max_examples=1 if is_endless(command) else EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(command))
    def check(case: Case) -> None:
        run = runner.run(case, endless=is_endless(command))
        assert not list(faults(command.name, run)), (case, run.result)

    check()


def takes_ids(command: LeafCommand) -> bool:
    required = [*command.positionals, *(action for action in command.options if action.required)]
    return any(is_id(action) for action in required)


def is_id(action: argparse.Action) -> bool:
    return bool(_ID.search(str(action.metavar)))


def with_ids(command: LeafCommand, *ids: str) -> list[str]:
    """Return the command line with these ids in turn, and a valid word for every other argument that it needs."""
    words, left = list(command.words), list(ids)
    for action in command.positionals:
        if is_id(action) and left and action.metavar != "GRADE|ID":
            words.append(left.pop(0))
        elif action.metavar == "GRADE|ID":
            words.append("good")
    for action in command.options:
        if action.required:
            words += [action.option_strings[0], left.pop(0)]
    return [*words, "+keep"] if command.name == "tag" else words


ID_COMMANDS = [command for command in COMMANDS if takes_ids(command)]


def test_the_commands_with_ids_are_found() -> None:
    names = {command.name for command in ID_COMMANDS}
    assert {"show", "edit", "tag", "delete", "review", "supersede", "unsupersede", "history", "edges"} <= names
    assert {"link", "unlink", "neighbors", "jobs show", "jobs cancel", "jobs retry", "jobs fail"} <= names


@pytest.mark.parametrize("command", ID_COMMANDS, ids=lambda command: command.name)
def test_a_text_that_is_no_id_names_no_memory(runner: CommandRunner, command: LeafCommand) -> None:
    unknown_ids = UNKNOWN_IDS if command.name in ("show", "jobs show") else UNKNOWN_IDS[:2]
    for unknown in unknown_ids:
        for ids in ([unknown, sample_id(1)], [sample_id(0), unknown]):
            words = with_ids(command, *ids)
            if unknown not in words:
                continue
            run = runner.run(Case(("--store", "{store}", "--json", *words)))
            assert run.result.status == 1, run.result
            assert run.result.json["error"]["code"] == "not_found", run.result
            assert not list(faults(command.name, run))


@pytest.mark.parametrize("command", [["show"], ["jobs", "show"]])
def test_an_id_that_is_no_utf_8_is_wrong_usage(runner: CommandRunner, command: list[str]) -> None:
    run = runner.run(Case(("--store", "{store}", "--json", *command, "ffffff\udcff")))
    assert (run.result.status, run.result.json["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    "spelling", [str, str.upper, lambda text: text.replace("-", ""), "{{{}}}".format, "urn:uuid:{}".format]
)
def test_an_id_is_found_in_every_spelling_of_it(runner: CommandRunner, spelling: object) -> None:
    assert callable(spelling)
    run = runner.run(Case(("--store", "{store}", "--json", "show", spelling(sample_id(1)))))
    assert run.result.json["memory"]["id"] == sample_id(1)


@pytest.mark.parametrize(
    "cursor",
    ["NQ", "bnVsbA", "WzEsMiwzXQ", "WyJjcmVhdGVkIiwxLDJd", "WyJjcmVhdGVkIixbXSx7fV0", "W" * 5_000, "\u00e9", ""],
)
def test_a_broken_cursor_is_wrong_usage(runner: CommandRunner, cursor: str) -> None:
    run = runner.run(Case(("--store", "{store}", "--json", "list", f"--after={cursor}")))
    assert (run.result.status, run.result.json["error"]["code"]) == (2, "usage")
    assert "cursor" in run.result.err
    assert not list(faults("list", run))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--limit", "9" * 30],
        ["list", "--limit", "9" * 5_000],
        ["undo", "9" * 30],
        ["undo", "0"],
        ["forecast", "--days", "2147483648"],
        ["schema", "up", "--to", "-1"],
        ["jobs", "sweep", "--threshold", "1" + "0" * 20],
    ],
)
def test_a_number_that_no_store_holds_is_wrong_usage(runner: CommandRunner, arguments: list[str]) -> None:
    run = runner.run(Case(("--store", "{store}", "--json", *arguments)))
    assert (run.result.status, run.result.json["error"]["code"]) == (2, "usage")
    assert not list(faults(arguments[0], run))


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("sqlite:{world}/fifo", 3),
        ("sqlite:{world}/socket", 3),
        ("sqlite:/dev/null", 3),
        ("sqlite:" + "x" * 5_000, 1),
        ("sqlite:{world}/loop", 1),
        ("sqlite:~nobody-here/x", 2),
        ("postgresql://h/\ud800", 2),
        ("postgresql://h/\0", 2),
    ],
)
def test_a_store_that_can_be_none_is_told_at_once(runner: CommandRunner, url: str, status: int) -> None:
    for arguments in (["list"], ["migrate", "copy", "--source", url, "--target", "sqlite:{world}/new.db"]):
        run = runner.run(Case(("--store", url, "--json", *arguments)))
        assert run.result.status == status, run.result
        assert not list(faults(arguments[0], run))
        assert not run.changed_files
