"""Statements of backups: each has a caller that a search for its name finds, and the files have no other blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.source_tree import ROOT
from vestige_tui.store.schema.named_sql import Dialect, load
from vestige_tui.transfer.other_tables import OtherTable, other_tables


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_every_statement_has_a_caller(dialect: Dialect) -> None:
    folders = (ROOT / "vestige_tui" / "transfer", ROOT / "vestige_tui" / "store" / "backends")
    sources = "".join(path.read_text(encoding="utf-8") for folder in folders for path in Path(folder).glob("*.py"))
    blocks = load(dialect, "backup")
    assert blocks
    assert [name for name in blocks if f'"{name}"' not in sources] == []


def test_a_parent_comes_before_the_tables_that_refer_to_it() -> None:
    names = ("findings", "jobs", "runs")
    columns = [{"name": name, "ours": True, "column": "id", "type": "int8", "place": 1} for name in names]
    references = [{"name": "findings", "parent": "runs"}, {"name": "runs", "parent": "jobs"}]
    assert [table.name for table in other_tables(columns, references)] == ["jobs", "runs", "findings"]


def test_rows_survive_the_way_through_a_file() -> None:
    types = {"at": "timestamptz", "flag": "bool", "names": "_text", "before": "jsonb", "n": "int8", "records": "bytea"}
    table = OtherTable("journal", types, ("n",))
    row = {
        "at": "2026-01-02T03:04:05.6+00:00",
        "flag": "1",
        "names": '["a"]',
        "before": '{"b": 1, "a": 2}',
        "n": "7",
        "records": "00ff",
    }
    stored = table.file_row(row)
    assert stored == ("2026-01-02T03:04:05.600000+00:00", 1, '["a"]', '{"b": 1, "a": 2}', 7, b"\x00\xff")
    assert table.key_of(stored) == ("7",)
    assert table.file_row(dict.fromkeys(types)) == (None,) * len(types)
    other = (*stored[:3], '{"a":2.0,"b":1}', *stored[4:])
    assert table.digest(stored) == table.digest(other)
    assert table.digest(stored) != table.digest((*stored[:4], 8, stored[5]))
