"""A store that is viewed as a user: every way to read finds what a plain model of visibility finds, and no more."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.visibility import NOW, WORDS, Community, community, fill
from vestige_tui.core.errors import ReadOnly, Refused, Usage, VestigeError
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.search import Mode, SearchQuery
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.backends.sqlite_connection import add_functions
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.migrations import migrations
from vestige_tui.store.schema.named_sql import compose, sql_folder
from vestige_tui.store.schema.viewed_tables import BLOCKS, table_of
from vestige_tui.store.store import Store

SEEDS = (11, 12, 13)
MEMORY_COLUMNS = ("node_id", "memory_id", "source_id", "target_id", "loser_id", "winner_id")
"""Names of columns that hold the id of a memory."""


@asynccontextmanager
async def opened(url: str, *, viewer: str | None = None, create: bool = False) -> AsyncIterator[Store]:
    embedders = EmbedderSource(embedder=TestEmbedder(64))
    async with open_store(url, create=create, embedders=embedders, clock=lambda: NOW, viewer=viewer) as store:
        yield store
    embedders.close()


@pytest.fixture
def other_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a second, empty store on the same kind of database."""
    if backend == "postgres":
        return str(request.getfixturevalue("bare_postgres_database"))
    return f"sqlite:{tmp_path / 'other.db'}"


async def link_at_random(store: Store, people: Community, seed: int) -> None:
    """Link memories, let some replace others, review and mark some: each by chance."""
    chance = random.Random(seed)
    ids = [str(draft.id) for draft in people.drafts]
    for _ in range(60):
        one, other = chance.sample(ids, 2)
        await store.links.add(Edge(one, other, "related", round(chance.uniform(0.1, 1.0), 2)))
    for one, other in zip(ids[0:20:2], ids[1:20:2], strict=True):
        await store.links.supersede(one, other)
    for each in chance.sample(ids, 15):
        await store.reviews.record(each, Rating.GOOD)
    for each in chance.sample(ids, 10):
        await store.memories.tag([each], ["marked"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_reading_path_agrees_with_the_model(store_url: str, seed: int) -> None:
    people = community(seed)
    async with opened(store_url, create=True) as store:
        await fill(store, people)
        await link_at_random(store, people, seed)
        edges = {(e.source_id, e.target_id) for d in people.drafts for e in await store.links.edges(str(d.id))}
        everything = {m.id: m for m in (await store.page(Filter(superseded=True), limit=500)).items}
    for user in people.users:
        visible = set(people.visible(user))
        active = {i for i in visible if everything[i].superseded_by not in visible}
        assert visible
        assert visible != set(everything), "this seed tells nothing"
        async with opened(store_url, viewer=user.handle) as viewed:
            await check_lists(viewed, visible, active)
            await check_facets(viewed, [everything[i] for i in active])
            for draft in people.drafts:
                await check_one(viewed, str(draft.id), visible, edges)
            await check_reviews(viewed, visible, active)
            await check_journal(viewed, visible)


async def check_lists(viewed: Store, visible: set[str], active: set[str]) -> None:
    for sort in ("created", "updated", "due", "recall", "type", "oldest"):
        items = [m.id for m in (await viewed.page(sort=sort, limit=500)).items]
        assert sorted(items) == sorted(active), sort
        offset = [m.id for m in (await viewed.page(sort=sort, limit=500, offset=2)).items]
        assert offset == items[2:], sort
    paged: list[str] = []
    after = None
    while True:
        page = await viewed.page(limit=7, after=after)
        paged += [m.id for m in page.items]
        after = page.next
        if after is None:
            break
    assert sorted(paged) == sorted(active)
    assert {m.id for m in (await viewed.page(Filter(superseded=True), limit=500)).items} == visible
    assert await viewed.memories.count() == len(active)
    assert await viewed.memories.count(Filter(superseded=True)) == len(visible)
    stats = await viewed.maintenance.stats()
    assert stats.total_memories == stats.memories_with_embeddings == len(visible)


async def check_facets(viewed: Store, active: list) -> None:  # type: ignore[type-arg]
    for name, values in (
        ("owners", [m.owner_user_id for m in active]),
        ("tags", [tag for m in active for tag in m.tags]),
        ("domains", [domain for m in active for domain in m.domains]),
        ("node_types", [m.node_type for m in active]),
        ("codebases", [m.codebase for m in active if m.codebase]),
    ):
        facets = {each.value: each.count for each in await viewed.memories.facets(name)}  # type: ignore[arg-type]
        assert facets == {value: values.count(value) for value in set(values)}, name
    since = sorted(m.created_at for m in active)[len(active) // 2]
    assert await viewed.memories.count_since([since]) == (sum(m.created_at >= since for m in active),)


async def check_one(viewed: Store, memory_id: str, visible: set[str], edges: set[tuple[str, str]]) -> None:
    seen = memory_id in visible
    assert {m.id for m in await viewed.memories.get_many([memory_id])} == ({memory_id} if seen else set())
    links = {(e.source_id, e.target_id) for e in await viewed.links.edges(memory_id)}
    assert links == {pair for pair in edges if memory_id in pair and set(pair) <= visible}
    assert {n.memory.id for n in await viewed.links.neighbors(memory_id, 3)} <= visible
    if not seen:
        for read in (viewed.get(memory_id), viewed.memories.resolve(memory_id), viewed.links.lineage(memory_id)):
            with pytest.raises(VestigeError):
                await read
        assert not await viewed.links.history(memory_id)
        assert not await viewed.reviews.log(memory_id)
        return
    assert (await viewed.get(memory_id)).superseded_by in {None, *visible}

    def members(tree) -> set[str]:  # type: ignore[no-untyped-def]
        return {tree.memory.id}.union(*map(members, tree.replaces))

    assert members(await viewed.links.lineage(memory_id)) <= visible
    assert all({e.loser_id, e.winner_id or e.loser_id} <= visible for e in await viewed.links.history(memory_id))


async def check_reviews(viewed: Store, visible: set[str], active: set[str]) -> None:
    due = {each.id for each in await viewed.reviews.due(NOW + timedelta(days=4000), limit=500)}
    scheduled = {m.id for m in (await viewed.page(limit=500)).items if m.scheduling and m.scheduling.reps}
    assert due == scheduled
    queue = await viewed.reviews.queue_counts()
    assert queue.new == len(active) - len(scheduled)


async def check_journal(viewed: Store, visible: set[str]) -> None:
    page = await viewed.journal.page(limit=500)
    assert page.items
    assert all(set(line.ids) <= visible for line in page.items)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_search_ranks_as_if_the_other_memories_did_not_exist(store_url: str, other_url: str, seed: int) -> None:
    people = community(seed)
    chance = random.Random(seed)
    user = chance.choice(people.users)
    async with opened(store_url, create=True) as store:
        await fill(store, people)
    async with opened(other_url, create=True) as alone:
        await fill(alone, people, people.visible(user))
    modes: tuple[Mode, ...] = ("text", "vector", "hybrid")
    async with opened(store_url, viewer=user.handle) as viewed, opened(other_url) as alone:
        for mode in modes:
            for _ in range(8):
                words = chance.sample(WORDS, chance.randint(1, 4))
                sign = chance.choice(("", "", "+", "-"))
                text = " ".join([*words[:-1], sign + words[-1]]) if len(words) > 1 else words[0]
                chosen: dict[str, Any] = chance.choice(({}, {"superseded": True}, {"node_types": ("fact",)}))
                query = SearchQuery(text=text, mode=mode, limit=chance.choice((3, 10, 100)), **chosen)
                one, other = await viewed.search(query), await alone.search(query)
                assert [_hit(hit) for hit in one.hits] == [_hit(hit) for hit in other.hits], (mode, text, chosen)
        literal = SearchQuery(text="keys", mode="literal", limit=100)
        assert [h.memory.id for h in (await viewed.search(literal)).hits] == [
            h.memory.id for h in (await alone.search(literal)).hits
        ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_an_open_viewed_store_ranks_by_every_change_of_others(store_url: str, other_url: str, seed: int) -> None:
    people = community(seed)
    chance = random.Random(seed)
    user = chance.choice(people.users)
    async with opened(store_url, create=True) as store:
        await fill(store, people)
        async with opened(store_url, viewer=user.handle) as viewed:
            await viewed.search(SearchQuery(text="keys", limit=5))
            people = await changed_at_random(store, people, chance)
            async with opened(other_url, create=True) as alone:
                await fill(alone, people, people.visible(user))
                for mode in ("text", "vector", "hybrid"):
                    for _ in range(6):
                        text = " ".join(chance.sample(WORDS, chance.randint(1, 4)))
                        query = SearchQuery(text=text, mode=mode, limit=chance.choice((3, 10, 100)))
                        one, other = await viewed.search(query), await alone.search(query)
                        assert [_hit(hit) for hit in one.hits] == [_hit(hit) for hit in other.hits], (mode, text)


async def changed_at_random(store: Store, people: Community, chance: random.Random) -> Community:
    """Change owner, visibility and groups of some memories, delete some, and add some; return what is there then."""
    drafts = {str(draft.id): draft for draft in people.drafts}
    for memory_id in chance.sample(sorted(drafts), 25):
        patch = Patch(
            owner_user_id=chance.choice(people.users).id,
            visibility=chance.choice(("private", "group", "public")),
            shared_with_groups=tuple(group.id for group in people.groups if chance.random() < 0.4),
        )
        await store.update(memory_id, patch)
        drafts[memory_id] = replace(
            drafts[memory_id],
            owner_user_id=patch.owner_user_id or "",
            visibility=patch.visibility or "",
            shared_with_groups=patch.shared_with_groups or (),
        )
    gone = chance.sample(sorted(drafts), 6)
    await store.delete(gone)
    new = replace(community(chance.randrange(1_000), memories=8), users=people.users, groups=people.groups)
    added = [
        replace(draft, owner_user_id=chance.choice(people.users).id, shared_with_groups=()) for draft in new.drafts
    ]
    await store.memories.insert_many(added)
    return replace(people, drafts=(*(drafts[each] for each in drafts if each not in gone), *added))


async def test_a_change_of_visibility_reads_no_vector_again(tmp_path: Path) -> None:
    people = community(7, memories=12)
    url = f"sqlite:{tmp_path / 'store.db'}"
    async with opened(url, create=True) as store:
        await fill(store, people)
        user = people.users[0]
        hidden = next(draft for draft in people.drafts if not people.may_see(user, draft))
        async with opened(url, viewer=user.handle) as viewed:
            query = SearchQuery(text=hidden.content, mode="vector", limit=100)
            before = len((await viewed.search(query)).hits)
            loads = await _vector_loads(viewed)
            assert loads == 1
            await store.update(str(hidden.id), Patch(visibility="public"))
            assert len((await viewed.search(query)).hits) == before + 1
            assert await _vector_loads(viewed) == loads


async def _vector_loads(store: Store) -> int:
    """Return how often vectors were read into memory."""
    timings = (await store.maintenance.report()).queries
    return sum(each.count for each in timings if each.name.startswith(("list_embeddings_", "list_stored_embeddings_")))


def _hit(hit) -> tuple[object, ...]:  # type: ignore[no-untyped-def]
    score = None if hit.text_score is None else pytest.approx(hit.text_score, rel=1e-9)
    return hit.memory.id, hit.text_rank, hit.vector_rank, score, pytest.approx(hit.score, rel=1e-6)


async def test_a_change_of_visibility_is_seen_at_once(store_url: str) -> None:
    people = community(5, memories=12)
    async with opened(store_url, create=True) as store:
        await fill(store, people)
        user = people.users[0]
        hidden = next(d for d in people.drafts if not people.may_see(user, d))
        async with opened(store_url, viewer=user.handle) as viewed:
            query = SearchQuery(text=hidden.content, limit=100)
            assert hidden.id not in {hit.memory.id for hit in (await viewed.search(query)).hits}
            await store.update(str(hidden.id), Patch(visibility="public"))
            hits = (await viewed.search(query)).hits
            assert {hit.memory.id: hit.vector_rank is not None for hit in hits}[str(hidden.id)]
            await store.update(str(hidden.id), Patch(visibility="private"))
            assert hidden.id not in {hit.memory.id for hit in (await viewed.search(query)).hits}


async def test_a_viewed_store_is_read_only(store_url: str) -> None:
    people = community(6, memories=4)
    async with opened(store_url, create=True) as store:
        await fill(store, people)
    async with opened(store_url, viewer="USER1") as viewed:
        assert viewed.viewer == people.users[1]
        with pytest.raises(ReadOnly, match="viewed as 'user1'"):
            await viewed.delete([str(people.drafts[0].id)])
    async with open_store(store_url, viewer="User 2") as viewed:
        assert viewed.viewer == people.users[2]


async def test_a_past_moment_is_shown_to_the_viewer_too(store_url: str) -> None:
    people = community(8, memories=12)
    async with opened(store_url, create=True) as store:
        await fill(store, people)
    moment = sorted(draft.created_at for draft in people.drafts if draft.created_at)[5]
    user = people.users[0]
    visible = {str(draft.id) for draft in people.drafts if draft.created_at and draft.created_at <= moment}
    visible &= set(people.visible(user))
    async with opened(store_url, viewer=user.handle) as viewed:
        then = viewed.at(moment)
        assert then.viewer == user
        page = await then.page(Filter(superseded=True), limit=50)
        assert {memory.id for memory in page.items} == visible


async def test_an_unknown_viewer_is_one_sentence(store_url: str) -> None:
    people = community(7, memories=2)
    async with opened(store_url, create=True) as store:
        await fill(store, people)
    with pytest.raises(Usage, match=r"No user is called 'usr1'; did you mean user1\?"):
        async with opened(store_url, viewer="usr1"):
            pass


async def test_a_vestige_file_has_no_viewers(tmp_path: Path) -> None:
    from tests.support.vestige_files import make_v18

    path = make_v18(tmp_path / "vestige.db")
    with pytest.raises(Refused, match="no owners"):
        async with open_store(f"sqlite:{path}", viewer="local"):
            pass


# The tables


def test_every_table_about_memories_is_viewed_on_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    add_functions(connection)
    connection.executescript(compose("sqlite", "create_bookkeeping"))
    for migration in migrations("sqlite"):
        connection.executescript(migration.up)
    named = {
        table: {column[1] for column in connection.execute(f"PRAGMA table_info({table})")}
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'"
        )
        if not table.startswith(("knowledge_fts_", "sqlite_"))
    }
    assert _about_memories(named) == set(map(table_of, BLOCKS))
    connection.executescript(compose("sqlite", "create_viewer"))
    for block in BLOCKS:
        columns = {column[0] for column in connection.execute(compose("sqlite", block)).description}
        assert columns - {"rowid"} == named[table_of(block)], block
    connection.close()


def test_every_table_about_memories_is_viewed_on_postgres(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        named: dict[str, set[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        ):
            named.setdefault(table, set()).add(column)
        assert _about_memories(named) == set(map(table_of, BLOCKS))
        [schema] = connection.execute("SELECT quote_ident(current_schema())").fetchone() or ()
        for block in BLOCKS:
            sql = compose("postgres", block).replace("{schema}", schema)
            viewer = {"viewer": "00000000-0000-0000-0000-000000000001"}
            columns = {each.name for each in connection.execute(sql.encode(), viewer).description or ()}
            assert columns == named[table_of(block)], block


def _about_memories(named: dict[str, set[str]]) -> set[str]:
    references = {table for table, columns in named.items() if columns.intersection(MEMORY_COLUMNS)}
    # The journal holds whole memories.
    return references | {"knowledge_nodes", "journal"}


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_the_condition_is_written_once(dialect: str) -> None:
    text = (sql_folder() / dialect / "viewer.sql").read_text(encoding="utf-8")
    assert text.count("'public'") == 1
    blocks = re.findall(r"^-- (viewed_\w+) --\n.*\n((?:.+\n)+)", text, re.MULTILINE)
    assert {name for name, _ in blocks} == set(BLOCKS)
    assert all("/*= visible */" in body for _, body in blocks)
