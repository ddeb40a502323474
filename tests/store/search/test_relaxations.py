"""An empty answer: the condition that leaves no hit, the number of hits without it, and the query without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from vestige_tui.core.memories import Draft
from vestige_tui.core.search import EmptyReason, Mode, SearchQuery
from vestige_tui.store.search.query_syntax import marked_parts, without_marks
from vestige_tui.store.store import Store

A_STAR = 'Returns the shortest path using the A* ("A-star") algorithm.'


@pytest.fixture
async def filled(store: Store) -> Store:
    await store.insert(
        Draft("The shortest path is found by the algorithm of Dijkstra.", node_type="fact", tags=("path",))
    )
    await store.insert(Draft("Paths of files are shown below the home folder.", node_type="decision"))
    await store.insert(Draft("日本語の検索について", node_type="fact"))
    return store


async def reason(store: Store, query: SearchQuery) -> EmptyReason | None:
    answer = await store.search(query)
    assert answer.empty_because is None or not answer.hits
    return answer.empty_because


@pytest.mark.parametrize("mode", ["hybrid", "text"])
@pytest.mark.parametrize(
    ("text", "kind", "condition", "without"),
    [
        (A_STAR, "phrase", '"A-star"', "Returns the shortest path using the A* (A-star) algorithm."),
        ("path +zeppelin", "word", "+zeppelin", "path zeppelin"),
        ('path +"found zeppelin" by', "phrase", '+"found zeppelin"', "path found zeppelin by"),
        ("dijkstra +algorithm -path", "excluded", "-path", "dijkstra +algorithm"),
        ('+dijkstra -"shortest path"', "excluded", '-"shortest path"', "+dijkstra"),
        ("path +zeppelin +balloon", "several", "+zeppelin and +balloon", "path zeppelin balloon"),
        (
            'path +zeppelin "zeppelin" +zeppelin',
            "several",
            '+zeppelin and "zeppelin"',
            "path zeppelin zeppelin zeppelin",
        ),
        ("検索 +飛行船", "word", "+飛行船", "検索 飛行船"),
    ],
)
async def test_a_mark_that_leaves_no_hit_is_named(
    filled: Store, mode: Mode, text: str, kind: str, condition: str, without: str
) -> None:
    found = await reason(filled, SearchQuery(text, mode=mode))
    assert found is not None
    assert (found.kind, found.condition, found.query.text) == (kind, condition, without)
    again = await filled.search(found.query)
    assert len(again) == found.hits > 0
    assert found.query.mode == mode


@pytest.mark.parametrize("mode", ["hybrid", "text", "literal"])
async def test_a_filter_that_leaves_no_hit_is_named(filled: Store, mode: Mode) -> None:
    text = "Dijkstra"
    found = await reason(filled, SearchQuery(text, mode=mode, node_types=("recipe",)))
    assert found is not None
    assert (found.kind, found.condition, found.fields) == ("filter", "type recipe", ("node_types",))
    assert found.query == SearchQuery(text, mode=mode)
    since = datetime(2100, 1, 1, tzinfo=UTC)
    both = await reason(filled, SearchQuery(text, mode=mode, node_types=("recipe",), since=since))
    assert both is not None
    assert (both.kind, both.fields) == ("several", ("node_types", "since"))
    assert both.query == SearchQuery(text, mode=mode)


async def test_marks_go_before_filters_and_both_together(filled: Store) -> None:
    query = SearchQuery("shortest +zeppelin", mode="text", tags=("path",))
    found = await reason(filled, query)
    assert found is not None
    assert (found.kind, found.query) == ("word", replace(query, text="shortest zeppelin"))
    found = await reason(filled, replace(query, tags=("none",)))
    assert found is not None
    assert (found.kind, found.condition) == ("several", "+zeppelin and tag none")
    assert found.query == SearchQuery("shortest zeppelin", mode="text")


async def test_hidden_replaced_memories_are_a_reason(filled: Store) -> None:
    old = (await filled.insert(Draft("The zeppelin of old."))).changed[0]
    new = (await filled.insert(Draft("An airship of today."))).changed[0]
    await filled.links.supersede(old, new)
    found = await reason(filled, SearchQuery("zeppelin", mode="text"))
    assert found is not None
    assert (found.kind, found.hits, found.query.superseded) == ("replaced", 1, True)


async def test_without_a_condition_there_is_no_reason(filled: Store) -> None:
    for query in (
        SearchQuery("zeppelin", mode="text"),
        SearchQuery("zeppelin", mode="literal"),
        SearchQuery('"zeppelin"', mode="text"),
        SearchQuery("zeppelin +balloon", mode="text", node_types=("recipe",)),
        SearchQuery("path", mode="text"),
    ):
        assert await reason(filled, query) is None


async def test_few_queries_are_run_for_any_number_of_marks(filled: Store) -> None:
    text = " ".join(f"+zeppelin{number}" for number in range(60)) + " path"
    before = await reason(filled, SearchQuery(text, mode="text", node_types=("fact",), tags=("path",), owner=None))
    assert before is not None
    assert before.kind == "several"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ('"a" b', "a b"),
        ('+a +a -b c', "a a c"),
        ('"type:x -y +z" w', "type x y z w"),
        ('-"one two" "open', "open"),
        ('("A-star")', "(A-star)"),
        ("no marks", "no marks"),
        ('"" + - ""', '"" + - ""'),
    ],
)  # fmt: skip
def test_words_lose_their_marks(text: str, without: str) -> None:
    assert without_marks(text, marked_parts(text)) == without
