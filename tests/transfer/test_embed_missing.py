"""The vectors that a copy makes itself, where some text of it is too much for the model."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.attempts import attempt, findings_of
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import Refused
from vestige_tui.core.jobs import JobFinding, TableProgress
from vestige_tui.embedding import encoder_pool
from vestige_tui.jobs.context import JobContext
from vestige_tui.store.open import open_store
from vestige_tui.transfer import embed_missing
from vestige_tui.transfer.copy import Copy

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


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:{tmp_path / 'target.db'}"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The model of each encoder process that is started; it cannot encode everything."""
    monkeypatch.setattr(encoder_pool, "_COMMAND", (sys.executable, "-m", "tests.support.fragile"))
    inner, seen = encoder_pool._Encoder._start, list[str]()

    def start(self: Any) -> Any:
        seen.append(self._model.name)
        return inner(self)

    monkeypatch.setattr(encoder_pool._Encoder, "_start", start)
    return seen


async def followed(
    source: Source, target: str, monkeypatch: pytest.MonkeyPatch, *happenings: Callable[[JobContext], Any]
) -> JobContext:
    """A copy that follows its source; each happening comes after a look, and the copy ends after the last of them."""
    left = iter(happenings)

    async def rest(self: Copy, seconds: float) -> None:
        happening = next(left, None)
        if happening is None:
            assert await self._context.ledger.request_cancel(self._context.job_id)
            self._context.stop.set()
            self._context.check()
        else:
            await happening(self._context)

    with monkeypatch.context() as patch:
        patch.setattr(Copy, "_wait", rest)
        running, _ = await attempt(source.url, target, reembed=True, model=MODEL, follow=True)
    assert list(left) == []
    return running


def counts(running: JobContext) -> tuple[int, int, int, int]:
    made = running.meter.tables.get("embedding", TableProgress())
    return made.read, made.inserted, made.present, made.failed


async def failures(target: str, running: JobContext) -> list[JobFinding]:
    return [each for each in await findings_of(target, running) if each.subject == "embedding"]


async def without(target: str) -> int:
    async with open_store(target) as store:
        return (await store.models.census()).without


async def test_a_text_that_failed_is_tried_again_only_when_it_changed(
    source: Source, target: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, tuple[int, int, int, int]]] = []

    async def look(running: JobContext) -> None:
        seen.append((len(started), counts(running)))

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


@pytest.mark.parametrize("how", ["deleted", "given a vector"])
async def test_another_memory_in_the_place_of_one_that_failed_gets_its_vector(
    source: Source, target: str, started: list[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async def swap(running: JobContext) -> None:
        assert counts(running) == (2, 1, 0, 1)
        source.put(C, "deploy the cache")
        async with open_store(target) as store:
            if how == "deleted":
                await store.delete([A])
            else:
                vector = np.ones(8, dtype=np.float32)
                asked = {"id": A, "embedding": vector, "model": MODEL, "dimension": 8}
                async with store.backend.write() as transaction:
                    await transaction.execute_many("insert_embedding", [asked])

    async def look(running: JobContext) -> None:
        assert len(started) == 2

    running = await followed(source, target, monkeypatch, swap, look)
    assert await without(target) == 0
    # What is gone, or has its vector, failed no more.
    assert counts(running) == (2, 2, 0, 0)
    assert await failures(target, running) == []


async def test_what_failed_is_counted_once_by_all_attempts(
    source: Source, target: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Copy) -> None:
        raise Refused("Something else is wrong.")

    source.put(C, "hollow words")
    with monkeypatch.context() as patch:
        patch.setattr(Copy, "_verify", refuse)
        with pytest.raises(Refused):
            await attempt(source.url, target, reembed=True, model=MODEL, verify=True)
    source.put(D, "deploy the cache")
    running, _ = await attempt(source.url, target, reembed=True, model=MODEL, verify=True)
    assert running.checkpoint["chain"] != running.job_id
    assert counts(running) == (4, 2, 0, 2)
    assert {each.source_key for each in await failures(target, running)} == {A, C}
    assert len(await failures(target, running)) == 2


async def test_more_failures_than_a_batch_holds_are_passed_over(
    source: Source, target: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2 * embed_missing.BATCH_TEXTS):
        source.put(f"00000000-0000-4000-8000-0000000001{number:02}", f"undone {number}")

    async def arrive(running: JobContext) -> None:
        source.put("ffffffff-0000-4000-8000-000000000000", "deploy the cache")

    running = await followed(source, target, monkeypatch, arrive)
    assert counts(running) == (67, 2, 0, 65)
    assert len(await failures(target, running)) == 65
