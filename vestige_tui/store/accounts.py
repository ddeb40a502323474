"""Users, groups and domains of a store: read by filters and cards, written with imported or sample memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vestige_tui.core.accounts import Account, Domain, GroupSummary, Membership, UserSummary
from vestige_tui.core.errors import Usage
from vestige_tui.core.filter_syntax import nearest
from vestige_tui.core.storable import clean
from vestige_tui.core.text import plain, quoted
from vestige_tui.store.backends.protocol import Json
from vestige_tui.store.schema import rows

if TYPE_CHECKING:
    from vestige_tui.store.context import StoreContext


class AccountService:
    """Users, groups, memberships and domains. Rows that exist are never changed."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._backend = context.backend

    @property
    def are_kept(self) -> bool:
        """Return whether memories have owners here: not in a Vestige file before it is adopted."""
        return self._backend.keeps_accounts

    async def users(self) -> tuple[UserSummary, ...]:
        """Return the users with their groups and the number of their memories, by handle."""
        groups = {group.id: group.handle for group in await self._accounts("list_groups")}
        handles: dict[str, list[str]] = {}
        for row in await self._backend.fetch("list_memberships"):
            handles.setdefault(str(row["user_id"]), []).append(groups.get(str(row["group_id"]), str(row["group_id"])))
        counts: dict[str, dict[str, int]] = {}
        for row in await self._backend.fetch("count_owned"):
            counts.setdefault(str(row["id"]), {})[str(row["visibility"])] = int(row["n"])
        return tuple(
            UserSummary(user, tuple(sorted(handles.get(user.id, ()))), counts.get(user.id, {}))
            for user in await self._accounts("list_users")
        )

    async def groups(self) -> tuple[GroupSummary, ...]:
        """Return the groups with their members and the number of memories shared with them, by handle."""
        users = {user.id: user.handle for user in await self._accounts("list_users")}
        members: dict[str, list[str]] = {}
        for row in await self._backend.fetch("list_memberships"):
            members.setdefault(str(row["group_id"]), []).append(users.get(str(row["user_id"]), str(row["user_id"])))
        shared = {str(row["id"]): int(row["n"]) for row in await self._backend.fetch("count_shared")}
        return tuple(
            GroupSummary(group, tuple(sorted(members.get(group.id, ()))), shared.get(group.id, 0))
            for group in await self._accounts("list_groups")
        )

    async def user(self, name: str) -> Account:
        """Return the user of an id, a handle or a display name. Raises Usage, with a similar name if there is one."""
        return _named(await self._accounts("list_users"), name, "user")

    async def group(self, name: str) -> Account:
        """Return the group of an id, a handle or a display name. Raises Usage, with a similar name if there is one."""
        return _named(await self._accounts("list_groups"), name, "group")

    async def _accounts(self, query: str) -> tuple[Account, ...]:
        return tuple(rows.account(row) for row in await self._backend.fetch(query))

    async def restore(
        self, users: Sequence[Account], groups: Sequence[Account], memberships: Sequence[Membership]
    ) -> int:
        """Insert missing users, groups and memberships in one transaction; return the number of new rows."""
        self._context.refuse_read_only()
        parts = {
            "insert_user_if_absent": [_account(user) for user in users],
            "insert_group_if_absent": [_account(group) for group in groups],
            "insert_membership_if_absent": [
                {"user_id": each.user_id, "group_id": each.group_id, "role": each.role, "joined_at": each.joined_at}
                for each in memberships
            ],
        }
        async with self._backend.write() as transaction:
            return sum([await transaction.execute_many(name, many) for name, many in parts.items() if many])

    async def restore_domains(self, domains: Sequence[Domain]) -> int:
        """Insert missing domains; return the number of new rows."""
        self._context.refuse_read_only()
        params = [
            {
                "id": domain.id,
                "label": domain.label,
                "top_terms": list(domain.top_terms),
                "memory_count": domain.memory_count,
                "created_at": domain.created_at,
            }
            for domain in domains
        ]
        async with self._backend.write() as transaction:
            return await transaction.execute_many("insert_domain_if_absent", params) if params else 0


def _named(accounts: Sequence[Account], name: str, noun: str) -> Account:
    """Return the account of a name: by id or handle, else regardless of case, by display name too. Raises Usage."""
    wanted = clean(name.strip())
    matches = [each for each in accounts if wanted in (each.id, each.handle)] or [
        each for each in accounts if wanted.casefold() in (each.handle.casefold(), each.display_name.casefold())
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise Usage(f"Several {noun}s are called {quoted(name)}; give a handle or an id.")
    handles = [each.handle for each in accounts]
    close = nearest(wanted.casefold(), handles) if handles else None
    hint = f"; did you mean {plain(close)}?" if close else "."
    raise Usage(f"No {noun} is called {quoted(name)}{hint}")


def _account(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "handle": account.handle,
        "display_name": account.display_name,
        "created_at": account.created_at,
        "metadata": Json({}),
    }
