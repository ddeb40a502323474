"""Backups of stores with another width of vectors, behind a pooler, and on the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.pgbouncer import pgbouncer
from tests.support.planted_faults import plant, whole_rows
from tests.support.postgres import new_database
from tests.support.store_backups import fill_every_table, rows_of_all_tables
from tests.support.store_exercise import EMBEDDER, TEXTS, fill, opened
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.models import TestEmbedder
from vestige_tui.transfer.backups import back_up, plan_restore, restore

WIDER = TestEmbedder(32)
INDEX = (
    "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam"
    " WHERE i.indrelid = 'node_embeddings'::regclass AND a.amname = 'hnsw' AND i.indisvalid"
)
TYPE = (
    "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
    " WHERE attrelid = 'node_embeddings'::regclass AND attname = 'embedding'"
)


async def change(url: str) -> None:
    """Add a memory and delete another one."""
    async with opened(url) as store:
        first = (await store.page(Filter())).items[0]
        await store.insert(Draft("Added after the backup."))
        await store.delete([first.id])


async def find(url: str) -> None:
    """Search by words and by vectors."""
    async with opened(url) as store:
        answer = await store.search(SearchQuery("rotate signing keys", limit=3))
        assert (answer.mode, answer.warnings) == ("hybrid", ())
        assert (answer.hits[0].memory.content, answer.hits[0].vector_rank) == (TEXTS[0], 1)
        examination = await store.doctor.examine()
        assert (examination.findings, examination.unfinished) == ((), ())


@pytest.mark.slow
@pytest.mark.parametrize("has_index", [True, False])
async def test_a_store_gets_the_width_of_the_backup(
    store_url: str, backend: str, tmp_path: Path, has_index: bool
) -> None:
    source = f"sqlite:{tmp_path / 'source.db'}"
    await fill(source)
    backup = await back_up(source, tmp_path / "kept.db")
    await fill(store_url, WIDER)
    if has_index:
        async with opened(store_url, WIDER) as store:
            await store.maintenance.finalize_schema()
    plan = await plan_restore(backup.path, store_url)
    assert plan.loses
    await restore(backup.path, store_url)
    await find(store_url)
    async with opened(store_url) as store:
        model = await store.models.registered()
        assert model is not None
        assert model.dimension == EMBEDDER.dimension
    if backend == "postgres":
        with psycopg.connect(store_url) as server:
            assert server.execute(TYPE).fetchone() == (f"vector({EMBEDDER.dimension})",)
            assert server.execute(INDEX).fetchone() == (1,)
    assert not (await plan_restore(backup.path, store_url)).loses


@pytest.fixture
def pooled(postgres_server: str, postgres_template: str) -> Iterator[tuple[str, str]]:
    """The URLs of an empty store, behind a pooler in transaction mode and past it."""
    with (
        pgbouncer(postgres_server, "transaction") as running,
        new_database(postgres_server, template=postgres_template, direct=True) as url,
    ):
        yield running.url(url), url


@pytest.mark.slow
async def test_a_store_behind_a_pooler_is_backed_up_and_restored(pooled: tuple[str, str], tmp_path: Path) -> None:
    through, direct = pooled
    await fill_every_table(direct, tmp_path)
    before = rows_of_all_tables(direct)
    backup = await back_up(through, tmp_path / "kept.db")
    await change(through)
    assert rows_of_all_tables(direct) != before
    assert (await plan_restore(backup.path, through)).examples == ("Added after the backup.",)
    await restore(backup.path, through)
    assert rows_of_all_tables(direct) == before


@pytest.mark.slow
async def test_faults_behind_a_pooler_are_fixed_and_undone(pooled: tuple[str, str]) -> None:
    through, direct = pooled
    await fill(direct)
    plant(
        direct,
        [
            ("UPDATE knowledge_nodes SET metadata = '7'", ()),
            ("INSERT INTO review_marks (memory_id) VALUES (gen_random_uuid())", ()),
        ],
    )
    before = whole_rows(direct)
    async with opened(through) as store:
        kinds = (await store.doctor.examine()).fixable
        assert kinds == ("json", "orphan")
        fixed = await store.doctor.fix(await store.doctor.preview(kinds))
        assert (await store.doctor.examine()).findings == ()
        await store.journal.undo(fixed.undo)
        assert whole_rows(direct) == before


@pytest.mark.slow
async def test_a_store_on_the_embedded_server_is_backed_up_and_restored(tmp_path: Path) -> None:
    first, second = (f"pgembed:{tmp_path / name}" for name in ("first", "second"))
    await fill(first)
    backup = await back_up(first, tmp_path / "kept.db")
    await change(first)
    assert (await plan_restore(backup.path, first)).examples == ("Added after the backup.",)
    assert not (await plan_restore(backup.path, second)).loses
    for url in (first, second):
        done = await restore(backup.path, url)
        assert done.rows["knowledge_nodes"] == len(TEXTS)
        await find(url)
        assert not (await plan_restore(backup.path, url)).loses
