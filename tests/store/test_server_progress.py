"""Progress of a long statement, as the server reports it, to a second connection."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from vestige_tui.core.errors import Refused
from vestige_tui.core.jobs import StepProgress
from vestige_tui.store import server_progress
from vestige_tui.store.open import open_store
from vestige_tui.store.server_progress import StepClock, step_of, watched
from vestige_tui.store.store import Store

NOTHING = {"phase": "", "tuples_done": None, "tuples_total": None, "blocks_done": None, "blocks_total": None}


@pytest.mark.parametrize(
    ("row", "expected", "step"),
    [
        (
            {"phase": "building index: loading tuples", "tuples_done": 5, "tuples_total": 20},
            0,
            StepProgress("loading tuples", 5, 20, "tuples"),
        ),
        (
            {"phase": "building index", "tuples_done": 5, "tuples_total": 0},
            50,
            StepProgress("building index", 5, 50, "tuples"),
        ),
        (
            {"phase": "scanning heap", "blocks_done": 3, "blocks_total": 9},
            50,
            StepProgress("scanning heap", 3, 9, "blocks"),
        ),
        ({"phase": "sorting", "tuples_done": 90}, 50, StepProgress("sorting", 50, 50, "tuples")),
        # What a role may not see is NULL.
        ({"phase": None}, 0, StepProgress("")),
    ],
)
def test_a_step_has_the_figures_that_the_server_knows(
    row: dict[str, object], expected: int, step: StepProgress
) -> None:
    assert step_of({**NOTHING, **row}, expected) == step


def test_the_time_left_follows_from_what_was_gained() -> None:
    now = 0.0
    clock = StepClock(lambda: now)
    assert clock.seconds_left("loading", None) is None
    assert clock.seconds_left("loading", 0.2) is None
    now = 10.0
    assert clock.seconds_left("loading", 0.4) == 30.0
    assert clock.seconds_left("flushing", 0.1) is None, "another phase has another speed"


async def test_a_build_that_waits_is_seen_by_its_phase_and_ends_the_watch(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_progress, "POLL_SECONDS", 0.02)
    async with open_store(postgres_database, create=True) as store:
        shown: asyncio.Queue[StepProgress] = asyncio.Queue()
        with (
            psycopg.connect(postgres_database) as other,
            psycopg.connect(postgres_database, autocommit=True) as builder,
        ):
            # A writer keeps a concurrent build waiting.
            other.execute("LOCK TABLE journal IN ROW EXCLUSIVE MODE")
            statement = "CREATE INDEX CONCURRENTLY slow_one ON journal (actor)"
            build = asyncio.create_task(asyncio.to_thread(builder.execute, statement))
            async with watched(store.backend, "index", shown.put):
                async with asyncio.timeout(30):
                    step = await shown.get()
                assert step.name == "waiting for writers before build"
                other.rollback()
                await build
            rows = await store.backend.fetch("server_progress", {"kind": "index"})
            assert not rows
            assert not await store.backend.fetch("server_progress", {"kind": "vacuum"})


async def test_a_missing_right_costs_only_the_figures(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_progress, "POLL_SECONDS", 0.0)
    asked = asyncio.Event()

    async def refused(name: str, params: object = None) -> object:
        asked.set()
        raise Refused("The role may not read pg_stat_progress_create_index.")

    async def show(step: StepProgress) -> None:
        raise AssertionError(step)

    backend = store.backend
    monkeypatch.setattr(backend, "fetch", refused)
    async with watched(backend, "index", show):
        if backend.capabilities.reports_progress:
            async with asyncio.timeout(30):
                await asked.wait()
