"""A search laid open, and why a memory is not in an answer: the same figures by hand, on both backends."""

from __future__ import annotations

import uuid

import pytest

from vestige_tui.core.errors import NotFound, Usage
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.search import Explanation, Mode, SearchQuery
from vestige_tui.core.text import ordinal
from vestige_tui.presenters import explanation
from vestige_tui.store.store import Store

SUBJECTS = ("harbour crane", "signing key", "night backup", "release train", "webhook retry", "cold storage")
VERBS = ("rotates", "waits", "fails", "restarts", "is measured", "is paid for", "moves")
CRANE = "harbour crane rotates"
COUNT = 84


def number(position: int) -> str:
    return str(uuid.UUID(int=5000 + position, version=4))


@pytest.fixture
async def filled(store: Store) -> Store:
    """Memories that share words in steps; every seventh has no vector, the last one is replaced."""
    drafts = [
        Draft(
            f"The {SUBJECTS[position % 6]} {VERBS[position % 7]} on day {position}" + " and again" * (position % 4),
            id=number(position),
            node_type=("fact", "decision")[position % 2],
            tags=("ops",) if position % 3 == 0 else (),
        )
        for position in range(COUNT)
    ]
    await store.memories.insert_many([draft for position, draft in enumerate(drafts) if position % 7])
    await store.memories.insert_many(drafts[::7], embed=False)
    await store.links.supersede(number(COUNT - 1), number(0))
    return store


def ids(found: Explanation, branch: str) -> list[str]:
    return [hit.memory.id for hit in (found.text if branch == "text" else found.vector)]


async def test_the_branches_agree_with_searches_by_one_of_them(filled: Store) -> None:
    found = await filled.explain(SearchQuery(CRANE, limit=10))
    assert found.fusion.depth == 30
    for mode, branch in (("text", "text"), ("vector", "vector")):
        alone = await filled.search(SearchQuery(CRANE, mode=mode, limit=30))  # type: ignore[arg-type]  # both are modes
        assert ids(found, branch) == [hit.memory.id for hit in alone]
    assert [hit.text_rank for hit in found.text] == list(range(1, len(found.text) + 1))
    assert [hit.vector_rank for hit in found.vector] == list(range(1, 31))
    answer = await filled.search(SearchQuery(CRANE, limit=10))
    assert [hit.memory.id for hit in found.answer] == [hit.memory.id for hit in answer]
    assert [hit.memory.id for hit in explanation.fused(found)][:10] == [hit.memory.id for hit in answer]


async def test_shares_and_scores_follow_the_formula(filled: Store) -> None:
    found = await filled.explain(SearchQuery(CRANE, limit=10))
    fusion, scale = found.fusion, explanation.scale_of(found)
    assert (fusion.text_weight, fusion.vector_weight) == (0.5, 0.5)
    assert scale.best is not None
    assert scale.nearest is not None
    assert scale.farthest is not None
    assert scale.base == scale.farthest - (1 - fusion.floor) * abs(scale.farthest)
    whole = explanation.fused(found)
    assert len(whole) == len({*ids(found, "text"), *ids(found, "vector")}) > 10
    for hit in whole:
        words = (hit.text_score or 0.0) / scale.best
        cosine = scale.farthest if hit.vector_score is None else hit.vector_score
        meaning = max(0.0, (cosine - scale.base) / (scale.nearest - scale.base))
        assert hit.text_share == pytest.approx(words, abs=1e-6)
        assert hit.vector_share == pytest.approx(meaning, abs=1e-6)
        assert hit.score == pytest.approx(0.5 * words + 0.5 * meaning, abs=1e-6)
        total = dict(explanation.score_rows(found, hit))["score"]
        assert total.endswith(f"= {explanation.figure(hit.score)}")
    assert any(hit.vector_score is None for hit in whole)
    assert [hit.score for hit in whole] == sorted((hit.score for hit in whole), reverse=True)


async def test_filters_are_counted_by_themselves_and_together(filled: Store) -> None:
    chosen = Filter(node_types=("decision",))
    explanation = await filled.explain(SearchQuery.within(chosen, "harbour +key -waits"))
    told = {each.text: each.memories for each in explanation.filters}
    keys, waiting = ({at for at in range(COUNT) if at % step == 1} for step in (6, 7))
    decisions = set(range(1, COUNT, 2))
    assert told == {
        "type decision": len(decisions),
        "not replaced": COUNT - 1,
        "with key": len(keys),
        "without waits": COUNT - len(waiting),
    }
    assert (explanation.passing, explanation.total) == (len(decisions & keys - waiting - {COUNT - 1}), COUNT)
    assert {*ids(explanation, "text"), *ids(explanation, "vector")} <= {number(at) for at in keys - waiting}


async def test_where_nothing_passes_that_is_the_reason(filled: Store) -> None:
    found = await filled.explain(SearchQuery("+key", tags=("ops",)))
    assert (found.passing, len(found.answer)) == (0, 0)
    assert explanation.why_missing(found, "text", "hybrid") == "No memory passes all filters."


async def test_each_word_is_told(filled: Store) -> None:
    explanation = await filled.explain(SearchQuery("how does the +crane rotate -key elsewhere"))
    told = {word.text: (word.use, word.documents) for word in explanation.words}
    assert told["crane"] == ("must", COUNT // 6)
    assert told["rotate"] == ("ranked", COUNT // 7)
    assert told["elsewhere"] == ("ranked", 0)
    assert told["key"] == ("must_not", None)
    assert told["how"] == told["does"] == told["the"] == ("dropped", None)
    weights = {word.text: word.weight or 0.0 for word in explanation.words}
    assert weights["rotate"] > weights["crane"] * 0.9
    assert explanation.steps[-1].what == "all"


@pytest.mark.parametrize(
    ("text", "mode", "branch", "why"),
    [
        (CRANE, "text", "vector", "This search uses text only."),
        (CRANE, "vector", "text", "This search uses vectors only."),
        ("how who", "hybrid", "text", "Every word is too common to search for."),
        ("Crane", "literal", "vector", "A search for exact characters uses no vectors."),
        ("zzqq", "hybrid", "text", "No memory that passes the filters contains any of the words."),
    ],
)
async def test_a_branch_that_is_missing_says_why(filled: Store, text: str, mode: Mode, branch: str, why: str) -> None:
    found = await filled.explain(SearchQuery(text, mode=mode))
    other = "vector" if branch == "text" else "text"
    assert ids(found, branch) == []
    assert ids(found, other)
    assert explanation.why_missing(found, branch, mode) == why  # type: ignore[arg-type]  # either branch
    assert explanation.why_missing(found, other, mode) == ""  # type: ignore[arg-type]  # either branch
    assert [hit.memory.id for hit in explanation.fused(found)] == ids(found, other)


async def test_what_only_says_what_may_not_occur_lists_the_newest(filled: Store) -> None:
    found = await filled.explain(SearchQuery("-crane", mode="text"))
    assert explanation.is_newest(found)
    assert explanation.rules(found) == ("Nothing to rank by: newest memories first.",)
    assert dict(explanation.score_rows(found, found.answer[0])) == {"score": ".00"}


@pytest.mark.parametrize("mode", ["text", "vector", "hybrid", "literal"])
async def test_why_not_knows_what_is_in_the_answer(filled: Store, mode: Mode) -> None:
    query = SearchQuery("harbour crane", mode=mode, limit=8)
    for place, hit in enumerate(await filled.search(query), start=1):
        stands = await filled.why_not(query, hit.memory.id)
        assert stands.rank == place
        assert stands.reason == f"It is in the results, ranked {ordinal(place)}."
        assert stands.fails == ()


async def test_why_not_names_the_filter_that_keeps_it_out(filled: Store) -> None:
    query = SearchQuery(CRANE, node_types=("decision",))
    stands = await filled.why_not(query, number(0))
    assert (stands.rank, stands.hit, stands.fails) == (None, None, ("type decision",))
    assert "type decision" in stands.reason
    replaced = await filled.why_not(SearchQuery("storage"), number(COUNT - 1))
    assert replaced.fails == ("not replaced",)


async def test_why_not_names_the_words_that_are_missing(filled: Store) -> None:
    query = SearchQuery("harbour backup", limit=3)
    stands = await filled.why_not(query, number(4))
    assert stands.missing == ("harbour", "backup")
    assert stands.hit is not None
    assert stands.hit.text_rank is None
    assert stands.hit.vector_rank is not None
    assert stands.last > 0
    assert stands.rank is not None
    rank, in_branch = ordinal(stands.rank), ordinal(stands.hit.vector_rank)
    assert stands.reason == f"Ranked {rank}: no query word matches; {in_branch} by vector."
    told = dict(explanation.rank_rows(stands))
    assert told["words"] == "does not contain harbour, backup"
    assert told["text"].startswith("no rank")


async def test_why_not_of_a_memory_without_a_vector(filled: Store) -> None:
    without = await filled.why_not(SearchQuery("harbour"), number(7))
    assert without.rank is None
    assert without.hit is None
    assert "no vector" in without.reason
    verdict = await filled.why_not(SearchQuery("key"), number(7))
    assert verdict.hit is not None
    assert (verdict.hit.text_rank is not None, verdict.hit.vector_rank) == (True, None)


async def test_why_not_by_exact_characters(filled: Store) -> None:
    stands = await filled.why_not(SearchQuery("crane rotates", mode="literal"), number(1))
    assert (stands.rank, stands.missing) == (None, ())
    assert stands.reason == "It does not contain these characters."


async def test_why_not_of_nothing(filled: Store) -> None:
    with pytest.raises(NotFound):
        await filled.why_not(SearchQuery(CRANE), str(uuid.UUID(int=9, version=4)))
    with pytest.raises(Usage):
        await filled.why_not(SearchQuery(" "), number(1))


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "─"), (0.414, ".41"), (7.209, "7.21"), (-0.031, "-.03"), (-0.001, ".00"), (10.05, "10.05")],
)
def test_figures_are_short(value: float | None, said: str) -> None:
    assert explanation.figure(value) == said
