"""What people really type: exact strings, common words, stop words, very long questions, and every script."""

from __future__ import annotations

import pytest

from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.models import TestEmbedder, signature
from vestige_tui.store.search.query_syntax import is_unspaced, parse, pieces, spaced_words
from vestige_tui.store.store import Store

PATHS = [
    "Set VESTIGE_DB_PATH=/srv/memories/vestige.db before the agent starts.",
    "vestige_db_path was renamed; the old name is still read.",
    "The trace id 3f2b8c1e-77aa-4f0e-9a52-0d3c5b6e7f88 belongs to the failed payment.",
    "100% of the _special_ characters \\ must stay as they are: [a-z]* and $HOME.",
    "Ключ подписи меняется каждые 90 дней.",
    "東京タワーの高さは333メートルです。",
    "大阪城は豊臣秀吉が建てた。",
    "서울에서 회의가 열렸다.",
    "The Tokyo office (東京) signs with the new key.",
    "กุญแจลงนามหมุนเวียนทุกเก้าสิบวัน",
    "Smörgåsbord på fredagar, straße und naïve café.",
]


@pytest.fixture
async def shelf(store: Store) -> Store:
    embedder = TestEmbedder(64)
    await store.models.register(signature(embedder))
    await store.memories.insert_many([Draft(content=text) for text in PATHS], embeddings=embedder.embed(PATHS))
    return store


async def found(store: Store, text: str, **options: object) -> list[str]:
    query = SearchQuery(text, **{"mode": "text", "limit": 20, **options})  # type: ignore[arg-type]  # as a test writes
    return [hit.memory.content for hit in await store.search(query)]


async def test_literally_in_the_case_as_written_first(shelf: Store) -> None:
    assert await found(shelf, "vestige_db_path", mode="literal") == [PATHS[1], PATHS[0]]
    assert await found(shelf, "VESTIGE_DB_PATH", mode="literal") == [PATHS[0], PATHS[1]]
    assert (await shelf.search(SearchQuery("VESTIGE_DB_PATH", mode="literal"))).mode == "literal"


@pytest.mark.parametrize(
    ("characters", "places"),
    [
        ("/srv/memories/vestige.db", [0]),
        ("3f2b8c1e-77aa-4f0e-9a52-0d3c5b6e7f88", [2]),
        ("100%", [3]),
        ("_special_", [3]),
        ("\\", [3]),
        ("[a-z]*", [3]),
        ("$HOME", [3]),
        ("タワー", [5]),
        ("подписи", [4]),
        ("b6e7f8", [2]),
        ("nowhere at all", []),
        ("%", [3]),
        ('"', []),
        ("'; DROP TABLE x; --", []),
    ],
)
async def test_literally_any_character(shelf: Store, characters: str, places: list[int]) -> None:
    assert await found(shelf, characters, mode="literal") == [PATHS[place] for place in places]


async def test_literally_with_filters_and_limits(shelf: Store) -> None:
    await shelf.insert(Draft(content="vestige_db_path once more", node_type="decision"), embed=False)
    query = SearchQuery("vestige_db_path", mode="literal", node_types=("decision",))
    assert [hit.memory.content for hit in await shelf.search(query)] == ["vestige_db_path once more"]
    assert len(await shelf.search(SearchQuery("e", mode="literal", limit=3))) == 3
    with pytest.raises(Usage):
        await shelf.search(SearchQuery("  ", mode="literal"))
    with pytest.raises(Usage):
        await shelf.search(SearchQuery("x" * 1_001, mode="literal"))


async def test_an_identifier_is_found_by_words_too(shelf: Store) -> None:
    assert (await found(shelf, "where is VESTIGE_DB_PATH set"))[:1] == [PATHS[0]]


async def test_a_query_of_stop_words_is_answered_by_meaning(shelf: Store) -> None:
    answer = await shelf.search(SearchQuery("who are they and what was it"))
    assert answer.mode == "vector"
    assert len(answer) == 10
    assert "too common" in answer.warnings[0]
    by_words = await shelf.search(SearchQuery("who are they", mode="text"))
    assert not by_words.hits
    assert "use rarer words" in by_words.warnings[0]


async def test_a_common_word_does_not_bury_a_rare_one(store: Store) -> None:
    drafts = [Draft(content=f"service note {number} about the service and its service level") for number in range(300)]
    drafts.append(Draft(content="The quorum of the service is three."))
    await store.memories.insert_many(drafts, embed=False)
    assert (await found(store, "service quorum"))[0] == drafts[-1].content
    assert len(await found(store, "service")) == 20
    assert await found(store, "+service +quorum") == [drafts[-1].content]


async def test_a_very_long_question(shelf: Store) -> None:
    question = " ".join(f"word{number}" for number in range(5_000)) + " +подписи"
    assert await found(shelf, "подписи " + question) == [PATHS[4]]
    answer = await shelf.search(SearchQuery("signing key " * 20_000, mode="text"))
    assert PATHS[8] in [hit.memory.content for hit in answer]


async def test_scripts_without_spaces(shelf: Store) -> None:
    assert set(await found(shelf, "東京")) == {PATHS[5], PATHS[8]}
    assert (await found(shelf, "東京タワー"))[0] == PATHS[5]
    assert await found(shelf, "大阪") == [PATHS[6]]
    assert (await found(shelf, "서울"))[0] == PATHS[7]
    assert (await found(shelf, "กุญแจ"))[0] == PATHS[9]
    assert await found(shelf, "豊臣秀吉 +城") == [PATHS[6]]
    assert PATHS[8] not in await found(shelf, "東京 -office")
    assert PATHS[5] not in await found(shelf, "東京 -タワー")


async def test_mixed_scripts(shelf: Store) -> None:
    assert (await found(shelf, "Tokyo 東京"))[0] == PATHS[8]
    hybrid = await shelf.search(SearchQuery("東京タワー", limit=5))
    assert hybrid.mode == "hybrid"
    assert hybrid[0].memory.content == PATHS[5]
    assert hybrid[0].text_rank == 1


async def test_accents_and_cases_fold(shelf: Store) -> None:
    assert (await found(shelf, "smorgasbord NAIVE CAFE"))[0] == PATHS[10]
    assert (await found(shelf, "КЛЮЧ"))[0] == PATHS[4]


async def test_why_not_counts_in_every_script(shelf: Store) -> None:
    [memory] = [each for each in (await shelf.page(Filter())).items if each.content == PATHS[6]]
    why = await shelf.why_not(SearchQuery("東京", mode="text"), memory.id)
    assert why.rank is None


def test_pieces() -> None:
    assert is_unspaced("key 鍵")
    assert not is_unspaced("ключ key")
    assert pieces(["東京タワー"]) == ("東京", "京タ", "タワ", "ワー")
    assert pieces(["鍵", "Key_ring"]) == ("鍵",)
    assert spaced_words(["鍵", "Key_ring", "Café鍵"]) == ("key_ring", "café")
    assert len(pieces(["東" * 3 + "".join(map(chr, range(0x4E00, 0x4F00)))])) == 64
    assert parse('"東京 tower"').must == ("東京 tower",)
