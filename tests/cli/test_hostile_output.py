"""Stored text never steers a terminal: not as text, not as JSON, not in a note or an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import FORBIDDEN_CHARACTERS, HOSTILE, Command, copy_store, sample_id

COMMANDS = (
    ["search", "evil"],
    ["search", "evil", "--mode", "text", "--superseded"],
    ["list"],
    ["list", "--sort", "due"],
    ["list", "--tag", HOSTILE],
    ["show", sample_id(0)],
    ["show", sample_id(2)],
    ["show", f"unknown{HOSTILE}"],
    ["due"],
    ["history", sample_id(2)],
    ["edges", sample_id(0)],
    ["neighbors", sample_id(0)],
    ["domains", "list"],
    ["domains", "show", f"domain{HOSTILE}"],
    ["domains", "set", f"domain{HOSTILE}", "--label", HOSTILE, "--term", HOSTILE],
    ["domains", "rename", f"domain{HOSTILE}", f"new{HOSTILE}"],
    ["domains", "merge", f"domain{HOSTILE}", "--into", f"new{HOSTILE}", "--dry-run"],
    ["domains", "delete", f"no{HOSTILE}"],
    ["classify", sample_id(0)],
    ["stats"],
    ["registry", "show"],
    ["unlink", sample_id(0), sample_id(1), "--type", f"no{HOSTILE}"],
    ["tag", sample_id(0), f"+more{HOSTILE}"],
    ["edit", sample_id(0), "--meta", f"x{HOSTILE}=y{HOSTILE}"],
    ["delete", sample_id(0)],
    [f"nonsense{HOSTILE}"],
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0].split("\x1b")[0])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_nothing_that_steers_a_terminal_leaves(
    run: Command, tmp_path: Path, hostile_file: Path, arguments: list[str], as_json: bool
) -> None:
    store = copy_store(hostile_file, tmp_path / "store.db")
    ran = run("--store", str(store), *(["--json"] if as_json else []), *arguments)
    assert not set(ran.out) & FORBIDDEN_CHARACTERS
    assert not set(ran.err) & FORBIDDEN_CHARACTERS
    assert ran.out or ran.err
    if as_json:
        assert isinstance(ran.json, dict)


def test_markup_stays_as_it_is(run: Command, hostile_file: Path) -> None:
    assert "[bold]x[/bold]" in run("--store", str(hostile_file), "show", sample_id(0)).out
