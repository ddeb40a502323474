"""Roles of a PostgreSQL server that may not write: known as read-only from the start, and refused in one sentence."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.support.jobs import run_here
from tests.support.postgres_schemas import in_schema, search_path, with_settings
from vestige_tui.cli.program import run
from vestige_tui.core.errors import ReadOnly, Refused
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Rating
from vestige_tui.jobs.start import JobRequest
from vestige_tui.store.backends.postgres_preflight import why_read_only
from vestige_tui.store.backends.postgres_settings import Setting
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

pytestmark = pytest.mark.own_variant

GRANTS = {
    "may only read": ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",),
    "may not write to the journal, which every change needs": (
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}",
        "REVOKE INSERT ON journal FROM {}",
    ),
    "may not use the sequence of the journal, which every change needs": (
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
    ),
}
ALL_RIGHTS = (
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}",
)


@pytest.fixture
def role(postgres_database: str) -> Iterator[str]:
    """A role of the test's own without any right."""
    name = f"reader_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_database, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    yield name
    with psycopg.connect(postgres_database, autocommit=True) as owner:
        owner.execute("SET default_transaction_read_only = off")
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            owner.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.fixture
async def owner(postgres_database: str) -> AsyncIterator[Store]:
    """The store as its owner has it open."""
    async with open_store(postgres_database) as opened:
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
    owner: Store, postgres_database: str, role: str, lacks: str
) -> None:
    await owner.insert(Draft("Known to the reader."), embed=False)
    url = url_of(postgres_database, role, *GRANTS[lacks])
    async with open_store(url) as reader:
        assert reader.read_only
        assert reader.read_only_reason.startswith(f"the role {role} {lacks}; run GRANT ")
        assert [memory.content for memory in (await reader.page()).items] == ["Known to the reader."]
        with pytest.raises(ReadOnly, match=lacks):
            await reader.insert(Draft("New."))


async def test_a_role_with_all_rights_writes(owner: Store, postgres_database: str, role: str) -> None:
    async with open_store(url_of(postgres_database, role, *ALL_RIGHTS)) as writer:
        assert not writer.read_only
        await writer.insert(Draft("New."), embed=False)


async def test_a_role_that_lacks_one_right_is_told_so(owner: Store, postgres_database: str, role: str) -> None:
    [memory_id] = (await owner.insert(Draft("Kept."), embed=False)).changed
    url = url_of(postgres_database, role, *ALL_RIGHTS, "REVOKE DELETE ON knowledge_nodes FROM {}")
    async with open_store(url) as writer:
        assert not writer.read_only
        await writer.insert(Draft("New."), embed=False)
        with pytest.raises(
            ReadOnly, match=rf"\(.*knowledge_nodes\); run GRANT DELETE ON public\.knowledge_nodes TO {role}\.$"
        ):
            await writer.delete([memory_id])
        assert await writer.memories.count() == 2


async def test_transactions_that_are_read_only_by_default(owner: Store, postgres_database: str) -> None:
    url = f"{postgres_database}&options={quote('-c default_transaction_read_only=on')}"
    async with open_store(url) as reader:
        assert reader.read_only_reason == "the server accepts only reads (default_transaction_read_only)"


@pytest.mark.parametrize("altered", ["ROLE {role}", "DATABASE {database}", "ROLE {role} IN DATABASE {database}"])
async def test_where_transactions_were_made_read_only_is_named(
    owner: Store, postgres_database: str, role: str, altered: str
) -> None:
    database = postgres_database.partition("?")[0].rpartition("/")[2]
    place = altered.format(role=role, database=database)
    url = logged_in(postgres_database, role, *ALL_RIGHTS)
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f"ALTER {place} SET default_transaction_read_only = on".encode())
    async with open_store(url) as reader:
        assert reader.read_only_reason.endswith(f"; run ALTER {place} SET default_transaction_read_only = off to write")


def test_a_standby_is_read_only() -> None:
    server = {"standby": True}
    assert why_read_only(server) == "the server is a standby, which accepts only reads"


@pytest.mark.parametrize("command", [("add", "x"), ("undo",), ("vacuum",), ("schema", "down"), ("jobs", "sweep")])
def test_a_command_is_refused_in_one_sentence(
    postgres_database: str, role: str, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    url = url_of(postgres_database, role, *GRANTS["may only read"])
    assert run(["--store", url, *command]) == 3
    err = capsys.readouterr().err
    assert "may only read" in err.replace("\n", " ") or "nothing was changed" in err.replace("\n", " ")
    assert run(["--store", url, "list"]) == 0


# What a role lacks, and the statement that grants it

ODD = 'Odd "role" '


@pytest.fixture
def odd_role(postgres_database: str) -> Iterator[str]:
    """A role whose name needs quotes, with every right but those that a test takes away."""
    name = f"{ODD}{secrets.token_hex(4)}"
    with psycopg.connect(postgres_database, autocommit=True) as owner:
        for statement in ("CREATE ROLE {} LOGIN", "GRANT USAGE ON SCHEMA public TO {}", *ALL_RIGHTS):
            owner.execute(sql.SQL(statement).format(sql.Identifier(name)))
    yield name
    with psycopg.connect(postgres_database, autocommit=True) as owner:
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            owner.execute(sql.SQL(statement).format(sql.Identifier(name)))


def run_as_owner(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def as_role(url: str, role: str) -> str:
    """Return the URL of the same database for a session of the role."""
    return with_settings(url, Setting("role", role))


def granted(message: str) -> list[str]:
    """The statements that a sentence says to run."""
    return message.rpartition("run ")[2].removesuffix(".").split("; ")


async def refused(url: str, use: Callable[[Store], Awaitable[object]], *, create: bool = False) -> str:
    with pytest.raises(Refused) as error:
        async with open_store(url, create=create) as store:
            await use(store)
    assert error.value.exit_status == 3
    return error.value.message


async def nothing(store: Store) -> None:
    """Use nothing of an open store."""


async def add(store: Store) -> None:
    await store.insert(Draft("New."), embed=False)


async def look(store: Store) -> None:
    page = await store.page()
    await store.links.edges(page.items[0].id)


async def grade(store: Store) -> None:
    page = await store.page()
    await store.reviews.record(page.items[0].id, Rating.GOOD)


async def replace(store: Store) -> None:
    page = await store.page()
    await store.links.supersede(page.items[0].id, page.items[1].id)


LACKS: dict[str, tuple[tuple[str, ...], Callable[[Store], Awaitable[object]], tuple[str, ...]]] = {
    "the schema": (
        ("REVOKE USAGE ON SCHEMA public FROM PUBLIC, {}",),
        nothing,
        ("GRANT USAGE ON SCHEMA public TO {}",),
    ),
    "reading the bookkeeping": (
        ("REVOKE ALL ON vestige_migrations FROM {}",),
        nothing,
        ("GRANT SELECT, INSERT, UPDATE, DELETE ON public.vestige_migrations TO {}",),
    ),
    "reading a table": (("REVOKE SELECT ON edges FROM {}",), look, ("GRANT SELECT ON public.edges TO {}",)),
    "inserting": (
        ("REVOKE INSERT ON knowledge_nodes FROM {}",),
        add,
        ("GRANT INSERT ON public.knowledge_nodes TO {}",),
    ),
    "a sequence": (
        (
            "REVOKE USAGE ON SEQUENCE review_events_id_seq FROM {}",
            "REVOKE UPDATE ON SEQUENCE review_events_id_seq FROM {}",
        ),
        grade,
        ("GRANT USAGE ON SEQUENCE public.review_events_id_seq TO {}",),
    ),
    "what a trigger updates": (
        ("REVOKE UPDATE ON knowledge_nodes FROM {}", "GRANT UPDATE (content) ON knowledge_nodes TO {}"),
        replace,
        ("GRANT UPDATE ON public.knowledge_nodes TO {}",),
    ),
    "two rights on one table": (
        ("REVOKE SELECT, DELETE ON edges FROM {}",),
        look,
        ("GRANT SELECT, DELETE ON public.edges TO {}",),
    ),
}


@pytest.mark.parametrize("lacks", LACKS)
async def test_what_a_role_lacks_is_named_and_can_be_granted(
    owner: Store, postgres_database: str, odd_role: str, lacks: str
) -> None:
    for text in ("One.", "Two."):
        await owner.insert(Draft(text), embed=False)
    revoked, use, grants = LACKS[lacks]
    quoted = sql.Identifier(odd_role).as_string(None)
    run_as_owner(postgres_database, *(statement.format(quoted) for statement in revoked))
    url = as_role(postgres_database, odd_role)
    message = await refused(url, use)
    assert granted(message) == [grant.format(quoted) for grant in grants]
    assert quoted in message.partition("run ")[0]
    run_as_owner(postgres_database, *granted(message))
    async with open_store(url) as store:
        await use(store)


async def test_the_right_to_create_is_named(bare_postgres_database: str, odd_role: str) -> None:
    quoted = sql.Identifier(odd_role).as_string(None)
    run_as_owner(bare_postgres_database, 'CREATE SCHEMA "My Schema"', f'GRANT USAGE ON SCHEMA "My Schema" TO {quoted}')
    url = with_settings(bare_postgres_database, Setting("role", odd_role), search_path("My Schema"))
    message = await refused(url, nothing, create=True)
    assert message.endswith("; ask an administrator to run CREATE EXTENSION vector in this database.")
    run_as_owner(bare_postgres_database, "CREATE EXTENSION vector")
    message = await refused(url, nothing, create=True)
    assert granted(message) == [f'GRANT CREATE ON SCHEMA "My Schema" TO {quoted}']
    run_as_owner(bare_postgres_database, *granted(message))
    async with open_store(url, create=True) as store:
        await add(store)
    run_as_owner(bare_postgres_database, f"DROP OWNED BY {quoted} CASCADE")


async def test_the_schema_of_pgvector_is_named(bare_postgres_database: str, odd_role: str) -> None:
    quoted = sql.Identifier(odd_role).as_string(None)
    url = in_schema(bare_postgres_database, "My Schema", vector_schema="Ext")
    async with open_store(url, create=True):
        pass
    run_as_owner(bare_postgres_database, f'GRANT USAGE ON SCHEMA "My Schema" TO {quoted}')
    url = with_settings(bare_postgres_database, Setting("role", odd_role), search_path("My Schema"))
    message = await refused(url, nothing)
    assert granted(message) == [f'GRANT USAGE ON SCHEMA "Ext" TO {quoted}']
    run_as_owner(bare_postgres_database, f"DROP OWNED BY {quoted} CASCADE")


async def test_a_store_that_the_path_comes_to_first_is_not_passed_over(
    owner: Store, postgres_database: str, odd_role: str
) -> None:
    quoted = sql.Identifier(odd_role).as_string(None)
    path = search_path("Mine", "public")
    run_as_owner(postgres_database, 'CREATE SCHEMA "Mine"')
    url = with_settings(postgres_database, Setting("role", odd_role), path)
    # A schema without a store is passed over, as the server does.
    async with open_store(url) as store:
        await add(store)
    async with open_store(with_settings(postgres_database, path), create=True):
        pass
    assert granted(await refused(url, nothing)) == [f'GRANT USAGE ON SCHEMA "Mine" TO {quoted}']


# Row-level security

SECURED = "ALTER TABLE knowledge_nodes ENABLE ROW LEVEL SECURITY"


@pytest.mark.parametrize(
    "policies",
    [
        (),
        ("CREATE POLICY a_part ON knowledge_nodes USING (content <> 'Two.')",),
        (
            "CREATE POLICY all_rows ON knowledge_nodes USING (true)",
            "CREATE POLICY none ON knowledge_nodes AS RESTRICTIVE USING (false)",
        ),
        ("CREATE POLICY writes ON knowledge_nodes FOR INSERT WITH CHECK (true)",),
        ("CREATE POLICY others ON knowledge_nodes TO pg_monitor USING (true)",),
    ],
    ids=["none", "some rows", "restrictive", "of inserts", "of others"],
)
async def test_a_store_that_would_be_seen_in_part_is_refused(
    owner: Store, postgres_database: str, odd_role: str, policies: tuple[str, ...], tmp_path: Path
) -> None:
    for text in ("One.", "Two."):
        await owner.insert(Draft(text), embed=False)
    run_as_owner(postgres_database, SECURED, *policies)
    url = as_role(postgres_database, odd_role)
    quoted = sql.Identifier(odd_role).as_string(None)
    message = await refused(url, nothing)
    assert message.endswith(
        f"run ALTER ROLE {quoted} BYPASSRLS, or ALTER TABLE public.knowledge_nodes DISABLE ROW LEVEL SECURITY."
    )
    with pytest.raises(Refused, match="Row-level security"):
        await run_here(JobRequest("copy", url, f"sqlite:{tmp_path / 'copy.db'}", {}))
    run_as_owner(postgres_database, message.rpartition(", or ")[2].removesuffix("."))
    async with open_store(url) as store:
        assert await store.memories.count() == 2


async def test_policies_that_guard_changes_alone_leave_the_store_readable(
    owner: Store, postgres_database: str, odd_role: str
) -> None:
    await owner.insert(Draft("One."), embed=False)
    run_as_owner(
        postgres_database,
        SECURED,
        "CREATE POLICY reads ON knowledge_nodes FOR SELECT USING (true)",
        "CREATE POLICY changes ON knowledge_nodes USING (false)",
    )
    url = as_role(postgres_database, odd_role)
    async with open_store(url) as store:
        assert await store.memories.count() == 1
        assert store.read_only_reason.startswith("row-level security of public.knowledge_nodes may refuse changes")
    run_as_owner(postgres_database, "ALTER POLICY changes ON knowledge_nodes USING (true)")
    async with open_store(url) as store:
        await add(store)


async def test_policies_that_are_forced_upon_the_owner(postgres_database: str, odd_role: str) -> None:
    quoted = sql.Identifier(odd_role).as_string(None)
    run_as_owner(
        postgres_database,
        f"ALTER TABLE knowledge_nodes OWNER TO {quoted}",
        SECURED,
        "ALTER TABLE knowledge_nodes FORCE ROW LEVEL SECURITY",
    )
    url = as_role(postgres_database, odd_role)
    message = await refused(url, nothing)
    assert message.endswith(" ALTER TABLE public.knowledge_nodes NO FORCE ROW LEVEL SECURITY.")
    run_as_owner(postgres_database, message.rpartition(", or ")[2].removesuffix("."))
    async with open_store(url) as store:
        await add(store)
    run_as_owner(postgres_database, "ALTER TABLE knowledge_nodes OWNER TO CURRENT_USER")


@pytest.mark.parametrize("command", [("list",), ("stats",), ("add", "x"), ("schema", "info"), ("jobs", "list")])
@pytest.mark.parametrize(
    ("statement", "remedy"),
    [("REVOKE USAGE ON SCHEMA public FROM PUBLIC, {}", "GRANT USAGE ON SCHEMA public"), (SECURED, "BYPASSRLS")],
    ids=["schema", "rows"],
)
def test_a_command_of_a_role_without_rights_says_what_to_run(
    postgres_database: str,
    odd_role: str,
    statement: str,
    remedy: str,
    command: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_as_owner(postgres_database, statement.format(sql.Identifier(odd_role).as_string(None)))
    assert run(["--store", as_role(postgres_database, odd_role), *command]) == 3
    assert remedy in " ".join(capsys.readouterr().err.split())
