"""The vectors in memory: what they find beside an exact measure, and how they keep up with the store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.vestige_files import make_v18
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.backends.sqlite import SqliteBackend
from vestige_tui.store.open import open_store
from vestige_tui.store.search.filter_sets import EVERYTHING, FilterSet
from vestige_tui.store.search.vector_index import Take, VectorIndex, memory_limit
from vestige_tui.store.store import Store

Matrix = NDArray[np.float32]

WIDTH = 256
MANY = 24_000
CENTRES = np.random.default_rng(0).standard_normal((60, WIDTH)).astype(np.float32)


class Table:
    """The vectors of a store that a test writes to: by their seq, each with the seq of its memory."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int | None, object]] = {}
        self.last = 0
        self.reads = 0
        self.gate: asyncio.Event | None = None

    def write(self, memory: int | None, blob: object) -> int:
        """A vector of a memory; an earlier one of the same memory goes."""
        for seq in [seq for seq, (other, _) in self.rows.items() if memory is not None and other == memory]:
            del self.rows[seq]
        return self.append(memory, blob)

    def append(self, memory: int | None, blob: object) -> int:
        self.last += 1
        self.rows[self.last] = memory, blob
        return self.last

    def write_all(self, matrix: Matrix, first: int = 1) -> None:
        for number, row in enumerate(matrix, first):
            self.append(number, row.tobytes())

    async def read(self, name: str, params: Mapping[str, object], take: Take) -> None:
        if name == "measure_embeddings":
            take([(len(self.rows), max(self.rows, default=0))])
        elif name == "list_embedding_seqs":
            take([(",".join(map(str, self.rows)) or None,)])
        else:
            self.reads += 1
            after = params["seq"]
            assert isinstance(after, int)
            rows = [(seq, memory, blob) for seq, (memory, blob) in self.rows.items() if seq > after]
            if self.gate is not None:
                await self.gate.wait()
            for start in range(0, len(rows), 1_000):
                await asyncio.to_thread(take, rows[start : start + 1_000])


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture(scope="module")
def clusters() -> Matrix:
    """Vectors in loose clusters, of any length, float32 (MANY, WIDTH)."""
    source = np.random.default_rng(1)
    found = source.standard_normal((MANY, WIDTH)).astype(np.float32) + 0.8 * CENTRES[source.integers(0, 60, MANY)]
    return (found * source.uniform(0.1, 10, (MANY, 1))).astype(np.float32)


def questions(count: int) -> Matrix:
    """Vectors that are near some others, as those of questions are."""
    source = np.random.default_rng(2)
    return CENTRES[:count] + 0.7 * source.standard_normal((count, WIDTH)).astype(np.float32)


def exactly(matrix: Matrix, vector: Matrix, depth: int, passing: FilterSet = EVERYTHING) -> list[int]:
    """The nearest rows, numbered from 1, measured one by one."""
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    scores = (matrix.astype(np.float64) @ vector.astype(np.float64)) / norms
    return [int(row) + 1 for row in np.argsort(-scores) if passing.passes(int(row) + 1)][:depth]


@pytest.mark.slow
async def test_bits_find_what_an_exact_measure_finds(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters)
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    found, said = 0, set()
    for vector in questions(40):
        hits, how = await index.nearest(vector, 30, EVERYTHING)
        said.add("binary quantization first" in how)
        found += len({memory for memory, _ in hits}.intersection(exactly(clusters, vector, 30)))
        assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
    assert said == {True}
    assert found >= 0.999 * 40 * 30


@pytest.mark.slow
async def test_where_nothing_is_near_everything_is_measured(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters)
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    for vector in np.random.default_rng(2).standard_normal((10, WIDTH)).astype(np.float32):
        hits, how = await index.nearest(vector, 30, EVERYTHING)
        assert "all compared exactly" in how
        assert [memory for memory, _ in hits] == exactly(clusters, vector, 30)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.002, 0.05, 0.5, 0.95])
async def test_only_what_passes_is_found(table: Table, clusters: Matrix, share: float) -> None:
    table.write_all(clusters)
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    chosen = np.random.default_rng(3).random(MANY) < share
    passing = FilterSet(frozenset((np.flatnonzero(chosen) + 1).tolist()), frozenset())
    kept_out = FilterSet(None, frozenset((np.flatnonzero(~chosen) + 1).tolist()))
    same = 0
    for vector in questions(10):
        wanted = exactly(clusters, vector, 30, passing)
        for each in (passing, kept_out):
            hits, _ = await index.nearest(vector, 30, each)
            assert len(hits) == min(30, int(chosen.sum()))
            assert all(chosen[memory - 1] for memory, _ in hits)
            same += len(set(wanted).intersection(memory for memory, _ in hits))
    assert same >= 0.99 * 2 * 10 * min(30, int(chosen.sum()))


async def test_nothing_passes(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters[:50])
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    assert (await index.nearest(clusters[0], 10, FilterSet(frozenset(), frozenset())))[0] == []


async def test_an_exact_search_measures_all(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters)
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    for vector in questions(5):
        hits, how = await index.nearest(vector, 500, EVERYTHING, exact=True)
        assert "all compared exactly" in how
        assert [memory for memory, _ in hits] == exactly(clusters, vector, 500)


async def test_all_that_tie_with_the_last_are_given(table: Table, clusters: Matrix) -> None:
    table.write_all(np.concatenate([np.repeat(clusters[:1], 4_007, axis=0), clusters[1:40]]))
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    hits, _ = await index.nearest(clusters[0], 10, EVERYTHING)
    assert len(hits) == 4_007
    assert len({score for _, score in hits}) == 1


async def test_unusable_vectors_are_passed_over(table: Table, clusters: Matrix) -> None:
    fine = clusters[:20]
    table.write_all(fine)
    broken = np.full(WIDTH, np.nan, dtype=np.float32)
    endless = np.full(WIDTH, np.inf, dtype=np.float32)
    for memory, blob in enumerate(
        (np.zeros(WIDTH, dtype=np.float32).tobytes(), broken.tobytes(), endless.tobytes(), b"", b"abc", "text", None, 7)
    ):
        table.write(1_000 + memory, blob)
    table.append(None, fine[0].tobytes())
    table.write(2_000, np.ones(WIDTH + 1, dtype=np.float32).tobytes())
    # A byte too many has never kept a vector from being read.
    table.write(3_000, fine[3].tobytes() + b"\0")
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    assert len(index) == 21
    hits, _ = await index.nearest(fine[3], 100, EVERYTHING)
    assert {memory for memory, _ in hits} == {*range(1, 21), 3_000}
    assert np.isfinite([score for _, score in hits]).all()
    reads = table.reads
    await index.sync(2)
    assert table.reads == reads
    for odd in (np.zeros(WIDTH, dtype=np.float32), broken, np.ones(3, dtype=np.float32)):
        assert (await index.nearest(odd, 5, EVERYTHING))[0] == []


async def test_an_empty_store_finds_nothing_until_something_is_written(table: Table, clusters: Matrix) -> None:
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    assert (await index.nearest(clusters[0], 5, EVERYTHING))[0] == []
    assert (len(index), index.bytes) == (0, 0)
    table.write(9, clusters[0].tobytes())
    await index.sync(2)
    assert [memory for memory, _ in (await index.nearest(clusters[0], 5, EVERYTHING))[0]] == [9]


async def test_what_is_written_deleted_and_written_again_is_seen(table: Table, clusters: Matrix) -> None:
    """Random changes, after each of which the index finds what an exact measure of the table finds."""
    source = np.random.default_rng(4)
    table.write_all(clusters[:300])
    index = VectorIndex(WIDTH, table.read)
    for token in range(60):
        kind = token % 4
        memories = [memory for memory, _ in table.rows.values() if memory is not None]
        if kind == 0:
            for _ in range(40):
                table.write(int(source.integers(1, 2_000)), clusters[source.integers(MANY)].tobytes())
        elif kind == 1:
            for seq in source.choice(list(table.rows), 30, replace=False):
                del table.rows[int(seq)]
        elif kind == 2:
            table.write(int(source.choice(memories)), clusters[source.integers(MANY)].tobytes())
        else:
            del table.rows[int(source.choice(list(table.rows)))]
            table.write(2_000 + token, clusters[source.integers(MANY)].tobytes())
        await index.sync(token)
        there = {memory: np.frombuffer(bytes(blob), "<f4") for memory, blob in table.rows.values()}  # type: ignore[call-overload]  # blobs here
        assert len(index) == len(there)
        vector = questions(1)[0]
        hits, _ = await index.nearest(vector, 20, EVERYTHING)
        scores = {memory: row @ vector / np.linalg.norm(row) / np.linalg.norm(vector) for memory, row in there.items()}
        assert [score for _, score in hits][:20] == pytest.approx(sorted(scores.values(), reverse=True)[:20], abs=1e-5)
        assert all(scores[memory] == pytest.approx(score, abs=1e-5) for memory, score in hits)


async def test_room_grows_by_parts_and_is_given_back(table: Table, clusters: Matrix) -> None:
    index = VectorIndex(WIDTH, table.read)
    table.write_all(clusters[:1_000])
    await index.sync(0)
    sizes = set()
    for number in range(600):
        table.write(1_001 + number, clusters[1_000 + number].tobytes())
        await index.sync(1 + number)
        sizes.add(index.bytes)
    assert len(sizes) <= 3
    assert len(index) == 1_600
    full = index.bytes
    for seq in list(table.rows)[100:]:
        del table.rows[seq]
    await index.sync(-1)
    assert len(index) == 100
    assert index.bytes < full / 8
    hits, _ = await index.nearest(clusters[7], 3, EVERYTHING)
    assert [memory for memory, _ in hits] == exactly(clusters[:100], clusters[7], 3)


async def test_a_search_during_a_sync_uses_what_was_there(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters[:3_000])
    index = VectorIndex(WIDTH, table.read)
    await index.sync(1)
    table.write_all(clusters[3_000:9_000], 3_001)
    for seq in range(2_000, 2_500):
        del table.rows[seq]
    syncing = asyncio.create_task(index.sync(2))
    before = 0
    while not syncing.done():
        hits, _ = await index.nearest(clusters[5], 5, EVERYTHING)
        assert hits[0][0] == 6
        before += 1
    await syncing
    assert before > 0
    assert len(index) == 8_500
    assert (await index.nearest(clusters[8_999], 1, EVERYTHING))[0][0][0] == 9_000


async def test_whoever_comes_during_a_load_joins_it(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters[:100])
    table.gate = asyncio.Event()
    index = VectorIndex(WIDTH, table.read)
    first = asyncio.create_task(index.sync(1))
    others = [asyncio.create_task(index.sync(1)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    assert not any(task.done() for task in others)
    table.gate.set()
    await asyncio.gather(*others)
    assert first.cancelled()
    assert (table.reads, len(index)) == (1, 100)


async def test_a_load_that_fails_is_tried_again(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters[:10])
    working = table.read
    failures = 1

    async def read(name: str, params: Mapping[str, object], take: Take) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("the disk is gone")
        await working(name, params, take)

    index = VectorIndex(WIDTH, read)
    with pytest.raises(OSError, match="gone"):
        await index.sync(1)
    await index.sync(1)
    assert len(index) == 10


async def test_closing_ends_a_load(table: Table, clusters: Matrix) -> None:
    table.write_all(clusters[:5_000])
    table.gate = asyncio.Event()
    index = VectorIndex(WIDTH, table.read)
    loading = asyncio.create_task(index.sync(1))
    await asyncio.sleep(0)
    closing_it = asyncio.create_task(index.close())
    await asyncio.sleep(0)
    table.gate.set()
    await asyncio.gather(loading, closing_it)
    assert len(index) == 0


async def test_more_than_may_be_held_is_not_loaded(table: Table, clusters: Matrix) -> None:
    assert memory_limit() >= 1_000_000_000
    table.write_all(clusters[:1_000])
    index = VectorIndex(WIDTH, table.read, limit=700_000)
    await index.sync(1)
    assert (index.too_large, index.bytes, table.reads) == (1_000, 0, 0)
    for seq in list(table.rows)[500:]:
        del table.rows[seq]
    await index.sync(2)
    assert (index.too_large, len(index)) == (0, 500)
    assert 0 < index.bytes <= 700_000


# A store with such an index


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    embedders = EmbedderSource(embedder=TestEmbedder(64))
    async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True, embedders=embedders) as opened:
        yield opened
    embedders.close()


async def test_a_store_beyond_the_limit_answers_by_words_and_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.insert(Draft("the harbour crane stands still"))
    monkeypatch.setattr("vestige_tui.store.search.vector_index.memory_limit", lambda: 10)
    await store.close()
    await store.open()
    answer = await store.search(SearchQuery(text="harbour crane"))
    assert len(answer.hits) == 1
    assert answer.hits[0].text_rank == 1
    assert answer.hits[0].vector_rank is None
    opened = await store.explain(SearchQuery(text="harbour crane"))
    assert any("too many vectors" in step.how for step in opened.steps)


async def test_a_vector_that_another_program_changes_in_place_is_seen(tmp_path: Path) -> None:
    path = make_v18(tmp_path / "vestige.db")
    with closing(sqlite3.connect(path)) as connection:
        [[node, blob]] = connection.execute("SELECT node_id, embedding FROM node_embeddings LIMIT 1").fetchall()
    backend = SqliteBackend(path)
    await backend.open()
    before = np.frombuffer(blob, "<f4")
    index = VectorIndex(len(before), backend.readers.stream, rewritten=backend.foreign)
    await index.sync(await backend.change_token())
    hits, _ = await index.nearest(before, 1, EVERYTHING)
    assert hits[0][1] == pytest.approx(1, abs=1e-5)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE node_embeddings SET embedding = ? WHERE node_id = ?", ((-before).tobytes(), node))
        connection.commit()
    await index.sync(await backend.change_token())
    after, _ = await index.nearest(-before, 1, EVERYTHING)
    assert after[0][0] == hits[0][0]
    assert after[0][1] == pytest.approx(1, abs=1e-5)
    await backend.close()
