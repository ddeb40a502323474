"""A server that rebuilds its tables or counts its vectors while a console works on its adopted file."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.adopted_files import LINES, make_adopted, opened, row
from tests.support.vestige_files import memory_id
from vestige_tui.core.memories import Draft, Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.scheduling import same_schedule
from vestige_tui.embedding.models import TestEmbedder


@pytest.fixture(params=LINES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An adopted file of each of the lines that differ."""
    return make_adopted(tmp_path / "vestige.db", str(request.param))


async def test_a_server_that_rebuilds_its_table_meanwhile_is_no_hindrance(path: Path) -> None:
    memory = memory_id(2)
    async with opened(path) as store:
        before = await store.get(memory)
        rebuild(path)
        assert await store.get(memory) == before
        await store.update(memory, Patch(tags=("rebuilt",)))
        await store.reviews.record(memory, Rating.GOOD)
        await store.links.supersede(memory, memory_id(3))
        assert len((await store.page(Filter(superseded=True), limit=50)).items) == 12
        rebuild(path)
        for _ in range(3):
            await store.journal.undo()
        after = await store.get(memory)
        assert (after.tags, after.superseded_by) == (before.tags, None)
        assert same_schedule(after.scheduling, before.scheduling)
    assert json.loads(row(path, memory)["tags"]) == list(before.tags)


def rebuild(path: Path) -> None:
    """Make knowledge_nodes anew under its name, in one transaction, as a migration of the server does."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as server:
        schema = server.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'knowledge_nodes' AND sql IS NOT NULL"
            " ORDER BY type = 'table' DESC"
        ).fetchall()
        [table, *others] = [sql for (sql,) in schema]
        server.execute("PRAGMA legacy_alter_table = ON")
        server.execute("BEGIN IMMEDIATE")
        name = re.compile(r"CREATE TABLE \"?knowledge_nodes\"?")
        server.execute(name.sub("CREATE TABLE rebuilt", table, count=1))
        server.execute("INSERT INTO rebuilt SELECT * FROM knowledge_nodes")
        server.execute("DROP TABLE knowledge_nodes")
        server.execute("ALTER TABLE rebuilt RENAME TO knowledge_nodes")
        for sql in others:
            server.execute(sql)
        server.execute("INSERT INTO knowledge_fts (knowledge_fts) VALUES ('rebuild')")
        server.execute("COMMIT")


@pytest.mark.parametrize("path", ["28", "35"], indirect=True)
@pytest.mark.parametrize("key", ["profile_id TEXT PRIMARY KEY, ", ""])
async def test_the_manifest_and_the_journal_of_vectors_follow_a_new_vector(path: Path, key: str) -> None:
    embedder = TestEmbedder(256)
    with closing(sqlite3.connect(path)) as server:
        server.execute(f"CREATE TABLE embedding_profile_manifests ({key}vector_count INTEGER NOT NULL)")
        values = "SELECT profile_id, 0 FROM embedding_profiles" if key else "VALUES (0)"
        server.execute(f"INSERT INTO embedding_profile_manifests {values}")
        server.execute("CREATE TABLE IF NOT EXISTS vector_journal (seq INTEGER PRIMARY KEY, node_id TEXT, op TEXT)")
        columns = {name for (_, name, *_) in server.execute("PRAGMA table_info(vector_journal)")}
        extra = ", profile_id, at" if "profile_id" in columns else ""
        for event, op, source in (("INSERT", "upsert", "NEW"), ("DELETE", "delete", "OLD")):
            more = f", {source}.profile_id, 'now'" if extra else ""
            server.execute(
                f"CREATE TRIGGER journal_{op} AFTER {event} ON embedding_profile_vectors BEGIN"
                f" INSERT INTO vector_journal (node_id, op{extra}) VALUES ({source}.node_id, '{op}'{more}); END"
            )
        server.execute("UPDATE embedding_profiles SET model_id = ?", (embedder.name,))
        server.commit()
    async with opened(path, embedder) as store:
        [new] = (await store.insert(Draft("An owl at dusk."))).changed
        await store.delete([memory_id(1)])
    with closing(sqlite3.connect(path)) as server:
        counted = server.execute("SELECT vector_count FROM embedding_profile_manifests").fetchone()[0]
        assert counted == (12 if key else 0)
        journal = server.execute("SELECT node_id, op FROM vector_journal ORDER BY seq").fetchall()
    assert (new, "upsert") in journal
    assert (memory_id(1), "delete") in journal
