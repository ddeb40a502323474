"""A store whose schema is behind and may not be changed is read, and says which step is pending."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.support.clock import Clock
from tests.support.command_line import SENTENCES, fill_sample, sample_id
from tests.support.old_schema import take_back
from tests.support.postgres_variant import as_superuser, grant_in_store
from vestige_tui.core.errors import ReadOnly
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.core.search import SearchQuery
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.reembed.spare_vectors import spare
from vestige_tui.store.open import open_store
from vestige_tui.store.schema.stand_ins import stand_ins
from vestige_tui.store.store import Store

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
READS: Mapping[str, Callable[[Store], Any]] = {
    "list": lambda store: store.page(),
    "search": lambda store: store.search(SearchQuery(text="signing keys", mode="text")),
    "why not": lambda store: store.why_not(SearchQuery(text="signing keys", mode="text"), sample_id(0)),
    "get": lambda store: store.get(sample_id(0)),
    "due": lambda store: store.reviews.due(),
    "new": lambda store: store.reviews.new(),
    "counts": lambda store: store.reviews.queue_counts(),
    "log": lambda store: store.reviews.log(sample_id(0)),
    "marks": lambda store: store.reviews.marks(sample_id(0)),
    "edges": lambda store: store.links.edges(sample_id(0)),
    "neighbors": lambda store: store.links.neighbors(sample_id(0)),
    "history": lambda store: store.links.history(sample_id(5)),
    "journal": lambda store: store.journal.entries(),
    "stats": lambda store: store.maintenance.stats(),
    "report": lambda store: store.maintenance.report(),
    "census": lambda store: store.models.census(),
    "spare": spare,
    "jobs": lambda store: Ledger(store).jobs(),
    "facets": lambda store: store.memories.facets("tags", Filter(), 10),
    "warm": lambda store: store.warm(),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", ["sync_state", "jobs", "journal", "ledger", "supersession"])
async def test_what_can_be_read_is_read(store_url: str, step: str) -> None:
    await fill_sample(store_url)
    await take_back(store_url, step)
    async with open_store(store_url, read_only=True) as store:
        assert store.maintenance.pending[0].name == step
        assert f"_{step}) and is open read-only" in store.maintenance.pending_text()
        for name, read in READS.items():
            try:
                await read(store)
            except Exception as error:
                raise AssertionError(f"{name} without {step}") from error
        assert {memory.content for memory in (await store.page(Filter(superseded=True))).items} == set(SENTENCES)
        assert step in (await store.health()).problems[0].problem
        with pytest.raises(ReadOnly):
            await store.insert(Draft("New."))
    # The store is as it was: write access brings it up to date.
    async with open_store(store_url) as store:
        assert not store.maintenance.pending


async def test_a_role_that_may_not_change_the_schema_reads(postgres_database: str, clock: Clock) -> None:
    await fill_sample(postgres_database)
    await take_back(postgres_database, "sync_state")
    name = f"agent_{secrets.token_hex(4)}"
    role = sql.Identifier(name)
    with psycopg.connect(as_superuser(postgres_database), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {}").format(role))
        grant_in_store(owner, {"TABLES": "ALL", "SEQUENCES": "ALL"}, name)
        try:
            url = f"{as_superuser(postgres_database)}&options={quote(f'-c role={name}')}"
            async with open_store(url, clock=clock) as store:
                assert store.read_only_reason == "the role may not update its schema"
                assert len((await store.page()).items) == len(SENTENCES) - 1
                with pytest.raises(ReadOnly, match="may not update its schema"):
                    await store.insert(Draft("New."), embed=False)
        finally:
            for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
                owner.execute(sql.SQL(statement).format(role))


def test_stand_ins_follow_the_migrations() -> None:
    for dialect, versions in (("sqlite", (6, 7)), ("postgres", (8, 9))):
        tables = {table.name: table for table in stand_ins(dialect, versions)}  # type: ignore[arg-type]  # of a tuple
        assert tables["job_runs"].present
        assert [name for name, _, _ in tables["job_runs"].columns] == ["options", "began_with"]
        assert [name for name, _, _ in tables["sync_state"].columns] == ["id", "chain", "records"]
        assert not tables["spare_embeddings"].present
