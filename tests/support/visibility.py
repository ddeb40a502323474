"""Random users, groups and memories, and which of them a user may see, in plain Python."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vestige_tui.core.accounts import Account, Group, Membership, User
from vestige_tui.core.memories import Draft
from vestige_tui.core.reviews import Scheduling
from vestige_tui.store.store import Store

FOUNDED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
WORDS = [
    "keys",
    "rotate",
    "deploy",
    "cache",
    "rollback",
    "index",
    "token",
    "schema",
    "ledger",
    "queue",
    "vector",
    "backup",
    "shard",
    "lease",
    "retry",
    "batch",
    "probe",
    "socket",
    "lock",
    "merge",
]


@dataclass(frozen=True, slots=True)
class Community:
    """Users, groups, memberships and memories."""

    users: tuple[User, ...]
    groups: tuple[Group, ...]
    memberships: tuple[Membership, ...]
    drafts: tuple[Draft, ...]

    def groups_of(self, user: Account) -> set[str]:
        return {each.group_id for each in self.memberships if each.user_id == user.id}

    def may_see(self, user: Account, draft: Draft) -> bool:
        """The model of visibility: the owner, members of a group that it is shared with, or everybody."""
        if draft.owner_user_id == user.id or draft.visibility == "public":
            return True
        return draft.visibility == "group" and bool(self.groups_of(user) & set(draft.shared_with_groups))

    def visible(self, user: Account) -> list[str]:
        return [str(draft.id) for draft in self.drafts if self.may_see(user, draft)]


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def community(seed: int, *, memories: int = 80) -> Community:
    chance = random.Random(seed)
    users = tuple(User(_id(chance), f"user{n}", f"User {n}", FOUNDED) for n in range(4))
    groups = tuple(Group(_id(chance), f"group{n}", f"Group {n}", FOUNDED) for n in range(3))
    memberships = tuple(
        Membership(user.id, group.id, FOUNDED) for user in users for group in groups if chance.random() < 0.4
    )
    drafts = tuple(_draft(chance, users, groups, n) for n in range(memories))
    return Community(users, groups, memberships, drafts)


def _draft(chance: random.Random, users: Sequence[Account], groups: Sequence[Account], number: int) -> Draft:
    reviewed = FOUNDED + timedelta(hours=number)
    schedule = Scheduling(5.0, 5.0, 0.9, reviewed, reviewed + timedelta(days=5), 1, 0)
    return Draft(
        " ".join(chance.choices(WORDS, weights=range(1, len(WORDS) + 1), k=chance.randint(3, 30))),
        _id(chance),
        chance.choice(("fact", "decision")),
        tags=tuple(chance.sample(("a", "b", "c"), chance.randint(0, 2))),
        domains=tuple(chance.sample(("auth", "ops"), chance.randint(0, 2))),
        codebase=chance.choice((None, "api", "web")),
        created_at=FOUNDED + timedelta(minutes=number),
        updated_at=FOUNDED + timedelta(minutes=number),
        owner_user_id=chance.choice(users).id,
        visibility=chance.choice(("private", "group", "group", "public")),
        shared_with_groups=tuple(group.id for group in groups if chance.random() < 0.3),
        scheduling=schedule if chance.random() < 0.5 else None,
    )


async def fill(store: Store, community: Community, ids: Sequence[str] | None = None) -> None:
    """Write a community into a store, with only the memories of these ids if there are any."""
    await store.accounts.restore_users(community.users)
    await store.accounts.restore_groups(community.groups)
    await store.accounts.restore_memberships(community.memberships)
    await store.memories.insert_many([draft for draft in community.drafts if ids is None or draft.id in ids])
