"""How PostgreSQL's words are weighed: counted in time, counted again as a store grows, and shared by all sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from vestige_tui.core.memories import Draft
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store


@pytest.fixture
async def library(postgres_database: str) -> AsyncIterator[Store]:
    async with open_store(postgres_database, create=True) as store:
        yield store


async def write(store: Store, *texts: str) -> None:
    await store.memories.insert_many([Draft(content=text) for text in texts], embed=False)


async def weights(store: Store, text: str) -> dict[str, float | None]:
    explained = await store.explain(SearchQuery(text, mode="text"))
    return {word.text: word.weight for word in explained.words}


async def best(store: Store, text: str) -> str:
    return (await store.search(SearchQuery(text, mode="text")))[0].memory.content


async def test_a_store_that_is_filled_after_its_first_search_is_counted(library: Store) -> None:
    assert not await library.search(SearchQuery("harbour quorum", mode="text"))
    await write(library, *(f"harbour harbour harbour {number}" for number in range(400)), "the quorum of a harbour")
    assert await best(library, "harbour quorum") == "the quorum of a harbour"
    assert [row["documents"] for row in await library.backend.fetch("weigh_words", {"words": ["harbour"]})] == [401]


async def test_a_rare_word_weighs_more(library: Store) -> None:
    await write(library, *(f"harbour number {number}" for number in range(50)), "harbour quorum")
    found = await weights(library, "harbour quorum")
    assert (found["quorum"] or 0) > 3
    assert (found["harbour"] or 1) < 0.1


async def test_growth_is_counted_again(library: Store) -> None:
    await write(library, *(f"harbour number {number}" for number in range(50)))
    await library.search(SearchQuery("harbour", mode="text"))
    await write(library, *(f"quorum number {number}" for number in range(50)))
    await library.search(SearchQuery("quorum", mode="text"))
    rows = await library.backend.fetch("weigh_words", {"words": ["harbour", "quorum", "never written"]})
    assert {row["word"]: (row["documents"], row["whole"]) for row in rows} == {
        "harbour": (50, 100),
        "quorum": (50, 100),
        "never written": (1, 100),
    }


async def test_another_session_reads_what_was_counted(library: Store, postgres_database: str) -> None:
    await write(library, *(f"harbour number {number}" for number in range(50)), "harbour quorum")
    await library.warm()
    async with open_store(postgres_database, read_only=True) as other:
        assert await best(other, "harbour quorum") == "harbour quorum"
        rows = await other.backend.fetch("weigh_words", {"words": ["harbour"]})
        assert rows[0]["documents"] == 51


async def test_a_store_that_may_not_be_written_is_searched_uncounted(library: Store, postgres_database: str) -> None:
    await write(library, "harbour one", "quorum two")
    async with open_store(postgres_database, read_only=True) as other:
        assert await best(other, "quorum") == "quorum two"
        assert await other.backend.fetch("weigh_words", {"words": ["harbour"]}) == [
            {"word": "harbour", "query": "'harbour'", "whole": 0, "documents": 1}
        ]


@pytest.mark.slow
async def test_common_words_alone_are_answered_from_the_newest(library: Store) -> None:
    texts = [f"alpha beta {number}" for number in range(4_500)]
    await library.memories.insert_many([Draft(content=text) for text in texts], embed=False)
    explained = await library.explain(SearchQuery("alpha beta", mode="text"))
    assert any("newest 2,000" in step.how and "common" in step.how for step in explained.steps)
    assert len(explained.answer) == 10
    await write(library, "gamma alpha")
    assert await best(library, "alpha gamma") == "gamma alpha"
    assert len(await library.search(SearchQuery("+alpha +beta", mode="text", limit=20))) == 20
