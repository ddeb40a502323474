"""Users, groups, memberships and domains of a store: read by filters, cards and exports, written by an import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vestige_tui.core.accounts import Account, Domain, Group, GroupSummary, Membership, User, UserSummary
from vestige_tui.core.errors import Conflict, Usage
from vestige_tui.core.filter_syntax import nearest
from vestige_tui.core.memories import LOCAL_USER, Draft, Memory, Patch
from vestige_tui.core.memory_template import UNNAMED, Sharing
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

    async def list_users(self) -> tuple[UserSummary, ...]:
        """Return the users with their groups and the number of their memories, by handle."""
        groups = {group.id: group.handle for group in await self._groups()}
        handles: dict[str, list[str]] = {}
        for row in await self._backend.fetch("list_memberships"):
            handles.setdefault(str(row["user_id"]), []).append(groups.get(str(row["group_id"]), str(row["group_id"])))
        counts: dict[str, dict[str, int]] = {}
        for row in await self._backend.fetch("count_owned"):
            counts.setdefault(str(row["id"]), {})[str(row["visibility"])] = int(row["n"])
        return tuple(
            UserSummary(user, tuple(sorted(handles.get(user.id, ()))), counts.get(user.id, {}))
            for user in await self._users()
        )

    async def list_groups(self) -> tuple[GroupSummary, ...]:
        """Return the groups with their members and the number of memories shared with them, by handle."""
        users = {user.id: user.handle for user in await self._users()}
        members: dict[str, list[str]] = {}
        for row in await self._backend.fetch("list_memberships"):
            members.setdefault(str(row["group_id"]), []).append(users.get(str(row["user_id"]), str(row["user_id"])))
        shared = {str(row["id"]): int(row["n"]) for row in await self._backend.fetch("count_shared")}
        return tuple(
            GroupSummary(group, tuple(sorted(members.get(group.id, ()))), shared.get(group.id, 0))
            for group in await self._groups()
        )

    async def user(self, name: str) -> Account:
        """Return the user of an id, a handle or a display name. Raises Usage, with a similar name if there is one."""
        return _named(await self._users(), name, "user")

    async def group(self, name: str) -> Account:
        """Return the group of an id, a handle or a display name. Raises Usage, with a similar name if there is one."""
        return _named(await self._groups(), name, "group")

    async def sharing_of(self, memory: Memory) -> Sharing:
        """Return owner, visibility and groups of a memory by their handles; nothing where no memory is shared.

        That is a store with the local user alone, if the memory is private.
        """
        is_plain = memory.owner_user_id == LOCAL_USER and memory.visibility == "private"
        users, groups = await self._accounts()
        if is_plain and not memory.shared_with_groups and len(users) <= 1 and not groups:
            return UNNAMED
        handles = {each.id: each.handle for each in (*users, *groups)}
        shared = tuple(sorted(handles.get(group, group) for group in memory.shared_with_groups))
        return Sharing(handles.get(memory.owner_user_id, memory.owner_user_id), memory.visibility, shared)

    async def new_sharing(self, chosen: Sharing) -> Sharing:
        """Return the sharing that a new memory begins with; nothing where no memory is shared and none is chosen."""
        users, groups = await self._accounts()
        if chosen == UNNAMED and len(users) <= 1 and not groups:
            return chosen
        local = next((each.handle for each in users if each.id == LOCAL_USER), LOCAL_USER)
        return Sharing(chosen.owner or local, chosen.visibility or "private", chosen.groups or ())

    async def draft_by_id(self, draft: Draft) -> Draft:
        """Return a draft with the ids of an owner and of groups that it names. Raises Usage for unknown ones."""
        owner, groups = draft.owner_user_id, draft.shared_with_groups
        if owner != LOCAL_USER:
            owner = (await self.user(owner)).id
        return replace(draft, owner_user_id=owner, shared_with_groups=await self._group_ids(groups))

    async def patch_by_id(self, patch: Patch) -> Patch:
        """Return changes with ids as ``draft_by_id`` does."""
        owner, groups = patch.owner_user_id, patch.shared_with_groups
        return replace(
            patch,
            owner_user_id=None if owner is None else (await self.user(owner)).id,
            shared_with_groups=None if groups is None else await self._group_ids(groups),
        )

    async def _group_ids(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple([(await self.group(name)).id for name in names])

    async def _accounts(self) -> tuple[tuple[User, ...], tuple[Group, ...]]:
        """Return users and groups; none where memories have no owners."""
        return (await self._users(), await self._groups()) if self.are_kept else ((), ())

    async def _users(self) -> tuple[User, ...]:
        return tuple(map(rows.user, await self._backend.fetch("list_users")))

    async def _groups(self) -> tuple[Group, ...]:
        return tuple(map(rows.group, await self._backend.fetch("list_groups")))

    async def users(self) -> tuple[User, ...]:
        """Return all users but the local one, which every store has, by their ids."""
        return tuple(sorted([user for user in await self._users() if user.id != LOCAL_USER], key=_id))

    async def groups(self) -> tuple[Group, ...]:
        """Return all groups, by their ids."""
        return tuple(sorted(await self._groups(), key=_id))

    async def memberships(self) -> tuple[Membership, ...]:
        """Return all memberships, by user and group."""
        memberships = [rows.membership(row) for row in await self._backend.fetch("list_memberships")]
        return tuple(sorted(memberships, key=lambda each: (each.user_id, each.group_id)))

    async def domains(self) -> tuple[Domain, ...]:
        """Return all domains without their centroids, by their ids."""
        return tuple(sorted([rows.domain(row) for row in await self._backend.fetch("export_domains")], key=_id))

    async def restore_users(self, users: Sequence[Account]) -> tuple[int, int]:
        """Insert missing users; return (inserted, present). Raises Conflict if another user has the handle."""
        return await self._restore_accounts("user", users)

    async def restore_groups(self, groups: Sequence[Account]) -> tuple[int, int]:
        """Insert missing groups; return (inserted, present). Raises Conflict if another group has the handle."""
        return await self._restore_accounts("group", groups)

    async def restore_memberships(self, memberships: Sequence[Membership]) -> tuple[int, int]:
        """Insert missing memberships; return (inserted, present). Raises NotFound if user or group is missing."""
        params = [
            {"user_id": each.user_id, "group_id": each.group_id, "role": each.role, "joined_at": each.joined_at}
            for each in memberships
        ]
        return await self._restore("insert_membership_if_absent", params)

    async def restore_domains(self, domains: Sequence[Domain]) -> tuple[int, int]:
        """Insert missing domains; return (inserted, present)."""
        params = [
            {
                "id": domain.id,
                "label": domain.label,
                "top_terms": list(domain.top_terms),
                "memory_count": domain.memory_count,
                "created_at": domain.created_at,
                "metadata": Json(domain.metadata),
            }
            for domain in domains
        ]
        return await self._restore("insert_domain_if_absent", params)

    async def _restore(self, query: str, params: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        self._context.refuse_read_only()
        if not params:
            return 0, 0
        async with self._backend.write() as transaction:
            inserted_count = await transaction.execute_many(query, params)
        return inserted_count, len(params) - inserted_count

    async def _restore_accounts(self, kind: str, accounts: Sequence[Account]) -> tuple[int, int]:
        self._context.refuse_read_only()
        if not accounts:
            return 0, 0
        async with self._backend.write() as transaction:
            inserted_count = await transaction.execute_many(
                "insert_user_if_absent" if kind == "user" else "insert_group_if_absent",
                [_account(account) for account in accounts],
            )
            records = await transaction.fetch(
                "find_users" if kind == "user" else "find_groups", {"ids": [account.id for account in accounts]}
            )
            known = {row["id"] for row in records}
            for account in accounts:
                if account.id not in known:
                    raise Conflict(f"Another {kind} has the handle {quoted(account.handle)}.")
        return inserted_count, len(accounts) - inserted_count


def _id(entry: Account | Domain) -> str:
    return entry.id


def _named(accounts: Sequence[Account], name: str, noun: str) -> Account:
    """Return the account of a name: by id or handle, else regardless of case, by display name too. Raises Usage."""
    wanted = clean(name.strip())
    matches = [each for each in accounts if wanted in (each.id, each.handle)] or [
        each for each in accounts if wanted.casefold() in (each.handle.casefold(), (each.display_name or "").casefold())
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
        "metadata": Json(account.metadata),
    }
