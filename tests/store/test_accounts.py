"""Users, groups and domains are written once, and are what owners and counts are read from."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from vestige_tui.core.accounts import Account, Domain, Membership
from vestige_tui.core.errors import ReadOnly
from vestige_tui.core.memories import Draft, Filter
from vestige_tui.store.open import open_store
from vestige_tui.store.store import Store

FOUNDED = datetime(2026, 1, 1, tzinfo=UTC)
MARA, JONAS, TEAM = (str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in ("mara", "jonas", "team"))
USERS = [Account(MARA, "mara", "Mara Lindqvist", FOUNDED), Account(JONAS, "jonas", "Jonas Weidmann", FOUNDED)]
GROUPS = [Account(TEAM, "team", "The team", FOUNDED)]
MEMBERSHIPS = [Membership(MARA, TEAM, FOUNDED, "admin"), Membership(JONAS, TEAM, FOUNDED)]
DOMAINS = [Domain("auth", "Keys and sign-in", ("keys", "tokens"), 1, FOUNDED)]


async def test_missing_rows_are_inserted_and_present_ones_kept(store: Store) -> None:
    assert await store.accounts.restore(USERS, GROUPS, MEMBERSHIPS) == 5
    assert await store.accounts.restore_domains(DOMAINS) == 1
    assert await store.accounts.restore(USERS, GROUPS, MEMBERSHIPS) == 0
    assert await store.accounts.restore_domains(DOMAINS) == 0
    # A handle is taken by one user.
    assert await store.accounts.restore([Account(str(uuid.uuid4()), "mara", "Another", FOUNDED)], [], []) == 0
    assert await store.accounts.restore([], [], []) == await store.accounts.restore_domains([]) == 0
    assert (await store.maintenance.stats()).total_domains == 1


async def test_a_user_owns_memories(store: Store) -> None:
    await store.accounts.restore(USERS, GROUPS, MEMBERSHIPS)
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
            await reader.accounts.restore(USERS, [], [])
        with pytest.raises(ReadOnly):
            await reader.accounts.restore_domains(DOMAINS)
