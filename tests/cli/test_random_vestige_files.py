"""Commands that read files of every line of Vestige, by chance, change no byte of them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.random_vestige_files import LINES, make_random

FRESH_SEED = random.SystemRandom().randrange(2**32)
READING = (
    *(["list"], ["search", "a"], ["search", "x", "--mode", "literal"], ["due"], ["stats"], ["doctor"], ["journal"]),
    *(["registry", "show"], ["schema", "info"], ["export", "{out}", "--yes"], ["forecast"], ["list", "--sort", "due"]),
)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("number", range(3))
def test_reading_changes_no_byte(run: Command, tmp_path: Path, line: str, number: int) -> None:
    seed = FRESH_SEED + number
    print(f"random Vestige file: seed {seed}")
    path = tmp_path / "vestige.db"
    ids = make_random(path, line, seed)
    before = digest(path)
    for command in [*READING, ["show", ids[0]], ["history", ids[0]], ["edges", ids[0]], ["neighbors", ids[0]]]:
        filled = [word.replace("{out}", str(tmp_path / "out.jsonl")) for word in command]
        ran = run("--store", f"sqlite:{path}", *filled)
        assert ran.status == 0, (seed, command, ran)
        assert digest(path) == before, (seed, command)
    listed = run("--store", f"sqlite:{path}", "--json", "list", "--superseded", "--limit", "100").json["items"]
    assert set(ids) <= {memory["id"] for memory in listed}, seed
