"""Commands in README: each one parses, and every id is that of one memory of the sample store."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.support.source_tree import ROOT
from vestige_tui.cli.program import parser
from vestige_tui.sample_store import memory_id, notes

PROGRAMS = ("v", "vestige-tui", ".venv/bin/vestige-tui")
PLACEHOLDERS = ("…", "DIR", "FILE")


def shell_commands() -> list[list[str]]:
    """Return the arguments of each command of the program in the shell blocks of README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [part for block in blocks for line in block.splitlines() for part in re.split(r"&&|\{", line)]
    words = [shlex.split(line, comments=True) for line in lines]
    return [each[1:] for each in words if each and each[0] in PROGRAMS and "$@;" not in each]


@pytest.mark.parametrize("arguments", shell_commands(), ids=" ".join)
def test_a_command_of_readme_parses(arguments: list[str]) -> None:
    assert not any(word in PLACEHOLDERS for word in arguments)
    args, extra = parser().parse_known_args(arguments)
    assert all(args.dashed_words for _ in extra)


def test_the_ids_of_readme_are_in_the_sample_store() -> None:
    ids = [memory_id(note["key"]) for note in notes()]
    assert f"{len(ids)} memories" in (ROOT / "README.md").read_text(encoding="utf-8")
    prefixes = {word for each in shell_commands() for word in each if re.fullmatch(r"[0-9a-f]{6}", word)}
    assert len(prefixes) >= 3
    for prefix in prefixes:
        assert sum(each.startswith(prefix) for each in ids) == 1, prefix
