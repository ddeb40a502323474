"""Roles of a PostgreSQL server that may not write: known as read-only from the start, and refused in one sentence."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from vestige_tui.cli.program import run
from vestige_tui.core.errors import ReadOnly
from vestige_tui.core.memories import Draft
from vestige_tui.store.backends.postgres_preflight import why_read_only
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

GRANTS = {
    "may only read": ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",),
    "may not write to the journal, as every change does": (
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}",
        "REVOKE INSERT ON journal FROM {}",
    ),
    "may not use the sequence of the journal, as every change does": (
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
    ),
}
ALL_RIGHTS = (
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}",
)


@pytest.fixture
def role(migrated_postgres_database: str) -> Iterator[str]:
    """A role of the test's own without any right."""
    name = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(migrated_postgres_database, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    yield name
    with psycopg.connect(migrated_postgres_database, autocommit=True) as owner:
        owner.execute("SET default_transaction_read_only = off")
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            owner.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.fixture
async def owner(migrated_postgres_database: str) -> AsyncIterator[Store]:
    """The store as its owner has it open."""
    async with open_store(migrated_postgres_database) as opened:
        yield opened


def url_of(url: str, role: str, *grants: str) -> str:
    """Grant these rights; return the URL of the same store for the role."""
    with psycopg.connect(url, autocommit=True) as owner:
        for grant in grants:
            owner.execute(sql.SQL(grant).format(sql.Identifier(role)))
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-c role={role}')}"


def logged_in(url: str, role: str, *grants: str) -> str:
    """Grant these rights; return the URL of the same store for a session that the role itself has begun."""
    with psycopg.connect(url, autocommit=True) as owner:
        for grant in ("ALTER ROLE {} LOGIN", *grants):
            owner.execute(sql.SQL(grant).format(sql.Identifier(role)))
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role}@{rest.partition('@')[2]}"


@pytest.mark.parametrize("lacks", GRANTS)
async def test_a_role_that_cannot_write_is_read_only(
    owner: Store, migrated_postgres_database: str, role: str, lacks: str
) -> None:
    await owner.insert(Draft("Known to the reader."), embed=False)
    url = url_of(migrated_postgres_database, role, *GRANTS[lacks])
    async with open_store(url) as reader:
        assert reader.read_only
        assert reader.read_only_reason.startswith(f"the role {role} {lacks}; run GRANT ")
        assert [memory.content for memory in (await reader.page()).items] == ["Known to the reader."]
        with pytest.raises(ReadOnly, match=lacks):
            await reader.insert(Draft("New."))


async def test_a_role_with_all_rights_writes(owner: Store, migrated_postgres_database: str, role: str) -> None:
    async with open_store(url_of(migrated_postgres_database, role, *ALL_RIGHTS)) as writer:
        assert not writer.read_only
        await writer.insert(Draft("New."), embed=False)


async def test_a_role_that_lacks_one_right_is_told_so(owner: Store, migrated_postgres_database: str, role: str) -> None:
    [memory_id] = (await owner.insert(Draft("Kept."), embed=False)).changed
    url = url_of(migrated_postgres_database, role, *ALL_RIGHTS, "REVOKE DELETE ON knowledge_nodes FROM {}")
    async with open_store(url) as writer:
        assert not writer.read_only
        await writer.insert(Draft("New."), embed=False)
        with pytest.raises(
            ReadOnly, match=rf"\(.*knowledge_nodes\); run GRANT DELETE ON public\.knowledge_nodes TO {role}\.$"
        ):
            await writer.delete([memory_id])
        assert await writer.memories.count() == 2


async def test_transactions_that_are_read_only_by_default(owner: Store, migrated_postgres_database: str) -> None:
    url = f"{migrated_postgres_database}&options={quote('-c default_transaction_read_only=on')}"
    async with open_store(url) as reader:
        assert reader.read_only_reason == "the server only accepts reads (default_transaction_read_only)"


@pytest.mark.parametrize("altered", ["ROLE {role}", "DATABASE {database}", "ROLE {role} IN DATABASE {database}"])
async def test_where_transactions_were_made_read_only_is_named(
    owner: Store, migrated_postgres_database: str, role: str, altered: str
) -> None:
    database = migrated_postgres_database.partition("?")[0].rpartition("/")[2]
    place = altered.format(role=role, database=database)
    url = logged_in(migrated_postgres_database, role, *ALL_RIGHTS)
    with psycopg.connect(migrated_postgres_database, autocommit=True) as connection:
        connection.execute(f"ALTER {place} SET default_transaction_read_only = on".encode())
    async with open_store(url) as reader:
        assert reader.read_only_reason.endswith(f"; run ALTER {place} SET default_transaction_read_only = off to write")


def test_a_standby_is_read_only() -> None:
    server = {"standby": True}
    assert why_read_only(server) == "the server is a standby, which only accepts reads"


@pytest.mark.parametrize("command", [("add", "x"), ("undo",), ("vacuum",), ("schema", "down"), ("jobs", "sweep")])
def test_a_command_is_refused_in_one_sentence(
    migrated_postgres_database: str, role: str, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    url = url_of(migrated_postgres_database, role, *GRANTS["may only read"])
    assert run(["--store", url, *command]) == 3
    err = capsys.readouterr().err
    assert "may only read" in err.replace("\n", " ") or "nothing was swept" in err.replace("\n", " ")
    assert run(["--store", url, "list"]) == 0
