"""Every guarantee that docs/data-model.md gives names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "data-model.md"
_ROW = re.compile(r"^\|([^|]+)\|([^|]+)\|([^|]+)\|([^|]+)\|$", re.MULTILINE)
_NAME = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


def guarantees() -> dict[str, list[tuple[str, str]]]:
    """Return the tests of each row of the tables of methods, by its first cell."""
    section = DOCUMENT.read_text(encoding="utf-8").split("## The methods of the store")[1].split("\n## ")[0]
    rows = [match.groups() for match in _ROW.finditer(section)]
    return {first.strip(): _NAME.findall(last) for first, _, _, last in rows if set(first.strip()) != {"-"}}


def test_every_row_names_a_test() -> None:
    rows = {name: tests for name, tests in guarantees().items() if name not in ("Vestige", "operation")}
    assert len(rows) > 20
    assert [name for name, tests in rows.items() if not tests] == []


@pytest.mark.parametrize(("module", "test"), sorted({each for row in guarantees().values() for each in row}))
def test_a_named_test_exists(module: str, test: str) -> None:
    path = TESTS / module
    assert path.is_file()
    assert not test or re.search(rf"^(?:async )?def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
