"""The vectors that a copy makes itself, where some text of it is too much for the model."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tests.support.attempts import attempt, claimed_copy, findings_of, run_to_end
from tests.support.failing_encoder import FAILING_ENCODER, LOG_VARIABLE, started_models
from tests.support.job_steps import Step, hook_steps
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Refused
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.embedding import encoder_pool
from vestige_tui.jobs.context import JobContext
from vestige_tui.store.open import open_store
from vestige_tui.transfer import copy, embed_missing

MODEL = "test-embedder-8"
A, B, C, D = (f"00000000-0000-4000-8000-00000000000{last}" for last in "abcd")
AT, LATER = "2026-02-01T00:00:00.000000+00:00", "2026-03-01T00:00:00.000000+00:00"


class Source:
    """A file that a copy reads, written as other programs write it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def url(self) -> str:
        return f"sqlite:{self._path}"

    def change(self, statement: str, *values: str) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(statement, values)

    def put(self, memory_id: str, content: str) -> None:
        self.change(
            "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, ?, ?, ?)",
            *(memory_id, content, AT, AT),
        )

    def edit(self, memory_id: str, content: str) -> None:
        self.change("UPDATE knowledge_nodes SET content = ?, updated_at = ? WHERE id = ?", content, LATER, memory_id)


@pytest.fixture
async def source(tmp_path: Path) -> Source:
    """With a memory that cannot be encoded (A), and one that can (B)."""
    made = Source(tmp_path / "source.db")
    async with open_store(made.url, create=True) as store:
        await store.models.register(ModelSignature("test-model", 4))
    made.put(A, "undone business")
    made.put(B, "keys rotate")
    return made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[str]]:
    """Return the model of each encoder process that was started; the encoders fail on some texts."""
    log = tmp_path / "encoders.log"
    monkeypatch.setenv(LOG_VARIABLE, str(log))
    monkeypatch.setattr(encoder_pool, "ENCODER_COMMAND", FAILING_ENCODER)
    return partial(started_models, log)


class Pauses(asyncio.Event):
    """Stop event of a job whose every wait runs the next happening instead; the last one cancels the job."""

    def __init__(self, context: JobContext, happenings: Iterable[Callable[[JobContext], Any]]) -> None:
        super().__init__()
        self.context = context
        self.left = list(happenings)

    async def wait(self) -> Literal[True]:
        if self.left:
            await self.left.pop(0)(self.context)
        else:
            assert await self.context.ledger.request_cancel(self.context.job_id)
            self.set()
        return True


async def followed(
    source: Source, target: str, monkeypatch: pytest.MonkeyPatch, *happenings: Callable[[JobContext], Any]
) -> JobContext:
    """A copy that follows its source; each happening comes after a look, and the copy ends after the last of them."""
    # The pause ends with its happening.
    monkeypatch.setattr(copy, "POLL_SECONDS", 60.0)
    async with claimed_copy(source.url, target, reembed=True, model=MODEL, follow=True) as running:
        running.stop = pauses = Pauses(running, happenings)
        await run_to_end(running)
    assert pauses.left == []
    return running


def counts(running: JobContext) -> tuple[int, int, int, int]:
    made = running.meter.tables.get("embedding", TableProgress())
    return made.read, made.inserted, made.present, made.failed


async def failures(target: str, running: JobContext) -> list[JobFinding]:
    return [each for each in await findings_of(target, running) if each.subject == "embedding"]


async def without(target: str) -> int:
    async with open_store(target) as store:
        return (await store.models.census()).without


@pytest.mark.slow
async def test_a_text_that_failed_is_tried_again_only_when_it_changed(
    source: Source, target: str, started: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, tuple[int, int, int, int]]] = []

    async def look(running: JobContext) -> None:
        seen.append((len(started()), counts(running)))

    async def arrive(running: JobContext) -> None:
        await look(running)
        source.put(C, "deploy the cache")

    async def still_undone(running: JobContext) -> None:
        await look(running)
        source.edit(A, "undone again")

    async def mended(running: JobContext) -> None:
        await look(running)
        assert [each.source_key for each in await failures(target, running)] == [A]
        source.edit(A, "business as usual")

    running = await followed(source, target, monkeypatch, arrive, look, look, still_undone, look, mended, look)
    assert seen == [
        (1, (2, 1, 0, 1)),
        *[(2, (3, 2, 0, 1))] * 3,
        *[(3, (3, 2, 0, 1))] * 2,
        (4, (3, 3, 0, 0)),
    ]
    assert await failures(target, running) == []
    assert await without(target) == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "given a vector"])
async def test_another_memory_in_the_place_of_one_that_failed_gets_its_vector(
    source: Source, target: str, started: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async def swap(running: JobContext) -> None:
        assert counts(running) == (2, 1, 0, 1)
        source.put(C, "deploy the cache")
        async with open_store(target) as store:
            if how == "deleted":
                await store.delete([A])
            else:
                vector = np.ones(8, dtype=np.float32)
                params = {"id": A, "embedding": vector, "model": MODEL, "dimension": 8}
                async with store.backend.write() as transaction:
                    await transaction.execute_many("insert_embedding", [params])

    async def look(running: JobContext) -> None:
        assert len(started()) == 2

    running = await followed(source, target, monkeypatch, swap, look)
    assert await without(target) == 0
    # What is gone, or has its vector, failed no more.
    assert counts(running) == (2, 2, 0, 0)
    assert await failures(target, running) == []


@pytest.mark.slow
async def test_what_failed_is_counted_once_by_all_attempts(
    source: Source, target: str, started: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(step: Step) -> None:
        if step.phase == "comparing":
            raise Refused("Something else is wrong.")

    source.put(C, "hollow words")
    with monkeypatch.context() as patch:
        hook_steps(patch, before=refuse)
        with pytest.raises(Refused):
            await attempt(source.url, target, reembed=True, model=MODEL, verify=True)
    source.put(D, "deploy the cache")
    running, _ = await attempt(source.url, target, reembed=True, model=MODEL, verify=True)
    assert running.checkpoint["chain"] != running.job_id
    assert counts(running) == (4, 2, 0, 2)
    assert {each.source_key for each in await failures(target, running)} == {A, C}
    assert len(await failures(target, running)) == 2


@pytest.mark.slow
async def test_more_failures_than_a_batch_holds_are_passed_over(
    source: Source, target: str, started: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2 * embed_missing.BATCH_TEXTS):
        source.put(f"00000000-0000-4000-8000-0000000001{number:02}", f"undone {number}")

    async def arrive(running: JobContext) -> None:
        source.put("ffffffff-0000-4000-8000-000000000000", "deploy the cache")

    running = await followed(source, target, monkeypatch, arrive)
    assert counts(running) == (67, 2, 0, 65)
    assert len(await failures(target, running)) == 65
