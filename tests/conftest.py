"""Fixtures of every folder: a state directory and a clock of the test's own, and a store on either database."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from textual.app import App

from tests.support import task_factory
from tests.support.clock import Clock
from tests.support.idle import watch_the_event_loop
from tests.support.kill_points import TIMEOUT_SECONDS, Workers, killable_workers
from tests.support.postgres import (
    bare_postgres_database,
    postgres_database,
    postgres_server,
    postgres_template,
)
from tests.support.postgres_variant import needs_postgres
from tests.support.replicas import replicated_pair
from tests.support.sampling import cases_left_out
from tests.support.signals import hear_signals
from vestige_tui.config.log import close_log
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.jobs import sweeper
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

__all__ = [
    "bare_postgres_database",
    "postgres_database",
    "postgres_server",
    "postgres_template",
    "replicated_pair",
]

GC_THRESHOLDS = (50_000, 10, 10)
"""Objects allocated before a collection of the youngest generation; collections of it before one of the next."""


def pytest_configure() -> None:
    hear_signals()
    watch_the_event_loop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("VESTIGE_TEST_ONLY_POSTGRES"):
        chosen = [item for item in items if isinstance(item, pytest.Function) and needs_postgres(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    if not os.environ.get("VESTIGE_THOROUGH"):
        left_out = {item.nodeid for item in items if item.get_closest_marker("thorough")}
        left_out |= cases_left_out([item for item in items if item.nodeid not in left_out])
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]
    for item in items:
        if item.get_closest_marker("deaths"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def pytest_collection_finish() -> None:
    # A third of the CPU time of a console under test went into collections: with the default thresholds the modules and
    # all collected tests are looked at again for each console. Garbage is still found, a few tests later.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out, and why, in the last lines of a run."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.items():
        terminalreporter.write_line(f"Left out: {count} {'test' if count == 1 else 'tests'}, as {reason}")


@pytest.fixture(autouse=True)
def no_log_is_left_open() -> Iterator[None]:
    """End the log that a command has begun in this process: it lies in a folder of the test's own."""
    yield
    close_log()


@pytest.fixture(autouse=True)
def consoles_run_as_the_program_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``run_test`` mean what ``run`` means, in every test that opens a console."""
    monkeypatch.setattr(App, "run_test", task_factory.run_test)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's state directory: the index of jobs, their logs, and notes of encoders."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vestige-tui"


@pytest.fixture(autouse=True)
def no_clipboard_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing that a test copies or opens reach the desktop, the tmux or the browser of the person who runs it."""
    for name in ("TMUX", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "BROWSER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest) -> str:
    """The database of a store: every test that asks for it runs on a SQLite file and on a real PostgreSQL."""
    return str(request.param)


@pytest.fixture
def store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that does not exist yet as a file, or of an empty one on PostgreSQL."""
    if backend == "postgres":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:{tmp_path / 'store.db'}"


@pytest.fixture
def bare_store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that does not exist yet, as a file or as tables."""
    if backend == "postgres":
        return str(request.getfixturevalue("bare_postgres_database"))
    return f"sqlite:{tmp_path / 'store.db'}"


@pytest.fixture
async def store(store_url: str, clock: Clock) -> AsyncIterator[Store]:
    """An empty store on either database."""
    embedders = EmbedderSource(embedder=TestEmbedder(64))
    async with open_store(store_url, create=True, embedders=embedders, clock=clock) as opened:
        yield opened
    embedders.close()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Workers that can be killed at any of their calls of a database."""
    # The next attempt need not wait until the lease of a killed worker is over.
    monkeypatch.setattr(sweeper, "LEASE", timedelta(seconds=-1))
    with killable_workers() as workers:
        yield workers
