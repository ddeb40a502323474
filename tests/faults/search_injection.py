"""Queries that are syntax to a database."""

from __future__ import annotations

import asyncio

from tests.faults.lab import Lab, refusal
from tests.faults.registry import Attempt, FaultResult, fault, summarize
from vestige_tui.core.errors import VestigeError
from vestige_tui.core.memories import Draft
from vestige_tui.core.search import Mode, SearchQuery
from vestige_tui.store.open import open_store

QUERIES = (
    "foo-bar", "C++", "a.b/c", '"', '"unclosed', "'", "''); DROP TABLE knowledge_nodes; --", "NEAR(a b", "a AND", "OR",
    "NOT", "* ", "content:x", "x:*", "a & | b", "!", "<->", "(((((", "^start", "{a b}: c", "\\", "%", "_", "%s %(x)s",
    "$1", ":name", "a\0b", "\ud800", "\u202e", "鍵", "+", "-", "+-+", "x" * 10_000, "a " * 3_000, "e'\\x00'",
)  # fmt: skip
MODES: tuple[Mode, ...] = ("text", "hybrid", "literal")
KEPT = "foo-bar in C++ at a.b/c"


async def _search_all(url: str) -> list[str]:
    """Search for every query in every mode; return the sentences of those that were refused."""
    refusals = []
    async with open_store(url, create=True) as store:
        await store.insert(Draft(KEPT), embed=False)
        for query in QUERIES:
            for mode in MODES:
                try:
                    await store.search(SearchQuery(query, mode=mode))
                except VestigeError as error:
                    refusals.append(error.message)
        assert await store.memories.count() == 1
        for query in ("foo-bar", "C++", "a.b/c"):
            assert [hit.memory.content for hit in await store.search(SearchQuery(query, mode="text"))] == [KEPT], query
    return refusals


@fault(20, "query that is syntax to the database")
def search_injection(lab: Lab) -> FaultResult:
    attempts: list[Attempt] = []
    with lab.database() as server:
        for url in (server, f"sqlite:{lab.path('store.db')}"):
            attempts += [Attempt(each) for each in asyncio.run(_search_all(url))]
            for query in ("'); DROP TABLE x; --", "NEAR(a b", "(((((", "x:* & |"):
                searched = lab.run("--store", url, "search", query, "--mode", "text")
                assert searched.status == 0, searched.err
                attempts.append(Attempt((searched.err.strip() or searched.out.strip()).splitlines()[0]))
            attempts.append(Attempt(refusal(lab.run("--store", url, "search", "  "))))
    return summarize([*attempts, *[Attempt(attempts[0].message)] * (2 * len(QUERIES) * len(MODES))])
