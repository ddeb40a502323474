"""A copy beside others that write the same store: a re-embedding, or another copy of the same."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.attempts import attempt
from tests.support.equal_stores import rows
from tests.support.full_store import MODEL, START, fill
from tests.support.job_steps import Step, hook_steps
from tests.support.jobs import PATIENCE_SECONDS
from tests.support.model_swap import prepare_spare_vectors, stored_vectors, swap_models
from tests.support.postgres import wait_for_blocked_session
from vestige_tui.core.errors import ModelMismatch, Refused
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest, check
from vestige_tui.store.backends import pgbinary_encode
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store
from vestige_tui.transfer import copy_rows
from vestige_tui.transfer.convert import TransferRow
from vestige_tui.transfer.open import target_of
from vestige_tui.transfer.protocols import WriteOutcome
from vestige_tui.transfer.table_spec import TABLES

NEW = TestEmbedder(64)


# A re-embedding


@pytest.mark.parametrize("table", ["memories", "vectors"])
async def test_no_vector_of_the_old_model_comes_after_the_swap(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    path = tmp_path / "source.db"
    await fill(path, 60)
    writes = 0

    async def take_over(step: Step) -> None:
        nonlocal writes
        writes += step.writes_rows(table)
        if step.writes_rows(table) and writes == 2:
            await asyncio.to_thread(prepare_spare_vectors, target, NEW)
            await asyncio.to_thread(swap_models, target, NEW)

    hook_steps(monkeypatch, before=take_over)
    monkeypatch.setattr(copy_rows, "MAX_BATCH_ROWS", 10)
    with pytest.raises(ModelMismatch, match="no more vectors of test-model"):
        await attempt(f"sqlite:{path}", target, batch=10)
    there = dict(stored_vectors(target))
    assert there
    for text, made in zip(there, NEW.embed(list(there)), strict=True):
        assert (abs(there[text] - made) < 1e-6).all(), text


async def test_the_swap_waits_for_the_vectors_of_a_copy(tmp_path: Path, postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as store:
        await store.models.register(MODEL)
        prepare_spare_vectors(postgres_database, NEW)
        target = target_of(store)
        target.model = MODEL
        async with store.backend.write() as transaction:
            await target.hold_model(transaction)
            swapping = asyncio.create_task(asyncio.to_thread(swap_models, postgres_database, NEW))
            await wait_for_blocked_session(postgres_database)
            assert not swapping.done()
        await swapping
        async with store.backend.write() as transaction:
            with pytest.raises(ModelMismatch):
                await target.hold_model(transaction)


async def test_nothing_is_copied_into_a_store_that_is_being_reembedded(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.db"
    await fill(path, 20)
    work = JobRequest("copy", f"sqlite:{path}", target)
    async with open_store(target, create=True) as store:
        ledger = Ledger(store)
        run = await ledger.start(kind="reembed", source=target, target=target, model="new", task="reembed", owner="me")
        for dry in (False, True):
            with pytest.raises(Refused, match=f"A re-embedding of .* is running as job {run.id[:8]}"):
                await check(work, dry=dry)
        await ledger.transition(run.id, "failed", error="given up")
    assert (await check(work)).model == MODEL.name


# Another copy of the same


def logs_of(url: str) -> list[list[Any]]:
    """The lines of both logs, without their numbers."""
    asked = (
        "SELECT memory_id, rating FROM review_events",
        "SELECT loser_id, winner_id, kind FROM supersession_events",
    )
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as connection:
            return [sorted(rows(connection, sql), key=repr) for sql in asked]
    with psycopg.connect(url) as server:
        return [sorted(rows(server, sql), key=repr) for sql in asked]


@pytest.mark.slow
async def test_two_copies_of_the_same_that_begin_together_leave_each_line_once(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    await fill(one, 60)
    shutil.copy(one, other)
    async with open_store(target, create=True) as store:
        await store.models.register(MODEL)
    both = asyncio.Barrier(2)

    async def meet(step: Step) -> None:
        if "fresh" in step.changed:
            assert set(step.checkpoint["fresh"]) >= {"reviews", "supersession"}
            async with asyncio.timeout(PATIENCE_SECONDS):
                await both.wait()

    hook_steps(monkeypatch, after=meet)
    attempts = await asyncio.gather(*(attempt(f"sqlite:{path}", target, batch=7) for path in (one, other)))
    assert logs_of(target) == logs_of(f"sqlite:{one}")
    for name in ("reviews", "supersession"):
        counted = [running.meter.tables[name] for running, _ in attempts]
        assert sum(table.inserted for table in counted) == counted[0].read == counted[1].read, name
        assert [table.failed for table in counted] == [0, 0], name


@pytest.mark.slow
async def test_a_copy_that_is_taken_up_after_another_brought_the_same_adds_nothing(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    await fill(one, 60)
    shutil.copy(one, other)

    async def interrupt(step: Step) -> None:
        if step.writes_rows("vectors"):
            raise Refused("Something else is wrong.")

    with monkeypatch.context() as patch:
        hook_steps(patch, before=interrupt)
        with pytest.raises(Refused):
            await attempt(f"sqlite:{one}", target, batch=7)
    await attempt(f"sqlite:{other}", target, batch=7)
    running, _ = await attempt(f"sqlite:{one}", target, batch=7, verify=True)
    assert "reviews" in running.checkpoint["fresh"]
    assert logs_of(target) == logs_of(f"sqlite:{one}")
    for name in ("reviews", "supersession"):
        counted = running.meter.tables[name]
        assert (counted.inserted, counted.present, counted.failed) == (0, counted.read, 0), name


async def test_the_logs_of_one_store_are_written_one_after_the_other(postgres_database: str) -> None:
    async with open_store(postgres_database, create=True) as one, open_store(postgres_database) as other:
        reviews = next(table for table in TABLES if table.name == "reviews")
        line = (
            bytes(15) + b"\x01",
            pgbinary_encode.moment(START),
            pgbinary_encode.smallint(3),
            pgbinary_encode.jsonb(b"{}"),
            pgbinary_encode.jsonb(b"{}"),
            None,
        )
        row = TransferRow("line", (*line, pgbinary_encode.integer(0), None, None, None, None))

        async def write(store: Store) -> WriteOutcome:
            async with store.backend.write() as transaction:
                return await target_of(store).write(transaction, reviews, [row], fresh=True)

        await one.insert(Draft("reviewed", id="00000000-0000-0000-0000-000000000001"), embed=False)
        async with one.backend.write() as transaction:
            assert (await target_of(one).write(transaction, reviews, [row], fresh=True)).inserted == 1
            writing = asyncio.create_task(write(other))
            await wait_for_blocked_session(postgres_database)
        assert (await writing).inserted == 0
        assert len(await one.reviews.log("00000000-0000-0000-0000-000000000001")) == 1
