"""Names of stores, and the counts and migrations of a store, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige_tui.core.health import MigrationInfo, Stats
from vestige_tui.presenters.store_report import contents, migration_state
from vestige_tui.presenters.stores import location, store_name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:secret@db1.example.org:5433/memories?sslmode=require", "db1/memories"),
        ("postgresql://10.0.0.7/memories", "10.0.0.7/memories"),
        ("postgresql://db1,db2/memories", "db1/memories"),
        ("postgresql:///memories", "memories"),
        ("postgresql://", "postgres"),
        ("pgembed:/var/lib/memories/", "memories"),
        ("sqlite:/srv/agents/vestige.db", "vestige.db"),
        ("sqlite:bell\x07.db", "bell\ufffd.db"),
    ],
)
def test_short_name_of_a_store(url: str, name: str) -> None:
    assert store_name(url) == name


def test_location_shows_no_password_and_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert location(f"sqlite:{tmp_path}/a\x1b.db") == "sqlite:~/a\ufffd.db"
    assert location("postgresql://me:secret@db/x") == "postgresql://me:***@db/x"


def test_contents_of_a_store() -> None:
    stats = Stats(6, 5, 4, 3, 2, 1, None, None, "sqlite", 9, None)
    assert contents(stats) == [
        ("memories", 6, False),
        ("with a vector", 5, True),
        ("replaced", 1, True),
        ("links", 4, False),
        ("reviews", 2, False),
        ("named domains", 3, False),
    ]


def test_state_of_a_migration() -> None:
    applied = MigrationInfo(1, "initial", "applied", "")
    waiting = MigrationInfo(2, "index", "waiting", "", waits_for="a job\x1b")
    assert migration_state(applied) == "applied"
    assert migration_state(waiting) == "waits for a job\ufffd"
    assert migration_state(MigrationInfo(2, "index", "waiting", "")) == "waits for a model"
    assert migration_state(MigrationInfo(3, "more", "pending", "")) == "not applied yet"
