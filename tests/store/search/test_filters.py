"""Filters alone and together, and what could be chosen next: counted by both backends as by hand."""

from __future__ import annotations

import itertools
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.support.clock import Clock
from tests.support.memory_ids import list_ids
from vestige_tui.core.errors import Usage
from vestige_tui.core.memories import LOCAL_USER, Draft, Filter
from vestige_tui.core.reviews import Scheduling
from vestige_tui.core.scheduling import retrievability
from vestige_tui.core.search import SearchQuery
from vestige_tui.store.store import Store

ADA, BEA, BEA_TOO = (str(uuid.UUID(int=number, version=4)) for number in (1, 2, 3))
PEOPLE = {ADA: ("ada", "Ada [b]L[/b] \x1b[31m"), BEA: ("bea", "Bea"), BEA_TOO: ("bea-2", "bea")}
EVIL = 'a "b" [red]c[/] \x1b[2J 日本語 🔑 ' + "x" * 200
COUNT = 72
DAY = timedelta(days=1)


def add_people(store_url: str, people: Mapping[str, tuple[str, str]]) -> None:
    """Users are made by the memory server, never by this program."""
    rows = [(key, handle, name, "2026-01-01T00:00:00.000000+00:00") for key, (handle, name) in people.items()]
    insert = "INSERT INTO users (id, handle, display_name, created_at) VALUES "
    if store_url.startswith("sqlite:"):
        with closing(sqlite3.connect(store_url.removeprefix("sqlite:"))) as file, file:
            file.executemany(f"{insert} (?, ?, ?, ?)", rows)
    else:
        with psycopg.connect(store_url) as server:
            server.cursor().executemany(f"{insert} (%s, %s, %s, %s)".encode(), rows)


def made(clock: Clock) -> list[Draft]:
    """Memories that differ in every field, in steps that share no factor."""
    drafts = []
    for number in range(COUNT):
        reviewed = Scheduling(1.0 + number % 11, 5.0, 0.9, clock() - DAY * (number % 13), clock(), 1 + number % 3, 0)
        drafts.append(
            Draft(
                f"word number {number}",
                id=str(uuid.UUID(int=1000 + number, version=4)),
                node_type=("fact", "decision", "event")[number % 3],
                tags=tuple(tag for step, tag in ((2, "x"), (5, "two words"), (7, EVIL)) if number % step == 0),
                domains=tuple(domain for step, domain in ((3, "auth"), (4, "ops")) if number % step == 0),
                codebase=(None, "api", "日本")[number % 3] if number % 4 else None,
                owner_user_id=(LOCAL_USER, ADA, BEA)[number % 5 % 3],
                created_at=clock() - DAY * number,
                scheduling=reviewed if number % 2 else None,
            )
        )
    return drafts


@pytest.fixture
async def filled(store: Store, store_url: str, clock: Clock) -> list[Draft]:
    add_people(store_url, PEOPLE)
    drafts = made(clock)
    vectored, bare = drafts[::2], drafts[1::2]
    await store.memories.insert_many(vectored)
    await store.memories.insert_many(bare, embed=False)
    for number in range(0, 12, 4):
        await store.links.supersede(drafts[number].id or "", drafts[number + 1].id or "")
    return drafts


def alone(clock: Clock) -> dict[str, Any]:
    return {
        "domains": ("auth",),
        "node_types": ("fact", "event"),
        "tags": ("two words", EVIL),
        "codebases": ("日本",),
        "owner": ADA,
        "since": clock() - 50 * DAY,
        "until": clock() - 3 * DAY,
        "min_retrievability": 0.8,
        "superseded": True,
        "states": ("without-vector",),
    }


def passes(number: int, draft: Draft, chosen: Filter, store: Store) -> bool:
    """What a filter means, said without a database."""
    share = retrievability(draft.scheduling, store.now(), store.policy.weights) if draft.scheduling else None
    made_at = draft.created_at
    assert made_at is not None
    return (
        (not chosen.domains or bool(set(chosen.domains) & set(draft.domains)))
        and (not chosen.node_types or draft.node_type in chosen.node_types)
        and (not chosen.tags or bool(set(chosen.tags) & set(draft.tags)))
        and (not chosen.codebases or draft.codebase in chosen.codebases)
        and chosen.owner in (None, draft.owner_user_id)
        and (chosen.since is None or made_at >= chosen.since)
        and (chosen.until is None or made_at < chosen.until)
        and (chosen.min_retrievability is None or (share is not None and share >= chosen.min_retrievability))
        and (chosen.superseded or number not in (0, 4, 8))
        and (not chosen.states or number % 2 == 1)
    )


def together(clock: Clock) -> Iterator[Filter]:
    """Nothing, each alone, each pair, and all but one."""
    fields = alone(clock)
    for count in (0, 1, 2, len(fields) - 1, len(fields)):
        for names in itertools.combinations(fields, count):
            yield Filter(**{name: fields[name] for name in names})


async def test_every_filter_counts_and_lists_as_by_hand(store: Store, filled: list[Draft], clock: Clock) -> None:
    asked = list(together(clock))
    assert len(asked) == 1 + 10 + 45 + 10 + 1
    some = 0
    for chosen in asked:
        expected = {draft.id for number, draft in enumerate(filled) if passes(number, draft, chosen, store)}
        assert await store.memories.count(chosen) == len(expected), chosen
        assert set(await list_ids(store, chosen)) == expected, chosen
        some += bool(expected)
    assert some > 40


async def test_facets_count_what_choosing_them_would_leave(store: Store, filled: list[Draft], clock: Clock) -> None:
    values: dict[str, Callable[[Draft], tuple[str, ...]]] = {
        "domains": lambda draft: draft.domains,
        "tags": lambda draft: draft.tags,
        "node_types": lambda draft: (draft.node_type,),
        "codebases": lambda draft: (draft.codebase,) if draft.codebase else (),
        "owners": lambda draft: (draft.owner_user_id,),
    }
    for name, own in values.items():
        for chosen in together(clock):
            passing = [draft for number, draft in enumerate(filled) if passes(number, draft, chosen, store)]
            expected = Counter(value for draft in passing for value in own(draft))
            facets = await store.memories.facets(name, chosen)  # type: ignore[arg-type]  # each is a FacetName
            assert {facet.value: facet.count for facet in facets} == expected, (name, chosen)
            assert [facet.count for facet in facets] == sorted(expected.values(), reverse=True)


async def test_owners_are_told_with_what_they_are_called(store: Store, filled: list[Draft]) -> None:
    owners = {facet.value: (facet.alias, facet.title) for facet in await store.memories.facets("owners")}
    assert owners == {LOCAL_USER: ("local", "Local User"), ADA: PEOPLE[ADA], BEA: PEOPLE[BEA]}
    assert len(await store.memories.facets("owners", limit=1)) == 1


@pytest.mark.slow
async def test_dates_and_recall_are_counted_as_their_filters_count(
    store: Store, filled: list[Draft], clock: Clock
) -> None:
    moments = [clock() - days * DAY for days in (0, 1, 7, 30, 365)]
    shares = [0.0, 0.5, 0.7, 0.9, 1.0]
    for chosen in together(clock):
        others = replace(chosen, since=None, until=None, min_retrievability=None)
        since, until = (
            await store.memories.count_since(moments, others),
            await store.memories.count_until(moments, others),
        )
        recalled = await store.memories.count_recalled(shares, others)
        assert since == tuple([await store.memories.count(replace(others, since=moment)) for moment in moments])
        assert until == tuple([await store.memories.count(replace(others, until=moment)) for moment in moments])
        assert recalled == tuple(
            [await store.memories.count(replace(others, min_retrievability=share)) for share in shares]
        )
        assert {a + b for a, b in zip(since, until, strict=True)} == {await store.memories.count(others)}
    assert await store.memories.count_since([]) == ()


async def test_the_queue_takes_every_filter(store: Store, filled: list[Draft], clock: Clock) -> None:
    clock.advance(days=1)
    for chosen in together(clock):
        passing = [draft for number, draft in enumerate(filled) if passes(number, draft, chosen, store)]
        due = {draft.id for draft in passing if draft.scheduling}
        counts = await store.reviews.queue_counts(chosen)
        assert counts.due == len(due)
        assert counts.new == len(passing) - len(due)
        assert {memory.id for memory in await store.reviews.due(limit=100, filter=chosen)} == due


async def test_an_owner_goes_by_id_handle_or_name(store: Store, filled: list[Draft]) -> None:
    for said in (ADA, ADA.upper() if store.kind == "postgres" else ADA, "ada", "ADA", PEOPLE[ADA][1]):
        assert (await store.memories.resolve_owner(Filter(owner=said, tags=("x",)))) == Filter(owner=ADA, tags=("x",))
    # A handle is one person's; it goes before the names of others.
    assert (await store.memories.resolve_owner(Filter(owner="bea"))).owner == BEA
    assert (await store.memories.resolve_owner(Filter(owner="bea-2"))).owner == BEA_TOO
    assert await store.memories.resolve_owner(Filter()) == Filter()
    for nobody in ("nobody", str(uuid.UUID(int=9)), "'; --", "\x00", "\ud800", EVIL):
        with pytest.raises(Usage, match="No owner is called"):
            await store.memories.resolve_owner(Filter(owner=nobody))


async def test_a_name_that_two_people_have_is_refused(store: Store, store_url: str) -> None:
    add_people(store_url, {ADA: ("one", "Same"), BEA: ("two", "same")})
    with pytest.raises(Usage, match="Several owners are called 'Same'"):
        await store.memories.resolve_owner(Filter(owner="Same"))


async def test_a_search_stays_inside_a_filter(store: Store, filled: list[Draft], clock: Clock) -> None:
    for chosen in together(clock):
        expected = {draft.id for number, draft in enumerate(filled) if passes(number, draft, chosen, store)}
        query = SearchQuery.within(chosen, "word", mode="text", limit=COUNT)
        assert query.filter == chosen
        assert {hit.memory.id for hit in await store.search(query)} == expected, chosen


async def test_a_forecast_takes_every_filter(store: Store, filled: list[Draft], clock: Clock) -> None:
    for chosen in together(clock):
        passing = [draft for number, draft in enumerate(filled) if passes(number, draft, chosen, store)]
        scheduled = sum(draft.scheduling is not None for draft in passing)
        assert len(await store.reviews.due_times(30, chosen)) == scheduled, chosen
