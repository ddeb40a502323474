"""Lines of an export about users, groups, memberships and domains: all of a store's, or those of some memories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from vestige_tui.core.accounts import Account, Domain, Membership
from vestige_tui.core.domains import CENTROID_AT
from vestige_tui.core.memories import LOCAL_USER, Memory
from vestige_tui.presenters.json_shapes import canonical, time

if TYPE_CHECKING:
    from vestige_tui.store.store import Store

Line: TypeAlias = dict[str, Any]


class AccountLines:
    """Accounts and domains of a store; each is yielded once, before the first memory that names it."""

    def __init__(self, users: dict[str, Account], groups: dict[str, Account], domains: dict[str, Domain]) -> None:
        self._users, self._groups, self._domains = users, groups, domains
        self._memberships: tuple[Membership, ...] = ()
        self._ends = {LOCAL_USER}

    @classmethod
    async def of(cls, store: Store) -> AccountLines:
        """Read the accounts and domains of a store."""
        lines = cls(
            {user.id: user for user in await store.accounts.users()},
            {group.id: group for group in await store.accounts.groups()},
            {domain.id: domain for domain in await store.accounts.domains()},
        )
        lines._memberships = await store.accounts.memberships()
        return lines

    def all(self) -> Iterator[Line]:
        """Yield all that was not yielded yet, users first."""
        yield from self._taken(list(self._users), list(self._groups), list(self._domains))

    def named_by(self, memory: Memory) -> Iterator[Line]:
        """Yield the users, groups and domains that a memory names and that were not yielded yet."""
        yield from self._taken([memory.owner_user_id], memory.shared_with_groups, memory.domains)

    def memberships(self) -> Iterator[Line]:
        """Yield the memberships of the users and groups that were yielded."""
        for each in self._memberships:
            if each.user_id in self._ends and each.group_id in self._ends:
                yield {
                    "kind": "membership",
                    "user_id": each.user_id,
                    "group_id": each.group_id,
                    "role": each.role,
                    "joined_at": time(each.joined_at),
                }

    def _taken(self, users: Iterable[str], groups: Iterable[str], domains: Iterable[str]) -> Iterator[Line]:
        for kind, accounts, ids in (("user", self._users, users), ("group", self._groups, groups)):
            for account_id in ids:
                if account := accounts.pop(account_id, None):
                    self._ends.add(account_id)
                    yield _account(kind, account)
        for domain_id in domains:
            if domain := self._domains.pop(domain_id, None):
                yield _domain(domain)


def _account(kind: str, account: Account) -> Line:
    return {
        "kind": kind,
        "id": account.id,
        "handle": account.handle,
        "display_name": account.display_name,
        "created_at": time(account.created_at),
        "metadata": canonical(account.metadata),
    }


def _domain(domain: Domain) -> Line:
    return {
        "kind": "domain",
        "id": domain.id,
        "label": domain.label,
        "top_terms": list(domain.top_terms),
        "memory_count": domain.memory_count,
        "created_at": time(domain.created_at),
        "metadata": canonical({key: value for key, value in domain.metadata.items() if key != CENTROID_AT}),
    }
