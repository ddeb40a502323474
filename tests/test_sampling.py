"""Tests with many combinations: which of their cases run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SAMPLED = re.compile(r"::(test_\w+)\[.*?((?:sqlite|postgres) to (?:sqlite|postgres)), ")


def collected(**variables: str) -> list[str]:
    """Return the node ids of the cases of a file whose tests name source and target as what is sampled."""
    environment = {key: value for key, value in os.environ.items() if key != "VESTIGE_THOROUGH"} | variables
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "-p", "no:xdist"]
    file = TESTS / "transfer" / "test_refused_edits.py"
    output = subprocess.run([*command, str(file)], env=environment, capture_output=True, text=True, check=True).stdout
    return [line for line in output.splitlines() if "::" in line]


@pytest.mark.slow
def test_each_combination_that_is_named_has_one_case() -> None:
    some, every = collected(), collected(VESTIGE_THOROUGH="1")
    assert set(some) < set(every)
    cases = Counter(match.groups() for match in map(SAMPLED.search, some) if match)
    of_all = {match.groups() for match in map(SAMPLED.search, every) if match}
    assert set(cases.values()) == {1}
    # Pairs of one kind of database are left out by `thorough`.
    assert set(cases) == {(test, pair) for test, pair in of_all if len(set(pair.split(" to "))) == 2}
