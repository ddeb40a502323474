"""Roles with the rights that docs/postgres.md grants, and no others, do what it says of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support.documented_grants import SCHEMA, STEPS, grant_as_documented, logged_in
from tests.support.jobs import run_here
from tests.support.planted_faults import whole_rows
from tests.support.store_exercise import EMBEDDER, TEXTS, fill, opened
from vestige_tui.core.errors import ReadOnly, Refused
from vestige_tui.core.links import Edge
from vestige_tui.core.memories import Draft, Filter, Patch
from vestige_tui.core.reviews import Rating
from vestige_tui.core.search import SearchQuery
from vestige_tui.embedding.models import signature
from vestige_tui.jobs.ledger import Ledger
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.open import open_store
from vestige_tui.store.schema import migrations
from vestige_tui.store.store import Store
from vestige_tui.transfer.backups import back_up, restore

pytestmark = pytest.mark.own_variant


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of one database, each of which may log in."""

    database: str
    names: dict[str, str]

    def grant(self, step: str) -> None:
        grant_as_documented(self.database, step, self.names)

    def url(self, role: str) -> str:
        return logged_in(self.database, self.names[role])


@pytest.fixture
def roles(postgres_database: str) -> Iterator[Roles]:
    """Roles without any right but those of the documented statements of administrator and owner."""
    names = {role: f"The {role} {secrets.token_hex(4)}" for role in STEPS[1:]}
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        for name in names.values():
            role = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
            connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = {}").format(
                    role, database, sql.Identifier(SCHEMA)
                )
            )
    given = Roles(postgres_database, names)
    given.grant("administrator")
    given.grant("owner")
    yield given
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        for name in names.values():
            for statement in ("DROP OWNED BY {} CASCADE", "DROP ROLE {}"):
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


async def read(store: Store) -> None:
    """Read of every kind."""
    answer = await store.search(SearchQuery("rotate signing keys"))
    assert answer.mode == "hybrid"
    assert answer.hits[0].memory.content == TEXTS[0]
    memory_id = answer.hits[0].memory.id
    await store.explain(SearchQuery("harbour"))
    await store.memories.facets("tags", Filter())
    await store.links.edges(memory_id)
    await store.links.lineage(memory_id)
    await store.reviews.log(memory_id)
    await store.reviews.queue_counts()
    await store.reviews.marked()
    await store.journal.entries()
    await store.maintenance.report(thorough=True)
    await Ledger(store).jobs()
    await store.wait_for_change(0.1)


async def write(store: Store) -> None:
    """Change of every kind that needs no owner."""
    one = (await store.insert(Draft("A new one.", tags=("new",)))).changed[0]
    other = (await store.insert(Draft("Another one."))).changed[0]
    await store.update(one, Patch(content="A newer one."))
    await store.links.add(Edge(one, other))
    await store.links.supersede(one, other)
    await store.links.unsupersede(one)
    await store.reviews.record(one, Rating.GOOD)
    await store.reviews.suspend(one)
    change = await store.delete([one])
    assert change.undo is not None
    await store.journal.undo(change.undo)
    await store.delete([one, other])


async def job(kind: str, source: str, target: str, **options: object) -> str:
    ended = await run_here(JobRequest(kind, source, target, options))
    return ended.error or ended.result or ""


@pytest.mark.slow
async def test_the_owner_does_everything(roles: Roles, tmp_path: Path) -> None:
    url = roles.url("owner")
    source = f"sqlite:{tmp_path / 'source.db'}"
    await fill(source)
    for _ in range(2):
        assert "every row is equal" in await job("copy", source, url)
    async with opened(url) as store:
        await read(store)
        await write(store)
        await store.maintenance.vacuum()
    assert "24" in await job("reembed", url, url, model="test-embedder-24")
    await job("reembed", url, url, rollback=True)
    async with open_store(url) as store:
        model = await store.models.registered()
        assert model is not None
        assert model.name == EMBEDDER.name
        await migrations.down(store.backend, yes=True)


@pytest.mark.slow
async def test_the_writer_writes(roles: Roles, tmp_path: Path) -> None:
    await fill(roles.url("owner"))
    roles.grant("writer")
    url = roles.url("writer")
    async with opened(url) as store:
        assert not store.read_only
        await read(store)
        await write(store)
    source = f"sqlite:{tmp_path / 'source.db'}"
    await fill(source)
    assert f"{2 * len(TEXTS)} rows inserted, 1 present, 0 failed" in await job("copy", source, url)
    assert "every row is equal" in await job("copy", url, f"sqlite:{tmp_path / 'copy.db'}")


async def test_what_takes_the_owner_names_it(roles: Roles) -> None:
    await fill(roles.url("owner"))
    roles.grant("writer")
    url = roles.url("writer")
    remedy = f'run GRANT "{roles.names["owner"]}" TO "{roles.names["writer"]}"'
    async with open_store(url) as store:
        with pytest.raises(ReadOnly, match="only the owner of the tables may") as refused:
            await migrations.down(store.backend, yes=True)
        assert remedy in refused.value.message
    assert remedy in await job("reembed", url, url, model="test-embedder-24")
    with psycopg.connect(roles.database, autocommit=True) as connection:
        connection.execute(remedy.removeprefix("run ").encode())
    async with open_store(url) as store:
        await migrations.down(store.backend, yes=True)


async def test_the_reader_reads(roles: Roles, tmp_path: Path) -> None:
    await fill(roles.url("owner"))
    roles.grant("reader")
    url = roles.url("reader")
    async with opened(url) as store:
        assert "may only read; run GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA memories" in (
            store.read_only_reason
        )
        await read(store)
        with pytest.raises(ReadOnly):
            await write(store)
    assert "every row is equal" in await job("copy", url, f"sqlite:{tmp_path / 'copy.db'}")


async def test_tables_of_a_later_version_are_granted_too(roles: Roles) -> None:
    owner = roles.url("owner")
    await fill(owner)
    for role in ("writer", "reader"):
        roles.grant(role)
    async with open_store(owner) as store:
        await migrations.down(store.backend, to=8, yes=True)
    for role in ("writer", "reader"):
        async with open_store(roles.url(role)) as store:
            assert store.read_only
    async with open_store(owner):
        pass
    for role in ("writer", "reader"):
        async with open_store(roles.url(role)) as store:
            await store.backend.fetch("last_sync_state", {"chain": "none"})


async def test_the_grants_that_a_reason_names_let_a_reader_write(roles: Roles) -> None:
    await fill(roles.url("owner"))
    roles.grant("reader")
    async with open_store(roles.url("reader")) as store:
        _, _, statements = store.read_only_reason.removesuffix(" to write").partition("; run ")
    with psycopg.connect(roles.database, autocommit=True) as connection:
        for statement in statements.split("; "):
            connection.execute(statement.encode())
    async with opened(roles.url("reader")) as store:
        await write(store)


async def test_the_first_model_and_a_vacuum_take_the_owner(roles: Roles) -> None:
    async with open_store(roles.url("owner"), create=True):
        pass
    roles.grant("writer")
    remedy = f'only the owner of the tables may: run GRANT "{roles.names["owner"]}" TO "{roles.names["writer"]}".'
    with psycopg.connect(roles.database, autocommit=True) as connection:
        # Another right that is missing is not what these lack.
        connection.execute(f'REVOKE DELETE ON {SCHEMA}.edges FROM "{roles.names["writer"]}"'.encode())
    async with opened(roles.url("writer")) as store:
        for work in (store.models.register(signature(EMBEDDER)), store.maintenance.vacuum()):
            with pytest.raises(ReadOnly) as refused:
                await work
            assert refused.value.message.endswith(remedy)


async def test_the_right_to_temporary_tables_is_named(roles: Roles, tmp_path: Path) -> None:
    source = f"sqlite:{tmp_path / 'source.db'}"
    await fill(source)
    await fill(roles.url("owner"))
    roles.grant("writer")
    with psycopg.connect(roles.database, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
        name = connection.info.dbname
    message = await job("copy", source, roles.url("writer"))
    assert f'run GRANT TEMPORARY ON DATABASE {name} TO "{roles.names["writer"]}".' in message


@pytest.mark.slow
async def test_a_reader_backs_up_and_a_writer_restores(roles: Roles, tmp_path: Path) -> None:
    await fill(roles.url("owner"))
    roles.grant("writer")
    roles.grant("reader")
    async with opened(roles.url("writer")) as store:
        await write(store)
    backup = await back_up(roles.url("reader"), tmp_path / "kept.db")
    assert backup.rows["knowledge_nodes"] == len(TEXTS)
    async with opened(roles.url("writer")) as store:
        added = await store.insert(Draft("Added after the backup."))
        await store.delete([added.changed[0]])
        [memory, *_] = (await store.page(Filter())).items
        await store.delete([memory.id])
    restored = await restore(backup.path, roles.url("writer"))
    assert restored.rows == {name: count for name, count in backup.rows.items() if name in restored.rows}
    async with opened(roles.url("writer")) as store:
        await read(store)
        await write(store)


def foreign_keys(url: str) -> dict[str, bool]:
    """Return the foreign keys of a store, and whether each is known to be kept by all rows."""
    query = (
        "SELECT conrelid::regclass || ' ' || conname || ' ' || replace(pg_get_constraintdef(oid), ' NOT VALID', ''),"
        " convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text <> ''"
    )
    with psycopg.connect(url) as connection:
        return dict(connection.execute(query).fetchall())


async def test_the_owner_undoes_the_fix_of_rows_without_a_parent(roles: Roles) -> None:
    url, nobody = roles.url("owner"), "dddddddd-0000-4000-8000-000000000000"
    await fill(url)
    keys = foreign_keys(url)
    assert set(keys.values()) == {True}
    async with opened(url) as store:
        other = (await store.page(Filter())).items[0].id
        with psycopg.connect(roles.database) as server:
            server.execute("SET session_replication_role = replica")
            server.execute(f"SET search_path = {SCHEMA}")
            server.execute("INSERT INTO review_marks (memory_id) VALUES (%s)", (nobody,))
            edge = "INSERT INTO edges (source_id, target_id, edge_type, weight) VALUES (%s, %s, 'related', 0.5)"
            server.execute(edge, (other, nobody))
        before = whole_rows(url)
        fixed = await store.doctor.fix(await store.doctor.preview(["orphan"]))
        after = whole_rows(url)
        assert (fixed.rows, after != before) == (2, True)
        await store.journal.undo(fixed.undo)
        assert whole_rows(url) == before
        kept = foreign_keys(url)
        assert kept.keys() == keys.keys()
        assert sorted(name.split()[0] for name, is_kept in kept.items() if not is_kept) == ["edges", "review_marks"]
        with pytest.raises(psycopg.errors.ForeignKeyViolation), psycopg.connect(url) as connection:
            connection.execute("INSERT INTO review_marks (memory_id) VALUES (gen_random_uuid())")
        await store.journal.redo()
        assert whole_rows(url) == after
        assert foreign_keys(url) == keys


async def test_a_role_that_owns_no_table_does_not_undo_the_fix_of_rows_without_a_parent(roles: Roles) -> None:
    owner = roles.url("owner")
    await fill(owner)
    roles.grant("writer")
    with psycopg.connect(roles.database) as server:
        server.execute("SET session_replication_role = replica")
        server.execute(f"SET search_path = {SCHEMA}")
        server.execute("INSERT INTO review_marks (memory_id) VALUES (gen_random_uuid())")
    async with opened(roles.url("writer")) as store:
        fixed = await store.doctor.fix(await store.doctor.preview(["orphan"]))
        after = whole_rows(owner)
        with pytest.raises(Refused, match="Connect as the owner of the tables and undo it there"):
            await store.journal.undo(fixed.undo)
        assert whole_rows(owner) == after
