"""Undo in an adopted file: every value of the server's tables is byte for byte what it was before the change."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.random_vestige_files import LINES, make_random
from tests.support.vestige_files import insert as insert_row
from tests.support.vestige_files import make_line, memory_id, vector
from vestige_tui.core.bulk import Deletion, DomainMove, MarkEdit, TagEdit, Target
from vestige_tui.core.errors import Conflict, NotFound, Refused, Usage
from vestige_tui.core.links import Edge
from vestige_tui.core.marks import MarkVerb
from vestige_tui.core.memories import Change, Draft, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.additions import TABLES
from vestige_tui.store.schema.adoption import adopt
from vestige_tui.store.store import Store

NOW = datetime(2027, 12, 30, 12, 0, 0, 123456, tzinfo=UTC)
FRESH_SEED = random.SystemRandom().randrange(2**32)
ROUNDS = 3
MEANT_TO_MOVE = {
    "vector_journal": "the server's own triggers append to it; its readers follow the numbers",
    "sqlite_sequence": "a number is given once",
    **dict.fromkeys(TABLES, "the console's own; its journal and its logs only grow"),
}
"""Tables that an undo does not bring back to what they were, with the reason."""
TOMBSTONES = ("sync_tombstones", "deletion_tombstones")
"""The undo of an addition leaves them: a server that has read the new memory learns that it is gone."""
DOMAIN_COLUMNS = ("id", "label", "centroid", "top_terms", "memory_count", "created_at")
Contents: TypeAlias = Mapping[str, list[tuple[Any, ...]]]
Action: TypeAlias = Callable[[Store, random.Random, list[str]], Awaitable[Change]]


def contents(path: Path) -> Contents:
    """Type and bytes of every column of every row of the server."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        tables = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        found: dict[str, list[tuple[Any, ...]]] = {}
        for (name,) in connection.execute(tables).fetchall():
            table = name.decode()
            if table in MEANT_TO_MOVE or table.startswith("sqlite_"):
                continue
            columns = [row[1].decode() for row in connection.execute(f'PRAGMA table_info("{table}")')]
            values = ", ".join(f'typeof("{column}"), "{column}"' for column in columns)
            found[table] = sorted(connection.execute(f'SELECT {values} FROM "{table}"').fetchall(), key=repr)
        return found


def differences(before: Contents, after: Contents) -> dict[str, list[Any]]:
    return {
        table: [pair for pair in zip(rows, after[table], strict=False) if pair[0] != pair[1]]
        or [len(rows), len(after[table])]
        for table, rows in before.items()
        if rows != after[table]
    }


def furnish(path: Path, chance: random.Random, ids: list[str]) -> None:
    """Rows that go with their memory, and values of other spellings than this program's."""
    with closing(sqlite3.connect(path)) as server:
        tables = {name for (name,) in server.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {name for (name,) in server.execute("SELECT name FROM pragma_table_info('knowledge_nodes')")}
        for memory in ids[::2]:
            tags = chance.choice(['[ "a" ,"b"]', '["\\u00e9", "a"]', '["b","a"]\n', "[]", '["a"]'])
            server.execute("UPDATE knowledge_nodes SET tags = ? WHERE id = ?", (tags, memory))
            if "domains" in columns:
                domains = '["harbour" , "caf\\u00e9"]', '{"harbour": 0.50, "caf\\u00e9":1e-1}'
                server.execute(
                    "UPDATE knowledge_nodes SET domains = ?, domain_scores = ? WHERE id = ?", (*domains, memory)
                )
            if "memory_states" in tables:
                server.execute("INSERT OR IGNORE INTO memory_states (memory_id) VALUES (?)", (memory,))
            if "valid_until" in columns and chance.random() < 0.5:
                until = "UPDATE knowledge_nodes SET valid_until = '2027-01-01T00:00:00.123456789+00:00' WHERE id = ?"
                server.execute(until, (memory,))
        if "domains" in tables:
            domain = ("harbour", "Harbour", vector(3), '[ "quay" ]', 3, "2026-01-01T00:00:00.000000001+00:00")
            insert_row(server, "domains", dict(zip(DOMAIN_COLUMNS, domain, strict=True)))
        for table in TOMBSTONES:
            if table in tables:
                key = "row_id" if table == "sync_tombstones" else "memory_id"
                extra = {"table_name": "knowledge_nodes"} if table == "sync_tombstones" else {}
                row = {key: ids[0], "deleted_at": "2025-01-01T00:00:00.000000001+00:00", "reason": "old", **extra}
                insert_row(server, table, row)
        if "embedding_profile_vectors" in tables:
            # A profile that is not in use has vectors, too.
            server.execute("CREATE TEMP TABLE earlier_vectors AS SELECT * FROM embedding_profile_vectors")
            server.execute("UPDATE earlier_vectors SET profile_id = 'earlier'")
            server.execute(
                "UPDATE embedding_profile_vectors SET model = 'of the server', created_at = '2026-01-01 00:00:00'"
            )
            server.execute("INSERT INTO embedding_profile_vectors SELECT * FROM earlier_vectors")
        server.commit()


async def grade(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.reviews.record(chance.choice(ids), Rating(chance.randrange(1, 5)))


async def edit(store: Store, chance: random.Random, ids: list[str]) -> Change:
    patch = chance.choice(
        [Patch(content=f"Edited {chance.random()}."), Patch(node_type="note"), Patch(codebase="quay")]
    )
    return await store.update(chance.choice(ids), patch)


async def tag(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.memories.tag(chance.sample(ids, 3), add=(f"t{chance.random()}",))


async def tag_many(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.bulk.apply(await store.bulk.preview(Target(tuple(ids)), TagEdit(("all",))))


async def delete(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.delete(chance.choice([[ids[0]], [ids[2]], [ids[1], ids[2]], chance.sample(ids, 4)]))


async def delete_many(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.bulk.apply(await store.bulk.preview(Target(tuple(ids[:9])), Deletion()))


async def replace(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.links.supersede(*chance.sample(ids, 2))


async def link(store: Store, chance: random.Random, ids: list[str]) -> Change:
    edges = [edge for memory in ids for edge in await store.links.edges(memory)]
    if edges and chance.random() < 0.7:
        edge = chance.choice(edges)
        if chance.random() < 0.5:
            return await store.links.remove(edge.source_id, edge.target_id, edge.edge_type)
        return await store.links.add(Edge(edge.source_id, edge.target_id, edge.edge_type, 0.125))
    source, target = chance.sample(ids, 2)
    return await store.links.add(Edge(source, target, "supports", 0.5))


async def mark(store: Store, chance: random.Random, ids: list[str]) -> Change:
    verbs: list[MarkVerb] = ["pin", "suspend", "bury"]
    verb = chance.choice(verbs)
    return await store.bulk.apply(await store.bulk.preview(Target(tuple(chance.sample(ids, 3))), MarkEdit(verb)))


async def move_domain(store: Store, chance: random.Random, ids: list[str]) -> Change:
    move = chance.choice(
        [DomainMove("rename_domain", ("harbour",), "docks"), DomainMove("delete_domain", ("harbour",))]
    )
    return await store.domains.apply(await store.domains.preview(move))


async def put_domain(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.domains.put("harbour", label=f"Label {chance.random()}", terms=["keel"])


async def insert(store: Store, chance: random.Random, ids: list[str]) -> Change:
    return await store.insert(Draft(content="A new memory.", tags=("new",)), embed=False)


ACTIONS: list[Action] = [
    grade,
    edit,
    tag,
    tag_many,
    delete,
    delete_many,
    replace,
    link,
    mark,
    move_domain,
    put_domain,
    insert,
]


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
async def test_undo_restores_every_byte_and_redo_the_change(tmp_path: Path, line: str) -> None:
    print(f"random Vestige file: seed {FRESH_SEED}")
    chance = random.Random(FRESH_SEED)
    path = tmp_path / "vestige.db"
    ids = make_random(path, line, FRESH_SEED)
    furnish(path, chance, ids)
    adopted(path)
    clock = NOW
    async with open_store(f"sqlite:{path}", clock=lambda: clock) as store:
        await store.links.supersede(ids[1], ids[2])
        for action in ACTIONS * ROUNDS:
            clock += timedelta(minutes=7, microseconds=1)
            before = contents(path)
            try:
                change = await action(store, chance, ids)
            except (Conflict, NotFound, Refused, Usage):
                assert contents(path) == before, (action.__name__, "a refused change")
                continue
            if change.undo is None:
                continue
            await store.journal.undo(change.undo)
            left = differences(before, contents(path))
            if action is insert:
                assert left.keys() <= set(TOMBSTONES), left
                continue
            assert left == {}, (action.__name__, "undo")
            await store.journal.redo()
            clock += timedelta(minutes=1)
            await store.journal.undo(change.undo)
            assert differences(before, contents(path)) == {}, (action.__name__, "undo of a redo")


def adopted(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        adopt(connection, path.with_name("backup.db"), NOW.isoformat())


async def test_what_the_server_has_written_since_stays(tmp_path: Path) -> None:
    path = make_line(tmp_path / "vestige.db", 35, 6)
    adopted(path)
    memory = memory_id(1)
    async with open_store(f"sqlite:{path}", clock=lambda: NOW) as store:
        await store.reviews.record(memory, Rating.GOOD)
        with closing(sqlite3.connect(path)) as server:
            seen = "UPDATE knowledge_nodes SET last_accessed = 'seen', utility_score = 0.25 WHERE id = ?"
            server.execute(seen, (memory,))
            server.commit()
        await store.journal.undo()
    with closing(sqlite3.connect(path)) as server:
        row = server.execute("SELECT last_accessed, utility_score FROM knowledge_nodes WHERE id = ?", (memory,))
        assert row.fetchone() == ("seen", 0.25)
