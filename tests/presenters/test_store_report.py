"""The report of a store in words: why tables have no sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vestige_tui.core.health import Connections, Health, SqliteFile, StoreReport
from vestige_tui.presenters.store_report import not_measured

FILE = SqliteFile("3.50.4", "/s.db", "-rw-------", "wal", "UTF-8", 4096, 100, 0, 4096)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (FILE, "Not measured: this SQLite was built without dbstat."),
        (
            replace(FILE, pages=100_000),
            "Not measured: the file is larger than 256 MB; vestige-tui stats measures files of any size.",
        ),
        (None, "Not measured: another session has locked a table."),
    ],
)
def test_tables_without_sizes_say_why(server: SqliteFile | None, said: str) -> None:
    report = StoreReport(Health("healthy", (), "", ""), None, server, Connections(3, 3, 3), (), None, None, ())
    assert not_measured(report) == said
