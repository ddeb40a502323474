"""Search in a SQLite store beside an exact answer: under filters that leave anything from nothing to everything."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.memories import Draft, Filter, Patch
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.backends.sqlite import SqliteBackend
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

SIZE, WIDTH = 9_000, 64
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
COMMON = ("harbour", "crane", "signal")
CLUSTERS = 30


@dataclass(frozen=True, slots=True)
class Note:
    """A memory of the test's store, with its vector."""

    id: str
    content: str
    node_type: str
    tags: tuple[str, ...]
    codebase: str
    created: datetime
    vector: np.ndarray[tuple[int], np.dtype[np.float32]]


def _notes() -> list[Note]:
    """Notes of a few words out of many, of which three are in every second or third one."""
    source = np.random.default_rng(1)
    centres = source.standard_normal((CLUSTERS, WIDTH))
    vectors = (source.standard_normal((SIZE, WIDTH)) + centres[source.integers(0, CLUSTERS, SIZE)]).astype(np.float32)
    made = []
    for number in range(SIZE):
        words = [f"word{int(400 * source.random() ** 2)}" for _ in range(int(source.integers(4, 14)))]
        words += [word for word in COMMON for _ in range(int(source.integers(0, 4))) if source.random() < 0.3]
        tags = tuple(name for name, share in (("half", 0.5), ("tenth", 0.1), ("few", 0.002)) if source.random() < share)
        made.append(
            Note(
                f"{int(source.integers(10**9)):09d}-{number}",
                " ".join(source.permutation(words)),
                "fact" if source.random() < 0.8 else "event",
                tags,
                "old" if number % 100 else "new",
                NOW - timedelta(hours=SIZE - number),
                vectors[number],
            )
        )
    return made


@pytest.fixture(scope="module")
def notes() -> list[Note]:
    return _notes()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, notes: list[Note]) -> Path:
    """A store with these notes, of which every twentieth is replaced by the first."""
    path = tmp_path_factory.mktemp("search") / "store.db"

    async def make() -> None:
        async with open_store(f"sqlite:{path}", create=True) as store:
            await store.models.register(ModelSignature("test", WIDTH))

    asyncio.run(make())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO knowledge_nodes "
            "(id, content, node_type, tags, codebase, superseded_by, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    note.id,
                    note.content,
                    note.node_type,
                    json.dumps(note.tags),
                    note.codebase,
                    notes[0].id if number % 20 == 19 else None,
                    note.created.isoformat(timespec="microseconds"),
                    note.created.isoformat(timespec="microseconds"),
                )
                for number, note in enumerate(notes)
            ],
        )
        connection.executemany(
            "INSERT INTO node_embeddings (node_id, embedding) VALUES (?, ?)",
            [(note.id, note.vector.tobytes()) for note in notes],
        )
    return path


@pytest.fixture
async def store(filled: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:{filled}", read_only=True) as opened:
        yield opened


@pytest.fixture
def raw(filled: Path) -> Callable[[str], list[tuple[str, float]]]:
    """Everything that matches, ranked by SQLite itself, ties by id."""

    def ask(match: str) -> list[tuple[str, float]]:
        with closing(sqlite3.connect(filled)) as connection:
            return connection.execute(
                "SELECT m.id, -bm25(knowledge_fts) AS s FROM knowledge_fts JOIN knowledge_nodes m "
                "ON m.seq = knowledge_fts.rowid WHERE knowledge_fts MATCH ? ORDER BY s DESC, m.id",
                (match,),
            ).fetchall()

    return ask


Passes = Callable[[Note], bool]
NARROWINGS: list[tuple[str, Filter, Passes]] = [
    ("everything", Filter(superseded=True), lambda note: True),
    ("active", Filter(), lambda note: True),
    ("80 %", Filter(node_types=("fact",)), lambda note: note.node_type == "fact"),
    ("50 %", Filter(tags=("half",)), lambda note: "half" in note.tags),
    ("55 %", Filter(tags=("half", "tenth")), lambda note: bool({"half", "tenth"} & set(note.tags))),
    ("10 %", Filter(tags=("tenth",)), lambda note: "tenth" in note.tags),
    ("2 %", Filter(tags=("tenth",), node_types=("event",)), lambda n: "tenth" in n.tags and n.node_type == "event"),
    ("1 %", Filter(codebases=("new",)), lambda note: note.codebase == "new"),
    ("0.2 %", Filter(tags=("few",)), lambda note: "few" in note.tags),
    ("nothing", Filter(tags=("nowhere",)), lambda note: False),
    ("the last 500 hours", Filter(since=NOW - timedelta(hours=500)), lambda n: n.created >= NOW - timedelta(hours=500)),
]


def fields(filter: Filter) -> dict[str, Any]:
    """A filter as a query has it."""
    return {name: getattr(filter, name) for name in ("tags", "node_types", "codebases", "since", "superseded")}


def _left(notes: list[Note], filter: Filter, passes: Passes) -> dict[str, Note]:
    return {
        note.id: note for number, note in enumerate(notes) if passes(note) and (filter.superseded or number % 20 != 19)
    }


@pytest.mark.parametrize(("filter", "passes"), [each[1:] for each in NARROWINGS], ids=[each[0] for each in NARROWINGS])
async def test_meaning_under_a_filter_is_exact(store: Store, notes: list[Note], filter: Filter, passes: Passes) -> None:
    left = _left(notes, filter, passes)
    for note in notes[:5]:
        vector = note.vector + np.float32(0.3)
        cosines = {each.id: float(each.vector @ vector / np.linalg.norm(each.vector)) for each in left.values()}
        wanted = sorted(cosines, key=lambda memory_id: (-cosines[memory_id], memory_id))
        for limit in (1, 10, 50):
            found = await store.search(SearchQuery(embedding=vector, mode="vector", limit=limit, **fields(filter)))
            assert [hit.memory.id for hit in found] == wanted[:limit]


@pytest.mark.slow
@pytest.mark.sampled("filter")
@pytest.mark.parametrize(("filter", "passes"), [each[1:] for each in NARROWINGS], ids=[each[0] for each in NARROWINGS])
@pytest.mark.parametrize(
    "text", ["word7 word350 harbour", "crane", "harbour crane signal", "word399 word398", "absent"]
)
async def test_words_under_a_filter(
    store: Store,
    notes: list[Note],
    raw: Callable[[str], list[tuple[str, float]]],
    text: str,
    filter: Filter,
    passes: Passes,
) -> None:
    """As many rows as there are, up to the limit; the scores are those of the full ranking, and so are the best ten."""
    left = _left(notes, filter, passes)
    wanted = [hit for hit in raw(" OR ".join(text.split())) if hit[0] in left]
    for limit in (10, 50):
        found = await store.search(SearchQuery(text=text, mode="text", limit=limit, **fields(filter)))
        assert len(found.hits) == min(limit, len(wanted))
        scores = dict(wanted)
        for hit in found:
            assert hit.text_score == pytest.approx(scores[hit.memory.id])
        best = {memory_id for memory_id, _ in wanted[:10]}
        assert len(best.intersection(hit.memory.id for hit in found)) >= 0.9 * len(best)


@pytest.mark.parametrize("text", ["+harbour +crane", '+harbour +crane +"signal"', "+word3"])
async def test_words_that_all_have_to_occur(
    store: Store, raw: Callable[[str], list[tuple[str, float]]], text: str
) -> None:
    match = " AND ".join(word.strip('+"') for word in text.split())
    query = SearchQuery(text=text, mode="text", limit=30, superseded=True)
    assert [hit.memory.id for hit in await store.search(query)] == [memory_id for memory_id, _ in raw(match)[:30]]


async def test_a_word_that_has_to_occur_beside_others_that_need_not(store: Store, notes: list[Note]) -> None:
    text = "+harbour word2 word5 -crane"
    held = {note.id for note in notes if "harbour" in note.content.split() and "crane" not in note.content.split()}
    for mode, vector in (("text", None), ("hybrid", notes[3].vector)):
        query = SearchQuery(text=text, embedding=vector, mode=mode, limit=40, superseded=True)  # type: ignore[arg-type]  # both are modes
        found = [hit.memory.id for hit in await store.search(query)]
        assert len(found) == 40
        assert held.issuperset(found)


async def test_every_hit_has_its_share_of_both_branches(
    store: Store, notes: list[Note], raw: Callable[[str], list[tuple[str, float]]]
) -> None:
    vector, text = notes[11].vector, "word7 word350 harbour"
    scores = dict(raw(" OR ".join(text.split())))
    cosines = {
        note.id: float(note.vector @ vector / np.linalg.norm(note.vector) / np.linalg.norm(vector)) for note in notes
    }
    found = await store.search(SearchQuery(text=text, embedding=vector, limit=60))
    assert {hit.text_rank is None for hit in found} == {hit.vector_rank is None for hit in found} == {True, False}
    for hit in found:
        assert hit.vector_score == pytest.approx(cosines[hit.memory.id], abs=1e-5)
        assert (hit.text_score or 0.0) == pytest.approx(scores.get(hit.memory.id, 0.0))


async def test_steps_say_what_was_done(store: Store, notes: list[Note]) -> None:
    async def said(text: str, **narrow: Any) -> list[str]:
        query = SearchQuery(text=text, embedding=notes[0].vector, **narrow)
        steps = (await store.explain(query)).steps
        assert all(step.ms is not None for step in steps if step.what in ("vector", "text"))
        return [step.how for step in steps]

    assert any("candidates from the rarest of 3 words" in how for how in await said("word399 harbour crane"))
    assert any("FTS5, any query word, ranked by bm25" in how for how in await said("harbour"))
    narrow = await said("harbour", tags=("few",))
    assert any("that pass the filters, ranked by bm25" in how for how in narrow)
    assert any("that pass the filters: all compared exactly" in how for how in narrow)


async def test_characters_as_they_stand_are_found_as_before(store: Store, notes: list[Note]) -> None:
    wanted = [note.id for note in reversed(notes) if "WORD7 H".casefold() in note.content]
    query = SearchQuery(text="WORD7 h", mode="literal", limit=20, superseded=True)
    assert [hit.memory.id for hit in await store.search(query)] == wanted[:20]


async def test_searches_at_once_agree(filled: Path, notes: list[Note]) -> None:
    """The first search of a store loads the vectors; those that come meanwhile find the same."""
    async with open_store(f"sqlite:{filled}", read_only=True) as store:
        query = SearchQuery(text="word7 harbour", embedding=notes[4].vector, limit=20)
        answers = await asyncio.gather(*(store.search(query) for _ in range(8)))
    assert len({tuple(hit.memory.id for hit in answer) for answer in answers}) == 1


async def test_warming_loads_what_a_search_needs(filled: Path, notes: list[Note]) -> None:
    backend = SqliteBackend(filled, read_only=True)
    await backend.open()
    await backend.warm()
    backend.use_model(ModelSignature("test", WIDTH))
    await backend.warm()
    assert backend._search.index is not None
    assert len(backend._search.index) == SIZE
    await backend.close()


async def test_what_a_filter_left_is_asked_again_after_a_change(tmp_path: Path) -> None:
    embedders = EmbedderSource(embedder=TestEmbedder(32))
    async with open_store(f"sqlite:{tmp_path / 'store.db'}", create=True, embedders=embedders) as store:
        query = SearchQuery(text="harbour", tags=("night",))
        [first] = (await store.insert(Draft("harbour one", tags=("night",)))).changed
        [second] = (await store.insert(Draft("harbour two"))).changed
        assert [hit.memory.id for hit in await store.search(query)] == [first]
        await store.update(second, Patch(tags=("night",)))
        assert {hit.memory.id for hit in await store.search(query)} == {first, second}
        await store.update(first, Patch(content="something else"))
        changed = {hit.memory.id: hit for hit in await store.search(query)}
        assert changed[first].text_rank is None
        await store.delete([second])
        assert [hit.memory.id for hit in await store.search(query)] == [first]
    embedders.close()
