"""Filters with signs and states against a plain model of them, random ones, equal on both databases."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.memory_ids import list_ids
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import STATES
from vestige_tui.core.memories import LOCAL_USER, Draft, Filter
from vestige_tui.core.reviews import MarkedMemory, Marks, Scheduling
from vestige_tui.core.scheduling import LEECH_LAPSES, retrievability
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.store import Store

COUNT = 90
TRIES = 150
DAY = timedelta(days=1)
TAGS = ("a", "b", "c++", "two words", "\u65e5\u672c", "-x", "+y")
TYPES = ("fact", "decision", "event")
DOMAINS = ("auth", "ops", "law")
CODEBASES = ("api", "web")


@dataclass(frozen=True)
class Row:
    """A memory and what the store knows of it beside its draft."""

    draft: Draft
    marks: Marks
    replaced: bool
    vector: bool


def drawn(choice: random.Random, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for value in values if choice.random() < 0.3)


def made(choice: random.Random, now: datetime, number: int) -> Row:
    reviewed = choice.random() < 0.7
    schedule = Scheduling(
        1.0 + number % 40, 5.0, 0.9, now - DAY * (1 + number % 30), now + timedelta(hours=choice.randint(-60, 60)),
        choice.randint(0, 4), choice.choice((0, 2, LEECH_LAPSES - 1, LEECH_LAPSES, LEECH_LAPSES + 3)),
    )  # fmt: skip
    draft = Draft(
        f"word number {number}",
        id=str(uuid.UUID(int=2000 + number, version=4)),
        node_type=choice.choice(TYPES),
        tags=drawn(choice, TAGS),
        domains=drawn(choice, DOMAINS),
        codebase=choice.choice((None, *CODEBASES)),
        created_at=now - DAY * number,
        scheduling=schedule if reviewed else None,
    )
    buried = now + timedelta(hours=choice.randint(-30, 30)) if choice.random() < 0.3 else None
    pinned, cleared = choice.random() < 0.3, choice.choice((0, 0, 1, LEECH_LAPSES))
    marks = Marks(choice.random() < 0.2, buried, pinned, cleared)
    return Row(draft, marks, replaced=number % 9 == 0, vector=number % 4 != 0)


@pytest.fixture
async def filled(store: Store, clock: Clock) -> list[Row]:
    choice = random.Random(13)
    rows = [made(choice, clock(), number) for number in range(COUNT)]
    await store.memories.insert_many([row.draft for row in rows if row.vector])
    await store.memories.insert_many([row.draft for row in rows if not row.vector], embed=False)
    await store.reviews.restore_marks(
        [MarkedMemory(row.draft.id or "", row.marks) for row in rows if row.marks != Marks()]
    )
    for number, row in enumerate(rows):
        if row.replaced:
            await store.links.supersede(row.draft.id or "", rows[(number + 1) % COUNT].draft.id or "")
    return rows


def rests(row: Row, now: datetime) -> bool:
    return row.marks.suspended or (row.marks.buried_until is not None and row.marks.buried_until > now)


def due(row: Row, store: Store) -> bool:
    state, now = row.draft.scheduling, store.now()
    if state is None or state.reps == 0 or state.next_review is None or rests(row, now):
        return False
    return state.next_review < store.policy.days.bound(now, 1)


IN_STATE: Mapping[str, Callable[[Row, Store], bool]] = {
    "replaced": lambda row, store: row.replaced,
    "due": due,
    "new": lambda row, store: row.draft.scheduling is None or row.draft.scheduling.reps == 0,
    "suspended": lambda row, store: row.marks.suspended,
    "buried": lambda row, store: row.marks.buried_until is not None and row.marks.buried_until > store.now(),
    "leech": lambda row, store: (
        row.draft.scheduling is not None and row.draft.scheduling.lapses - row.marks.cleared_lapses >= LEECH_LAPSES
    ),
    "pinned": lambda row, store: row.marks.pinned,
    "without-vector": lambda row, store: not row.vector,
}
SEVERAL: Mapping[str, Callable[[Draft], set[str]]] = {
    "domains": lambda draft: set(draft.domains),
    "tags": lambda draft: set(draft.tags),
    "node_types": lambda draft: {draft.node_type},
    "codebases": lambda draft: {draft.codebase} if draft.codebase else set(),
}


def passes(row: Row, chosen: Filter, store: Store) -> bool:
    """Apply a filter to a row as its definition says, without a database."""
    draft = row.draft
    for name, values_of in SEVERAL.items():
        values = values_of(draft)
        any_of, all_of, none_of = (set(getattr(chosen, prefix + name)) for prefix in ("", "all_", "no_"))
        if (any_of and not any_of & values) or not all_of <= values or none_of & values:
            return False
    recall = retrievability(draft.scheduling, store.now(), store.policy.weights) if draft.scheduling else None
    return (
        all(IN_STATE[state](row, store) for state in chosen.states)
        and not any(IN_STATE[state](row, store) for state in chosen.no_states)
        and (chosen.superseded or "replaced" in chosen.states or not row.replaced)
        and (chosen.min_retrievability is None or (recall is not None and recall >= chosen.min_retrievability))
        and chosen.owner in (None, LOCAL_USER)
        and LOCAL_USER not in chosen.no_owners
    )


def random_filter(choice: random.Random) -> Filter:
    fields: dict[str, Any] = {}
    for name, values in (("domains", DOMAINS), ("tags", TAGS), ("node_types", TYPES), ("codebases", CODEBASES)):
        for prefix in ("", "all_", "no_"):
            if choice.random() < 0.15:
                fields[prefix + name] = tuple(choice.sample(values, choice.choice((1, 1, 2))))
    for name in ("states", "no_states"):
        if choice.random() < 0.5:
            fields[name] = tuple(choice.sample(tuple(STATES), choice.choice((1, 1, 2))))
    if choice.random() < 0.2:
        fields["min_retrievability"] = choice.choice((0.5, 0.9))
    if choice.random() < 0.1:
        fields["no_owners"] = (choice.choice((LOCAL_USER, str(uuid.UUID(int=7, version=4)))),)
    return Filter(superseded=choice.random() < 0.3, **fields)


@pytest.mark.slow
async def test_random_filters_pass_the_same_memories_as_their_definition(store: Store, filled: list[Row]) -> None:
    choice = random.Random(14)
    chosen_filters = [Filter(states=(state,)) for state in STATES]  # type: ignore[arg-type]  # each is a state
    chosen_filters += [Filter(no_states=(state,)) for state in STATES]  # type: ignore[arg-type]  # each is a state
    chosen_filters += [random_filter(choice) for _ in range(TRIES)]
    filled_answers = 0
    for chosen in chosen_filters:
        expected = {row.draft.id for row in filled if passes(row, chosen, store)}
        assert set(await list_ids(store, chosen)) == expected, chosen
        assert await store.memories.count(chosen) == len(expected), chosen
        query = SearchQuery.within(chosen, "word", mode="text", limit=COUNT)
        assert {hit.memory.id for hit in await store.search(query)} == expected, chosen
        filled_answers += bool(expected)
    assert filled_answers > TRIES / 3


async def test_the_queue_and_the_filter_for_what_is_due_agree(store: Store, filled: list[Row], clock: Clock) -> None:
    for hours in (0, 9, 30, -20):
        clock.advance(hours=hours)
        queued = {memory.id for memory in await store.reviews.due(limit=COUNT)}
        assert queued == set(await list_ids(store, Filter(states=("due",))))
        assert len(queued) == (await store.reviews.queue_counts()).due
        assert queued


async def test_a_vector_search_stays_inside_its_states(store: Store, filled: list[Row]) -> None:
    for chosen in (Filter(states=("leech",)), Filter(no_states=("new", "suspended")), Filter(no_tags=("a",))):
        expected = {row.draft.id for row in filled if passes(row, chosen, store) and row.vector}
        query = SearchQuery.within(chosen, "word", mode="vector", limit=COUNT)
        assert {hit.memory.id for hit in await store.search(query)} == expected


async def test_a_filter_is_named_in_an_explanation(store: Store, filled: list[Row]) -> None:
    chosen = Filter(all_tags=("a", "b"), no_tags=("c++", "-x"), states=("leech",), no_states=("new",))
    explanation = await store.explain(SearchQuery.within(chosen, "word", mode="text"))
    texts = [each.text for each in explanation.filters]
    assert texts == ["tag a and b", "not tag c++ or -x", "leech", "not new", "not replaced"]
    alone = [
        Filter(superseded=True, all_tags=("a", "b")),
        Filter(superseded=True, no_tags=("c++", "-x")),
        Filter(superseded=True, states=("leech",)),
        Filter(superseded=True, no_states=("new",)),
        Filter(),
    ]
    counts = [sum(passes(row, each, store) for row in filled) for each in alone]
    assert [each.memories for each in explanation.filters] == counts


async def test_an_unknown_state_is_refused(store: Store) -> None:
    with pytest.raises(Usage, match="'\\\\x1b' is not a state of a memory"):
        await store.memories.count(Filter(states=("\x1b",)))  # type: ignore[arg-type]  # what the type forbids
