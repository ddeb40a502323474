"""The step of the schema that folds words: stores of before it, its interruption, and searches meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import unicodedata
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.support.old_schema import take_back
from vestige_tui.core.errors import ReadOnly
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.core.waits import WaitKind, wait_sentence
from vestige_tui.store.backends.protocol import Row, Transaction
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema import migrations
from vestige_tui.store.store import Store
from vestige_tui.store.waits import Waits

TEXTS = [
    "The straße is long",
    "Plain words only",
    "我们使用PostgreSQL数据库",
    unicodedata.normalize("NFD", "Một đường phố"),
    "știință \ufeffbomword",
    "A café again",
    "Plain again",
]
FOLDED = {"strasse": 0, "postgresql": 2, "duong": 3, "stiinta": 4, "bomword": 4, "cafe": 5, "plain": 6}


async def found(store: Store, text: str) -> list[str]:
    return [hit.memory.content for hit in await store.search(SearchQuery(text, mode="text"))]


@pytest.fixture
async def old_store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store as the version before the step left it; the step takes two memories at a time."""
    async with open_store(store_url, create=True) as store:
        await store.memories.insert_many([Draft(text) for text in TEXTS], embed=False)
    await take_back(store_url, "folding")
    monkeypatch.setattr(migrations, "BATCH_ROWS", 2)
    return store_url


async def assert_folded(url: str) -> None:
    async with open_store(url) as store:
        for word, number in FOLDED.items():
            assert TEXTS[number] in await found(store, word), word


@pytest.mark.slow
async def test_an_old_store_is_folded_when_it_is_opened(old_store: str) -> None:
    async with open_store(old_store, read_only=True) as reader:
        assert reader.maintenance.pending[0].name == "folding"
        assert await found(reader, "straße") == [TEXTS[0]]
        assert await found(reader, "strasse") == []
        with pytest.raises(ReadOnly):
            await reader.insert(Draft("New."))
    await assert_folded(old_store)
    await take_back(old_store, "folding")
    async with open_store(old_store, read_only=True) as reader:
        assert await found(reader, "straße") == [TEXTS[0]]
        assert len(await found(reader, "plain")) == 2


async def test_its_progress_is_told(old_store: str) -> None:
    steps: list[migrations.MigrationProgress] = []
    backend = open_backend(old_store)
    await backend.open()
    try:
        step, *_ = await migrations.up(backend, progress=steps.append)
        assert (step.name, step.state) == ("folding", "applied")
    finally:
        await backend.close()
    assert [(each.done, each.total) for each in steps] == [(0, 7), (2, 7), (4, 7), (6, 7), (7, 7)]
    assert {each.step.partition("_")[2] for each in steps} == {"folding"}


@pytest.mark.parametrize("after", range(5))
async def test_one_that_was_broken_off_is_taken_up(old_store: str, after: int) -> None:
    async def break_off() -> None:
        seen = 0

        def stop(_: migrations.MigrationProgress) -> None:
            nonlocal seen
            if seen == after:
                raise asyncio.CancelledError
            seen += 1

        backend = open_backend(old_store)
        await backend.open()
        try:
            await migrations.up(backend, progress=stop)
        finally:
            await backend.close()

    with pytest.raises(asyncio.CancelledError):
        await break_off()
    async with open_store(old_store, read_only=True) as reader:
        assert reader.maintenance.pending[0].name == "folding"
        assert len(await found(reader, "plain")) == 2
        assert await found(reader, "cafe") == [TEXTS[5]]
    await assert_folded(old_store)


async def test_other_consoles_search_and_a_server_is_written_meanwhile(
    old_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = migrations._change_batch
    answers: list[list[str]] = []
    backend = open_backend(old_store)
    await backend.open()

    async with open_store(old_store, read_only=True) as reader:

        async def change_while_searched(transaction: Transaction, after: object) -> Row | None:
            page = await change(transaction, after)
            answers.append([*await found(reader, "café"), *await found(reader, "long")])
            return page

        monkeypatch.setattr(migrations, "_change_batch", change_while_searched)
        try:
            await migrations.up(backend)
        finally:
            await backend.close()
    assert answers == [[TEXTS[5], TEXTS[0]]] * 5


async def test_a_batch_leaves_the_words_alone_that_stay(postgres_database: str) -> None:
    url = postgres_database
    async with open_store(url) as store:
        await store.memories.insert_many([Draft(text) for text in TEXTS], embed=False)
    await take_back(url, "folding")
    folding = next(step for step in migrations.migrations("postgres") if step.name == "folding")
    backend = open_backend(url)
    await backend.open()
    try:
        async with backend.write() as transaction:
            await transaction.script(folding.parts[0])
            everything = {"after": None, "last": "ffffffff-ffff-ffff-ffff-ffffffffffff"}
            counts = [await transaction.execute("fold_memories", everything) for _ in range(2)]
    finally:
        await backend.close()
    # Not the plain ones, nor the one whose only accent was folded before.
    assert counts == [4, 0]


async def test_another_program_writes_a_file_that_folds(store: Store, store_url: str) -> None:
    if not store_url.startswith("sqlite:"):
        return
    with closing(sqlite3.connect(store_url.removeprefix("sqlite:"))) as connection, connection:
        insert = "INSERT INTO knowledge_nodes (id, content, created_at, updated_at) VALUES (?, ?, '2026', '2026')"
        connection.executemany(insert, [("one", "Größe 数据Kafka"), ("two", "ø")])
        connection.execute("UPDATE knowledge_nodes SET content = 'smørrebrød' WHERE id = 'two'")
    assert await found(store, "grosse kafka") == ["Größe 数据Kafka"]
    assert await found(store, "smorrebrod") == ["smørrebrød"]
    assert await found(store, "o") == []


def test_a_long_step_is_shown_as_a_wait() -> None:
    seconds = 0.0
    waits = Waits(lambda: "store.db", clock=lambda: seconds)
    waits.note_migration("0010_folding: 0 %")
    assert waits.report() is None
    seconds = 9.0
    waits.note_migration("0010_folding: 30 %")
    report = waits.report()
    assert report is not None
    assert report.kind is WaitKind.MIGRATION
    assert wait_sentence(report, datetime.now(UTC)) == (
        "Updating the schema (0010_folding: 30 % of the memories done) in store.db."
    )
    waits.note_migration("")
    assert waits.report() is None
