"""Migrations: recorded, checked, locked, staged, and taken back only where nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.support.clock import Clock
from vestige_tui.core.embeddings import ModelSignature
from vestige_tui.core.errors import ForeignStore, Refused, SchemaBroken, SchemaPending
from vestige_tui.core.memories import Draft
from vestige_tui.embedding.embedder_source import EmbedderSource
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.store.backends.protocol import Backend
from vestige_tui.store.open import open_backend, open_store
from vestige_tui.store.schema import migrations
from vestige_tui.store.store import Store

STEPS = {
    "sqlite": [
        "init",
        "fts",
        "supersession",
        "ledger",
        "journal",
        "jobs",
        "sync_state",
        "folding",
        "journal_origin",
        "pinned",
        "encoding_templates",
        "review_weights",
    ],
    "postgres": [
        "init",
        "hnsw",
        "supersession",
        "ledger",
        "journal",
        "notify",
        "term_stats",
        "jobs",
        "sync_state",
        "folding",
        "journal_origin",
        "pinned",
        "encoding_templates",
        "review_weights",
    ],
}


def execute(url: str, sql: str) -> None:
    """Run a statement behind the store's back."""
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(url.removeprefix("sqlite:"))
        with connection:
            connection.execute(sql)
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as postgres:
            postgres.execute(sql.encode())


async def opened(url: str, **options: bool) -> None:
    async with open_store(url, **options):  # type: ignore[arg-type]  # create and read_only
        pass


async def test_every_step_is_recorded(store: Store) -> None:
    infos = await store.maintenance.schema_status()
    assert [info.name for info in infos] == STEPS[store.kind]
    assert [info.version for info in infos] == list(range(1, len(infos) + 1))
    for info in infos:
        if info.state == "applied":
            assert info.applied_at
            assert info.duration_ms is not None
            assert len(info.checksum) == 64


async def test_the_index_waits_for_a_model_and_is_no_gap(store: Store, store_url: str) -> None:
    waiting = [info for info in await store.maintenance.schema_status() if info.state != "applied"]
    if store.kind == "sqlite":
        assert waiting == []
        return
    assert [(info.name, info.state, info.waits_for) for info in waiting] == [("hnsw", "waiting", "a model")]
    await opened(store_url)
    await store.models.register(ModelSignature("m", 8), finalize=False)
    assert [info.name for info in await store.maintenance.schema_status() if info.state == "waiting"] == ["hnsw"]
    assert await store.maintenance.finalize_schema()
    assert not await store.maintenance.finalize_schema()
    assert all(info.state == "applied" for info in await store.maintenance.schema_status())


async def test_widths_beyond_the_index(store: Store) -> None:
    if store.kind == "sqlite":
        return
    with pytest.raises(Refused):
        await store.models.register(ModelSignature("too-wide", 5_000))
    await store.models.register(ModelSignature("wide", 3_072))
    assert all(info.state == "applied" for info in await store.maintenance.schema_status())


async def test_stores_that_start_together_do_not_race(bare_store_url: str) -> None:
    await asyncio.gather(*(opened(bare_store_url, create=True) for _ in range(5)))
    async with open_store(bare_store_url) as store:
        assert migrations.version_of(await store.maintenance.schema_status()) == len(STEPS[store.kind])


async def test_a_schema_that_another_console_makes_meanwhile_is_no_clash(
    bare_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = migrations.is_ours

    async def look_just_before_another_console_creates(backend: Backend) -> bool:
        answer = await look(backend)
        if not answer:
            monkeypatch.setattr(migrations, "is_ours", look)
            await opened(bare_store_url, create=True)
        return answer

    monkeypatch.setattr(migrations, "is_ours", look_just_before_another_console_creates)
    await opened(bare_store_url, create=True)
    async with open_store(bare_store_url) as store:
        assert migrations.version_of(await store.maintenance.schema_status()) == len(STEPS[store.kind])


async def test_a_changed_file_a_gap_and_the_future_are_errors(store: Store, store_url: str) -> None:
    execute(store_url, "UPDATE vestige_migrations SET sha256 = 'other' WHERE version = 3")
    with pytest.raises(SchemaBroken, match="0003_supersession"):
        await opened(store_url)
    execute(store_url, "DELETE FROM vestige_migrations WHERE version = 3")
    with pytest.raises(SchemaBroken, match="0003_supersession"):
        await opened(store_url)
    execute(
        store_url,
        "INSERT INTO vestige_migrations (version, name, sha256, applied_at, duration_ms) "
        "VALUES (99, 'later', 'x', '2026-01-01T00:00:00.000000+00:00', 1)",
    )
    with pytest.raises(SchemaBroken, match="0099_later"):
        await opened(store_url)


async def test_pending_steps_are_applied_with_write_access_only(store: Store, store_url: str) -> None:
    backend = store.backend
    later = STEPS[store.kind][4:]
    taken = await migrations.down(backend, to=4)
    assert [info.name for info in taken] == later[::-1]
    async with open_store(store_url, read_only=True) as reader:
        assert [info.name for info in reader.maintenance.pending] == later
        with pytest.raises(SchemaPending, match="0005_journal"):
            reader.maintenance.refuse_pending()
    planned = await migrations.up(backend, dry_run=True)
    assert [info.name for info in planned] == later
    assert [info.name for info in await migrations.up(backend)] == later
    assert await migrations.up(backend) == ()


async def test_down_refuses_to_delete_memories(bare_store_url: str, clock: Clock) -> None:
    async with open_store(
        bare_store_url, create=True, embedders=EmbedderSource(embedder=TestEmbedder(8)), clock=clock
    ) as store:
        await store.insert(Draft("Precious."))
        with pytest.raises(Refused, match="--yes"):
            await migrations.down(store.backend)
        assert await store.memories.count() == 1
        planned = await migrations.down(store.backend, dry_run=True)
        assert [info.name for info in planned] == STEPS[store.kind][::-1]
        await migrations.down(store.backend, yes=True)
        assert await migrations.is_ours(store.backend)
        await migrations.up(store.backend)
    async with open_store(bare_store_url) as store:
        assert await store.memories.count() == 0


NODE = "00000000-0000-4000-8000-000000000001"
PRECIOUS = {
    "domain": ("INSERT INTO domains (id, label, created_at) VALUES ('auth', 'Auth', '2026-05-01')", "init"),
    "user": ("INSERT INTO users (id, handle, created_at) VALUES ('" + NODE + "', 'mira', '2026-05-01')", "init"),
    "group": ("INSERT INTO groups (id, handle, created_at) VALUES ('" + NODE + "', 'team', '2026-05-01')", "init"),
    "model change": (
        "INSERT INTO model_changes (kind, from_name, from_dimension, from_hash, to_name, to_dimension, to_hash, "
        "memories, seconds, changed_at) VALUES ('reembed', 'a', 8, 'h', 'b', 8, 'h', 1, 1, '2026-05-01')",
        "jobs",
    ),
    "pinned mark": (
        "INSERT INTO review_marks (memory_id, pinned) SELECT id, true FROM knowledge_nodes",
        "pinned",
    ),
    "set of applied weights": (
        "INSERT INTO review_weights (hash, algorithm, weights, created_at, applied_at) "
        "VALUES ('h', 'fsrs-6', '[]', '2026-05-01', '2026-05-01')",
        "review_weights",
    ),
    "journal entry": (
        "INSERT INTO journal (at, actor, verb, before, after) VALUES ('2026-05-01', 'mira', 'tag', '[]', '[]')",
        "journal",
    ),
}


@pytest.mark.parametrize("kind", PRECIOUS)
async def test_down_counts_what_cannot_be_made_again(store: Store, store_url: str, kind: str) -> None:
    statement, step = PRECIOUS[kind]
    if kind == "pinned mark":
        await store.memories.insert_many([Draft("Pinned.")], embed=False)
    execute(store_url, statement)
    names = STEPS[store.kind]
    with pytest.raises(Refused, match=rf"This would delete 1 {kind} from .*; add --yes to confirm\.$"):
        await migrations.down(store.backend, to=names.index(step))
    if kind == "pinned mark":
        execute(store_url, "UPDATE review_marks SET pinned = false")
    if kind == "set of applied weights":
        execute(store_url, "UPDATE review_weights SET applied_at = NULL")
    later = names[names.index("folding") :]
    assert len(await migrations.down(store.backend, to=names.index("folding"))) == len(later)
    assert len(await migrations.down(store.backend, yes=True)) >= 3


async def test_down_counts_kept_vectors_and_marks_by_kind(store: Store, store_url: str) -> None:
    [memory_id] = (await store.insert(Draft("Precious."))).changed
    await store.reviews.suspend(memory_id)
    vector = "'[1,2,3]'" if store.kind == "postgres" else "X'0000'"
    execute(store_url, f"INSERT INTO spare_embeddings (node_id, embedding) VALUES ('{memory_id}', {vector})")
    to = STEPS[store.kind].index("jobs")
    with pytest.raises(Refused, match=r"^This would delete 1 vector of another model from "):
        await migrations.down(store.backend, to=to)
    undone = await migrations.down(store.backend, dry_run=True)
    counts = await migrations.losses(store.backend, undone)
    assert counts == {"memories": 1, "marks": 1, "journal_entries": 2, "kept_vectors": 1}
    assert migrations.losses_text(counts) == (
        "1 memory, 1 suspended or buried mark, 2 journal entries and 1 vector of another model"
    )
    with pytest.raises(Refused, match="1 memory, 1 suspended"):
        await migrations.down(store.backend)
    assert await store.memories.count() == 1


async def test_down_of_an_empty_store_needs_no_yes(store: Store) -> None:
    assert len(await migrations.down(store.backend)) >= 4


async def test_tables_of_others_are_not_touched(bare_store_url: str, tmp_path: Path) -> None:
    execute(bare_store_url, "CREATE TABLE knowledge_nodes (id INTEGER PRIMARY KEY, body TEXT)")
    for create in (True, False):
        with pytest.raises(ForeignStore):
            await opened(bare_store_url, create=create)
    execute(bare_store_url, "SELECT body FROM knowledge_nodes")


async def test_opening_without_leave_makes_no_table(bare_store_url: str) -> None:
    if bare_store_url.startswith("sqlite:"):
        await asyncio.to_thread(Path(bare_store_url.removeprefix("sqlite:")).touch)
    with pytest.raises(SchemaPending):
        await opened(bare_store_url)
    backend = open_backend(bare_store_url)
    await backend.open()
    assert not await migrations.is_ours(backend)
    assert await backend.fetch("list_taken_names") == []
    await backend.close()
