"""Users, groups and domains are written once, and are what owners and counts are read from."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from vestige_tui.core.accounts import Domain, Group, Membership, User
from vestige_tui.core.errors import Conflict, ReadOnly
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

FOUNDED = datetime(2026, 1, 1, tzinfo=UTC)
MARA, JONAS, TEAM = (str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in ("mara", "jonas", "team"))
USERS = [User(MARA, "mara", "Mara Lindqvist", FOUNDED), User(JONAS, "jonas", "Jonas Weidmann", FOUNDED)]
GROUPS = [Group(TEAM, "team", "The team", FOUNDED)]
MEMBERSHIPS = [Membership(MARA, TEAM, FOUNDED, "admin"), Membership(JONAS, TEAM, FOUNDED)]
DOMAINS = [Domain("auth", "Keys and sign-in", ("keys", "tokens"), 1, FOUNDED)]


async def restore_accounts(store: Store) -> list[tuple[int, int]]:
    return [
        await store.accounts.restore_users(USERS),
        await store.accounts.restore_groups(GROUPS),
        await store.accounts.restore_memberships(MEMBERSHIPS),
    ]


async def test_missing_rows_are_inserted_and_present_ones_kept(store: Store) -> None:
    assert await restore_accounts(store) == [(2, 0), (1, 0), (2, 0)]
    assert await store.accounts.restore_domains(DOMAINS) == (1, 0)
    assert await restore_accounts(store) == [(0, 2), (0, 1), (0, 2)]
    assert await store.accounts.restore_domains(DOMAINS) == (0, 1)
    assert await store.accounts.restore_users([]) == await store.accounts.restore_domains([]) == (0, 0)
    assert (await store.maintenance.stats()).total_domains == 1


async def test_a_handle_belongs_to_one_user(store: Store) -> None:
    await restore_accounts(store)
    new = User(str(uuid.uuid4()), "new", None, FOUNDED)
    with pytest.raises(Conflict, match="Another user has the handle 'mara'"):
        await store.accounts.restore_users([new, User(str(uuid.uuid4()), "mara", "Another", FOUNDED)])
    with pytest.raises(Conflict, match="Another group has the handle 'team'"):
        await store.accounts.restore_groups([Group(str(uuid.uuid4()), "team", "Another", FOUNDED)])
    assert list(await store.accounts.users()) == sorted(USERS, key=lambda user: user.id)


async def test_all_fields_are_read_back(store: Store) -> None:
    user = User(MARA, "mara", None, FOUNDED, {"a": [1, {"b": None}]})
    domain = Domain("auth", "Keys", ("keys", ""), 7, FOUNDED, {"x": "y"})
    await store.accounts.restore_users([user])
    await store.accounts.restore_domains([domain])
    assert (await store.accounts.users(), await store.accounts.domains()) == ((user,), (domain,))


async def test_a_user_owns_memories(store: Store) -> None:
    await restore_accounts(store)
    shared = Draft("Ours.", owner_user_id=MARA, visibility="group", shared_with_groups=(TEAM,))
    mine = (await store.insert(shared)).changed[0]
    await store.insert(Draft("Mine."))
    for name in ("mara", "Mara Lindqvist", MARA):
        owned = await store.page(await store.memories.resolve_owner(Filter(owner=name)))
        assert [memory.id for memory in owned.items] == [mine]
    [memory] = await store.memories.get_many([mine])
    assert (memory.visibility, memory.shared_with_groups) == ("group", (TEAM,))
    facets = await store.memories.facets("owners")
    assert {facet.alias: facet.title for facet in facets if facet.value == MARA} == {"mara": "Mara Lindqvist"}


async def test_a_read_only_store_refuses(store: Store, store_url: str) -> None:
    async with open_store(store_url, read_only=True) as reader:
        with pytest.raises(ReadOnly):
            await reader.accounts.restore_users(USERS)
        with pytest.raises(ReadOnly):
            await reader.accounts.restore_domains(DOMAINS)
